//! Shares of processors between two looks at an application's processes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_xnode::processes::TICK_MS;

/// Time between two looks of which a share is made: below it a clock tick is a large part.
const BETWEEN_MIN: Duration = Duration::from_secs(1);
/// Age of a look of which a share is still made.
const BETWEEN_MAX: Duration = Duration::from_secs(60);

/// Processor time of processes, clock ticks, by number and start.
pub(crate) type Ticks = BTreeMap<(u32, u64), u64>;

#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    ticks: Ticks,
}

/// The last two looks at an application: the newer one may be too young for a share.
#[derive(Debug)]
struct Kept {
    newer: Look,
    older: Option<Look>,
}

/// Last looks at the processes of applications.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<BTreeMap<Name, Kept>>);

/// An earlier look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    ticks: Ticks,
    ago_ms: u64,
}

impl Looks {
    /// Notes a look, and returns the earlier one with which it is compared; none where there is none of the right age.
    pub fn note(&self, application: &Name, ticks: Ticks, at: Instant) -> Option<Before> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, kept| at.saturating_duration_since(kept.newer.at) <= BETWEEN_MAX);
        let look = Look { at, ticks };
        let Some(kept) = all.remove(application) else {
            all.insert(application.clone(), Kept { newer: look, older: None });
            return None;
        };
        let kept = match at.saturating_duration_since(kept.newer.at) >= BETWEEN_MIN {
            true => Kept { newer: look, older: Some(kept.newer) },
            false => kept,
        };
        let ago = |look: &Look| at.saturating_duration_since(look.at);
        let before = kept.older.as_ref().filter(|look| ago(look) <= BETWEEN_MAX).map(|look| Before {
            ticks: look.ticks.clone(),
            ago_ms: u64::try_from(ago(look).as_millis()).unwrap_or(u64::MAX),
        });
        all.insert(application.clone(), kept);
        before
    }
}

/// Share of a process, thousandths of a processor, and the time over which it is, milliseconds: that since the earlier look where it was there then, else
/// that since its begin.
pub(crate) fn share(before: Option<&Before>, process: (u32, u64), ticks: u64, age_ms: u64) -> (u64, u64) {
    let known = before.and_then(|before| Some((before.ticks.get(&process)?, before.ago_ms)));
    let (grown, over_ms) = match known {
        Some((then, ago_ms)) => (ticks.saturating_sub(*then), ago_ms),
        None => (ticks, age_ms),
    };
    // A process that has just begun may have run for a tick that began before it.
    let over_ms = over_ms.max(TICK_MS);
    (grown.saturating_mul(TICK_MS * 1_000) / over_ms, over_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(all: &[(u32, u64)]) -> Ticks {
        all.iter().map(|(pid, ticks)| ((*pid, 7), *ticks)).collect()
    }

    #[test]
    fn shares_are_made_of_looks_that_are_far_enough_apart() {
        let (looks, name, begun) = (Looks::default(), "web".parse::<Name>().unwrap(), Instant::now());
        let note = |ms: u64, of: u64| looks.note(&name, ticks(&[(1, of)]), begun + Duration::from_millis(ms));
        let found = |before: Option<Before>, of: u64| share(before.as_ref(), (1, 7), of, 100_000);
        assert_eq!(found(note(0, 1_000), 1_000), (100, 100_000), "since its begin");
        // Too soon after the first one.
        assert_eq!(found(note(500, 1_030), 1_030), (103, 100_000));
        assert_eq!(found(note(2_000, 1_100), 1_100), (500, 2_000), "against the first one");
        // Somebody else looks at the same time: both have their share over more than a second.
        assert_eq!(found(note(2_100, 1_100), 1_100), (476, 2_100));
        assert_eq!(found(note(4_000, 1_300), 1_300), (1_000, 2_000));
        assert_eq!(note(4_000 + 60_001, 9_000), None, "nobody looked for long");
    }

    #[test]
    fn a_process_that_is_new_has_its_own_time() {
        let (looks, name, begun) = (Looks::default(), "web".parse::<Name>().unwrap(), Instant::now());
        assert_eq!(looks.note(&name, ticks(&[(1, 5)]), begun), None);
        let before = looks.note(&name, ticks(&[(1, 5), (2, 4)]), begun + Duration::from_secs(10));
        assert_eq!(share(before.as_ref(), (1, 7), 5, 60_000), (0, 10_000));
        assert_eq!(share(before.as_ref(), (2, 7), 4, 80), (500, 80));
        assert_eq!(share(before.as_ref(), (1, 8), 1, 0), (1_000, 10), "another one with the number of the first");
        assert_eq!(share(None, (1, 7), u64::MAX, 0).1, 10);
        let other = looks.note(&"db".parse().unwrap(), ticks(&[(1, 9)]), begun + Duration::from_secs(20));
        assert_eq!(other, None, "looks are by application");
    }
}
