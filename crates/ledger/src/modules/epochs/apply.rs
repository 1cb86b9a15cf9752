//! The beginning of an epoch, which closes the one before, the draw of the next one, and the facts of a block.

use openmesh_primitives::Height;

use super::assign::{epoch_seed, turns_seed};
use super::events::EpochsEvent;
use super::keys;
use super::limits::{DRAWN_AHEAD_EPOCHS, EPOCHS_KEPT};
use super::records::{
    ClosedEpoch, CurrentEpoch, EpochKeys, EpochRecord, current_epoch_record, epoch, epoch_keys, epoch_validators,
    fact_peaks,
};
use crate::context::Context;
use crate::merkle::MerklePeaks;
use crate::modules::beacon::beacon;
use crate::modules::validators::ValidatorSet;
use crate::state::StateError;

/// Begins an epoch, if the block is its first, and makes the draw of the next one where it is due: `mix_blocks` after the beginning,
/// or with the first block of that next epoch, if it comes earlier. The seed follows from the beacon before the block. Returns
/// true if an epoch began. Fails if the store does.
pub(crate) fn begin(context: &mut Context<'_>, validators: &ValidatorSet) -> Result<bool, StateError> {
    let before = current_epoch_record(&context.state)?;
    let (number, height, started) = (context.rules.epoch, context.height, context.rules.time);
    let is_first_of_all = before.first_height == 0;
    if !is_first_of_all && before.number == number {
        draw_if_due(context, number, before.first_height)?;
        return Ok(false);
    }
    // Where the epoch was over before its draw was due, this is the last moment.
    draw(context, number)?;
    context.state.put(keys::CURRENT_EPOCH.to_vec(), &CurrentEpoch { number, first_height: height, started });
    context.state.put(keys::EPOCH_VALIDATORS.to_vec(), validators);
    if is_first_of_all {
        // It begins epoch 0; its draw and the next are of the genesis.
        return Ok(false);
    }
    close(context, &before)?;
    context.turns_seed = Some(turns_seed(&beacon(&context.state)?));
    draw_if_due(context, number, height)?;
    if let Some(old) = number.checked_sub(EPOCHS_KEPT) {
        context.state.delete(keys::epoch(old));
    }
    Ok(true)
}

fn draw_if_due(context: &mut Context<'_>, current: u64, first_height: Height) -> Result<(), StateError> {
    let due = first_height.saturating_add(context.rules.params.epochs.mix_blocks);
    if context.height == due { draw(context, current + DRAWN_AHEAD_EPOCHS) } else { Ok(()) }
}

/// Makes the draw of an epoch, unless it was made before: among the validators that were in force when the current epoch began.
fn draw(context: &mut Context<'_>, number: u64) -> Result<(), StateError> {
    if epoch(&context.state, number)?.is_some() {
        return Ok(());
    }
    let seed = epoch_seed(&beacon(&context.state)?, number);
    let validators = epoch_validators(&context.state)?;
    context.state.put(keys::epoch(number), &EpochRecord { seed, drawn_height: context.height, validators });
    Ok(())
}

fn close(context: &mut Context<'_>, ended: &CurrentEpoch) -> Result<(), StateError> {
    let peaks = fact_peaks(&context.state)?;
    let (epoch, height) = (ended.number, context.height);
    let closed = ClosedEpoch {
        first_height: ended.first_height,
        last_height: height.saturating_sub(1),
        facts: peaks.size(),
        root: peaks.root(),
        keys: epoch_keys(&context.state)?,
    };
    context.state.put(keys::closed_epoch(epoch), &closed);
    context.state.put(keys::FACTS.to_vec(), &MerklePeaks::default());
    context.state.put(keys::EPOCH_KEYS.to_vec(), &EpochKeys::default());
    context.emit(EpochsEvent::EpochClosed { epoch, closed, height });
    Ok(())
}

/// Appends the block's facts to the tree of the epoch. Returns the position of the first one. Fails if the store does.
pub(crate) fn append_facts(context: &mut Context<'_>) -> Result<u64, StateError> {
    let mut peaks = fact_peaks(&context.state)?;
    let first = peaks.size();
    if context.facts.is_empty() {
        return Ok(first);
    }
    for fact in &context.facts {
        peaks.append(fact.leaf());
    }
    context.state.put(keys::FACTS.to_vec(), &peaks);
    Ok(first)
}
