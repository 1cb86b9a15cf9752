//! Queries that a source answers between two frames.

use std::sync::Arc;

use openmesh_market::event::BookSnapshot;
use openmesh_market::{Event, EventKind, Exchange, OrderBook, Side};
use openmesh_primitives::{Symbol, Timestamp};
use tokio::sync::{broadcast, oneshot};

use crate::filter::Filter;

/// A query to a source.
#[derive(Debug)]
pub(crate) enum Query {
    /// The books that a filter selects, and the place in the stream at which they hold.
    Subscribe(Filter, oneshot::Sender<StreamCursor>),
    /// One book as it stands.
    Book(Symbol, oneshot::Sender<Option<Arc<Event>>>),
}

/// A place in a source's stream with the books as they stood there.
#[derive(Debug)]
pub(crate) struct StreamCursor {
    pub(crate) books: Vec<Arc<Event>>,
    pub(crate) events: broadcast::Receiver<Arc<Event>>,
}

/// Times of the last change of a book.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastChange {
    /// By the venue's clock; a venue may leave it out of a later change.
    pub(crate) ts_exchange: Option<Timestamp>,
    /// By this node's clock.
    pub(crate) ts_capture: Timestamp,
}

/// Returns a book as an event, with the times of its last change: a book that nothing changes grows old.
pub(crate) fn snapshot(exchange: Exchange, symbol: &Symbol, book: &OrderBook, last: LastChange) -> Arc<Event> {
    let side = |side| book.levels(side).copied().collect();
    Arc::new(Event {
        exchange,
        symbol: Some(symbol.clone()),
        ts_exchange: last.ts_exchange,
        ts_capture: last.ts_capture,
        kind: EventKind::BookSnapshot(BookSnapshot {
            bids: side(Side::Buy),
            asks: side(Side::Sell),
            sequence: None,
            checksum: None,
        }),
    })
}
