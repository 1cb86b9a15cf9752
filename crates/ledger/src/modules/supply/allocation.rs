//! The allocation of the supply in a genesis: what each pool holds, and who is granted what of it. Clause SU-2 of
//! `docs/spec/supply.md`.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount};
use serde::{Deserialize, Serialize};

use super::limits::{GRANTS_MAX, SUPPLY_CAP};
use super::records::{Pool, Supply};
use super::tree::{POOLS, PoolSpec};

/// The pool that the balances of a genesis' `accounts` are taken from where it names none.
const ACCOUNTS_FROM: &str = "community";

/// The supply as a genesis has it. Without a word of the genesis it is the tree, nothing granted.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// Every pool of the tree, in its order, with what it holds before anything is granted; their sum is the cap.
    pub pools: Vec<PoolAmount>,
    /// The pool that the balances of the genesis' `accounts` are taken from.
    pub accounts_from: String,
    /// Amounts that accounts are granted of other pools, beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// A pool and an amount.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolAmount {
    /// Name of the pool.
    pub pool: String,
    /// In units of 10^-18 OPEN.
    pub amount: Amount,
}

/// A grant: amount that an account has of a pool from the first block on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Name of the pool.
    pub pool: String,
    /// The account.
    pub to: Address,
    /// In units of 10^-18 OPEN.
    pub amount: Amount,
}

/// A refusal of an allocation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// Another list of pools than that of the tree.
    #[error(
        "pool {place} is {got:?}, {expected:?} is expected there: every pool of the tree stands once, in its order"
    )]
    Pools {
        /// Position in the list, from 1.
        place: usize,
        /// The tree's; empty where it has no more.
        expected: &'static str,
        /// The genesis'; empty where it has no more.
        got: String,
    },
    /// The pools are more or less than the cap.
    #[error("the pools sum to {got} units, the cap is {SUPPLY_CAP}")]
    Sum {
        /// Their sum; the highest number of 128 bits where it does not fit.
        got: Amount,
    },
    /// A name that no pool has.
    #[error("there is no pool {0:?}")]
    Unknown(String),
    /// More is granted than the pool has.
    #[error("of the pool {pool} {granted} units are granted, it has {amount}")]
    Overdrawn {
        /// Of the pool.
        pool: String,
        /// Granted altogether; the highest number of 128 bits where it does not fit.
        granted: Amount,
        /// In the pool.
        amount: Amount,
    },
    /// A list that no node would read.
    #[error("{0} grants, {GRANTS_MAX} are allowed")]
    Grants(usize),
}

/// Balances of the accounts and what is left in the pools, before the first block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub accounts: BTreeMap<Address, Amount>,
    /// In the order of the tree.
    pub pools: Vec<(&'static PoolSpec, Pool)>,
}

impl Opening {
    /// The whole of OPEN by its places before the first block.
    pub fn supply(&self) -> Supply {
        let mut supply = Supply::default();
        self.accounts.values().for_each(|balance| add(&mut supply.accounts, *balance));
        self.pools.iter().for_each(|(_, pool)| add(&mut supply.pools, pool.balance));
        supply
    }
}

impl Default for Allocation {
    fn default() -> Allocation {
        let pools = POOLS.iter().map(|pool| PoolAmount { pool: pool.name.to_string(), amount: pool.amount() });
        Allocation { pools: pools.collect(), accounts_from: ACCOUNTS_FROM.to_string(), grants: Vec::new() }
    }
}

impl Allocation {
    /// Balances of pools and accounts before the first block; `accounts` are those of the genesis. Fails with the first rule that
    /// is not kept. Every sum is checked.
    pub(crate) fn opening(&self, accounts: &[(Address, Amount)]) -> Result<Opening, AllocationError> {
        self.check_pools()?;
        if self.grants.len() > GRANTS_MAX {
            return Err(AllocationError::Grants(self.grants.len()));
        }
        let mut granted: BTreeMap<&str, Amount> = BTreeMap::new();
        let mut balances: BTreeMap<Address, Amount> = BTreeMap::new();
        let own = accounts.iter().map(|(to, amount)| (self.accounts_from.as_str(), *to, *amount));
        let further = self.grants.iter().map(|grant| (grant.pool.as_str(), grant.to, grant.amount));
        for (pool, to, amount) in own.chain(further) {
            add(granted.entry(pool).or_default(), amount);
            add(balances.entry(to).or_default(), amount);
        }
        for pool in granted.keys().copied().chain([self.accounts_from.as_str()]) {
            PoolSpec::of(pool).ok_or_else(|| AllocationError::Unknown(pool.chars().take(64).collect()))?;
        }
        let left = |(spec, whole): (&'static PoolSpec, &PoolAmount)| {
            let (amount, granted) = (whole.amount, granted.get(spec.name).copied().unwrap_or_default());
            let overdrawn = || AllocationError::Overdrawn { pool: spec.name.to_string(), granted, amount };
            let balance = amount.checked_sub(granted).ok_or_else(overdrawn)?;
            Ok::<_, AllocationError>((spec, Pool { allocated: amount, balance }))
        };
        let pools = POOLS.iter().zip(&self.pools).map(left).collect::<Result<Vec<_>, AllocationError>>()?;
        Ok(Opening { accounts: balances, pools })
    }

    fn check_pools(&self) -> Result<(), AllocationError> {
        for place in 0..POOLS.len().max(self.pools.len()) {
            let expected = POOLS.get(place).map(|pool| pool.name);
            let got = self.pools.get(place).map(|pool| pool.pool.as_str());
            if expected != got {
                let (expected, got) = (expected.unwrap_or_default(), got.unwrap_or_default());
                return Err(AllocationError::Pools { place: place + 1, expected, got: got.chars().take(64).collect() });
            }
        }
        let mut sum = Amount::ZERO;
        self.pools.iter().for_each(|pool| add(&mut sum, pool.amount));
        if sum == SUPPLY_CAP { Ok(()) } else { Err(AllocationError::Sum { got: sum }) }
    }
}

/// Adds, and stays at the highest number, which is above every amount that is allowed.
fn add(sum: &mut Amount, amount: Amount) {
    *sum = Amount(sum.0.saturating_add(amount.0));
}
