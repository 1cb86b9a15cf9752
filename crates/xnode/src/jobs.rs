//! Jobs: runs of a command to its end beside an application (X-93 to X-95). Types, and the rules of when one is due and when it has ended; all pure.
//!
//! A run is an instance of its own below a shim that starts nothing again: own processes, memory and limits, with the image, variables, files, volumes,
//! user and network of the application's instance beside which it runs. What becomes of it is a file that is written before its effects, so that after any
//! death the next look goes on with it. Its log is kept with the last runs.

use std::time::Duration;

use openmesh_blueprint::document::Schedule;
use openmesh_primitives::Timestamp;
use openmesh_shim::protocol::{Cause, End, State, Status};
use serde::{Deserialize, Serialize};

use crate::marks::Clock;

/// Form of [`Run`].
pub const RUN_VERSION: u32 = 1;
/// Runs of one job that are kept with their logs: enough to compare a bad one with good ones.
pub const RUNS_KEPT: usize = 10;
/// Bound of one run's log, bytes: the long words of a migration.
pub const RUN_LOG_BYTES_MAX: u64 = 4 << 20;

/// Occasion of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOccasion {
    /// A switch to a new version, on its data and before it starts.
    Switch,
    /// The job's schedule.
    Schedule,
    /// Somebody asked for it.
    Demand,
}

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// [`RUN_VERSION`].
    pub version: u32,
    /// Number among the job's runs, from 1.
    pub number: u64,
    /// Its occasion.
    pub occasion: RunOccasion,
    /// Whoever asked for it.
    pub by: String,
    /// Revision of the application whose image and data it has.
    pub revision: String,
    /// Instance beside which it runs.
    pub instance: String,
    /// Its begin by the wall clock.
    pub at: Timestamp,
    /// Its begin by a clock that nobody sets.
    pub clock: Clock,
    /// Time after which it is ended, milliseconds.
    pub timeout_ms: u64,
    /// It was asked to end because its time was over.
    #[serde(default)]
    pub is_late: bool,
    /// A failure that the plan has been told of.
    #[serde(default)]
    pub is_told: bool,
    /// Its end; none while it runs.
    pub end: Option<RunEnd>,
}

/// End of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnd {
    /// The moment.
    pub at: Timestamp,
    /// Code of its process; none where it did not end by itself.
    pub code: Option<i32>,
    /// Words for people.
    pub words: String,
    /// Time that it took, milliseconds.
    pub lasted_ms: u64,
    /// The kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
    /// It was broken off from outside, as by a start of the machine: nothing is known of the command by it.
    #[serde(default)]
    pub is_broken_off: bool,
}

impl RunEnd {
    /// An end that was no process' own.
    pub fn without_code(words: impl Into<String>, at: Timestamp) -> RunEnd {
        RunEnd { at, code: None, words: words.into(), lasted_ms: 0, out_of_memory: false, is_broken_off: true }
    }

    /// Returns true where it ended with 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

/// Shim of a run as it is found.
#[derive(Clone, Copy, Debug)]
pub enum RunShim<'a> {
    /// There is none: it was never started, or the machine has started anew.
    None,
    /// It lives.
    Living(&'a Status),
    /// It has ended, and this is the last it said.
    Ended(&'a Status),
}

/// The next thing to do with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it runs.
    Wait,
    /// Its time is over: ask it to end.
    Stop,
    /// It has ended: note it, and clear it away.
    End(RunEnd),
}

/// Tells what is to be done with a run that has no end yet. `waited` is the time since its begin; none where the machine has started anew.
pub fn next(run: &Run, shim: RunShim<'_>, waited: Option<Duration>, now: Timestamp) -> Next {
    let Some(waited) = waited else {
        return Next::End(RunEnd::without_code("the machine was started anew while it ran", now));
    };
    match shim {
        RunShim::None => Next::End(RunEnd::without_code("the agent ended while it was being begun", now)),
        RunShim::Ended(_) => Next::End(RunEnd::without_code("its shim was ended, and the run with it", now)),
        RunShim::Living(status) => match status.ends.last() {
            Some(end) if status.state == State::Stopped => Next::End(end_of(run, end, now)),
            _ if waited.as_millis() <= u128::from(run.timeout_ms) || run.is_late => Next::Wait,
            _ => Next::Stop,
        },
    }
}

fn end_of(run: &Run, end: &End, now: Timestamp) -> RunEnd {
    let (code, words) = match &end.cause {
        _ if run.is_late => {
            (None, format!("it took longer than its {} s, and was ended", run.timeout_ms.div_ceil(1_000)))
        }
        Cause::Exited { code } => (Some(*code), format!("it ended with code {code}")),
        Cause::Killed { name, .. } => (None, format!("it was ended by {name}")),
        Cause::NotCreated { reason } => (None, format!("it could not be made: {reason}")),
        Cause::NotStarted { reason } => (None, format!("it could not be started: {reason}")),
        Cause::Unseen => (None, "it ended while nobody looked".into()),
    };
    let memory = if end.out_of_memory { ", out of memory" } else { "" };
    RunEnd {
        at: now,
        code,
        words: format!("{words}{memory}"),
        lasted_ms: end.lasted_ms,
        out_of_memory: end.out_of_memory,
        is_broken_off: !run.is_late && end.cause == Cause::Unseen,
    }
}

/// Mark of a schedule: moments up to this one are past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduled {
    /// The schedule as it is printed: another one begins anew.
    pub schedule: String,
    /// Every moment up to this one has had its run.
    pub until: Timestamp,
}

/// A schedule at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A run is due; the mark is to be this one when it begins.
    Now(Scheduled),
    /// None is due before this moment; the mark is to be written where it is another one than before.
    Later(Option<Timestamp>, Scheduled),
}

/// Tells whether a run is due. However many moments have passed meanwhile, in a pause of the machine or while the last run went on, they are made up by one run.
/// A schedule that is seen for the first time begins now; a clock that was set back loses nothing and repeats nothing that is still to come.
pub fn due(schedule: &Schedule, mark: Option<&Scheduled>, now: Timestamp) -> Due {
    let text = schedule.to_string();
    let known = mark.filter(|mark| mark.schedule == text && mark.until <= now);
    let until = known.map_or(now, |mark| mark.until);
    match schedule.next_after(until) {
        Some(moment) if moment <= now => Due::Now(Scheduled { schedule: text, until: now }),
        moment => Due::Later(moment, Scheduled { schedule: text, until }),
    }
}

#[cfg(test)]
mod tests {
    use openmesh_shim::protocol::LogStatus;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text.as_bytes()).unwrap()
    }

    fn mark(schedule: &Schedule, until: &str) -> Scheduled {
        Scheduled { schedule: schedule.to_string(), until: at(until) }
    }

    #[test]
    fn missed_moments_are_made_up_once() {
        let hourly: Schedule = "0 * * * *".parse().unwrap();
        // A new one does not run at once.
        let first = due(&hourly, None, at("2026-11-29T10:20:00Z"));
        let begun = mark(&hourly, "2026-11-29T10:20:00Z");
        assert_eq!(first, Due::Later(Some(at("2026-11-29T11:00:00Z")), begun.clone()));
        assert!(matches!(due(&hourly, Some(&begun), at("2026-11-29T10:59:59Z")), Due::Later(..)));
        // The machine was off for nine hours: one run, and the next at its moment.
        let Due::Now(after) = due(&hourly, Some(&begun), at("2026-11-29T20:30:00Z")) else { panic!("due") };
        assert_eq!(after.until, at("2026-11-29T20:30:00Z"));
        let next = due(&hourly, Some(&after), at("2026-11-29T20:31:00Z"));
        assert_eq!(next, Due::Later(Some(at("2026-11-29T21:00:00Z")), after.clone()));
        // The clock is set back by a day: no run at once, and the next one is not a day away.
        let Due::Later(Some(next), _) = due(&hourly, Some(&after), at("2026-11-28T20:31:00Z")) else { panic!("later") };
        assert_eq!(next, at("2026-11-28T21:00:00Z"));
        // Another schedule begins now.
        let daily: Schedule = "30 3 * * *".parse().unwrap();
        assert!(matches!(due(&daily, Some(&begun), at("2026-11-30T10:00:00Z")), Due::Later(..)));
    }

    fn run(timeout_ms: u64) -> Run {
        Run {
            version: RUN_VERSION,
            number: 1,
            occasion: RunOccasion::Demand,
            by: "root".into(),
            revision: "r".into(),
            instance: "r.0".into(),
            at: Timestamp(0),
            clock: Clock { boot: "b".into(), ms: 0 },
            timeout_ms,
            is_late: false,
            is_told: false,
            end: None,
        }
    }

    fn status(state: State, cause: Option<Cause>) -> Status {
        let end = |cause| End {
            run: 1,
            at_unix_ms: 0,
            lasted_ms: 7,
            cause,
            out_of_memory: false,
            asked: false,
            log_first: 0,
            log_next: 0,
        };
        Status {
            name: "n".into(),
            version: "v".into(),
            shim_pid: 1,
            boot: "b".into(),
            state,
            wanted: true,
            crash_loop: false,
            run: 1,
            restarts: 0,
            first: None,
            next_start_ms: None,
            paused: None,
            ends: cause.map(end).into_iter().collect(),
            oom_kills: None,
            log: LogStatus::default(),
        }
    }

    #[test]
    fn a_run_ends_by_itself_by_its_time_or_with_the_machine() {
        let (second, long) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(61)));
        let now = Timestamp(5);
        let running = status(State::Running, None);
        assert_eq!(next(&run(60_000), RunShim::Living(&running), second, now), Next::Wait);
        assert_eq!(next(&run(60_000), RunShim::Living(&running), long, now), Next::Stop);
        let late = Run { is_late: true, ..run(60_000) };
        assert_eq!(next(&late, RunShim::Living(&running), long, now), Next::Wait, "it is asked once");
        let ended = status(State::Stopped, Some(Cause::Exited { code: 3 }));
        let Next::End(end) = next(&run(60_000), RunShim::Living(&ended), long, now) else { panic!("ended") };
        assert_eq!((end.code, end.words.as_str(), end.lasted_ms), (Some(3), "it ended with code 3", 7));
        assert!(!end.is_broken_off, "it is the command's own");
        let Next::End(end) = next(&late, RunShim::Living(&ended), long, now) else { panic!("ended") };
        assert_eq!(end.words, "it took longer than its 60 s, and was ended");
        assert!(!end.is_broken_off, "a command that takes too long has failed");
        for (shim, waited) in
            [(RunShim::None, second), (RunShim::Ended(&running), second), (RunShim::Living(&running), None)]
        {
            let Next::End(end) = next(&run(60_000), shim, waited, now) else { panic!("ended") };
            assert!(!end.is_success() && end.code.is_none() && end.is_broken_off, "{end:?}");
        }
    }
}
