//! States of backups with their causes, for people and alerts.

use std::collections::BTreeMap;

use openmesh_blueprint::document::{Name, Schedule, Store};
use openmesh_primitives::Timestamp;

use crate::backups::error::BackupsError;
use crate::backups::find::made_view;
use crate::backups::records::{Drilled, Record};
use crate::backups::scheduler::{self, Clocks, Standing, Track, Turn};
use crate::backups::subject::{self, Subject};
use crate::backups::targets;
use crate::backups::views::{self, JobKind, State};
use crate::error::AgentError;
use crate::service::Service;
use crate::views::Trouble;

/// Everything about backups of the machine.
///
/// # Errors
/// A record or a generation cannot be read.
pub(crate) fn overview(service: &Service) -> Result<views::Overview, AgentError> {
    let backups = service.backups();
    let subjects = subject::all(service)?;
    let one = |subject: &Subject| application(service, subject).unwrap_or_else(|error| unread(subject, &error));
    Ok(views::Overview {
        keys: keys(service)?,
        machine: backups.keys.machine()?,
        targets: all_targets(service, &subjects)?,
        applications: subjects.iter().map(one).collect(),
        jobs: backups.jobs.all().iter().map(|job| job.view()).collect(),
    })
}

/// Keys of backups.
///
/// # Errors
/// The owner's cannot be read.
pub(crate) fn keys(service: &Service) -> Result<views::Keys, AgentError> {
    let keys = &service.backups().keys;
    let owner = keys.owner()?.map(|owner| owner.to_string());
    let guest = service.lending().guest_key().public().to_string();
    let reading = keys.reading()?.map(|reading| reading.to_string());
    Ok(views::Keys { owner, node: keys.node().recipient().to_string(), guest, reading })
}

/// States of backups that nobody wished, for the status of the machine and for alerts.
///
/// # Errors
/// As [`overview`].
pub(crate) fn troubles(service: &Service) -> Result<Vec<Trouble>, AgentError> {
    let all = overview(service)?;
    let mut troubles = Vec::new();
    for one in all.applications {
        let what = |word: &str, cause: Option<String>| format!("{word}: {}", cause.unwrap_or_default());
        if matches!(one.state, State::Late | State::Failed) {
            let (application, cause) = (Some(one.name.clone()), what("backup", one.cause));
            troubles.push(Trouble { application, cause, attempts: one.failures, again_in_ms: one.again_in_ms });
        }
        if matches!(one.drill_state, Some(State::Late | State::Failed)) {
            let (application, cause) = (Some(one.name), what("restore drill", one.drill_cause));
            troubles.push(Trouble { application, cause, attempts: 0, again_in_ms: None });
        }
    }
    for target in all.targets.into_iter().filter(|target| target.state == State::Failed) {
        let cause = format!("place for backups `{}`: {}", target.name, target.cause.unwrap_or_default());
        troubles.push(Trouble { application: None, cause, attempts: 0, again_in_ms: None });
    }
    Ok(troubles)
}

fn all_targets(service: &Service, subjects: &[Subject]) -> Result<Vec<views::Target>, AgentError> {
    let mut stores: BTreeMap<Name, Store> =
        subject::present(service)?.map(|generation| generation.portable.backups).unwrap_or_default();
    for (name, store) in subjects.iter().filter_map(|subject| subject.target.clone()) {
        stores.entry(name).or_insert(store);
    }
    stores.iter().map(|(name, store)| target(service, name, store)).collect()
}

fn target(service: &Service, name: &Name, store: &Store) -> Result<views::Target, AgentError> {
    let record = service.backups().records.target(name)?;
    let place = targets::words(store);
    let own = (record.place == place || record.place.is_empty()).then_some(record);
    let found = own.as_ref().and_then(|record| record.findings.first());
    let damaged =
        found.map(|finding| format!("the last check found damage, which was mended as far as it could be: {finding}"));
    let cause = own.as_ref().and_then(|record| record.cause.clone()).or(damaged);
    let repository = own.as_ref().map(|record| record.repository.clone()).filter(|id| !id.is_empty());
    let state = match (&cause, &repository) {
        (Some(_), _) => State::Failed,
        (None, None) => State::Waiting,
        (None, Some(_)) => State::Ok,
    };
    Ok(views::Target {
        name: name.to_string(),
        place,
        repository,
        state,
        cause,
        tended: own.as_ref().and_then(|record| record.tended),
        room: own.and_then(|record| record.room),
    })
}

fn application(service: &Service, subject: &Subject) -> Result<views::Application, AgentError> {
    let record = service.backups().records.application(&subject.name)?;
    let wall = Timestamp::now();
    let running = service.backups().jobs.running();
    let runs = |kind| running.iter().any(|job| job.kind == kind && job.application.as_ref() == Some(&subject.name));
    let awaits_last = subject::last(service, subject)? != subject::Last::Made;
    let lacks = lacking(service, subject)?;
    let (state, cause) = match lacks {
        Some(cause) => (State::Failed, Some(cause)),
        None if runs(JobKind::Backup) => (State::Running, None),
        None => match &subject.schedule {
            Some(schedule) => of_track(&record.backup, schedule, record.last.is_some(), wall),
            None => last_state(&record, awaits_last),
        },
    };
    let drills = subject.drill.as_ref().map(|schedule| match runs(JobKind::Drill) {
        true => (State::Running, None),
        false => of_track(&record.drill, schedule, record.drilled.is_some(), wall),
    });
    let (drill_state, drill_cause) = drills.map_or((None, None), |(state, cause)| (Some(state), cause));
    let clocks = Clocks { wall, steady_ms: service.backups().steady_ms() };
    let own = |track: &Track, schedule: &Option<Schedule>, kind| {
        Moments::of(track, schedule.as_ref(), service.backups().tried(&subject.name, kind), clocks)
    };
    let moments = own(&record.backup, &subject.schedule, JobKind::Backup);
    Ok(views::Application {
        name: subject.name.to_string(),
        target: subject.target.as_ref().map(|(name, _)| name.to_string()),
        state,
        cause,
        next: moments.next,
        due_since: moments.due_since,
        missed: moments.missed,
        failures: record.backup.failures,
        again_in_ms: moments.again_in_ms,
        last: record.last.as_ref().map(|made| made_view(made, &subject.name, &subject.node)),
        drill_state,
        drill_cause,
        next_drill: own(&record.drill, &subject.drill, JobKind::Drill).next,
        drill: record.drilled.map(drill),
        awaits_last,
    })
}

/// Moments of a schedule around now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moments {
    next: Option<Timestamp>,
    due_since: Option<Timestamp>,
    missed: u32,
    again_in_ms: Option<u64>,
}

impl Moments {
    fn of(track: &Track, schedule: Option<&Schedule>, tried_ms: Option<u64>, now: Clocks) -> Moments {
        let Some(schedule) = schedule else { return Moments::default() };
        let track = scheduler::adopt(track, schedule, now.wall);
        let next = schedule.next_after(now.wall);
        match scheduler::turn(&track, schedule, tried_ms, now) {
            Turn::Wait(next) => Moments { next, ..Moments::default() },
            Turn::Run { moment, moments } => {
                Moments { next, due_since: Some(moment), missed: moments, again_in_ms: Some(0) }
            }
            Turn::Pause { moment, moments, left_ms } => {
                Moments { next, due_since: Some(moment), missed: moments, again_in_ms: Some(left_ms) }
            }
        }
    }
}

/// An application of which the record cannot be read: that is its trouble alone.
fn unread(subject: &Subject, error: &AgentError) -> views::Application {
    views::Application {
        name: subject.name.to_string(),
        target: subject.target.as_ref().map(|(name, _)| name.to_string()),
        state: State::Failed,
        cause: Some(error.to_string()),
        next: None,
        due_since: None,
        missed: 0,
        failures: 0,
        again_in_ms: None,
        last: None,
        drill_state: None,
        drill_cause: None,
        next_drill: None,
        drill: None,
        awaits_last: subject.removed.is_some(),
    }
}

/// The cause for which no backup can be made at all; none where nothing is lacking.
fn lacking(service: &Service, subject: &Subject) -> Result<Option<String>, AgentError> {
    let lacks = match (service.backups().keys.owner()?, &subject.target) {
        (None, _) => Some(BackupsError::NoOwner),
        (_, None) => Some(BackupsError::NoTarget { application: subject.name.clone() }),
        _ if subject.volumes.is_empty() => Some(BackupsError::NothingToKeep { application: subject.name.clone() }),
        _ => None,
    };
    Ok(lacks.map(|lacks| lacks.to_string()))
}

/// State of a track with its cause.
fn of_track(track: &Track, schedule: &Schedule, has_run: bool, wall: Timestamp) -> (State, Option<String>) {
    let track = scheduler::adopt(track, schedule, wall);
    match scheduler::standing(&track, schedule, wall) {
        Standing::Failed => {
            let cause = track.cause.unwrap_or_default();
            (State::Failed, Some(format!("{cause} (tried {} times, and again)", track.failures)))
        }
        Standing::Late => {
            let moment = track.settled.and_then(|settled| schedule.next_after(settled));
            let moment = moment.map(Timestamp::to_rfc3339).unwrap_or_default();
            (State::Late, Some(format!("it was due at {moment}, and other work came first")))
        }
        Standing::Ok if has_run => (State::Ok, None),
        Standing::Ok => (State::Waiting, None),
    }
}

/// State of the last backup of a removed application.
fn last_state(record: &Record, awaits_last: bool) -> (State, Option<String>) {
    match &record.backup.cause {
        _ if !awaits_last => (State::Ok, None),
        Some(cause) => (State::Failed, Some(format!("its data stay until its last backup is made: {cause}"))),
        None => (State::Waiting, None),
    }
}

fn drill(drilled: Drilled) -> views::Drill {
    let Drilled { backup, of, at, bytes, took_ms, fault } = drilled;
    views::Drill { backup, of, at, bytes, took_ms, fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text.as_bytes()).unwrap()
    }

    #[test]
    fn states_and_causes_of_a_schedule() {
        let schedule: Schedule = "0 3 * * *".parse().unwrap();
        let track = scheduler::adopt(&Track::default(), &schedule, at("2026-11-29T01:00:00Z"));
        let of = |track: &Track, has_run, when: &str| of_track(track, &schedule, has_run, at(when));
        assert_eq!(of(&track, false, "2026-11-29T02:00:00Z"), (State::Waiting, None));
        assert_eq!(of(&track, true, "2026-11-29T02:00:00Z"), (State::Ok, None));
        assert_eq!(of(&track, true, "2026-11-29T03:59:00Z").0, State::Ok, "half an hour is a queue");
        let (late, cause) = of(&track, true, "2026-11-29T04:00:00Z");
        assert!(late == State::Late && cause.unwrap().contains("2026-11-29T03:00:00"));
        let failed = scheduler::failed(&track, "no room");
        let (state, cause) = of(&failed, true, "2026-11-29T03:00:00Z");
        assert!(state == State::Failed && cause.unwrap().contains("no room (tried 1 times"));
    }

    #[test]
    fn missed_moments_and_the_next_attempt_are_told() {
        let schedule: Schedule = "0 3 * * *".parse().unwrap();
        let track = scheduler::adopt(&Track::default(), &schedule, at("2026-11-29T01:00:00Z"));
        let now = Clocks { wall: at("2026-12-01T12:00:00Z"), steady_ms: 100_000 };
        let due = Moments::of(&track, Some(&schedule), None, now);
        let (first, next) = (at("2026-11-29T03:00:00Z"), at("2026-12-02T03:00:00Z"));
        assert_eq!(due, Moments { next: Some(next), due_since: Some(first), missed: 3, again_in_ms: Some(0) });
        let failed = scheduler::failed(&track, "no room");
        let paused = Moments::of(&failed, Some(&schedule), Some(90_000), now);
        assert_eq!((paused.missed, paused.again_in_ms), (3, Some(50_000)));
        let settled = Moments::of(&scheduler::done(&track, now.wall), Some(&schedule), None, now);
        assert_eq!(settled, Moments { next: Some(next), ..Moments::default() });
        assert_eq!(Moments::of(&track, None, None, now), Moments::default());
    }

    #[test]
    fn the_last_backup_of_a_removed_application_is_awaited_with_its_cause() {
        let mut record = Record::default();
        assert_eq!(last_state(&record, true), (State::Waiting, None));
        record.backup = scheduler::failed(&record.backup, "no target");
        assert_eq!(last_state(&record, true).0, State::Failed);
        assert_eq!(last_state(&record, false), (State::Ok, None));
    }
}
