//! Jobs for whoever asks for them: the plan at a switch, the clock, a person.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Job, Name, Wish};
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_primitives::Timestamp;
use openmesh_shim::Config as ShimConfig;
use openmesh_shim::protocol::{Action, Ending};

use super::Work;
use super::ends::{end_runs, job_names};
use super::runs::{Data, GRACE_MS, Place};
use crate::agent::{Agent, distinct};
use crate::error::XnodeError;
use crate::jobs::{Due, Run, RunOccasion, Scheduled, due};
use crate::marks::{self, Clock, DoorMark, FAILED_JOB, JobsMark, Trial};
use crate::paths::instance_name;
use crate::progress::Progress;
use crate::{Door, Machine, applications, shims};

/// Pause before a run is asked again whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Marks of ended switch jobs that are kept of one application: those of many versions.
const MARKS_MAX: usize = 256;

/// Returns true where everything of an instance stands beside which a run is made: bundle, namespaces and root. Its control group comes and goes with its runs.
fn stands(machine: &Machine, name: &Name, id: &InstanceId) -> bool {
    let (instance, folder) = (instance_name(name, id), machine.paths.instance(name, id));
    let root = machine.paths.root(&instance);
    let device = |path: &Path| fs::metadata(path).ok().map(|about| about.dev());
    let mounted = device(&root).is_some_and(|own| root.parent().and_then(device) != Some(own));
    machine.parts(&instance, &folder).join("bundle/config.json").exists()
        && mounted
        && machine.namespaces(&instance).are_there()
}

/// The instance beside which a run of an application is made: the first of the version that has its traffic, else the first that stands. None while the
/// application is held: a switch clones its data then, and what a run writes to the old line would be lost.
fn beside(machine: &Machine, name: &Name) -> Result<InstanceId, XnodeError> {
    let wrong = |words: &str| XnodeError::Instance { application: name.clone(), words: words.into() };
    let door: DoorMark = marks::read(&machine.paths.application(name).join("door.json"))?;
    if matches!(door, DoorMark::Holding | DoorMark::Maintenance) {
        return Err(wrong("it is being switched or held, and its data with it; a job can begin when it serves again"));
    }
    let found = applications::read(&machine.paths)?.instances.remove(name).unwrap_or_default();
    let serves =
        |id: &InstanceId| matches!(&door, DoorMark::Open { revision, .. } if *revision == id.revision.to_string());
    let mut there: Vec<InstanceId> =
        found.into_iter().filter(|(id, made)| made.is_some() && stands(machine, name, id)).map(|(id, _)| id).collect();
    there.sort_by_key(|id| (!serves(id), id.index));
    let first = there.into_iter().next();
    first.ok_or_else(|| wrong("it has no instance beside which a job could run; start it first"))
}

impl Work<'_> {
    /// Runs a job of a switch to its end, on the data of the new version: its first instance is made, and not started, and the job runs beside it. A success
    /// is a mark, and so is a failure, which lets the generation be refused, and come back. A run that was broken off from outside is told once, and the next
    /// attempt is a new run.
    pub(super) fn run_job(&self, name: &Name, revision: &Revision, job: &Name) -> Result<Progress, XnodeError> {
        let (machine, door) = (self.machine, self.door);
        let place = Place { machine, name, job };
        let missing = || place.wrong(format!("job {job} is not in the generation"));
        let resolved = self.generation.portable.applications.get(name).ok_or_else(missing)?;
        let wanted = resolved.application.jobs.get(job).ok_or_else(missing)?;
        let id = InstanceId { revision: revision.clone(), index: 0 };
        if !stands(machine, name, &id) {
            self.create(name, &id)?;
        }
        let _lock = place.lock()?;
        let last = place.tend(door)?;
        let ours = |run: &&Run| run.occasion == RunOccasion::Switch && run.revision == revision.to_string();
        match last.as_ref().map(|run| (run, run.end.as_ref())) {
            Some((_, None)) => return Ok(Progress::Wait(LOOK_AGAIN)),
            Some((run, Some(end))) if ours(&run) && end.is_success() => {
                return self.note_job(name, revision, job).map(|()| Progress::Done);
            }
            Some((run, Some(end))) if ours(&run) && !run.is_told => {
                // A death before the mark costs one more run; the other way round, a version that is wanted again would fail by its old run.
                place.write(&Run { is_told: true, ..run.clone() }, door)?;
                let words = format!("{} (run {}; its log is kept)", end.words, run.number);
                return match end.is_broken_off {
                    true => Err(place.wrong(format!("job {job} was broken off: {words}"))),
                    false => self.note_failed_job(name, revision, format!("job {job} has failed: {words}")),
                };
            }
            _ => {}
        }
        place.begin(&id, wanted, (RunOccasion::Switch, "agent"), &Data::new(), door)?;
        Ok(Progress::Wait(LOOK_AGAIN))
    }

    /// Marks a job of a switch as ended with 0.
    fn note_job(&self, name: &Name, revision: &Revision, job: &Name) -> Result<(), XnodeError> {
        let path = self.machine.paths.application(name).join("jobs.json");
        let mut ended: JobsMark = marks::read(&path)?;
        let revision = revision.to_string();
        if ended.len() >= MARKS_MAX {
            ended.retain(|(of, _)| *of == revision);
        }
        ended.insert((revision, job.to_string()));
        marks::write(&path, &ended, "jobs.mark", self.door)
    }

    /// Marks a version as one of which a job of the switch has failed.
    fn note_failed_job(&self, name: &Name, revision: &Revision, cause: String) -> Result<Progress, XnodeError> {
        let path = self.machine.paths.application(name).join(FAILED_JOB);
        let trial = Trial { of: revision.to_string(), failed: Some(cause), at: Some(Clock::now()), attempts: 1 };
        marks::write(&path, &trial, "jobs.failed", self.door)?;
        Ok(Progress::Done)
    }
}

/// A run with what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOf {
    /// Application.
    pub application: Name,
    /// Job.
    pub job: Name,
    /// The run.
    pub run: Run,
}

/// A job of the generation that serves, with its next moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Application.
    pub application: Name,
    /// Job.
    pub job: Name,
    /// The job as the document has it.
    pub wanted: Job,
    /// Its next moment; none without a schedule.
    pub next: Option<Timestamp>,
    /// It is due now.
    pub is_due: bool,
}

impl Agent {
    /// The generation whose jobs run by schedule and on demand: the one that serves.
    fn serving(&self) -> Result<Option<Arc<Generation>>, XnodeError> {
        let machine = self.machine();
        match marks::pointer(&machine.paths.current())? {
            0 => Ok(None),
            current => machine.memory.generations.generation(&machine.paths, current).map(Some),
        }
    }

    /// Jobs of the applications that serve and are wished to run. Marks of schedules that are seen for the first time are written.
    ///
    /// # Errors
    /// A generation or a mark cannot be read or written.
    pub fn jobs(&self, now: Timestamp, door: Door<'_>) -> Result<Vec<Planned>, XnodeError> {
        let Some(serving) = self.serving()? else { return Ok(Vec::new()) };
        let mut planned = Vec::new();
        for (name, resolved) in &serving.portable.applications {
            for (job, wanted) in &resolved.application.jobs {
                let place = Place { machine: self.machine(), name, job };
                let (mut moment, mut is_due) = (None, false);
                let runs = resolved.application.wish == Wish::Running;
                if let Some(schedule) = wanted.schedule.as_ref().filter(|_| runs) {
                    let path = place.folder().join("scheduled.json");
                    let before: Option<Scheduled> = marks::find(&path)?;
                    match due(schedule, before.as_ref(), now) {
                        Due::Now(_) => (moment, is_due) = (Some(now), true),
                        Due::Later(next, mark) => {
                            moment = next;
                            if before.as_ref() != Some(&mark) {
                                let _lock = place.lock()?;
                                marks::write(&path, &mark, "job.schedule", door)?;
                            }
                        }
                    }
                }
                let (application, job) = (name.clone(), job.clone());
                planned.push(Planned { application, job, wanted: wanted.clone(), next: moment, is_due });
            }
        }
        Ok(planned)
    }

    /// Begins a run of a job of the generation that serves. One that is due is noted as had before it begins: a death in between loses it, and never repeats it.
    ///
    /// # Errors
    /// There is no such job, it runs already, or the application has no instance; nothing runs then.
    pub fn begin_job(
        &self,
        name: &Name,
        job: &Name,
        new: (RunOccasion, &str),
        door: Door<'_>,
    ) -> Result<Run, XnodeError> {
        self.begin_job_with(name, job, new, &Data::new(), door)
    }

    /// Begins a run of a job on other data than its application's: `data` has folders of the host by those of the lines that its instances have. What the run
    /// writes comes to none of the application's own, and its other volumes can only be read.
    ///
    /// # Errors
    /// As [`Agent::begin_job`]; the instance does not have one of these lines.
    pub fn begin_job_on(
        &self,
        name: &Name,
        job: &Name,
        by: &str,
        data: &BTreeMap<PathBuf, PathBuf>,
        door: Door<'_>,
    ) -> Result<Run, XnodeError> {
        self.begin_job_with(name, job, (RunOccasion::Demand, by), data, door)
    }

    fn begin_job_with(
        &self,
        name: &Name,
        job: &Name,
        (occasion, by): (RunOccasion, &str),
        data: &Data,
        door: Door<'_>,
    ) -> Result<Run, XnodeError> {
        let place = Place { machine: self.machine(), name, job };
        let serving = self.serving()?;
        let resolved = serving.as_ref().and_then(|serving| serving.portable.applications.get(name));
        let resolved = resolved.ok_or_else(|| place.wrong("it does not serve, so it has no jobs"))?;
        let wanted = resolved.application.jobs.get(job).ok_or_else(|| {
            let known: Vec<String> = resolved.application.jobs.keys().map(ToString::to_string).collect();
            place.wrong(format!(
                "it has no job {job}; it has {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            ))
        })?;
        let _lock = place.lock()?;
        place.tend(door)?;
        place.check_free()?;
        let id = beside(self.machine(), name)?;
        if let Some(schedule) = wanted.schedule.as_ref().filter(|_| occasion == RunOccasion::Schedule) {
            let mark = Scheduled { schedule: schedule.to_string(), until: Timestamp::now() };
            marks::write(&place.folder().join("scheduled.json"), &mark, "job.schedule", door)?;
        }
        place.begin(&id, wanted, (occasion, by), data, door)
    }

    /// Looks after the runs of all applications. Returns those that have ended since the last look; those of a switch are the plan's.
    ///
    /// # Errors
    /// The folders cannot be read; what is wrong with one run is left for the next look.
    pub fn tend_jobs(&self, door: Door<'_>) -> Result<Vec<RunOf>, XnodeError> {
        let machine = self.machine();
        let mut ended = Vec::new();
        let present = self.present()?;
        let known = present.as_ref().map(|(wanted, serving)| distinct(Some(wanted), serving.as_deref()));
        let known = known.unwrap_or_default();
        // Their instances do not matter: a look that comes so often reads no notes.
        for folder in applications::names(&machine.paths.applications())? {
            let Ok(name) = folder.parse::<Name>() else { continue };
            if !known.iter().any(|generation| generation.portable.applications.contains_key(&name)) {
                end_runs(machine, &name, "its application was removed", door)?;
                continue;
            }
            for job in job_names(machine, &name)? {
                let place = Place { machine, name: &name, job: &job };
                let _lock = place.lock()?;
                let open = place.runs()?.pop().is_some_and(|run| run.end.is_none());
                // One whose shim does not answer is asked again.
                let Ok(Some(run)) = place.tend(door) else { continue };
                if open && run.end.is_some() {
                    ended.push(RunOf { application: name.clone(), job, run });
                }
            }
        }
        Ok(ended)
    }

    /// Runs of a job that are kept, the oldest first, each with the folder of its log.
    ///
    /// # Errors
    /// Their folder cannot be read.
    pub fn runs(&self, name: &Name, job: &Name) -> Result<Vec<(Run, PathBuf)>, XnodeError> {
        let place = Place { machine: self.machine(), name, job };
        let runs = place.runs()?.into_iter();
        Ok(runs.map(|run| (run.clone(), place.of(run.number).join("logs"))).collect())
    }

    /// Runs of an application that go on: name of each on this machine, by which its control group is found, and the configuration of its shim. Whoever pauses
    /// the writers of an application pauses these too.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn running_jobs(&self, name: &Name) -> Result<Vec<(String, ShimConfig)>, XnodeError> {
        let mut running = Vec::new();
        for job in job_names(self.machine(), name)? {
            let place = Place { machine: self.machine(), name, job: &job };
            for run in place.runs()?.into_iter().filter(|run| run.end.is_none()) {
                let config = shims::config(&place.of(run.number))?;
                running.extend(config.map(|config| (place.instance(run.number), config)));
            }
        }
        Ok(running)
    }

    /// The same by job and number.
    pub(crate) fn run_names(&self, name: &Name) -> Result<Vec<(Name, u64, String)>, XnodeError> {
        let mut running = Vec::new();
        for job in job_names(self.machine(), name)? {
            let place = Place { machine: self.machine(), name, job: &job };
            let runs = place.runs()?.into_iter().filter(|run| run.end.is_none());
            running.extend(runs.map(|run| (job.clone(), run.number, place.instance(run.number))));
        }
        Ok(running)
    }

    /// Asks the present run of a job to end. Returns false where none runs.
    ///
    /// # Errors
    /// Its shim does not answer.
    pub fn end_job(&self, name: &Name, job: &Name, door: Door<'_>) -> Result<bool, XnodeError> {
        let place = Place { machine: self.machine(), name, job };
        let _lock = place.lock()?;
        let Some(run) = place.tend(door)?.filter(|run| run.end.is_none()) else { return Ok(false) };
        place.ask(&place.of(run.number), Action::Stop(Ending { signal: None, grace_ms: Some(GRACE_MS) }), door)?;
        Ok(true)
    }
}
