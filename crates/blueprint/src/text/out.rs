//! Canonical printing: one text for one value, as YAML and as JSON.

use std::fmt::Write;

/// A value that is printed; maps keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// Text, in quotes where it needs them.
    Text(String),
    /// Whole number.
    Number(u64),
    /// Number with decimal places, as its text.
    Decimal(String),
    /// Truth value.
    Bool(bool),
    /// Values in order.
    List(Vec<Out>),
    /// Keys in order.
    Map(Vec<(String, Out)>),
}

impl Out {
    /// A text.
    pub fn text(text: impl Into<String>) -> Out {
        Out::Text(text.into())
    }

    /// A map of pairs.
    pub fn map<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Out)>) -> Out {
        Out::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// YAML in blocks of two spaces. Reading it gives the same value.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        self.yaml(0, &mut text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// JSON with two spaces and a line feed at its end.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.json(0, &mut text);
        text.push('\n');
        text
    }

    /// JSON without blanks and with keys in the order of their bytes: one text for one value, whoever writes it. Of control characters those below a blank are
    /// escaped, as RFC 8259 asks for, and nothing else is.
    pub fn to_compact_json(&self) -> String {
        let mut text = String::new();
        self.compact(&mut text);
        text
    }

    fn compact(&self, text: &mut String) {
        match self {
            Out::Map(pairs) => {
                let mut pairs: Vec<&(String, Out)> = pairs.iter().collect();
                pairs.sort_by(|one, other| one.0.as_bytes().cmp(other.0.as_bytes()));
                text.push('{');
                for (index, (key, value)) in pairs.into_iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    escaped(key, text);
                    text.push(':');
                    value.compact(text);
                }
                text.push('}');
            }
            Out::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    item.compact(text);
                }
                text.push(']');
            }
            Out::Text(value) => escaped(value, text),
            leaf => text.push_str(&leaf.inline()),
        }
    }

    /// Leaves with their paths, as `("web.ports.0", "80")`; an empty list or map is a leaf.
    pub fn leaves(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        self.walk(String::new(), &mut found);
        found
    }

    fn walk(&self, path: String, found: &mut Vec<(String, String)>) {
        let below = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
        match self {
            Out::List(items) if !items.is_empty() => {
                items.iter().enumerate().for_each(|(index, item)| item.walk(below(&index.to_string()), found));
            }
            Out::Map(pairs) if !pairs.is_empty() => pairs.iter().for_each(|(key, item)| item.walk(below(key), found)),
            leaf => found.push((path, leaf.inline())),
        }
    }

    fn inline(&self) -> String {
        match self {
            Out::Text(text) => scalar(text),
            Out::Number(number) => number.to_string(),
            Out::Decimal(text) => text.clone(),
            Out::Bool(truth) => truth.to_string(),
            Out::List(_) => "[]".to_string(),
            Out::Map(_) => "{}".to_string(),
        }
    }

    fn yaml(&self, indent: usize, text: &mut String) {
        let margin = " ".repeat(indent);
        match self {
            Out::Map(pairs) if !pairs.is_empty() => {
                for (index, (key, value)) in pairs.iter().enumerate() {
                    if index > 0 || text.ends_with('\n') {
                        text.push_str(&margin);
                    }
                    text.push_str(&scalar(key));
                    text.push(':');
                    value.yaml_value(indent, text);
                }
            }
            Out::List(items) if !items.is_empty() => {
                for item in items {
                    text.push_str(&margin);
                    text.push_str("- ");
                    match item {
                        Out::List(inner) if !inner.is_empty() => {
                            text.pop();
                            text.push('\n');
                            item.yaml(indent + 2, text);
                        }
                        _ => item.yaml(indent + 2, text),
                    }
                }
            }
            leaf => {
                text.push_str(&leaf.inline());
                text.push('\n');
            }
        }
    }

    fn yaml_value(&self, indent: usize, text: &mut String) {
        match self {
            Out::Map(pairs) if !pairs.is_empty() => {
                text.push('\n');
                self.yaml(indent + 2, text);
            }
            Out::List(items) if !items.is_empty() => {
                text.push('\n');
                self.yaml(indent + 2, text);
            }
            _ => {
                text.push(' ');
                self.yaml(indent, text);
            }
        }
    }

    fn json(&self, indent: usize, text: &mut String) {
        let inner = " ".repeat(indent + 2);
        match self {
            Out::Map(pairs) if !pairs.is_empty() => {
                text.push_str("{\n");
                for (index, (key, value)) in pairs.iter().enumerate() {
                    text.push_str(if index > 0 { ",\n" } else { "" });
                    text.push_str(&inner);
                    text.push_str(&quoted(key));
                    text.push_str(": ");
                    value.json(indent + 2, text);
                }
                let _ = write!(text, "\n{}}}", " ".repeat(indent));
            }
            Out::List(items) if !items.is_empty() => {
                text.push_str("[\n");
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index > 0 { ",\n" } else { "" });
                    text.push_str(&inner);
                    item.json(indent + 2, text);
                }
                let _ = write!(text, "\n{}]", " ".repeat(indent));
            }
            Out::Text(value) => text.push_str(&quoted(value)),
            leaf => text.push_str(&leaf.inline()),
        }
    }
}

/// Scalar of YAML: plain where no reader of YAML 1.1 or 1.2 could take it for something else, in double quotes otherwise.
pub(crate) fn scalar(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./@+".contains(c);
    // A colon or blank inside is harmless between such characters, as in `a:b` or `5 GiB`.
    let inside = |c: char| harmless(c) || c == ':';
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let ends = text.chars().last().is_some_and(harmless);
    let digits = text.chars().next().is_some_and(|c| c.is_ascii_digit());
    // `5 GiB`, `10s`: begins with a digit, and a letter makes it text. `1e5` and `0x1f` are numbers.
    let quantity = digits
        && text.chars().last().is_some_and(|c| "Bsmhdt".contains(c))
        && !text.starts_with('0')
        && !text.contains(':');
    let word = text.to_ascii_lowercase();
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&word.as_str());
    let calm = text.chars().all(|c| inside(c) || (quantity && c == ' '));
    match (begins || quantity) && ends && calm && !reserved {
        true => text.to_string(),
        false => quoted(text),
    }
}

/// Text in double quotes as JSON writes it, which YAML reads in the same way.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes a text as JSON with the escapes that it needs, the short ones where there are such.
fn escaped(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_json_is_one_text_for_one_value() {
        let value = Out::map([
            ("b", Out::List(vec![Out::Number(1), Out::Decimal("0.5".into()), Out::Bool(true)])),
            ("a", Out::map([("é", Out::text("\"\\\u{8}\u{c}\n\r\t\u{1b}\u{7f}\u{2028}/é😀"))])),
            ("B", Out::Map(Vec::new())),
            ("ab", Out::List(Vec::new())),
        ]);
        let expected = "{\"B\":{},\"a\":{\"é\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u001b\u{7f}\u{2028}/é😀\"},\"ab\":[],\"b\":[1,0.5,true]}";
        assert_eq!(value.to_compact_json(), expected);
    }
}
