//! Acts that take long: backups, drills, restores. Each has a thread of its own, with a lower priority than anything else of the agent.
//!
//! At most one act at a time is about an application, and few in all: each holds an index and some packs in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use openmesh_backup::Meter;
use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use tokio::sync::watch;

use crate::backups::error::BackupsError;
use crate::backups::views::{self, JobKind};
use crate::error::AgentError;

/// Acts at once, at most: each holds the index of a repository and up to some 100 MiB of packs and chunks.
pub(crate) const JOBS_MAX: usize = 4;
/// Ended acts that are remembered: whoever asked for one asks for its end within some hours.
const ENDED_MAX: usize = 64;
/// Nice value added to that of the agent: applications and the agent's own answers come first.
const NICE: i32 = 15;

/// Whoever begins what the schedule wants.
pub(crate) const SCHEDULE: &str = "schedule";

/// Result of an act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Words for a person.
    pub text: String,
    /// The backup that was made or used.
    pub backup: Option<String>,
    /// The generation that was made, and the sequence of the history from which it can be followed.
    pub generation: Option<(u64, u64)>,
}

/// An act.
pub(crate) struct Job {
    number: u64,
    /// Its kind.
    pub kind: JobKind,
    /// The application that it is about.
    pub application: Option<Name>,
    /// Whoever asked for it.
    pub by: String,
    /// Its begin.
    pub begun: Timestamp,
    /// Meter of its bytes, by which it is stopped as well.
    pub meter: Arc<Meter>,
    all_bytes: AtomicU64,
    phase: Mutex<String>,
    stop: watch::Sender<bool>,
    end: watch::Sender<Option<views::Ended>>,
}

impl Job {
    /// Says what is being done now.
    pub fn say(&self, phase: impl Into<String>) {
        *lock(&self.phase) = phase.into();
    }

    /// Adds bytes that are to be done.
    pub fn expect(&self, bytes: u64) {
        self.all_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends it at its next chunk, pack or wait.
    pub fn cancel(&self) {
        self.meter.stop();
        self.stop.send_replace(true);
    }

    /// Fails where it was stopped.
    ///
    /// # Errors
    /// It was.
    pub fn check(&self) -> Result<(), AgentError> {
        if self.meter.is_stopped() { Err(BackupsError::Cancelled.into()) } else { Ok(()) }
    }

    /// Waits until somebody stops it.
    pub async fn cancelled(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as the job does.
        let _stopped = stop.wait_for(|stopped| *stopped).await.is_ok();
    }

    fn is_over(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Hears of its end.
    pub fn follow(&self) -> watch::Receiver<Option<views::Ended>> {
        self.end.subscribe()
    }

    /// The act as it is now.
    pub fn view(&self) -> views::Job {
        let ended = self.end.borrow().clone();
        views::Job {
            number: self.number,
            kind: self.kind,
            application: self.application.as_ref().map(ToString::to_string),
            by: self.by.clone(),
            begun: self.begun,
            phase: lock(&self.phase).clone(),
            bytes: self.meter.done_bytes(),
            all_bytes: self.all_bytes.load(Ordering::Relaxed),
            ended,
        }
    }

    fn finish(&self, outcome: Result<Done, AgentError>) {
        let at = Timestamp::now();
        let ended = match outcome {
            Ok(done) => views::Ended {
                at,
                ok: true,
                text: done.text,
                code: None,
                backup: done.backup,
                generation: done.generation.map(|(number, _)| number),
                events: done.generation.map(|(_, events)| events),
            },
            Err(error) => views::Ended {
                at,
                ok: false,
                text: error.to_string(),
                code: Some(error.code().0.into()),
                backup: None,
                generation: None,
                events: None,
            },
        };
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            end.get_or_insert(ended);
            first
        });
    }
}

/// Lets an act end even where its thread ends by a fault of the program.
struct Ends(Arc<Job>);

impl Drop for Ends {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.finish(Err(AgentError::Worker));
        }
    }
}

#[derive(Default)]
struct Inner {
    last: u64,
    jobs: VecDeque<Arc<Job>>,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

/// Acts of an agent.
#[derive(Default)]
pub(crate) struct Jobs {
    inner: Mutex<Inner>,
}

impl Jobs {
    /// Begins an act, and returns it at once.
    ///
    /// # Errors
    /// The application has one already, there are too many, the agent leaves, or the system gives no thread.
    pub fn begin(
        &self,
        kind: JobKind,
        application: Option<&Name>,
        by: &str,
        act: impl FnOnce(&Job) -> Result<Done, AgentError> + Send + 'static,
    ) -> Result<Arc<Job>, AgentError> {
        let mut inner = lock(&self.inner);
        check(&inner, kind, application)?;
        inner.last += 1;
        let job = Arc::new(Job {
            number: inner.last,
            kind,
            application: application.cloned(),
            by: by.to_string(),
            begun: Timestamp::now(),
            meter: Arc::new(Meter::new()),
            all_bytes: AtomicU64::new(0),
            phase: Mutex::new("begins".into()),
            stop: watch::Sender::new(false),
            end: watch::Sender::new(None),
        });
        let own = job.clone();
        let work = move || {
            let _ends = Ends(own.clone());
            if let Ok(nice) = openmesh_threads::behind(NICE) {
                openmesh_threads::step_back(nice);
            }
            let outcome = act(&own);
            own.finish(outcome);
        };
        let thread = Builder::new().name("backups-job".into()).spawn(work);
        let thread = thread.map_err(AgentError::file("starting", "a thread for it"))?;
        inner.threads.retain(|thread| !thread.is_finished());
        inner.threads.push(thread);
        inner.jobs.push_back(job.clone());
        let over = inner.jobs.iter().filter(|job| job.is_over()).count();
        if over > ENDED_MAX
            && let Some(at) = inner.jobs.iter().position(|job| job.is_over())
        {
            inner.jobs.remove(at);
        }
        Ok(job)
    }

    /// All that are remembered, the oldest first.
    pub fn all(&self) -> Vec<Arc<Job>> {
        lock(&self.inner).jobs.iter().cloned().collect()
    }

    /// Those that are under way.
    pub fn running(&self) -> Vec<Arc<Job>> {
        self.all().into_iter().filter(|job| !job.is_over()).collect()
    }

    /// An act by its number.
    ///
    /// # Errors
    /// It is not known.
    pub fn find(&self, number: u64) -> Result<Arc<Job>, AgentError> {
        let found = lock(&self.inner).jobs.iter().find(|job| job.number == number).cloned();
        found.ok_or_else(|| BackupsError::NoJob { number }.into())
    }

    /// Stops the acts that are about applications of some names.
    pub fn stop(&self, is_meant: impl Fn(&Name) -> bool) {
        let meant = |job: &Arc<Job>| job.application.as_ref().is_some_and(&is_meant);
        self.running().into_iter().filter(meant).for_each(|job| job.cancel());
    }

    /// Takes no more acts, and stops those that are under way.
    pub fn close(&self) {
        lock(&self.inner).closed = true;
        self.running().iter().for_each(|job| job.cancel());
    }

    /// Waits until no thread is left.
    pub fn join(&self) {
        let threads = std::mem::take(&mut lock(&self.inner).threads);
        for thread in threads {
            // A panic was told by the job's end.
            let _ = thread.join();
        }
    }
}

/// Holds a new act against those under way.
fn check(inner: &Inner, kind: JobKind, application: Option<&Name>) -> Result<(), BackupsError> {
    if inner.closed {
        return Err(BackupsError::Leaving);
    }
    let running: Vec<&Arc<Job>> = inner.jobs.iter().filter(|job| !job.is_over()).collect();
    // A machine is restored alone, and so is a target tended.
    let meets = |job: &&&Arc<Job>| match (kind, job.kind) {
        (JobKind::Machine, _) | (_, JobKind::Machine) => true,
        (JobKind::Tend, JobKind::Tend) | (JobKind::Describe, JobKind::Describe) => true,
        _ => application.is_some() && job.application.as_ref() == application,
    };
    if let Some(job) = running.iter().find(meets) {
        let name = job.application.as_ref().or(application).map_or("the machine".into(), ToString::to_string);
        return Err(BackupsError::Busy { application: name, doing: job.kind.words().into(), number: job.number });
    }
    if running.len() >= JOBS_MAX {
        return Err(BackupsError::TooMany { most: JOBS_MAX });
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn ended(job: &Job) -> views::Ended {
        let mut end = job.follow();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { end.wait_for(Option::is_some).await.unwrap().clone().unwrap() })
    }

    #[test]
    fn one_act_at_a_time_for_an_application_and_each_tells_its_end() {
        let jobs = Jobs::default();
        let (go, wait) = mpsc::channel::<()>();
        let first = jobs.begin(JobKind::Backup, Some(&name("web")), "ann", move |job| {
            job.say("reads");
            job.expect(10);
            wait.recv().unwrap();
            Ok(Done { text: "done".into(), backup: Some("ab".into()), generation: Some((3, 9)) })
        });
        let first = first.unwrap();
        let second = jobs.begin(JobKind::Restore, Some(&name("web")), "ann", |_| Ok(Done::default()));
        let Err(AgentError::Backups(BackupsError::Busy { number: 1, .. })) = second else { panic!("a second one") };
        let other = jobs.begin(JobKind::Drill, Some(&name("db")), "ann", |_| Err(BackupsError::NoOwner.into()));
        let other = ended(&other.unwrap());
        assert_eq!((other.ok, other.code.as_deref()), (false, Some("no_owner")));
        go.send(()).unwrap();
        let end = ended(&first);
        assert_eq!((end.ok, end.backup.as_deref(), end.generation, end.events), (true, Some("ab"), Some(3), Some(9)));
        let view = jobs.find(1).unwrap().view();
        assert_eq!((view.phase.as_str(), view.all_bytes, view.ended), ("reads", 10, Some(end)));
        assert!(matches!(jobs.find(9), Err(AgentError::Backups(BackupsError::NoJob { number: 9 }))));
        assert!(jobs.begin(JobKind::Backup, Some(&name("web")), "ann", |_| Ok(Done::default())).is_ok());
        jobs.join();
    }

    #[test]
    fn acts_of_one_application_are_stopped_and_those_of_another_go_on() {
        let jobs = Jobs::default();
        let (go, wait) = mpsc::channel::<()>();
        let other = jobs.begin(JobKind::Backup, Some(&name("db")), "ann", move |job| {
            wait.recv().unwrap();
            job.check().map(|()| Done::default())
        });
        let meant = jobs.begin(JobKind::Drill, Some(&name("web")), "ann", |job| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(job.cancelled());
            job.check().map(|()| Done::default())
        });
        jobs.stop(|name| name.as_str() == "web");
        assert_eq!(ended(&meant.unwrap()).code.as_deref(), Some("cancelled"));
        go.send(()).unwrap();
        assert!(ended(&other.unwrap()).ok);
        jobs.join();
    }

    #[test]
    fn acts_are_stopped_and_none_begins_once_the_agent_leaves() {
        let jobs = Jobs::default();
        let job = jobs.begin(JobKind::Backup, Some(&name("web")), SCHEDULE, |job| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(job.cancelled());
            job.check().map(|()| Done::default())
        });
        let job = job.unwrap();
        jobs.close();
        assert_eq!(ended(&job).code.as_deref(), Some("cancelled"));
        let late = jobs.begin(JobKind::Backup, Some(&name("db")), "ann", |_| Ok(Done::default()));
        assert!(matches!(late, Err(AgentError::Backups(BackupsError::Leaving))));
        jobs.join();
    }

    #[test]
    fn a_machine_is_restored_alone_and_ended_acts_are_forgotten_in_the_end() {
        let jobs = Jobs::default();
        let (go, wait) = mpsc::channel::<()>();
        let machine = jobs.begin(JobKind::Machine, None, "ann", move |_| {
            wait.recv().unwrap();
            Ok(Done::default())
        });
        assert!(jobs.begin(JobKind::Backup, Some(&name("web")), "ann", |_| Ok(Done::default())).is_err());
        go.send(()).unwrap();
        ended(&machine.unwrap());
        for _ in 0..ENDED_MAX + 10 {
            ended(&jobs.begin(JobKind::Tend, None, "ann", |_| Ok(Done::default())).unwrap());
        }
        assert!(jobs.all().len() <= ENDED_MAX + 2);
        jobs.join();
    }
}
