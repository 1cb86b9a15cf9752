//! Limits of evidence.

/// Maximum age of evidence, in blocks: about a day of blocks each second, as CometBFT's default in blocks.
pub const EVIDENCE_AGE_BLOCKS_MAX: u64 = 100_000;

/// Most pieces of evidence in one block: it has no fee, and more waits for the next block.
pub const EVIDENCE_PER_BLOCK_MAX: usize = 16;
