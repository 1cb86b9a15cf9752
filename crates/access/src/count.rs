//! Counts within windows of time, for what strangers may cause. The wall clock has no part in them.

use crate::moment::Moment;

/// Length of the shorter window, milliseconds.
pub const MINUTE_MS: u64 = 60_000;
/// Length of the longer one, milliseconds.
pub const DAY_MS: u64 = 86_400_000;

/// Count within a window of time.
#[derive(Debug, Default)]
struct Window {
    begun_ms: u64,
    number: u64,
}

impl Window {
    /// Number of them in the window of this moment.
    fn number(&self, now: &Moment, length_ms: u64) -> u64 {
        if now.ran_ms.saturating_sub(self.begun_ms) >= length_ms { 0 } else { self.number }
    }

    /// Counts one more, and returns the number of them in this window.
    fn add(&mut self, now: &Moment, length_ms: u64) -> u64 {
        let number = self.number(now, length_ms);
        if number == 0 {
            self.begun_ms = now.ran_ms;
        }
        self.number = number + 1;
        self.number
    }
}

/// Count within a minute and within a day.
#[derive(Debug, Default)]
pub struct Count {
    minute: Window,
    day: Window,
}

impl Count {
    /// Counts one more, and returns true where neither the minute nor, as far as the minute takes it, the day has had its most.
    pub fn takes(&mut self, now: &Moment, per_minute_max: u64, per_day_max: u64) -> bool {
        self.minute.add(now, MINUTE_MS) <= per_minute_max && self.day.add(now, DAY_MS) <= per_day_max
    }

    /// Counts one more.
    pub fn add(&mut self, now: &Moment) {
        self.minute.add(now, MINUTE_MS);
        self.day.add(now, DAY_MS);
    }

    /// Numbers of them in the minute and in the day of a moment.
    pub fn numbers(&self, now: &Moment) -> (u64, u64) {
        (self.minute.number(now, MINUTE_MS), self.day.number(now, DAY_MS))
    }

    /// Takes one of them back.
    pub fn take_back(&mut self) {
        self.minute.number = self.minute.number.saturating_sub(1);
        self.day.number = self.day.number.saturating_sub(1);
    }

    /// Returns true where the day has none.
    pub fn is_over(&self, now: &Moment) -> bool {
        self.day.number(now, DAY_MS) == 0
    }
}
