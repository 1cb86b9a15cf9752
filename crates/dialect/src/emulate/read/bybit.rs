//! Bybit's frames.

use openmesh_primitives::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{BookMessage, Class, Pair, ReadError, millis, one, pair_changes};
use crate::emulate::{Endpoint, bybit};

#[derive(Deserialize)]
struct BybitMessage<'a> {
    topic: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    ts: Option<i64>,
    cts: Option<i64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

pub(super) fn class(endpoint: Endpoint, text: &str) -> Result<Class, ReadError> {
    let message: BybitMessage<'_> = serde_json::from_str(text)?;
    let Some(topic) = message.topic else { return Ok(Class::Control) };
    Ok(one(bybit::topic(endpoint, topic), message.ts.map(millis)))
}

#[derive(Deserialize)]
struct BybitBook<'a> {
    s: &'a str,
    #[serde(borrow)]
    b: Vec<Pair<'a>>,
    #[serde(borrow)]
    a: Vec<Pair<'a>>,
    u: u64,
    seq: u64,
}

pub(super) fn book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let message: BybitMessage<'_> = serde_json::from_str(text)?;
    let (Some(topic), Some(data)) = (message.topic, message.data) else { return Ok(Vec::new()) };
    if !topic.starts_with("orderbook.") {
        return Ok(Vec::new());
    }
    let book: BybitBook<'_> = serde_json::from_str(data.get())?;
    let at = millis(message.ts.unwrap_or(0));
    Ok(vec![BookMessage {
        instrument: book.s.to_owned(),
        snapshot: message.kind == Some("snapshot"),
        changes: pair_changes(&book.b, &book.a, at)?,
        at,
        matched: message.cts.map_or(at, millis),
        update: book.u,
        sequence: book.seq,
        cut: 0,
    }])
}

/// A linear ticker: whole or changed fields, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickerFields {
    /// Topic's name, as recorded.
    pub topic: String,
    /// True where it is whole.
    pub snapshot: bool,
    /// Names and texts, without the symbol.
    pub fields: Vec<(String, String)>,
    /// `cs`.
    pub sequence: u64,
    /// `ts`.
    pub at: Timestamp,
}

/// Reads a ticker frame of Bybit; `None` for other frames.
pub fn read_bybit_ticker(text: &str) -> Result<Option<TickerFields>, ReadError> {
    #[derive(Deserialize)]
    struct Sequence {
        cs: Option<u64>,
    }
    struct Fields(Vec<(String, String)>);
    impl<'de> Deserialize<'de> for Fields {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
            struct Visit;
            impl<'de> serde::de::Visitor<'de> for Visit {
                type Value = Fields;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object of texts")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                    let mut fields = Vec::new();
                    while let Some(field) = map.next_entry::<String, String>()? {
                        fields.push(field);
                    }
                    Ok(Fields(fields))
                }
            }
            deserializer.deserialize_map(Visit)
        }
    }
    let message: BybitMessage<'_> = serde_json::from_str(text)?;
    let (Some(topic), Some(data)) = (message.topic, message.data) else { return Ok(None) };
    if !topic.starts_with("tickers.") {
        return Ok(None);
    }
    let sequence: Sequence = serde_json::from_str(text)?;
    let Fields(mut fields) = serde_json::from_str(data.get())?;
    fields.retain(|(name, _)| name != "symbol");
    Ok(Some(TickerFields {
        topic: topic.to_owned(),
        snapshot: message.kind == Some("snapshot"),
        fields,
        sequence: sequence.cs.unwrap_or(0),
        at: millis(message.ts.unwrap_or(0)),
    }))
}
