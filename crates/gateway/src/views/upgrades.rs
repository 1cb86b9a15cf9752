//! Upgrades.

use openmesh_api as api;
use openmesh_ledger::{
    BallotCount, Lapse, LapsedPlan, PlanRecord, RuleSets, RulesInForce, Standing, UpgradeRecord, UpgradesEvent,
    Validator, ValidatorSet, standing,
};
use openmesh_primitives::Height;
use openmesh_storage::MigratedRoot;

/// Facts about the network's rules.
pub struct Facts {
    /// Of the newest block.
    pub height: Height,
    /// The rule set in force.
    pub rules: RulesInForce,
    /// The rule sets that this program knows.
    pub sets: RuleSets,
    /// Mean time between blocks.
    pub block_ms: Option<u64>,
    /// Plans that are not due.
    pub plans: Vec<PlanRecord>,
    /// Upgrades that took place, oldest first.
    pub done: Vec<UpgradeRecord>,
    /// The last plan that lapsed.
    pub lapsed: Option<LapsedPlan>,
    /// Roots of migrated states that this node has computed.
    pub roots: Vec<MigratedRoot>,
    /// The validators in force.
    pub set: ValidatorSet,
    /// Their ballots, in the order of the set.
    pub ballots: Vec<BallotCount>,
}

impl Facts {
    /// The validators with their ballots.
    fn validators(&self) -> impl Iterator<Item = (&Validator, &BallotCount)> {
        self.set.iter().zip(&self.ballots)
    }

    /// The highest rule set that a validator's program knows: whoever votes knows the one in force.
    fn knows(&self, ballots: &BallotCount) -> u32 {
        ballots.knows.unwrap_or(0).max(self.rules.version)
    }
}

/// Everything about the network's rules.
pub fn info(facts: &Facts) -> api::UpgradeInfo {
    let known = facts.sets.iter().map(|set| api::RuleSetInfo {
        version: set.version,
        name: set.name.into(),
        changes: set.changes.iter().map(|change| (*change).to_owned()).collect(),
    });
    let validators = facts.validators().map(|(validator, ballots)| api::UpgradeValidator {
        address: validator.address.to_string(),
        name: validator.name.clone(),
        power: validator.power,
        knows: facts.knows(ballots),
        next_ballot: ballots.next,
    });
    api::UpgradeInfo {
        height: facts.height,
        version: facts.rules.version,
        since: facts.rules.since,
        known: known.collect(),
        block_ms: facts.block_ms,
        plans: facts.plans.iter().map(|record| plan(record, facts)).collect(),
        validators: validators.collect(),
        history: facts.done.iter().rev().map(|record| done(record, &facts.roots)).collect(),
        lapsed: facts.lapsed.as_ref().map(lapsed),
    }
}

fn plan(record: &PlanRecord, facts: &Facts) -> api::UpgradePlanInfo {
    let PlanRecord { plan, proposer, proposed_height, approvals } = record;
    let Standing { power, total, lapse, .. } = standing(plan.version, approvals, &facts.set, facts.rules.version);
    let ready = facts.validators().filter(|(_, ballots)| facts.knows(ballots) >= plan.version);
    api::UpgradePlanInfo {
        id: plan.id().to_string(),
        version: plan.version,
        height: plan.height,
        release: plan.release.clone(),
        digest: plan.digest.to_string(),
        proposer: proposer.to_string(),
        proposed_height: *proposed_height,
        approvals: approvals
            .iter()
            .map(|(validator, height)| api::UpgradeApproval { validator: validator.to_string(), height: *height })
            .collect(),
        power,
        total_power: total,
        stands: lapse.is_none(),
        ready_power: ready.map(|(validator, _)| validator.power).sum(),
        known_here: facts.sets.get(plan.version).is_some(),
    }
}

fn done(record: &UpgradeRecord, roots: &[MigratedRoot]) -> api::UpgradeDone {
    let UpgradeRecord { plan, from, power, total, .. } = record;
    let root = roots.iter().find(|root| root.version == plan.version && root.height == plan.height);
    api::UpgradeDone {
        version: plan.version,
        from: *from,
        height: plan.height,
        release: plan.release.clone(),
        digest: plan.digest.to_string(),
        power: *power,
        total_power: *total,
        migrated_root: root.map(|root| root.root.to_string()),
    }
}

fn lapsed(lapsed: &LapsedPlan) -> api::UpgradeLapsed {
    let LapsedPlan { plan, lapse, power, total, .. } = lapsed;
    let reason = match lapse {
        Lapse::TooLittlePower => "too_little_power",
        Lapse::NotLater => "not_later",
    };
    api::UpgradeLapsed {
        version: plan.version,
        height: plan.height,
        release: plan.release.clone(),
        reason: reason.into(),
        power: *power,
        total_power: *total,
    }
}

/// An event as the stream tells it.
pub fn news(event: &UpgradesEvent) -> api::UpgradeNews {
    match event {
        UpgradesEvent::Approved { plan, validator, power, total, height } => api::UpgradeNews::Approved {
            plan: plan.id().to_string(),
            version: plan.version,
            plan_height: plan.height,
            validator: validator.to_string(),
            power: *power,
            total_power: *total,
            height: *height,
        },
        UpgradesEvent::Withdrawn { plan_height, plan, validator, height } => api::UpgradeNews::Withdrawn {
            plan: plan.to_string(),
            plan_height: *plan_height,
            validator: validator.to_string(),
            height: *height,
        },
        UpgradesEvent::Ready { validator, version, height } => {
            api::UpgradeNews::Ready { validator: validator.to_string(), version: *version, height: *height }
        }
        UpgradesEvent::Upgraded { plan, from, migrated_keys, height, .. } => api::UpgradeNews::Upgraded {
            version: plan.version,
            from: *from,
            release: plan.release.clone(),
            migrated_keys: *migrated_keys,
            height: *height,
        },
        UpgradesEvent::Lapsed(plan) => api::UpgradeNews::Lapsed { lapsed: lapsed(plan), height: plan.height },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{RULES_OF_GENESIS, UpgradePlan};
    use openmesh_primitives::{Digest, ValidatorKey};

    #[test]
    fn a_plan_says_who_approves_it_and_who_is_ready() {
        let key = |n: u8| ValidatorKey::from_seed([n + 1; 32]).public();
        let set = ValidatorSet::new((0..4).map(|n| Validator::new(key(n), 10, "v")).collect()).unwrap();
        let plan = UpgradePlan { version: 2, height: 9, release: "r".into(), digest: Digest::ZERO };
        let approvals = (0..3).map(|n| (key(n).address(), 5)).collect();
        let record = PlanRecord { plan, proposer: key(0).address(), proposed_height: 5, approvals };
        let mut ballots = vec![BallotCount::default(); 4];
        ballots[1].knows = Some(2);
        let facts = Facts {
            height: 6,
            rules: RULES_OF_GENESIS,
            sets: RuleSets::built_in(),
            block_ms: Some(1_000),
            plans: vec![record],
            done: Vec::new(),
            lapsed: None,
            roots: Vec::new(),
            set,
            ballots,
        };
        let info = info(&facts);
        let shown = &info.plans[0];
        assert_eq!((shown.power, shown.total_power, shown.stands, shown.ready_power), (30, 40, true, 10));
        assert!(!shown.known_here && shown.approvals.len() == 3);
        assert_eq!(info.validators.iter().map(|v| v.knows).collect::<Vec<_>>(), [1, 2, 1, 1]);
    }

    /// U11: every event has its news, by which the stream and Studio tell it.
    #[test]
    fn events_are_told_with_the_height_of_their_block() {
        let plan = UpgradePlan { version: 2, height: 9, release: "r".into(), digest: Digest([2; 32]) };
        let validator = ValidatorKey::from_seed([1; 32]).public().address();
        let lapsed = LapsedPlan { plan: plan.clone(), lapse: Lapse::NotLater, power: 1, total: 4, height: 12 };
        let events = [
            UpgradesEvent::Approved { plan: plan.clone(), validator, power: 1, total: 4, height: 5 },
            UpgradesEvent::Withdrawn { plan_height: 9, plan: plan.id(), validator, height: 6 },
            UpgradesEvent::Ready { validator, version: 3, height: 7 },
            UpgradesEvent::Upgraded { plan: plan.clone(), from: 1, power: 3, total: 4, migrated_keys: 8, height: 9 },
            UpgradesEvent::Lapsed(lapsed),
        ];
        let told: Vec<_> = events.iter().map(|event| serde_json::to_value(news(event)).unwrap()).collect();
        let heads: Vec<_> = told.iter().map(|news| (news["kind"].as_str(), news["height"].as_u64())).collect();
        let kinds = ["approved", "withdrawn", "ready", "upgraded", "lapsed"].map(Some);
        assert_eq!(heads, kinds.into_iter().zip([5, 6, 7, 9, 12].map(Some)).collect::<Vec<_>>());
        let id = serde_json::Value::from(plan.id().to_string());
        assert_eq!((&told[0]["plan"], &told[1]["plan"]), (&id, &id));
        assert_eq!((&told[3]["from"], &told[3]["migrated_keys"]), (&serde_json::json!(1), &serde_json::json!(8)));
        assert_eq!(
            told[4]["lapsed"],
            serde_json::json!({
                "version": 2, "height": 9, "release": "r", "reason": "not_later", "power": 1, "total_power": 4
            })
        );
    }
}
