//! Refusals of ballots, and of actions that the rule set in force does not have.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height};
use serde::{Deserialize, Serialize};

use super::ballot::PlanFault;
use super::limits::{APPROVALS_PER_VALIDATOR_MAX, BALLOTS_PER_EPOCH_MAX};

/// A refusal by the rules of upgrades.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum UpgradesError {
    /// The key is no validator's of the next block.
    #[error("{validator} is not among the validators in force, whose ballots alone count")]
    NotValidator {
        /// Of the ballot.
        validator: Address,
    },
    /// The ballot's number is not the validator's next one.
    #[error("the ballot has number {got}, the next one of this validator is {expected}")]
    BallotNumber {
        /// Next one.
        expected: u64,
        /// In the ballot.
        got: u64,
    },
    /// As many ballots as a validator may cast in an epoch.
    #[error(
        "this validator has cast {BALLOTS_PER_EPOCH_MAX} ballots in this epoch: the next one counts in the next epoch"
    )]
    TooManyBallots,
    /// The plan is malformed.
    #[error("the plan is refused: {fault}")]
    PlanInvalid {
        /// The fault.
        fault: PlanFault,
    },
    /// The plan's height is past, or is that of this block.
    #[error("the plan is for height {height}, which is past: {from} is the first that a plan can be for now")]
    PlanHeightPast {
        /// Of the plan.
        height: Height,
        /// First that is possible.
        from: Height,
    },
    /// The plan's height lies too far ahead.
    #[error("the plan is for height {height}: {to} is the last that a plan can be for now")]
    PlanHeightAhead {
        /// Of the plan.
        height: Height,
        /// Last that is possible.
        to: Height,
    },
    /// The plan's rule set is in force already, or was.
    #[error("the plan is for rule set {version}, and {in_force} is in force: a plan is for a later one")]
    VersionInForce {
        /// Of the plan.
        version: u32,
        /// In force.
        in_force: u32,
    },
    /// The validator has approved this plan.
    #[error("this validator has approved the plan {plan} already")]
    ApprovedAlready {
        /// Id of the plan.
        plan: Digest,
    },
    /// The validator has approved another plan for the same height.
    #[error(
        "this validator has approved another plan for height {height}, {other}: one approval a height; withdraw that one first"
    )]
    TwoForOneHeight {
        /// Of both plans.
        height: Height,
        /// Id of the other plan.
        other: Digest,
    },
    /// The validator has approved as many plans as it may.
    #[error(
        "this validator approves {APPROVALS_PER_VALIDATOR_MAX} plans that are not due yet: withdraw one of them first"
    )]
    TooManyApprovals,
    /// There is no such plan.
    #[error("there is no plan {plan} for height {height}: it is due, or nobody approves it any more")]
    UnknownPlan {
        /// Of the plan.
        height: Height,
        /// Id of the plan.
        plan: Digest,
    },
    /// The validator has not approved the plan.
    #[error("this validator has not approved the plan {plan}")]
    NotApproved {
        /// Id of the plan.
        plan: Digest,
    },
    /// The validator has told this version already.
    #[error("this validator has told already that its program knows rule set {version}")]
    ReadyAlready {
        /// As told.
        version: u32,
    },
    /// The rule set in force has no such action.
    #[error("the action with tag {tag} is not one of rule set {version}, which is in force")]
    ActionNotInForce {
        /// Of the action.
        tag: u8,
        /// In force.
        version: u32,
    },
    /// A registered rule set refuses its action.
    #[error("{reason}")]
    RegisteredRefused {
        /// In words.
        reason: String,
    },
    /// The validator's blocks earn for this account already.
    #[error("the tips of this validator's blocks go to {account} already")]
    PayoutAlready {
        /// The account.
        account: Address,
    },
}

impl UpgradesError {
    /// Stable name of the error; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            UpgradesError::NotValidator { .. } => "not_validator",
            UpgradesError::BallotNumber { .. } => "ballot_number",
            UpgradesError::TooManyBallots => "too_many_ballots",
            UpgradesError::PlanInvalid { .. } => "plan_invalid",
            UpgradesError::PlanHeightPast { .. } => "plan_height_past",
            UpgradesError::PlanHeightAhead { .. } => "plan_height_ahead",
            UpgradesError::VersionInForce { .. } => "version_in_force",
            UpgradesError::ApprovedAlready { .. } => "approved_already",
            UpgradesError::TwoForOneHeight { .. } => "two_for_one_height",
            UpgradesError::TooManyApprovals => "too_many_approvals",
            UpgradesError::UnknownPlan { .. } => "unknown_plan",
            UpgradesError::NotApproved { .. } => "not_approved",
            UpgradesError::ReadyAlready { .. } => "ready_already",
            UpgradesError::ActionNotInForce { .. } => "action_not_in_force",
            UpgradesError::RegisteredRefused { .. } => "registered_refused",
            UpgradesError::PayoutAlready { .. } => "payout_already",
        }
    }
}
