//! Removal of stamps from the state, some epochs after they became facts. Their deposits go back.

use openmesh_primitives::Height;

use super::keys;
use super::limits::STAMP_KEYS;
use super::records::StampName;
use crate::context::Context;
use crate::modules::deposits;
use crate::state::{StateError, StateRead, decode, readable};

/// Removes the stamps up to a height, oldest first, as long as the budget of keys lasts. A stamp goes whole, so the budget may
/// be exceeded by four keys. Fails if the store does.
pub(crate) fn prune(context: &mut Context<'_>, last: Height, budget: &mut usize) -> Result<(), StateError> {
    let end = keys::stamp_places_at(last.saturating_add(1));
    // Mostly nothing is due, which one key shows.
    if context.state.scan(keys::STAMP_PLACES, None, 1)?.first().is_none_or(|(key, _)| *key >= end) {
        return Ok(());
    }
    for (key, value) in context.state.scan(keys::STAMP_PLACES, None, budget.div_ceil(STAMP_KEYS))? {
        if key >= end {
            break;
        }
        let damaged = || StateError::Damaged { key: readable(&key), reason: "not the place of a stamp".to_string() };
        let (height, number) = keys::stamp_place_of(&key).ok_or_else(damaged)?;
        let StampName { hash, topic, account } = decode(&key, &value)?;
        let record = keys::stamp(&hash, &topic, &account);
        deposits::give_back(context, &record)?;
        context.state.delete(record);
        context.state.delete(keys::stamp_of_topic(&topic, height, number));
        context.state.delete(keys::stamp_of_account(&account, height, number));
        context.state.delete(key);
        *budget = budget.saturating_sub(STAMP_KEYS);
    }
    Ok(())
}
