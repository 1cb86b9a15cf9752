//! Values that JSON and Nix have both, and those that Nix has not.

use std::collections::BTreeSet;

use crate::text::Out;

/// Keys by which Nix takes a set for something else: `toJSON` writes the path or the text that it stands for, and modules of NixOS a definition with conditions.
const RESERVED: [&str; 3] = ["outPath", "__toString", "_type"];

/// A plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Integer(i128),
    /// Number with a fraction or an exponent, as JSON writes it (RFC 8259, section 6).
    Decimal(String),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Keys in order, each once.
    Set(Vec<(String, Value)>),
}

/// A value that no expression of Nix stands for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NixError {
    /// A whole number that is too large.
    #[error("{path}: is {number}, and Nix holds whole numbers from -2^63 to 2^63 - 1")]
    Integer {
        /// Its place.
        path: String,
        /// The number.
        number: i128,
    },
    /// A text that is no number.
    #[error("{path}: `{text}` is no number with a fraction or an exponent")]
    Decimal {
        /// Its place.
        path: String,
        /// The text.
        text: String,
    },
    /// A text or a key with a NUL.
    #[error("{path}: holds a NUL, which no text of Nix does")]
    Nul {
        /// Its place.
        path: String,
    },
    /// A key that means something else.
    #[error("{path}: has the key `{key}`, by which Nix takes these for something else; give it another name")]
    Key {
        /// Place of the set.
        path: String,
        /// The key.
        key: String,
    },
    /// A key that stands there twice.
    #[error("{path}: has the key `{key}` twice")]
    Twice {
        /// Place of the set.
        path: String,
        /// The key.
        key: String,
    },
}

impl From<&Out> for Value {
    fn from(out: &Out) -> Value {
        match out {
            Out::Text(text) => Value::Text(text.clone()),
            Out::Number(number) => Value::Integer(i128::from(*number)),
            Out::Decimal(text) => text.parse::<i128>().map_or_else(|_| Value::Decimal(text.clone()), Value::Integer),
            Out::Bool(truth) => Value::Bool(*truth),
            Out::List(items) => Value::List(items.iter().map(Value::from).collect()),
            Out::Map(pairs) => Value::Set(pairs.iter().map(|(key, value)| (key.clone(), Value::from(value))).collect()),
        }
    }
}

/// Sees that an expression can stand for a value.
///
/// # Errors
/// The first part, in the order of the value, for which none can.
pub(super) fn check(value: &Value, path: &mut Vec<String>) -> Result<(), NixError> {
    let place = |path: &[String]| if path.is_empty() { "the value".to_string() } else { path.join(".") };
    match value {
        Value::Integer(number) if i64::try_from(*number).is_err() => {
            Err(NixError::Integer { path: place(path), number: *number })
        }
        Value::Decimal(text) if Parts::of(text).is_none() => {
            Err(NixError::Decimal { path: place(path), text: text.clone() })
        }
        Value::Text(text) if text.contains('\0') => Err(NixError::Nul { path: place(path) }),
        Value::List(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            path.push(index.to_string());
            check(item, path)?;
            path.pop();
            Ok(())
        }),
        Value::Set(pairs) => {
            let mut keys = BTreeSet::new();
            pairs.iter().try_for_each(|(key, item)| {
                if key.contains('\0') {
                    return Err(NixError::Nul { path: place(path) });
                }
                if RESERVED.contains(&key.as_str()) {
                    return Err(NixError::Key { path: place(path), key: key.clone() });
                }
                if !keys.insert(key) {
                    return Err(NixError::Twice { path: place(path), key: key.clone() });
                }
                path.push(key.clone());
                check(item, path)?;
                path.pop();
                Ok(())
            })
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => Ok(()),
    }
}

/// Parts of a number as JSON writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// It is below zero, or is minus zero.
    pub negative: bool,
    /// Digits before the point.
    pub whole: &'a str,
    /// Digits behind the point; none without one.
    pub fraction: Option<&'a str>,
    /// Exponent with its sign; none without one.
    pub exponent: Option<&'a str>,
}

impl Parts<'_> {
    /// The parts of a text; none where it is no number of JSON, or has neither fraction nor exponent.
    pub(super) fn of(text: &str) -> Option<Parts<'_>> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (number, exponent) =
            rest.split_once(['e', 'E']).map_or((rest, None), |(number, exponent)| (number, Some(exponent)));
        let (whole, fraction) =
            number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
        let is_whole = digits(whole) && (whole == "0" || !whole.starts_with('0'));
        let unsigned = |exponent: &str| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
        let fits = is_whole && fraction.is_none_or(digits) && exponent.is_none_or(unsigned);
        (fits && (fraction.is_some() || exponent.is_some())).then_some(Parts { negative, whole, fraction, exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_apart() {
        let parts = |text| Parts::of(text).map(|parts| (parts.negative, parts.whole, parts.fraction, parts.exponent));
        assert_eq!(parts("-0.5"), Some((true, "0", Some("5"), None)));
        assert_eq!(parts("1e-7"), Some((false, "1", None, Some("-7"))));
        assert_eq!(parts("12.50E+3"), Some((false, "12", Some("50"), Some("+3"))));
        for wrong in ["", "-", "1", "01.5", ".5", "1.", "1e", "1e+", "1.5e1.5", "--1.5", "+1.5", "1.5 ", "1e٣"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
