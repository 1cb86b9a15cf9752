//! The event schema: one shape for every venue.
//!
//! An [`Event`] serialises to one flat JSON object (see `docs/spec/events.md`): `type`, `exchange`, `symbol`,
//! `ts_exchange`, `ts_capture`, then the type's own fields. Decimals and times are strings; times are decimal seconds
//! since 1970-01-01 UTC.

#![allow(clippy::disallowed_types, reason = "serde's code for a flattened enum names floats; none is in a field")]

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Decimal, Symbol, Timestamp};
use serde::{Deserialize, Serialize};

/// A venue whose protocol is spoken here.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Exchange {
    /// Binance spot.
    Binance = 0,
    /// Binance USD-M futures.
    BinanceFutures = 1,
    /// Coinbase Advanced Trade.
    Coinbase = 2,
    /// Kraken spot, WebSocket v1 and v2.
    Kraken = 3,
    /// Bybit v5, spot and linear.
    Bybit = 4,
    /// OKX v5.
    Okx = 5,
    /// Binance.US, spot.
    BinanceUs = 6,
    /// Binance TR, spot.
    BinanceTr = 7,
    /// Binance COIN-M futures.
    BinanceDelivery = 8,
    /// OKCoin.
    Okcoin = 9,
}

impl Exchange {
    /// Every venue that is collected from.
    pub const ALL: [Exchange; 6] = [
        Exchange::Binance,
        Exchange::BinanceFutures,
        Exchange::Coinbase,
        Exchange::Kraken,
        Exchange::Bybit,
        Exchange::Okx,
    ];

    /// Venues that speak another's protocol. Recordings of them are read; nothing is collected from them.
    pub const RECORDED: [Exchange; 4] =
        [Exchange::BinanceUs, Exchange::BinanceTr, Exchange::BinanceDelivery, Exchange::Okcoin];

    /// The venue whose protocol is spoken: nearly always itself.
    pub const fn protocol(self) -> Exchange {
        match self {
            Exchange::BinanceUs | Exchange::BinanceTr => Exchange::Binance,
            Exchange::BinanceDelivery => Exchange::BinanceFutures,
            Exchange::Okcoin => Exchange::Okx,
            other => other,
        }
    }

    /// The name in every answer, file and subscription.
    pub const fn name(self) -> &'static str {
        match self {
            Exchange::Binance => "binance",
            Exchange::BinanceFutures => "binance_futures",
            Exchange::Coinbase => "coinbase",
            Exchange::Kraken => "kraken",
            Exchange::Bybit => "bybit",
            Exchange::Okx => "okx",
            Exchange::BinanceUs => "binance_us",
            Exchange::BinanceTr => "binance_tr",
            Exchange::BinanceDelivery => "binance_delivery",
            Exchange::Okcoin => "okcoin",
        }
    }
}

/// A name that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no {what} of this product; known: {known}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: String,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Exchange {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Exchange, UnknownName> {
        Exchange::ALL.into_iter().chain(Exchange::RECORDED).find(|e| e.name() == text).ok_or_else(|| UnknownName {
            what: "exchange",
            name: text.chars().take(40).collect(),
            known: Exchange::ALL.map(Exchange::name).join(", "),
        })
    }
}

/// A kind of data that can be subscribed to, agreed on and stored.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Feed {
    /// Trades.
    Trades = 0,
    /// Order book by price level: snapshots and deltas.
    Book = 1,
    /// Best bid and ask.
    Ticker = 2,
    /// Candles as the venue makes them.
    Candles = 3,
    /// Funding rates.
    Funding = 4,
    /// Open interest.
    OpenInterest = 5,
    /// Liquidations.
    Liquidations = 6,
    /// Mark price.
    MarkPrice = 7,
    /// Index price.
    IndexPrice = 8,
    /// Blocks of a chain, with what was decoded from them.
    Blocks = 9,
}

impl Feed {
    /// Every feed.
    pub const ALL: [Feed; 10] = [
        Feed::Trades,
        Feed::Book,
        Feed::Ticker,
        Feed::Candles,
        Feed::Funding,
        Feed::OpenInterest,
        Feed::Liquidations,
        Feed::MarkPrice,
        Feed::IndexPrice,
        Feed::Blocks,
    ];

    /// The name in every answer, file and subscription.
    pub const fn name(self) -> &'static str {
        match self {
            Feed::Trades => "trades",
            Feed::Book => "book",
            Feed::Ticker => "ticker",
            Feed::Candles => "candles",
            Feed::Funding => "funding",
            Feed::OpenInterest => "open_interest",
            Feed::Liquidations => "liquidations",
            Feed::MarkPrice => "mark_price",
            Feed::IndexPrice => "index_price",
            Feed::Blocks => "blocks",
        }
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Feed {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Feed, UnknownName> {
        Feed::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| UnknownName {
            what: "feed",
            name: text.chars().take(40).collect(),
            known: Feed::ALL.map(Feed::name).join(", "),
        })
    }
}

/// Side of a book, or of the party that took liquidity in a trade.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Bid; a buyer took.
    Buy,
    /// Ask; a seller took.
    Sell,
}

/// A price level: price and size. In a delta, size 0 removes the level.
pub type Level = (Decimal, Decimal);

/// Something that a venue said, or that was found out about what it said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Venue that said it.
    pub exchange: Exchange,
    /// About which instrument; `None` only for an incident of a whole connection.
    pub symbol: Option<Symbol>,
    /// The venue's own time of the event; `None` where the venue gives none.
    pub ts_exchange: Option<Timestamp>,
    /// Time at which this site received it.
    pub ts_capture: Timestamp,
    /// Content.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The content of an event, with the fields of its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// A trade.
    Trade(Trade),
    /// A whole book (to the subscribed depth).
    BookSnapshot(BookSnapshot),
    /// Changed levels of a book.
    BookDelta(BookDelta),
    /// Best bid and ask.
    Ticker(Ticker),
    /// A candle.
    Candle(Candle),
    /// A funding rate.
    Funding(Funding),
    /// Open interest.
    OpenInterest(OpenInterest),
    /// A liquidation.
    Liquidation(Liquidation),
    /// Mark price.
    MarkPrice(Price),
    /// Index price.
    IndexPrice(Price),
    /// Something went wrong: a gap, a wrong checksum, garbage.
    Incident(Incident),
}

/// A trade. `side` is the taker's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Trade {
    /// Side of the taker.
    pub side: Side,
    /// Price in the quote asset.
    pub price: Decimal,
    /// Size in the venue's unit (base asset, or contracts).
    pub size: Decimal,
    /// The venue's id; `None` where it gives none (Kraken v1).
    pub id: Option<String>,
    /// True where the venue sent it as history on subscribing, not as it happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snapshot: bool,
}

/// A whole book, best levels first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct BookSnapshot {
    /// Bids, highest price first.
    pub bids: Vec<Level>,
    /// Asks, lowest price first.
    pub asks: Vec<Level>,
    /// The venue's sequence number after this message.
    pub sequence: Option<u64>,
    /// The venue's checksum, where it sends one.
    pub checksum: Option<i64>,
}

/// Changed levels in the venue's order; size 0 removes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct BookDelta {
    /// Changed bids.
    pub bids: Vec<Level>,
    /// Changed asks.
    pub asks: Vec<Level>,
    /// The venue's sequence number after this message.
    pub sequence: Option<u64>,
    /// The venue's checksum, where it sends one.
    pub checksum: Option<i64>,
}

/// Best bid and ask, and what else the venue's ticker says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Ticker {
    /// Best bid price.
    pub bid: Option<Decimal>,
    /// Size at the best bid.
    pub bid_size: Option<Decimal>,
    /// Best ask price.
    pub ask: Option<Decimal>,
    /// Size at the best ask.
    pub ask_size: Option<Decimal>,
    /// Last traded price.
    pub last: Option<Decimal>,
}

/// A candle as the venue makes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Candle {
    /// Start of the interval, inclusive.
    pub start: Timestamp,
    /// End of the interval as the venue gives it; `None` where it does not.
    pub stop: Option<Timestamp>,
    /// Length, in the venue-neutral form `1m`, `5m`, `1h`, `1d`.
    pub interval: String,
    /// First price.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price so far.
    pub close: Decimal,
    /// Traded size in the base asset (or contracts).
    pub volume: Decimal,
    /// Number of trades, where given.
    pub trades: Option<u64>,
    /// True where the interval has ended; `None` where the venue does not say.
    pub closed: Option<bool>,
}

/// A funding rate of a perpetual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Funding {
    /// Rate per interval, as a fraction (0.0001 is one basis point).
    pub rate: Decimal,
    /// Time of the next payment.
    pub next_funding: Option<Timestamp>,
    /// Mark price sent with it.
    pub mark_price: Option<Decimal>,
    /// The venue's estimate of the rate after that.
    pub predicted_rate: Option<Decimal>,
}

/// Open interest in the venue's unit (base asset, or contracts).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct OpenInterest {
    /// Size.
    pub open_interest: Decimal,
}

/// A forced order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Liquidation {
    /// Side of the forced order: `sell` closes a long position.
    pub side: Side,
    /// Price.
    pub price: Decimal,
    /// Size.
    pub size: Decimal,
    /// The venue's id, where given.
    pub id: Option<String>,
}

/// A mark or index price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Price {
    /// Price in the quote asset.
    pub price: Decimal,
}

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// The sequence numbers jump: something was missed. The book resynchronises.
    Gap,
    /// The venue's checksum is not that of our book. The book resynchronises.
    Checksum,
    /// A frame that is not what the venue's documents say.
    Garbage,
    /// A connection ended.
    Disconnected,
    /// The venue said that something is wrong (a refused subscription, a rate limit).
    Refused,
    /// A book whose best bid is not below its best ask.
    Crossed,
    /// Nothing was heard for longer than the venue's heartbeat allows.
    Silence,
}

impl IncidentKind {
    /// The name in answers and tables.
    pub const fn name(self) -> &'static str {
        match self {
            IncidentKind::Gap => "gap",
            IncidentKind::Checksum => "checksum",
            IncidentKind::Garbage => "garbage",
            IncidentKind::Disconnected => "disconnected",
            IncidentKind::Refused => "refused",
            IncidentKind::Crossed => "crossed",
            IncidentKind::Silence => "silence",
        }
    }
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Incident {
    /// Kind.
    pub kind: IncidentKind,
    /// The feed it concerns, where it is one.
    pub feed: Option<Feed>,
    /// Text for people: what was expected and what came.
    pub detail: String,
}

impl EventKind {
    /// The feed that this event belongs to; `None` for incidents.
    pub const fn feed(&self) -> Option<Feed> {
        Some(match self {
            EventKind::Trade(_) => Feed::Trades,
            EventKind::BookSnapshot(_) | EventKind::BookDelta(_) => Feed::Book,
            EventKind::Ticker(_) => Feed::Ticker,
            EventKind::Candle(_) => Feed::Candles,
            EventKind::Funding(_) => Feed::Funding,
            EventKind::OpenInterest(_) => Feed::OpenInterest,
            EventKind::Liquidation(_) => Feed::Liquidations,
            EventKind::MarkPrice(_) => Feed::MarkPrice,
            EventKind::IndexPrice(_) => Feed::IndexPrice,
            EventKind::Incident(_) => return None,
        })
    }
}
