//! One change of a Binance book.

use openmesh_market::event::Level;
use openmesh_primitives::Timestamp;

/// A change of a book.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub time: Timestamp,
    pub captured: Timestamp,
    pub first: u64,
    pub last: u64,
    pub previous: Option<u64>,
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
}
