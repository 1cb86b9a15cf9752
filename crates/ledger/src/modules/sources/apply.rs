//! Effects on the register of sources. A change takes effect with an epoch, so that no transaction of its own block meets it
//! half done.

use openmesh_primitives::Address;

use super::action::SourcesAction;
use super::check::owned;
use super::events::SourcesEvent;
use super::keys;
use super::records::{SourceChange, SourceRecord, source_count, sources};
use super::spec::SourceSpec;
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::deposits;
use crate::modules::epochs::DRAWN_AHEAD_EPOCHS;
use crate::state::StateError;

/// Lets an action take effect that has passed the check.
pub(crate) fn apply(context: &mut Context<'_>, sender: Address, action: &SourcesAction) -> Result<(), CheckError> {
    match action {
        SourcesAction::Register(spec) => register(context, sender, spec)?,
        SourcesAction::Update { id, symbols, feeds } => {
            let record = owned(&context.state, sender, id)?;
            update(context, record, symbols, feeds);
        }
        SourcesAction::Retire { id } => {
            let record = owned(&context.state, sender, id)?;
            retire(context, record);
        }
    }
    Ok(())
}

fn register(context: &mut Context<'_>, owner: Address, spec: &SourceSpec) -> Result<(), StateError> {
    // The first epoch whose seed is not known yet.
    let (height, active_from_epoch) = (context.height, context.rules.epoch + DRAWN_AHEAD_EPOCHS + 1);
    let record = SourceRecord {
        spec: spec.clone(),
        owner: Some(owner),
        registered_height: height,
        registered_time: context.rules.time,
        active_from_epoch,
        changed: None,
        retires_from_epoch: None,
    };
    let count = source_count(&context.state)?;
    let (key, amount) = (keys::source(&spec.id), context.rules.params.sources.source_deposit);
    deposits::hold(context, owner, &key, amount)?;
    context.state.put(key, &record);
    context.state.put(keys::SOURCE_COUNT.to_vec(), &(count + 1));
    context.emit(SourcesEvent::SourceRegistered { id: spec.id.clone(), owner, active_from_epoch, height });
    Ok(())
}

fn update(context: &mut Context<'_>, mut record: SourceRecord, symbols: &[String], feeds: &[String]) {
    let (epoch, height) = (context.rules.epoch, context.height);
    let before = record.spec_in(epoch);
    let from_epoch = epoch + 1;
    record.changed = Some(SourceChange { from_epoch, symbols_before: before.symbols, feeds_before: before.feeds });
    record.spec.symbols = symbols.to_vec();
    record.spec.feeds = feeds.to_vec();
    let id = record.spec.id.clone();
    context.state.put(keys::source(&id), &record);
    context.emit(SourcesEvent::SourceUpdated { id, from_epoch, height });
}

fn retire(context: &mut Context<'_>, mut record: SourceRecord) {
    let (from_epoch, height) = (context.rules.epoch + 1, context.height);
    record.retires_from_epoch = Some(from_epoch);
    let id = record.spec.id.clone();
    context.state.put(keys::source(&id), &record);
    context.emit(SourcesEvent::SourceRetired { id, from_epoch, height });
}

/// Takes the sources out of the register that were retired an epoch before the one that begins, which frees their places and
/// gives their deposits back. Of each a small record is left, so that its id is never given again. Fails if the store does.
pub(crate) fn remove_retired(context: &mut Context<'_>) -> Result<(), StateError> {
    let epoch = context.rules.epoch;
    let mut count = source_count(&context.state)?;
    for record in sources(&context.state)? {
        if record.retires_from_epoch.is_some_and(|from| from < epoch) {
            let (key, retired) = (keys::source(&record.spec.id), keys::retired_source(&record.spec.id));
            deposits::give_back(context, &key)?;
            context.state.delete(key);
            context.state.put(retired, &record.without_streams());
            count = count.saturating_sub(1);
        }
    }
    if count != source_count(&context.state)? {
        context.state.put(keys::SOURCE_COUNT.to_vec(), &count);
    }
    Ok(())
}
