//! Effects on the register of sources.

use openmesh_primitives::Address;

use super::action::SourcesAction;
use super::events::SourcesEvent;
use super::keys;
use super::records::{SourceRecord, source_count};
use super::spec::SourceSpec;
use crate::context::Context;
use crate::error::CheckError;

/// Lets an action take effect that has passed the check.
pub(crate) fn apply(context: &mut Context<'_>, sender: Address, action: &SourcesAction) -> Result<(), CheckError> {
    match action {
        SourcesAction::Register(spec) => register(context, sender, spec),
    }
}

fn register(context: &mut Context<'_>, owner: Address, spec: &SourceSpec) -> Result<(), CheckError> {
    let (height, active_from_epoch) = (context.height, context.rules.epoch + 1);
    let record = SourceRecord { spec: spec.clone(), owner: Some(owner), registered_height: height, active_from_epoch };
    let count = source_count(&context.state)?;
    context.state.put(keys::source(&spec.id), &record);
    context.state.put(keys::SOURCE_COUNT.to_vec(), &(count + 1));
    context.emit(SourcesEvent::SourceRegistered { id: spec.id.clone(), owner, active_from_epoch, height });
    Ok(())
}
