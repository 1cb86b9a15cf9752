//! Parameters of stamps.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use serde::{Deserialize, Serialize};

use super::limits::STAMPS_KEPT_EPOCHS_MAX;
use crate::limits::in_range;
use crate::modules::supply::SUPPLY_CAP;

/// Parameters of stamps.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StampsParams {
    /// Deposit for a stamp, in units of 10^-18 OPEN; it comes back when the stamp leaves the state. It bounds how many stand
    /// there at once, whatever the base fee is.
    pub stamp_deposit: Amount,
    /// Most stamps of one account in an epoch: one every few seconds, and a bound on what one account can add to the state.
    pub account_stamps_max: u32,
    /// Number of epochs for which stamps stay in the state after the epoch of which they are facts. By default as long as a
    /// node keeps blocks.
    pub stamps_kept_epochs: u64,
}

impl Default for StampsParams {
    fn default() -> StampsParams {
        StampsParams {
            stamp_deposit: Amount(10_000_000_000_000_000),
            account_stamps_max: 1_000,
            stamps_kept_epochs: 336,
        }
    }
}

impl StampsParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[
            (self.stamp_deposit <= SUPPLY_CAP, "stamps.stamp_deposit"),
            (self.account_stamps_max > 0, "stamps.account_stamps_max"),
            ((1..=STAMPS_KEPT_EPOCHS_MAX).contains(&self.stamps_kept_epochs), "stamps.stamps_kept_epochs"),
        ])
    }
}
