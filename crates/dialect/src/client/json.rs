//! Values in a venue's JSON, read from the text of the frame.
//!
//! A venue's JSON carries prices as strings or as bare numbers. Both are read from the text of the frame; going through
//! `f64`, or through `serde_json::Value`, would lose digits that a checksum runs over. The types here borrow from the
//! frame, so that reading a level allocates nothing beside the event's own vector.

use std::borrow::Cow;
use std::fmt;

use openmesh_market::event::Level;
use openmesh_primitives::{Decimal, Timestamp};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scan;
use super::unreadable::{Unreadable, excerpt};

/// Returns the time that is `since` milliseconds after the epoch.
///
/// # Errors
/// Where it lies beyond what a timestamp can hold (the year 2262): then the venue counts in another unit.
pub(crate) fn millis(since: i64) -> Result<Timestamp, Unreadable> {
    nanos(since, 1_000_000).ok_or_else(|| Unreadable(format!("{since} is no time in milliseconds")))
}

/// Returns the time that is `since` microseconds after the epoch.
///
/// # Errors
/// As [`millis`].
pub(crate) fn micros(since: i64) -> Result<Timestamp, Unreadable> {
    nanos(since, 1_000).ok_or_else(|| Unreadable(format!("{since} is no time in microseconds")))
}

fn nanos(since: i64, each: i64) -> Option<Timestamp> {
    since.checked_mul(each).map(Timestamp)
}

/// A JSON string or number as the text that stands in the frame (without quotes). Only for `serde_json`, and not
/// inside `flatten` or untagged enums, which buffer through floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Num<'a>(&'a str);

impl<'a> Num<'a> {
    /// Of text that is known to be digits.
    pub(crate) fn of_digits(text: &'a str) -> Num<'a> {
        Num(text)
    }

    /// The text.
    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    /// As an exact decimal.
    pub(crate) fn decimal(self) -> Result<Decimal, Unreadable> {
        Decimal::parse(self.0.as_bytes()).map_err(|e| self.no(&e.to_string()))
    }

    /// As an exact decimal; `None` for an empty string, which some venues write for "not known".
    pub(crate) fn decimal_or_none(self) -> Result<Option<Decimal>, Unreadable> {
        if self.0.is_empty() { Ok(None) } else { self.decimal().map(Some) }
    }

    /// As a whole number without sign.
    pub(crate) fn u64(self) -> Result<u64, Unreadable> {
        self.0.parse().map_err(|_| self.no("not a whole number"))
    }

    /// As a whole number.
    pub(crate) fn i64(self) -> Result<i64, Unreadable> {
        self.0.parse().map_err(|_| self.no("not a whole number"))
    }

    /// As a time in milliseconds since the epoch.
    pub(crate) fn millis(self) -> Result<Timestamp, Unreadable> {
        millis(self.i64()?)
    }

    /// As a time in decimal seconds since the epoch.
    pub(crate) fn seconds(self) -> Result<Timestamp, Unreadable> {
        Timestamp::parse_seconds(self.0.as_bytes()).map_err(|e| self.no(&e.to_string()))
    }

    /// As a time in RFC 3339.
    pub(crate) fn rfc3339(self) -> Result<Timestamp, Unreadable> {
        Timestamp::parse_rfc3339(self.0.as_bytes()).map_err(|e| self.no(&e.to_string()))
    }

    fn no(self, what: &str) -> Unreadable {
        Unreadable(format!("{:?}: {what}", excerpt(self.0.as_bytes())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Num<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Num<'a>, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => Ok(Num(raw.trim_matches('"'))),
            Some(b'-' | b'0'..=b'9') => Ok(Num(raw)),
            _ => Err(D::Error::custom("a string or a number is expected")),
        }
    }
}

/// A [`Decimal`] from a JSON string or number, exact either way; for use inside `Option`, `Vec` and tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exact(pub Decimal);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Exact, D::Error> {
        let num = Num::deserialize(deserializer)?;
        Decimal::parse(num.0.as_bytes()).map(Exact).map_err(D::Error::custom)
    }
}

/// A JSON array of at least `N` strings or numbers; what follows is not read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a, const N: usize>(pub [Num<'a>; N]);

impl<'de: 'a, 'a, const N: usize> Deserialize<'de> for Row<'a, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row<'a, N>, D::Error> {
        struct Cells<const N: usize>;
        impl<'de, const N: usize> Visitor<'de> for Cells<N> {
            type Value = Row<'de, N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at least {N} strings or numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Row<'de, N>, A::Error> {
                let mut cells = [Num(""); N];
                for (at, cell) in cells.iter_mut().enumerate() {
                    *cell = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(at, &self))?;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Row(cells))
            }
        }
        deserializer.deserialize_seq(Cells)
    }
}

/// A JSON string, borrowed from the frame unless it holds escapes. (Serde's own `Option<Cow<str>>` never borrows.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct Characters;
        impl<'de> Visitor<'de> for Characters {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Characters)
    }
}

/// For `#[serde(deserialize_with = ...)]`: a decimal from a JSON string or number.
pub(crate) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    Exact::deserialize(deserializer).map(|e| e.0)
}

/// For `#[serde(default, deserialize_with = ...)]`: a decimal from a JSON string or number; `None` for `null` and `""`.
pub(crate) fn decimal_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let Some(num) = Option::<Num<'de>>::deserialize(deserializer)? else { return Ok(None) };
    if num.0.is_empty() {
        return Ok(None);
    }
    Decimal::parse(num.0.as_bytes()).map(Some).map_err(D::Error::custom)
}

/// `[price, size, ...]`: what follows the size is not read.
struct PriceSize(Level);

impl<'de> Deserialize<'de> for PriceSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PriceSize, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = PriceSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a level: [price, size]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<PriceSize, A::Error> {
                let short = |n| A::Error::invalid_length(n, &self);
                let price: Exact = seq.next_element()?.ok_or_else(|| short(0))?;
                let size: Exact = seq.next_element()?.ok_or_else(|| short(1))?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(PriceSize((price.0, size.0)))
            }
        }
        deserializer.deserialize_seq(Pair)
    }
}

/// For `#[serde(default, deserialize_with = ...)]`: levels `[[price, size, ...], ...]`, strings or numbers; `null` is
/// none.
pub(crate) fn levels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Level>, D::Error> {
    let text = <&'de RawValue>::deserialize(deserializer)?.get();
    if let Some(levels) = scan::levels(text) {
        return Ok(levels);
    }
    let levels: Option<Vec<PriceSize>> = serde_json::from_str(text).map_err(D::Error::custom)?;
    Ok(levels.unwrap_or_default().into_iter().map(|PriceSize(level)| level).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        price: Num<'a>,
        #[serde(default, deserialize_with = "levels")]
        bids: Vec<Level>,
        #[serde(default, deserialize_with = "decimal_or_none")]
        last: Option<Decimal>,
    }

    #[test]
    fn numbers_keep_every_digit_whether_quoted_or_not() {
        for (text, expected) in [
            (r#"{"price":0.10,"bids":[[1.50,"2.000",9]]}"#, "0.10"),
            (r#"{"price":"0.10","bids":[["1.50",2.000]]}"#, "0.10"),
            (r#"{"price":12345678901234567.123456789,"bids":[["1.50","2.000"]]}"#, "12345678901234567.123456789"),
        ] {
            let message: Message<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(message.price.decimal().unwrap().to_string(), expected);
            assert_eq!(format!("{:?}", message.bids), "[(1.50, 2.000)]");
            assert_eq!(message.last, None);
        }
        let message: Message<'_> = serde_json::from_str(r#"{"price":"1e-8","bids":null,"last":""}"#).unwrap();
        assert_eq!(message.price.decimal().unwrap().to_string(), "0.00000001");
        assert!(message.bids.is_empty() && message.last.is_none());
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in [
            r#"{"price":true}"#,
            r#"{"price":null}"#,
            r#"{"price":"1","bids":[["1"]]}"#,
            r#"{"price":"1","bids":[["1","x"]]}"#,
            r#"{"price":"1","last":"abc"}"#,
        ] {
            assert!(serde_json::from_str::<Message<'_>>(text).is_err(), "{text}");
        }
        let message: Message<'_> = serde_json::from_str(r#"{"price":"1.5"}"#).unwrap();
        assert!(message.price.u64().is_err() && message.price.millis().is_err());
    }

    /// Sixteen digits are microseconds: taken for milliseconds they would lie in the year 58,000.
    #[test]
    fn times_in_another_unit_are_refused() {
        assert_eq!(millis(1_786_309_500_301), Ok(Timestamp(1_786_309_500_301_000_000)));
        assert_eq!(micros(1_786_309_500_301_234), Ok(Timestamp(1_786_309_500_301_234_000)));
        assert!(millis(1_786_309_500_301_234).is_err() && micros(1_786_309_500_301_234_567).is_err());
        assert!(Num::of_digits("1786309500301234").millis().is_err());
    }
}
