//! Moments of backups and drills as pure rules (B-50 to B-53 of `docs/spec/backup.md`).
//!
//! A *track* is what is known of one schedule: the moment up to which it is settled, and what failed since. Moments that passed while the machine was off are
//! made up by one run, whatever their number. A clock that goes ahead by a year makes one run, and one that comes back from there makes the schedule begin
//! anew at the present moment, so that nothing waits for a year. Pauses between runs are measured by a clock that nobody sets: a clock that jumps to and
//! fro makes no storm.

use openmesh_blueprint::document::Schedule;
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

/// Nanoseconds of a millisecond.
const MS: i64 = 1_000_000;
/// Lead of a settled moment over the wall clock by which that clock counts as set back, nanoseconds: five minutes are more than a time service corrects by a
/// step, and less than anybody waits for a backup.
const CLOCK_BACK_NANOS: i64 = 300_000 * MS;
/// First pause after a failed run, milliseconds; each further one is twice as long.
const RETRY_MS: u64 = 60_000;
/// Longest such pause, milliseconds: an hour, so that a target that comes back is used within it.
const RETRY_MS_MAX: u64 = 3_600_000;
/// Least time between two runs, milliseconds: half of the shortest that a schedule can say.
const BETWEEN_MS: u64 = 30_000;
/// Time after its moment from which a run that was not made is late, nanoseconds: half an hour is a queue, an hour is a fault.
const LATE_NANOS: i64 = 3_600_000 * MS;
/// Missed moments that are counted at most: beyond, the number tells nobody more.
const MISSED_MAX: u32 = 1_000;
/// Longest cause that is kept, bytes: some lines of text.
const CAUSE_BYTES_MAX: usize = 2_000;

/// State of one schedule, as it is kept on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Track {
    /// The schedule as it is printed; none before it was first seen.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Moment up to which all of it is settled.
    #[serde(default)]
    pub settled: Option<Timestamp>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Cause of the last of them.
    #[serde(default)]
    pub cause: Option<String>,
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock, which anybody may set.
    pub wall: Timestamp,
    /// Milliseconds by a clock that nobody sets, since some begin.
    pub steady_ms: u64,
}

/// Act that a track asks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing until then; none where the schedule has no moment any more.
    Wait(Option<Timestamp>),
    /// A run is due, and is tried again after this pause.
    Pause {
        /// The first moment that is not settled.
        moment: Timestamp,
        /// Moments that the next run settles.
        moments: u32,
        /// Time that is left, milliseconds.
        left_ms: u64,
    },
    /// A run is to begin.
    Run {
        /// The first moment that is not settled.
        moment: Timestamp,
        /// Moments that this run settles: more than one where some were missed.
        moments: u32,
    },
}

/// Standing of a track, for people and alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every moment is settled.
    Ok,
    /// A moment has passed for an hour without a run.
    Late,
    /// The last run failed.
    Failed,
}

/// The track of a schedule at this moment: one that is new or changed is settled up to now, since nothing of it was missed; one whose settled moment lies
/// ahead of the clock is settled up to now, since that clock was wrong.
pub fn adopt(track: &Track, schedule: &Schedule, wall: Timestamp) -> Track {
    let text = schedule.to_string();
    let same = track.schedule.as_deref() == Some(text.as_str());
    match track.settled {
        Some(settled) if same => {
            let is_ahead = settled.nanos().saturating_sub(wall.nanos()) > CLOCK_BACK_NANOS;
            Track { settled: Some(if is_ahead { wall } else { settled }), ..track.clone() }
        }
        // A failure of before stays known until a run succeeds.
        _ => Track { schedule: Some(text), settled: Some(wall), ..track.clone() },
    }
}

/// The present turn of an adopted track. `tried_ms` is the steady moment at which its last run ended; none where there was none since the agent began.
pub fn turn(track: &Track, schedule: &Schedule, tried_ms: Option<u64>, now: Clocks) -> Turn {
    let settled = track.settled.unwrap_or(now.wall);
    let Some(moment) = schedule.next_after(settled) else { return Turn::Wait(None) };
    if moment > now.wall {
        return Turn::Wait(Some(moment));
    }
    let moments = schedule.moments_between(settled, now.wall, MISSED_MAX);
    match left_ms(track, tried_ms, now.steady_ms) {
        0 => Turn::Run { moment, moments },
        left_ms => Turn::Pause { moment, moments, left_ms },
    }
}

/// Time until the next try, milliseconds: after failures a growing pause, else the least time between two runs.
pub fn left_ms(track: &Track, tried_ms: Option<u64>, steady_ms: u64) -> u64 {
    let pause = match track.failures {
        0 => BETWEEN_MS,
        failures => RETRY_MS.saturating_mul(1 << (failures - 1).min(16)).min(RETRY_MS_MAX),
    };
    tried_ms.map_or(0, |tried| pause.saturating_sub(steady_ms.saturating_sub(tried)))
}

/// The track after a run that began at a moment of the wall clock and succeeded.
pub fn done(track: &Track, begun: Timestamp) -> Track {
    Track { settled: Some(begun), failures: 0, cause: None, schedule: track.schedule.clone() }
}

/// The track after a run that failed: its moments stay to be made up.
pub fn failed(track: &Track, cause: &str) -> Track {
    let end = (0..=CAUSE_BYTES_MAX.min(cause.len())).rev().find(|at| cause.is_char_boundary(*at)).unwrap_or(0);
    let cause = cause.get(..end).unwrap_or_default().to_string();
    Track { failures: track.failures.saturating_add(1), cause: Some(cause), ..track.clone() }
}

/// Standing of an adopted track.
pub fn standing(track: &Track, schedule: &Schedule, wall: Timestamp) -> Standing {
    if track.failures > 0 {
        return Standing::Failed;
    }
    let moment = schedule.next_after(track.settled.unwrap_or(wall));
    let is_late = moment.is_some_and(|moment| wall.nanos().saturating_sub(moment.nanos()) >= LATE_NANOS);
    if is_late { Standing::Late } else { Standing::Ok }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000 * MS;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text.as_bytes()).unwrap()
    }

    fn nightly() -> Schedule {
        "30 3 * * *".parse().unwrap()
    }

    fn clocks(wall: Timestamp) -> Clocks {
        Clocks { wall, steady_ms: 10_000_000 }
    }

    fn begun(schedule: &Schedule, text: &str) -> Track {
        adopt(&Track::default(), schedule, at(text))
    }

    #[test]
    fn a_new_schedule_waits_for_its_first_moment() {
        let schedule = nightly();
        let track = begun(&schedule, "2026-11-29T12:00:00Z");
        let now = clocks(at("2026-11-29T12:00:01Z"));
        assert_eq!(turn(&track, &schedule, None, now), Turn::Wait(Some(at("2026-11-30T03:30:00Z"))));
        assert_eq!(standing(&track, &schedule, now.wall), Standing::Ok);
        let now = clocks(at("2026-11-30T03:30:00Z"));
        let due = Turn::Run { moment: at("2026-11-30T03:30:00Z"), moments: 1 };
        assert_eq!(turn(&track, &schedule, None, now), due);
        let track = done(&track, now.wall);
        assert_eq!(turn(&track, &schedule, None, now), Turn::Wait(Some(at("2026-12-01T03:30:00Z"))));
    }

    #[test]
    fn missed_moments_are_made_up_by_one_run() {
        let schedule = nightly();
        let track = begun(&schedule, "2026-11-29T12:00:00Z");
        let now = clocks(at("2026-12-03T09:00:00Z"));
        assert_eq!(standing(&track, &schedule, now.wall), Standing::Late);
        let due = Turn::Run { moment: at("2026-11-30T03:30:00Z"), moments: 4 };
        assert_eq!(turn(&track, &schedule, None, now), due);
        let track = done(&track, now.wall);
        assert_eq!(turn(&track, &schedule, None, now), Turn::Wait(Some(at("2026-12-04T03:30:00Z"))));
        assert_eq!(standing(&track, &schedule, now.wall), Standing::Ok);
    }

    #[test]
    fn failures_are_tried_again_with_growing_pauses_and_stay_known() {
        let schedule = nightly();
        let mut track = begun(&schedule, "2026-11-29T12:00:00Z");
        let now = clocks(at("2026-11-30T03:30:00Z"));
        let moment = at("2026-11-30T03:30:00Z");
        for (failures, pause) in [(1, 60_000), (2, 120_000), (3, 240_000), (9, 3_600_000), (60, 3_600_000)] {
            while track.failures < failures {
                track = failed(&track, "no target");
            }
            let tried = Some(now.steady_ms);
            assert_eq!(turn(&track, &schedule, tried, now), Turn::Pause { moment, moments: 1, left_ms: pause });
            let later = Clocks { steady_ms: now.steady_ms + pause, ..now };
            assert!(matches!(turn(&track, &schedule, tried, later), Turn::Run { .. }));
        }
        assert_eq!(standing(&track, &schedule, now.wall), Standing::Failed);
        // Another schedule does not hide it.
        let hourly: Schedule = "0 * * * *".parse().unwrap();
        let changed = adopt(&track, &hourly, now.wall);
        assert_eq!((changed.cause.as_deref(), changed.settled), (Some("no target"), Some(now.wall)));
        assert_eq!(done(&changed, now.wall).cause, None);
        let long = failed(&track, &"é".repeat(5_000)).cause.unwrap();
        assert!(long.len() <= CAUSE_BYTES_MAX && long.chars().all(|letter| letter == 'é'));
    }

    #[test]
    fn a_clock_a_year_ahead_makes_one_run_and_its_return_makes_none_wait() {
        let schedule = nightly();
        let track = begun(&schedule, "2026-11-29T12:00:00Z");
        let ahead = at("2027-11-29T12:00:00Z");
        assert!(matches!(turn(&track, &schedule, None, clocks(ahead)), Turn::Run { moments: 365, .. }));
        let track = done(&track, ahead);
        assert_eq!(turn(&track, &schedule, None, clocks(ahead)), Turn::Wait(Some(at("2027-11-30T03:30:00Z"))));
        let back = at("2026-11-29T12:05:00Z");
        let track = adopt(&track, &schedule, back);
        assert_eq!(turn(&track, &schedule, None, clocks(back)), Turn::Wait(Some(at("2026-11-30T03:30:00Z"))));
        // A step of a time service is no such thing: the moment that was just settled does not come again.
        let track = done(&track, at("2026-11-30T03:30:00Z"));
        let stepped = at("2026-11-30T03:29:59Z");
        let track = adopt(&track, &schedule, stepped);
        assert_eq!(turn(&track, &schedule, None, clocks(stepped)), Turn::Wait(Some(at("2026-12-01T03:30:00Z"))));
    }

    proptest! {
        /// However the wall clock jumps, runs are never closer than the least time between them, and where it goes on for a day nothing is left undone.
        #[test]
        fn jumps_make_no_storm_and_skip_nothing(
            jumps in proptest::collection::vec((-400_i64..400, 1_u64..5_000), 1..60),
        ) {
            let schedule: Schedule = "0 * * * *".parse().unwrap();
            let mut wall = at("2026-11-29T12:00:00Z");
            let mut steady_ms = 0_u64;
            let mut track = Track::default();
            let (mut tried, mut last_run): (Option<u64>, Option<u64>) = (None, None);
            let mut look = |wall: Timestamp, steady_ms: u64, track: &mut Track| {
                *track = adopt(track, &schedule, wall);
                prop_assert!(track.settled.unwrap().nanos() - wall.nanos() <= CLOCK_BACK_NANOS);
                if let Turn::Run { moment, moments } = turn(track, &schedule, tried, Clocks { wall, steady_ms }) {
                    prop_assert!(moment <= wall && moments >= 1);
                    prop_assert!(last_run.is_none_or(|last| steady_ms - last >= BETWEEN_MS));
                    (tried, last_run) = (Some(steady_ms), Some(steady_ms));
                    *track = done(track, wall);
                }
                Ok(())
            };
            for (hours, passed_ms) in jumps {
                wall = Timestamp(wall.nanos() + hours * HOUR);
                steady_ms += passed_ms;
                look(wall, steady_ms, &mut track)?;
            }
            // A quiet day: looked at each minute, every hour has its run.
            for _ in 0..24 * 60 {
                wall = Timestamp(wall.nanos() + 60_000 * MS);
                steady_ms += 60_000;
                look(wall, steady_ms, &mut track)?;
                prop_assert!(wall.nanos() - track.settled.unwrap().nanos() <= HOUR + 120_000 * MS);
                prop_assert_eq!(standing(&track, &schedule, wall), Standing::Ok);
            }
        }
    }
}
