//! Selection of live events.

use std::collections::BTreeSet;
use std::sync::Arc;

use openmesh_market::{Event, EventKind, Exchange, Feed};
use openmesh_primitives::Symbol;

/// Selection of live events; an empty set selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Source ids.
    pub sources: BTreeSet<Arc<str>>,
    /// Venues.
    pub exchanges: BTreeSet<Exchange>,
    /// Instruments.
    pub symbols: BTreeSet<Symbol>,
    /// Feeds.
    pub feeds: BTreeSet<Feed>,
}

impl Filter {
    /// Selects one feed of one instrument at one venue.
    pub fn one(exchange: Exchange, symbol: Symbol, feed: Feed) -> Filter {
        Filter {
            sources: BTreeSet::new(),
            exchanges: [exchange].into(),
            symbols: [symbol].into(),
            feeds: [feed].into(),
        }
    }

    /// Returns true when an event is selected. An incident is, where it concerns a selected feed of a selected instrument, or
    /// the whole of their source: whoever watches a book must hear that it stands still.
    pub fn wants(&self, event: &Event) -> bool {
        let symbol = |symbol: &Symbol| self.symbols.is_empty() || self.symbols.contains(symbol);
        let feed = |feed: Feed| self.feeds.is_empty() || self.feeds.contains(&feed);
        (self.exchanges.is_empty() || self.exchanges.contains(&event.exchange))
            && match &event.kind {
                EventKind::Incident(incident) => {
                    event.symbol.as_ref().is_none_or(symbol) && incident.feed.is_none_or(feed)
                }
                kind => event.symbol.as_ref().map_or(self.symbols.is_empty(), symbol) && kind.feed().is_some_and(feed),
            }
    }

    pub(crate) fn wants_source(&self, source: &Arc<str>, exchange: Exchange) -> bool {
        (self.exchanges.is_empty() || self.exchanges.contains(&exchange))
            && (self.sources.is_empty() || self.sources.contains(source))
    }

    pub(crate) fn wants_book(&self, symbol: &Symbol) -> bool {
        (self.symbols.is_empty() || self.symbols.contains(symbol))
            && (self.feeds.is_empty() || self.feeds.contains(&Feed::Book))
    }
}
