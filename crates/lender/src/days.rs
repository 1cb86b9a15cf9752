//! Days of a lender: time in which it ran (B-77). No clock that somebody sets has a say, so that none removes what is withheld.

use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::limits::{DAY_MS, NOTE};

/// A moment of a lender's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Number of the day.
    pub day: u32,
    /// Time of it that has passed, milliseconds.
    pub ran_ms: u64,
}

impl Moment {
    /// The moment so many milliseconds later. Pure.
    #[must_use]
    pub fn after(self, ms: u64) -> Moment {
        let ran = self.ran_ms.saturating_add(ms);
        let days = u32::try_from(ran / DAY_MS).unwrap_or(u32::MAX);
        Moment { day: self.day.saturating_add(days), ran_ms: ran % DAY_MS }
    }
}

/// Returns true where what was removed on a day is withheld no longer: the days after it are over. Pure.
pub fn is_over(removed: u32, held_days: u32, today: u32) -> bool {
    today > removed.saturating_add(held_days)
}

/// The days as they are kept.
#[derive(Debug)]
pub struct Days {
    path: PathBuf,
    now: Moment,
    /// Steady moment up to which `now` counts.
    since: Instant,
    noted: Instant,
}

impl Days {
    /// Opens the note. `least` is the last day on which something was removed: the present one is none before it, also where the note is lost.
    pub fn open(path: PathBuf, least: u32) -> Days {
        let noted: Moment = files::read(&path).unwrap_or_default();
        let now = if noted.day < least { Moment { day: least, ran_ms: 0 } } else { noted };
        Days { path, now, since: Instant::now(), noted: Instant::now() }
    }

    /// The present day.
    pub fn today(&mut self) -> u32 {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Parts of a millisecond are lost: that withholds longer.
        if ms > 0 {
            self.since = Instant::now();
            self.now = self.now.after(ms);
        }
        self.now.day
    }

    /// Writes the note where it is old or a day has begun. What cannot be written is written later: a lost minute withholds longer.
    pub fn note(&mut self) {
        let before = self.now.day;
        if self.today() != before || self.noted.elapsed() >= NOTE {
            self.noted = Instant::now();
            let _ = files::replace(&self.path, &self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_day_of_running() {
        let begun = Moment { day: 4, ran_ms: DAY_MS - 1 };
        assert_eq!(begun.after(0), begun);
        assert_eq!(begun.after(1), Moment { day: 5, ran_ms: 0 });
        assert_eq!(Moment::default().after(3 * DAY_MS + 7), Moment { day: 3, ran_ms: 7 });
        assert_eq!(Moment { day: u32::MAX, ran_ms: 1 }.after(u64::MAX).day, u32::MAX);
    }

    #[test]
    fn what_is_removed_is_withheld_for_whole_days() {
        assert!(!is_over(4, 2, 4) && !is_over(4, 2, 6) && is_over(4, 2, 7));
        assert!(!is_over(4, u32::MAX, u32::MAX));
    }

    #[test]
    fn the_day_is_kept_and_a_lost_note_withholds_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("days.json");
        files::replace(&path, &Moment { day: 9, ran_ms: 5 }).unwrap();
        assert_eq!(Days::open(path.clone(), 3).today(), 9);
        assert_eq!(Days::open(path.clone(), 12).today(), 12);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Days::open(path, 12).today(), 12);
    }
}
