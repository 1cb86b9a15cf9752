//! Records of accounts.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::state::{StateError, StateRead, read};

/// An account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Account {
    /// In units of 10^-18 OPEN.
    pub balance: Amount,
    /// Number of transactions it has sent.
    pub nonce: u64,
}

/// An account; one that never received anything is empty. Fails if the store does.
pub fn account(state: &dyn StateRead, address: &Address) -> Result<Account, StateError> {
    Ok(read(state, &keys::account(address))?.unwrap_or_default())
}
