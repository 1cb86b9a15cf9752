//! The liveness of a source: the one type that gateway, doctor and metrics read.

use openmesh_market::Exchange;
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Liveness of a source as seen by this node. Counters are since the source was started or changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceLiveness {
    /// Source id.
    pub source: String,
    /// Venue.
    pub exchange: Exchange,
    /// Connections that the session asked for.
    pub connections: usize,
    /// Connections that are open.
    pub connections_open: usize,
    /// Books in step with the venue.
    pub books_in_step: usize,
    /// Frames received.
    pub frames: u64,
    /// Events decoded.
    pub events: u64,
    /// Incidents.
    pub incidents: u64,
    /// Connections opened again.
    pub reconnects: u64,
    /// Capture time of the last frame.
    pub last_frame: Option<Timestamp>,
    /// Highest venue time seen.
    pub watermark: Option<Timestamp>,
    /// Capture time less venue's time of the last trade or book change, in milliseconds.
    pub lag_ms: i64,
    /// Windows closed.
    pub windows: u64,
    /// Chunks vouched for.
    pub chunks_covered: u64,
    /// Streams' windows not covered.
    pub chunks_not_covered: u64,
    /// Chunks withdrawn after they were vouched for.
    pub withdrawn: u64,
    /// Windows, withdrawals and incidents that were given up because their reader took nothing for too long.
    pub outputs_dropped: u64,
    /// Lines of raw frames that could not be archived; the manifest says so too.
    pub lines_lost: u64,
    /// Last incident, for people.
    pub last_incident: Option<String>,
    /// Trouble of archive or disk, for people; `None` once everything that waited is kept.
    pub archive_trouble: Option<String>,
    /// End of the wait that the venue has imposed on this address; `None` where there is none.
    pub banned_until: Option<Timestamp>,
}

impl SourceLiveness {
    pub(crate) fn new(source: &str, exchange: Exchange) -> SourceLiveness {
        SourceLiveness {
            source: source.to_owned(),
            exchange,
            connections: 0,
            connections_open: 0,
            books_in_step: 0,
            frames: 0,
            events: 0,
            incidents: 0,
            reconnects: 0,
            last_frame: None,
            watermark: None,
            lag_ms: 0,
            windows: 0,
            chunks_covered: 0,
            chunks_not_covered: 0,
            withdrawn: 0,
            outputs_dropped: 0,
            lines_lost: 0,
            last_incident: None,
            archive_trouble: None,
            banned_until: None,
        }
    }

    /// Returns true when every connection that the source needs is open.
    pub const fn is_connected(&self) -> bool {
        self.connections > 0 && self.connections_open == self.connections
    }
}

/// The place where a source's tasks write its liveness; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LivenessCell(watch::Sender<SourceLiveness>);

impl LivenessCell {
    pub(crate) fn new(liveness: SourceLiveness) -> LivenessCell {
        LivenessCell(watch::Sender::new(liveness))
    }

    /// Changes what grows with every frame, without waking readers.
    pub(crate) fn count(&self, change: impl FnOnce(&mut SourceLiveness)) {
        self.0.send_if_modified(|liveness| {
            change(liveness);
            false
        });
    }

    /// Changes it and wakes readers.
    pub(crate) fn set(&self, change: impl FnOnce(&mut SourceLiveness)) {
        self.0.send_modify(change);
    }

    pub(crate) fn get(&self) -> SourceLiveness {
        self.0.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<SourceLiveness> {
        self.0.subscribe()
    }
}
