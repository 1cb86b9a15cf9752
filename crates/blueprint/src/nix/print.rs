//! Expressions as text: what is short stands on one line, everything else in blocks of two spaces.

use super::text::{block, is_block, name, string};
use super::value::{NixError, Parts, Value, check};

/// Longest line on which a list or a set is written whole, characters.
const LINE_CHARACTERS_MAX: usize = 100;
/// Deepest list or set that is written on one line: `{ port = 8080; publish = { port = 80; }; }`.
const FLAT_DEPTH_MAX: usize = 2;

/// The expression of a value, with a line feed at its end.
///
/// # Errors
/// A part of the value for which no expression stands.
pub fn expression(value: &Value) -> Result<String, NixError> {
    check(value, &mut Vec::new())?;
    let mut text = String::new();
    print(value, 0, &mut text);
    text.push('\n');
    Ok(text)
}

fn print(value: &Value, indent: usize, text: &mut String) {
    // The value as a whole is written in lines: it is what a person changes.
    let room = if indent == 0 { 0 } else { LINE_CHARACTERS_MAX.saturating_sub(indent) };
    if let Some(flat) = flat(value, FLAT_DEPTH_MAX).filter(|flat| flat.chars().count() <= room) {
        return text.push_str(&flat);
    }
    let margin = " ".repeat(indent + 2);
    match value {
        Value::List(items) if !items.is_empty() => {
            text.push_str("[\n");
            for item in items {
                text.push_str(&margin);
                print(item, indent + 2, text);
                text.push('\n');
            }
            text.push_str(&margin[2..]);
            text.push(']');
        }
        Value::Set(pairs) if !pairs.is_empty() => {
            text.push_str("{\n");
            for (key, item) in pairs {
                text.push_str(&margin);
                text.push_str(&name(key));
                text.push_str(" = ");
                print(item, indent + 2, text);
                text.push_str(";\n");
            }
            text.push_str(&margin[2..]);
            text.push('}');
        }
        Value::Text(lines) if is_block(lines) => block(lines, indent, text),
        leaf => text.push_str(&scalar(leaf)),
    }
}

/// The value on one line; none where it is deeper than given, holds lines, or is certainly too long.
fn flat(value: &Value, depth: usize) -> Option<String> {
    match value {
        Value::Text(text) if is_block(text) || text.len() > LINE_CHARACTERS_MAX * 4 => None,
        Value::List(items) if !items.is_empty() => {
            let below = depth.checked_sub(1).filter(|_| items.len() <= LINE_CHARACTERS_MAX)?;
            let items: Option<Vec<String>> = items.iter().map(|item| flat(item, below)).collect();
            Some(format!("[ {} ]", items?.join(" ")))
        }
        Value::Set(pairs) if !pairs.is_empty() => {
            let below = depth.checked_sub(1).filter(|_| pairs.len() <= LINE_CHARACTERS_MAX)?;
            let pair = |(key, item): &(String, Value)| Some(format!("{} = {};", name(key), flat(item, below)?));
            let pairs: Option<Vec<String>> = pairs.iter().map(pair).collect();
            Some(format!("{{ {} }}", pairs?.join(" ")))
        }
        leaf => Some(scalar(leaf)),
    }
}

/// A value without parts. What begins with a sign is in parentheses: in a list it would be none.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        // The lexer reads digits alone, and these are beyond what it holds.
        Value::Integer(number) if *number == i128::from(i64::MIN) => format!("(-{} - 1)", i64::MAX),
        Value::Integer(number) if *number < 0 => format!("({number})"),
        Value::Integer(number) => number.to_string(),
        Value::Decimal(text) => decimal(text),
        Value::Text(text) => string(text),
        Value::List(_) => "[ ]".into(),
        Value::Set(_) => "{ }".into(),
    }
}

/// A number with a point, without which Nix takes an exponent for a name.
fn decimal(text: &str) -> String {
    let Some(Parts { negative, whole, fraction, exponent }) = Parts::of(text) else { return text.to_string() };
    let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
    let number = format!("{whole}.{}{exponent}", fraction.unwrap_or("0"));
    if negative { format!("(-{number})") } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, Value)]) -> Value {
        Value::Set(pairs.iter().map(|(key, value)| ((*key).to_string(), value.clone())).collect())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn short_things_stand_on_one_line() {
        let port = set(&[("port", Value::Integer(8080)), ("publish", set(&[("port", Value::Integer(80))]))]);
        let value = set(&[
            ("ports", set(&[("http", port)])),
            ("command", Value::List(vec![text("/bin/web"), text("-v")])),
            ("motd", text("hello\n  world\n")),
            ("none", Value::List(Vec::new())),
            ("all", Value::List(vec![Value::Null, Value::Bool(true), Value::Integer(-1), set(&[])])),
            ("half", Value::Decimal("0.5".into())),
        ]);
        let expected = "{
  ports = {
    http = { port = 8080; publish = { port = 80; }; };
  };
  command = [ \"/bin/web\" \"-v\" ];
  motd = ''
    hello
      world
  '';
  none = [ ];
  all = [ null true (-1) { } ];
  half = 0.5;
}
";
        assert_eq!(expression(&value).unwrap(), expected);
        let long = set(&[("words", Value::List(vec![text(&"x".repeat(60)), text(&"y".repeat(60))]))]);
        assert_eq!(expression(&long).unwrap().lines().count(), 6);
    }

    #[test]
    fn numbers_are_those_of_nix() {
        for (number, printed) in [
            (0, "0\n"),
            (i128::from(i64::MAX), "9223372036854775807\n"),
            (-5, "(-5)\n"),
            (i128::from(i64::MIN), "(-9223372036854775807 - 1)\n"),
        ] {
            assert_eq!(expression(&Value::Integer(number)).unwrap(), printed);
        }
        for (number, printed) in
            [("1e-7", "1.0e-7\n"), ("-1.5E+3", "(-1.5e+3)\n"), ("0.25", "0.25\n"), ("-0.0", "(-0.0)\n")]
        {
            assert_eq!(expression(&Value::Decimal(number.into())).unwrap(), printed);
        }
    }

    #[test]
    fn what_nix_cannot_hold_is_refused_with_its_place() {
        let below = |value: Value| set(&[("a", Value::List(vec![Value::Null, value]))]);
        for (value, words) in [
            (Value::Integer(i128::from(u64::MAX)), "a.1: is 18446744073709551615"),
            (Value::Integer(i128::from(i64::MIN) - 1), "a.1: is -9223372036854775809"),
            (Value::Decimal("5".into()), "a.1: `5` is no number"),
            (text("x\0y"), "a.1: holds a NUL"),
            (set(&[("outPath", Value::Null)]), "a.1: has the key `outPath`"),
            (set(&[("__toString", Value::Null)]), "a.1: has the key `__toString`"),
            (set(&[("_type", Value::Null)]), "a.1: has the key `_type`"),
            (set(&[("b", Value::Null), ("b", Value::Null)]), "a.1: has the key `b` twice"),
        ] {
            let error = expression(&below(value)).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
        assert!(expression(&Value::Integer(1 << 100)).unwrap_err().to_string().starts_with("the value: is "));
    }
}
