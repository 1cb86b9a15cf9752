//! Parameters of epochs.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::limits::{EPOCH_MS_MAX, EPOCH_MS_MIN, EPOCHS_KEPT, MIX_BLOCKS_MAX};
use crate::limits::in_range;

/// Parameters of epochs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EpochsParams {
    /// Length of an epoch, milliseconds of block time.
    pub epoch_ms: u64,
    /// Number of blocks from the beginning of an epoch whose proposers' outputs go into the draw of the next one. Whoever chooses
    /// when an epoch begins knows the draw only if all of these blocks are its own.
    pub mix_blocks: u64,
    /// Number of epochs for which closed windows, their chunks and incidents stay in the state after the epoch in which they
    /// became facts. A longer time makes the state larger, a shorter one sends more readers to the nodes that keep facts.
    pub details_kept_epochs: u64,
    /// Most keys of details that leave the state with one block, whatever is due: a block that removes thousands takes a second. Mostly
    /// far fewer leave ([`crate::PRUNING_SPEED`]). More than a busy block adds, or the state grows.
    pub pruned_keys_per_block_max: u32,
}

impl Default for EpochsParams {
    fn default() -> EpochsParams {
        EpochsParams { epoch_ms: 3_600_000, mix_blocks: 128, details_kept_epochs: 6, pruned_keys_per_block_max: 4_096 }
    }
}

impl EpochsParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[
            ((EPOCH_MS_MIN..=EPOCH_MS_MAX).contains(&self.epoch_ms), "epochs.epoch_ms"),
            (self.mix_blocks <= MIX_BLOCKS_MAX, "epochs.mix_blocks"),
            ((1..EPOCHS_KEPT).contains(&self.details_kept_epochs), "epochs.details_kept_epochs"),
            (self.pruned_keys_per_block_max > 0, "epochs.pruned_keys_per_block_max"),
        ])
    }
}
