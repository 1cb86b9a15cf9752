//! Epochs.

use openmesh_api as api;
use openmesh_ledger::{ClosedEpoch, CurrentEpoch};
use openmesh_primitives::Timestamp;

/// A closed epoch; the time of its first block is known where that is held.
pub fn closed(number: u64, closed: &ClosedEpoch, started: Option<Timestamp>) -> api::EpochInfo {
    api::EpochInfo {
        number,
        first_height: closed.first_height,
        last_height: Some(closed.last_height),
        started: started.map(Timestamp::to_rfc3339),
        facts: closed.facts,
        root: Some(closed.root.to_string()),
    }
}

/// The current epoch with its facts so far.
pub fn current(current: &CurrentEpoch, facts: u64) -> api::EpochInfo {
    api::EpochInfo {
        number: current.number,
        first_height: current.first_height,
        last_height: None,
        started: Some(current.started.to_rfc3339()),
        facts,
        root: None,
    }
}
