//! The beginning of an epoch.

use openmesh_primitives::Digest;

use super::assign::{epoch_first_height, epoch_seed};
use super::keys;
use super::limits::EPOCHS_KEPT;
use super::records::EpochRecord;
use crate::context::Context;
use crate::modules::validators::ValidatorSet;

/// Begins an epoch with its first block: writes its record, whose seed follows from the block's parent.
pub(crate) fn begin(context: &mut Context<'_>, parent: &Digest, validators: &ValidatorSet) {
    let (epoch, height) = (context.rules.epoch, context.height);
    if epoch == 0 || height != epoch_first_height(epoch, context.rules.params.epochs.epoch_blocks) {
        return;
    }
    let record = EpochRecord { seed: epoch_seed(parent, epoch), first_height: height, validators: validators.clone() };
    context.state.put(keys::epoch(epoch), &record);
    if let Some(old) = epoch.checked_sub(EPOCHS_KEPT) {
        context.state.delete(keys::epoch(old));
    }
}
