//! Records of epochs.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, Height};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::modules::validators::ValidatorSet;
use crate::state::{StateError, StateRead, read};

/// An epoch's seed and the validators that are assigned by it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EpochRecord {
    /// [`crate::epoch_seed`].
    pub seed: Digest,
    /// Height of its first block.
    pub first_height: Height,
    /// The set at that height.
    pub validators: ValidatorSet,
}

/// An epoch's record, for the current epoch and [`crate::EPOCHS_KEPT`] before it. Fails if the store does.
pub fn epoch(state: &dyn StateRead, number: u64) -> Result<Option<EpochRecord>, StateError> {
    read(state, &keys::epoch(number))
}
