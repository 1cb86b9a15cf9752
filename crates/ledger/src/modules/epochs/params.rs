//! Parameters of epochs.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::limits::in_range;

/// Parameters of epochs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EpochsParams {
    /// Length of an epoch, blocks.
    pub epoch_blocks: u64,
}

impl Default for EpochsParams {
    fn default() -> EpochsParams {
        EpochsParams { epoch_blocks: 120 }
    }
}

impl EpochsParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[(self.epoch_blocks > 0, "epochs.epoch_blocks")])
    }
}
