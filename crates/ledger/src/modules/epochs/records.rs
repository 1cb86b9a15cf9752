//! Records of epochs.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, Height, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::merkle::MerklePeaks;
use crate::modules::validators::ValidatorSet;
use crate::state::{StateError, StateRead, need, read};

/// The current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct CurrentEpoch {
    /// Its number, from 0.
    pub number: u64,
    /// Height of its first block.
    pub first_height: Height,
    /// Time of its first block; of epoch 0 before the first block, that of the genesis.
    pub started: Timestamp,
}

/// The draw of an epoch: its seed, and the validators that are assigned by it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EpochRecord {
    /// [`crate::epoch_seed`].
    pub seed: Digest,
    /// Height of the block with which the draw was made: `mix_blocks` after the first of the epoch before.
    pub drawn_height: Height,
    /// The set that was in force when the epoch before began, as its last blocks had fixed it before any of the mixed outputs.
    pub validators: ValidatorSet,
}

/// Numbers of state keys that the details of an epoch's facts have. They are counted as the facts come, and say how fast the keys
/// leave again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct EpochKeys {
    /// Of the windows that closed in it, with their chunks, and of its incidents.
    pub details: u64,
    /// Of its stamps.
    pub stamps: u64,
}

/// A closed epoch: the root over its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ClosedEpoch {
    /// Height of its first block.
    pub first_height: Height,
    /// Height of its last block.
    pub last_height: Height,
    /// Number of its facts.
    pub facts: u64,
    /// Root of the Merkle tree (RFC 6962) over the facts' canonical bytes, in the order of the blocks.
    pub root: Digest,
    /// Keys that leave the state some epochs later.
    pub keys: EpochKeys,
}

/// The epoch of the last block. Fails if the store does, or is not of a network.
pub fn current_epoch_record(state: &dyn StateRead) -> Result<CurrentEpoch, StateError> {
    need(state, keys::CURRENT_EPOCH)
}

/// An epoch's draw: for the current epoch, [`crate::DRAWN_AHEAD_EPOCHS`] after it and [`crate::EPOCHS_KEPT`] before it.
/// Fails if the store does.
pub fn epoch(state: &dyn StateRead, number: u64) -> Result<Option<EpochRecord>, StateError> {
    read(state, &keys::epoch(number))
}

/// A closed epoch. Fails if the store does.
pub fn closed_epoch(state: &dyn StateRead, number: u64) -> Result<Option<ClosedEpoch>, StateError> {
    read(state, &keys::closed_epoch(number))
}

/// The validators that were in force when the current epoch began. Fails if the store does, or is not of a network.
pub fn epoch_validators(state: &dyn StateRead) -> Result<ValidatorSet, StateError> {
    need(state, keys::EPOCH_VALIDATORS)
}

/// The peaks over the facts of the current epoch so far. Fails if the store does.
pub fn fact_peaks(state: &dyn StateRead) -> Result<MerklePeaks, StateError> {
    Ok(read(state, keys::FACTS)?.unwrap_or_default())
}

/// The keys of details that the blocks of the current epoch have added so far. Fails if the store does.
pub fn epoch_keys(state: &dyn StateRead) -> Result<EpochKeys, StateError> {
    Ok(read(state, keys::EPOCH_KEYS)?.unwrap_or_default())
}
