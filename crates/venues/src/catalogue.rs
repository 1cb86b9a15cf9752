//! Catalogue of what is served: by this the collectors' subscriptions and the ledger's sources are configured.

use openmesh_market::{Exchange, Feed};
use openmesh_primitives::{Symbol, Timestamp};
use serde::Serialize;

/// Catalogue of what is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Catalogue {
    /// True where the market is made up.
    pub simulated: bool,
    /// Instruments and their feeds, by venue and symbol.
    pub entries: Vec<CatalogueEntry>,
    /// Recordings; for a simulation one set that has no end.
    pub sets: Vec<SetInfo>,
}

/// One instrument of a venue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CatalogueEntry {
    /// Venue.
    pub exchange: Exchange,
    /// Our name.
    pub symbol: Symbol,
    /// The venue's name.
    pub instrument: String,
    /// Feeds.
    pub feeds: Vec<Feed>,
    /// Name of its set.
    pub set: String,
}

/// A recording, or the simulation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetInfo {
    /// Name: the folder's, or `simulation`.
    pub name: String,
    /// Venues in it.
    pub exchanges: Vec<Exchange>,
    /// First time that the venue gave a message; `None` in a simulation, whose time is now.
    pub first_venue_time: Option<Timestamp>,
    /// Last time that the venue gave a message.
    pub last_venue_time: Option<Timestamp>,
    /// Length in milliseconds as recorded; 0 for no end.
    pub length_ms: u64,
    /// Frames that are served.
    pub frames: u64,
}

impl Catalogue {
    /// The venues, in order.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let mut all: Vec<Exchange> = self.entries.iter().map(|e| e.exchange).collect();
        all.sort();
        all.dedup();
        all
    }

    /// A venue's instruments.
    pub fn of(&self, exchange: Exchange) -> impl Iterator<Item = &CatalogueEntry> {
        self.entries.iter().filter(move |e| e.exchange == exchange)
    }
}
