//! Parameters of the register of sources.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use serde::{Deserialize, Serialize};

use crate::limits::in_range;
use crate::modules::supply::SUPPLY_CAP;

/// Parameters of the register of sources.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesParams {
    /// k: number of validators assigned to a source in an epoch (all, if there are fewer).
    pub assigned_per_source: u32,
    /// Deposit for a source, in units of 10^-18 OPEN; it comes back when the source leaves the register.
    pub source_deposit: Amount,
    /// Most sources.
    pub sources_max: u32,
}

impl Default for SourcesParams {
    fn default() -> SourcesParams {
        SourcesParams { assigned_per_source: 7, source_deposit: Amount::open(10), sources_max: 1_024 }
    }
}

impl SourcesParams {
    /// Checks the ranges. Fails with the name of the parameter that is out of range.
    pub fn validate(&self) -> Result<(), &'static str> {
        in_range(&[
            (self.assigned_per_source > 0, "sources.assigned_per_source"),
            (self.source_deposit <= SUPPLY_CAP, "sources.source_deposit"),
        ])
    }
}
