//! Choice of the proposer: a weighted round robin without state, in an order that nobody chooses, in which those who failed their
//! turns are passed over. Clause P of `docs/spec/transactions.md`.
//!
//! CometBFT keeps a priority for each validator and moves it with every height; the outcome then depends on the whole
//! history. Here turn `height + round` is looked up in one fixed schedule, a pure function of powers and phases: validator `i`
//! with weight `w` and phase `f` in (0, 1] owns the moments `(j + f) / w`, `j = 0..w`, of a period, and the moments of all
//! validators, in order (ties by index), are the turns. So each validator proposes exactly `w` times in a period, spread evenly.
//!
//! The phases follow from a seed that nobody knew when the epoch's validators joined. So nobody chooses its neighbours: validators that
//! belong together have no more turns in a row than chance gives them, whatever keys and powers they take.
//!
//! Who is passed over has no moments in the schedule. That holds for as many rounds of a height as there are validators: if none of
//! them decided anything, perhaps only those who are passed over are left, and from then on everybody has turns.

use openmesh_primitives::{Address, Digest, Height, sha256};

/// Weights are scaled to about this sum, so that moments are exact in 64 bits. Finer shares would not be seen: the
/// period would be longer than 12 days of blocks.
const PERIOD_MAX: u64 = 1 << 20;
/// Moments closer than this part of a period count as one, and go by index.
const STEPS: u128 = 1 << 44;
/// Parts of the distance between two turns of a validator that a phase counts.
const PHASES: u64 = 1 << 32;

/// A validator's part in the schedule of proposers of a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its power.
    pub power: u64,
    /// Its phase, 1 to 2^32.
    pub phase: u64,
    /// It has no turns, as long as somebody else has one.
    pub passed_over: bool,
}

/// The phase of a validator in the schedules of a seed, 1 to 2^32.
pub(super) fn phase(seed: &Digest, validator: &Address) -> u64 {
    let hash = sha256(&[b"openmesh/turn/1", &seed.0, &validator.0]);
    let mut first = [0; 4];
    first.copy_from_slice(&hash.0[..4]);
    u64::from(u32::from_be_bytes(first)) + 1
}

/// Index of the proposer of a height and round among its validators, in the order of their set, of which there must be one.
pub fn proposer_index(shares: &[Share], height: Height, round: u32) -> usize {
    let everybody = round as usize >= shares.len() || shares.iter().all(|share| share.passed_over);
    let has_turns = |share: &Share| everybody || !share.passed_over;
    let turns = shares.iter().map(|share| (if has_turns(share) { share.power } else { 0 }, share.phase));
    select(&turns.collect::<Vec<_>>(), height, round)
}

/// Index of the proposer among validators of these powers and phases; a power of zero has no turns, and one must be above it.
fn select(shares: &[(u64, u64)], height: Height, round: u32) -> usize {
    let powers: Vec<u64> = shares.iter().map(|(power, _)| *power).collect();
    let shares: Vec<(u64, u64)> = scaled(&powers).into_iter().zip(shares.iter().map(|(_, phase)| *phase)).collect();
    let period: u64 = shares.iter().map(|(weight, _)| weight).sum();
    let turn = ((u128::from(height) + u128::from(round)) % u128::from(period.max(1))) as u64;
    let before = |step: u128| shares.iter().map(|share| moments(*share, step)).sum::<u64>();
    // The smallest step up to which more than `turn` moments lie.
    let (mut low, mut high) = (0u128, STEPS);
    while low < high {
        let middle = (low + high) / 2;
        if before(middle) > turn { high = middle } else { low = middle + 1 }
    }
    let earlier = low.checked_sub(1);
    let mut skip = turn - earlier.map_or(0, before);
    for (index, share) in shares.iter().enumerate() {
        let here = moments(*share, low) - earlier.map_or(0, |step| moments(*share, step));
        if here > skip {
            return index;
        }
        skip -= here;
    }
    0
}

/// Number of moments of a validator with this weight and phase that lie at or before `step / STEPS` of the period.
fn moments((weight, phase): (u64, u64), step: u128) -> u64 {
    // (j + f) / w <= step / STEPS  <=>  j <= w * step / STEPS - f, with f = phase / PHASES
    let of_weight = u128::from(weight) * step * u128::from(PHASES);
    let left = u128::from(PHASES - phase) * STEPS;
    ((of_weight + left) / (STEPS * u128::from(PHASES))) as u64
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

    /// The phase in the middle.
    const HALF: u64 = PHASES / 2;

    /// All phases in the middle.
    fn even(powers: &[u64]) -> Vec<(u64, u64)> {
        powers.iter().map(|power| (*power, HALF)).collect()
    }

    fn turns(shares: &[(u64, u64)], count: u64) -> Vec<usize> {
        (0..count).map(|height| select(shares, height, 0)).collect()
    }

    fn share(power: u64, passed_over: bool) -> Share {
        Share { power, phase: HALF, passed_over }
    }

    #[test]
    fn known_schedules() {
        assert_eq!(turns(&even(&[1, 1, 1, 1]), 8), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(turns(&even(&[10, 10]), 4), [0, 1, 0, 1]);
        assert_eq!(turns(&even(&[3, 1]), 8), [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(turns(&even(&[7]), 3), [0, 0, 0]);
        // The next round goes to whose turn is next.
        assert_eq!(select(&even(&[1, 1, 1]), 5, 1), select(&even(&[1, 1, 1]), 6, 0));
        // By phase, where the powers are equal.
        assert_eq!(turns(&[(1, 9), (1, 1), (1, PHASES), (1, 5)], 4), [1, 3, 0, 2]);
        assert_eq!(turns(&[(2, PHASES), (2, 1)], 4), [1, 0, 1, 0]);
    }

    #[test]
    fn whoever_is_passed_over_has_no_turns_until_everybody_had_one() {
        let four = [share(1, false), share(1, false), share(1, true), share(1, false)];
        let turns: Vec<usize> = (0..6).map(|height| proposer_index(&four, height, 0)).collect();
        assert_eq!(turns, [0, 1, 3, 0, 1, 3]);
        let rounds: Vec<usize> = (0..8).map(|round| proposer_index(&four, 8, round)).collect();
        assert_eq!(rounds, [3, 0, 1, 3, 0, 1, 2, 3], "from the fourth round on as if nobody were");
        assert_eq!(proposer_index(&[share(1, true); 4], 6, 0), 2, "somebody must propose");
    }

    #[test]
    fn huge_powers() {
        let third = u64::MAX / 3;
        let counts = turns(&even(&[third / 2, third / 4, third / 4]), 4000);
        assert_eq!(counts.iter().filter(|i| **i == 0).count(), 2000);
        assert!(select(&[(third - 2, 1), (1, PHASES), (1, 7)], u64::MAX, u32::MAX) < 3);
        let one = [share(third - 2, true), share(1, true), share(1, false)];
        assert_eq!(proposer_index(&one, u64::MAX, 2), 2);
        assert!(turns(&even(&[third, 0, third / 4]), 4000).iter().all(|i| *i != 1));
    }

    /// A third of the validators, with neighbouring addresses and equal powers: over many seeds they have as many turns in a row as
    /// chance gives them, at whatever height one looks.
    #[test]
    fn nobody_chooses_its_neighbours() {
        const VALIDATORS: u8 = 30;
        const COLLUDERS: u8 = 10;
        let validators: Vec<Address> = (0..VALIDATORS).map(|n| Address([n; 20])).collect();
        let mut runs = [0u32; 31];
        for seed in 0..2_000u64 {
            let seed = sha256(&[&seed.to_be_bytes()]);
            let shares: Vec<(u64, u64)> = validators.iter().map(|address| (1, phase(&seed, address))).collect();
            // The last turns before a fixed height.
            let collude = |height: &u64| select(&shares, *height, 0) < usize::from(COLLUDERS);
            let run = (0..u64::from(VALIDATORS)).rev().take_while(collude).count();
            runs[run] += 1;
        }
        let at_least = |run: usize| runs[run..].iter().sum::<u32>();
        // Without replacement a little less than a third to the power of the length: 667, 207 and 60 of two thousand.
        assert!((580..=750).contains(&at_least(1)) && (150..=265).contains(&at_least(2)), "{runs:?}");
        assert!(at_least(3) < 110 && at_least(9) == 0, "{runs:?}");
    }

    fn any_phase() -> impl Strategy<Value = u64> {
        prop_oneof![Just(HALF), Just(1), Just(PHASES), 1..=PHASES]
    }

    proptest! {
        #[test]
        fn everyone_gets_their_share(shares in prop::collection::vec((0u64..40, any_phase()), 1..12)) {
            prop_assume!(shares.iter().any(|(power, _)| *power > 0));
            let period: u64 = shares.iter().map(|(power, _)| power).sum();
            let order = turns(&shares, period);
            for (index, (power, _)) in shares.iter().enumerate() {
                prop_assert_eq!(order.iter().filter(|i| **i == index).count() as u64, *power);
            }
            // At no point is anyone ahead of or behind their share by more than one turn for each validator, and one.
            let slack = (shares.len() as u64 + 1) * period;
            let mut counts = vec![0u64; shares.len()];
            for (turn, index) in (1u64..).zip(&order) {
                counts[*index] += 1;
                for (count, (power, _)) in counts.iter().zip(&shares) {
                    prop_assert!((count * period).abs_diff(turn * power) <= slack);
                }
            }
        }

        /// The others share the turns as if those who are passed over were not there, and from as many rounds on as there are
        /// validators everybody is.
        #[test]
        fn passing_over_takes_from_nobody_else(
            validators in prop::collection::vec((1u64..40, any_phase(), any::<bool>()), 1..12),
            height in 0u64..1_000,
            round in 0u32..24,
        ) {
            let share = |(power, phase, passed_over)| Share { power, phase, passed_over };
            let shares: Vec<Share> = validators.iter().copied().map(share).collect();
            let chosen = proposer_index(&shares, height, round);
            let all: Vec<(u64, u64)> = validators.iter().map(|(power, phase, _)| (*power, *phase)).collect();
            let others: Vec<usize> = (0..validators.len()).filter(|at| !validators[*at].2).collect();
            if round as usize >= validators.len() || others.is_empty() {
                prop_assert_eq!(chosen, select(&all, height, round));
            } else {
                let present: Vec<(u64, u64)> = others.iter().map(|at| all[*at]).collect();
                prop_assert_eq!(chosen, others[select(&present, height, round)]);
            }
        }
    }
}
