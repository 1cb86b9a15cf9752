//! Coinbase's messages, borrowed from the frame, and its names of products.

use openmesh_market::event::{Candle, Feed, Level, Side, Ticker, Trade};
use openmesh_primitives::{Contract, Decimal, Symbol, Timestamp};
use serde::Deserialize;

use crate::client::instruments::expiry_of;
use crate::client::names::Symbols;
use crate::client::unreadable::Unreadable;

/// Length of the candles that the venue sends; it offers no other on this feed.
const CANDLE_INTERVAL: &str = "5m";

/// The beginning of every message, where its channel does not stand first.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    channel: Option<&'a str>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a str>,
}

/// The subject of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// A message of this channel.
    Channel(&'a str),
    /// An error answer.
    Error,
}

/// Finds out what a frame is about, without reading it where its first key says so (as the venue writes it).
pub(super) fn about(text: &str) -> Result<About<'_>, Unreadable> {
    if let Some(rest) = text.strip_prefix(r#"{"channel":""#)
        && let Some((channel, _)) = rest.split_once('"')
    {
        return Ok(About::Channel(channel));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    match (envelope.channel, envelope.kind) {
        (Some(channel), _) => Ok(About::Channel(channel)),
        (None, Some("error")) => Ok(About::Error),
        (None, _) => Err(Unreadable("neither a channel nor an error".into())),
    }
}

/// A message of any channel.
#[derive(Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
pub(super) struct Frame<'a, E> {
    /// Time at which the gateway sent it: differs from connection to connection.
    pub timestamp: &'a str,
    /// Counts the messages of the connection, over all channels.
    pub sequence_num: u64,
    /// Content.
    pub events: Vec<E>,
}

/// `l2_data`.
#[derive(Deserialize)]
pub(super) struct Level2<'a> {
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub product_id: &'a str,
    #[serde(borrow)]
    pub updates: Vec<Update<'a>>,
}

/// A level of `l2_data`.
#[derive(Deserialize)]
pub(super) struct Update<'a> {
    side: &'a str,
    pub event_time: &'a str,
    price_level: &'a str,
    new_quantity: &'a str,
}

/// `market_trades`.
#[derive(Deserialize)]
pub(super) struct Trades<'a> {
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(borrow)]
    pub trades: Vec<RawTrade<'a>>,
}

/// A trade.
#[derive(Deserialize)]
pub(super) struct RawTrade<'a> {
    pub product_id: &'a str,
    trade_id: &'a str,
    price: &'a str,
    size: &'a str,
    time: &'a str,
    side: &'a str,
}

/// `ticker`.
#[derive(Deserialize)]
pub(super) struct Tickers<'a> {
    #[serde(borrow)]
    pub tickers: Vec<RawTicker<'a>>,
}

/// A ticker.
#[derive(Deserialize)]
pub(super) struct RawTicker<'a> {
    pub product_id: &'a str,
    price: Option<&'a str>,
    best_bid: Option<&'a str>,
    best_ask: Option<&'a str>,
    best_bid_quantity: Option<&'a str>,
    best_ask_quantity: Option<&'a str>,
}

/// `candles`.
#[derive(Deserialize)]
pub(super) struct Candles<'a> {
    #[serde(borrow)]
    pub candles: Vec<RawCandle<'a>>,
}

/// A candle.
#[derive(Deserialize)]
pub(super) struct RawCandle<'a> {
    pub product_id: &'a str,
    start: &'a str,
    open: &'a str,
    high: &'a str,
    low: &'a str,
    close: &'a str,
    volume: &'a str,
}

/// Changed levels that have one time in common.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Batch {
    pub time: Timestamp,
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
}

fn decimal(text: &str) -> Result<Decimal, Unreadable> {
    Decimal::parse(text.as_bytes()).map_err(|e| Unreadable(format!("{text:?}: {e}")))
}

fn optional(text: Option<&str>) -> Result<Option<Decimal>, Unreadable> {
    text.filter(|t| !t.is_empty()).map(decimal).transpose()
}

pub(super) fn time(text: &str) -> Result<Timestamp, Unreadable> {
    Timestamp::parse_rfc3339(text.as_bytes()).map_err(|e| Unreadable(format!("{text:?}: {e}")))
}

/// Puts levels together that happened at the same moment in the matching engine. The recorded venue sends one moment a
/// message; should it ever send several, they must not be stamped alike.
pub(super) fn batches(updates: &[Update<'_>]) -> Result<Vec<Batch>, Unreadable> {
    let mut batches: Vec<Batch> = Vec::with_capacity(1);
    let mut last = None;
    for update in updates {
        if last != Some(update.event_time) {
            last = Some(update.event_time);
            batches.push(Batch { time: time(update.event_time)?, ..Batch::default() });
        }
        let Some(batch) = batches.last_mut() else { continue };
        let level = (decimal(update.price_level)?, decimal(update.new_quantity)?);
        match update.side {
            "bid" => batch.bids.push(level),
            "offer" | "ask" => batch.asks.push(level),
            other => return Err(Unreadable(format!("{other:?} is no side of a book"))),
        }
    }
    Ok(batches)
}

/// The side of a trade as written.
///
/// The event's side is the taker's. Coinbase's documents of the older Exchange feed say that `side` is the *maker's*,
/// and the recording bears that out for this feed as well: of the 48 live trades at the best bid or ask of the last
/// ticker, 36 are `SELL` at the ask and 12 `BUY` at the bid, none the other way about. The reference normaliser
/// (cryptofeed) passes the word on unchanged all the same, and equality with the reference is what this dialect is
/// held to; so it is passed on here too. Should that be decided otherwise, swap the two arms: nothing else depends on
/// it.
fn side(text: &str) -> Result<Side, Unreadable> {
    match text {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        other => Err(Unreadable(format!("{other:?} is no side of a trade"))),
    }
}

impl RawTrade<'_> {
    pub(super) fn read(&self, snapshot: bool) -> Result<(Timestamp, Trade), Unreadable> {
        let trade = Trade {
            side: side(self.side)?,
            price: decimal(self.price)?,
            size: decimal(self.size)?,
            id: Some(self.trade_id.to_owned()),
            snapshot,
        };
        Ok((time(self.time)?, trade))
    }
}

impl RawTicker<'_> {
    pub(super) fn read(&self) -> Result<Ticker, Unreadable> {
        Ok(Ticker {
            bid: optional(self.best_bid)?,
            bid_size: optional(self.best_bid_quantity)?,
            ask: optional(self.best_ask)?,
            ask_size: optional(self.best_ask_quantity)?,
            last: optional(self.price)?,
        })
    }
}

impl RawCandle<'_> {
    /// The venue says neither where a candle stops nor whether it is closed.
    pub(super) fn read(&self) -> Result<Candle, Unreadable> {
        Ok(Candle {
            start: Timestamp::parse_seconds(self.start.as_bytes())?,
            stop: None,
            interval: CANDLE_INTERVAL.to_owned(),
            open: decimal(self.open)?,
            high: decimal(self.high)?,
            low: decimal(self.low)?,
            close: decimal(self.close)?,
            volume: decimal(self.volume)?,
            trades: None,
            closed: None,
        })
    }
}

/// The channel of a feed; `None` where the venue has none without a key.
pub(super) fn channel_of(feed: Feed) -> Option<&'static str> {
    match feed {
        Feed::Trades => Some("market_trades"),
        Feed::Book => Some("level2"),
        Feed::Ticker => Some("ticker"),
        Feed::Candles => Some("candles"),
        _ => None,
    }
}

/// Our name of a product, by the form of its own: `BTC-USD`, `BTC-PERP-INTX`, `BIT-28JUN24-CDE`. The dated contracts of
/// Coinbase Derivatives keep the venue's code as base (`BIT.USD-240628`): several contracts of different sizes on one
/// asset expire together, and only the code tells them apart.
pub(super) fn symbol_of(product: &str) -> Option<Symbol> {
    let mut parts = product.split('-');
    match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
        (base, quote, None, _) => Some(Symbol::spot(base, quote)),
        (base, "PERP", Some("INTX"), None) => Some(Symbol::perpetual(base, "USDC")),
        (code, date, Some("CDE"), None) => Some(Symbol::of(code, "USD", Contract::Future { expiry: expiry_of(date)? })),
        _ => None,
    }
}

/// The venue's name of an instrument, by its form. Only recordings have contracts: perpetuals (`-PERP-INTX`) are no
/// longer on this API, dated ones are not put up for agreement.
pub(super) fn product_of(symbol: &Symbol) -> Option<String> {
    (symbol.contract == Contract::Spot).then(|| format!("{}-{}", symbol.base, symbol.quote))
}

/// The pair whose data and name the venue answers with where this one is asked for: it has one book for dollars and
/// USDC, but for the pairs of stablecoins with each other.
pub(super) fn other_name(symbol: &Symbol) -> Option<Symbol> {
    let own_book = matches!(symbol.base.as_str(), "USDT" | "EURC");
    let one_book = symbol.contract == Contract::Spot && symbol.quote.as_str() == "USDC" && !own_book;
    one_book.then(|| Symbol::spot(&symbol.base, "USD"))
}

/// The answer of `/api/v3/brokerage/market/products`.
#[derive(Deserialize)]
struct Products<'a> {
    #[serde(borrow)]
    products: Vec<Product<'a>>,
}

#[derive(Deserialize)]
struct Product<'a> {
    product_id: &'a str,
    product_type: &'a str,
    base_currency_id: &'a str,
    quote_currency_id: &'a str,
}

/// Reads the venue's table of products. Only spot products are taken from it: for the others the name says more.
pub(super) fn read_products(body: &[u8], table: &mut Symbols) -> Result<(), Unreadable> {
    let products: Products<'_> = serde_json::from_slice(body)?;
    for product in products.products {
        let named = !product.base_currency_id.is_empty() && !product.quote_currency_id.is_empty();
        if product.product_type == "SPOT" && named {
            table.insert(product.product_id, Symbol::spot(product.base_currency_id, product.quote_currency_id));
        }
    }
    Ok(())
}
