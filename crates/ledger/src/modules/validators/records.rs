//! Records of validators.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Height, ValidatorPublicKey};
use serde::{Deserialize, Serialize};

use super::keys;
use super::set::ValidatorSet;
use crate::state::{StateError, StateRead, need, read};

/// A validator's record.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ValidatorRecord {
    /// Its key.
    pub public_key: ValidatorPublicKey,
    /// Name for people.
    pub name: String,
    /// The account that earns its fees.
    pub payout: Option<Address>,
    /// Blocks it proposed.
    pub proposed: u64,
    /// Windows it attested.
    pub attested: u64,
    /// Streams in which it differed from the accepted outcome.
    pub differing: u64,
    /// Windows that it was assigned to and did not attest.
    pub missing: u64,
    /// Streams that it abstained from.
    pub abstained: u64,
    /// Windows that it opened and that are not closed yet.
    pub open_windows: u32,
    /// Windows that it opened, that closed in `alone_epoch`, and of which no more than a third of the power spoke.
    pub alone: u32,
    /// The epoch that `alone` counts for.
    pub alone_epoch: u64,
    /// Blocks whose commit, as the next block has it, lacks its signature.
    pub unsigned: u64,
    /// Heights at which it was shown to have signed two conflicting messages.
    pub equivocations: u64,
    /// Windows that it committed to and did not open: it counted as abstaining.
    pub unopened: u64,
    /// Windows that it committed to under another validator's seal.
    pub copied: u64,
}

impl ValidatorRecord {
    /// Of a validator that has done nothing yet.
    pub fn new(public_key: ValidatorPublicKey, name: &str, payout: Option<Address>) -> ValidatorRecord {
        ValidatorRecord {
            public_key,
            name: name.to_string(),
            payout,
            proposed: 0,
            attested: 0,
            differing: 0,
            missing: 0,
            abstained: 0,
            open_windows: 0,
            alone: 0,
            alone_epoch: 0,
            unsigned: 0,
            equivocations: 0,
            unopened: 0,
            copied: 0,
        }
    }

    /// Number of its windows that are open, or that nobody joined in this epoch.
    pub fn windows_alone(&self, epoch: u64) -> u32 {
        let alone = if self.alone_epoch == epoch { self.alone } else { 0 };
        self.open_windows.saturating_add(alone)
    }

    /// Counts a window that it opened and that closed in this epoch; credible: more than a third of the power spoke.
    pub(crate) fn closed_window(&mut self, epoch: u64, credible: bool) {
        self.open_windows = self.open_windows.saturating_sub(1);
        if self.alone_epoch != epoch {
            (self.alone, self.alone_epoch) = (0, epoch);
        }
        self.alone = self.alone.saturating_add(u32::from(!credible));
    }

    /// The account that earns its fees.
    pub fn earner(&self) -> Address {
        self.payout.unwrap_or_else(|| self.public_key.address())
    }
}

/// The validators of the next block. Fails if the store does, or is not of a network.
pub fn validators(state: &dyn StateRead) -> Result<ValidatorSet, StateError> {
    need(state, keys::VALIDATORS_CURRENT)
}

/// The validators that decided the last block; `None` before the first one. Fails if the store does.
pub fn last_validators(state: &dyn StateRead) -> Result<Option<ValidatorSet>, StateError> {
    read(state, keys::VALIDATORS_LAST)
}

/// The validators of the block after the next. Fails if the store does, or is not of a network.
pub fn next_validators(state: &dyn StateRead) -> Result<ValidatorSet, StateError> {
    need(state, keys::VALIDATORS_NEXT)
}

/// Heights at which the validators in force were last seen to propose, attest or sign a precommit. Fails if the store does.
pub fn presence(state: &dyn StateRead) -> Result<BTreeMap<Address, Height>, StateError> {
    Ok(read(state, keys::PRESENCE)?.unwrap_or_default())
}

/// A validator's record, also of one that is no longer in force. Fails if the store does.
pub fn validator_record(state: &dyn StateRead, address: &Address) -> Result<Option<ValidatorRecord>, StateError> {
    read(state, &keys::validator(address))
}
