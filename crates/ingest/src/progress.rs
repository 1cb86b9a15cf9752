//! Progress of ingestion, and the queue that its tasks share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmesh_lake::Lake;
use openmesh_primitives::Height;
use tokio::sync::watch;

use crate::awaited::{Awaited, Counts};

/// Progress of the tables behind the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The tables hold all blocks up to this height.
    pub height: Height,
    /// The chunks agreed on in blocks up to this height are in the tables or counted below. Less than `height` where the
    /// tables lack so many chunks that more are not counted, and for a moment after a start.
    pub scanned_height: Height,
    /// Chunks that are not in the tables.
    pub chunks: Counts,
}

/// The queue of awaited chunks, and who is told when it changes. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    awaited: Arc<Mutex<Awaited>>,
    progress: Arc<watch::Sender<Progress>>,
}

impl Shared {
    pub(crate) fn new(awaited: Awaited) -> Shared {
        Shared { awaited: Arc::new(Mutex::new(awaited)), progress: Arc::default() }
    }

    pub(crate) fn awaited(&self) -> MutexGuard<'_, Awaited> {
        // The queue is whole after every statement, so a panic elsewhere does not spoil it.
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Tells the progress. To be called after each change of the queue or the tables.
    pub(crate) fn publish(&self, lake: &Lake) {
        let (chunks, scanned_height) = {
            let awaited = self.awaited();
            (awaited.counts(), awaited.scanned_height())
        };
        let progress = Progress { height: lake.ledger_height().unwrap_or(0), scanned_height, chunks };
        self.progress.send_if_modified(|before| std::mem::replace(before, progress) != progress);
    }
}
