//! Names of files as text, and back: whatever bytes a name has, a person sees it and can send it again.
//!
//! Characters stand for themselves; bytes that are no UTF-8, control characters, those that turn the direction of a text, and `\` are written as `\xNN`, one for each
//! byte.

use super::Fault;
use crate::limits::{DEPTH_MAX, PART_BYTES_MAX, PATH_BYTES_MAX};

/// Characters that let a name look like another one: marks and overrides of the direction of a text. Source: Unicode Standard Annex 9.
const TURNING: [char; 12] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];

/// A name or path as text.
pub fn show(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char == '\\' || char.is_control() || TURNING.contains(&char) {
                escape(&mut text, char.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(char);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// The bytes of a text that [`show`] has made, or that a person has written. Fails for a `\` that is not followed by `x` and two hexadecimal digits.
pub fn parse(text: &str) -> Result<Vec<u8>, Fault> {
    let wrong = || Fault::Name { name: text.into(), words: "has a `\\` that begins no \\xNN".into() };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (head, after) = after.split_first_chunk::<3>().ok_or_else(wrong)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match *head {
            [b'x', high, low] => {
                let (high, low) = (digit(high).ok_or_else(wrong)?, digit(low).ok_or_else(wrong)?);
                bytes.push(high * 16 + low);
            }
            _ => return Err(wrong()),
        }
        rest = after;
    }
    Ok(bytes)
}

/// The parts of a path below a folder, of which none leads upwards. The folder itself has none.
pub(super) fn parts(text: &str) -> Result<Vec<Vec<u8>>, Fault> {
    let wrong = |words: String| Fault::Name { name: text.into(), words };
    let bytes = parse(text)?;
    if bytes.len() > PATH_BYTES_MAX {
        return Err(wrong(format!("has more than {PATH_BYTES_MAX} bytes")));
    }
    if bytes.contains(&0) {
        return Err(wrong("has a byte 0, which no name has".into()));
    }
    let parts: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect();
    if parts.iter().any(|part| part == b"..") {
        return Err(wrong("leads upwards".into()));
    }
    if parts.iter().any(|part| part.len() > PART_BYTES_MAX) {
        return Err(wrong(format!("has a part of more than {PART_BYTES_MAX} bytes")));
    }
    if parts.len() > DEPTH_MAX {
        return Err(wrong(format!("has more than {DEPTH_MAX} parts")));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back() {
        for bytes in [
            &b"plain.txt"[..],
            b"",
            b"back\\slash",
            b"line\nbreak\x7f",
            b"\xff\xfe\x80",
            "gr\u{fc}n \u{1f333}".as_bytes(),
            "evil\u{202e}txt.exe".as_bytes(),
            b"half \xe2\x82",
            b"\\x41",
        ] {
            assert_eq!(parse(&show(bytes)).unwrap(), bytes, "{bytes:?}");
        }
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let bytes = [first, second, b'a'];
                assert_eq!(parse(&show(&bytes)).unwrap(), bytes);
            }
        }
        assert_eq!(show("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(show(b"a\xffb"), "a\\xffb");
        assert_eq!(show("a\u{202e}b".as_bytes()), "a\\xe2\\x80\\xaeb");
    }

    #[test]
    fn texts_that_are_no_names_are_refused() {
        for wrong in ["\\", "a\\", "\\x", "\\x1", "\\xg0", "\\n", "\\x+1"] {
            assert!(matches!(parse(wrong), Err(Fault::Name { .. })), "{wrong}");
        }
    }

    #[test]
    fn no_path_leads_upwards() {
        let found = |text: &str| parts(text).unwrap();
        assert_eq!(found("/a//b/./c/"), [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
        assert!(found("").is_empty() && found("/").is_empty() && found(".").is_empty());
        assert_eq!(found("..."), [b"...".to_vec()]);
        for wrong in ["..", "a/../b", "/..", "\\x2e\\x2e", "a\\x2f..", "a/\\x00"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
        assert!(parts(&"a".repeat(PART_BYTES_MAX + 1)).is_err());
        assert!(parts(&"a/".repeat(DEPTH_MAX + 1)).is_err());
        assert!(parts(&"a".repeat(PATH_BYTES_MAX + 1)).is_err());
    }
}
