//! Upgrades: the rules in force, plans, who approves them, which nodes are ready; the state for rehearsals.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rules of the network: those in force, those planned, and who is ready for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeInfo {
    /// Height of the newest block.
    pub height: u64,
    /// Version of the rule set in force.
    pub version: u32,
    /// First height that was executed by it; 0 for that of the genesis.
    pub since: u64,
    /// The rule sets that this node's program knows, in ascending order of version.
    pub known: Vec<RuleSetInfo>,
    /// Mean time between the recent blocks, in milliseconds, by which the time of a height can be told; `null` while there are too few.
    pub block_ms: Option<u64>,
    /// Plans that are not due yet, by height.
    pub plans: Vec<UpgradePlanInfo>,
    /// The validators in force, with what they have told.
    pub validators: Vec<UpgradeValidator>,
    /// Upgrades that took place, newest first.
    pub history: Vec<UpgradeDone>,
    /// The last plan that came due and did not stand; `null` where there is none.
    pub lapsed: Option<UpgradeLapsed>,
}

/// A rule set that this node's program knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleSetInfo {
    /// Version.
    pub version: u32,
    /// Name.
    pub name: String,
    /// Sentences on what it changes.
    pub changes: Vec<String>,
}

/// A plan that is not due yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradePlanInfo {
    /// Id, 64 hexadecimal digits.
    pub id: String,
    /// Version of the rule set.
    pub version: u32,
    /// First height that is executed by it.
    pub height: u64,
    /// Name of the release that has it.
    pub release: String,
    /// SHA-256 of that release's archive.
    pub digest: String,
    /// The validator that approved it first.
    pub proposer: String,
    /// Height of that ballot.
    pub proposed_height: u64,
    /// Validators that approve it, with the heights of their ballots.
    pub approvals: Vec<UpgradeApproval>,
    /// Power of those of them that are in force.
    pub power: u64,
    /// Power of all validators in force.
    pub total_power: u64,
    /// True where the plan would take effect if it were due now.
    pub stands: bool,
    /// Power of validators whose programs know the rule set, as they have told.
    pub ready_power: u64,
    /// True where this node's program knows the rule set: one that does not stops before the height.
    pub known_here: bool,
}

/// An approval of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeApproval {
    /// The validator.
    pub validator: String,
    /// Height of its ballot.
    pub height: u64,
}

/// A validator, as far as upgrades are concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeValidator {
    /// Address.
    pub address: String,
    /// Name from the genesis file.
    pub name: String,
    /// Voting power.
    pub power: u64,
    /// The highest rule set that its program knows: as it has told, or else the one in force.
    pub knows: u32,
    /// Number of its next ballot.
    pub next_ballot: u64,
}

/// An upgrade that took place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeDone {
    /// Version of the rule set.
    pub version: u32,
    /// Version of the one before.
    pub from: u32,
    /// First height that was executed by it.
    pub height: u64,
    /// Name of the release.
    pub release: String,
    /// SHA-256 of that release's archive.
    pub digest: String,
    /// Power that approved it.
    pub power: u64,
    /// Power of all validators then.
    pub total_power: u64,
    /// Root of the state with the writes of the migration, before any transaction, as this node computed it; `null` where it did not
    /// execute that block.
    pub migrated_root: Option<String>,
}

/// A plan that came due and did not stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeLapsed {
    /// Version of the rule set.
    pub version: u32,
    /// Height of the plan.
    pub height: u64,
    /// Name of the release.
    pub release: String,
    /// `too_little_power` or `not_later`.
    pub reason: String,
    /// Power that approved it.
    pub power: u64,
    /// Power of all validators then.
    pub total_power: u64,
}

/// Something that happened to a plan, or to the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UpgradeNews {
    /// A validator approved a plan.
    Approved {
        /// Id of the plan.
        plan: String,
        /// Version of its rule set.
        version: u32,
        /// Its height.
        plan_height: u64,
        /// The validator.
        validator: String,
        /// Power that approves it now.
        power: u64,
        /// Power of all validators.
        total_power: u64,
        /// Of the block.
        height: u64,
    },
    /// A validator took its approval back.
    Withdrawn {
        /// Id of the plan.
        plan: String,
        /// Its height.
        plan_height: u64,
        /// The validator.
        validator: String,
        /// Of the block.
        height: u64,
    },
    /// A validator told the highest rule set that its program knows.
    Ready {
        /// The validator.
        validator: String,
        /// Version of the rule set.
        version: u32,
        /// Of the block.
        height: u64,
    },
    /// Another rule set is in force.
    Upgraded {
        /// Its version.
        version: u32,
        /// Version of the one before.
        from: u32,
        /// Name of the release.
        release: String,
        /// Keys of the state that the migration wrote or deleted.
        migrated_keys: u64,
        /// Of the block, the first that was executed by it.
        height: u64,
    },
    /// A plan came due and did not stand.
    Lapsed {
        /// The plan.
        lapsed: UpgradeLapsed,
        /// Of the block.
        height: u64,
    },
}

/// The newest state of a node, to be copied in chunks of which each is checked against the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateCopyInfo {
    /// Height of the last block before the state.
    pub height: u64,
    /// Root of the state.
    pub state_root: String,
    /// Digits of a chunk's number: there are 16 to the power of it.
    pub depth: u8,
    /// Canonical bytes of the genesis, hexadecimal.
    pub genesis: String,
    /// Canonical bytes of the block, hexadecimal.
    pub block: String,
    /// Canonical bytes of its certificate, hexadecimal.
    pub certificate: String,
    /// Canonical bytes of the set of validators that decides the next height, hexadecimal.
    pub validators: String,
}
