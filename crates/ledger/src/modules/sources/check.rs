//! Checks of changes of the register of sources.

use openmesh_primitives::Address;

use super::action::SourcesAction;
use super::error::SourcesError;
use super::limits::WINDOW_MS_MIN;
use super::records::{SourceRecord, retired_source, source, source_count};
use super::spec::{Origin, SourceKind, SourceSpec, is_name};
use crate::error::CheckError;
use crate::rules::Rules;
use crate::state::StateRead;

/// Clause S: checks an action against the register.
pub(crate) fn check(
    rules: &Rules,
    state: &dyn StateRead,
    sender: Address,
    action: &SourcesAction,
) -> Result<(), CheckError> {
    match action {
        SourcesAction::Register(spec) => check_registration(rules, state, spec),
        SourcesAction::Update { id, symbols, feeds } => {
            let record = owned(state, sender, id)?;
            let spec = SourceSpec { symbols: symbols.clone(), feeds: feeds.clone(), ..record.spec };
            spec.validate().map_err(|fault| SourcesError::SourceInvalid { fault }.into())
        }
        SourcesAction::Retire { id } => owned(state, sender, id).map(|_| ()),
    }
}

impl SourcesAction {
    /// Checks what does not depend on a state: names, symbols, feeds and the window. A change is held to the wider rules of a chain:
    /// what its source is, the register says. Fails with the first fault.
    pub fn validate(&self) -> Result<(), SourcesError> {
        let valid = |spec: &SourceSpec| spec.validate().map_err(|fault| SourcesError::SourceInvalid { fault });
        match self {
            SourcesAction::Register(spec) => valid(spec),
            SourcesAction::Update { id, symbols, feeds } => {
                let spec = SourceSpec {
                    id: id.clone(),
                    exchange: id.clone(),
                    kind: SourceKind::Chain,
                    symbols: symbols.clone(),
                    feeds: feeds.clone(),
                    window_ms: WINDOW_MS_MIN,
                    origin: Origin::Live,
                };
                valid(&spec)
            }
            SourcesAction::Retire { id } if is_name(id) => Ok(()),
            SourcesAction::Retire { id } => Err(SourcesError::UnknownSource { id: id.chars().take(64).collect() }),
        }
    }
}

fn check_registration(rules: &Rules, state: &dyn StateRead, spec: &SourceSpec) -> Result<(), CheckError> {
    spec.validate().map_err(|fault| SourcesError::SourceInvalid { fault })?;
    if source(state, &spec.id)?.is_some() || retired_source(state, &spec.id)?.is_some() {
        return Err(SourcesError::SourceExists { id: spec.id.clone() }.into());
    }
    let max = rules.params.sources.sources_max;
    if source_count(state)? >= max {
        return Err(SourcesError::SourcesFull { max }.into());
    }
    Ok(())
}

/// The record of a source that the sender owns and that is not retired.
pub(super) fn owned(state: &dyn StateRead, sender: Address, id: &str) -> Result<SourceRecord, CheckError> {
    let shown = || id.chars().take(64).collect();
    let record = source(state, id)?.ok_or_else(|| SourcesError::UnknownSource { id: shown() })?;
    if record.owner != Some(sender) {
        return Err(SourcesError::NotOwner { id: shown() }.into());
    }
    match record.retires_from_epoch {
        Some(from_epoch) => Err(SourcesError::SourceRetired { id: shown(), from_epoch }.into()),
        None => Ok(record),
    }
}
