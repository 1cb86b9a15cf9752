//! The rule sets by which upgrades are tried: two that no program but those of tests knows.
//!
//! Rule set 2 adds an action (a note of an account), changes a record of rule set 1 (the names of validators) and a limit (the
//! transactions of a block). Rule set 3 changes the form of a record of rule set 2 (a note gets its height) and a limit of it, so that
//! a record in an old form is migrated as well. Nothing of this product uses them; they are handed in by the host, as anybody's are
//! ([`openmesh_ledger::RuleSets::with`]).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_ledger::{
    CheckError, HEADER_VERSION, Overlay, Params, RegisteredAction, RegisteredCall, RegisteredRules, RuleSet, RuleSets,
    RuleSetsError, StateError, StateRead, UpgradesError, ValidatorRecord, keys, params,
};
use openmesh_primitives::{Address, Height, canonical};

/// Tag of the action that sets an account's note.
pub const NOTE_TAG: u8 = 240;
/// Prefix of the keys of notes.
pub const NOTES: &[u8] = b"note/";
/// Longest note under rule set 2, bytes.
pub const NOTE_BYTES_MAX: usize = 16;
/// Longest note under rule set 3, bytes.
pub const LONG_NOTE_BYTES_MAX: usize = 64;
/// Most transactions of a block under rule set 2, each counted with its weight.
pub const BLOCK_TRANSACTIONS_MAX: u64 = 100;
/// Mark that rule set 2 puts before the name of each validator.
pub const MARK: &str = "2:";
/// Rows that a migration reads at a time, which bounds its memory.
const PAGE: usize = 1_024;

/// A note under rule set 3.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Note {
    /// Its text.
    pub text: String,
    /// Height of the block that set it; 0 for one from before that was noted.
    pub height: Height,
}

/// Rule set 2.
pub const SECOND: RuleSet = RuleSet {
    version: 2,
    name: "notes",
    changes: &[
        "An account can set a note about itself: action 240, up to 16 bytes.",
        "The names of validators in their records begin with 2:.",
        "A block has at most 100 transactions.",
    ],
    header_version: HEADER_VERSION,
    adds: &[NOTE_TAG],
    removes: &[],
    migrate: to_second,
    registered: Some(RegisteredRules { check: check_note, apply: apply_note }),
};

/// Rule set 3.
pub const THIRD: RuleSet = RuleSet {
    version: 3,
    name: "dated notes",
    changes: &["A note has the height of its block.", "A note has up to 64 bytes."],
    header_version: HEADER_VERSION,
    adds: &[],
    removes: &[],
    migrate: to_third,
    registered: None,
};

/// The rule sets up to a version: 1 are those of the product, 2 and 3 those on trial.
///
/// # Errors
/// Where the product has come further than these.
pub fn rule_sets(newest: u32) -> Result<RuleSets, RuleSetsError> {
    let mut on_trial = [SECOND, THIRD].into_iter().filter(|set| set.version <= newest);
    on_trial.try_fold(RuleSets::built_in(), |sets, set| sets.with(set))
}

/// `note/<20 bytes>`: a text under rule set 2, a [`Note`] under rule set 3.
pub fn note_key(account: &Address) -> Vec<u8> {
    [NOTES, &account.0].concat()
}

/// The action that sets a note.
pub fn note(text: &str) -> RegisteredAction {
    RegisteredAction { tag: NOTE_TAG, body: text.to_owned() }
}

/// The note of an account, in the form of a version; `None` where it has none.
///
/// # Errors
/// Where the state cannot be read, or the note has another form.
pub fn read_note(state: &dyn StateRead, version: u32, account: &Address) -> Result<Option<Note>, StateError> {
    let key = note_key(account);
    let Some(bytes) = state.get(&key)? else { return Ok(None) };
    match version {
        ..=2 => Ok(Some(Note { text: decoded(&key, &bytes)?, height: 0 })),
        _ => decoded(&key, &bytes).map(Some),
    }
}

fn decoded<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, StateError> {
    canonical::decode(bytes)
        .map_err(|e| StateError::Damaged { key: key.escape_ascii().to_string(), reason: e.to_string() })
}

/// Every row below a prefix, page by page.
fn rows(state: &dyn StateRead, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StateError> {
    let (mut all, mut from) = (BTreeMap::new(), None::<Vec<u8>>);
    loop {
        let page = state.scan(prefix, from.as_deref(), PAGE)?;
        let is_last = page.len() < PAGE;
        from = page.last().map(|(key, _)| [key.as_slice(), &[0]].concat());
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn to_second(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    for (key, bytes) in rows(&*state, keys::VALIDATORS)? {
        let record: ValidatorRecord = decoded(&key, &bytes)?;
        let name = format!("{MARK}{}", record.name);
        state.put(key, &ValidatorRecord { name, ..record });
    }
    let mut changed: Params = params(&*state)?;
    changed.blocks.block_transactions_max = BLOCK_TRANSACTIONS_MAX;
    state.put(keys::PARAMS.to_vec(), &changed);
    Ok(())
}

fn to_third(state: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    for (key, bytes) in rows(&*state, NOTES)? {
        let text: String = decoded(&key, &bytes)?;
        state.put(key, &Note { text, height: 0 });
    }
    Ok(())
}

fn check_note(_: &dyn StateRead, call: &RegisteredCall<'_>) -> Result<(), CheckError> {
    let (bytes, max) = (call.action.body.len(), if call.version < 3 { NOTE_BYTES_MAX } else { LONG_NOTE_BYTES_MAX });
    if bytes > max {
        let reason = format!("the note has {bytes} bytes, {max} are allowed");
        return Err(UpgradesError::RegisteredRefused { reason }.into());
    }
    Ok(())
}

fn apply_note(state: &mut Overlay<&dyn StateRead>, call: &RegisteredCall<'_>) -> Result<(), StateError> {
    let (key, text) = (note_key(&call.sender), call.action.body.clone());
    if call.version < 3 {
        state.put(key, &text);
    } else {
        state.put(key, &Note { text, height: call.height });
    }
    Ok(())
}
