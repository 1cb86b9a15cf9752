//! Reading WebSocket v2: objects with `channel` or `method`, decimals as bare JSON numbers
//! (docs.kraken.com, "Spot WebSocket v2"). The object of v1 events (`event`) has room here too: both begin with `{`.

use std::fmt;

use openmesh_market::event::{Candle, Level, Ticker, Trade};
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::v1::{interval, nanos, quote, side_of};
use crate::client::json::{Exact, Num, Text, decimal, decimal_or_none};
use crate::client::unreadable::Unreadable;

/// Any message that is an object.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub channel: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub timestamp: Option<Num<'a>>,
    #[serde(borrow)]
    pub method: Option<Text<'a>>,
    pub success: Option<bool>,
    #[serde(borrow)]
    pub error: Option<Text<'a>>,
    #[serde(borrow)]
    pub result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub symbol: Option<Text<'a>>,
    // v1
    #[serde(borrow)]
    pub event: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow, rename = "errorMessage")]
    pub error_message: Option<Text<'a>>,
    #[serde(borrow)]
    pub pair: Option<Text<'a>>,
}

impl<'a> Message<'a> {
    /// The records of a channel's message.
    pub(super) fn records<T: Deserialize<'a>>(&self) -> Result<Vec<T>, Unreadable> {
        let data = self.data.ok_or_else(|| Unreadable("a channel's message without data".into()))?;
        Ok(serde_json::from_str(data.get())?)
    }
}

/// A subscription: `params` of a request, `result` of an answer.
#[derive(Deserialize)]
pub(super) struct Subscribed<'a> {
    #[serde(borrow)]
    pub channel: Text<'a>,
    pub depth: Option<u32>,
    #[serde(borrow)]
    pub symbol: Option<OneOrMany<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<'a> {
    One(#[serde(borrow)] Text<'a>),
    Many(#[serde(borrow)] Vec<Text<'a>>),
}

impl<'a> OneOrMany<'a> {
    pub(super) fn as_slice(&self) -> &[Text<'a>] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// A request of ours as it was sent.
#[derive(Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub method: Text<'a>,
    #[serde(borrow)]
    pub params: Subscribed<'a>,
}

#[derive(Deserialize)]
pub(super) struct Book<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    #[serde(default, deserialize_with = "levels")]
    pub bids: Vec<Level>,
    #[serde(default, deserialize_with = "levels")]
    pub asks: Vec<Level>,
    pub checksum: Option<u32>,
    #[serde(borrow)]
    pub timestamp: Option<Num<'a>>,
}

#[derive(Deserialize)]
pub(super) struct RawTrade<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    #[serde(borrow)]
    side: Text<'a>,
    #[serde(deserialize_with = "decimal")]
    price: Decimal,
    #[serde(deserialize_with = "decimal")]
    qty: Decimal,
    #[serde(borrow)]
    trade_id: Option<Num<'a>>,
    #[serde(borrow)]
    timestamp: Num<'a>,
}

impl RawTrade<'_> {
    pub(super) fn read(&self, snapshot: bool) -> Result<(Timestamp, Trade), Unreadable> {
        let id = self.trade_id.map(|id| id.text().to_owned());
        let trade = Trade { side: side_of(&self.side)?, price: self.price, size: self.qty, id, snapshot };
        Ok((self.timestamp.rfc3339()?, trade))
    }
}

#[derive(Deserialize)]
pub(super) struct RawTicker<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    bid: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    bid_qty: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    ask: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    ask_qty: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    last: Option<Decimal>,
    #[serde(borrow)]
    timestamp: Option<Num<'a>>,
}

impl RawTicker<'_> {
    pub(super) fn read(&self) -> Result<(Option<Timestamp>, Ticker), Unreadable> {
        let side = |price: Option<Decimal>, size: Option<Decimal>| match (price, size) {
            (Some(price), Some(size)) => quote(price, size),
            (price, size) => (price.filter(|p| !p.is_zero()), size),
        };
        let (bid, bid_size) = side(self.bid, self.bid_qty);
        let (ask, ask_size) = side(self.ask, self.ask_qty);
        // An instrument that was never quoted has the time 0.
        let time = self.timestamp.map(Num::rfc3339).transpose()?.filter(|t| t.nanos() > 0);
        let last = self.last.filter(|p| !p.is_zero());
        Ok((time, Ticker { bid, bid_size, ask, ask_size, last }))
    }
}

#[derive(Deserialize)]
pub(super) struct RawCandle<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    open: Exact,
    high: Exact,
    low: Exact,
    close: Exact,
    volume: Exact,
    trades: Option<u64>,
    #[serde(borrow)]
    interval_begin: Num<'a>,
    interval: u32,
}

impl RawCandle<'_> {
    pub(super) fn read(&self) -> Result<Candle, Unreadable> {
        let start = self.interval_begin.rfc3339()?;
        Ok(Candle {
            start,
            stop: Some(Timestamp(start.nanos().saturating_add(nanos(self.interval)))),
            interval: interval(self.interval),
            open: self.open.0,
            high: self.high.0,
            low: self.low.0,
            close: self.close.0,
            volume: self.volume.0,
            trades: self.trades,
            closed: None,
        })
    }
}

/// `[{"price": 0.5666, "qty": 4831.75496356}, ...]`.
fn levels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Level>, D::Error> {
    #[derive(Deserialize)]
    struct PriceQty {
        price: Exact,
        qty: Exact,
    }
    struct Levels;
    impl<'de> Visitor<'de> for Levels {
        type Value = Vec<Level>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("levels: [{price, qty}, ...]")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Level>, A::Error> {
            let mut levels = Vec::new();
            while let Some(PriceQty { price, qty }) = seq.next_element()? {
                levels.push((price.0, qty.0));
            }
            Ok(levels)
        }
    }
    deserializer.deserialize_seq(Levels)
}
