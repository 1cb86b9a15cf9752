//! Live subscriptions: a snapshot of each book first, then the events that follow it, with no gap.
//!
//! A source sends each event once into a bounded ring; a subscription has a place in it. Whoever reads too slowly loses
//! its place, is told how many events it missed, and gets snapshots again: it never holds up the source or others.
//! Sources that are added later join a subscription by themselves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use openmesh_market::{Event, Exchange};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::filter::Filter;
use crate::liveness::LivenessCell;
use crate::query::{Query, StreamCursor};

/// Updates that wait for one subscriber before it begins to lag.
const SUBSCRIBER_WAITING_MAX: usize = 256;

/// An update of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// An event. Before the first book delta of an instrument comes a snapshot.
    Event {
        /// Source id.
        source: Arc<str>,
        /// The event.
        event: Arc<Event>,
    },
    /// The subscriber was too slow and lost events of a source. Snapshots of its books follow.
    Missed {
        /// Source id.
        source: Arc<str>,
        /// Venue.
        exchange: Exchange,
        /// Number of events, selected or not.
        events: u64,
    },
}

/// A source that can be queried.
#[derive(Clone, Debug)]
pub(crate) struct Queried {
    pub(crate) source: Arc<str>,
    pub(crate) exchange: Exchange,
    pub(crate) queries: mpsc::Sender<Query>,
    pub(crate) liveness: LivenessCell,
}

/// A live subscription: a [`Stream`] of [`Update`]s. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    updates: mpsc::Receiver<Update>,
}

impl Subscription {
    /// Returns the next update; `None` when the collector has ended.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// Joins the streams of the sources that a filter selects.
    pub(crate) fn start(filter: Filter, sources: watch::Receiver<Arc<Vec<Queried>>>) -> Subscription {
        let (to, updates) = mpsc::channel(SUBSCRIBER_WAITING_MAX);
        tokio::spawn(follow(filter, sources, to));
        Subscription { updates }
    }
}

impl Stream for Subscription {
    type Item = Update;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        self.updates.poll_recv(context)
    }
}

/// Forwards every source that is there or comes, until the subscriber or the collector is gone.
async fn follow(filter: Filter, mut sources: watch::Receiver<Arc<Vec<Queried>>>, to: mpsc::Sender<Update>) {
    let (mut forwarding, mut known) = (JoinSet::new(), Vec::<mpsc::Sender<Query>>::new());
    loop {
        let listed = sources.borrow_and_update().clone();
        known.retain(|queries| !queries.is_closed());
        for source in listed.iter().filter(|s| filter.wants_source(&s.source, s.exchange)) {
            if !known.iter().any(|queries| queries.same_channel(&source.queries)) {
                known.push(source.queries.clone());
                forwarding.spawn(forward(source.clone(), filter.clone(), to.clone()));
            }
        }
        tokio::select! {
            changed = sources.changed() => if changed.is_err() { break },
            () = to.closed() => return,
        }
    }
    while forwarding.join_next().await.is_some() {}
}

/// Moves one source's events to a subscriber until either is gone.
async fn forward(of: Queried, filter: Filter, to: mpsc::Sender<Update>) {
    let source = of.source;
    loop {
        let (answer, cursor) = oneshot::channel();
        if of.queries.send(Query::Subscribe(filter.clone(), answer)).await.is_err() {
            return;
        }
        // A source that was started again drops the query: it is asked once more.
        let Ok(StreamCursor { books, mut events }) = cursor.await else {
            if of.queries.is_closed() {
                return;
            }
            continue;
        };
        for event in books {
            if to.send(Update::Event { source: source.clone(), event }).await.is_err() {
                return;
            }
        }
        loop {
            let received = tokio::select! {
                received = events.recv() => received,
                () = to.closed() => return,
            };
            let update = match received {
                Ok(event) if filter.wants(&event) => Update::Event { source: source.clone(), event },
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(events)) => {
                    let missed = Update::Missed { source: source.clone(), exchange: of.exchange, events };
                    if to.send(missed).await.is_err() {
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
