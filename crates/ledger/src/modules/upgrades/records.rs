//! Records of upgrades, and functions that read them.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height};
use serde::{Deserialize, Serialize};

use super::ballot::UpgradePlan;
use super::keys;
use super::limits::PLANS_READ_MAX;
use super::standing::Lapse;
use crate::state::{StateError, StateRead, decode, read};

/// The rule set that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct RulesInForce {
    /// Its version.
    pub version: u32,
    /// First height that was executed by it; 0 for that of the genesis.
    pub since: Height,
}

/// The rule set by which every network begins.
pub const RULES_OF_GENESIS: RulesInForce = RulesInForce { version: 1, since: 0 };

/// A plan that is not due yet.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The plan.
    pub plan: UpgradePlan,
    /// The validator that approved it first.
    pub proposer: Address,
    /// Height of the block with that ballot.
    pub proposed_height: Height,
    /// Heights of the approvals that stand, by validator. Never empty.
    pub approvals: BTreeMap<Address, Height>,
}

/// An upgrade that took place.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct UpgradeRecord {
    /// The plan.
    pub plan: UpgradePlan,
    /// Version of the rule set before.
    pub from: u32,
    /// The validators that approved it and counted.
    pub approved: Vec<Address>,
    /// Their power.
    pub power: u64,
    /// Power of all validators.
    pub total: u64,
}

/// A plan that came due and did not stand.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct LapsedPlan {
    /// The plan.
    pub plan: UpgradePlan,
    /// The reason.
    pub lapse: Lapse,
    /// Power that approved it.
    pub power: u64,
    /// Power of all validators.
    pub total: u64,
    /// Of the block in which it lapsed.
    pub height: Height,
}

/// The ballots of a validator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct BallotCount {
    /// Number of ballots that it has cast, and so the number of its next one.
    pub next: u64,
    /// The epoch that `in_epoch` counts for.
    pub epoch: u64,
    /// Ballots that it has cast in that epoch.
    pub in_epoch: u32,
    /// The highest rule set that its program knows, as it has told.
    pub knows: Option<u32>,
}

impl BallotCount {
    /// Number of ballots that it has cast in an epoch.
    pub const fn cast_in(&self, epoch: u64) -> u32 {
        if self.epoch == epoch { self.in_epoch } else { 0 }
    }
}

/// The rule set in force. Fails if the store does.
pub fn rules_in_force(state: &dyn StateRead) -> Result<RulesInForce, StateError> {
    Ok(read(state, keys::RULES)?.unwrap_or(RULES_OF_GENESIS))
}

/// A plan that is not due yet. Fails if the store does.
pub fn plan(state: &dyn StateRead, height: Height, id: &Digest) -> Result<Option<PlanRecord>, StateError> {
    read(state, &keys::upgrade_plan(height, id))
}

fn listed<T: BorshDeserialize>(state: &dyn StateRead, prefix: &[u8]) -> Result<Vec<T>, StateError> {
    let found = state.scan(prefix, None, PLANS_READ_MAX)?;
    found.iter().map(|(key, value)| decode(key, value)).collect()
}

/// The plans at a height, by id. Fails if the store does.
pub fn plans_at(state: &dyn StateRead, height: Height) -> Result<Vec<PlanRecord>, StateError> {
    listed(state, &keys::upgrade_plans_at(height))
}

/// All plans that are not due yet, by height. Fails if the store does.
pub fn plans(state: &dyn StateRead) -> Result<Vec<PlanRecord>, StateError> {
    listed(state, keys::UPGRADE_PLANS)
}

/// The upgrades that took place, oldest first. Fails if the store does.
pub fn upgrades(state: &dyn StateRead) -> Result<Vec<UpgradeRecord>, StateError> {
    listed(state, keys::UPGRADES)
}

/// The last plan that came due and did not stand. Fails if the store does.
pub fn last_lapsed(state: &dyn StateRead) -> Result<Option<LapsedPlan>, StateError> {
    read(state, keys::UPGRADE_LAPSED)
}

/// The ballots of a validator; one that has cast none has the default. Fails if the store does.
pub fn ballot_count(state: &dyn StateRead, validator: &Address) -> Result<BallotCount, StateError> {
    Ok(read(state, &keys::upgrade_ballots(validator))?.unwrap_or_default())
}

/// The highest rule sets that validators have told their programs know, by address. Fails if the store does.
pub fn known_versions(state: &dyn StateRead, validators: &[Address]) -> Result<BTreeMap<Address, u32>, StateError> {
    let mut known = BTreeMap::new();
    for validator in validators {
        if let Some(version) = ballot_count(state, validator)?.knows {
            known.insert(*validator, version);
        }
    }
    Ok(known)
}
