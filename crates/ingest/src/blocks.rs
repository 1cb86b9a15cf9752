//! Committed blocks become rows, one after the other.

use std::sync::Arc;

use openmesh_engine::CommittedBlock;
use openmesh_lake::{AcceptedChunkMeta, Lake, LedgerBlock, NodeIncidentRow};
use openmesh_primitives::{Height, report};
use openmesh_storage::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::progress::Shared;
use crate::rows::{Register, accepted};
use crate::work::blocking;

/// Blocks whose rows are made at once while catching up: bounds memory, since a block may have some MiB.
const BATCH_BLOCKS_MAX: u64 = 16;

pub(crate) struct Blocks {
    store: Store,
    lake: Lake,
    shared: Shared,
    /// Read before the first block; `None` also where it could not be read.
    register: Option<Register>,
}

/// A block as rows, with the chunks that it accepted.
type Made = (LedgerBlock, Vec<AcceptedChunkMeta>);

impl Blocks {
    pub(crate) fn new(store: Store, lake: Lake, shared: Shared) -> Blocks {
        Blocks { store, lake, shared, register: None }
    }

    /// Makes rows of blocks until the node stops.
    pub(crate) async fn run(
        mut self,
        mut committed: broadcast::Receiver<Arc<CommittedBlock>>,
        stop: CancellationToken,
    ) {
        self.catch_up(&stop).await;
        while let Some(block) = stop.run_until_cancelled(committed.recv()).await {
            match block {
                // The store has it as well: reading from there keeps the order whatever was missed.
                Ok(_) | Err(RecvError::Lagged(_)) => self.catch_up(&stop).await,
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Makes rows of all blocks that are committed.
    async fn catch_up(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let tip = self.store.tip().height;
            let store = self.store.clone();
            let oldest = match blocking(move || store.oldest_executed()).await {
                Ok(oldest) => oldest,
                Err(error) => return tracing::error!(error = report(&error), "the oldest block cannot be read"),
            };
            // Empty tables begin with the oldest block that was executed here: the block of a snapshot has no receipts.
            let next = self.lake.ledger_height().map_or(oldest, |height| height + 1);
            let first = next.max(oldest);
            if first > tip {
                return;
            }
            let (store, register) = (self.store.clone(), self.register.take());
            let last = tip.min(first + BATCH_BLOCKS_MAX - 1);
            if first > next && !self.state_gap(next, first).await {
                return;
            }
            let made = blocking(move || make(&store, register, first, last)).await;
            match made {
                Ok((register, made)) => {
                    self.register = Some(register);
                    if !self.append(made, first > next).await {
                        return;
                    }
                }
                Err(error) => return tracing::error!(error, height = first, "rows of blocks cannot be made"),
            }
        }
    }

    /// States that blocks are missing in the tables for good: they were removed before the tables had them, or this node joined by a
    /// snapshot after them. `false` where that failed, to be tried again with the next block.
    async fn state_gap(&self, next: Height, first: Height) -> bool {
        let detail = format!(
            "the rows of blocks {next} to {} are not in the tables of this node: the blocks are not in its store, or only without their receipts; a node with \
             storage.archive has them",
            first - 1
        );
        tracing::error!(next, first, detail, "the tables have a gap");
        let row = NodeIncidentRow {
            site: "this node".into(),
            source: String::new(),
            time: self.store.tip().time,
            kind: "tables_gap".into(),
            window: None,
            stream: None,
            detail,
        };
        let recorded = self.lake.append_node_incidents(&[row]).await;
        if let Err(error) = &recorded {
            tracing::error!(error = report(error), "a gap of the tables cannot be recorded");
        }
        recorded.is_ok()
    }

    /// Appends the rows of blocks, the first of which may stand behind a gap that was stated; `false` where that failed, to be tried again with the next block.
    async fn append(&self, made: Vec<Made>, after_gap: bool) -> bool {
        for (number, (rows, chunks)) in made.into_iter().enumerate() {
            let height = rows.block.height;
            let appended = match after_gap && number == 0 {
                true => self.lake.append_ledger_block_after_gap(&rows).await,
                false => self.lake.append_ledger_block(&rows).await,
            };
            if let Err(error) = appended {
                tracing::error!(error = report(&error), height, "rows of blocks cannot be written");
                return false;
            }
            {
                let mut awaited = self.shared.awaited();
                // Where earlier blocks come first, or there is no room, the block is scanned when it is its turn.
                if awaited.scanned_height() + 1 == height && awaited.has_room() {
                    awaited.scanned(height, chunks);
                }
            }
            self.shared.publish(&self.lake);
        }
        true
    }
}

/// Reads blocks and makes their rows, in order. Fails where one of them is missing or the store cannot be read.
fn make(
    store: &Store,
    register: Option<Register>,
    first: Height,
    last: Height,
) -> Result<(Register, Vec<Made>), String> {
    let read = || -> Result<Register, String> {
        let state = store.state().map_err(|e| report(&e))?;
        Register::read(&state).map_err(|e| report(&e))
    };
    let mut register = match register {
        Some(register) => register,
        None => read()?,
    };
    let blocks = store.blocks(first..=last).map_err(|e| report(&e))?;
    if blocks.first().map(|stored| stored.block.header.height) != Some(first) {
        // Removed since it was looked at: the next try begins with the oldest that is left.
        return Err(format!("block {first} has just been removed from the store"));
    }
    let mut made = Vec::with_capacity(blocks.len());
    for stored in &blocks {
        if Register::is_changed_by(&stored.events) {
            register = read()?;
        }
        let lacking = register.lacking(&stored.events);
        if !lacking.is_empty() {
            let state = store.state().map_err(|e| report(&e))?;
            register.recall(&state, &lacking).map_err(|e| report(&e))?;
        }
        let rows = register.rows(&stored.block, &stored.certificate, &stored.receipts, &stored.events);
        made.push((rows, accepted(&stored.events).collect()));
    }
    Ok((register, made))
}
