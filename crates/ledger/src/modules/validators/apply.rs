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

/// Makes the next set the current one: a change written in block H is in force from H + 2.
pub(crate) fn rotate(context: &mut Context<'_>) -> Result<(), StateError> {
    let (current, next) = (validators(&context.state)?, next_validators(&context.state)?);
    if last_validators(&context.state)?.as_ref() != Some(&current) {
        context.state.put(keys::VALIDATORS_LAST.to_vec(), &current);
    }
    if current != next {
        context.state.put(keys::VALIDATORS_CURRENT.to_vec(), &next);
    }
    Ok(())
}
