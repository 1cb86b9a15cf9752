//! Handing live events to whoever listens: a snapshot of each book first, then what follows it, with no gap.
//!
//! A source sends each event once into a bounded ring; a subscription has a place in it. Whoever reads too slowly loses
//! its place, is told how many events it missed, and gets snapshots anew: it never holds up the source or others.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use openmesh_market::{Event, EventKind, Exchange, Feed};
use openmesh_primitives::Symbol;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::source::LastChange;

/// Updates that wait for one subscriber before it begins to lag.
const SUBSCRIBER_WAITING_MAX: usize = 256;

/// What is wanted; empty sets mean everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Venues.
    pub exchanges: BTreeSet<Exchange>,
    /// Instruments.
    pub symbols: BTreeSet<Symbol>,
    /// Feeds.
    pub feeds: BTreeSet<Feed>,
}

impl Filter {
    /// One feed of one instrument at one venue.
    pub fn one(exchange: Exchange, symbol: Symbol, feed: Feed) -> Filter {
        Filter { exchanges: [exchange].into(), symbols: [symbol].into(), feeds: [feed].into() }
    }

    /// Whether an event is wanted. An incident is, where it concerns a wanted feed of a wanted instrument, or the whole of
    /// their source: whoever watches a book must hear that it stands still.
    pub fn wants(&self, event: &Event) -> bool {
        let symbol = |symbol: &Symbol| self.symbols.is_empty() || self.symbols.contains(symbol);
        let feed = |feed: Feed| self.feeds.is_empty() || self.feeds.contains(&feed);
        self.wants_exchange(event.exchange)
            && match &event.kind {
                EventKind::Incident(incident) => {
                    event.symbol.as_ref().is_none_or(symbol) && incident.feed.is_none_or(feed)
                }
                kind => event.symbol.as_ref().map_or(self.symbols.is_empty(), symbol) && kind.feed().is_some_and(feed),
            }
    }

    pub(crate) fn wants_exchange(&self, exchange: Exchange) -> bool {
        self.exchanges.is_empty() || self.exchanges.contains(&exchange)
    }

    pub(crate) fn wants_book(&self, symbol: &Symbol) -> bool {
        (self.symbols.is_empty() || self.symbols.contains(symbol))
            && (self.feeds.is_empty() || self.feeds.contains(&Feed::Book))
    }
}

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// An event. Before the first book delta of an instrument comes a snapshot.
    Event(Arc<Event>),
    /// The subscriber was too slow: so many events of a venue are lost to it. Snapshots of its books follow.
    Missed {
        /// Venue.
        exchange: Exchange,
        /// Number of events, wanted or not.
        events: u64,
    },
}

/// A place in a source's stream with the books as they stood there.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) books: Vec<Arc<Event>>,
    pub(crate) events: broadcast::Receiver<Arc<Event>>,
}

/// What a source can be asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// Books that a filter wants, and the place in the stream where they hold.
    Place(Filter, oneshot::Sender<Place>),
    /// One book as it stands.
    Book(Symbol, oneshot::Sender<Option<Arc<Event>>>),
}

/// A live subscription: a [`Stream`] of [`Update`]s. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    updates: mpsc::Receiver<Update>,
}

impl Subscription {
    /// The next update; `None` when every source has ended.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// Joins the streams of all given sources.
    pub(crate) fn start(filter: Filter, sources: Vec<(Exchange, mpsc::Sender<Question>)>) -> Subscription {
        let (to, updates) = mpsc::channel(SUBSCRIBER_WAITING_MAX);
        for (exchange, source) in sources {
            tokio::spawn(forward(exchange, source, filter.clone(), to.clone()));
        }
        Subscription { updates }
    }
}

impl Stream for Subscription {
    type Item = Update;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        self.updates.poll_recv(context)
    }
}

/// Moves one source's events to a subscriber until either is gone.
async fn forward(exchange: Exchange, source: mpsc::Sender<Question>, filter: Filter, to: mpsc::Sender<Update>) {
    loop {
        let (answer, place) = oneshot::channel();
        if source.send(Question::Place(filter.clone(), answer)).await.is_err() {
            return;
        }
        // A source that was started anew drops the question: it is asked again.
        let Ok(Place { books, mut events }) = place.await else {
            if source.is_closed() {
                return;
            }
            continue;
        };
        for book in books {
            if to.send(Update::Event(book)).await.is_err() {
                return;
            }
        }
        loop {
            let received = tokio::select! {
                received = events.recv() => received,
                () = to.closed() => return,
            };
            let update = match received {
                Ok(event) if filter.wants(&event) => Update::Event(event),
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(events)) => {
                    if to.send(Update::Missed { exchange, events }).await.is_err() {
                        return;
                    }
                    break;
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if to.send(update).await.is_err() {
                return;
            }
        }
    }
}

/// A book as an event, with the times of its last change: a book that nothing changes grows old.
pub(crate) fn snapshot(
    exchange: Exchange,
    symbol: &Symbol,
    book: &openmesh_market::OrderBook,
    last: LastChange,
) -> Arc<Event> {
    use openmesh_market::Side;
    use openmesh_market::event::BookSnapshot;
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
