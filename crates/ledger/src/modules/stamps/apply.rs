//! Effects of stamps.

use openmesh_primitives::Address;

use super::action::StampsAction;
use super::events::StampsEvent;
use super::keys;
use super::records::{StampRecord, stamp_count};
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::deposits;

/// Lets a stamp take effect that has passed the check.
pub(crate) fn apply(context: &mut Context<'_>, sender: Address, action: &StampsAction) -> Result<(), CheckError> {
    let StampsAction::Stamp { hash, topic, note } = action;
    let record = StampRecord {
        hash: *hash,
        topic: topic.clone(),
        account: sender,
        note: note.clone(),
        height: context.height,
        number: context.stamps,
        time: context.rules.time,
        transaction: context.transaction,
    };
    let count = stamp_count(&context.state, &sender)?.with_one(context.rules.epoch);
    context.stamps += 1;
    let (height, number) = (record.height, record.number);
    let (key, held) = (keys::stamp(hash, topic, &sender), context.rules.params.stamps.stamp_deposit);
    context.state.put(key.clone(), &record);
    context.state.put(keys::stamp_place(height, number), &record.name());
    context.state.put(keys::stamp_of_topic(topic, height, number), &());
    context.state.put(keys::stamp_of_account(&sender, height, number), &());
    context.state.put(keys::stamp_count(&sender), &count);
    context.fact(record.clone());
    context.emit(StampsEvent::Stamped(record));
    deposits::hold(context, sender, &key, held)?;
    Ok(())
}
