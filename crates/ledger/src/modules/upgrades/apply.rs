//! Effects of ballots, and of plans that are due.

use openmesh_primitives::Address;

use super::ballot::{UpgradeBallot, UpgradePlan, UpgradeVote};
use super::check::check;
use super::events::UpgradesEvent;
use super::keys;
use super::records::{BallotCount, LapsedPlan, PlanRecord, RulesInForce, UpgradeRecord, plan, plans, rules_in_force};
use super::standing::{Lapse, Standing, standing};
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::validators;
use crate::state::StateError;

/// Lets a ballot take effect. Fails as the check does.
pub(crate) fn apply(context: &mut Context<'_>, ballot: &UpgradeBallot, validator: Address) -> Result<(), CheckError> {
    let before = check(&context.rules, &context.state, ballot, validator)?;
    let epoch = context.rules.epoch;
    let mut count = BallotCount { next: before.next + 1, epoch, in_epoch: before.cast_in(epoch) + 1, ..before };
    let height = context.height;
    match &ballot.vote {
        UpgradeVote::Approve(plan) => approve(context, plan, validator)?,
        UpgradeVote::Withdraw { height: plan_height, plan: id } => {
            if let Some(mut record) = plan(&context.state, *plan_height, id)? {
                record.approvals.remove(&validator);
                let key = keys::upgrade_plan(*plan_height, id);
                match record.approvals.is_empty() {
                    true => context.state.delete(key),
                    false => context.state.put(key, &record),
                }
            }
            context.emit(UpgradesEvent::Withdrawn { plan_height: *plan_height, plan: *id, validator, height });
        }
        UpgradeVote::Ready { version } => {
            count.knows = Some(*version);
            context.emit(UpgradesEvent::Ready { validator, version: *version, height });
        }
        UpgradeVote::Payout { account } => {
            validators::update(context, &validator, |record| record.payout = Some(*account))?;
        }
    }
    context.state.put(keys::upgrade_ballots(&validator), &count);
    validators::saw(context, &validator)?;
    Ok(())
}

fn approve(context: &mut Context<'_>, wanted: &UpgradePlan, validator: Address) -> Result<(), StateError> {
    let (height, id) = (context.height, wanted.id());
    let mut record = plan(&context.state, wanted.height, &id)?.unwrap_or_else(|| PlanRecord {
        plan: wanted.clone(),
        proposer: validator,
        proposed_height: height,
        approvals: Default::default(),
    });
    record.approvals.insert(validator, height);
    context.state.put(keys::upgrade_plan(wanted.height, &id), &record);
    let (set, in_force) = (validators::validators(&context.state)?, rules_in_force(&context.state)?);
    let Standing { power, total, .. } = standing(wanted.version, &record.approvals, &set, in_force.version);
    context.emit(UpgradesEvent::Approved { plan: wanted.clone(), validator, power, total, height });
    Ok(())
}

/// Begins a block: the plan that stands at its height takes effect, and every plan that is due or overtaken leaves the state.
/// The migration was made before; `migrated_keys` is the number of keys that it wrote or deleted.
pub(crate) fn begin(
    context: &mut Context<'_>,
    due: &[(PlanRecord, Standing)],
    migrated_keys: u64,
) -> Result<(), StateError> {
    if due.is_empty() {
        return Ok(());
    }
    let height = context.height;
    for (PlanRecord { plan, .. }, Standing { approved, power, total, lapse }) in due {
        let (power, total) = (*power, *total);
        context.state.delete(keys::upgrade_plan(plan.height, &plan.id()));
        match lapse {
            Some(lapse) => lapsed(context, LapsedPlan { plan: plan.clone(), lapse: *lapse, power, total, height }),
            None => {
                let from = rules_in_force(&context.state)?.version;
                let record = UpgradeRecord { plan: plan.clone(), from, approved: approved.clone(), power, total };
                context.state.put(keys::upgrade(plan.version), &record);
                context.state.put(keys::RULES.to_vec(), &RulesInForce { version: plan.version, since: height });
                context.emit(UpgradesEvent::Upgraded { plan: plan.clone(), from, power, total, migrated_keys, height });
            }
        }
    }
    remove_overtaken(context)
}

/// Plans for rule sets that are in force by now will never stand.
fn remove_overtaken(context: &mut Context<'_>) -> Result<(), StateError> {
    let (in_force, set) = (rules_in_force(&context.state)?.version, validators::validators(&context.state)?);
    for PlanRecord { plan, approvals, .. } in plans(&context.state)? {
        let Standing { power, total, lapse, .. } = standing(plan.version, &approvals, &set, in_force);
        if lapse == Some(Lapse::NotLater) {
            context.state.delete(keys::upgrade_plan(plan.height, &plan.id()));
            let height = context.height;
            lapsed(context, LapsedPlan { plan, lapse: Lapse::NotLater, power, total, height });
        }
    }
    Ok(())
}

fn lapsed(context: &mut Context<'_>, plan: LapsedPlan) {
    context.state.put(keys::UPGRADE_LAPSED.to_vec(), &plan);
    context.emit(UpgradesEvent::Lapsed(plan));
}
