//! Upgrades: plans to change the rules at a height, validators' ballots about them, and the rule set in force.
//! `docs/spec/upgrades.md`.
//!
//! A ballot is a transaction of a class of its own: signed by a validator's key, numbered so that none counts twice, without
//! fee, a few in an epoch. Whether a plan stands is decided by one function ([`standing`]), which another way of deciding may
//! take the place of.

mod apply;
mod ballot;
mod check;
mod error;
mod events;
pub mod keys;
mod limits;
mod records;
mod standing;

pub(crate) use apply::{apply, begin};
pub use ballot::{PlanFault, UpgradeBallot, UpgradePlan, UpgradeVote};
pub(crate) use check::check;
pub use error::UpgradesError;
pub use events::UpgradesEvent;
pub use limits::*;
pub use records::{
    BallotCount, LapsedPlan, PlanRecord, RULES_OF_GENESIS, RulesInForce, UpgradeRecord, ballot_count, known_versions,
    last_lapsed, plan, plans, plans_at, rules_in_force, upgrades,
};
pub use standing::{Lapse, Standing, standing};
