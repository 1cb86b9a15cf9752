//! Bech32 (BIP-173) without its limit of 90 characters: the texts of age's keys.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
const CHECKSUM_DIGITS: usize = 6;

/// Text of 32 bytes, in lower case.
pub(crate) fn encode(prefix: &str, bytes: &[u8; 32]) -> String {
    let mut digits: Vec<u8> = regroup(bytes, 8, 5, true).unwrap_or_default();
    let mut all = expand(prefix);
    all.extend(&digits);
    all.extend([0; CHECKSUM_DIGITS]);
    let sum = polymod(&all) ^ 1;
    digits.extend((0..CHECKSUM_DIGITS).map(|place| (sum >> (5 * (CHECKSUM_DIGITS - 1 - place)) & 31) as u8));
    let digits = digits.into_iter().map(|digit| char::from(ALPHABET[usize::from(digit)]));
    format!("{prefix}1{}", digits.collect::<String>())
}

/// The 32 bytes of a text with a prefix; none where a digit is wrong, or upper and lower case are mixed.
pub(crate) fn decode(prefix: &str, text: &str) -> Option<[u8; 32]> {
    let lower = text.to_ascii_lowercase();
    if text != lower && text != text.to_ascii_uppercase() {
        return None;
    }
    let digits = lower.strip_prefix(prefix)?.strip_prefix('1')?.bytes();
    let digits: Option<Vec<u8>> =
        digits.map(|byte| ALPHABET.iter().position(|digit| *digit == byte).map(|place| place as u8)).collect();
    let digits = digits?;
    let mut all = expand(prefix);
    all.extend(&digits);
    if polymod(&all) != 1 {
        return None;
    }
    let content = &digits[..digits.len().checked_sub(CHECKSUM_DIGITS)?];
    regroup(content, 5, 8, false)?.try_into().ok()
}

fn expand(prefix: &str) -> Vec<u8> {
    let high = prefix.bytes().map(|byte| byte >> 5);
    high.chain([0]).chain(prefix.bytes().map(|byte| byte & 31)).collect()
}

fn polymod(digits: &[u8]) -> u32 {
    digits.iter().fold(1, |sum, digit| {
        let top = sum >> 25;
        let sum = (sum & 0x1ff_ffff) << 5 ^ u32::from(*digit);
        GENERATOR.iter().enumerate().fold(sum, |sum, (bit, term)| if top >> bit & 1 == 1 { sum ^ term } else { sum })
    })
}

/// Groups of `from` bits as groups of `to` bits. What is over is filled with zeros, or has to be less than a group of zeros.
fn regroup(digits: &[u8], from: u32, to: u32, fill: bool) -> Option<Vec<u8>> {
    let (mut held, mut bits, mut out) = (0_u32, 0, Vec::new());
    for digit in digits {
        held = held << from | u32::from(*digit);
        bits += from;
        while bits >= to {
            bits -= to;
            out.push((held >> bits & ((1 << to) - 1)) as u8);
        }
        held &= (1 << bits) - 1;
    }
    if fill && bits > 0 {
        out.push((held << (to - bits) & ((1 << to) - 1)) as u8);
    } else if !fill && (bits >= from || held != 0) {
        return None;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_and_a_wrong_letter_is_seen() {
        let bytes = std::array::from_fn(|place| place as u8 * 7);
        let text = encode("age", &bytes);
        assert_eq!(text.len(), 62);
        assert_eq!(decode("age", &text), Some(bytes));
        assert_eq!(decode("age", &text.to_uppercase()), Some(bytes));
        for place in 4..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[place] = if wrong[place] == b'q' { b'p' } else { b'q' };
            assert_eq!(decode("age", &String::from_utf8(wrong).unwrap()), None);
        }
        for wrong in ["", "age", "age1", "age1q", &text[..61], "AGE1q", "é"] {
            assert_eq!(decode("age", wrong), None, "{wrong}");
        }
    }
}
