//! A light reading of the venue's own frames: which stream one belongs to, when the venue says it was, and what it does to
//! a book. It is what a replay needs to find the subscribers of a recorded frame and to know the book's state for those
//! who come later; the full reading, with checks and events, is the dialects'.

mod binance;
mod bybit;
mod coinbase;
mod kraken;
mod okx;

pub use binance::read_depth_snapshot;
pub use bybit::{TickerFields, read_bybit_ticker};
pub use coinbase::{cut_at_sequence, read_coinbase_trades};

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;

use super::levels::{BookChange, Entry};
use super::{Channel, Endpoint, Topic};

/// The reason for which a frame is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not the JSON that the venue sends.
    #[error("not a message of this venue: {0}")]
    Json(#[from] serde_json::Error),
    /// A number or a time that is none.
    #[error("{0:?} is not a number or time")]
    Number(String),
    /// A form that is not known here.
    #[error("a form of message that is not read here")]
    Form,
}

/// The kind of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Data of these streams, with the venue's time where it says one.
    Data {
        /// Streams.
        topics: Vec<Topic>,
        /// The venue's time.
        at: Option<Timestamp>,
    },
    /// The acknowledgement of a stream.
    Acknowledgement(Topic),
    /// Anything else that belongs to one connection: status, pong, heartbeat.
    Control,
}

/// The effect of a frame on a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookMessage {
    /// The venue's name of the instrument.
    pub instrument: String,
    /// True where it replaces the book.
    pub snapshot: bool,
    /// Levels.
    pub changes: Vec<BookChange>,
    /// The venue's time.
    pub at: Timestamp,
    /// The matching engine's time, where it is said beside.
    pub matched: Timestamp,
    /// Number of the update after it (`u`, `seqId`, `lastUpdateId`); 0 where the venue gives none.
    pub update: u64,
    /// A second number (Bybit's `seq`); 0 where the venue gives none.
    pub sequence: u64,
    /// Levels a side at which a client cuts its book; 0 where it does not.
    pub cut: usize,
}

fn millis(value: i64) -> Timestamp {
    Timestamp::from_millis(value)
}

fn number(text: &str) -> Result<Decimal, ReadError> {
    Decimal::parse(text.as_bytes()).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

fn rfc3339(text: &str) -> Result<Timestamp, ReadError> {
    Timestamp::parse_rfc3339(text.as_bytes()).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

fn text_millis(text: &str) -> Result<Timestamp, ReadError> {
    text.parse().map(millis).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

/// Returns the streams to which a frame belongs.
pub fn read_class(endpoint: Endpoint, text: &str) -> Result<Class, ReadError> {
    match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::class(endpoint, text),
        Endpoint::Coinbase => coinbase::class(text),
        Endpoint::KrakenV1 => kraken::class(text),
        Endpoint::KrakenV2 => Err(ReadError::Form),
        Endpoint::BybitSpot | Endpoint::BybitLinear => bybit::class(endpoint, text),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => okx::class(endpoint, text),
    }
}

/// Returns the effect of a frame of a book stream on books; nothing for frames of other streams.
pub fn read_book(endpoint: Endpoint, text: &str) -> Result<Vec<BookMessage>, ReadError> {
    match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::book(text),
        Endpoint::Coinbase => coinbase::book(text),
        Endpoint::KrakenV1 => kraken::book(text),
        Endpoint::KrakenV2 => Err(ReadError::Form),
        Endpoint::BybitSpot | Endpoint::BybitLinear => bybit::book(text),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => okx::book(text),
    }
}

fn one(topic: Option<Topic>, at: Option<Timestamp>) -> Class {
    match topic {
        Some(topic) => Class::Data { topics: vec![topic], at },
        None => Class::Control,
    }
}

#[derive(Deserialize)]
struct Pair<'a>(#[serde(borrow)] &'a str, #[serde(borrow)] &'a str);

fn pair_changes(bids: &[Pair<'_>], asks: &[Pair<'_>], at: Timestamp) -> Result<Vec<BookChange>, ReadError> {
    let side = |side: Side, pairs: &[Pair<'_>]| -> Result<Vec<BookChange>, ReadError> {
        pairs
            .iter()
            .map(|p| {
                let entry = Entry { price: number(p.0)?, size: number(p.1)?, at, orders: 1 };
                Ok(BookChange { side, entry })
            })
            .collect()
    };
    let mut changes = side(Side::Buy, bids)?;
    changes.extend(side(Side::Sell, asks)?);
    Ok(changes)
}

impl BookMessage {
    /// The channel that book messages belong to, in the loose form of [`Topic::loose`].
    pub const CHANNEL: Channel = Channel::Book { depth: 0 };
}
