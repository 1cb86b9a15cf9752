//! Checks of stamps.

use openmesh_primitives::Address;

use super::action::StampsAction;
use super::error::StampsError;
use super::limits::{STAMP_NOTE_BYTES_MAX, STAMP_TOPIC_BYTES_MAX};
use super::records::{stamp, stamp_count};
use crate::error::CheckError;
use crate::rules::Rules;
use crate::state::StateRead;

/// Clause H: checks a stamp against the state. Nonce, fee and balance were checked before.
pub(crate) fn check(
    rules: &Rules,
    state: &dyn StateRead,
    sender: Address,
    action: &StampsAction,
) -> Result<(), CheckError> {
    action.validate()?;
    let StampsAction::Stamp { hash, topic, .. } = action;
    if let Some(there) = stamp(state, hash, topic, &sender)? {
        return Err(StampsError::StampExists { height: there.height }.into());
    }
    let max = rules.params.stamps.account_stamps_max;
    if stamp_count(state, &sender)?.of_epoch(rules.epoch) >= max {
        return Err(StampsError::StampsFull { max }.into());
    }
    Ok(())
}

impl StampsAction {
    /// Checks what does not depend on a state: topic and note. Fails with the first fault.
    pub fn validate(&self) -> Result<(), StampsError> {
        let StampsAction::Stamp { topic, note, .. } = self;
        check_topic(topic)?;
        check_note(note)
    }
}

/// 1 to 64 of `a-z 0-9 - _ .`: it stands in keys of the state, in URLs and on command lines.
fn check_topic(topic: &str) -> Result<(), StampsError> {
    if !(1..=STAMP_TOPIC_BYTES_MAX).contains(&topic.len()) {
        return Err(StampsError::StampTopicLength { bytes: topic.len() as u64 });
    }
    if let Some(at) = first_control(topic) {
        return Err(StampsError::StampTopicControl { at });
    }
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    match topic.char_indices().find(|(_, c)| !is_allowed(*c)) {
        Some((at, character)) => {
            Err(StampsError::StampTopicCharacter { at: at as u64, character: character.to_string() })
        }
        None => Ok(()),
    }
}

fn check_note(note: &str) -> Result<(), StampsError> {
    if note.len() > STAMP_NOTE_BYTES_MAX {
        return Err(StampsError::StampNoteLength { bytes: note.len() as u64 });
    }
    first_control(note).map_or(Ok(()), |at| Err(StampsError::StampNoteControl { at }))
}

/// Position of the first control character (Unicode, category Cc), in bytes.
fn first_control(text: &str) -> Option<u64> {
    text.char_indices().find(|(_, c)| c.is_control()).map(|(at, _)| at as u64)
}
