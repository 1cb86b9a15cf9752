//! Ingestion: committed blocks, agreed chunks and raw segments become rows of the tables.
//!
//! # What it owns
//! The rows of blocks ([`Register::rows`]), the queue of chunks that the tables lack ([`Awaited`]), the archive's segments
//! and this node's incidents ([`Incidents`]) as tables, and how far all that is ([`Progress`]), which is told with every answer that is made of tables.
//!
//! # Shape
//! The lake says how far it has come, so after a crash the rest is taken from the store again; appending twice changes
//! nothing. Blocks come first, then the chunks that were agreed on in them, as they can be had: a chunk that nobody gives
//! holds nothing up. Rows and queue are pure cores; [`start`] drives them. Disks are read and blocks decoded on threads for
//! blocking work.
//!
//! # On failure
//! What may pass is tried again with the next block or turn, what cannot pass is counted as missing. A panic ends the
//! task: the node is to end with it, because tables that stand still look like tables.

pub mod awaited;
mod blocks;
mod chunks;
mod incidents;
mod memory;
mod progress;
mod rows;
mod segments;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

use openmesh_content::BlockStore;
use openmesh_engine::CommittedBlock;
use openmesh_lake::Lake;
use openmesh_primitives::{Height, report};
use openmesh_storage::Store;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use awaited::{Awaited, Counts};
pub use chunks::{Fetch, FetchError};
pub use incidents::{IncidentQueue, Incidents};
pub use progress::Progress;
pub use rows::{Register, accepted};

use crate::progress::Shared;

/// Blocks scanned for chunks on a start of tables that never wrote their queue down.
const BLOCKS_BACK: u64 = 3_600;

/// Settings of ingestion.
#[derive(Clone, Debug)]
pub struct Config {
    /// File for the queue of awaited chunks.
    pub memory_file: PathBuf,
    /// Folder of the collector's archive.
    pub archive: PathBuf,
    /// Folder in which the positions in its manifests are remembered.
    pub segments_read: PathBuf,
}

/// Dependencies of ingestion.
pub struct Deps {
    /// The ledger's store.
    pub store: Store,
    /// Content held here.
    pub content: Arc<BlockStore>,
    /// The tables.
    pub lake: Lake,
    /// Content held by peers.
    pub fetch: Fetch,
    /// Committed blocks.
    pub committed: broadcast::Receiver<Arc<CommittedBlock>>,
    /// Incidents that this node notices.
    pub incidents: IncidentQueue,
    /// Cancelled to drain and stop.
    pub stop: CancellationToken,
}

/// Running ingestion; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    progress: watch::Receiver<Progress>,
}

impl Handle {
    /// Progress now.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Progress now and each change of it.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
}

/// Starts ingestion where the tables are. To be called within a Tokio runtime. The task ends when the token was cancelled
/// and all rows are in files, or when a part of it ended.
pub async fn start(config: Config, deps: Deps) -> (Handle, JoinHandle<()>) {
    let Config { memory_file, archive, segments_read } = config;
    let (lake, file) = (deps.lake.clone(), memory_file.clone());
    let awaited = work::blocking(move || restore(&file, &lake)).await;
    let remembered = awaited.scanned_height();
    let shared = Shared::new(awaited);
    shared.publish(&deps.lake);
    let handle = Handle { progress: shared.subscribe() };
    let Deps { store, content, lake, fetch, committed, incidents, stop } = deps;
    let blocks = blocks::Blocks::new(store.clone(), lake.clone(), shared.clone());
    let segments = segments::Segments::new(archive, segments_read, store.clone(), lake.clone());
    let mut chunks = chunks::Chunks { store, content, lake: lake.clone(), fetch, shared, memory_file, remembered };
    let task = tokio::spawn(async move {
        // A part that ends by itself ends the others: half of ingestion is worse than none.
        let parts = stop.child_token();
        let [one, two, three, four] = [(); 4].map(|()| parts.clone());
        futures::future::join4(
            ending(blocks.run(committed, one), &parts),
            ending(chunks.run(two), &parts),
            ending(segments.run(three), &parts),
            ending(incidents::run(incidents, lake.clone(), four), &parts),
        )
        .await;
        if let Err(error) = lake.flush().await {
            tracing::error!(error = report(&error), "the lake could not write what it holds in memory");
        }
        // Behind the flush: rows that are in files by now are done with.
        chunks.remember(1).await;
    });
    (handle, task)
}

async fn ending(part: impl Future<Output = ()>, parts: &CancellationToken) {
    part.await;
    parts.cancel();
}

/// The queue as the last run left it.
fn restore(file: &std::path::Path, lake: &Lake) -> Awaited {
    let height: Height = lake.ledger_height().unwrap_or(0);
    match memory::read(file) {
        Ok(Some(memory)) => {
            Awaited::restore(memory, height, |cid| lake.missing(&[*cid]).is_ok_and(|missing| missing.is_empty()))
        }
        Ok(None) => Awaited::new(height.saturating_sub(BLOCKS_BACK)),
        Err(error) => {
            tracing::warn!(%error, ?file, "the queue of awaited chunks cannot be read: all blocks are scanned again");
            Awaited::new(0)
        }
    }
}

#[cfg(test)]
mod tests;
