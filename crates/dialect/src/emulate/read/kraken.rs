//! Kraken's v1 frames. (There are no recordings of v2.)

use openmesh_market::event::Side;
use openmesh_primitives::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{BookMessage, Class, ReadError, number, one};
use crate::emulate::{BookChange, Entry, Topic, kraken};

#[derive(Deserialize)]
struct KrakenStatus<'a> {
    event: Option<&'a str>,
    #[serde(rename = "channelName")]
    channel: Option<&'a str>,
    // Kraken may write the slash as `\/`, so this is not borrowed.
    pair: Option<String>,
    status: Option<&'a str>,
}

/// `book-1000`, `ohlc-5`, `trade` as a topic.
fn kraken_topic(channel: &str, pair: &str) -> Option<Topic> {
    match channel.split_once('-') {
        Some(("book", depth)) => kraken::v1_topic("book", depth.parse().ok(), None, pair),
        Some(("ohlc", minutes)) => kraken::v1_topic("ohlc", None, minutes.parse().ok(), pair),
        _ => kraken::v1_topic(channel, None, None, pair),
    }
}

pub(super) fn class(text: &str) -> Result<Class, ReadError> {
    if !text.starts_with('[') {
        let status: KrakenStatus<'_> = serde_json::from_str(text)?;
        return Ok(match (status.event, status.channel, status.pair, status.status) {
            (Some("subscriptionStatus"), Some(channel), Some(pair), Some("subscribed")) => {
                kraken_topic(channel, &pair).map_or(Class::Control, Class::Acknowledgement)
            }
            _ => Class::Control,
        });
    }
    let parts: Vec<&RawValue> = serde_json::from_str(text)?;
    let [_, body @ .., channel, pair] = parts.as_slice() else { return Err(ReadError::Form) };
    let channel: String = serde_json::from_str(channel.get())?;
    let pair: String = serde_json::from_str(pair.get())?;
    let at = match body.first() {
        Some(first) if channel == "trade" => {
            let trades: Vec<Vec<String>> = serde_json::from_str(first.get())?;
            let time = trades.first().and_then(|t| t.get(2).cloned());
            time.and_then(|t| Timestamp::parse_seconds(t.as_bytes()).ok())
        }
        _ => None,
    };
    Ok(one(kraken_topic(&channel, &pair), at))
}

#[derive(Deserialize, Default)]
struct KrakenBook<'a> {
    #[serde(borrow, default, rename = "as")]
    all_asks: Option<Vec<Vec<&'a str>>>,
    #[serde(borrow, default, rename = "bs")]
    all_bids: Option<Vec<Vec<&'a str>>>,
    #[serde(borrow, default)]
    a: Vec<Vec<&'a str>>,
    #[serde(borrow, default)]
    b: Vec<Vec<&'a str>>,
}

pub(super) fn book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    if !text.starts_with('[') {
        return Ok(Vec::new());
    }
    let parts: Vec<&RawValue> = serde_json::from_str(text)?;
    let [_, body @ .., channel, pair] = parts.as_slice() else { return Err(ReadError::Form) };
    let channel: String = serde_json::from_str(channel.get())?;
    let Some(cut) = channel.strip_prefix("book-").and_then(|d| d.parse().ok()) else { return Ok(Vec::new()) };
    let mut message = BookMessage {
        instrument: serde_json::from_str(pair.get())?,
        snapshot: false,
        changes: Vec::new(),
        at: Timestamp(0),
        matched: Timestamp(0),
        update: 0,
        sequence: 0,
        cut,
    };
    for part in body {
        let book: KrakenBook<'_> = serde_json::from_str(part.get())?;
        message.snapshot |= book.all_asks.is_some() || book.all_bids.is_some();
        let sides = [
            (Side::Sell, book.all_asks.unwrap_or_default()),
            (Side::Buy, book.all_bids.unwrap_or_default()),
            (Side::Sell, book.a),
            (Side::Buy, book.b),
        ];
        for (side, levels) in sides {
            for level in levels {
                let [price, size, time, ..] = level.as_slice() else { return Err(ReadError::Form) };
                let at =
                    Timestamp::parse_seconds(time.as_bytes()).map_err(|_| ReadError::Number((*time).to_owned()))?;
                let entry = Entry { price: number(price)?, size: number(size)?, at, orders: 1 };
                message.changes.push(BookChange { side, entry });
                message.at = message.at.max(at);
            }
        }
    }
    message.matched = message.at;
    Ok(vec![message])
}
