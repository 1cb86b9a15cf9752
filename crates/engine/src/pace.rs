//! The pause between two heights. Pure: the moments are handed in.
//!
//! Malachite asks after each decision what to do next and goes on as soon as it is told. The pause between blocks is
//! made here, and not while a value is asked for: so the proposal's time-out need not cover the pause, a height never
//! starts before somebody wants it, and the connector to the algorithm is never held up.
//!
//! The next height starts at the earliest of:
//! - `idle` after the last block, by the block's own time if that is earlier: a node that is behind does not pause;
//! - when there is work: `batch` after it came, but at least `min` after the last block. Who is not the next proposer
//!   waits a `grace` more, because the proposer's first part will wake it (next rule) and its propose time-out should
//!   not start early;
//! - at once when a part of the next height's block has arrived: somebody else is already there.

use std::ops::Add;
use std::time::Duration;

/// A moment on a monotonic clock, as the time since its origin, which is anything that stays the same for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Duration);

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, after: Duration) -> Moment {
        Moment(self.0 + after)
    }
}

/// The pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) idle: Duration,
    pub(crate) min: Duration,
    pub(crate) batch: Duration,
    pub(crate) grace: Duration,
}

/// Facts that the pause depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// The moment at which the last block was committed here.
    pub(crate) committed: Moment,
    /// Age of that block by its own time then (zero if it seems to come from the future).
    pub(crate) age: Duration,
    /// True if this node proposes next.
    pub(crate) proposer: bool,
    /// Since when there has been something to put in a block.
    pub(crate) work: Option<Moment>,
    /// True if the next height has been heard of.
    pub(crate) heard: bool,
}

impl Pace {
    /// The moment at which the next height starts; one in the past means now.
    pub(crate) fn start(&self, waiting: &Waiting) -> Moment {
        if waiting.heard {
            return waiting.committed;
        }
        let idle = waiting.committed + self.idle.saturating_sub(waiting.age);
        let Some(work) = waiting.work else { return idle };
        let grace = if waiting.proposer { Duration::ZERO } else { self.grace };
        let busy = (work + self.batch).max(waiting.committed + self.min.saturating_sub(waiting.age)) + grace;
        idle.min(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const PACE: Pace = Pace { idle: ms(1000), min: ms(100), batch: ms(20), grace: ms(200) };

    fn after(proposer: bool, age: u64, work: Option<u64>, heard: bool) -> u64 {
        let committed = Moment(ms(5_000));
        let work = work.map(|at| committed + ms(at));
        let waiting = Waiting { committed, age: ms(age), proposer, work, heard };
        (PACE.start(&waiting).0 - committed.0).as_millis() as u64
    }

    #[test]
    fn pauses() {
        assert_eq!(after(true, 0, None, false), 1000);
        assert_eq!(after(true, 30, None, false), 970);
        // Work: soon, but not more often than the least interval.
        assert_eq!(after(true, 0, Some(0), false), 100);
        assert_eq!(after(true, 0, Some(400), false), 420);
        assert_eq!(after(false, 0, Some(400), false), 620);
        // Work just before the idle block changes nothing.
        assert_eq!(after(true, 0, Some(995), false), 1000);
        // Heard of or behind: at once.
        assert_eq!(after(false, 0, None, true), 0);
        assert_eq!(after(false, 60_000, None, false), 0);
        assert_eq!(after(true, 60_000, Some(0), false), 0);
    }
}
