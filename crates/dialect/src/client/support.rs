//! What the dialects share: numbers taken as exact text, symbol tables, and the building of events and incidents.
//!
//! A venue's JSON carries prices as strings or as bare numbers. Both are read from the text of the frame; going through
//! `f64`, or through `serde_json::Value`, would lose digits that a checksum runs over. The types here borrow from the
//! frame, so that reading a level allocates nothing beside the event's own vector.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use openmesh_market::ConnectionId;
use openmesh_market::event::{Event, EventKind, Exchange, Feed, Incident, IncidentKind, Level};
use openmesh_primitives::{Contract, Decimal, DecimalError, Symbol, Timestamp, TimestampError};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::instruments::INSTRUMENTS_MAX;
use super::scan;
use crate::session::{Action, Output};

/// Characters of a frame that are quoted in an incident: enough to recognise the message, short enough for a log line.
const EXCERPT_CHARS_MAX: usize = 160;

/// Why a frame could not be read; the text is for people and ends in an incident's detail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Unreadable {
        Unreadable(error.to_string())
    }
}

impl From<DecimalError> for Unreadable {
    fn from(error: DecimalError) -> Unreadable {
        Unreadable(error.to_string())
    }
}

impl From<TimestampError> for Unreadable {
    fn from(error: TimestampError) -> Unreadable {
        Unreadable(error.to_string())
    }
}

/// A JSON string or number as the text that stands in the frame (without quotes). Only for `serde_json`, and not
/// inside `flatten` or untagged enums, which buffer through floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Num<'a>(&'a str);

#[allow(dead_code, reason = "each dialect uses its own part of it")]
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
        self.i64().map(Timestamp::from_millis)
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
#[allow(dead_code, reason = "each dialect uses its own part of it")]
pub(crate) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    Exact::deserialize(deserializer).map(|e| e.0)
}

/// For `#[serde(default, deserialize_with = ...)]`: a decimal from a JSON string or number; `None` for `null` and `""`.
#[allow(dead_code, reason = "each dialect uses its own part of it")]
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

/// The beginning of a message, for an incident's detail.
pub(crate) fn excerpt(data: &[u8]) -> String {
    let head = &data[..data.len().min(EXCERPT_CHARS_MAX * 4)];
    let text = String::from_utf8_lossy(head);
    let mut short: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
    if short.len() < text.len() || head.len() < data.len() {
        short.push('…');
    }
    short
}

/// Where a dialect puts what it makes: stamps events with the venue and the time of capture.
pub(crate) struct Emit<'o> {
    /// Venue.
    pub exchange: Exchange,
    /// Time of capture.
    pub now: Timestamp,
    /// Goes to the caller.
    pub output: &'o mut Output,
}

#[allow(dead_code, reason = "each dialect uses its own part of it")]
impl Emit<'_> {
    /// An event of an instrument.
    pub(crate) fn event(&mut self, symbol: &Symbol, ts_exchange: Option<Timestamp>, kind: EventKind) {
        self.output.events.push(Event {
            exchange: self.exchange,
            symbol: Some(symbol.clone()),
            ts_exchange,
            ts_capture: self.now,
            kind,
        });
    }

    /// An incident. A name that could not be read back is left out: it is one that the venue, or a recording, made up.
    pub(crate) fn incident(&mut self, kind: IncidentKind, symbol: Option<&Symbol>, feed: Option<Feed>, detail: String) {
        let readable = |symbol: &&Symbol| symbol.to_string().parse().as_ref() == Ok(*symbol);
        self.output.events.push(Event {
            exchange: self.exchange,
            symbol: symbol.filter(readable).cloned(),
            ts_exchange: None,
            ts_capture: self.now,
            kind: EventKind::Incident(Incident { kind, feed, detail }),
        });
    }

    /// A frame that could not be read: why, and how it begins.
    pub(crate) fn garbage(&mut self, why: &Unreadable, data: &[u8]) {
        let detail = format!("{why}; the message begins {}", excerpt(data));
        self.incident(IncidentKind::Garbage, None, None, detail);
    }

    /// A request was answered with an error.
    pub(crate) fn refused(&mut self, url: &str, status: u16, body: &[u8]) {
        let detail = format!("{url} answered {status}: {}", excerpt(body));
        self.incident(IncidentKind::Refused, None, None, detail);
    }

    /// A message to send.
    pub(crate) fn send(&mut self, connection: ConnectionId, text: String) {
        self.output.actions.push(Action::Send { connection, text });
    }

    /// A request to make.
    pub(crate) fn get(&mut self, url: String) {
        self.output.actions.push(Action::Get { url });
    }
}

/// A venue's names of instruments and ours, both ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Symbols {
    ours: BTreeMap<String, Symbol>,
    venues: BTreeMap<Symbol, String>,
}

#[allow(dead_code, reason = "each dialect uses its own part of it")]
impl Symbols {
    /// Adds a pair of names; a later one replaces an earlier. What is more than any venue lists is left out.
    pub(crate) fn insert(&mut self, venue: &str, symbol: Symbol) {
        if self.ours.len() >= INSTRUMENTS_MAX && !self.ours.contains_key(venue) {
            return;
        }
        self.venues.insert(symbol.clone(), venue.to_owned());
        self.ours.insert(venue.to_owned(), symbol);
    }

    /// Our name of the venue's instrument.
    pub(crate) fn symbol(&self, venue: &str) -> Option<&Symbol> {
        self.ours.get(venue)
    }

    /// The venue's name of our instrument.
    pub(crate) fn venue(&self, symbol: &Symbol) -> Option<&str> {
        self.venues.get(symbol).map(String::as_str)
    }

    /// True before a table was seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.ours.is_empty()
    }
}

/// Quote assets by which a name without separator can be cut, longer ones first where one ends in another.
const QUOTES: [&str; 36] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "USDS", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "CHF",
    "CAD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "MXN", "COP", "CZK", "IDR", "BIDR", "BVND", "BTC", "ETH",
    "BNB", "XRP", "TRX", "DOGE", "DAI",
];

/// Cuts a name without separator (`BTCUSDT`) into base and quote by the well-known quote assets. A name that ends in
/// none of them keeps everything in the base, with the quote `UNKNOWN`: an odd name is better than a lost frame.
#[allow(dead_code, reason = "each dialect uses its own part of it")]
pub(crate) fn split_quote(name: &str) -> (&str, &str) {
    QUOTES
        .iter()
        .filter_map(|quote| name.strip_suffix(quote).map(|base| (base, *quote)))
        .filter(|(base, _)| !base.is_empty())
        .max_by_key(|(_, quote)| quote.len())
        .unwrap_or((name, "UNKNOWN"))
}

/// A dated contract's expiry from `yymmdd` text.
#[allow(dead_code, reason = "each dialect uses its own part of it")]
pub(crate) fn dated(expiry: &str) -> Option<Contract> {
    (expiry.len() == 6 && expiry.bytes().all(|b| b.is_ascii_digit()))
        .then(|| expiry.parse().ok())
        .flatten()
        .map(|expiry| Contract::Future { expiry })
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

    #[test]
    fn names_are_cut_at_the_longest_quote() {
        assert_eq!(split_quote("BTCUSDT"), ("BTC", "USDT"));
        assert_eq!(split_quote("ETHFDUSD"), ("ETH", "FDUSD"));
        assert_eq!(split_quote("BTCBIDR"), ("BTC", "BIDR"));
        assert_eq!(split_quote("USDT"), ("USDT", "UNKNOWN"));
        assert_eq!(split_quote("ABCXYZ"), ("ABCXYZ", "UNKNOWN"));
    }

    /// A venue that makes up names in answer after answer must not fill the memory.
    #[test]
    fn a_table_of_names_is_bounded() {
        let mut table = Symbols::default();
        for n in 0..INSTRUMENTS_MAX + 100 {
            table.insert(&format!("N{n}"), Symbol::spot(&format!("N{n}"), "USD"));
        }
        assert!(table.symbol("N0").is_some() && table.symbol(&format!("N{INSTRUMENTS_MAX}")).is_none());
        table.insert("N0", Symbol::spot("OTHER", "USD"));
        assert_eq!(table.symbol("N0"), Some(&Symbol::spot("OTHER", "USD")));
    }

    /// Found by the fuzzer: an incident under a made-up name could be written and not be read again.
    #[test]
    fn incidents_name_only_what_can_be_read_again() {
        let mut output = Output::default();
        let mut emit = Emit { exchange: Exchange::Binance, now: Timestamp(0), output: &mut output };
        for (base, named) in [("BTC", true), ("\"],[\"", false), ("../x", false)] {
            emit.incident(IncidentKind::Refused, Some(&Symbol::spot(base, "USD")), None, String::new());
            assert_eq!(emit.output.events.last().unwrap().symbol.is_some(), named, "{base}");
        }
    }

    #[test]
    fn excerpts_are_short() {
        let long = excerpt(&[b'x'; 10_000]);
        assert_eq!(long.chars().count(), EXCERPT_CHARS_MAX + 1);
        assert_eq!(excerpt(&[0xff, b'a']), "\u{fffd}a");
    }
}
