//! The beginning of an epoch, which closes the one before, and the facts of a block.

use openmesh_primitives::Digest;

use super::assign::epoch_seed;
use super::events::EpochsEvent;
use super::keys;
use super::limits::{DRAWN_AHEAD_EPOCHS, EPOCHS_KEPT};
use super::records::{ClosedEpoch, CurrentEpoch, EpochRecord, current_epoch_record, fact_peaks};
use crate::context::Context;
use crate::merkle::MerklePeaks;
use crate::modules::validators::ValidatorSet;
use crate::state::StateError;

/// Begins an epoch, if the block is its first: closes the epoch before and makes the draw of the one after. The seed follows
/// from the block's parent. Returns true if an epoch began. Fails if the store does.
pub(crate) fn begin(context: &mut Context<'_>, parent: &Digest, validators: &ValidatorSet) -> Result<bool, StateError> {
    let before = current_epoch_record(&context.state)?;
    let (number, height, started) = (context.rules.epoch, context.height, context.rules.time);
    if before.first_height > 0 && before.number == number {
        return Ok(false);
    }
    context.state.put(keys::CURRENT_EPOCH.to_vec(), &CurrentEpoch { number, first_height: height, started });
    if before.number == number {
        // The first block of all, which begins epoch 0; its draw and the next are of the genesis.
        return Ok(false);
    }
    close(context, &before)?;
    let drawn = number + DRAWN_AHEAD_EPOCHS;
    let record = EpochRecord { seed: epoch_seed(parent, drawn), drawn_height: height, validators: validators.clone() };
    context.state.put(keys::epoch(drawn), &record);
    if let Some(old) = number.checked_sub(EPOCHS_KEPT) {
        context.state.delete(keys::epoch(old));
    }
    Ok(true)
}

fn close(context: &mut Context<'_>, ended: &CurrentEpoch) -> Result<(), StateError> {
    let peaks = fact_peaks(&context.state)?;
    let (epoch, height) = (ended.number, context.height);
    let closed = ClosedEpoch {
        first_height: ended.first_height,
        last_height: height.saturating_sub(1),
        facts: peaks.size(),
        root: peaks.root(),
    };
    context.state.put(keys::closed_epoch(epoch), &closed);
    context.state.put(keys::FACTS.to_vec(), &MerklePeaks::default());
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
