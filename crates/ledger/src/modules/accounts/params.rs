//! Parameters of accounts.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use serde::{Deserialize, Serialize};

use crate::limits::in_range;
use crate::modules::fees::BASE_FEE_MAX;

/// Parameters of accounts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountsParams {
    /// Least base fee of a unit of weight, in units of 10^-18 OPEN: what a transfer costs at least.
    pub fee_min: Amount,
}

impl Default for AccountsParams {
    fn default() -> AccountsParams {
        AccountsParams { fee_min: Amount(1_000_000_000_000) }
    }
}

impl AccountsParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[(self.fee_min <= BASE_FEE_MAX, "accounts.fee_min")])
    }
}
