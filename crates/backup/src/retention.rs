//! Snapshots that are kept (B-26). Pure.

use std::collections::BTreeSet;

use openmesh_blueprint::document::Keep;
use openmesh_primitives::Timestamp;

use crate::name::Id;

/// Nanoseconds of a day.
const DAY_NANOS: i64 = 86_400_000_000_000;
/// Days from the Monday of the first ISO week to 1970-01-01, a Thursday.
const MONDAY_DAYS: i64 = 3;

/// Number of the span of time that a moment is in.
type Span = fn(Timestamp) -> i64;

/// Ids of the snapshots that are kept: the newest `last`, the newest of each of the newest days, weeks and months (UTC) that have one, the pinned, and in
/// any case the newest. The present time is no input: days without a backup count for nothing, so that a clock or a long pause removes none.
pub fn kept(snapshots: &[(Id, Timestamp)], keep: &Keep, pinned: &BTreeSet<Id>) -> BTreeSet<Id> {
    let mut newest: Vec<(Timestamp, Id)> = snapshots.iter().map(|(id, time)| (*time, *id)).collect();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    let mut kept: BTreeSet<Id> = newest.iter().take(keep.last.max(1) as usize).map(|(_, id)| *id).collect();
    let rules: [(u32, Span); 3] = [(keep.daily, day), (keep.weekly, week), (keep.monthly, month)];
    for (spans, span) in rules {
        let mut seen = BTreeSet::new();
        for (time, id) in &newest {
            if seen.len() < spans as usize && seen.insert(span(*time)) {
                kept.insert(*id);
            }
        }
    }
    kept.extend(newest.iter().map(|(_, id)| *id).filter(|id| pinned.contains(id)));
    kept
}

fn day(time: Timestamp) -> i64 {
    time.nanos().div_euclid(DAY_NANOS)
}

fn week(time: Timestamp) -> i64 {
    (day(time) + MONDAY_DAYS).div_euclid(7)
}

/// Months since the year 0. Source: Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn month(time: Timestamp) -> i64 {
    let days = day(time) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Years begin in March here: January and February are the months 10 and 11.
    (era * 400 + year) * 12 + (5 * of_year + 2) / 153
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keep(last: u32, daily: u32, weekly: u32, monthly: u32) -> Keep {
        Keep { last, daily, weekly, monthly }
    }

    fn at(text: &str) -> (Id, Timestamp) {
        (Id::of(text.as_bytes()), Timestamp::parse_rfc3339(text.as_bytes()).unwrap())
    }

    #[test]
    fn the_newest_of_each_span_is_kept() {
        let times = [
            "2025-12-31T23:59:59Z",
            "2026-01-01T00:00:00Z",
            "2026-02-28T12:00:00Z",
            "2026-03-01T12:00:00Z",
            "2026-03-02T08:00:00Z",
            "2026-03-02T09:00:00Z",
            "2026-03-09T00:00:00Z",
        ];
        let all = times.map(at);
        let kept_times = |keep: Keep| {
            let kept = kept(&all, &keep, &BTreeSet::new());
            times
                .into_iter()
                .zip(&all)
                .filter(|(_, (id, _))| kept.contains(id))
                .map(|(text, _)| &text[5..13])
                .collect::<Vec<_>>()
        };
        assert_eq!(kept_times(keep(0, 0, 0, 0)), ["03-09T00"], "never none");
        assert_eq!(kept_times(keep(2, 0, 0, 0)), ["03-02T09", "03-09T00"]);
        assert_eq!(kept_times(keep(0, 3, 0, 0)), ["03-01T12", "03-02T09", "03-09T00"]);
        assert_eq!(kept_times(keep(0, 0, 3, 0)), ["03-01T12", "03-02T09", "03-09T00"], "Sunday ends a week");
        assert_eq!(kept_times(keep(0, 0, 0, 9)), ["12-31T23", "01-01T00", "02-28T12", "03-09T00"]);
    }

    proptest! {
        #[test]
        fn rules_of_retention(
            times in proptest::collection::vec(-2_000_000_i64..2_000_000, 1..60),
            last in 0_u32..5, daily in 0_u32..5, weekly in 0_u32..5, monthly in 0_u32..5, pick in any::<u64>(),
        ) {
            // Minutes around 1970: some years, with days that have many.
            let all: Vec<(Id, Timestamp)> = times.iter().enumerate()
                .map(|(n, minutes)| (Id::of(&n.to_le_bytes()), Timestamp(minutes * 60_000_000_000))).collect();
            let rule = keep(last, daily, weekly, monthly);
            let pinned: BTreeSet<Id> = [all[pick as usize % all.len()].0].into();
            let kept_now = kept(&all, &rule, &pinned);
            let newest = all.iter().map(|(id, time)| (*time, *id)).max().unwrap().1;
            prop_assert!(kept_now.contains(&newest) && kept_now.is_superset(&pinned));
            prop_assert!(kept_now.len() <= (last.max(1) + daily + weekly + monthly) as usize + 1);
            // Applying it again removes nothing, and the order does not matter.
            let left: Vec<_> = all.iter().rev().filter(|(id, _)| kept_now.contains(id)).copied().collect();
            prop_assert_eq!(kept(&left, &rule, &pinned), kept_now.clone());
            // A larger rule keeps no less.
            let more = kept(&all, &keep(last + 1, daily + 1, weekly + 1, monthly + 1), &pinned);
            prop_assert!(more.is_superset(&kept_now));
            // An earlier backup more takes nothing from the newest of a span that is kept by its day, week or month.
            let mut older = all.clone();
            older.push((Id::of(b"older"), Timestamp(-3_000_000 * 60_000_000_000)));
            let with_older = kept(&older, &rule, &pinned);
            prop_assert!(with_older.is_superset(&kept_now));
        }

        #[test]
        fn months_are_those_of_the_calendar(days in -100_000_i64..100_000) {
            let time = Timestamp(days * DAY_NANOS);
            let next = Timestamp((days + 1) * DAY_NANOS);
            let step = month(next) - month(time);
            prop_assert!(step == 0 || step == 1);
            prop_assert!((week(next) - week(time)) == i64::from((days + 4).rem_euclid(7) == 0));
        }
    }
}
