//! The register of sources as the state has it, and which of them this node collects.
//!
//! A validator collects what it is assigned in the current epoch, in the one before for as long as windows of it may be
//! open, and in the next one as soon as its draw is known, so that its connections stand when the epoch begins. Besides it
//! collects what its operator wants to keep live. [`Collected::read`] is pure; [`follow`] looks at the state after each
//! block and tells changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use openmesh_engine::CommittedBlock;
use openmesh_ledger::{self as ledger, SourceRecord, SourceSpec, StateError, StateRead};
use openmesh_primitives::{Address, Height, report};
use openmesh_storage::{Store, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Blocks into an epoch during which the sources of the epoch before are still collected: as long as the attester waits
/// for a window that nobody has opened.
const OVERLAP_BLOCKS: u64 = 64;

/// Sources that are collected whether or not they are assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepLive {
    /// All registered ones.
    All,
    /// Those with these ids.
    Only(BTreeSet<String>),
}

impl KeepLive {
    fn contains(&self, id: &str) -> bool {
        match self {
            KeepLive::All => true,
            KeepLive::Only(ids) => ids.contains(id),
        }
    }
}

/// The register of sources after a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// All sources, ascending by id.
    pub registered: Vec<SourceRecord>,
    /// Ids of those that this node collects.
    pub collected: BTreeSet<String>,
    /// The current epoch.
    pub epoch: u64,
}

impl Sources {
    /// The sources that this node collects, as they are to be collected in the current epoch, ascending by id.
    pub fn collected(&self) -> impl Iterator<Item = SourceSpec> {
        let collected = self.registered.iter().filter(|record| self.collected.contains(&record.spec.id));
        collected.map(|record| record.spec_in(self.epoch))
    }
}

/// The rule by which a node chooses what it collects.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The validator of this node.
    pub validator: Address,
    /// Sources that its operator keeps live.
    pub keep_live: KeepLive,
}

impl Collected {
    /// The register and this node's part of it. Fails where the state cannot be read.
    pub fn read(&self, state: &impl StateRead) -> Result<Sources, StateError> {
        let registered = ledger::sources(state)?;
        let epochs = epochs(state)?;
        let mut collected = BTreeSet::new();
        for record in &registered {
            let id = &record.spec.id;
            // A source that takes no attestations yet may be looked at already, one that is retired may not.
            let lives = record.retires_from_epoch.is_none_or(|from| epochs.iter().any(|epoch| *epoch < from));
            if (lives && self.keep_live.contains(id)) || self.is_assigned(state, record, &epochs)? {
                collected.insert(id.clone());
            }
        }
        Ok(Sources { registered, collected, epoch: epochs[0] })
    }

    fn is_assigned(&self, state: &impl StateRead, source: &SourceRecord, epochs: &[u64]) -> Result<bool, StateError> {
        for epoch in epochs.iter().filter(|epoch| source.is_active(**epoch)) {
            if ledger::assigned(state, &source.spec.id, *epoch)?.iter().any(|v| v.address == self.validator) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The epochs whose draws count now: the current one first, then those of the state around it.
fn epochs(state: &impl StateRead) -> Result<Vec<u64>, StateError> {
    let (epoch, height) = (ledger::current_epoch_record(state)?, ledger::block_meta(state)?.height);
    let (current, begun) = (epoch.number, epoch.first_height);
    let mut epochs = vec![current];
    for other in [current.checked_sub(1).filter(|_| height < begun + OVERLAP_BLOCKS), current.checked_add(1)] {
        if let Some(other) = other
            && ledger::epoch(state, other)?.is_some()
        {
            epochs.push(other);
        }
    }
    Ok(epochs)
}

/// Dependencies of following.
pub struct Deps {
    /// The ledger's store.
    pub store: Store,
    /// Committed blocks.
    pub committed: broadcast::Receiver<Arc<CommittedBlock>>,
    /// Cancelled to stop.
    pub stop: CancellationToken,
}

/// Follows the register from the state as it is. Fails where that cannot be read.
pub async fn follow(
    rule: Collected,
    deps: Deps,
) -> Result<(watch::Receiver<Arc<Sources>>, JoinHandle<()>), StateError> {
    let first = read(&rule, &deps.store).await?;
    let (sender, receiver) = watch::channel(Arc::new(first));
    Ok((receiver, tokio::spawn(run(rule, deps, sender))))
}

async fn run(rule: Collected, mut deps: Deps, sender: watch::Sender<Arc<Sources>>) {
    let mut seen: Height = 0;
    while let Some(block) = deps.stop.run_until_cancelled(deps.committed.recv()).await {
        if matches!(block, Err(RecvError::Closed)) {
            return;
        }
        // Blocks that came meanwhile are in the state already.
        let height = deps.store.tip().height;
        if height == seen {
            continue;
        }
        match read(&rule, &deps.store).await {
            Ok(sources) => {
                seen = height;
                sender.send_if_modified(|before| {
                    let changed = **before != sources;
                    if changed {
                        *before = Arc::new(sources);
                    }
                    changed
                });
            }
            Err(error) => tracing::error!(error = report(&error), "the register of sources cannot be read"),
        }
    }
}

async fn read(rule: &Collected, store: &Store) -> Result<Sources, StateError> {
    let (rule, store) = (rule.clone(), store.clone());
    let read = tokio::task::spawn_blocking(move || {
        let state = store.state().map_err(|e: StoreError| StateError::Read(report(&e)))?;
        rule.read(&state)
    });
    match read.await {
        Ok(read) => read,
        Err(error) => match error.try_into_panic() {
            // As loud as in this task.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(StateError::Read(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests;
