//! Committed blocks become rows, one after the other.

use std::sync::Arc;

use openmesh_engine::CommittedBlock;
use openmesh_lake::{AcceptedChunkMeta, Lake, LedgerBlock};
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
            // Empty tables begin with the oldest block that is kept: a store may have begun with a snapshot.
            let next = self.lake.ledger_height().map_or_else(|| self.store.oldest_block().max(1), |height| height + 1);
            if next > tip {
                return;
            }
            let (store, register) = (self.store.clone(), self.register.take());
            let last = tip.min(next + BATCH_BLOCKS_MAX - 1);
            let made = blocking(move || make(&store, register, next, last)).await;
            match made {
                Ok((register, made)) => {
                    self.register = Some(register);
                    if !self.append(made).await {
                        return;
                    }
                }
                Err(error) => return tracing::error!(error, height = next, "rows of blocks cannot be made"),
            }
        }
    }

    /// Appends the rows of blocks; `false` where that failed, to be tried again with the next block.
    async fn append(&self, made: Vec<Made>) -> bool {
        for (rows, chunks) in made {
            let height = rows.block.height;
            if let Err(error) = self.lake.append_ledger_block(&rows).await {
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
        let oldest = store.oldest_block();
        return Err(format!(
            "blocks up to {} were removed from the store before the tables had them: to fill the tables from block {oldest} \
             on, stop the node and move its folder data/lake away",
            oldest.saturating_sub(1)
        ));
    }
    let mut made = Vec::with_capacity(blocks.len());
    for stored in &blocks {
        if Register::is_changed_by(&stored.events) {
            register = read()?;
        }
        let rows = register.rows(&stored.block, &stored.certificate, &stored.receipts, &stored.events);
        made.push((rows, accepted(&stored.events).collect()));
    }
    Ok((register, made))
}
