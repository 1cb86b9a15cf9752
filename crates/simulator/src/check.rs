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
    /// Windows closed.
    pub windows: u64,
    /// Chunks accepted.
    pub chunks: u64,
    /// Account transactions that took effect.
    pub transfers: u64,
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
    /// An incident that calls somebody honest a liar.
    #[error("an honest validator is named: {0}")]
    Slander(String),
    /// A block without the commit of its parent.
    #[error("block {0} does not carry a commit of its parent")]
    NoCommit(Height),
    /// The sum of the balances is not the supply.
    #[error("validator {0}: the sum of all balances is not the supply")]
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
