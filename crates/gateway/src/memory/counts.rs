//! Sums over the ledger's state that the status shows, read once for each block instead of with each request.

use openmesh_ledger::{self as ledger, StateError, StateRead};

/// Sums over the state after a block.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Validators of the current set.
    pub validators: u32,
    /// Chunks that a quorum agreed on, since genesis.
    pub chunks_accepted: u64,
    /// Streams that closed in dispute, since genesis.
    pub chunks_disputed: u64,
    /// Streams that closed uncovered, since genesis.
    pub chunks_uncovered: u64,
}

impl Counts {
    /// Reads the sums. Fails where the state cannot be read.
    pub fn read(state: &impl StateRead) -> Result<Counts, StateError> {
        let validators = u32::try_from(ledger::validators(state)?.len()).unwrap_or(u32::MAX);
        let mut counts = Counts { validators, ..Counts::default() };
        for record in ledger::sources(state)? {
            let progress = ledger::source_progress(state, &record.spec.id)?;
            counts.chunks_accepted += progress.chunks_accepted;
            counts.chunks_disputed += progress.streams_disputed;
            counts.chunks_uncovered += progress.streams_uncovered;
        }
        Ok(counts)
    }
}
