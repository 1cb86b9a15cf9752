//! Records of stamps.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::state::{StateError, StateRead, read};

/// A stamp: in the state, as a fact, and in its event.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct StampRecord {
    /// SHA-256 of what is stamped.
    pub hash: Digest,
    /// Its subject: `xnode.drill`.
    pub topic: String,
    /// The account that stamped it.
    pub account: Address,
    /// A word of the account about it, such as a CID; may be empty.
    pub note: String,
    /// Of the block.
    pub height: Height,
    /// Number within the block.
    pub number: u32,
    /// Of the block.
    pub time: Timestamp,
    /// Hash of the transaction.
    pub transaction: Digest,
}

/// The name of a stamp in the state: what leads from its place to its record.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StampName {
    /// SHA-256 of what is stamped.
    pub hash: Digest,
    /// Its subject.
    pub topic: String,
    /// The account that stamped it.
    pub account: Address,
}

/// The number of an account's stamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct StampCount {
    /// Epoch of the last one.
    pub epoch: u64,
    /// In that epoch.
    pub in_epoch: u32,
    /// Since genesis.
    pub total: u64,
}

impl StampCount {
    /// Number of stamps in an epoch that is not before the last stamp's.
    pub(crate) const fn of_epoch(&self, epoch: u64) -> u32 {
        if self.epoch == epoch { self.in_epoch } else { 0 }
    }

    /// With one more in an epoch.
    pub(crate) const fn with_one(&self, epoch: u64) -> StampCount {
        StampCount { epoch, in_epoch: self.of_epoch(epoch).saturating_add(1), total: self.total.saturating_add(1) }
    }
}

impl StampRecord {
    /// Its name in the state.
    pub fn name(&self) -> StampName {
        StampName { hash: self.hash, topic: self.topic.clone(), account: self.account }
    }
}

/// A stamp of an account, while it stands in the state. Fails if the store does.
pub fn stamp(
    state: &dyn StateRead,
    hash: &Digest,
    topic: &str,
    account: &Address,
) -> Result<Option<StampRecord>, StateError> {
    read(state, &keys::stamp(hash, topic, account))
}

/// The stamp of a place, while it stands in the state. Fails if the store does.
pub fn stamp_at(state: &dyn StateRead, height: Height, number: u32) -> Result<Option<StampRecord>, StateError> {
    let name: Option<StampName> = read(state, &keys::stamp_place(height, number))?;
    name.map_or(Ok(None), |name| stamp(state, &name.hash, &name.topic, &name.account))
}

/// The number of an account's stamps. Fails if the store does.
pub fn stamp_count(state: &dyn StateRead, account: &Address) -> Result<StampCount, StateError> {
    Ok(read(state, &keys::stamp_count(account))?.unwrap_or_default())
}
