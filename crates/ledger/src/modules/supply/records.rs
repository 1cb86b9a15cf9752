//! Records of the supply, and the equation between them. Clause SU-3 of `docs/spec/supply.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use serde::{Deserialize, Serialize};

use super::keys;
use super::limits::SUPPLY_CAP;
use super::tree::{POOLS, PoolSpec};
use crate::modules::accounts::{Account, keys as account_keys};
use crate::modules::deposits::{Deposit, keys as deposit_keys};
use crate::state::{StateError, StateRead, decode, need, read, readable};

/// The whole of OPEN by the places where it stands. Their sum is [`SUPPLY_CAP`] after every block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Supply {
    /// In the named pools.
    pub pools: Amount,
    /// In accounts.
    pub accounts: Amount,
    /// Held for records that accounts have stored; it comes back when the record goes.
    pub deposits: Amount,
    /// Burnt: base fees. It never comes back.
    pub burnt: Amount,
}

/// A pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Pool {
    /// Amount that the genesis put into it, before anything was granted.
    pub allocated: Amount,
    /// Amount that is in it.
    pub balance: Amount,
}

impl Supply {
    /// The sum of the places; `None` where it does not fit in 128 bits.
    pub fn sum(&self) -> Option<Amount> {
        let places = [self.pools, self.accounts, self.deposits, self.burnt];
        places.into_iter().try_fold(Amount::ZERO, Amount::checked_add)
    }

    /// Returns true if nothing was made or lost.
    pub fn is_whole(&self) -> bool {
        self.sum() == Some(SUPPLY_CAP)
    }

    /// The amount that exists: the cap without what was burnt.
    pub const fn existing(&self) -> Amount {
        Amount(SUPPLY_CAP.0.saturating_sub(self.burnt.0))
    }
}

/// The whole of OPEN by its places. Fails if the store does, or is not of a network.
pub fn supply(state: &dyn StateRead) -> Result<Supply, StateError> {
    need(state, keys::SUPPLY)
}

/// The pools, in the order of the tree. Fails if the store does, or is not of a network.
pub fn pools(state: &dyn StateRead) -> Result<Vec<(&'static PoolSpec, Pool)>, StateError> {
    POOLS.iter().map(|spec| Ok((spec, need(state, &keys::pool(spec.name))?))).collect()
}

/// A pool by its name. Fails if the store does.
pub fn pool(state: &dyn StateRead, name: &str) -> Result<Option<Pool>, StateError> {
    read(state, &keys::pool(name))
}

/// Adds up every account, pool and deposit: returns their sum with what was burnt, and true if that is the cap and each place
/// is what [`Supply`] says of it. Reads every account: for tests and `doctor`. Fails if the store does, or if a sum exceeds 128
/// bits.
pub fn check_supply(state: &dyn StateRead) -> Result<(Amount, bool), StateError> {
    let noted = supply(state)?;
    let counted = Supply {
        pools: total(state, keys::POOLS, |key, value| Ok(decode::<Pool>(key, value)?.balance))?,
        accounts: total(state, account_keys::ACCOUNTS, |key, value| Ok(decode::<Account>(key, value)?.balance))?,
        deposits: total(state, deposit_keys::DEPOSITS, |key, value| Ok(decode::<Deposit>(key, value)?.amount))?,
        burnt: noted.burnt,
    };
    let sum = counted.sum().ok_or_else(|| overflow(keys::SUPPLY))?;
    Ok((sum, sum == SUPPLY_CAP && counted == noted))
}

/// Adds up what stands under a prefix.
fn total(
    state: &dyn StateRead,
    prefix: &[u8],
    amount: impl Fn(&[u8], &[u8]) -> Result<Amount, StateError>,
) -> Result<Amount, StateError> {
    /// Values read at a time, which bounds the memory.
    const PAGE: usize = 1_024;
    let mut sum = Amount::ZERO;
    let mut from: Option<Vec<u8>> = None;
    loop {
        let page = state.scan(prefix, from.as_deref(), PAGE)?;
        for (key, value) in &page {
            sum = sum.checked_add(amount(key, value)?).ok_or_else(|| overflow(key))?;
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => from = Some([key.as_slice(), &[0]].concat()),
            _ => return Ok(sum),
        }
    }
}

fn overflow(key: &[u8]) -> StateError {
    StateError::Damaged { key: readable(key), reason: "the sum does not fit in 128 bits".to_string() }
}
