//! Values of secrets in names and arguments of processes, which nobody sees. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Stands in the place of a value.
pub(crate) const HIDDEN: &str = "[secret]";
/// Shortest value of which only itself is hidden, bytes: of a shorter one the place in its argument would tell it.
const PART_BYTES_MIN: usize = 4;
/// Shortest line of a value that is hidden without the others, bytes: a file has lines that every program has among its arguments.
const LINE_BYTES_MIN: usize = 8;
/// Length at which the kernel cuts names of processes, bytes. Source: `TASK_COMM_LEN` without its NUL.
const NAME_BYTES: usize = 15;

/// Values that are hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// Forms of values by their first bytes.
    parts: BTreeMap<[u8; PART_BYTES_MIN], BTreeSet<Vec<u8>>>,
    /// Forms that hide the whole argument.
    short: BTreeSet<Vec<u8>>,
}

impl Hidden {
    /// Hides these values, each in every form in which a program may have it as an argument.
    pub fn of(values: impl IntoIterator<Item = Vec<u8>>) -> Hidden {
        let mut hidden = Hidden::default();
        for form in values.into_iter().flat_map(|value| forms(&value)) {
            match form.first_chunk::<PART_BYTES_MIN>() {
                Some(first) => {
                    hidden.parts.entry(*first).or_default().insert(form);
                }
                None => {
                    hidden.short.insert(form);
                }
            }
        }
        hidden
    }

    /// Arguments of a process as plain text, from what the kernel has of them: each with a NUL behind it. Where that `is_cut`, a value may be cut too.
    pub fn arguments(&self, raw: &[u8], is_cut: bool) -> Vec<String> {
        let mask = self.mask(raw, is_cut);
        let (mut arguments, mut argument, mut was_hidden) = (Vec::new(), Vec::new(), false);
        // What is behind the last argument is no argument.
        let end = raw.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for (byte, is_hidden) in raw.iter().zip(mask).take(end) {
            match (is_hidden, byte) {
                (true, _) if was_hidden => {}
                (true, _) => argument.extend_from_slice(HIDDEN.as_bytes()),
                (false, 0) => arguments.push(self.shown(&std::mem::take(&mut argument))),
                (false, byte) => argument.push(*byte),
            }
            was_hidden = is_hidden;
        }
        if end > 0 {
            arguments.push(self.shown(&argument));
        }
        arguments
    }

    /// A name of a process. The kernel cuts it, so it may be the beginning of a value.
    pub fn name(&self, name: &str) -> String {
        let begins = |value: &Vec<u8>| value.starts_with(name.as_bytes());
        if name.len() >= NAME_BYTES && self.parts.values().flatten().any(begins) {
            return HIDDEN.into();
        }
        // One argument, whatever is in it.
        self.arguments(name.replace('\0', " ").as_bytes(), false).concat()
    }

    /// Bytes that are hidden.
    fn mask(&self, raw: &[u8], is_cut: bool) -> Vec<bool> {
        let mut mask = vec![false; raw.len()];
        for at in 0..raw.len() {
            let rest = raw.get(at..).unwrap_or_default();
            let Some(first) = rest.first_chunk::<PART_BYTES_MIN>() else { break };
            for value in self.parts.get(first).into_iter().flatten() {
                let is_there = rest.starts_with(value) || is_cut && value.starts_with(rest);
                let bytes = if is_there { value.len() } else { 0 };
                mask.iter_mut().skip(at).take(bytes).for_each(|hidden| *hidden = true);
            }
        }
        // Too few bytes to be told from any others.
        let tail = if is_cut && !self.parts.is_empty() { PART_BYTES_MIN - 1 } else { 0 };
        mask.iter_mut().rev().take(tail).for_each(|hidden| *hidden = true);
        mask
    }

    fn shown(&self, argument: &[u8]) -> String {
        let has = |value: &Vec<u8>| argument.windows(value.len()).any(|part| part == value.as_slice());
        if self.short.iter().any(has) { HIDDEN.into() } else { plain(argument) }
    }
}

/// Forms of a value in arguments. Space around it is left out: shells and programs leave it out too.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let trimmed = value.trim_ascii();
    let lines = trimmed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| line.len() >= LINE_BYTES_MIN);
    let mut forms: BTreeSet<Vec<u8>> = [trimmed].into_iter().chain(lines).map(<[u8]>::to_vec).collect();
    // A shell splits it at its spaces, where it is not quoted.
    let split = |form: &Vec<u8>| {
        let words = form.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.collect::<Vec<&[u8]>>().join(&0_u8)
    };
    let encoded: Vec<Vec<u8>> = forms.iter().flat_map(|form| [split(form), percent_encoded(form)]).collect();
    forms.extend(encoded);
    forms.into_iter().filter(|form| !form.is_empty()).collect()
}

/// Bytes as a part of an address. Source: RFC 3986, 2.3.
fn percent_encoded(bytes: &[u8]) -> Vec<u8> {
    let byte = |byte: &u8| match byte {
        b'-' | b'.' | b'_' | b'~' => vec![*byte],
        byte if byte.is_ascii_alphanumeric() => vec![*byte],
        byte => format!("%{byte:02X}").into_bytes(),
    };
    bytes.iter().flat_map(byte).collect()
}

/// Bytes as text that changes nothing of the screen on which it is shown: what is none stands as `\xNN`.
fn plain(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| text.extend(bytes.iter().map(|byte| format!("\\x{byte:02x}")));
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            // Controls, and what turns the direction of the text beside it.
            let acts = char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            match acts {
                true => escape(&mut text, char.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(char),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
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
        // As a part of an address, and split by a shell.
        assert_eq!(shown(&["p@ss/word"], "x://u:p%40ss%2Fword@h\0"), ["x://u:[secret]@h"]);
        assert_eq!(shown(&["correct horse"], "say\0correct\0horse\0now\0"), ["say", "[secret]", "now"]);
        assert_eq!(shown(&["KEY=abcdefgh\nOTHER=12345678\n"], "run\0OTHER=12345678\0-x\0"), ["run", "[secret]", "-x"]);
        assert_eq!(shown(&[" \n"], "run\0 \0"), ["run", " "]);
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
        assert_eq!((hidden.name("correct-horse-b"), hidden.name("corn")), (HIDDEN.to_string(), "corn".to_string()));
    }

    #[test]
    fn arguments_change_nothing_of_a_screen() {
        let raw = b"a\x1b[2Jb\0\xff\xc3\xa9\0\0last\0\0\0";
        assert_eq!(Hidden::default().arguments(raw, false), ["a\\x1b[2Jb", "\\xff\u{e9}", "", "last"]);
        assert_eq!(Hidden::default().arguments("a\u{202e}b".as_bytes(), false), ["a\\xe2\\x80\\xaeb"]);
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
