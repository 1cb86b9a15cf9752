//! Records of deposits.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::state::{StateError, StateRead, read};

/// An amount that is held for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Deposit {
    /// The account that gave it, and that has it back.
    pub owner: Address,
    /// In units of 10^-18 OPEN.
    pub amount: Amount,
}

/// The deposit that is held for a record, by the record's key; `None` if there is none. Fails if the store does.
pub fn deposit(state: &dyn StateRead, record: &[u8]) -> Result<Option<Deposit>, StateError> {
    read(state, &keys::deposit(record))
}
