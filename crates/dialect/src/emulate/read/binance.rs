//! Binance's frames and depth snapshots.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{BookMessage, Class, Pair, ReadError, millis, one, pair_changes};
use crate::emulate::{Endpoint, binance};

#[derive(Deserialize)]
struct Combined<'a> {
    stream: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BinanceTime {
    #[serde(rename = "E")]
    at: Option<i64>,
}

pub(super) fn class(endpoint: Endpoint, text: &str) -> Result<Class, ReadError> {
    let combined: Combined<'_> = serde_json::from_str(text)?;
    let (Some(stream), Some(data)) = (combined.stream, combined.data) else { return Ok(Class::Control) };
    let time: BinanceTime = serde_json::from_str(data.get())?;
    Ok(one(binance::topic(endpoint, stream), time.at.map(millis)))
}

#[derive(Deserialize)]
struct DepthUpdate<'a> {
    #[serde(rename = "E")]
    at: i64,
    #[serde(rename = "s")]
    symbol: &'a str,
    #[serde(rename = "u")]
    last: u64,
    #[serde(borrow)]
    b: Vec<Pair<'a>>,
    #[serde(borrow)]
    a: Vec<Pair<'a>>,
}

pub(super) fn book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let combined: Combined<'_> = serde_json::from_str(text)?;
    let (Some(stream), Some(data)) = (combined.stream, combined.data) else { return Ok(Vec::new()) };
    if !stream.contains("@depth") {
        return Ok(Vec::new());
    }
    let update: DepthUpdate<'_> = serde_json::from_str(data.get())?;
    let at = millis(update.at);
    Ok(vec![BookMessage {
        instrument: update.symbol.to_owned(),
        snapshot: false,
        changes: pair_changes(&update.b, &update.a, at)?,
        at,
        matched: at,
        update: update.last,
        sequence: 0,
        cut: 0,
    }])
}

#[derive(Deserialize)]
struct DepthSnapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last: u64,
    #[serde(rename = "E")]
    at: Option<i64>,
    #[serde(borrow)]
    bids: Vec<Pair<'a>>,
    #[serde(borrow)]
    asks: Vec<Pair<'a>>,
}

/// A REST depth snapshot of Binance.
pub fn read_depth_snapshot(instrument: &str, text: &str) -> Result<BookMessage, ReadError> {
    let snapshot: DepthSnapshot<'_> = serde_json::from_str(text)?;
    let at = millis(snapshot.at.unwrap_or(0));
    Ok(BookMessage {
        instrument: instrument.to_owned(),
        snapshot: true,
        changes: pair_changes(&snapshot.bids, &snapshot.asks, at)?,
        at,
        matched: at,
        update: snapshot.last,
        sequence: 0,
        cut: 0,
    })
}
