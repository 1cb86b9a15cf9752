//! Records of accounts.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::state::{StateError, StateRead, decode, need, read, readable};

/// An account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Account {
    /// In units of 10^-18 OPEN.
    pub balance: Amount,
    /// Number of transactions it has sent.
    pub nonce: u64,
}

/// The supply as fixed by the genesis. Fails if the store does, or is not of a network.
pub fn supply(state: &dyn StateRead) -> Result<Amount, StateError> {
    need(state, keys::SUPPLY)
}

/// An account; one that never received anything is empty. Fails if the store does.
pub fn account(state: &dyn StateRead, address: &Address) -> Result<Account, StateError> {
    Ok(read(state, &keys::account(address))?.unwrap_or_default())
}

/// Adds up all accounts: returns their sum, and true if it is the supply. Reads every account: for tests and `doctor`.
/// Fails if the store does, or if the sum exceeds 128 bits.
pub fn check_supply(state: &dyn StateRead) -> Result<(Amount, bool), StateError> {
    /// Accounts read at a time, which bounds the memory.
    const PAGE: usize = 1_024;
    let mut sum = Amount::ZERO;
    let mut from: Option<Vec<u8>> = None;
    loop {
        let page = state.scan(keys::ACCOUNTS, from.as_deref(), PAGE)?;
        for (key, value) in &page {
            let account: Account = decode(key, value)?;
            let reason = || "the sum of the balances does not fit in 128 bits".to_string();
            sum = sum
                .checked_add(account.balance)
                .ok_or_else(|| StateError::Damaged { key: readable(key), reason: reason() })?;
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => from = Some([key.as_slice(), &[0]].concat()),
            _ => return Ok((sum, sum == supply(state)?)),
        }
    }
}
