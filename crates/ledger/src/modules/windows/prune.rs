//! Removal of closed windows' details from the state, some epochs after they became facts.

use super::keys;
use super::records::{WindowRecord, source_progress, window};
use crate::context::Context;
use crate::modules::validators::more_than_one_third;
use crate::state::{StateError, StateRead, readable};

/// Keys of a closed window's record, and of its entry among those that closed in the epoch.
const WINDOW_KEYS: usize = 2;

/// Returns the number of keys that go with a closed window: those two, and one for each chunk.
pub(crate) fn detail_keys(record: &WindowRecord) -> u64 {
    u64::from(record.accepted) + WINDOW_KEYS as u64
}

/// Removes the windows that closed before an epoch, with their chunks, oldest first, as long as the budget of keys lasts;
/// what is left waits for the next block. A window is removed with all its chunks, so the budget may be exceeded by the
/// streams of one source. Fails if the store does.
pub(crate) fn prune(context: &mut Context<'_>, before_epoch: u64, budget: &mut usize) -> Result<(), StateError> {
    // Mostly nothing is due, which one key shows.
    let end = keys::closed_before(before_epoch);
    if context.state.scan(keys::CLOSED, None, 1)?.first().is_none_or(|(key, _)| *key >= end) {
        return Ok(());
    }
    for (key, _) in context.state.scan(keys::CLOSED, None, *budget)? {
        if key >= end || *budget == 0 {
            break;
        }
        let damaged =
            || StateError::Damaged { key: readable(&key), reason: "not the key of a closed window".to_string() };
        let (source, number) = keys::closed_parts(&key).ok_or_else(damaged)?;
        let removed = remove(context, &source, number)?;
        context.state.delete(key);
        *budget = budget.saturating_sub(removed);
    }
    Ok(())
}

/// Returns the number of keys that go, with the window's entry. A window on which anything could have been agreed raises the
/// source's floor, below which no window is opened again, so that no stream of a window is ever decided twice.
fn remove(context: &mut Context<'_>, source: &str, number: u64) -> Result<usize, StateError> {
    let credible = window(&context.state, source, number)?
        .is_some_and(|record| more_than_one_third(record.attested_power(), record.assigned_power()));
    let mut progress = source_progress(&context.state, source)?;
    if credible && progress.first_window <= number {
        progress.first_window = number.saturating_add(1);
        context.state.put(keys::progress(source), &progress);
    }
    let chunks = context.state.scan(&keys::chunks_of(source, number), None, usize::MAX)?;
    let removed = chunks.len() + WINDOW_KEYS;
    for (key, _) in chunks {
        context.state.delete(key);
    }
    context.state.delete(keys::window(source, number));
    Ok(removed)
}
