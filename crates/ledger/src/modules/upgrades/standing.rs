//! The one decision whether a plan stands. Clause U4 of `docs/spec/upgrades.md`.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Height};
use serde::{Deserialize, Serialize};

use crate::modules::validators::ValidatorSet;

/// The reason for which a plan that is due does not stand.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Lapse {
    /// Validators with two thirds of the power or less approve it.
    #[error("too little power approves it: more than two thirds are needed")]
    TooLittlePower,
    /// Its rule set is in force, or an earlier one than that.
    #[error("its rule set, or a later one, is in force already")]
    NotLater,
}

/// The standing of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The validators in force that approve it, in ascending order of address.
    pub approved: Vec<Address>,
    /// Their power.
    pub power: u64,
    /// Power of all validators in force.
    pub total: u64,
    /// The reason for which it would lapse if it were due now; `None`: it stands.
    pub lapse: Option<Lapse>,
}

/// Decides whether a plan stands: its version is a later one than the one in force, and validators in force with more than two
/// thirds of the power approve it. The set is that of the height that the plan is for.
pub fn standing(version: u32, approvals: &BTreeMap<Address, Height>, set: &ValidatorSet, in_force: u32) -> Standing {
    let counted = move || set.iter().filter(move |validator| approvals.contains_key(&validator.address));
    // Each validator stands once in the set, so the sum stays within its total.
    let (power, total) = (counted().map(|validator| validator.power).sum::<u64>(), set.total_power());
    let lapse = match (version > in_force, set.is_quorum(power)) {
        (false, _) => Some(Lapse::NotLater),
        (true, false) => Some(Lapse::TooLittlePower),
        (true, true) => None,
    };
    Standing { approved: counted().map(|validator| validator.address).collect(), power, total, lapse }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::validators::Validator;
    use openmesh_primitives::ValidatorKey;

    fn set(powers: &[u64]) -> ValidatorSet {
        let key = |n: usize| ValidatorKey::from_seed([n as u8 + 1; 32]).public();
        ValidatorSet::new(powers.iter().enumerate().map(|(n, power)| Validator::new(key(n), *power, "v")).collect())
            .unwrap()
    }

    fn address(n: u8) -> Address {
        ValidatorKey::from_seed([n + 1; 32]).public().address()
    }

    fn approvals(of: &[u8]) -> BTreeMap<Address, Height> {
        of.iter().map(|n| (address(*n), 1)).collect()
    }

    #[test]
    fn more_than_two_thirds_of_the_power_in_force_approve_a_plan_that_stands() {
        let lapse = |of: &[u8], powers: &[u64]| standing(2, &approvals(of), &set(powers), 1).lapse;
        assert_eq!(lapse(&[0, 1, 2], &[1, 1, 1, 1]), None);
        assert_eq!(lapse(&[0, 1], &[1, 1, 1]), Some(Lapse::TooLittlePower), "exactly two thirds are too few");
        assert_eq!(lapse(&[0], &[9, 1, 1]), None, "power counts, not heads");
        assert_eq!(lapse(&[1, 2], &[9, 1, 1]), Some(Lapse::TooLittlePower));
        // Whoever has left the set does not count.
        assert_eq!(lapse(&[0, 1, 9], &[1, 1, 1]), Some(Lapse::TooLittlePower));
        let standing = standing(2, &approvals(&[0, 1, 9]), &set(&[1, 1, 1]), 1);
        assert_eq!((standing.power, standing.total, standing.approved.len()), (2, 3, 2));
    }

    #[test]
    fn a_plan_for_rules_that_are_in_force_does_not_stand() {
        let lapse = |version, in_force| standing(version, &approvals(&[0]), &set(&[1]), in_force).lapse;
        assert_eq!((lapse(2, 1), lapse(4, 1)), (None, None), "later ones too");
        assert_eq!((lapse(2, 2), lapse(1, 2)), (Some(Lapse::NotLater), Some(Lapse::NotLater)));
    }
}
