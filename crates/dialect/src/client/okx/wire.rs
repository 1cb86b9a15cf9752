//! OKX's messages, borrowed from the frame, and its names of instruments.

use std::io::Write as _;

use openmesh_market::OrderBook;
use openmesh_market::event::{Candle, Funding, Level, Liquidation, OpenInterest, Price, Side, Ticker, Trade};
use openmesh_primitives::{Contract, Decimal, Symbol, Timestamp};
use serde::Deserialize;

use crate::client::json::{Num, decimal_or_none, levels};
use crate::client::names::{Symbols, dated};
use crate::client::unreadable::Unreadable;

/// Levels a side that the venue's checksum runs over.
const CHECKSUM_LEVELS: usize = 25;

/// The beginning of every message, where its argument does not stand first.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    arg: Option<Argument<'a>>,
    #[serde(borrow)]
    event: Option<&'a str>,
    #[serde(borrow)]
    code: Option<Num<'a>>,
}

/// Channel and instrument of a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Argument<'a> {
    #[serde(default)]
    pub channel: &'a str,
    #[serde(default)]
    pub inst_id: &'a str,
}

/// The subject of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// Data of this channel.
    Channel(&'a str),
    /// An answer or a notice: its name, and its code if it has one.
    Event(&'a str, Option<&'a str>),
    /// The answer to a ping.
    Pong,
}

/// Finds out what a frame is about, without reading it where its first key says so.
pub(super) fn about(text: &str) -> Result<About<'_>, Unreadable> {
    if let Some(rest) = text.strip_prefix(r#"{"arg":{"channel":""#)
        && let Some((channel, _)) = rest.split_once('"')
    {
        return Ok(About::Channel(channel));
    }
    if text == "pong" {
        return Ok(About::Pong);
    }
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    match (envelope.event, envelope.arg) {
        (Some(event), _) => Ok(About::Event(event, envelope.code.map(Num::text))),
        (None, Some(arg)) if !arg.channel.is_empty() => Ok(About::Channel(arg.channel)),
        _ => Err(Unreadable("neither a channel nor an event".into())),
    }
}

/// A message of a channel.
#[derive(Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
pub(super) struct Message<'a, D> {
    #[serde(borrow)]
    pub arg: Argument<'a>,
    /// `snapshot` or `update`, of books.
    #[serde(default)]
    pub action: &'a str,
    /// Content.
    pub data: Vec<D>,
}

/// Channels that are known and no event of ours: limits, estimates and summaries (`price-limit`, `estimated-price`,
/// `opt-summary`), candles of index and mark prices, what happens between members (`adl-warning`, block trades, spreads),
/// the venue's own state, and books with the retail orders that other books leave out (`books-elp`).
pub(super) fn is_other(channel: &str) -> bool {
    const OTHERS: [&str; 12] = [
        "price-limit",
        "estimated-price",
        "opt-summary",
        "option-trades",
        "status",
        "adl-warning",
        "economic-calendar",
        "call-auction-details",
        "block-tickers",
        "public-block-trades",
        "public-struc-block-trades",
        "books-elp",
    ];
    OTHERS.contains(&channel) || ["mark-price-candle", "index-candle", "sprd-"].iter().any(|p| channel.starts_with(p))
}

/// Levels a side of a book's channel; of two with as many, the one that says each change counts as deeper.
pub(super) fn depth_of(channel: &str) -> u32 {
    match channel {
        "books5" => 5,
        "books50-l2-tbt" => 50,
        "books-l2-tbt" => 401,
        _ => 400,
    }
}

/// `books`, `books-l2-tbt`, `books50-l2-tbt`, `books5`, `bbo-tbt`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Book<'a> {
    #[serde(default, deserialize_with = "levels")]
    pub bids: Vec<Level>,
    #[serde(default, deserialize_with = "levels")]
    pub asks: Vec<Level>,
    #[serde(borrow)]
    pub ts: Num<'a>,
    pub checksum: Option<i64>,
    pub seq_id: Option<i64>,
    pub prev_seq_id: Option<i64>,
}

impl Book<'_> {
    /// `bbo-tbt`: the best level of each side.
    pub(super) fn ticker(&self) -> Ticker {
        let (bid, ask) = (self.bids.first(), self.asks.first());
        Ticker {
            bid: bid.map(|level| level.0),
            bid_size: bid.map(|level| level.1),
            ask: ask.map(|level| level.0),
            ask_size: ask.map(|level| level.1),
            last: None,
        }
    }

    /// The checksum, where it means something. Since June 2026 the venue sends 0 where it used to send one, together
    /// with sequence numbers that take its place; older recordings have no sequence numbers.
    pub(super) fn checked(&self) -> Option<i64> {
        self.checksum.filter(|sum| *sum != 0 || self.seq_id.is_none())
    }
}

/// CRC32 over `bid:size:ask:size:...` of the best levels as the venue wrote them, as a signed number (v5 documents,
/// "Checksum"). `buffer` is scratch, kept by the caller.
pub(super) fn checksum(book: &OrderBook, buffer: &mut Vec<u8>) -> i64 {
    buffer.clear();
    let mut bids = book.levels(Side::Buy).take(CHECKSUM_LEVELS);
    let mut asks = book.levels(Side::Sell).take(CHECKSUM_LEVELS);
    loop {
        let pair = [bids.next(), asks.next()];
        if pair == [None, None] {
            break;
        }
        for (price, size) in pair.into_iter().flatten() {
            for number in [price, size] {
                write_decimal(*number, buffer);
                buffer.push(b':');
            }
        }
    }
    buffer.pop();
    i64::from(crc32fast::hash(buffer).cast_signed())
}

/// The text of a decimal; by hand where it fits 64 bits, which is nearly always: it is a hundred numbers a message.
fn write_decimal(number: Decimal, buffer: &mut Vec<u8>) {
    let Ok(mut rest) = u64::try_from(number.mantissa()) else {
        // Writing to memory does not fail.
        let _ = write!(buffer, "{number}");
        return;
    };
    let mut digits = [b'0'; 64];
    let scale = usize::from(number.scale()).min(40);
    let mut at = digits.len();
    let mut places = 0;
    while rest > 0 || places <= scale {
        if places == scale && scale > 0 {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        places += 1;
    }
    buffer.extend_from_slice(&digits[at..]);
}

fn side(text: &str) -> Result<Side, Unreadable> {
    match text {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        other => Err(Unreadable(format!("{other:?} is no side"))),
    }
}

/// `trades`, `trades-all`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTrade<'a> {
    pub inst_id: &'a str,
    trade_id: &'a str,
    #[serde(borrow)]
    px: Num<'a>,
    #[serde(borrow)]
    sz: Num<'a>,
    side: &'a str,
    #[serde(borrow)]
    ts: Num<'a>,
}

impl RawTrade<'_> {
    /// `side` is that "of taker" (v5 documents, trades channel). The last trade is sent on subscribing and is not marked
    /// as such, so it is not marked here either.
    pub(super) fn read(&self) -> Result<(Timestamp, Trade), Unreadable> {
        let trade = Trade {
            side: side(self.side)?,
            price: self.px.decimal()?,
            size: self.sz.decimal()?,
            id: Some(self.trade_id.to_owned()),
            snapshot: false,
        };
        Ok((self.ts.millis()?, trade))
    }
}

/// `tickers`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTicker<'a> {
    pub inst_id: &'a str,
    #[serde(default, deserialize_with = "decimal_or_none")]
    last: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    bid_px: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    bid_sz: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    ask_px: Option<Decimal>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    ask_sz: Option<Decimal>,
    #[serde(borrow)]
    ts: Num<'a>,
}

impl RawTicker<'_> {
    pub(super) fn read(&self) -> Result<(Timestamp, Ticker), Unreadable> {
        let ticker = Ticker {
            bid: self.bid_px,
            bid_size: self.bid_sz,
            ask: self.ask_px,
            ask_size: self.ask_sz,
            last: self.last,
        };
        Ok((self.ts.millis()?, ticker))
    }
}

/// `funding-rate`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawFunding<'a> {
    pub inst_id: &'a str,
    #[serde(borrow)]
    funding_rate: Num<'a>,
    #[serde(borrow)]
    funding_time: Num<'a>,
    #[serde(default, deserialize_with = "decimal_or_none")]
    next_funding_rate: Option<Decimal>,
    #[serde(borrow)]
    ts: Option<Num<'a>>,
}

impl RawFunding<'_> {
    /// `fundingTime` is when `fundingRate` will be paid; `nextFundingTime` belongs to the rate after that.
    pub(super) fn read(&self) -> Result<(Option<Timestamp>, Funding), Unreadable> {
        let funding = Funding {
            rate: self.funding_rate.decimal()?,
            next_funding: Some(self.funding_time.millis()?),
            mark_price: None,
            predicted_rate: self.next_funding_rate,
        };
        Ok((self.ts.map(Num::millis).transpose()?, funding))
    }
}

/// `open-interest`, `mark-price` and `index-tickers`: a value and a time.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reading<'a> {
    pub inst_id: &'a str,
    #[serde(borrow, alias = "oi", alias = "markPx", alias = "idxPx")]
    value: Num<'a>,
    #[serde(borrow)]
    ts: Num<'a>,
}

impl Reading<'_> {
    pub(super) fn price(&self) -> Result<(Timestamp, Price), Unreadable> {
        Ok((self.ts.millis()?, Price { price: self.value.decimal()? }))
    }

    /// `oi` is in contracts.
    pub(super) fn open_interest(&self) -> Result<(Timestamp, OpenInterest), Unreadable> {
        Ok((self.ts.millis()?, OpenInterest { open_interest: self.value.decimal()? }))
    }
}

/// `liquidation-orders`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawLiquidations<'a> {
    pub inst_id: &'a str,
    #[serde(borrow)]
    pub details: Vec<RawLiquidation<'a>>,
}

/// A forced order.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawLiquidation<'a> {
    side: &'a str,
    #[serde(borrow)]
    bk_px: Num<'a>,
    #[serde(borrow)]
    sz: Num<'a>,
    #[serde(borrow)]
    ts: Num<'a>,
}

impl RawLiquidation<'_> {
    /// `side` is that of the order, `posSide` that of the position; the price is that of bankruptcy.
    pub(super) fn read(&self) -> Result<(Timestamp, Liquidation), Unreadable> {
        let liquidation =
            Liquidation { side: side(self.side)?, price: self.bk_px.decimal()?, size: self.sz.decimal()?, id: None };
        Ok((self.ts.millis()?, liquidation))
    }
}

/// The interval of a `candle1m` channel in the form that is the same for every venue.
pub(super) fn interval_of(channel: &str) -> Option<String> {
    let text = channel.strip_prefix("candle")?;
    let text = text.strip_suffix("utc").unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit {
        // A capital M is a month, a small one a minute.
        "m" | "s" | "M" => unit.to_owned(),
        "H" | "D" | "W" => unit.to_ascii_lowercase(),
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}

/// `candle...`: `[start, open, high, low, close, volume, ..., confirm]`; old messages have neither quote volume nor
/// confirmation. The venue gives no time of the message.
pub(super) fn candle(fields: &[Num<'_>], interval: &str) -> Result<Candle, Unreadable> {
    let [start, open, high, low, close, volume, rest @ ..] = fields else {
        return Err(Unreadable(format!("a candle of {} fields", fields.len())));
    };
    Ok(Candle {
        start: start.millis()?,
        stop: None,
        interval: interval.to_owned(),
        open: open.decimal()?,
        high: high.decimal()?,
        low: low.decimal()?,
        close: close.decimal()?,
        volume: volume.decimal()?,
        trades: None,
        closed: rest.get(2).map(|confirm| confirm.text() == "1"),
    })
}

/// Our name of an instrument, by the form of its own: `BTC-USDT`, `BTC-USD-SWAP`, `BTC-USD-220527`,
/// `BTC-USD-220514-22000-C`.
pub(super) fn symbol_of(name: &str) -> Option<Symbol> {
    let mut parts = name.split('-');
    let (base, quote) = (parts.next()?, parts.next()?);
    let contract = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (None, ..) => Contract::Spot,
        (Some("SWAP"), None, ..) => Contract::Perpetual,
        (Some(expiry), None, ..) => dated(expiry)?,
        (Some(expiry), Some(strike), Some(kind @ ("C" | "P")), None) => match dated(expiry)? {
            Contract::Future { expiry } => Contract::Option { expiry, strike: strike.to_owned(), call: kind == "C" },
            _ => return None,
        },
        _ => return None,
    };
    Some(Symbol::of(base, quote, contract))
}

/// The venue's name of an instrument.
pub(super) fn name_of(symbol: &Symbol) -> String {
    let Symbol { base, quote, contract } = symbol;
    match contract {
        Contract::Spot => format!("{base}-{quote}"),
        Contract::Perpetual => format!("{base}-{quote}-SWAP"),
        Contract::Future { expiry } => format!("{base}-{quote}-{expiry:06}"),
        Contract::Option { expiry, strike, call } => {
            format!("{base}-{quote}-{expiry:06}-{strike}-{}", if *call { "C" } else { "P" })
        }
    }
}

/// The venue's kind of an instrument.
pub(super) fn kind_of(symbol: &Symbol) -> &'static str {
    match symbol.contract {
        Contract::Spot => "SPOT",
        Contract::Perpetual => "SWAP",
        Contract::Future { .. } => "FUTURES",
        Contract::Option { .. } => "OPTION",
    }
}

/// The answer of `/api/v5/public/instruments`.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    code: Num<'a>,
    #[serde(borrow, default)]
    data: Vec<Row<'a>>,
}

/// An instrument, over REST or in the channel `instruments`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'a> {
    inst_id: &'a str,
    inst_type: &'a str,
    #[serde(default)]
    base_ccy: &'a str,
    #[serde(default)]
    quote_ccy: &'a str,
}

/// Reads the venue's table of instruments.
pub(super) fn read_instruments(body: &[u8], table: &mut Symbols) -> Result<(), Unreadable> {
    let answer: Answer<'_> = serde_json::from_slice(body)?;
    if answer.code.text() != "0" {
        return Err(Unreadable(format!("refused with {}", answer.code.text())));
    }
    take_instruments(&answer.data, table);
    Ok(())
}

/// Takes a table in. Only spot pairs have columns of their own for base and quote; the names of contracts say everything.
pub(super) fn take_instruments(rows: &[Row<'_>], table: &mut Symbols) {
    for row in rows {
        let symbol = match row.inst_type {
            "SPOT" if !row.base_ccy.is_empty() && !row.quote_ccy.is_empty() => {
                Some(Symbol::spot(row.base_ccy, row.quote_ccy))
            }
            _ => symbol_of(row.inst_id),
        };
        if let Some(symbol) = symbol {
            table.insert(row.inst_id, symbol);
        }
    }
}
