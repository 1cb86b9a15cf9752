//! The beginning of a block: the rule set by which it is executed, and the writes of migrations before its transactions. Clauses
//! U4 to U6 of `docs/spec/upgrades.md`.
//!
//! It follows from the state after the parent alone, so whoever has that state knows before the height begins whether it has the
//! rules for it. Building, judging and executing the block all stand on the same one, which is made once for a height, because a
//! migration may touch the whole state.

use std::sync::Arc;

use openmesh_primitives::{Amount, Height};

use crate::keys;
use crate::modules::fees::base_fee;
use crate::modules::supply::check_supply;
use crate::modules::upgrades::{PlanRecord, Standing, UpgradePlan, plans_at, rules_in_force, standing};
use crate::modules::validators::validators;
use crate::params::{Params, params};
use crate::rule_set::{MigrationWrites, RuleSet, RuleSets, RulesError, of_consensus, of_supply};
use crate::state::{Overlay, StateError, StateRead};

/// The beginning of the block of a height.
#[derive(Clone, Debug)]
pub struct Upcoming {
    height: Height,
    sets: RuleSets,
    /// The rule set by which the block is executed.
    set: RuleSet,
    params: Params,
    base_fee: Amount,
    /// The plans for this height.
    due: Vec<(PlanRecord, Standing)>,
    /// Writes of the migrations.
    writes: Arc<MigrationWrites>,
}

/// A migration as a block brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The rule set that comes with it.
    pub version: u32,
    /// Its writes.
    pub writes: Arc<MigrationWrites>,
}

impl Upcoming {
    /// The beginning of the block of a height, on the state after the one before it. A plan for this height that stands brings
    /// the migrations to its rule set.
    ///
    /// # Errors
    /// [`RulesError::Unknown`] and [`RulesError::Dropped`] where none of these sets is the one that the height needs: this
    /// program must not take part in it. Else where the state cannot be read.
    pub fn of(sets: &RuleSets, state: &dyn StateRead, height: Height) -> Result<Upcoming, RulesError> {
        let in_force = rules_in_force(state)?.version;
        let due = due(state, height, in_force)?;
        let set = needed(sets, height, in_force, &due)?;
        Upcoming::with(sets, state, height, (in_force, set), due)
    }

    /// Checks that one of these sets is the one that the block of a height needs, on the state after the one before it. Makes no
    /// migration.
    ///
    /// # Errors
    /// As [`Upcoming::of`].
    pub fn check(sets: &RuleSets, state: &dyn StateRead, height: Height) -> Result<(), RulesError> {
        let in_force = rules_in_force(state)?.version;
        needed(sets, height, in_force, &due(state, height, in_force)?).map(|_| ())
    }

    /// The beginning of the block as if a rule set came into force with it, whatever the plans say: for rehearsals.
    ///
    /// # Errors
    /// As [`Upcoming::of`].
    pub fn rehearse(
        sets: &RuleSets,
        state: &dyn StateRead,
        height: Height,
        version: u32,
    ) -> Result<Upcoming, RulesError> {
        let in_force = rules_in_force(state)?.version;
        sets.know(in_force, height, || None)?;
        let set = *sets.know(version, height, || None)?;
        Upcoming::with(sets, state, height, (in_force, set), Vec::new())
    }

    /// Makes the migrations from a version to a set, and reads what they leave.
    fn with(
        sets: &RuleSets,
        state: &dyn StateRead,
        height: Height,
        (from, set): (u32, RuleSet),
        due: Vec<(PlanRecord, Standing)>,
    ) -> Result<Upcoming, RulesError> {
        let mut migrated = Overlay::new(state);
        for step in sets.between(from, set.version) {
            (step.migrate)(&mut migrated).map_err(|error| failed(step.version, error))?;
        }
        let (params, base_fee) = (params(&migrated)?, base_fee(&migrated)?);
        let writes = Arc::new(migrated.into_writes());
        if let Some(key) = of_consensus(&writes) {
            return Err(RulesError::Migration { version: set.version, key });
        }
        if writes.contains_key(keys::PARAMS) {
            params.validate().map_err(|name| RulesError::Params { version: set.version, name })?;
        }
        // The blocks add up what they change; of what a migration writes every account is counted, once.
        if of_supply(&writes).is_some() {
            let (sum, is_whole) = check_supply(&Overlay::over(state, Arc::clone(&writes)))?;
            if !is_whole {
                return Err(RulesError::Supply { version: set.version, sum });
            }
        }
        Ok(Upcoming { height, sets: sets.clone(), set, params, base_fee, due, writes })
    }

    /// Height of the block.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The rule set by which it is executed.
    pub const fn set(&self) -> &RuleSet {
        &self.set
    }

    /// The rule sets that this program knows.
    pub const fn sets(&self) -> &RuleSets {
        &self.sets
    }

    /// The parameters under which it is executed.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Base fee of a unit of weight in it.
    pub const fn base_fee(&self) -> Amount {
        self.base_fee
    }

    /// The plan that takes effect with it, if one does.
    pub fn plan(&self) -> Option<&UpgradePlan> {
        stands(&self.due)
    }

    /// The plans for this height, with what is decided about each.
    pub(crate) fn due(&self) -> &[(PlanRecord, Standing)] {
        &self.due
    }

    /// Writes of the migrations; empty in all blocks but the first ones of rule sets.
    pub fn writes(&self) -> &MigrationWrites {
        &self.writes
    }

    /// The migration, if the block brings one.
    pub(crate) fn migration(&self) -> Option<Migration> {
        let brings_one = self.plan().is_some() || !self.writes.is_empty();
        brings_one.then(|| Migration { version: self.set.version, writes: Arc::clone(&self.writes) })
    }

    /// The state on which its transactions are executed: the last one with the writes of the migrations, which are not copied, however
    /// many blocks of the height are built and judged.
    pub fn state<'a>(&self, base: &'a dyn StateRead) -> Overlay<&'a dyn StateRead> {
        Overlay::over(base, Arc::clone(&self.writes))
    }
}

/// The failure of a migration. One of the store is this node's own, and may be gone when it is started again.
fn failed(version: u32, error: StateError) -> RulesError {
    match error {
        StateError::Read(_) => RulesError::State(error),
        reason => RulesError::Failed { version, reason },
    }
}

/// The plan of those for a height that stands.
fn stands(due: &[(PlanRecord, Standing)]) -> Option<&UpgradePlan> {
    due.iter().find(|(_, standing)| standing.lapse.is_none()).map(|(record, _)| &record.plan)
}

/// The rule set that a height needs.
fn needed(
    sets: &RuleSets,
    height: Height,
    in_force: u32,
    due: &[(PlanRecord, Standing)],
) -> Result<RuleSet, RulesError> {
    let plan = stands(due);
    let release = || plan.map(|plan| format!("{} (SHA-256 {})", plan.release, plan.digest));
    // The state's own first: a program that is older than the state has nothing to say about its plans.
    sets.know(in_force, height, || None)?;
    sets.know(plan.map_or(in_force, |plan| plan.version), height, release).copied()
}

/// The plans for a height, judged by the validators that decide it.
fn due(state: &dyn StateRead, height: Height, in_force: u32) -> Result<Vec<(PlanRecord, Standing)>, StateError> {
    let plans = plans_at(state, height)?;
    if plans.is_empty() {
        return Ok(Vec::new());
    }
    let set = validators(state)?;
    let judged = plans.into_iter().map(|record| {
        let standing = standing(record.plan.version, &record.approvals, &set, in_force);
        (record, standing)
    });
    Ok(judged.collect())
}
