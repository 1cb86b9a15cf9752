//! Reading Binance's messages and answers (developers.binance.com: "WebSocket Streams", "USD-M Futures WebSocket
//! Market Streams").
//!
//! A message is wrapped as `{"stream": ..., "data": {...}}` on combined streams and bare otherwise. The name of the
//! stream says what the data is, so that data is read once, into the right structure; a bare message is looked at twice.

use std::borrow::Cow;

use openmesh_market::event::{Candle, Exchange, Funding, Level, Liquidation, Side, Ticker, Trade};
use openmesh_primitives::{Contract, Decimal, Symbol, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::streams::{Kind, TimeUnit};
use crate::client::json::{Num, Text, decimal, decimal_or_none, levels};
use crate::client::names::{Symbols, dated, pair};
use crate::client::unreadable::Unreadable;

/// A message, unwrapped.
pub(super) enum Message<'a> {
    /// Data, and the name of its stream where it says one.
    Data(Kind, Option<Cow<'a, str>>, &'a str),
    /// Several at once, each as it would come alone.
    Many(Vec<&'a RawValue>),
    /// An answer to a request of ours that says nothing new.
    Answer,
    /// A request of ours was refused.
    Refused(String),
    /// The venue is about to end the connection.
    Shutdown,
}

/// Unwraps a message of a combined stream that is written as the venue writes it today, without reading it: a guess, in
/// that what is taken for the data may have more behind it. Then it cannot be read, and [`unwrap`] tells.
pub(super) fn unwrap_as_written(text: &str) -> Option<(Kind, &str, &str)> {
    let (stream, rest) = text.strip_prefix(r#"{"stream":""#)?.split_once('"')?;
    Some((Kind::of_stream(stream)?, stream, rest.strip_prefix(r#","data":"#)?.strip_suffix('}')?))
}

/// Any message that is an object.
#[derive(Deserialize)]
struct Any<'a> {
    #[serde(borrow)]
    stream: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    e: Option<Text<'a>>,
    // The best bid and ask of spot have no `e`, but an update id and a size of the bid.
    #[serde(borrow)]
    u: Option<&'a RawValue>,
    #[serde(borrow, rename = "B")]
    bid_size: Option<&'a RawValue>,
    // A partial book of spot has nothing else.
    #[serde(borrow, rename = "lastUpdateId")]
    last_update: Option<&'a RawValue>,
    #[serde(borrow, rename = "openInterest")]
    open_interest: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    id: Option<serde::de::IgnoredAny>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    msg: Option<Text<'a>>,
}

/// Unwraps a message.
pub(super) fn unwrap(text: &str) -> Result<Message<'_>, Unreadable> {
    if text.trim_start().starts_with('[') {
        let many: Vec<&RawValue> = serde_json::from_str(text)?;
        return if many.is_empty() { Err(Unreadable("an empty list".to_owned())) } else { Ok(Message::Many(many)) };
    }
    let any: Any<'_> = serde_json::from_str(text)?;
    if let (Some(stream), Some(data)) = (&any.stream, any.data) {
        let kind = Kind::of_stream(stream).ok_or_else(|| Unreadable(format!("stream {:?} is not known", &**stream)))?;
        return Ok(Message::Data(kind, any.stream.map(|stream| stream.0), data.get()));
    }
    if let Some(error) = any.error {
        return Ok(Message::Refused(error.get().to_owned()));
    }
    let kind = match any.e.as_deref() {
        Some("serverShutdown") => return Ok(Message::Shutdown),
        Some(event) => Kind::of_event(event).ok_or_else(|| Unreadable(format!("event {event:?} is not known")))?,
        None if any.open_interest.is_some() => Kind::OpenInterest,
        None if any.u.is_some() && any.bid_size.is_some() => Kind::BookTicker,
        None if any.last_update.is_some() => Kind::PartialDepth,
        None if any.result.is_some() || any.id.is_some() => return Ok(Message::Answer),
        None => {
            return match (any.code, any.msg) {
                (Some(code), Some(why)) => Ok(Message::Refused(format!("{}: {}", code.get(), &*why))),
                _ => Err(Unreadable("neither data of a stream nor an answer".to_owned())),
            };
        }
    };
    Ok(Message::Data(kind, None, text))
}

/// `trade` and `aggTrade`, which name their ids differently.
#[derive(Deserialize)]
pub(super) struct RawTrade<'a> {
    #[serde(borrow)]
    pub s: Text<'a>,
    #[serde(borrow)]
    pub t: Option<Num<'a>>,
    #[serde(borrow)]
    pub a: Option<Num<'a>>,
    #[serde(deserialize_with = "decimal")]
    pub p: Decimal,
    #[serde(deserialize_with = "decimal")]
    pub q: Decimal,
    #[serde(rename = "T")]
    pub time: Option<i64>,
    /// Stands in where a message has no `T`, as in older documents.
    #[serde(rename = "E")]
    pub made: Option<i64>,
    pub m: bool,
    #[serde(borrow, rename = "X")]
    pub kind: Option<Text<'a>>,
}

impl RawTrade<'_> {
    /// `None` for what the futures' `trade` stream lists beside trades on the book: fills by the insurance fund and
    /// deleveraging (`X`), which `aggTrade` leaves out too.
    ///
    /// # Errors
    /// Where its time is in another unit.
    pub(super) fn read(
        &self,
        aggregate: bool,
        unit: TimeUnit,
    ) -> Result<Option<(Option<Timestamp>, Trade)>, Unreadable> {
        if self.kind.as_deref().is_some_and(|kind| kind != "MARKET") {
            return Ok(None);
        }
        let id = if aggregate { self.a } else { self.t };
        let trade = Trade {
            // `m`: the buyer was the maker, so the seller took.
            side: if self.m { Side::Sell } else { Side::Buy },
            price: self.p,
            size: self.q,
            id: id.map(|id| id.text().to_owned()),
            snapshot: false,
        };
        let time = self.time.or(self.made).map(|time| unit.time(time)).transpose()?;
        Ok(Some((time, trade)))
    }
}

/// `depthUpdate`.
#[derive(Deserialize)]
pub(super) struct Depth<'a> {
    #[serde(rename = "E")]
    pub time: i64,
    #[serde(borrow)]
    pub s: Text<'a>,
    #[serde(rename = "U")]
    pub first: u64,
    #[serde(rename = "u")]
    pub last: u64,
    #[serde(rename = "pu")]
    pub previous: Option<u64>,
    #[serde(rename = "b", deserialize_with = "levels")]
    pub bids: Vec<Level>,
    #[serde(rename = "a", deserialize_with = "levels")]
    pub asks: Vec<Level>,
}

/// The answer of `depth`.
#[derive(Deserialize)]
pub(super) struct DepthSnapshot {
    #[serde(rename = "lastUpdateId")]
    pub last: u64,
    #[serde(rename = "E")]
    pub time: Option<i64>,
    #[serde(deserialize_with = "levels")]
    pub bids: Vec<Level>,
    #[serde(deserialize_with = "levels")]
    pub asks: Vec<Level>,
}

/// A partial book: that of spot, which names no instrument, or that of futures, which is worded as a change.
#[derive(Deserialize)]
pub(super) struct PartialDepth<'a> {
    #[serde(rename = "E")]
    pub time: Option<i64>,
    #[serde(borrow)]
    pub s: Option<Text<'a>>,
    #[serde(rename = "lastUpdateId", alias = "u")]
    pub last: u64,
    #[serde(alias = "b", deserialize_with = "levels")]
    pub bids: Vec<Level>,
    #[serde(alias = "a", deserialize_with = "levels")]
    pub asks: Vec<Level>,
}

/// `bookTicker`, and the statistics of a day or another window: those of spot have best prices too, `miniTicker` and
/// rolling windows only the last. The first has a time on futures only.
#[derive(Deserialize)]
pub(super) struct RawTicker<'a> {
    #[serde(borrow)]
    pub s: Text<'a>,
    #[serde(rename = "E")]
    pub time: Option<i64>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    pub b: Option<Decimal>,
    #[serde(default, rename = "B", deserialize_with = "decimal_or_none")]
    pub bid_size: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    pub a: Option<Decimal>,
    #[serde(default, rename = "A", deserialize_with = "decimal_or_none")]
    pub ask_size: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    pub c: Option<Decimal>,
}

impl RawTicker<'_> {
    pub(super) fn read(&self, unit: TimeUnit) -> Result<(Option<Timestamp>, Ticker), Unreadable> {
        let ticker =
            Ticker { bid: self.b, bid_size: self.bid_size, ask: self.a, ask_size: self.ask_size, last: self.c };
        Ok((self.time.map(|time| unit.time(time)).transpose()?, ticker))
    }
}

/// `kline`.
#[derive(Deserialize)]
pub(super) struct Kline<'a> {
    #[serde(rename = "E")]
    pub time: i64,
    #[serde(borrow)]
    pub s: Text<'a>,
    #[serde(borrow)]
    k: Bar<'a>,
}

/// `continuous_kline`: of a pair and a kind of contract.
#[derive(Deserialize)]
pub(super) struct ContinuousKline<'a> {
    #[serde(rename = "E")]
    pub time: i64,
    #[serde(borrow)]
    pub ps: Text<'a>,
    #[serde(borrow)]
    ct: Text<'a>,
    #[serde(borrow)]
    k: Bar<'a>,
}

impl ContinuousKline<'_> {
    /// `None` for what is called by its place in a row (`CURRENT_QUARTER`): which contract that is changes, so that it is
    /// no instrument.
    pub(super) fn read(&self, unit: TimeUnit) -> Result<Option<Candle>, Unreadable> {
        (&*self.ct == "PERPETUAL").then(|| self.k.read(unit)).transpose()
    }
}

#[derive(Deserialize)]
struct Bar<'a> {
    t: i64,
    #[serde(rename = "T")]
    stop: i64,
    #[serde(borrow)]
    i: Text<'a>,
    #[serde(deserialize_with = "decimal")]
    o: Decimal,
    #[serde(deserialize_with = "decimal")]
    c: Decimal,
    #[serde(deserialize_with = "decimal")]
    h: Decimal,
    #[serde(deserialize_with = "decimal")]
    l: Decimal,
    #[serde(deserialize_with = "decimal")]
    v: Decimal,
    n: u64,
    x: bool,
}

impl Kline<'_> {
    pub(super) fn read(&self, unit: TimeUnit) -> Result<Candle, Unreadable> {
        self.k.read(unit)
    }
}

impl Bar<'_> {
    fn read(&self, unit: TimeUnit) -> Result<Candle, Unreadable> {
        Ok(Candle {
            start: unit.time(self.t)?,
            stop: Some(unit.time(self.stop)?),
            interval: self.i.0.to_string(),
            open: self.o,
            high: self.h,
            low: self.l,
            close: self.c,
            volume: self.v,
            trades: Some(self.n),
            closed: Some(self.x),
        })
    }
}

/// `markPriceUpdate`.
#[derive(Deserialize)]
pub(super) struct MarkPrice<'a> {
    #[serde(rename = "E")]
    pub time: i64,
    #[serde(borrow)]
    pub s: Text<'a>,
    #[serde(rename = "p", deserialize_with = "decimal")]
    pub mark: Decimal,
    #[serde(rename = "i", default, deserialize_with = "decimal_or_none")]
    pub index: Option<Decimal>,
    #[serde(rename = "r", default, deserialize_with = "decimal_or_none")]
    rate: Option<Decimal>,
    #[serde(rename = "T", default)]
    next: i64,
}

impl MarkPrice<'_> {
    /// `None` for a dated contract, which knows no funding: the time of the next is 0 there.
    pub(super) fn funding(&self, unit: TimeUnit) -> Result<Option<Funding>, Unreadable> {
        let (Some(rate), true) = (self.rate, self.next > 0) else { return Ok(None) };
        let next_funding = Some(unit.time(self.next)?);
        Ok(Some(Funding { rate, next_funding, mark_price: Some(self.mark), predicted_rate: None }))
    }
}

/// `indexPriceUpdate` of COIN-M: of a pair, `i`.
#[derive(Deserialize)]
pub(super) struct IndexPrice<'a> {
    #[serde(rename = "E")]
    pub time: i64,
    #[serde(borrow)]
    i: Text<'a>,
    #[serde(rename = "p", deserialize_with = "decimal")]
    pub price: Decimal,
}

impl IndexPrice<'_> {
    /// The perpetual of the pair stands for it.
    pub(super) fn name(&self) -> String {
        format!("{}_PERP", &*self.i)
    }
}

/// `forceOrder`.
#[derive(Deserialize)]
pub(super) struct ForceOrder<'a> {
    #[serde(borrow)]
    pub o: Order<'a>,
}

#[derive(Deserialize)]
pub(super) struct Order<'a> {
    #[serde(borrow)]
    pub s: Text<'a>,
    #[serde(borrow, rename = "S")]
    side: Text<'a>,
    #[serde(deserialize_with = "decimal")]
    p: Decimal,
    #[serde(deserialize_with = "decimal")]
    q: Decimal,
    #[serde(rename = "T")]
    time: i64,
}

impl Order<'_> {
    pub(super) fn read(&self, unit: TimeUnit) -> Result<(Timestamp, Liquidation), Unreadable> {
        let side = match &*self.side {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            other => return Err(Unreadable(format!("{other:?} is no side"))),
        };
        Ok((unit.time(self.time)?, Liquidation { side, price: self.p, size: self.q, id: None }))
    }
}

/// The answer of `openInterest`.
#[derive(Deserialize)]
pub(super) struct RawOpenInterest<'a> {
    #[serde(borrow)]
    pub symbol: Text<'a>,
    #[serde(rename = "openInterest", deserialize_with = "decimal")]
    pub open_interest: Decimal,
    pub time: Option<i64>,
}

/// Reads the answer of `exchangeInfo` into the table of names.
pub(super) fn read_instruments(body: &[u8], futures: bool, table: &mut Symbols) -> Result<(), Unreadable> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        symbol: Text<'a>,
        #[serde(borrow, rename = "baseAsset")]
        base: Text<'a>,
        #[serde(borrow, rename = "quoteAsset")]
        quote: Text<'a>,
    }
    #[derive(Deserialize)]
    struct Info<'a> {
        #[serde(borrow)]
        symbols: Vec<Entry<'a>>,
    }
    let info: Info<'_> = serde_json::from_slice(body)?;
    for entry in info.symbols.iter().take(crate::client::names::INSTRUMENTS_MAX) {
        let contract = contract_of(&entry.symbol, futures).1;
        table.insert(&entry.symbol, Symbol::of(&entry.base, &entry.quote, contract));
    }
    Ok(())
}

/// Splits a name into the pair and its contract: `BTCUSDT_240927` is dated.
fn contract_of(name: &str, futures: bool) -> (&str, Contract) {
    match name.split_once('_') {
        Some((pair, expiry)) if futures => (pair, dated(expiry).unwrap_or(Contract::Perpetual)),
        _ if futures => (name, Contract::Perpetual),
        _ => (name, Contract::Spot),
    }
}

/// Our name of an instrument that is not in the table; `None` where the name alone does not tell base from quote.
pub(super) fn symbol_of(exchange: Exchange, name: &str, futures: bool) -> Option<Symbol> {
    let (both, contract) = contract_of(name, futures);
    let (base, quote) = pair(exchange, both)?;
    Some(Symbol::of(base, quote, contract))
}

/// The venue's name of an instrument; `None` where it has none of that kind.
pub(super) fn name_of(symbol: &Symbol, futures: bool) -> Option<String> {
    match (&symbol.contract, futures) {
        (Contract::Spot, false) | (Contract::Perpetual, true) => Some(format!("{}{}", symbol.base, symbol.quote)),
        (Contract::Future { expiry }, true) => Some(format!("{}{}_{expiry:06}", symbol.base, symbol.quote)),
        _ => None,
    }
}
