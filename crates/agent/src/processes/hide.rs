//! Values of secrets in names and arguments of processes, which nobody sees. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};

/// Stands in the place of a value.
pub(crate) const HIDDEN: &str = "[secret]";
/// Shortest value of which only itself is hidden, bytes: of a shorter one the place in its argument would tell it.
const PART_BYTES_MIN: usize = 4;
/// Shortest line of a value that is hidden without the others, bytes: a file has lines that every program has among its arguments.
const LINE_BYTES_MIN: usize = 8;
/// Length at which the kernel cuts names of processes, bytes. Source: `TASK_COMM_LEN` without its NUL.
const NAME_BYTES: usize = 15;

/// Forms of values by their first bytes.
type Forms = BTreeMap<[u8; PART_BYTES_MIN], BTreeSet<Vec<u8>>>;

/// Values that are hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// Forms in a text.
    parts: Forms,
    /// Letters of their Base64 that hold bits of nothing else.
    coded: Forms,
    /// Forms that hide the whole argument.
    short: BTreeSet<Vec<u8>>,
}

impl Hidden {
    /// Hides these values, each in every form in which a program may have it as an argument.
    pub fn of(values: impl IntoIterator<Item = Vec<u8>>) -> Hidden {
        let mut hidden = Hidden::default();
        for value in values {
            for form in forms(&value) {
                if form.len() < PART_BYTES_MIN {
                    hidden.short.insert(form);
                } else {
                    add(&mut hidden.parts, form);
                }
            }
            coded(value.trim_ascii()).into_iter().for_each(|form| add(&mut hidden.coded, form));
        }
        hidden
    }

    /// Arguments of a process as plain text, from what the kernel has of them: each with a NUL behind it. Where that `is_cut`, a value may be cut too.
    pub fn arguments(&self, raw: &[u8], is_cut: bool) -> Vec<String> {
        let mut mask = self.mask(raw, is_cut);
        // Too few bytes to be told from any others.
        let tail = if is_cut && *self != Hidden::default() { PART_BYTES_MIN - 1 } else { 0 };
        mask.iter_mut().rev().take(tail).for_each(|hidden| *hidden = true);
        self.split(raw, &mask)
    }

    /// A name of a process. The kernel cuts it, so it may end with the beginning of a value.
    pub fn name(&self, name: &str) -> String {
        // One argument, whatever is in it.
        let raw = name.replace('\0', " ");
        let mask = self.mask(raw.as_bytes(), raw.len() >= NAME_BYTES);
        self.split(raw.as_bytes(), &mask).concat()
    }

    /// Arguments as plain text, without the bytes that are hidden.
    fn split(&self, raw: &[u8], mask: &[bool]) -> Vec<String> {
        let (mut arguments, mut argument, mut was_hidden) = (Vec::new(), Vec::new(), false);
        // What is behind the last argument is no argument.
        let end = raw.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for (byte, is_hidden) in raw.iter().copied().zip(mask.iter().copied()).take(end) {
            match (is_hidden, byte) {
                (true, _) if was_hidden => {}
                (true, _) => argument.extend_from_slice(HIDDEN.as_bytes()),
                (false, 0) => arguments.push(self.shown(&std::mem::take(&mut argument))),
                (false, byte) => argument.push(byte),
            }
            was_hidden = is_hidden;
        }
        if end > 0 {
            arguments.push(self.shown(&argument));
        }
        arguments
    }

    /// Bytes that are hidden.
    fn mask(&self, raw: &[u8], is_cut: bool) -> Vec<bool> {
        let mut mask = vec![false; raw.len()];
        let mut hide = |place: Range<usize>| {
            mask.get_mut(place).into_iter().flatten().for_each(|hidden| *hidden = true);
        };
        places(&self.parts, raw, is_cut).for_each(&mut hide);
        if raw.contains(&b'%') {
            let (bytes, at): (Vec<u8>, Vec<Range<usize>>) = decoded(raw, is_cut).into_iter().unzip();
            for place in places(&self.parts, &bytes, is_cut) {
                let all = at.get(place).unwrap_or_default();
                if let (Some(first), Some(last)) = (all.first(), all.last()) {
                    hide(first.start..last.end);
                }
            }
        }
        let is_letter = |at: Option<usize>| at.and_then(|at| raw.get(at)).is_some_and(|byte| is_coded(*byte));
        for Range { start, end } in places(&self.coded, raw, is_cut) {
            // The letters beside them hold bits of the value too.
            let before = usize::from(is_letter(start.checked_sub(1)));
            let after = usize::from(is_letter(Some(end)));
            hide(start - before..end + after);
        }
        mask
    }

    fn shown(&self, argument: &[u8]) -> String {
        let has = |value: &Vec<u8>| argument.windows(value.len()).any(|part| part == value.as_slice());
        if self.short.iter().any(has) { HIDDEN.into() } else { plain(argument) }
    }
}

/// Adds a form; one that is too short is left out.
fn add(forms: &mut Forms, form: Vec<u8>) {
    if let Some(first) = form.first_chunk::<PART_BYTES_MIN>() {
        forms.entry(*first).or_default().insert(form);
    }
}

/// Places of forms in a text. Where that `is_cut`, the last one may be cut too.
fn places(forms: &Forms, text: &[u8], is_cut: bool) -> impl Iterator<Item = Range<usize>> {
    let all = if forms.is_empty() { 0 } else { text.len() };
    (0..all).flat_map(move |at| {
        let rest = text.get(at..).unwrap_or_default();
        let found = rest.first_chunk::<PART_BYTES_MIN>().and_then(|first| forms.get(first));
        found.into_iter().flatten().filter_map(move |form| {
            let is_there = rest.starts_with(form) || (is_cut && form.starts_with(rest));
            is_there.then(|| at..at + form.len().min(rest.len()))
        })
    })
}

/// Forms of a value in arguments. Space around it is left out: shells and programs leave it out too.
fn forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let trimmed = value.trim_ascii();
    let lines = trimmed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| line.len() >= LINE_BYTES_MIN);
    let plain: BTreeSet<&[u8]> = [trimmed].into_iter().chain(lines).filter(|form| !form.is_empty()).collect();
    let mut forms = BTreeSet::new();
    for form in plain {
        let words = form.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let words: Vec<&[u8]> = words.collect();
        // A shell splits it at its spaces, where it is not quoted; an address may have another sign for each.
        forms.extend([form.to_vec(), words.join(&0_u8), words.join(&b'+')]);
        forms.extend(as_json(form));
    }
    forms
}

/// A value as a part of a text in JSON; none where it is no text.
fn as_json(form: &[u8]) -> Option<Vec<u8>> {
    let quoted = serde_json::to_string(std::str::from_utf8(form).ok()?).ok()?;
    Some(quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes().to_vec())
}

/// Letters of the Base64 of a value wherever it stands in what is coded, as in a name with a password: those that hold bits of nothing else. Source: RFC 4648, 4 and 5.
fn coded(value: &[u8]) -> Vec<Vec<u8>> {
    if value.len() < PART_BYTES_MIN {
        return Vec::new();
    }
    let form = |before: usize| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        let texts = [BASE64_NOPAD.encode(&bytes), BASE64URL_NOPAD.encode(&bytes)];
        texts.map(|text| text.as_bytes().get(first..end).unwrap_or_default().to_vec())
    };
    (0..3).flat_map(form).collect()
}

/// Returns true for a letter of Base64, in addresses too.
fn is_coded(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// Bytes of a text with the escapes of addresses read, each with its place. One that is cut at the end is left out. Source: RFC 3986, 2.1.
fn decoded(raw: &[u8], is_cut: bool) -> Vec<(u8, Range<usize>)> {
    let digit = |at: usize| char::from(*raw.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut found, mut at) = (Vec::with_capacity(raw.len()), 0);
    while let Some(byte) = raw.get(at).copied() {
        let is_escape = byte == b'%';
        if is_escape && is_cut && at + 3 > raw.len() {
            break;
        }
        let escaped = if is_escape { digit(at + 1).zip(digit(at + 2)) } else { None };
        let (byte, length) = escaped.map_or((byte, 1), |(high, low)| (high * 16 + low, 3));
        found.push((byte, at..at + length));
        at += length;
    }
    found
}

/// Bytes as text that changes nothing of the screen on which it is shown: what is none stands as `\xNN`.
fn plain(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| text.extend(bytes.iter().map(|byte| format!("\\x{byte:02x}")));
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char.is_control() || is_unseen(char) {
                true => escape(&mut text, char.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(char),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Returns true for a sign that nobody sees, or that turns the direction of the text beside it.
fn is_unseen(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL};
    use proptest::prelude::*;

    use super::*;

    fn hidden(values: &[&str]) -> Hidden {
        Hidden::of(values.iter().map(|value| value.as_bytes().to_vec()))
    }

    fn shown(values: &[&str], raw: &str) -> Vec<String> {
        hidden(values).arguments(raw.as_bytes(), false)
    }

    #[test]
    fn a_value_is_hidden_wherever_it_stands() {
        let raw = "redis-server\0--requirepass\0hunter-two\0redis://:hunter-two@db:6379/0\0";
        assert_eq!(
            shown(&["hunter-two\n"], raw),
            ["redis-server", "--requirepass", "[secret]", "redis://:[secret]@db:6379/0"]
        );
        assert_eq!(shown(&["hunter-two"], "--a=hunter-twohunter-two!\0"), ["--a=[secret]!"]);
        // As a part of an address, however much of it is escaped, and split by a shell.
        for raw in ["x://u:p%40ss%2Fword@h\0", "x://u:p@ss%2fword@h\0", "x://u:%70%40ss/word@h\0"] {
            assert_eq!(shown(&["p@ss/word"], raw), ["x://u:[secret]@h"]);
        }
        assert_eq!(shown(&["correct horse"], "-d\0q=correct+horse&n=1\0"), ["-d", "q=[secret]&n=1"]);
        assert_eq!(shown(&["a \"b\" c"], "{\"key\":\"a \\\"b\\\" c\"}\0"), ["{\"key\":\"[secret]\"}"]);
        assert_eq!(shown(&["correct horse"], "say\0correct\0horse\0now\0"), ["say", "[secret]", "now"]);
        assert_eq!(shown(&["KEY=abcdefgh\nOTHER=12345678\n"], "run\0OTHER=12345678\0-x\0"), ["run", "[secret]", "-x"]);
        assert_eq!(shown(&[" \n"], "run\0 \0"), ["run", " "]);
    }

    #[test]
    fn a_value_is_hidden_in_what_is_coded() {
        let raw = format!("-H\0Authorization: Basic {}\0", BASE64.encode(b"web:hunter-two"));
        assert_eq!(shown(&["hunter-two"], &raw), ["-H", "Authorization: Basic d2ViO[secret]="]);
        for (before, after) in [("", ""), ("a", ""), ("ab", ""), ("abc", "d"), ("", "de"), ("a", "def")] {
            let text = format!("{before}hunter?two>>{after}");
            for coded in [BASE64.encode(text.as_bytes()), BASE64URL.encode(text.as_bytes())] {
                let whole = shown(&["hunter?two>>"], &format!("x\0{coded}\0")).concat();
                let rest = whole.replace(HIDDEN, "");
                // Letters of what stands before and behind are left, and nothing of the value.
                let others = text.len() - "hunter?two>>".len();
                assert!(whole.contains(HIDDEN) && rest.len() <= 1 + others.div_ceil(3) * 4 + 2, "{coded} {whole}");
            }
        }
    }

    #[test]
    fn a_short_value_hides_its_whole_argument() {
        assert_eq!(shown(&["42"], "run\0--pin=42\0--port=1042\0-v\0"), ["run", "[secret]", "[secret]", "-v"]);
    }

    #[test]
    fn what_is_cut_within_a_value_is_hidden_too() {
        let hidden = hidden(&["correct-horse-battery"]);
        assert_eq!(hidden.arguments(b"run\0--pass=correct-hor", true), ["run", "--pass=[secret]"]);
        assert_eq!(hidden.arguments(b"run\0--pass=cor", true), ["run", "--pass=[secret]"]);
        assert_eq!(hidden.arguments(b"run\0--pass=correct-hor", false), ["run", "--pass=correct-hor"]);
        assert_eq!(Hidden::default().arguments(b"run\0--pass=cor", true), ["run", "--pass=cor"]);
        let name = |name: &str| hidden.name(name);
        assert_eq!([name("correct-horse-b"), name("x-correct-horse"), name("corn")], [HIDDEN, "x-[secret]", "corn"]);
        assert_eq!(name("nginx-worker-co"), "nginx-worker-co");
        // A part of an escape at the end is no other text.
        let escaped = self::hidden(&["correct@horse"]);
        assert_eq!(escaped.arguments(b"run\0--pass=correct%4", true), ["run", "--pass=[secret]"]);
        assert_eq!(self::hidden(&["42"]).arguments(b"run\0--pin=4", true), ["run", "--pi[secret]"]);
    }

    #[test]
    fn arguments_change_nothing_of_a_screen() {
        let raw = b"a\x1b[2Jb\0\xff\xc3\xa9\0\0last\0\0\0";
        assert_eq!(Hidden::default().arguments(raw, false), ["a\\x1b[2Jb", "\\xff\u{e9}", "", "last"]);
        for (unseen, shown) in [("a\u{202e}b", "a\\xe2\\x80\\xaeb"), ("a\u{200f}b", "a\\xe2\\x80\\x8fb")] {
            assert_eq!(Hidden::default().arguments(unseen.as_bytes(), false), [shown]);
        }
        assert_eq!(Hidden::default().arguments(b"", false), Vec::<String>::new());
        assert_eq!(Hidden::default().name("a\0b\n"), "a b\\x0a");
    }

    proptest! {
        #[test]
        fn no_value_is_ever_shown(
            value in "[a-z@ -]{1,3}[a-z0-9@:-]{3,20}[a-z]",
            before in "[A-Z=\0]{0,12}",
            after in "[A-Z\0]{0,12}",
            keeps in 0_usize..40,
        ) {
            let hidden = hidden(&[&value]);
            let value = value.trim();
            let begin = value.get(..4).unwrap_or(value);
            prop_assume!(!HIDDEN.contains(begin));
            let raw = format!("{before}{value}{after}");
            let whole = hidden.arguments(raw.as_bytes(), false).join(" ");
            prop_assert!(!whole.contains(value), "{}", whole);
            // Cut anywhere, so that the value may be cut too: not even its beginning is shown.
            let cut = raw.as_bytes().get(..keeps).unwrap_or(raw.as_bytes());
            let is_cut = cut.len() < raw.len();
            let shown = hidden.arguments(cut, is_cut).join(" ");
            prop_assert!(!shown.contains(begin), "{}", shown);
        }

        #[test]
        fn no_bytes_make_it_panic(
            raw in prop::collection::vec(any::<u8>(), 0..80),
            value in prop::collection::vec(any::<u8>(), 0..9),
            is_cut in any::<bool>(),
        ) {
            let hidden = Hidden::of([value]);
            let shown = hidden.arguments(&raw, is_cut);
            prop_assert!(shown.iter().all(|argument| !argument.chars().any(char::is_control)));
        }
    }
}
