//! Counts of refusals: only so many are recorded within a minute and a day.

use crate::moment::Moment;

/// Refused requests of strangers that are recorded in a minute. More are counted: whoever knocks all day must not push out the records of what was done.
pub(super) const STRANGERS_PER_MINUTE_MAX: u64 = 30;
/// Refused requests of members that are recorded in a minute, for the same reason.
pub(super) const MEMBERS_PER_MINUTE_MAX: u64 = 120;
/// Refused requests of strangers that are recorded in a day: a year of them, every day the most and each as long as can be, does not fill the files that are kept.
pub(super) const STRANGERS_PER_DAY_MAX: u64 = 150;
/// Refused requests of members that are recorded in a day: two months of them fill the files.
pub(super) const MEMBERS_PER_DAY_MAX: u64 = 1_000;
/// Length of the shorter window of these counts, milliseconds.
pub(super) const MINUTE_MS: u64 = 60_000;
/// Length of the longer one, milliseconds.
pub(super) const DAY_MS: u64 = 86_400_000;

/// Count within a window of time.
#[derive(Default)]
struct Window {
    begun_ms: u64,
    number: u64,
}

impl Window {
    /// Counts one more, and returns the number of them in this window.
    fn add(&mut self, now: &Moment, length_ms: u64) -> u64 {
        if now.ran_ms.saturating_sub(self.begun_ms) >= length_ms {
            (self.begun_ms, self.number) = (now.ran_ms, 0);
        }
        self.number += 1;
        self.number
    }
}

/// Count of refusals.
#[derive(Default)]
pub(super) struct Count {
    minute: Window,
    day: Window,
}

impl Count {
    /// True where one more may be recorded: neither the minute nor the day has had its most.
    pub(super) fn takes(&mut self, now: &Moment, per_minute_max: u64, per_day_max: u64) -> bool {
        self.minute.add(now, MINUTE_MS) <= per_minute_max && self.day.add(now, DAY_MS) <= per_day_max
    }
}
