//! Answers to those who join, read from the store as it stands.

use openmesh_ledger::light::ValidatorChange;
use openmesh_primitives::{Height, Timestamp, canonical, report};
use openmesh_storage::{Store, StoreError};

use crate::metrics::Metrics;
use crate::wire::{Anchor, HEIGHT_MAX, Offer, Question, SnapshotOffer};

/// Heights between two snapshots, where nothing else is set: a quarter of an hour of blocks of a second, so that a node which joined
/// has few blocks to catch up, and a snapshot is offered for at least as long as the slowest fetch takes. Nothing is prepared for one.
pub const SNAPSHOT_INTERVAL_HEIGHTS: u64 = 1_000;
/// Snapshots that are offered: while one is fetched, the next comes.
const SNAPSHOTS_MAX: usize = 2;
/// Bytes of one answer of changes of validators, unless a single one is longer.
const CHANGES_BYTES_MAX: usize = 2 << 20;
/// Heights in one answer: four months of a change each hour.
const CHANGE_HEIGHTS_MAX: usize = 3_000;

/// A node's answers to those who join.
#[derive(Clone)]
pub struct Snapshots {
    store: Store,
    interval: u64,
    metrics: Metrics,
}

/// The answer of a node that has nothing yet: it tells others of a network which just begins that there is nothing to wait for.
pub fn answer_of_a_new_node(question: &[u8]) -> Option<Vec<u8>> {
    match canonical::decode(question) {
        Ok(Question::Offer) => Some(canonical::encode(&Offer::default())),
        Ok(Question::Clock) => Some(clock()),
        _ => None,
    }
}

/// This node's clock, as an answer.
fn clock() -> Vec<u8> {
    canonical::encode(&Timestamp::now().millis())
}

impl Snapshots {
    /// Offers of a store, at multiples of `interval`.
    pub fn new(store: Store, interval: u64, metrics: Metrics) -> Snapshots {
        Snapshots { store, interval: interval.max(1), metrics }
    }

    /// Answers a question; `None` where it is none, or where this node does not have what is asked for. Blocks on the disk.
    pub fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let question: Question = canonical::decode(question).ok()?;
        if question.height() > HEIGHT_MAX {
            return None;
        }
        match self.answered(question) {
            Ok(answer) => answer,
            // Asked for something that is gone, or not there yet.
            Err(StoreError::Pruned { .. } | StoreError::Beyond { .. } | StoreError::NoChunk { .. }) => None,
            Err(error) => {
                tracing::error!(?question, error = report(&error), "a peer that joins cannot be answered");
                None
            }
        }
    }

    fn answered(&self, question: Question) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(match question {
            Question::Offer => Some(canonical::encode(&self.offer()?)),
            Question::Clock => Some(clock()),
            Question::Changes { after } => self.changes(after)?.map(|changes| canonical::encode(&changes)),
            Question::ChangeHeights { after } => {
                let heights = self.is_known(after)?.then(|| self.store.set_changes(after, CHANGE_HEIGHTS_MAX));
                heights.transpose()?.map(|heights| canonical::encode(&heights))
            }
            Question::Step { height } => self.store.light_step(height)?.map(|step| canonical::encode(&step)),
            Question::Validators { height } if height > 0 && self.is_known(height - 1)? => {
                Some(canonical::encode(&self.store.validators_at(height)?))
            }
            Question::Validators { .. } => None,
            Question::Anchor { height } => self.anchor(height)?.map(|anchor| canonical::encode(&anchor)),
            // Of a coarser cut than the one that is offered nothing is read: megabytes for an answer that is too large.
            Question::Chunk { height, depth, .. } if depth < self.store.snapshot_depth(height)? => None,
            Question::Chunk { height, depth, index } => {
                let chunk = self.store.snapshot_chunk(height, depth, index)?;
                self.metrics.chunks_served.inc();
                Some(canonical::encode(&chunk))
            }
        })
    }

    /// Returns what this node has.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn offer(&self) -> Result<Offer, StoreError> {
        let tip = self.store.tip().height;
        let newest = tip.saturating_sub(1) / self.interval;
        let heights = (0..=newest).rev().take(SNAPSHOTS_MAX).map(|n| n * self.interval).filter(|height| *height > 0);
        let mut snapshots = Vec::new();
        for height in heights {
            let Some((header, _)) = self.store.header(height + 1)? else { continue };
            match self.store.snapshot_depth(height) {
                Ok(depth) => snapshots.push(SnapshotOffer { height, state_root: header.state_root, depth }),
                // A node that has just joined has no older trees.
                Err(StoreError::Pruned { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (oldest_block, walk_from) = (self.store.oldest_block(), self.store.walk_from()?);
        Ok(Offer { tip, oldest_block, walk_from, snapshots })
    }

    /// Returns true where the validators after a height are known here.
    fn is_known(&self, height: Height) -> Result<bool, StoreError> {
        Ok(height >= self.store.walk_from()?)
    }

    fn changes(&self, after: Height) -> Result<Option<Vec<ValidatorChange>>, StoreError> {
        if !self.is_known(after)? {
            return Ok(None);
        }
        let (mut steps, mut bytes) = (Vec::new(), 0);
        for height in self.store.set_changes(after, CHANGE_HEIGHTS_MAX)? {
            let Some(step) = self.store.light_step(height)? else { break };
            bytes += canonical::encode(&step).len();
            if !steps.is_empty() && bytes > CHANGES_BYTES_MAX {
                break;
            }
            steps.push(step);
        }
        Ok(Some(steps))
    }

    fn anchor(&self, height: Height) -> Result<Option<Anchor>, StoreError> {
        let (Some(stored), Some((next_header, next_certificate))) =
            (self.store.block(height)?, self.store.header(height + 1)?)
        else {
            return Ok(None);
        };
        Ok(Some(Anchor { block: stored.block, certificate: stored.certificate, next_header, next_certificate }))
    }
}
