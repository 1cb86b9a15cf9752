//! Parameters of accounts.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use serde::{Deserialize, Serialize};

/// Parameters of accounts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountsParams {
    /// Least fee of a transaction, in units of 10^-18 OPEN.
    pub fee_min: Amount,
}

impl Default for AccountsParams {
    fn default() -> AccountsParams {
        AccountsParams { fee_min: Amount(1_000_000_000_000) }
    }
}
