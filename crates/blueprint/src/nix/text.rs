//! Texts and names of Nix: quotes, escapes, blocks of lines.

use std::fmt::Write as _;

/// Words that Nix keeps for itself.
const KEYWORDS: [&str; 9] = ["assert", "else", "if", "in", "inherit", "let", "rec", "then", "with"];
/// Line feeds from which on a text is written as lines.
const BLOCK_LINES_MIN: usize = 2;

/// Returns true for a sign that a reader does not see, or that changes what is seen: control characters, marks of the direction of writing, separators of lines
/// that are none for Nix. Source: Unicode Technical Report 36, section 2.
fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || turns || breaks
}

/// An expression for a text, on one line.
pub fn string(text: &str) -> String {
    match text.contains(is_hidden) {
        true => format!("({})", by_numbers(text)),
        false => quoted(text),
    }
}

/// A name in front of `=`.
pub(super) fn name(key: &str) -> String {
    let begins = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let plain = begins && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-'".contains(c));
    // `or` is a word only in some places, and names with two underscores are those of Nix itself.
    let reserved = KEYWORDS.contains(&key) || key == "or" || key.starts_with("__");
    match plain && !reserved {
        true => key.to_string(),
        false if key.contains(is_hidden) => format!("${{{}}}", by_numbers(key)),
        false => quoted(key),
    }
}

/// A text in double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '$' if rest.peek() == Some(&'{') => quoted.push_str("\\$"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A text by way of JSON, which has an escape for every sign: Nix has none.
fn by_numbers(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            c if is_hidden(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
            c => json.push(c),
        }
    }
    json.push('"');
    format!("builtins.fromJSON {}", quoted(&json))
}

/// Returns true for a text that is best read as lines, and reads back from them as it is. Nix takes away what all lines are indented by, so one line must not be.
pub(super) fn is_block(text: &str) -> bool {
    let lines = || text.lines().filter(|line| !line.is_empty());
    text.ends_with('\n')
        && text.matches('\n').count() >= BLOCK_LINES_MIN
        && !text.contains(|c: char| c == '\r' || is_hidden(c))
        && lines().all(|line| !line.trim_matches([' ', '\t']).is_empty())
        && lines().any(|line| !line.starts_with(' '))
}

/// Writes a text for which [`is_block`] is true as lines between `''`, as deep as given.
pub(super) fn block(text: &str, indent: usize, out: &mut String) {
    let margin = " ".repeat(indent + 2);
    out.push_str("''\n");
    for line in text.lines() {
        if !line.is_empty() {
            out.push_str(&margin);
            escaped(line, out);
        }
        out.push('\n');
    }
    out.push_str(&" ".repeat(indent));
    out.push_str("''");
}

/// A line between `''`. A quote is escaped where it stands beside another one or before `$`: three in a row, and two before `$`, mean something.
fn escaped(line: &str, out: &mut String) {
    let mut before = None;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\'', Some('\'' | '$')) => out.push_str("''\\'"),
            ('\'', _) if before == Some('\'') => out.push_str("''\\'"),
            ('$', Some('{')) => out.push_str("''$"),
            (c, _) => out.push(c),
        }
        before = Some(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_nix() {
        for (text, printed) in [
            ("", "\"\""),
            ("a", "\"a\""),
            ("${x}", "\"\\${x}\""),
            ("$${x}", "\"$\\${x}\""),
            ("$x $", "\"$x $\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("''", "\"''\""),
            ("a\n\tb\r", "\"a\\n\\tb\\r\""),
            ("é 😀", "\"é 😀\""),
            ("\u{1b}[2J\"", "(builtins.fromJSON \"\\\"\\\\u001b[2J\\\\\\\"\\\"\")"),
            ("a\u{202e}b", "(builtins.fromJSON \"\\\"a\\\\u202eb\\\"\")"),
        ] {
            assert_eq!(string(text), printed, "{text:?}");
        }
    }

    #[test]
    fn keys_are_names_or_quoted() {
        for (key, printed) in [
            ("web", "web"),
            ("stop_after", "stop_after"),
            ("a-b'", "a-b'"),
            ("_x", "_x"),
            ("in", "\"in\""),
            ("or", "\"or\""),
            ("__curPos", "\"__curPos\""),
            ("1a", "\"1a\""),
            ("", "\"\""),
            ("/etc/motd", "\"/etc/motd\""),
            ("shop.example.org", "\"shop.example.org\""),
            ("${x}", "\"\\${x}\""),
            ("a\u{7f}", "${builtins.fromJSON \"\\\"a\\\\u007f\\\"\"}"),
        ] {
            assert_eq!(name(key), printed, "{key:?}");
        }
    }

    #[test]
    fn lines_are_lines_where_nix_reads_them_back() {
        let mut out = String::new();
        block("a ${b} 'c' ''d '$e\n\n  $${f}'\n", 2, &mut out);
        assert_eq!(out, "''\n    a ''${b} 'c' ''\\'''\\'d ''\\'$e\n\n      $''${f}'\n  ''");
        for not in ["", "\n", "a\n", "a\nb", " a\n b\n", "a\n \nb\n", "a\r\nb\n", "a\n\u{1b}\n", "\n\n", "a\n\t\nb\n"] {
            assert!(!is_block(not), "{not:?}");
        }
        assert!(is_block("\na\n") && is_block("  a\nb\n") && is_block("\ta\nb\n"));
    }
}
