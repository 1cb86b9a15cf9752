//! The state of a lender as the agent reads it, in a file of the lender's that is replaced as a whole.

use std::collections::BTreeMap;

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

/// State of a lender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Name of its start.
    pub run: String,
    /// Number of the process.
    pub pid: u32,
    /// It is under landlock.
    pub landlock: bool,
    /// Addresses at which it listens.
    pub listens: Vec<String>,
    /// Causes for which it does not all that it was told.
    pub troubles: Vec<String>,
    /// Number of its present day.
    pub day: u32,
    /// Loans by name.
    pub loans: BTreeMap<String, LoanReport>,
}

/// State of a loan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoanReport {
    /// Room that objects take, bytes.
    pub used_bytes: u64,
    /// Room that withheld objects take, bytes.
    pub held_bytes: u64,
    /// Objects, withheld ones too.
    pub objects: u64,
    /// Open connections of the guest.
    pub connections: u64,
    /// Last request of the guest, by the wall clock; none since the lender began.
    pub seen: Option<Timestamp>,
    /// Number of the last order to bring back that was done.
    pub brought: u64,
    /// Objects that this lender has brought back.
    pub brought_objects: u64,
    /// Its objects are gone, as a person wanted it.
    pub forgotten: bool,
    /// Cause of a trouble.
    pub trouble: Option<String>,
}
