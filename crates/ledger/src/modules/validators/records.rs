//! Records of validators.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, ValidatorPublicKey};
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
    /// Windows that it opened and that are not closed yet.
    pub open_windows: u32,
    /// Blocks whose commit, as the next block has it, lacks its signature.
    pub unsigned: u64,
    /// Heights at which it was shown to have signed two conflicting messages.
    pub equivocations: u64,
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
            open_windows: 0,
            unsigned: 0,
            equivocations: 0,
        }
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

/// A validator's record, also of one that is no longer in force. Fails if the store does.
pub fn validator_record(state: &dyn StateRead, address: &Address) -> Result<Option<ValidatorRecord>, StateError> {
    read(state, &keys::validator(address))
}
