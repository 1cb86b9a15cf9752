//! Keys of upgrades.

use openmesh_primitives::{Address, Digest, Height};

/// Key of [`crate::RulesInForce`]; without it those of the genesis.
pub const RULES: &[u8] = b"rules";
/// Key of [`crate::LapsedPlan`]: the last plan that came due and did not stand.
pub const UPGRADE_LAPSED: &[u8] = b"upgrade-lapsed";
/// Prefix of [`upgrade`].
pub const UPGRADES: &[u8] = b"upgrade/";
/// Prefix of [`upgrade_plan`].
pub const UPGRADE_PLANS: &[u8] = b"upgrade-plan/";
/// Prefix of [`upgrade_ballots`].
pub const UPGRADE_BALLOTS: &[u8] = b"upgrade-ballots/";

/// `upgrade/<4 bytes>` -> [`crate::UpgradeRecord`]: the upgrade to a version, for ever.
pub fn upgrade(version: u32) -> Vec<u8> {
    [UPGRADES, &version.to_be_bytes()].concat()
}

/// `upgrade-plan/<8 bytes>/`: the plans at a height.
pub fn upgrade_plans_at(height: Height) -> Vec<u8> {
    [UPGRADE_PLANS, &height.to_be_bytes(), b"/"].concat()
}

/// `upgrade-plan/<8 bytes>/<32 bytes>` -> [`crate::PlanRecord`].
pub fn upgrade_plan(height: Height, id: &Digest) -> Vec<u8> {
    [upgrade_plans_at(height).as_slice(), &id.0].concat()
}

/// `upgrade-ballots/<20 bytes>` -> [`crate::BallotCount`].
pub fn upgrade_ballots(validator: &Address) -> Vec<u8> {
    [UPGRADE_BALLOTS, &validator.0].concat()
}
