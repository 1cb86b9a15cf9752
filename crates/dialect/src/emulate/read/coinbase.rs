//! Coinbase's frames.

use openmesh_market::event::Side;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{BookMessage, Class, ReadError, number, rfc3339};
use crate::emulate::{BookChange, Entry, Topic, coinbase};

#[derive(Deserialize)]
struct CoinbaseMessage<'a> {
    channel: &'a str,
    timestamp: &'a str,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct CoinbaseEvent<'a> {
    product_id: Option<&'a str>,
    #[serde(borrow, default)]
    trades: Vec<CoinbaseItem<'a>>,
    #[serde(borrow, default)]
    tickers: Vec<CoinbaseItem<'a>>,
    #[serde(borrow, default)]
    candles: Vec<CoinbaseItem<'a>>,
}

#[derive(Deserialize)]
struct CoinbaseItem<'a> {
    product_id: &'a str,
}

pub(super) fn class(text: &str) -> Result<Class, ReadError> {
    let message: CoinbaseMessage<'_> = serde_json::from_str(text)?;
    let channel = if message.channel == "l2_data" { "level2" } else { message.channel };
    if matches!(channel, "subscriptions" | "heartbeats") {
        return Ok(Class::Control);
    }
    let mut topics: Vec<Topic> = Vec::new();
    for event in &message.events {
        let event: CoinbaseEvent<'_> = serde_json::from_str(event.get())?;
        let items = event.trades.iter().chain(&event.tickers).chain(&event.candles).map(|i| i.product_id);
        for product in items.chain(event.product_id) {
            if let Some(topic) = coinbase::topic(channel, product)
                && !topics.contains(&topic)
            {
                topics.push(topic);
            }
        }
    }
    Ok(Class::Data { topics, at: Some(rfc3339(message.timestamp)?) })
}

#[derive(Deserialize)]
struct L2Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    product_id: &'a str,
    #[serde(borrow)]
    updates: Vec<L2Update<'a>>,
}

#[derive(Deserialize)]
struct L2Update<'a> {
    side: &'a str,
    event_time: &'a str,
    price_level: &'a str,
    new_quantity: &'a str,
}

pub(super) fn book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let message: CoinbaseMessage<'_> = serde_json::from_str(text)?;
    if message.channel != "l2_data" {
        return Ok(Vec::new());
    }
    let at = rfc3339(message.timestamp)?;
    let mut books = Vec::with_capacity(message.events.len());
    for event in &message.events {
        let event: L2Event<'_> = serde_json::from_str(event.get())?;
        let mut changes = Vec::with_capacity(event.updates.len());
        for u in &event.updates {
            let side = if u.side == "bid" { Side::Buy } else { Side::Sell };
            let (price, size) = (number(u.price_level)?, number(u.new_quantity)?);
            let entry = Entry { price, size, at: rfc3339(u.event_time)?, orders: 1 };
            changes.push(BookChange { side, entry });
        }
        books.push(BookMessage {
            instrument: event.product_id.to_owned(),
            snapshot: event.kind == "snapshot",
            changes,
            at,
            matched: at,
            update: 0,
            sequence: 0,
            cut: 0,
        });
    }
    Ok(books)
}

/// The trades of a Coinbase frame as they stand there: product and JSON object, newest first.
pub fn read_coinbase_trades(text: &str) -> Result<Vec<(String, String)>, ReadError> {
    #[derive(Deserialize)]
    struct Trades<'a> {
        #[serde(borrow, default)]
        trades: Vec<&'a RawValue>,
    }
    let message: CoinbaseMessage<'_> = serde_json::from_str(text)?;
    let mut found = Vec::new();
    for event in &message.events {
        let event: Trades<'_> = serde_json::from_str(event.get())?;
        for trade in event.trades {
            let item: CoinbaseItem<'_> = serde_json::from_str(trade.get())?;
            found.push((item.product_id.to_owned(), trade.get().to_owned()));
        }
    }
    Ok(found)
}

/// A Coinbase frame cut where its `sequence_num` stands.
pub fn cut_at_sequence(text: &str) -> Option<(&str, &str)> {
    const KEY: &str = r#""sequence_num":"#;
    let at = text.find(KEY)? + KEY.len();
    let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| (&text[..at], &text[at + digits..]))
}
