//! Events of upgrades.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height};

use super::ballot::UpgradePlan;
use super::records::LapsedPlan;

/// An event of upgrades.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum UpgradesEvent {
    /// A validator approved a plan.
    Approved {
        /// The plan.
        plan: UpgradePlan,
        /// The validator.
        validator: Address,
        /// Power that approves it now, of the validators in force.
        power: u64,
        /// Power of all validators in force.
        total: u64,
        /// Of the block.
        height: Height,
    },
    /// A validator took its approval back.
    Withdrawn {
        /// Height of the plan.
        plan_height: Height,
        /// Its id.
        plan: Digest,
        /// The validator.
        validator: Address,
        /// Of the block.
        height: Height,
    },
    /// A validator told the highest rule set that its program knows.
    Ready {
        /// The validator.
        validator: Address,
        /// The rule set's version.
        version: u32,
        /// Of the block.
        height: Height,
    },
    /// The network follows another rule set from this block on.
    Upgraded {
        /// The plan.
        plan: UpgradePlan,
        /// Version of the rule set before.
        from: u32,
        /// Power that approved it.
        power: u64,
        /// Power of all validators.
        total: u64,
        /// Keys of the state that the migration wrote or deleted.
        migrated_keys: u64,
        /// Of the block.
        height: Height,
    },
    /// A plan came due and did not stand.
    Lapsed(LapsedPlan),
}
