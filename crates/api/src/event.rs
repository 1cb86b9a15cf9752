//! Market events as the WebSocket sends them: the schema of `docs/spec/events.md` with the origin besides.
//!
//! The events themselves are made by the crate `market`, which knows no HTTP. What stands here is the contract for whoever
//! reads them, and a test of the gateway holds both together.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Origin;

/// A market event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MarketEvent {
    /// Provenance of the data.
    pub origin: Origin,
    /// Venue.
    pub exchange: String,
    /// Instrument; `null` only in an incident of a whole connection.
    pub symbol: Option<String>,
    /// The venue's own time in decimal seconds; `null` where it gives none.
    pub ts_exchange: Option<String>,
    /// Time at which this site received it, in decimal seconds.
    pub ts_capture: String,
    /// The event itself.
    #[serde(flatten)]
    pub kind: MarketEventKind,
}

/// Side that took liquidity, or that of a forced order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// A buyer.
    Buy,
    /// A seller.
    Sell,
}

/// Content of an event, by its `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum MarketEventKind {
    /// A trade.
    Trade {
        /// The taker's side.
        side: Side,
        /// Price in the quote asset.
        price: String,
        /// Size in the venue's unit.
        size: String,
        /// The venue's id.
        id: Option<String>,
        /// `true`, and only there, where the venue sent it as history.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        snapshot: bool,
    },
    /// A whole book, best levels first.
    BookSnapshot {
        /// Bids: price and size.
        bids: Vec<(String, String)>,
        /// Asks: price and size.
        asks: Vec<(String, String)>,
        /// The venue's number of the last update in it.
        sequence: Option<u64>,
        /// The venue's checksum.
        checksum: Option<i64>,
    },
    /// Changed levels of a book; size 0 removes.
    BookDelta {
        /// Bids: price and size.
        bids: Vec<(String, String)>,
        /// Asks: price and size.
        asks: Vec<(String, String)>,
        /// The venue's number of the last update in it.
        sequence: Option<u64>,
        /// The venue's checksum.
        checksum: Option<i64>,
    },
    /// Best prices and the last traded one.
    Ticker {
        /// Best bid.
        bid: Option<String>,
        /// Its size.
        bid_size: Option<String>,
        /// Best ask.
        ask: Option<String>,
        /// Its size.
        ask_size: Option<String>,
        /// Last traded price.
        last: Option<String>,
    },
    /// A candle as the venue makes it.
    Candle {
        /// Beginning of the interval in decimal seconds.
        start: String,
        /// Its end as the venue gives it.
        stop: Option<String>,
        /// `1m`, `5m`, `1h`, `1d`, ...
        interval: String,
        /// First price.
        open: String,
        /// Highest price.
        high: String,
        /// Lowest price.
        low: String,
        /// Last price so far.
        close: String,
        /// Traded size.
        volume: String,
        /// Number of trades.
        trades: Option<u64>,
        /// True where the interval has ended.
        closed: Option<bool>,
    },
    /// A funding rate.
    Funding {
        /// Rate for an interval, as a fraction.
        rate: String,
        /// Time of the next payment, in decimal seconds.
        next_funding: Option<String>,
        /// Mark price sent with it.
        mark_price: Option<String>,
        /// The venue's estimate of the rate after that.
        predicted_rate: Option<String>,
    },
    /// Open interest.
    OpenInterest {
        /// In the venue's unit.
        open_interest: String,
    },
    /// A forced order.
    Liquidation {
        /// `sell` closes a long position.
        side: Side,
        /// Price.
        price: String,
        /// Size.
        size: String,
        /// The venue's id.
        id: Option<String>,
    },
    /// Mark price.
    MarkPrice {
        /// In the quote asset.
        price: String,
    },
    /// Index price.
    IndexPrice {
        /// In the quote asset.
        price: String,
    },
    /// Something went wrong at this site.
    Incident {
        /// Kind of fault; one of a collector's.
        kind: crate::IncidentKind,
        /// The feed it concerns.
        feed: Option<crate::Feed>,
        /// For people.
        detail: String,
    },
}
