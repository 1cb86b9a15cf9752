//! Generations that are kept.

use std::collections::BTreeSet;

use openmesh_primitives::Timestamp;

/// Newest generations that are kept: a person who notices a fault looks back over the last changes, not over hundreds.
pub const GENERATIONS_KEPT: usize = 20;
/// Time for which every generation is kept, in nanoseconds: 14 days, the length of a holiday.
pub const KEPT_NANOS: i64 = 14 * 86_400 * 1_000_000_000;

/// Numbers of the generations that are kept: the last [`GENERATIONS_KEPT`], those not older than [`KEPT_NANOS`], the one that serves, and those
/// that a backup or a kept line of data needs. A clock set forward removes none of the last ones.
pub fn kept(generations: &[(u64, Timestamp)], serving: u64, needed: &BTreeSet<u64>, now: Timestamp) -> BTreeSet<u64> {
    let mut numbers: Vec<u64> = generations.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    let last = numbers.iter().rev().take(GENERATIONS_KEPT).copied();
    let young = generations
        .iter()
        .filter(|(_, at)| now.nanos().saturating_sub(at.nanos()) < KEPT_NANOS)
        .map(|(number, _)| *number);
    let wanted: BTreeSet<u64> = last.chain(young).chain(needed.iter().copied()).chain([serving]).collect();
    numbers.into_iter().filter(|number| wanted.contains(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400 * 1_000_000_000;

    #[test]
    fn the_last_the_young_and_the_needed_are_kept() {
        let generations: Vec<(u64, Timestamp)> = (1..=40).map(|n| (n, Timestamp(n as i64 * DAY))).collect();
        let kept_then =
            |now: i64, needed: &[u64]| kept(&generations, 40, &needed.iter().copied().collect(), Timestamp(now));
        assert_eq!(kept_then(41 * DAY, &[]), (21..=40).collect());
        assert_eq!(kept_then(41 * DAY, &[3, 99]), [3].into_iter().chain(21..=40).collect());
        assert_eq!(kept_then(400 * DAY, &[]), (21..=40).collect(), "a clock a year ahead");
        assert_eq!(kept_then(-400 * DAY, &[]), (1..=40).collect(), "a clock set back");
        let busy: Vec<(u64, Timestamp)> = (1..=40).map(|n| (n, Timestamp(n as i64))).collect();
        assert_eq!(kept(&busy, 2, &BTreeSet::new(), Timestamp(DAY)).len(), 40);
        assert!(kept(&generations, 2, &BTreeSet::new(), Timestamp(41 * DAY)).contains(&2), "the one that serves");
    }
}
