//! Incidents of the ledger's state, newest first, with the times of their blocks.

use openmesh_ledger::{LedgerIncident, keys};
use openmesh_primitives::{Height, Timestamp, canonical};
use openmesh_storage::Store;

use crate::error::Refusal;
use crate::work::Budget;

/// Incidents read from the state at once.
const BATCH: usize = 500;

/// Looks through incidents before a place and hands each to `found`, which returns false where it has enough; that one is not
/// seen yet. The time is that of its block, where this node still holds it. Returns the place to go on from; `None` at the beginning. Each incident takes one row of the budget.
/// Fails where the ledger cannot be read.
pub fn before(
    store: &Store,
    place: Option<(Height, u32)>,
    budget: &mut Budget,
    mut found: impl FnMut(&LedgerIncident, Option<Timestamp>) -> bool,
) -> Result<Option<(Height, u32)>, Refusal> {
    let state = store.state()?;
    let mut before = place.map(|(height, number)| keys::incident(height, number));
    let mut time = (0, None);
    loop {
        let batch = state.scan_back(keys::INCIDENTS, before.as_deref(), BATCH)?;
        let ended = batch.len() < BATCH;
        for (key, value) in batch {
            let incident: LedgerIncident =
                canonical::decode(&value).map_err(|e| Refusal::internal("reading an incident", &e))?;
            if !budget.take() {
                // The one that was just read comes first on the next page.
                return Ok(Some((incident.height, incident.number.saturating_add(1))));
            }
            if time.0 != incident.height {
                let stored = store.block(incident.height)?;
                time = (incident.height, stored.map(|s| s.block.header.time));
            }
            if !found(&incident, time.1) {
                return Ok(Some((incident.height, incident.number.saturating_add(1))));
            }
            before = Some(key);
        }
        if ended {
            return Ok(None);
        }
    }
}
