//! Checks of changes of the register of sources.

use openmesh_primitives::Address;

use super::action::SourcesAction;
use super::error::SourcesError;
use super::records::{source, source_count};
use crate::error::CheckError;
use crate::rules::Rules;
use crate::state::StateRead;

/// Clause S: checks an action against the register.
pub(crate) fn check(
    rules: &Rules,
    state: &dyn StateRead,
    _sender: Address,
    action: &SourcesAction,
) -> Result<(), CheckError> {
    match action {
        SourcesAction::Register(spec) => {
            spec.validate().map_err(|fault| SourcesError::SourceInvalid { fault })?;
            if source(state, &spec.id)?.is_some() {
                return Err(SourcesError::SourceExists { id: spec.id.clone() }.into());
            }
            let max = rules.params.sources.sources_max;
            if source_count(state)? >= max {
                return Err(SourcesError::SourcesFull { max }.into());
            }
        }
    }
    Ok(())
}
