//! Removal of incidents from the state, some epochs after they became facts.

use openmesh_primitives::Height;

use super::keys;
use crate::context::Context;
use crate::state::{StateError, StateRead};

/// Removes the incidents up to a height, oldest first, as long as the budget of keys lasts. Fails if the store does.
pub(crate) fn prune(context: &mut Context<'_>, last: Height, budget: &mut usize) -> Result<(), StateError> {
    let end = keys::incidents_at(last.saturating_add(1));
    // Mostly nothing is due, which one key shows.
    if context.state.scan(keys::INCIDENTS, None, 1)?.first().is_none_or(|(key, _)| *key >= end) {
        return Ok(());
    }
    for (key, _) in context.state.scan(keys::INCIDENTS, None, *budget)? {
        if key >= end {
            break;
        }
        context.state.delete(key);
        *budget = budget.saturating_sub(1);
    }
    Ok(())
}
