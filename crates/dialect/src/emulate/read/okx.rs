//! OKX's frames.

use openmesh_market::event::Side;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{BookMessage, Class, ReadError, number, one, text_millis};
use crate::emulate::{BookChange, Endpoint, Entry, okx};

#[derive(Deserialize)]
struct OkxMessage<'a> {
    event: Option<&'a str>,
    #[serde(borrow)]
    arg: Option<OkxArg<'a>>,
    action: Option<&'a str>,
    #[serde(borrow, default)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct OkxArg<'a> {
    channel: &'a str,
    #[serde(rename = "instId", default)]
    instrument: &'a str,
}

#[derive(Deserialize)]
struct OkxTime<'a> {
    ts: Option<&'a str>,
}

pub(super) fn class(endpoint: Endpoint, text: &str) -> Result<Class, ReadError> {
    if text == "pong" {
        return Ok(Class::Control);
    }
    let message: OkxMessage<'_> = serde_json::from_str(text)?;
    let topic = message.arg.and_then(|arg| okx::topic(endpoint, arg.channel, arg.instrument));
    match (message.event, topic) {
        (Some("subscribe"), Some(topic)) => Ok(Class::Acknowledgement(topic)),
        (None, topic) => {
            let time = message.data.first().and_then(|d| serde_json::from_str::<OkxTime<'_>>(d.get()).ok());
            Ok(one(topic, time.and_then(|t| t.ts).and_then(|t| text_millis(t).ok())))
        }
        _ => Ok(Class::Control),
    }
}

#[derive(Deserialize)]
struct OkxBook<'a> {
    #[serde(borrow)]
    asks: Vec<Vec<&'a str>>,
    #[serde(borrow)]
    bids: Vec<Vec<&'a str>>,
    ts: &'a str,
    #[serde(rename = "seqId")]
    sequence: Option<u64>,
}

pub(super) fn book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let message: OkxMessage<'_> = serde_json::from_str(text)?;
    let (Some(arg), Some(action)) = (message.arg, message.action) else { return Ok(Vec::new()) };
    let mut books = Vec::new();
    for data in &message.data {
        let book: OkxBook<'_> = serde_json::from_str(data.get())?;
        let at = text_millis(book.ts)?;
        let mut changes = Vec::new();
        for (side, levels) in [(Side::Sell, book.asks), (Side::Buy, book.bids)] {
            for level in levels {
                let [price, size, _, orders, ..] = level.as_slice() else { return Err(ReadError::Form) };
                let orders = orders.parse().map_err(|_| ReadError::Number((*orders).to_owned()))?;
                let entry = Entry { price: number(price)?, size: number(size)?, at, orders };
                changes.push(BookChange { side, entry });
            }
        }
        books.push(BookMessage {
            instrument: arg.instrument.to_owned(),
            snapshot: action == "snapshot",
            changes,
            at,
            matched: at,
            update: book.sequence.unwrap_or(0),
            sequence: 0,
            cut: 0,
        });
    }
    Ok(books)
}
