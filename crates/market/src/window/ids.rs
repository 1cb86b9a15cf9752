//! The ids of a stream that were seen, as ranges.

use std::collections::BTreeMap;

/// Ranges that are kept; a stream with more holes than this has lost its claim to order anyway.
const RANGES_MAX: usize = 1_024;

/// A set of consecutive ids, cheap while few are missing.
#[derive(Clone, Debug, Default)]
pub(super) struct IdRanges {
    /// First id of a range to its last, inclusive.
    ranges: BTreeMap<u64, u64>,
}

impl IdRanges {
    /// The range that holds an id.
    fn range_of(&self, id: u64) -> Option<(u64, u64)> {
        self.ranges.range(..=id).next_back().map(|(first, last)| (*first, *last)).filter(|(_, last)| *last >= id)
    }

    /// Returns true where an id was seen.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.range_of(id).is_some()
    }

    /// Returns true where both ids were seen and every one between them.
    pub(super) fn joined(&self, a: u64, b: u64) -> bool {
        self.range_of(a.min(b)).is_some_and(|(_, last)| last >= a.max(b))
    }

    /// Adds an id.
    pub(super) fn insert(&mut self, id: u64) {
        if self.contains(id) {
            return;
        }
        let before = id.checked_sub(1).and_then(|b| self.range_of(b));
        let after = id.checked_add(1).and_then(|a| self.ranges.get(&a).copied().map(|last| (a, last)));
        let first = before.map_or(id, |(first, _)| first);
        let last = match after {
            Some((start, last)) => {
                self.ranges.remove(&start);
                last
            }
            None => id,
        };
        self.ranges.insert(first, last);
        if self.ranges.len() > RANGES_MAX {
            self.ranges.pop_first();
        }
    }

    /// Smallest id seen.
    pub(super) fn first(&self) -> Option<u64> {
        self.ranges.keys().next().copied()
    }

    /// Largest id seen.
    pub(super) fn last(&self) -> Option<u64> {
        self.ranges.values().next_back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn same_as_a_set(ids in proptest::collection::vec(0u64..60, 0..80), a in 0u64..60, b in 0u64..60) {
            let mut ranges = IdRanges::default();
            let set: BTreeSet<u64> = ids.iter().copied().collect();
            ids.iter().for_each(|id| ranges.insert(*id));
            prop_assert_eq!(ranges.contains(a), set.contains(&a));
            prop_assert_eq!(ranges.joined(a, b), (a.min(b)..=a.max(b)).all(|id| set.contains(&id)));
            prop_assert_eq!((ranges.first(), ranges.last()), (set.first().copied(), set.last().copied()));
        }
    }
}
