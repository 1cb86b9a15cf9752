//! Moments by two clocks, and rights that end by whichever says so first (clause A-6 of `docs/spec/access.md`).
//!
//! A person can set the wall clock; nobody sets the time in which the machine ran. A right that lasts for a time is over as soon as either says so, so that a
//! clock set back extends nothing. A clock set forward is believed for as long as it is ahead, and nothing is forgotten because of it.

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// By the wall clock.
    pub wall: Timestamp,
    /// Time in which the machine ran since the store of access was made, milliseconds.
    pub ran_ms: u64,
}

impl Moment {
    /// Longer of the times by the two clocks from an earlier moment to this one, milliseconds; a clock that was set back counts as standing.
    pub fn since_ms(&self, earlier: &Moment) -> u64 {
        let wall = self.wall.millis().saturating_sub(earlier.wall.millis());
        let ran = self.ran_ms.saturating_sub(earlier.ran_ms);
        u64::try_from(wall).unwrap_or(0).max(ran)
    }

    /// Shorter of the two, milliseconds: for what only both clocks may take away.
    pub fn surely_since_ms(&self, earlier: &Moment) -> u64 {
        let wall = self.wall.millis().saturating_sub(earlier.wall.millis());
        let ran = self.ran_ms.saturating_sub(earlier.ran_ms);
        u64::try_from(wall).unwrap_or(0).min(ran)
    }
}

/// A reading of the machine's clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Name of this run of the machine.
    pub boot: String,
    /// Time since its begin, milliseconds, with the time in which the machine slept.
    pub boot_ms: u64,
    /// The wall clock.
    pub wall: Timestamp,
}

/// Count of the time in which the machine ran. It goes on while the agent is stopped; of a run of the machine that is over it has what was last written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ran {
    boot: String,
    boot_ms: u64,
    ran_ms: u64,
}

impl Ran {
    /// The count at a tick.
    pub fn moment(&self, tick: &Tick) -> Moment {
        let more = if tick.boot == self.boot { tick.boot_ms.saturating_sub(self.boot_ms) } else { tick.boot_ms };
        Moment { wall: tick.wall, ran_ms: self.ran_ms.saturating_add(more) }
    }

    /// The same count from a tick on. A tick that was taken earlier, by a request that waited, counts no time a second time.
    #[must_use]
    pub fn advanced(&self, tick: &Tick) -> Ran {
        let earliest = if tick.boot == self.boot { self.boot_ms } else { 0 };
        Ran { boot: tick.boot.clone(), boot_ms: tick.boot_ms.max(earliest), ran_ms: self.moment(tick).ran_ms }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tick(boot: &str, boot_ms: u64, wall_ms: i64) -> Tick {
        Tick { boot: boot.into(), boot_ms, wall: Timestamp::from_millis(wall_ms) }
    }

    #[test]
    fn the_count_goes_on_over_restarts_and_reboots() {
        let ran = Ran::default().advanced(&tick("a", 5_000, 0));
        assert_eq!(ran.moment(&tick("a", 9_000, 0)).ran_ms, 9_000);
        let ran = ran.advanced(&tick("a", 9_000, 0));
        // A reboot: what was counted stays, and the new run is added.
        assert_eq!(ran.moment(&tick("b", 2_000, 0)).ran_ms, 11_000);
        assert_eq!(ran.advanced(&tick("b", 2_000, 0)).moment(&tick("b", 2_500, 0)).ran_ms, 11_500);
    }

    #[test]
    fn an_older_tick_counts_no_time_twice() {
        let ran = Ran::default().advanced(&tick("a", 10_000, 0)).advanced(&tick("a", 4_000, 0));
        assert_eq!(ran.moment(&tick("a", 4_000, 0)).ran_ms, 10_000);
        assert_eq!(ran.moment(&tick("a", 12_000, 0)).ran_ms, 12_000);
    }

    #[test]
    fn a_clock_set_back_or_forward() {
        const DAY: i64 = 86_400_000;
        let begun = Moment { wall: Timestamp::from_millis(100 * DAY), ran_ms: 0 };
        let back = Moment { wall: Timestamp::from_millis(99 * DAY), ran_ms: 3_600_000 };
        assert_eq!((back.since_ms(&begun), back.surely_since_ms(&begun)), (3_600_000, 0));
        let ahead = Moment { wall: Timestamp::from_millis(465 * DAY), ran_ms: 60_000 };
        assert_eq!(ahead.surely_since_ms(&begun), 60_000);
        assert_eq!(ahead.since_ms(&begun), 365 * 86_400_000);
    }

    proptest! {
        /// Whatever is done to the wall clock, a right never lasts longer than the machine ran.
        #[test]
        fn no_wall_clock_extends(begun in any::<i64>(), now in any::<i64>(), from in 0u64..1 << 40, ran in 0u64..1 << 40) {
            let begun = Moment { wall: Timestamp(begun), ran_ms: from };
            let now = Moment { wall: Timestamp(now), ran_ms: from + ran };
            prop_assert!(now.since_ms(&begun) >= ran);
            prop_assert!(now.surely_since_ms(&begun) <= ran);
        }
    }
}
