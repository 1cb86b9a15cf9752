//! The venue's side of each protocol: what a client's messages ask for, how the venue words its answers, and how it
//! writes books, trades, tickers, candles and instrument lists.
//!
//! Why here, beside the dialects: a simulated market and a replay of recordings are only worth something if the
//! collectors cannot tell them from the venue, so the bytes are made by the same crate that reads them, and each test
//! holds one against the other. Pure like the rest of the crate: a connection is a [`Conversation`] that is told what
//! came in and answers with [`Step`]s; sockets, clocks and the market itself belong to whoever drives it.
//!
//! Shapes and number formats follow the recordings (`tests/` compares them) and the venues' public documents, which
//! each module names. A frame that carries a number of the connection (Coinbase's `sequence_num`) is kept in two halves,
//! so that one encoding serves every connection.

pub mod binance;
pub mod bybit;
pub mod coinbase;
mod connection;
mod conversation;
mod data;
pub mod kraken;
mod levels;
pub mod okx;
mod read;
#[cfg(test)]
mod tests;

pub use connection::{CONNECTION_TOPICS_MAX, Listing, Step};
pub use conversation::Conversation;
pub use data::{BookStep, CandleState, Derivative, Instrument, Summary, TradePrint};
pub use levels::{BookChange, Entry, LevelBook, PushedOut, View};
pub use read::{
    BookMessage, Class, ReadError, TickerFields, cut_at_sequence, read_book, read_bybit_ticker, read_class,
    read_coinbase_trades, read_depth_snapshot,
};

use std::sync::Arc;

use openmesh_market::event::{Exchange, Feed};

/// A WebSocket endpoint of a venue, with its own set of instruments or its own wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `stream.binance.com:9443`.
    BinanceSpot,
    /// `fstream.binance.com`.
    BinanceUsdm,
    /// `advanced-trade-ws.coinbase.com`.
    Coinbase,
    /// `ws.kraken.com`.
    KrakenV1,
    /// `ws.kraken.com/v2`.
    KrakenV2,
    /// `stream.bybit.com/v5/public/spot`.
    BybitSpot,
    /// `stream.bybit.com/v5/public/linear`.
    BybitLinear,
    /// `ws.okx.com/ws/v5/public`; in recordings before November 2026 at port 8443.
    OkxPublic,
    /// `ws.okx.com/ws/v5/business`: candles.
    OkxBusiness,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 9] = [
        Endpoint::BinanceSpot,
        Endpoint::BinanceUsdm,
        Endpoint::Coinbase,
        Endpoint::KrakenV1,
        Endpoint::KrakenV2,
        Endpoint::BybitSpot,
        Endpoint::BybitLinear,
        Endpoint::OkxPublic,
        Endpoint::OkxBusiness,
    ];

    /// The venue of the endpoint.
    pub const fn exchange(self) -> Exchange {
        match self {
            Endpoint::BinanceSpot => Exchange::Binance,
            Endpoint::BinanceUsdm => Exchange::BinanceFutures,
            Endpoint::Coinbase => Exchange::Coinbase,
            Endpoint::KrakenV1 | Endpoint::KrakenV2 => Exchange::Kraken,
            Endpoint::BybitSpot | Endpoint::BybitLinear => Exchange::Bybit,
            Endpoint::OkxPublic | Endpoint::OkxBusiness => Exchange::Okx,
        }
    }

    /// The endpoint behind a WebSocket address; a port may follow the host, as the venues write it or not.
    pub fn of_socket(host: &str, path: &str) -> Option<Endpoint> {
        let name = host.split(':').next().unwrap_or(host);
        let path = path.trim_end_matches('/');
        match (name, path) {
            ("stream.binance.com" | "data-stream.binance.vision", "/stream" | "/ws") => Some(Endpoint::BinanceSpot),
            ("fstream.binance.com", "/stream" | "/ws") => Some(Endpoint::BinanceUsdm),
            ("stream.binance.com" | "data-stream.binance.vision", p) if p.starts_with("/ws/") => {
                Some(Endpoint::BinanceSpot)
            }
            ("fstream.binance.com", p) if p.starts_with("/ws/") => Some(Endpoint::BinanceUsdm),
            // Since 2026 the futures streams are also served by kind.
            ("fstream.binance.com", "/public/stream" | "/market/stream" | "/public/ws" | "/market/ws") => {
                Some(Endpoint::BinanceUsdm)
            }
            ("advanced-trade-ws.coinbase.com", "") => Some(Endpoint::Coinbase),
            ("ws.kraken.com", "") => Some(Endpoint::KrakenV1),
            ("ws.kraken.com", "/v2") => Some(Endpoint::KrakenV2),
            ("stream.bybit.com", "/v5/public/spot") => Some(Endpoint::BybitSpot),
            ("stream.bybit.com", "/v5/public/linear") => Some(Endpoint::BybitLinear),
            ("ws.okx.com", "/ws/v5/public") => Some(Endpoint::OkxPublic),
            ("ws.okx.com", "/ws/v5/business") => Some(Endpoint::OkxBusiness),
            _ => None,
        }
    }
}

/// The content of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Trades, one by one.
    Trade,
    /// Trades of one taker order at one price, together (Binance `aggTrade`).
    AggregateTrade,
    /// Order book: snapshot and changes; `depth` levels a side, 0 for the whole book.
    Book {
        /// Levels a side.
        depth: u16,
    },
    /// Best bid and ask with each change (Binance `bookTicker`, OKX `bbo-tbt`, Kraken v1 `spread`).
    BestQuote,
    /// The venue's ticker: last price, day's figures, best quotes.
    Ticker,
    /// Candles of so many seconds.
    Candle {
        /// Length in seconds.
        seconds: u32,
    },
    /// Mark price (Binance: with index and funding).
    MarkPrice,
    /// Index price.
    IndexPrice,
    /// Funding rate.
    Funding,
    /// Open interest.
    OpenInterest,
    /// Forced orders.
    Liquidation,
    /// The connection's own sign of life, where it is subscribed to.
    Heartbeat,
    /// The list of instruments as a stream (Kraken v2 `instrument`).
    Instruments,
}

impl Channel {
    /// The feeds of the product that this stream feeds.
    pub fn feeds(self, endpoint: Endpoint) -> &'static [Feed] {
        match (self, endpoint) {
            (Channel::Trade | Channel::AggregateTrade, _) => &[Feed::Trades],
            (Channel::Book { .. }, _) => &[Feed::Book],
            (Channel::Ticker, Endpoint::BybitLinear) => {
                &[Feed::Ticker, Feed::Funding, Feed::OpenInterest, Feed::MarkPrice, Feed::IndexPrice]
            }
            (Channel::BestQuote | Channel::Ticker, _) => &[Feed::Ticker],
            (Channel::Candle { .. }, _) => &[Feed::Candles],
            (Channel::MarkPrice, Endpoint::BinanceUsdm) => &[Feed::MarkPrice, Feed::IndexPrice, Feed::Funding],
            (Channel::MarkPrice, _) => &[Feed::MarkPrice],
            (Channel::IndexPrice, _) => &[Feed::IndexPrice],
            (Channel::Funding, _) => &[Feed::Funding],
            (Channel::OpenInterest, _) => &[Feed::OpenInterest],
            (Channel::Liquidation, _) => &[Feed::Liquidations],
            (Channel::Heartbeat | Channel::Instruments, _) => &[],
        }
    }
}

/// A stream of a venue, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// Endpoint at which it is asked for.
    pub endpoint: Endpoint,
    /// Content.
    pub channel: Channel,
    /// The venue's name of the instrument (`BTCUSDT`, `XBT/USD`); empty where a stream has none.
    pub instrument: String,
    /// The venue's name of the stream: `btcusdt@depth@100ms`, `book-10`, `orderbook.50.BTCUSDT`, `books`.
    pub name: String,
}

impl Topic {
    /// The same stream whatever its speed, depth, aggregation or interval: by this a recording, which has one kind of
    /// each, finds the frames for what a client asks for.
    #[must_use]
    pub fn loose(&self) -> Topic {
        let channel = match self.channel {
            Channel::AggregateTrade => Channel::Trade,
            Channel::Book { .. } => Channel::Book { depth: 0 },
            Channel::Candle { .. } => Channel::Candle { seconds: 0 },
            other => other,
        };
        let endpoint = if self.endpoint == Endpoint::OkxBusiness { Endpoint::OkxPublic } else { self.endpoint };
        Topic { endpoint, channel, instrument: self.instrument.clone(), name: String::new() }
    }
}

/// A message of the venue. Where it carries a number of the connection, that number stands between two halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    head: Arc<str>,
    tail: Option<Arc<str>>,
}

impl Frame {
    /// The same for every connection.
    pub fn whole(text: impl Into<Arc<str>>) -> Frame {
        Frame { head: text.into(), tail: None }
    }

    /// With the connection's running number between the halves.
    pub fn numbered(head: impl Into<Arc<str>>, tail: impl Into<Arc<str>>) -> Frame {
        Frame { head: head.into(), tail: Some(tail.into()) }
    }

    /// True where a number of the connection belongs into it.
    pub fn is_numbered(&self) -> bool {
        self.tail.is_some()
    }

    /// The text for a connection that has sent `number` numbered frames before.
    pub fn text(&self, number: u64) -> String {
        match &self.tail {
            None => self.head.to_string(),
            Some(tail) => format!("{}{number}{tail}", self.head),
        }
    }
}

/// A JSON string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    // A string always serialises; the fallback keeps this free of a panic.
    serde_json::to_string(text).unwrap_or_else(|_| String::from("\"\""))
}
