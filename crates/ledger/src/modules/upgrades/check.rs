//! Checks of ballots against the state. Clause U3 of `docs/spec/upgrades.md`, in its order.

use openmesh_primitives::Address;

use super::ballot::{UpgradeBallot, UpgradePlan, UpgradeVote};
use super::error::UpgradesError;
use super::limits::{APPROVALS_PER_VALIDATOR_MAX, BALLOTS_PER_EPOCH_MAX, PLAN_AHEAD_BLOCKS_MAX};
use super::records::{BallotCount, ballot_count, plan, plans, plans_at, rules_in_force};
use crate::error::CheckError;
use crate::modules::validators::{validator_record, validators};
use crate::rules::Rules;
use crate::state::StateRead;

/// Checks a ballot whose signature was verified. Returns the ballots that the validator has cast before.
pub(crate) fn check(
    rules: &Rules,
    state: &dyn StateRead,
    ballot: &UpgradeBallot,
    validator: Address,
) -> Result<BallotCount, CheckError> {
    rules.chain(ballot.chain_id)?;
    if validators(state)?.get(&validator).is_none() {
        return Err(UpgradesError::NotValidator { validator }.into());
    }
    let before = ballot_count(state, &validator)?;
    if ballot.number != before.next {
        return Err(UpgradesError::BallotNumber { expected: before.next, got: ballot.number }.into());
    }
    if before.cast_in(rules.epoch) >= BALLOTS_PER_EPOCH_MAX {
        return Err(UpgradesError::TooManyBallots.into());
    }
    match &ballot.vote {
        UpgradeVote::Approve(plan) => check_approval(rules, state, plan, &validator)?,
        UpgradeVote::Withdraw { height, plan: id } => {
            let (height, id) = (*height, *id);
            let record = plan(state, height, &id)?.ok_or(UpgradesError::UnknownPlan { height, plan: id })?;
            if !record.approvals.contains_key(&validator) {
                return Err(UpgradesError::NotApproved { plan: id }.into());
            }
        }
        UpgradeVote::Ready { version } => {
            if before.knows == Some(*version) {
                return Err(UpgradesError::ReadyAlready { version: *version }.into());
            }
        }
        UpgradeVote::Payout { account } => {
            if validator_record(state, &validator)?.is_some_and(|record| record.payout == Some(*account)) {
                return Err(UpgradesError::PayoutAlready { account: *account }.into());
            }
        }
    }
    Ok(before)
}

fn check_approval(
    rules: &Rules,
    state: &dyn StateRead,
    plan: &UpgradePlan,
    validator: &Address,
) -> Result<(), CheckError> {
    plan.validate().map_err(|fault| UpgradesError::PlanInvalid { fault })?;
    let (height, now) = (plan.height, rules.height);
    if height <= now {
        return Err(UpgradesError::PlanHeightPast { height, from: now.saturating_add(1) }.into());
    }
    let to = now.saturating_add(PLAN_AHEAD_BLOCKS_MAX);
    if height > to {
        return Err(UpgradesError::PlanHeightAhead { height, to }.into());
    }
    let (version, in_force) = (plan.version, rules_in_force(state)?.version);
    if version <= in_force {
        return Err(UpgradesError::VersionInForce { version, in_force }.into());
    }
    let approved = plans_at(state, height)?.into_iter().find(|record| record.approvals.contains_key(validator));
    if let Some(record) = approved {
        let other = record.plan.id();
        return Err(match other == plan.id() {
            true => UpgradesError::ApprovedAlready { plan: other },
            false => UpgradesError::TwoForOneHeight { height, other },
        }
        .into());
    }
    let open = plans(state)?.iter().filter(|record| record.approvals.contains_key(validator)).count();
    if open >= APPROVALS_PER_VALIDATOR_MAX { Err(UpgradesError::TooManyApprovals.into()) } else { Ok(()) }
}
