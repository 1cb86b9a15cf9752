//! Plans of upgrades of a simulated network: for which heights, and what their migrations must come to.

use std::collections::BTreeMap;

use openmesh_ledger::UpgradePlan;
use openmesh_primitives::{Digest, Height, sha256};

use crate::random::Random;

/// The newest rule set of the trial.
pub const NEWEST: u32 = 3;
/// A plan is for a height so many blocks ahead, at least and at random beyond that.
const AHEAD: (Height, u64) = (6, 10);

/// The upgrades of a run.
#[derive(Debug)]
pub struct Upgrades {
    /// A validator that is not there before everything has healed.
    pub absent: Option<usize>,
    /// Heights of the plans, by version; another one where a plan has lapsed.
    heights: BTreeMap<u32, Height>,
    /// Roots of the migrated states, by version and height, as they were predicted before the height.
    pub predicted: BTreeMap<(u32, Height), Digest>,
}

impl Upgrades {
    /// Without any plan yet.
    pub fn new(absent: Option<usize>) -> Upgrades {
        Upgrades { absent, heights: BTreeMap::new(), predicted: BTreeMap::new() }
    }

    /// Plans the rule set after the one in force, where it is not planned or its plan is due.
    pub fn plan(&mut self, tip: Height, in_force: u32, random: &mut Random) {
        let next = in_force + 1;
        if next <= NEWEST && self.heights.get(&next).is_none_or(|height| *height <= tip + 1) {
            self.heights.insert(next, tip + AHEAD.0 + random.below(AHEAD.1));
        }
    }

    /// The plan after the rule set in force.
    pub fn next(&self, in_force: u32) -> Option<UpgradePlan> {
        let version = in_force + 1;
        let height = *self.heights.get(&version)?;
        Some(UpgradePlan { version, height, release: format!("trial-{version}"), digest: sha256(&[b"trial"]) })
    }
}
