//! Backups of applications: made by schedule, proved by drills, restored (section 9 of `docs/spec/backup.md`).
//!
//! # What it owns
//! Keys of repositories, moments, records of what was made, and the order of a backup: stand still, clone, go on, store. The format and every act on a
//! repository are those of `openmesh-backup`, the clones those of `openmesh-volume`.
//!
//! ```text
//! scheduler (pure) ─► job: pause ─ stills ─ resume ─► snapshot of each volume ─► description ─► retention      backup
//! description ─► scratch in the volume ─► line ─► generation that chooses it                                   restore
//! ```
//!
//! # Shape
//! One thread looks at schedules; each act has a thread of its own, of low priority, at most one at a time for an application. Acts share nothing but files
//! and their meters.
//!
//! # On failure
//! A backup that breaks off leaves nothing that is seen: its description is stored last. An application that stands still when the agent dies goes on as soon
//! as the agent is back. A line that no generation came to choose is dropped by the next start. Whatever failed is tried again with growing pauses, and is
//! said in the state of the application until it has succeeded.
//!
//! # Known limits
//! On ext4 a clone is a copy, for which the application stands still. While a backup reads a still, what the application overwrites takes room in its volume
//! twice.

mod describe;
pub(crate) mod drill;
mod error;
mod find;
pub(crate) mod head;
mod jobs;
mod keys;
mod machine;
pub(crate) mod make;
mod pause;
mod records;
pub(crate) mod restore;
mod retain;
mod room;
mod runs;
pub mod scheduler;
pub(crate) mod scratch;
mod state;
mod status;
pub(crate) mod subject;
pub(crate) mod targets;
pub mod views;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use openmesh_blueprint::document::{Name, Schedule, Store};
use openmesh_primitives::Timestamp;
use tokio::runtime::Handle;

pub(crate) use drill::tidy as end_drills;
pub use error::BackupsError;
pub(crate) use find::list;
pub(crate) use jobs::{Done, Job, SCHEDULE};
pub(crate) use keys::fresh_mark;
pub(crate) use machine::{check_fresh, plan as plan_machine};
pub(crate) use state::{Backups, stop_removed};
pub(crate) use status::{overview, troubles};
pub(crate) use subject::volume_id;
pub(crate) use targets::open_target;

use crate::error::AgentError;
use crate::service::Service;
use crate::views::EventKind;
use records::Ended;
use scheduler::{Clocks, Track, Turn};
use subject::Subject;
use views::{JobKind, MachineRequest, RestoreRequest};

/// Longest time between two looks at the schedules: the wall clock may be set at any time, and a schedule is to the minute.
const LOOK: Duration = Duration::from_secs(15);
/// Pause after a description could not be stored, milliseconds.
const DESCRIBE_AGAIN_MS: u64 = 300_000;
/// Pause after a target could not be tended, milliseconds.
const TEND_AGAIN_MS: u64 = 3_600_000;

/// Ends what a dead agent has left half done, before anybody can ask for an act, and starts the thread that looks at schedules. Called on a thread of a runtime
/// with several.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start(service: Arc<Service>) -> Result<JoinHandle<()>, AgentError> {
    tokio::task::block_in_place(|| recover(&service));
    let work = move || {
        while !service.backups().is_leaving() {
            if let Err(error) = look(&service) {
                tracing::warn!(%error, "the schedules of backups could not be looked at");
            }
            service.backups().sleep(LOOK);
        }
        service.backups().jobs.join();
    };
    Builder::new().name("backups".into()).spawn(work).map_err(AgentError::file("starting", "the thread of backups"))
}

/// Ends what a dead agent has left half done.
fn recover(service: &Service) {
    for (what, done) in [
        ("letting paused applications go on", pause::recover(service)),
        ("dropping restored lines that nobody chose", restore::recover(service)),
        ("removing clones and half restored data from volumes", scratch::recover(service)),
        ("removing the volumes of drills", drill::tidy(service)),
    ] {
        if let Err(error) = done {
            service.history().note(EventKind::Failed, service.wanted().unwrap_or(0), None, format!("{what}: {error}"));
        }
    }
}

/// An act that is due.
struct Due {
    moment: Timestamp,
    kind: JobKind,
    name: Name,
    store: Option<Store>,
}

/// Looks at every schedule, and begins the act that is due for longest. One at a time: what the machine does by itself leaves room for people.
fn look(service: &Arc<Service>) -> Result<(), AgentError> {
    let backups = service.backups();
    // What could not be thawed stands still, and is tried again each time.
    if let Err(error) = pause::recover(service) {
        tracing::error!(%error, "an application was paused for a backup and could not be thawed");
    }
    let mut due = Vec::new();
    let now = Clocks { wall: Timestamp::now(), steady_ms: backups.steady_ms() };
    let subjects = subject::all(service)?;
    for subject in &subjects {
        match due_of(service, subject, now) {
            Ok(found) => due.extend(found),
            // The others have their backups meanwhile; its state says why it has none.
            Err(error) => tracing::warn!(application = %subject.name, %error, "its schedule could not be looked at"),
        }
    }
    due.extend(targets_due(service, &subjects, now)?);
    due.extend(descriptions_due(service, now)?);
    if backups.jobs.running().iter().any(|job| job.by == SCHEDULE || job.kind == JobKind::Machine) {
        return Ok(());
    }
    let busy = backups.jobs.running();
    due.retain(|due| !busy.iter().any(|job| job.application.as_ref() == Some(&due.name)));
    let Some(first) = due.into_iter().min_by_key(|due| (due.moment, due.kind)) else { return Ok(()) };
    let begun = match (first.kind, first.store) {
        (JobKind::Backup, _) => back_up(service, &first.name, SCHEDULE),
        (JobKind::Drill, _) => drill(service, &first.name, None, SCHEDULE),
        (JobKind::Describe, Some(store)) => describe(service, &first.name, store, SCHEDULE),
        (_, Some(store)) => tend(service, &first.name, store, SCHEDULE),
        _ => return Ok(()),
    };
    match begun {
        // A person was faster; or everything is busy, and it is looked at again when something ends.
        Ok(_)
        | Err(AgentError::Backups(BackupsError::Busy { .. } | BackupsError::TooMany { .. } | BackupsError::Leaving)) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Acts of an application that are due; its tracks are brought to this moment.
fn due_of(service: &Service, subject: &Subject, now: Clocks) -> Result<Vec<Due>, AgentError> {
    let (backups, name) = (service.backups(), &subject.name);
    let record = backups.records.change(name, |record| {
        if let Some(schedule) = &subject.schedule {
            record.backup = scheduler::adopt(&record.backup, schedule, now.wall);
        }
        if let Some(schedule) = &subject.drill {
            record.drill = scheduler::adopt(&record.drill, schedule, now.wall);
        }
    })?;
    let mut due = Vec::new();
    let mut add = |moment, kind| due.push(Due { moment, kind, name: name.clone(), store: None });
    let run = |track: &Track, schedule: Option<&Schedule>, kind| match scheduler::turn(
        track,
        schedule?,
        backups.tried(name, kind),
        now,
    ) {
        Turn::Run { moment, .. } => Some(moment),
        Turn::Wait(_) | Turn::Pause { .. } => None,
    };
    if let Some(moment) = run(&record.backup, subject.schedule.as_ref(), JobKind::Backup) {
        add(moment, JobKind::Backup);
    }
    // Without a backup there is nothing to try.
    if let Some(moment) = run(&record.drill, subject.drill.as_ref(), JobKind::Drill).filter(|_| record.last.is_some()) {
        add(moment, JobKind::Drill);
    }
    if let Some(since) = subject.removed.filter(|_| !subject.volumes.is_empty()) {
        let left_ms = scheduler::left_ms(&record.backup, backups.tried(name, JobKind::Backup), now.steady_ms);
        if left_ms == 0 && subject::last(service, subject)? == subject::Last::Due {
            add(since, JobKind::Backup);
        }
    }
    Ok(due)
}

/// Targets that are to be tended.
fn targets_due(service: &Service, subjects: &[Subject], now: Clocks) -> Result<Vec<Due>, AgentError> {
    let backups = service.backups();
    let targets = subjects.iter().filter_map(|subject| subject.target.as_ref());
    let used: BTreeMap<&Name, &Store> = targets.map(|target| (&target.0, &target.1)).collect();
    let mut due = Vec::new();
    for (name, store) in used {
        let record = backups.records.target(name)?;
        let rested =
            backups.tried(name, JobKind::Tend).is_none_or(|at| now.steady_ms.saturating_sub(at) >= TEND_AGAIN_MS);
        if !record.repository.is_empty() && rested && retain::is_due(record.tended, now.wall) {
            let moment =
                record.tended.map_or(now.wall, |tended| Timestamp(tended.nanos().saturating_add(retain::TEND_NANOS)));
            due.push(Due {
                moment: moment.min(now.wall),
                kind: JobKind::Tend,
                name: name.clone(),
                store: Some(store.clone()),
            });
        }
    }
    Ok(due)
}

/// Places that do not have the present description of the machine. Without an owner's key nobody could open it.
fn descriptions_due(service: &Service, now: Clocks) -> Result<Vec<Due>, AgentError> {
    let backups = service.backups();
    let stores = subject::present(service)?.map(|present| present.portable.backups).unwrap_or_default();
    if stores.is_empty() || backups.keys.owner()?.is_none() {
        return Ok(Vec::new());
    }
    let fingerprint = describe::fingerprint(service)?;
    let mut due = Vec::new();
    for (name, store) in stores {
        let tried = backups.tried(&name, JobKind::Describe);
        let rested = tried.is_none_or(|at| now.steady_ms.saturating_sub(at) >= DESCRIBE_AGAIN_MS);
        if describe::is_due(&store, &backups.records.target(&name)?, fingerprint.as_deref()) && rested {
            due.push(Due { moment: now.wall, kind: JobKind::Describe, name, store: Some(store) });
        }
    }
    Ok(due)
}

/// Refuses a removal that is to keep a last backup where none could be made: it would be said too late, and the data would stay for ever.
///
/// # Errors
/// No owner's key is set, or the application has no place for backups.
pub(crate) fn check_removal(service: &Service, name: &Name) -> Result<(), AgentError> {
    let subject = subject::find(service, name)?;
    if !subject.volumes.is_empty() {
        subject.target()?;
        service.backups().keys.recipients()?;
    }
    Ok(())
}

/// Begins a backup of an application.
///
/// # Errors
/// Something is being done with it already, or the agent leaves; that it cannot be made is the act's end.
pub(crate) fn back_up(service: &Arc<Service>, name: &Name, by: &str) -> Result<Arc<Job>, AgentError> {
    let (own, own_name) = (service.clone(), name.clone());
    service.backups().jobs.begin(JobKind::Backup, Some(name), by, move |job| {
        let done = make::make(&own, job, &own_name);
        settle(&own, job, &own_name, &done);
        done
    })
}

/// Begins a drill.
///
/// # Errors
/// As [`back_up`].
pub(crate) fn drill(
    service: &Arc<Service>,
    name: &Name,
    backup: Option<String>,
    by: &str,
) -> Result<Arc<Job>, AgentError> {
    let (own, own_name) = (service.clone(), name.clone());
    service.backups().jobs.begin(JobKind::Drill, Some(name), by, move |job| {
        let done = drill::drill(&own, job, &own_name, backup.as_deref());
        settle(&own, job, &own_name, &done);
        done
    })
}

/// Begins a restore of an application's data.
///
/// # Errors
/// As [`back_up`].
pub(crate) fn restore(
    service: &Arc<Service>,
    name: &Name,
    request: RestoreRequest,
    by: &str,
) -> Result<Arc<Job>, AgentError> {
    let (own, own_name, runtime) = (service.clone(), name.clone(), Handle::current());
    service.backups().jobs.begin(JobKind::Restore, Some(name), by, move |job| {
        let done = restore::restore(&own, &runtime, job, &own_name, &request);
        settle(&own, job, &own_name, &done);
        done
    })
}

/// Begins the restore of a whole machine.
///
/// # Errors
/// As [`back_up`].
pub(crate) fn restore_machine(
    service: &Arc<Service>,
    request: MachineRequest,
    by: &str,
) -> Result<Arc<Job>, AgentError> {
    let (own, runtime) = (service.clone(), Handle::current());
    service.backups().jobs.begin(JobKind::Machine, None, by, move |job| {
        let done = machine::restore(&own, &runtime, job, &request);
        note(&own, job, None, &done);
        done
    })
}

/// Begins the care of a target.
fn tend(service: &Arc<Service>, name: &Name, store: Store, by: &str) -> Result<Arc<Job>, AgentError> {
    let (own, own_name) = (service.clone(), name.clone());
    service.backups().jobs.begin(JobKind::Tend, None, by, move |job| {
        let done = open_target(&own, &own_name, &store).and_then(|target| retain::tend(&own, job, &target));
        own.backups().note_try(&own_name, JobKind::Tend);
        note(&own, job, None, &done);
        done
    })
}

/// Begins to store the description of the machine in a target.
fn describe(service: &Arc<Service>, name: &Name, store: Store, by: &str) -> Result<Arc<Job>, AgentError> {
    let (own, own_name) = (service.clone(), name.clone());
    service.backups().jobs.begin(JobKind::Describe, None, by, move |job| {
        let before = own.backups().records.target(&own_name).ok().and_then(|record| record.cause);
        let done = describe::describe(&own, job, &own_name, &store);
        // One that was stored makes way for the next change at once; a failure waits.
        if done.is_err() {
            own.backups().note_try(&own_name, JobKind::Describe);
        }
        own.backups().look_now();
        // A place that is away is told once, and not with every try.
        let is_told = done.as_ref().is_err_and(|error| before.as_deref() == Some(error.to_string().as_str()));
        if !is_told {
            note(&own, job, None, &done);
        }
        done
    })
}

/// Brings the record of an application to the end of an act, and the history.
fn settle(service: &Service, job: &Job, name: &Name, done: &Result<Done, AgentError>) {
    let leaves = service.backups().is_leaving();
    let text = match done {
        Ok(done) => done.text.clone(),
        Err(error) => error.to_string(),
    };
    let ended = Ended {
        kind: job.kind.words().into(),
        by: job.by.clone(),
        begun: job.begun,
        at: Timestamp::now(),
        ok: done.is_ok(),
        text,
    };
    let changed = service.backups().records.change(name, |record| {
        let track = match job.kind {
            JobKind::Backup => Some(&mut record.backup),
            JobKind::Drill => Some(&mut record.drill),
            JobKind::Restore | JobKind::Machine | JobKind::Tend | JobKind::Describe | JobKind::Move => None,
        };
        if let Some(track) = track {
            *track = settled(track, job, done, leaves);
        }
        record.add(ended);
    });
    match changed {
        Ok(_) => service.backups().note_try(name, job.kind),
        Err(error) => {
            tracing::warn!(application = %name, %error, "the end of a backup, a drill or a restore is not in its record");
            service.backups().note_unsaved(name, job.kind);
        }
    }
    note(service, job, Some(name), done);
}

/// The track after an act. One that a person stopped is settled: nobody begins at once what somebody has just ended. One that the agent's leaving
/// stopped is neither done nor failed.
fn settled(track: &Track, job: &Job, done: &Result<Done, AgentError>, leaves: bool) -> Track {
    match done {
        Ok(_) => scheduler::done(track, job.begun),
        Err(AgentError::Backups(BackupsError::Cancelled)) if leaves => track.clone(),
        Err(AgentError::Backups(BackupsError::Cancelled)) => Track { settled: Some(job.begun), ..track.clone() },
        Err(error) => scheduler::failed(track, &error.to_string()),
    }
}

fn note(service: &Service, job: &Job, name: Option<&Name>, done: &Result<Done, AgentError>) {
    let number = service.wanted().unwrap_or(0);
    let name = name.map(ToString::to_string);
    match done {
        Ok(done) => service.history().note(EventKind::Done, number, name, done.text.clone()),
        Err(error) => {
            let text = format!("{}: {error}", job.kind.words());
            service.history().note(EventKind::Failed, number, name, text);
        }
    }
}
