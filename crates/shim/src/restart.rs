//! Rule of restarts: growing pauses, and a crash loop that is named and still tried.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// First pause, milliseconds: short enough that a single crash is hardly seen from outside.
pub const PAUSE_MS_MIN: u64 = 100;
/// Longest pause, milliseconds: a crash loop costs at most one start in a minute.
pub const PAUSE_MS_MAX: u64 = 60_000;
/// Ends within the window that make a crash loop: four quick repairs are tried first.
pub const CRASH_LOOP_ENDS: u32 = 5;
/// Window in which ends are counted, milliseconds: ten minutes.
pub const CRASH_LOOP_WINDOW_MS: u64 = 600_000;
/// Most ends that a rule may wait for: the times of so many are kept in memory.
pub const CRASH_LOOP_ENDS_MAX: u32 = 100;

/// Ends after which an instance is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Every end.
    Always,
    /// Ends by a signal, with a code other than 0, or before it ran.
    OnFailure,
    /// None: jobs.
    Never,
}

/// Policy and pauses of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartRule {
    /// Ends after which it is started again.
    pub policy: RestartPolicy,
    /// Pause after the first end in the window, milliseconds; it doubles with each further one.
    #[serde(default = "pause_ms_min")]
    pub pause_ms_min: u64,
    /// Longest pause, milliseconds, and the pause in a crash loop.
    #[serde(default = "pause_ms_max")]
    pub pause_ms_max: u64,
    /// Ends within the window that make a crash loop.
    #[serde(default = "crash_loop_ends")]
    pub crash_loop_ends: u32,
    /// Window in which ends are counted, milliseconds.
    #[serde(default = "crash_loop_window_ms")]
    pub crash_loop_window_ms: u64,
}

fn pause_ms_min() -> u64 {
    PAUSE_MS_MIN
}

fn pause_ms_max() -> u64 {
    PAUSE_MS_MAX
}

fn crash_loop_ends() -> u32 {
    CRASH_LOOP_ENDS
}

fn crash_loop_window_ms() -> u64 {
    CRASH_LOOP_WINDOW_MS
}

impl RestartRule {
    /// Rule of X-35 with a policy.
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            pause_ms_min: PAUSE_MS_MIN,
            pause_ms_max: PAUSE_MS_MAX,
            crash_loop_ends: CRASH_LOOP_ENDS,
            crash_loop_window_ms: CRASH_LOOP_WINDOW_MS,
        }
    }

    /// Pause before the next start, milliseconds, or none where the policy starts nothing. The end itself is among `ends`.
    pub fn pause(&self, failed: bool, ends: &Ends, now: u64) -> Option<u64> {
        let again = match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => failed,
            RestartPolicy::Never => false,
        };
        let count = ends.within(self.crash_loop_window_ms, now);
        let doublings = count.saturating_sub(1).min(63);
        let pause = match self.loops(ends, now) {
            true => self.pause_ms_max,
            false => self.pause_ms_min.saturating_mul(1 << doublings).min(self.pause_ms_max),
        };
        again.then_some(pause)
    }

    /// Returns true in a crash loop: as many ends as the rule names, within its window.
    pub fn loops(&self, ends: &Ends, now: u64) -> bool {
        ends.within(self.crash_loop_window_ms, now) >= self.crash_loop_ends
    }
}

/// Times of the last ends that nobody asked for, in milliseconds of a clock that only goes forward.
#[derive(Clone, Debug, Default)]
pub struct Ends(VecDeque<u64>);

impl Ends {
    /// Adds an end; the oldest is forgotten beyond [`CRASH_LOOP_ENDS_MAX`].
    pub fn push(&mut self, now: u64) {
        if self.0.len() >= CRASH_LOOP_ENDS_MAX as usize {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// Number of ends within a window before now.
    pub fn within(&self, window_ms: u64, now: u64) -> u32 {
        let recent = self.0.iter().rev().take_while(|end| now.saturating_sub(**end) < window_ms);
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pauses of an instance that ends at once, for as many ends.
    fn pauses(rule: &RestartRule, count: usize) -> Vec<u64> {
        let (mut ends, mut now) = (Ends::default(), 0);
        (0..count)
            .map(|_| {
                ends.push(now);
                let pause = rule.pause(true, &ends, now).unwrap();
                now += pause;
                pause
            })
            .collect()
    }

    #[test]
    fn four_quick_pauses_then_a_crash_loop_once_a_minute() {
        let rule = RestartRule::new(RestartPolicy::Always);
        assert_eq!(pauses(&rule, 8), [100, 200, 400, 800, 60_000, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn a_calm_window_forgets() {
        let rule = RestartRule::new(RestartPolicy::Always);
        let mut ends = Ends::default();
        (0..5).for_each(|n| ends.push(n));
        assert!(rule.loops(&ends, 599_999));
        assert!(!rule.loops(&ends, 600_000), "the first end has left the window");
        ends.push(700_000);
        assert_eq!(rule.pause(true, &ends, 700_000), Some(100));
    }

    #[test]
    fn policies() {
        let mut ends = Ends::default();
        ends.push(0);
        let pause = |policy, failed| RestartRule::new(policy).pause(failed, &ends, 0);
        assert_eq!(pause(RestartPolicy::OnFailure, false), None);
        assert_eq!(pause(RestartPolicy::OnFailure, true), Some(100));
        assert_eq!(pause(RestartPolicy::Always, false), Some(100));
        assert_eq!(pause(RestartPolicy::Never, true), None);
    }

    proptest! {
        #[test]
        fn pauses_stay_within_their_bounds(times in prop::collection::vec(0u64..100_000, 1..200)) {
            let rule = RestartRule::new(RestartPolicy::Always);
            let (mut ends, mut now) = (Ends::default(), 0);
            for time in times {
                now += time;
                ends.push(now);
                let pause = rule.pause(true, &ends, now).unwrap();
                prop_assert!((PAUSE_MS_MIN..=PAUSE_MS_MAX).contains(&pause));
                prop_assert_eq!(rule.loops(&ends, now), ends.within(CRASH_LOOP_WINDOW_MS, now) >= CRASH_LOOP_ENDS);
            }
        }
    }
}
