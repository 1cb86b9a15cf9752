//! Effects on validators' records and sets.

use std::collections::BTreeSet;

use openmesh_primitives::Address;

use super::keys;
use super::limits::PRESENCE_BLOCKS;
use super::records::{ValidatorRecord, last_validators, next_validators, presence, validator_record, validators};
use crate::block::Certificate;
use crate::context::Context;
use crate::state::{StateError, readable};

/// Changes a validator's record. Every validator has one from the genesis on, so its absence means a broken store.
pub(crate) fn update(
    context: &mut Context<'_>,
    validator: &Address,
    change: impl FnOnce(&mut ValidatorRecord),
) -> Result<(), StateError> {
    let key = keys::validator(validator);
    let mut record = validator_record(&context.state, validator)?.ok_or_else(|| StateError::Absent(readable(&key)))?;
    change(&mut record);
    context.state.put(key, &record);
    Ok(())
}

/// Remembers that a validator was there in this block.
pub(crate) fn saw(context: &mut Context<'_>, validator: &Address) -> Result<(), StateError> {
    let height = context.height;
    if context.presence.is_none() {
        context.presence = Some(presence(&context.state)?);
    }
    if let Some(seen) = &mut context.presence {
        seen.insert(*validator, height);
    }
    Ok(())
}

/// Returns true if a validator proposed, attested or signed a precommit in the last [`PRESENCE_BLOCKS`] heights. One that was
/// never seen counts from height 0.
pub(crate) fn was_there(context: &Context<'_>, validator: &Address) -> Result<bool, StateError> {
    let seen = match &context.presence {
        Some(seen) => seen.get(validator).copied(),
        None => presence(&context.state)?.get(validator).copied(),
    };
    Ok(context.height.saturating_sub(seen.unwrap_or(0)) <= PRESENCE_BLOCKS)
}

/// Writes the heights at which the validators in force were last seen.
pub(crate) fn store_presence(context: &mut Context<'_>) -> Result<(), StateError> {
    let set = validators(&context.state)?;
    if let Some(mut seen) = context.presence.take() {
        seen.retain(|address, _| set.get(address).is_some());
        context.state.put(keys::PRESENCE.to_vec(), &seen);
    }
    Ok(())
}

/// Counts the block for its proposer. Returns the account that earns its fees.
pub(crate) fn count_proposal(context: &mut Context<'_>) -> Result<Address, StateError> {
    let proposer = context.proposer;
    let mut earner = proposer;
    saw(context, &proposer)?;
    update(context, &proposer, |record| {
        record.proposed += 1;
        earner = record.earner();
    })?;
    Ok(earner)
}

/// Counts the validators whose signature the last block's commit lacks, as this block has it.
pub(crate) fn count_signers(context: &mut Context<'_>, last_commit: Option<&Certificate>) -> Result<(), StateError> {
    let (Some(commit), Some(set)) = (last_commit, last_validators(&context.state)?) else { return Ok(()) };
    let signed: BTreeSet<&Address> = commit.signatures.iter().map(|(address, _)| address).collect();
    for validator in &set {
        if signed.contains(&validator.address) {
            saw(context, &validator.address)?;
        } else {
            update(context, &validator.address, |record| record.unsigned += 1)?;
        }
    }
    Ok(())
}

/// Makes the next set the current one: a change written in block H is in force from H + 2. What is moved on is the set that was next
/// before this block, whatever the block has written before: its own header names that one for H + 1, and nothing that comes before a block's
/// transactions writes it (no migration may).
pub(crate) fn rotate(context: &mut Context<'_>) -> Result<(), StateError> {
    let before = *context.state.base();
    let (current, next) = (validators(before)?, next_validators(before)?);
    if last_validators(&context.state)?.as_ref() != Some(&current) {
        context.state.put(keys::VALIDATORS_LAST.to_vec(), &current);
    }
    if current != next {
        context.state.put(keys::VALIDATORS_CURRENT.to_vec(), &next);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openmesh_primitives::{Timestamp, ValidatorKey};

    use super::*;
    use crate::genesis::{Genesis, GenesisValidator, initial_state};
    use crate::modules::validators::{Validator, ValidatorSet};
    use crate::params::Params;
    use crate::rule_set::RuleSets;
    use crate::rules::Rules;
    use crate::state::{Overlay, StateRead};

    fn state() -> BTreeMap<Vec<u8>, Vec<u8>> {
        let public_key = ValidatorKey::from_seed([1; 32]).public();
        let genesis = Genesis {
            chain_id: 1,
            name: "rotation".to_string(),
            time: Timestamp::from_millis(1_800_000_000_000),
            validators: vec![GenesisValidator { public_key, power: 1, name: "v".to_string(), payout: None }],
            accounts: vec![],
            sources: vec![],
            source_owners: BTreeMap::new(),
            params: Params::default(),
            allocation: Default::default(),
        };
        initial_state(&genesis).unwrap()
    }

    /// The sets after a block that writes this one as the next, as a module may that comes before the end of the block.
    fn block(state: &mut BTreeMap<Vec<u8>, Vec<u8>>, height: u64, written: Option<&ValidatorSet>) -> [ValidatorSet; 3] {
        let overlay = Overlay::new(&*state as &dyn StateRead);
        let time = Timestamp::from_millis(1_800_000_000_000 + height as i64);
        let rules = Rules::of_block(&RuleSets::built_in(), 1, &overlay, height, time).unwrap();
        let mut context = Context::new(overlay, rules, Address([0; 20]));
        if let Some(set) = written {
            context.state.put(keys::VALIDATORS_NEXT.to_vec(), set);
        }
        rotate(&mut context).unwrap();
        let writes = context.state.into_writes();
        for (key, value) in writes {
            state.insert(key, value.unwrap());
        }
        let state = &*state;
        [last_validators(state).unwrap().unwrap(), validators(state).unwrap(), next_validators(state).unwrap()]
    }

    #[test]
    fn a_set_that_is_written_before_the_sets_move_on_is_in_force_two_blocks_later() {
        let mut state = state();
        let old = validators(&state).unwrap();
        let joined = Validator::new(ValidatorKey::from_seed([2; 32]).public(), 1, "new");
        let new = ValidatorSet::new(old.iter().cloned().chain([joined]).collect()).unwrap();
        let sets = |sets: [&ValidatorSet; 3]| sets.map(ValidatorSet::clone);
        assert_eq!(block(&mut state, 1, None), sets([&old, &old, &old]));
        assert_eq!(block(&mut state, 2, Some(&new)), sets([&old, &old, &new]), "height 3 is decided by the old set");
        // The change back comes a block later, and neither is left out.
        assert_eq!(block(&mut state, 3, Some(&old)), sets([&old, &new, &old]));
        assert_eq!(block(&mut state, 4, None), sets([&new, &old, &old]));
        assert_eq!(block(&mut state, 5, None), sets([&old, &old, &old]));
    }
}
