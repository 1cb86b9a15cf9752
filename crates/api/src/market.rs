//! Live market views.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Origin, Side};

/// An order book now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BookView {
    /// Exchange.
    pub exchange: String,
    /// Symbol.
    pub symbol: String,
    /// Provenance of the data.
    pub origin: Origin,
    /// The venue's time of the last change, where it gives one.
    pub ts_exchange: Option<String>,
    /// Milliseconds since the last change arrived.
    pub age_ms: u64,
    /// True where the book is out of step or its source is silent.
    pub stale: bool,
    /// `[price, size]`, best first.
    pub bids: Vec<(String, String)>,
    /// `[price, size]`, best first.
    pub asks: Vec<(String, String)>,
}

/// A candle made from trades.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CandleView {
    /// Start of the interval.
    pub start: String,
    /// First price.
    pub open: String,
    /// Highest price.
    pub high: String,
    /// Lowest price.
    pub low: String,
    /// Last price.
    pub close: String,
    /// Traded size.
    pub volume: String,
    /// Number of trades.
    pub trades: u64,
}

/// Candles of an instrument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CandleList {
    /// Provenance of the data.
    pub origin: Origin,
    /// True where the source is silent, or was never heard: what is newest here is old.
    pub stale: bool,
    /// Oldest first.
    pub items: Vec<CandleView>,
    /// Earliest trade time that was searched, where fewer candles than wanted were found in it: pass as `before` to search
    /// further back. `null` where the list is full, or the whole history was searched.
    pub searched_from: Option<String>,
    /// Newest trade of the live stream that is counted here: those that the stream sent after it are not. `null` where all
    /// candles come from the tables.
    pub last_trade: Option<TradeView>,
}

/// A trade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TradeView {
    /// The venue's time.
    pub time: String,
    /// The venue's word: the side that took liquidity; of Coinbase the one that gave it.
    pub side: Side,
    /// Price.
    pub price: String,
    /// Size.
    pub size: String,
    /// The venue's id.
    pub id: Option<String>,
}

/// Trades of an instrument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TradeList {
    /// Provenance of the data.
    pub origin: Origin,
    /// True where the source is silent, or was never heard: what is newest here is old.
    pub stale: bool,
    /// Newest first.
    pub items: Vec<TradeView>,
}
