//! The turns of proposers in the state: by height the seed of their order and who of them is passed over. Clause P of
//! `docs/spec/transactions.md`.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height};

use super::keys;
use super::proposer::{Share, phase, proposer_index};
use super::records::{last_validators, next_validators, validators};
use super::set::{Validator, ValidatorSet};
use crate::block::Certificate;
use crate::context::Context;
use crate::rules::block_meta;
use crate::state::{StateError, StateRead, need};

/// The turns of a height, as far as its validators do not decide them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Turns {
    /// From which the validators' phases follow: that of the epoch in which the block two heights before lies.
    pub seed: Digest,
    /// Validators that are passed over.
    pub passed_over: BTreeSet<Address>,
}

/// The turns of the heights near the last block. Consensus takes in messages of the next two.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NearTurns {
    /// Of the last block's height.
    pub last: Turns,
    /// Of the next height.
    pub current: Turns,
    /// Of the height after that.
    pub next: Turns,
}

impl Turns {
    /// The parts of a height's validators in its schedule, in the order of their set.
    pub fn shares(&self, set: &ValidatorSet) -> Vec<Share> {
        let share = |validator: &Validator| Share {
            power: validator.power,
            phase: phase(&self.seed, &validator.address),
            passed_over: self.passed_over.contains(&validator.address),
        };
        set.iter().map(share).collect()
    }

    /// The proposer of a height and round, of the set that decides the height.
    pub fn proposer<'a>(&self, set: &'a ValidatorSet, height: Height, round: u32) -> &'a Validator {
        &set.as_slice()[proposer_index(&self.shares(set), height, round)]
    }
}

impl NearTurns {
    /// Before the first block: by this seed, and nobody is passed over.
    pub(crate) fn first(seed: Digest) -> NearTurns {
        let turns = Turns { seed, passed_over: BTreeSet::new() };
        NearTurns { last: turns.clone(), current: turns.clone(), next: turns }
    }
}

/// The record after the last block. Fails if the store does, or is not of a network.
pub fn near_turns(state: &dyn StateRead) -> Result<NearTurns, StateError> {
    need(state, keys::TURNS)
}

/// The proposer of a round of the last height, the next one or the one after it, by the state after the last block. `None`: another
/// height, or that of a genesis.
///
/// # Errors
/// Where the store fails, or is not of a network.
pub fn proposer(state: &dyn StateRead, height: Height, round: u32) -> Result<Option<Validator>, StateError> {
    let NearTurns { last, current, next } = near_turns(state)?;
    let (set, turns) = match height.checked_sub(block_meta(state)?.height) {
        Some(0) => (last_validators(state)?, last),
        Some(1) => (Some(validators(state)?), current),
        Some(2) => (Some(next_validators(state)?), next),
        _ => return Ok(None),
    };
    Ok(set.map(|set| turns.proposer(&set, height, round).clone()))
}

/// Remembers whose turns those rounds of the last height were that decided nothing, as its commit tells; of many rounds the last
/// ones, as many as there are validators.
pub(crate) fn note_failed_turns(
    context: &mut Context<'_>,
    last_commit: Option<&Certificate>,
) -> Result<(), StateError> {
    let Some(commit) = last_commit.filter(|commit| commit.round > 0) else { return Ok(()) };
    let Some(set) = last_validators(&context.state)? else { return Ok(()) };
    let shares = near_turns(&context.state)?.last.shares(&set);
    let decided = u32::try_from(commit.round).unwrap_or(u32::MAX);
    let first = decided.saturating_sub(set.len() as u32);
    let failed = (first..decided).map(|round| set.as_slice()[proposer_index(&shares, commit.height, round)].address);
    context.failed_turns = failed.collect();
    Ok(())
}

/// Moves the turns on by a height, at the block's end, while the context still has who was seen. Those of two heights on go by the seed
/// of the epoch of this block; who failed its turn is passed over then, and no longer who was seen in this block or is no validator
/// any more.
///
/// Every block sees more than two thirds of the power that decided the last one, in its commit: so less than a third of it is passed
/// over, whatever proposers leave out.
pub(crate) fn rotate_turns(context: &mut Context<'_>) -> Result<(), StateError> {
    let before = near_turns(&context.state)?;
    let seed = context.turns_seed.take().unwrap_or(before.next.seed);
    let failed = std::mem::take(&mut context.failed_turns);
    let (set, height) = (next_validators(&context.state)?, context.height);
    let was_seen = |address: &Address| seen_at(context, address) == Some(height);
    let stays = |address: &Address| !was_seen(address) && set.get(address).is_some();
    let passed_over = before.next.passed_over.union(&failed).copied().filter(stays).collect();
    let next = Turns { seed, passed_over };
    let after = NearTurns { last: before.current.clone(), current: before.next.clone(), next };
    if after != before {
        context.state.put(keys::TURNS.to_vec(), &after);
    }
    Ok(())
}

/// The height at which this block, or one before it, saw a validator, if the block has seen anybody.
fn seen_at(context: &Context<'_>, address: &Address) -> Option<Height> {
    context.presence.as_ref()?.get(address).copied()
}
