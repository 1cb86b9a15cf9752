//! Validators that are passed over when proposers are chosen. Clause P of `docs/spec/transactions.md`.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Height};

use super::keys;
use super::proposer::proposer;
use super::records::{last_validators, next_validators};
use crate::block::Certificate;
use crate::context::Context;
use crate::state::{StateError, StateRead, read};

/// Validators that are passed over, by height: consensus takes in messages of the next two.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PassedOver {
    /// At the height of the last block.
    pub last: BTreeSet<Address>,
    /// At the next height.
    pub current: BTreeSet<Address>,
    /// At the height after that.
    pub next: BTreeSet<Address>,
}

/// The record after the last block. Fails if the store does.
pub fn passed_over(state: &dyn StateRead) -> Result<PassedOver, StateError> {
    Ok(read(state, keys::PASSED_OVER)?.unwrap_or_default())
}

/// Remembers whose turns those rounds of the last height were that decided nothing, as its commit tells; of many rounds the last
/// ones, as many as there are validators.
pub(crate) fn note_failed_turns(
    context: &mut Context<'_>,
    last_commit: Option<&Certificate>,
) -> Result<(), StateError> {
    let Some(commit) = last_commit.filter(|commit| commit.round > 0) else { return Ok(()) };
    let Some(set) = last_validators(&context.state)? else { return Ok(()) };
    let decided = u32::try_from(commit.round).unwrap_or(u32::MAX);
    let over = passed_over(&context.state)?.last;
    let first = decided.saturating_sub(set.len() as u32);
    let failed = (first..decided).map(|round| proposer(&set, &over, commit.height, round).address);
    context.failed_turns = failed.collect();
    Ok(())
}

/// Adds those who failed their turns to those who are passed over two heights on, and takes those out who were seen in this block
/// or are validators no more. Called at the block's end, while the context still has who was seen.
///
/// Every block sees more than two thirds of the power that decided the last one, in its commit: so less than a third of it is passed
/// over, whatever proposers leave out.
pub(crate) fn rotate_passed_over(context: &mut Context<'_>) -> Result<(), StateError> {
    let before = passed_over(&context.state)?;
    let failed = std::mem::take(&mut context.failed_turns);
    if before == PassedOver::default() && failed.is_empty() {
        return Ok(());
    }
    let (set, height) = (next_validators(&context.state)?, context.height);
    let was_seen = |address: &Address| seen_at(context, address) == Some(height);
    let stays = |address: &Address| !was_seen(address) && set.get(address).is_some();
    let after = before.next.union(&failed).copied().filter(stays).collect();
    let record = PassedOver { last: before.current.clone(), current: before.next.clone(), next: after };
    if record == before {
        return Ok(());
    }
    // What says nothing is not kept: so there is one form of it.
    if record == PassedOver::default() {
        context.state.delete(keys::PASSED_OVER.to_vec());
    } else {
        context.state.put(keys::PASSED_OVER.to_vec(), &record);
    }
    Ok(())
}

/// The height at which this block, or one before it, saw a validator, if the block has seen anybody.
fn seen_at(context: &Context<'_>, address: &Address) -> Option<Height> {
    context.presence.as_ref()?.get(address).copied()
}
