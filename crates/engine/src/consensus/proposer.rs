//! Choice of the proposer: a weighted round robin without state.
//!
//! CometBFT keeps a priority for each validator and moves it with every height; the outcome then depends on the whole
//! history. Here turn `height + round` is looked up in one fixed schedule, a pure function of the powers: validator `i`
//! with weight `w` owns the moments `(2j + 1) / 2w`, `j = 0..w`, of a period, and the moments of all validators, in order
//! (ties by index), are the turns. So each validator proposes exactly `w` times in a period, spread evenly, with equal
//! powers it is plain round robin, and a light client can compute it from the set alone.

/// Weights are scaled to about this sum, so that moments are exact in 64 bits. Finer shares would not be seen: the
/// period would be longer than 12 days of blocks.
const PERIOD_MAX: u64 = 1 << 20;
/// Two different moments lie at least `1 / (4 w v)` apart, so this many steps in a period tell them apart.
const STEPS: u128 = 1 << 44;

/// Index of the proposer; `powers` must not be empty.
pub(crate) fn select(powers: &[u64], height: u64, round: u32) -> usize {
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
    powers.iter().map(|p| (u128::from(*p) * u128::from(PERIOD_MAX) / total).max(1) as u64).collect()
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
    fn huge_powers() {
        let third = u64::MAX / 3;
        let counts = turns(&[third / 2, third / 4, third / 4], 4000);
        assert_eq!(counts.iter().filter(|i| **i == 0).count(), 2000);
        assert!(select(&[third - 2, 1, 1], u64::MAX, u32::MAX) < 3);
    }

    proptest! {
        #[test]
        fn everyone_gets_their_share(powers in prop::collection::vec(1u64..40, 1..12)) {
            let period: u64 = powers.iter().sum();
            let order = turns(&powers, period);
            for (index, power) in powers.iter().enumerate() {
                prop_assert_eq!(order.iter().filter(|i| **i == index).count() as u64, *power);
            }
            // At no point is anyone ahead of or behind their share by more than one turn for each other validator.
            let slack = powers.len() as f64;
            let mut counts = vec![0u64; powers.len()];
            for (turn, index) in order.iter().enumerate() {
                counts[*index] += 1;
                for (count, power) in counts.iter().zip(&powers) {
                    let share = (turn + 1) as f64 * *power as f64 / period as f64;
                    prop_assert!((*count as f64 - share).abs() <= slack);
                }
            }
        }
    }
}
