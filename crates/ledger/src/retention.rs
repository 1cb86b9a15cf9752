//! Removal of details from the state, some epochs after they became facts: closed windows with their chunks, incidents, stamps,
//! and evidence that is too old to be sent again. Each block removes a bounded number of keys.

use openmesh_primitives::Height;

use crate::context::Context;
use crate::modules::epochs::closed_epoch;
use crate::modules::evidence::EVIDENCE_AGE_BLOCKS_MAX;
use crate::modules::{evidence, incidents, stamps, windows};
use crate::state::StateError;

/// Removes what a parameter says is no longer kept, as far as the block's budget of keys goes. Fails if the store does.
pub(crate) fn prune(context: &mut Context<'_>) -> Result<(), StateError> {
    let params = &context.rules.params;
    let mut budget = params.epochs.pruned_keys_per_block_max as usize;
    let kept_from = context.rules.epoch.saturating_sub(params.epochs.details_kept_epochs);
    let stamps_from = context.rules.epoch.saturating_sub(params.stamps.stamps_kept_epochs);
    if let Some(last_height) = last_height_before(context, kept_from)? {
        windows::prune(context, kept_from, &mut budget)?;
        incidents::prune(context, last_height, &mut budget)?;
    }
    if let Some(last_height) = last_height_before(context, stamps_from)? {
        stamps::prune(context, last_height, &mut budget)?;
    }
    let oldest = context.height.saturating_sub(EVIDENCE_AGE_BLOCKS_MAX);
    evidence::prune(context, oldest, &mut budget)
}

/// The last height before an epoch; `None` if there is none.
fn last_height_before(context: &Context<'_>, epoch: u64) -> Result<Option<Height>, StateError> {
    let Some(before) = epoch.checked_sub(1) else { return Ok(None) };
    Ok(closed_epoch(&context.state, before)?.map(|closed| closed.last_height))
}
