//! Choice of the proposer: a weighted round robin without state, in which those who failed their turns are passed over. Clause P of
//! `docs/spec/transactions.md`.
//!
//! CometBFT keeps a priority for each validator and moves it with every height; the outcome then depends on the whole
//! history. Here turn `height + round` is looked up in one fixed schedule, a pure function of the powers: validator `i`
//! with weight `w` owns the moments `(2j + 1) / 2w`, `j = 0..w`, of a period, and the moments of all validators, in order
//! (ties by index), are the turns. So each validator proposes exactly `w` times in a period, spread evenly, with equal
//! powers it is plain round robin, and a light client can compute it from the set and those passed over alone.
//!
//! Who is passed over has no moments in the schedule. That holds for as many rounds of a height as there are validators: if none of
//! them decided anything, perhaps only those who are passed over are left, and from then on everybody has turns.

use std::collections::BTreeSet;

use openmesh_primitives::{Address, Height};

use super::set::{Validator, ValidatorSet};

/// Weights are scaled to about this sum, so that moments are exact in 64 bits. Finer shares would not be seen: the
/// period would be longer than 12 days of blocks.
const PERIOD_MAX: u64 = 1 << 20;
/// Two different moments lie at least `1 / (4 w v)` apart, so this many steps in a period tell them apart.
const STEPS: u128 = 1 << 44;

/// The proposer of a height and round, of the set that decides the height and those who are passed over at it.
pub fn proposer<'a>(
    set: &'a ValidatorSet,
    passed_over: &BTreeSet<Address>,
    height: Height,
    round: u32,
) -> &'a Validator {
    let turns: Vec<(u64, bool)> = set.iter().map(|v| (v.power, passed_over.contains(&v.address))).collect();
    &set.as_slice()[proposer_index(&turns, height, round)]
}

/// Index of the proposer among validators with these powers, in the order of their set; `true`: it is passed over. The list must
/// not be empty.
pub fn proposer_index(validators: &[(u64, bool)], height: Height, round: u32) -> usize {
    let has_turns = |passed: bool| !passed || round as usize >= validators.len();
    let powers: Vec<u64> = validators.iter().map(|(power, over)| if has_turns(*over) { *power } else { 0 }).collect();
    if powers.iter().any(|power| *power > 0) {
        return select(&powers, height, round);
    }
    select(&validators.iter().map(|(power, _)| *power).collect::<Vec<u64>>(), height, round)
}

/// Index of the proposer; a power of zero has no turns, and `powers` must have one above it.
fn select(powers: &[u64], height: Height, round: u32) -> usize {
    let weights = scaled(powers);
    let period: u64 = weights.iter().sum();
    let turn = ((u128::from(height) + u128::from(round)) % u128::from(period.max(1))) as u64;
    let before = |step: u128| weights.iter().map(|w| moments(*w, step)).sum::<u64>();
    // The smallest step up to which more than `turn` moments lie.
    let (mut low, mut high) = (0u128, STEPS);
    while low < high {
        let middle = (low + high) / 2;
        if before(middle) > turn { high = middle } else { low = middle + 1 }
    }
    let earlier = low.checked_sub(1);
    let mut skip = turn - earlier.map_or(0, before);
    for (index, weight) in weights.iter().enumerate() {
        let here = moments(*weight, low) - earlier.map_or(0, |step| moments(*weight, step));
        if here > skip {
            return index;
        }
        skip -= here;
    }
    0
}

/// Number of moments of a validator with this weight lie at or before `step / STEPS` of the period.
fn moments(weight: u64, step: u128) -> u64 {
    // (2j + 1) / 2w <= step / STEPS  <=>  j <= w * step / STEPS - 1/2
    ((u128::from(weight) * 2 * step + STEPS) / (2 * STEPS)) as u64
}

fn scaled(powers: &[u64]) -> Vec<u64> {
    let total: u128 = powers.iter().map(|p| u128::from(*p)).sum();
    if total <= u128::from(PERIOD_MAX) {
        return powers.to_vec();
    }
    let scaled = |power: u64| (u128::from(power) * u128::from(PERIOD_MAX) / total).max(u128::from(power.min(1))) as u64;
    powers.iter().map(|power| scaled(*power)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turns(powers: &[u64], count: u64) -> Vec<usize> {
        (0..count).map(|height| select(powers, height, 0)).collect()
    }

    #[test]
    fn known_schedules() {
        assert_eq!(turns(&[1, 1, 1, 1], 8), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(turns(&[10, 10], 4), [0, 1, 0, 1]);
        assert_eq!(turns(&[3, 1], 8), [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(turns(&[7], 3), [0, 0, 0]);
        // The next round goes to whose turn is next.
        assert_eq!(select(&[1, 1, 1], 5, 1), select(&[1, 1, 1], 6, 0));
    }

    #[test]
    fn whoever_is_passed_over_has_no_turns_until_everybody_had_one() {
        let four = [(1, false), (1, false), (1, true), (1, false)];
        let turns: Vec<usize> = (0..6).map(|height| proposer_index(&four, height, 0)).collect();
        assert_eq!(turns, [0, 1, 3, 0, 1, 3]);
        let rounds: Vec<usize> = (0..8).map(|round| proposer_index(&four, 8, round)).collect();
        assert_eq!(rounds, [3, 0, 1, 3, 0, 1, 2, 3], "from the fourth round on as if nobody were");
        let all = [(1, true); 4];
        assert_eq!(proposer_index(&all, 6, 0), 2, "somebody must propose");
    }

    #[test]
    fn huge_powers() {
        let third = u64::MAX / 3;
        let counts = turns(&[third / 2, third / 4, third / 4], 4000);
        assert_eq!(counts.iter().filter(|i| **i == 0).count(), 2000);
        assert!(select(&[third - 2, 1, 1], u64::MAX, u32::MAX) < 3);
        assert_eq!(proposer_index(&[(third - 2, true), (1, true), (1, false)], u64::MAX, 2), 2);
        assert!(turns(&[third, 0, third / 4], 4000).iter().all(|i| *i != 1));
    }

    proptest! {
        #[test]
        fn everyone_gets_their_share(powers in prop::collection::vec(0u64..40, 1..12)) {
            prop_assume!(powers.iter().any(|power| *power > 0));
            let period: u64 = powers.iter().sum();
            let order = turns(&powers, period);
            for (index, power) in powers.iter().enumerate() {
                prop_assert_eq!(order.iter().filter(|i| **i == index).count() as u64, *power);
            }
            // At no point is anyone ahead of or behind their share by more than one turn for each other validator.
            let slack = powers.len() as u64 * period;
            let mut counts = vec![0u64; powers.len()];
            for (turn, index) in (1u64..).zip(&order) {
                counts[*index] += 1;
                for (count, power) in counts.iter().zip(&powers) {
                    prop_assert!((count * period).abs_diff(turn * power) <= slack);
                }
            }
        }

        /// The others share the turns as if those who are passed over were not there, and from as many rounds on as there are
        /// validators everybody is.
        #[test]
        fn passing_over_takes_from_nobody_else(
            validators in prop::collection::vec((1u64..40, any::<bool>()), 1..12),
            height in 0u64..1_000,
            round in 0u32..24,
        ) {
            let chosen = proposer_index(&validators, height, round);
            let all: Vec<u64> = validators.iter().map(|(power, _)| *power).collect();
            let others: Vec<usize> = (0..validators.len()).filter(|at| !validators[*at].1).collect();
            if round as usize >= validators.len() || others.is_empty() {
                prop_assert_eq!(chosen, select(&all, height, round));
            } else {
                let powers: Vec<u64> = others.iter().map(|at| all[*at]).collect();
                prop_assert_eq!(chosen, others[select(&powers, height, round)]);
            }
        }
    }
}
