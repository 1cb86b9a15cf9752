//! The result of reading a frame, and the values that all venues' frames hold.

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;

use crate::emulate::levels::{BookChange, Entry};
use crate::emulate::{Channel, Topic};

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

pub(super) fn millis(value: i64) -> Timestamp {
    Timestamp::from_millis(value)
}

pub(super) fn number(text: &str) -> Result<Decimal, ReadError> {
    Decimal::parse(text.as_bytes()).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

pub(super) fn rfc3339(text: &str) -> Result<Timestamp, ReadError> {
    Timestamp::parse_rfc3339(text.as_bytes()).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

pub(super) fn text_millis(text: &str) -> Result<Timestamp, ReadError> {
    text.parse().map(millis).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

pub(super) fn one(topic: Option<Topic>, at: Option<Timestamp>) -> Class {
    match topic {
        Some(topic) => Class::Data { topics: vec![topic], at },
        None => Class::Control,
    }
}

#[derive(Deserialize)]
pub(super) struct Pair<'a>(#[serde(borrow)] &'a str, #[serde(borrow)] &'a str);

pub(super) fn pair_changes(bids: &[Pair<'_>], asks: &[Pair<'_>], at: Timestamp) -> Result<Vec<BookChange>, ReadError> {
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
