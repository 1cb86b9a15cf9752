//! Removal of evidence that is too old to be sent again.

use openmesh_primitives::Height;

use super::keys;
use crate::context::Context;
use crate::state::{StateError, StateRead};

/// Removes the records about heights below `oldest`, as long as the budget of keys lasts. Fails if the store does.
pub(crate) fn prune(context: &mut Context<'_>, oldest: Height, budget: &mut usize) -> Result<(), StateError> {
    let end = keys::evidence_at(oldest);
    // Mostly nothing is due, which one key shows.
    if context.state.scan(keys::EVIDENCE, None, 1)?.first().is_none_or(|(key, _)| *key >= end) {
        return Ok(());
    }
    for (key, _) in context.state.scan(keys::EVIDENCE, None, *budget)? {
        if key >= end {
            break;
        }
        context.state.delete(key);
        *budget = budget.saturating_sub(1);
    }
    Ok(())
}
