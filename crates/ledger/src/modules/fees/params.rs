//! Parameters of fees.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::limits::in_range;

/// Parameters of fees. The least base fee is [`crate::AccountsParams::fee_min`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeesParams {
    /// Load of a block at which the base fee stays as it is, per cent of the room for account transactions.
    pub target_percent: u64,
    /// An empty block lowers the base fee by one part in so many; a full one raises it by that times `(100 - target) / target`.
    pub change_denominator: u64,
}

impl Default for FeesParams {
    fn default() -> FeesParams {
        FeesParams { target_percent: 50, change_denominator: 8 }
    }
}

impl FeesParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[
            ((1..=99).contains(&self.target_percent), "fees.target_percent"),
            ((2..=1_000_000).contains(&self.change_denominator), "fees.change_denominator"),
        ])
    }
}
