//! Schedules of jobs: the five fields of cron, in UTC.
//!
//! Source: crontab(5) as POSIX has it: minute, hour, day of month, month, day of week; where both days are restricted one of them suffices.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Timestamp;

use crate::text::scalar;

/// Fields with their lowest and highest value.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6)];

/// Days that are looked through for the next moment: a leap day comes at least once in eight years.
const DAYS_MAX: i64 = 366 * 8;

const NANOS_IN_MINUTE: i64 = 60_000_000_000;

/// Moments that come again, to the minute, UTC. Each field is a set of values as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Schedule {
    fields: [u64; 5],
}

/// Error of parsing a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error("`{0}` has not the five fields minute, hour, day, month, day of the week, as in `30 3 * * *`")]
    Fields(String),
    /// A field that is not understood.
    #[error("`{text}` is not a {field} from {low} to {high}: *, */5, 7, 1-5 and lists of them are")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Its text.
        text: String,
        /// Lowest value.
        low: u32,
        /// Highest value.
        high: u32,
    },
    /// A day that never comes, as the 30th of February.
    #[error("`{0}` never comes")]
    Never(String),
}

fn part(text: &str, low: u32, high: u32) -> Option<u64> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, number(step).filter(|step| (1..=high).contains(step))?),
        None => (text, 1),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (low, high),
        Some((first, last)) => (number(first)?, number(last)?),
        None if text.contains('/') => (number(range)?, high),
        None => (number(range)?, number(range)?),
    };
    // Sunday is 0 and 7.
    let sunday = high == 6;
    let fits = first >= low && first <= last && last <= high + u32::from(sunday);
    let value = |value: u32| if sunday { value % 7 } else { value };
    let step = usize::try_from(step).ok()?;
    fits.then(|| (first..=last).step_by(step).fold(0, |bits, at| bits | 1 << value(at)))
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit()))
}

fn full(low: u32, high: u32) -> u64 {
    (low..=high).fold(0, |bits, at| bits | 1 << at)
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Schedule, ScheduleError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.len() != FIELDS.len() {
            return Err(ScheduleError::Fields(text.to_string()));
        }
        let mut fields = [0; 5];
        for ((bits, word), (field, low, high)) in fields.iter_mut().zip(&words).zip(FIELDS) {
            for item in word.split(',') {
                let wrong = || ScheduleError::Field { field, text: item.to_string(), low, high };
                *bits |= part(item, low, high).ok_or_else(wrong)?;
            }
        }
        let schedule = Schedule { fields };
        // From a year with a leap day.
        match schedule.next_after(Timestamp(1_704_067_200_000_000_000)) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(text.to_string())),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (bits, (_, low, high))) in self.fields.iter().zip(FIELDS).enumerate() {
            f.write_str(if index > 0 { " " } else { "" })?;
            if *bits == full(low, high) {
                f.write_str("*")?;
                continue;
            }
            let mut first = true;
            let mut at = low;
            while at <= high {
                if bits >> at & 1 == 0 {
                    at += 1;
                    continue;
                }
                let mut end = at;
                while end < high && bits >> (end + 1) & 1 == 1 {
                    end += 1;
                }
                f.write_str(if first { "" } else { "," })?;
                match end > at {
                    true => write!(f, "{at}-{end}")?,
                    false => write!(f, "{at}")?,
                }
                (first, at) = (false, end + 1);
            }
        }
        Ok(())
    }
}

impl Schedule {
    fn has(&self, field: usize, value: i64) -> bool {
        self.fields[field] >> value & 1 == 1
    }

    fn has_day(&self, days: i64) -> bool {
        let (_, month, day) = Timestamp(days.saturating_mul(1440 * NANOS_IN_MINUTE)).date();
        let (day, weekday) = (self.has(2, day), self.has(4, (days + 4).rem_euclid(7)));
        let open = |field: usize| self.fields[field] == full(FIELDS[field].1, FIELDS[field].2);
        let either = if open(2) || open(4) { day && weekday } else { day || weekday };
        self.has(3, month) && either
    }

    /// The first moment later than the one given; `None` where there is none within eight years.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let first = moment.nanos().div_euclid(NANOS_IN_MINUTE) + 1;
        let mut day = first.div_euclid(1440);
        let mut minute = first.rem_euclid(1440);
        for _ in 0..DAYS_MAX {
            if self.has_day(day) {
                let found = (minute..1440).find(|minute| self.has(1, minute / 60) && self.has(0, minute % 60));
                if let Some(found) = found {
                    return (day * 1440 + found).checked_mul(NANOS_IN_MINUTE).map(Timestamp);
                }
            }
            (day, minute) = (day + 1, 0);
        }
        None
    }

    /// Number of moments later than the first one given and not later than the second, at most `most`: those that a machine missed while it was off.
    pub fn moments_between(&self, after: Timestamp, until: Timestamp, most: u32) -> u32 {
        let (mut at, mut count) = (after, 0);
        while count < most {
            match self.next_after(at) {
                Some(next) if next <= until => (at, count) = (next, count + 1),
                _ => break,
            }
        }
        count
    }
}

scalar! {
    Schedule: "five fields of cron in UTC, as `30 3 * * *`", "^[0-9*,/-]+( +[0-9*,/-]+){4}$";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> i64 {
        let after = Timestamp::parse_rfc3339(after.as_bytes()).unwrap();
        schedule.parse::<Schedule>().unwrap().next_after(after).unwrap().nanos() / 1_000_000_000
    }

    fn at(text: &str) -> i64 {
        Timestamp::parse_rfc3339(text.as_bytes()).unwrap().nanos() / 1_000_000_000
    }

    #[test]
    fn the_next_moment() {
        let from = "2026-11-29T01:02:03Z";
        assert_eq!(next("* * * * *", from), at("2026-11-29T01:03:00Z"));
        assert_eq!(next("30 3 * * *", from), at("2026-11-29T03:30:00Z"));
        assert_eq!(next("0 1 * * *", from), at("2026-11-30T01:00:00Z"));
        assert_eq!(next("*/15 0 1 1 *", from), at("2027-01-01T00:00:00Z"));
        assert_eq!(next("0 0 29 2 *", from), at("2028-02-29T00:00:00Z"));
        // The 29th of November 2026 is a Sunday.
        assert_eq!(next("0 5 * * 7", from), at("2026-11-29T05:00:00Z"));
        assert_eq!(next("0 5 1 * 1", from), at("2026-11-30T05:00:00Z"));
        assert_eq!(next("0 0 31 * *", "2026-12-31T00:00:00Z"), at("2027-01-31T00:00:00Z"));
    }

    #[test]
    fn moments_are_counted_up_to_a_bound() {
        let schedule: Schedule = "0 * * * *".parse().unwrap();
        let at = |text: &str| Timestamp::parse_rfc3339(text.as_bytes()).unwrap();
        let from = at("2026-11-29T01:00:00Z");
        assert_eq!(schedule.moments_between(from, at("2026-11-29T01:59:59Z"), 9), 0);
        assert_eq!(schedule.moments_between(from, at("2026-11-29T02:00:00Z"), 9), 1);
        assert_eq!(schedule.moments_between(from, at("2026-11-29T06:30:00Z"), 9), 5);
        assert_eq!(schedule.moments_between(from, at("2027-11-29T00:00:00Z"), 9), 9);
        assert_eq!(schedule.moments_between(from, at("2025-11-29T00:00:00Z"), 9), 0);
    }

    #[test]
    fn printed_in_one_way() {
        for (text, printed) in [
            ("*/1 * * * *", "* * * * *"),
            ("5,3,4 0 * * 0", "3-5 0 * * 0"),
            ("0 */12 * * 7", "0 0,12 * * 0"),
            ("0 0 * * 0-7", "0 0 * * *"),
        ] {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.to_string(), printed);
            assert_eq!(printed.parse::<Schedule>().unwrap(), schedule);
        }
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "* * * * 8",
            "5-3 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "0 0 30 2 *",
            "+1 * * * *",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
