//! Results of a run, and faults that must not happen in one.

use openmesh_engine::EngineError;
use openmesh_ledger::StateError;
use openmesh_primitives::{Digest, Height};

/// Result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Height that all honest validators reached.
    pub height: Height,
    /// Messages delivered.
    pub messages: u64,
    /// Crashes.
    pub crashes: u64,
    /// Highest round in which a block was decided.
    pub round: i64,
    /// Blocks that were not decided in the first round of their height.
    pub late: u64,
    /// Incidents that named the liar for signing twice.
    pub equivocations: u64,
    /// Incidents that named the copier for repeating another's commitment.
    pub copied: u64,
    /// Blocks from the end of a window, as its first collector closed it, to the block with which a chunk of it was agreed on, in the
    /// order of agreement.
    pub agreement_blocks: Vec<u64>,
    /// Windows closed.
    pub windows: u64,
    /// Chunks accepted.
    pub chunks: u64,
    /// Account transactions that took effect.
    pub transfers: u64,
    /// Blocks in which validators' words took more than the room that is reserved for them, beside a stamp.
    pub crowded: u64,
    /// Times that a program ended because it did not know the rules of the next height.
    pub stops: u64,
    /// Upgrades that took place.
    pub upgrades: u64,
    /// Plans that came due and did not stand, or were overtaken.
    pub lapses: u64,
    /// Hash over everything that happened, in order: the same for the same seed.
    pub trace: Digest,
}

/// Violation of a rule.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Two blocks or two states at one height.
    #[error("fork at height {height}: validator {validator} has block {block}, state {state}")]
    Fork {
        /// The height.
        height: Height,
        /// The validator.
        validator: usize,
        /// Its block.
        block: Digest,
        /// Its state after it.
        state: Digest,
    },
    /// A block that was committed is gone after a crash.
    #[error("validator {validator} had committed height {committed}, after its crash it is at {found}")]
    Lost {
        /// The validator.
        validator: usize,
        /// As it had told.
        committed: Height,
        /// As it is.
        found: Height,
    },
    /// The network does not go on although nothing is broken any more.
    #[error("no progress: heights {heights:?} {patience_seconds} s after everything healed, {wanted} were wanted")]
    Stuck {
        /// Of the validators.
        heights: Vec<Height>,
        /// By each honest one.
        wanted: Height,
        /// Within so many seconds.
        patience_seconds: u64,
    },
    /// A chunk that no honest validator saw, or a second one.
    #[error("window {window}: a chunk was accepted that must not be")]
    Chunk {
        /// Of the source.
        window: u64,
    },
    /// A copied word was counted.
    #[error("window {window}: a chunk was accepted with the word of a validator that copies")]
    CopyCounted {
        /// Of the source.
        window: u64,
    },
    /// An incident that calls somebody honest a liar.
    #[error("an honest validator is named: {0}")]
    Slander(String),
    /// A block without the commit of its parent.
    #[error("block {0} does not carry a commit of its parent")]
    NoCommit(Height),
    /// A block whose proposer's output is not the one that follows from the blocks before it.
    #[error("the beacon proof of block {0} does not follow from the blocks before it")]
    Beacon(Height),
    /// Something about an upgrade is not as it must be.
    #[error("validator {validator}: {what}")]
    Upgrade {
        /// The validator.
        validator: usize,
        /// The fault.
        what: String,
    },
    /// Pools, accounts, deposits and what was burnt are not the cap.
    #[error("validator {0}: pools, accounts, deposits and what was burnt do not sum to the cap")]
    Supply(usize),
    /// Agreed chunks are neither in the tables nor awaited nor counted as given up.
    #[error("validator {validator}: {lost} agreed chunks are neither in its tables nor awaited")]
    Tables {
        /// The validator.
        validator: usize,
        /// Number of chunks.
        lost: u64,
    },
    /// A validator failed although its disk did not.
    #[error("validator {validator} failed")]
    Failed {
        /// The validator.
        validator: usize,
        /// Its error.
        #[source]
        error: EngineError,
    },
    /// A state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}
