//! Windows: cutting a venue's streams into canonical chunks.
//!
//! A window is cut by the venue's own clock and order, never the collector's. So collectors that were in step with the
//! venue from before a window's start until after its end hold equal bytes, and a validator can vouch for data by
//! naming a hash. The obvious other way, cutting at each collector's wall clock, gives as many versions of the truth as
//! there are collectors.
//!
//! The rules, and why they are as they are, stand in `docs/spec/windows.md`; names here follow it. The shape:
//! [`WindowCutter`] is fed with what a session said ([`WindowCutter::observe`]) and with what happened to the
//! connections, and yields [`ClosedWindow`]s in order. What it cannot vouch for it lists with a [`Reason`]; what it
//! vouched for and must take back it lists as [`Withdrawn`]. It never guesses from capture times.

mod book;
mod chunk;
mod class;
mod clock;
mod coordinates;
mod cutter;
mod ids;
mod outcomes;
mod points;
mod row;
#[cfg(test)]
mod tests;
mod track;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Symbol, Timestamp};
use serde::{Deserialize, Serialize};

use crate::event::{Exchange, Feed};

pub use chunk::{CHUNK_BYTES_MAX, CHUNK_VERSION, Chunk, ChunkError, ChunkHeader};
pub use class::Class;
pub use coordinates::{Lateness, WindowIndex, WindowLength};
pub use cutter::WindowCutter;
pub use row::{BookRow, CandleRow, FundingRow, LiquidationRow, OpenInterestRow, PriceRow, Rows, TickerRow, TradeRow};

/// Length of a window in milliseconds unless configured: short enough for an answer within seconds, long enough that a
/// chunk is worth an attestation.
pub const WINDOW_MS: u32 = 10_000;

/// Allowed lateness in milliseconds unless configured: several times the disorder seen within a venue and between two
/// connections to it.
pub const LATENESS_MS: u32 = 2_000;

/// Levels of each side in a book chunk's opening: far below every subscribed depth, so that it is the same for all.
pub const OPENING_LEVELS: usize = 20;

/// Rows of one stream in one window that are kept, before equal keys are joined; ten times the busiest seen. Beyond it the
/// window is not covered.
pub const ROWS_MAX: usize = 250_000;

/// Windows that are reported one by one after an outage.
pub const CATCH_UP_WINDOWS_MAX: i64 = 1_000;

/// One feed of one instrument at one venue.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
pub struct Stream {
    /// Venue.
    pub exchange: Exchange,
    /// Instrument.
    pub symbol: Symbol,
    /// Feed.
    pub feed: Feed,
}

impl Stream {
    /// Returns the name within its source, by which the ledger and the tables know it: `<symbol>/<feed>`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.symbol, self.feed)
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.exchange, self.symbol, self.feed)
    }
}

/// The streams of a source and the numbers by which they are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowConfig {
    /// Venue.
    pub exchange: Exchange,
    /// Instruments.
    pub symbols: Vec<Symbol>,
    /// Feeds. Those that cannot be agreed on ([`Class::Conflated`]) only help the clock along.
    pub feeds: Vec<Feed>,
    /// Length of a window, in the venue's time.
    pub length: WindowLength,
    /// Allowed lateness.
    pub lateness: Lateness,
}

impl WindowConfig {
    /// With the usual window length and lateness.
    pub fn new(exchange: Exchange, symbols: Vec<Symbol>, feeds: Vec<Feed>) -> WindowConfig {
        WindowConfig {
            exchange,
            symbols,
            feeds,
            length: WindowLength::from_ms(WINDOW_MS),
            lateness: Lateness::from_ms(LATENESS_MS),
        }
    }

    /// The streams that are put up for agreement, in order.
    pub fn agreed_streams(&self) -> Vec<Stream> {
        let mut streams: Vec<Stream> = self
            .symbols
            .iter()
            .flat_map(|symbol| self.feeds.iter().map(move |feed| (symbol, *feed)))
            .filter(|(symbol, feed)| Class::of(self.exchange, symbol, *feed).is_some_and(Class::is_agreed))
            .map(|(symbol, feed)| Stream { exchange: self.exchange, symbol: symbol.clone(), feed })
            .collect();
        streams.sort();
        streams.dedup();
        streams
    }
}

/// The reason for which a stream's window is not vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The stream was not yet in step when the window began.
    Starting,
    /// The connection broke inside the window.
    Disconnected,
    /// A gap or a wrong checksum: something was missed.
    Gap,
    /// A frame could not be read, so nobody knows what was missed.
    Garbage,
    /// A new book snapshot arrived inside the window.
    Resynchronised,
    /// The venue refused the subscription.
    Refused,
    /// The connection said nothing while others went on.
    Silent,
    /// The book's top is not known for sure: the price left the range of the snapshot. A new snapshot helps.
    Depth,
    /// The venue's clock jumped.
    ClockJump,
    /// An event of the window came after it had been closed.
    Late,
    /// More rows than [`ROWS_MAX`], or bytes than [`CHUNK_BYTES_MAX`].
    TooLarge,
    /// This site could not keep the chunk (a full disk): what is not kept is not vouched for.
    NotKept,
}

impl Reason {
    /// The name in answers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Starting => "starting",
            Reason::Disconnected => "disconnected",
            Reason::Gap => "gap",
            Reason::Garbage => "garbage",
            Reason::Resynchronised => "resynchronised",
            Reason::Refused => "refused",
            Reason::Silent => "silent",
            Reason::Depth => "depth",
            Reason::ClockJump => "clock_jump",
            Reason::Late => "late",
            Reason::TooLarge => "too_large",
            Reason::NotKept => "not_kept",
        }
    }
}

/// A window of a source that is over, with a chunk or a reason for every agreed stream.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedWindow {
    /// Venue.
    pub exchange: Exchange,
    /// Number of the window.
    pub index: WindowIndex,
    /// First instant of it, venue's time.
    pub start: Timestamp,
    /// Length of the window.
    pub length: WindowLength,
    /// The chunks that this collector vouches for, in order of the stream.
    pub chunks: Vec<Chunk>,
    /// The streams of which it cannot vouch for the window, with the reason, in order of the stream: to attest the
    /// window is to abstain from these. With the streams of `chunks` they are [`WindowConfig::agreed_streams`], each
    /// once; a stream in neither list does not exist at the venue or is not put up for agreement.
    pub not_covered: Vec<(Stream, Reason)>,
    /// Number of windows right before this one that were too many to be reported one by one; none of them is covered.
    pub skipped_before: u64,
}

/// A chunk that was vouched for and should not have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Stream.
    pub stream: Stream,
    /// Number of the window.
    pub index: WindowIndex,
    /// Reason for which it is not covered.
    pub reason: Reason,
}
