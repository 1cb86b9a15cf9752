//! Runs of jobs made, looked after and cleared away.
//!
//! ```text
//! applications/NAME/runs/JOB/lock                  held while a run is begun or looked after
//!                           /scheduled.json        mark: moments that are past
//!                           /N/run.json            the run and its end
//!                             /bundle  shim.json   gone when it is cleared away
//!                             /logs
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Job, Name, Wish};
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::bundle;
use openmesh_cage::driver;
use openmesh_primitives::{Timestamp, sha256};
use openmesh_shim::protocol::{Action, Ending};
use openmesh_shim::restart::{RestartPolicy, RestartRule};
use openmesh_shim::{Config as ShimConfig, Helpers, Logs, Stop};

use super::Work;
use crate::agent::Agent;
use crate::error::XnodeError;
use crate::jobs::{
    Due, Next, RUN_LOG_BYTES_MAX, RUN_VERSION, RUNS_KEPT, Run, RunEnd, RunOccasion, RunShim, Scheduled, due, next,
};
use crate::marks::{self, Clock, DoorMark, JobsMark};
use crate::paths::instance_name;
use crate::progress::Progress;
use crate::shims::{self, Shim};
use crate::{Door, Machine, applications, machine};

/// Pause before a run is asked again whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Time between the asking signal and SIGKILL for a run whose time is over, milliseconds.
const GRACE_MS: u64 = 10_000;
/// Time in which a shim that was told to leave must have gone.
const LEAVING: Duration = Duration::from_secs(30);
/// Marks of ended switch jobs that are kept of one application: those of many versions.
const MARKS_MAX: usize = 256;
/// File of a run.
const RUN: &str = "run.json";

/// A job of an application, with its folder.
struct Place<'a> {
    machine: &'a Machine,
    name: &'a Name,
    job: &'a Name,
}

impl Place<'_> {
    fn folder(&self) -> PathBuf {
        self.machine.paths.application(self.name).join("runs").join(self.job.as_str())
    }

    fn of(&self, number: u64) -> PathBuf {
        self.folder().join(number.to_string())
    }

    fn wrong(&self, words: impl Into<String>) -> XnodeError {
        XnodeError::Instance { application: self.name.clone(), words: words.into() }
    }

    /// Name of a run on this machine. The name of an application has no `_`, so no instance has it.
    fn instance(&self, number: u64) -> String {
        let digest = sha256(&[self.job.as_str().as_bytes()]).to_string();
        format!("{}_{}.{number}", self.name, digest.get(..10).unwrap_or(&digest))
    }

    /// Holds the job: two never begin or clear away at once.
    fn lock(&self) -> Result<File, XnodeError> {
        let folder = self.folder();
        machine::make_folder(&folder).map_err(XnodeError::file("making", &folder))?;
        let path = folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(XnodeError::file("opening", &path))?;
        file.lock().map_err(XnodeError::file("locking", &path))?;
        Ok(file)
    }

    /// Runs that are kept, the oldest first. One whose file cannot be read is passed over: it holds up no other.
    fn runs(&self) -> Result<Vec<Run>, XnodeError> {
        let folder = self.folder();
        let entries = match fs::read_dir(&folder) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(XnodeError::file("reading", &folder))?,
        };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        let mut runs: Vec<Run> =
            numbers.filter_map(|number| marks::find(&self.of(number).join(RUN)).ok().flatten()).collect();
        runs.sort_by_key(|run| run.number);
        Ok(runs)
    }

    fn write(&self, run: &Run, door: Door<'_>) -> Result<(), XnodeError> {
        marks::write(&self.of(run.number).join(RUN), run, "job.run", door)
    }

    /// Begins a run beside an instance that stands. The run is noted before anything of it is made.
    fn begin(&self, id: &InstanceId, job: &Job, new: (RunOccasion, &str), door: Door<'_>) -> Result<Run, XnodeError> {
        let runs = self.runs()?;
        if let Some(run) = runs.last().filter(|run| run.end.is_none()) {
            return Err(self.wrong(format!(
                "job {} runs already, since {} (run {})",
                self.job,
                run.at.to_rfc3339(),
                run.number
            )));
        }
        let number = runs.last().map_or(0, |run| run.number) + 1;
        let mut run = Run {
            version: RUN_VERSION,
            number,
            occasion: new.0,
            by: new.1.to_string(),
            revision: id.revision.to_string(),
            at: Timestamp::now(),
            clock: Clock::now(),
            timeout_ms: job.timeout.0,
            is_late: false,
            is_told: false,
            end: None,
        };
        let folder = self.of(number);
        machine::make_folder(&folder).map_err(XnodeError::file("making", &folder))?;
        self.write(&run, door)?;
        if let Err(error) = self.make(&run, id, job, door) {
            run.end = Some(RunEnd::without_code(format!("it could not be begun: {error}"), Timestamp::now()));
            self.write(&run, door)?;
            self.clear(&run, door)?;
            return Err(error);
        }
        self.prune(&runs, door)?;
        Ok(run)
    }

    /// Makes the run's own parts and starts its shim: the bundle is the instance's with another command and another control group.
    fn make(&self, run: &Run, id: &InstanceId, job: &Job, door: Door<'_>) -> Result<(), XnodeError> {
        let (machine, instance, folder) = (self.machine, self.instance(run.number), self.of(run.number));
        let beside = machine.paths.instance(self.name, id).join("bundle");
        let mut config = bundle::read(&beside).map_err(XnodeError::file("reading", &beside))?;
        config.process.args.clone_from(&job.command);
        config.linux.cgroups_path = machine.group_path(&instance).to_string();
        let (at, run_folder) = (folder.join("bundle"), machine.paths.shim(&instance));
        for folder in [&at, &run_folder] {
            marks::through(door, "job.folder", || machine::make_folder(folder))
                .map_err(XnodeError::file("making", folder))?;
        }
        bundle::write(&config, &at, door).map_err(XnodeError::file("writing", &at))?;
        let group = machine.group(&instance);
        group.make(door)?;
        group.limit(&config.linux.resources, door)?;
        marks::write(&shims::config_file(&folder), &self.shim(run.number), "shim.config", door)?;
        shims::begin(machine, &folder, door)
    }

    fn shim(&self, number: u64) -> ShimConfig {
        let (machine, instance, folder) = (self.machine, self.instance(number), self.of(number));
        let container = machine.container(&instance, &folder);
        let commands = driver::commands(&*machine.driver, &container);
        let run = machine.paths.shim(&instance);
        ShimConfig {
            version: openmesh_shim::CONFIG_VERSION,
            name: format!("{}/{instance}", machine.agent),
            bundle: container.bundle,
            socket: run.join("socket"),
            pid_file: container.pid_file,
            state_directory: run,
            helpers: Helpers {
                create: commands.create,
                start: Some(commands.start),
                delete: Some(commands.delete),
                environment: BTreeMap::new(),
                held: false,
                ms_max: openmesh_shim::HELPER_MS_MAX,
            },
            logs: Logs { directory: folder.join("logs"), bytes_max: RUN_LOG_BYTES_MAX },
            restart: RestartRule::new(RestartPolicy::Never),
            stop: Stop { signal: "TERM".into(), grace_ms: GRACE_MS },
            oom_files: vec![machine.group(&instance).oom_file()],
        }
    }

    /// Looks after the last run: ends it when its time is over, notes its end, clears it away. Returns it as it is then; none where there is none.
    fn tend(&self, door: Door<'_>) -> Result<Option<Run>, XnodeError> {
        let Some(mut run) = self.runs()?.pop() else { return Ok(None) };
        if run.end.is_some() {
            self.clear(&run, door)?;
            return Ok(Some(run));
        }
        let folder = self.of(run.number);
        let shim = shims::find(&folder)?;
        let seen = match &shim {
            Shim::None => RunShim::None,
            Shim::Living(status) => RunShim::Living(status),
            Shim::Ended(status) => RunShim::Ended(status),
        };
        match next(&run, seen, run.clock.elapsed(), Timestamp::now()) {
            Next::Wait => {}
            Next::Stop => {
                run.is_late = true;
                self.write(&run, door)?;
                self.ask(&folder, Action::Stop(Ending { signal: None, grace_ms: Some(GRACE_MS) }), door)?;
            }
            Next::End(end) => {
                run.end = Some(end);
                self.write(&run, door)?;
                self.clear(&run, door)?;
            }
        }
        Ok(Some(run))
    }

    fn ask(&self, folder: &Path, action: Action, door: Door<'_>) -> Result<(), XnodeError> {
        let Some(config) = shims::config(folder)? else { return Ok(()) };
        let passed = || XnodeError::file("asking", &config.socket);
        door("job.ask").map_err(passed())?;
        shims::ask(&config, action)?;
        door("job.ask").map_err(passed())
    }

    /// Removes what a run was made of; its end and its log stay. The shim's configuration goes last: as long as it is there, this is to be done.
    fn clear(&self, run: &Run, door: Door<'_>) -> Result<(), XnodeError> {
        let (machine, instance, folder) = (self.machine, self.instance(run.number), self.of(run.number));
        let config = shims::config_file(&folder);
        let at = folder.join("bundle");
        if !config.exists() && !at.exists() {
            return Ok(());
        }
        if let Shim::Living(_) = shims::find(&folder)?
            && let Some(config) = shims::config(&folder)?
        {
            let passed = || XnodeError::file("asking", &config.socket);
            door("job.leave").map_err(passed())?;
            // It ends the run before itself, and says nothing once it has gone.
            let _ = shims::ask(&config, Action::Leave(Ending { signal: None, grace_ms: Some(0) }))?;
            let _ = shims::wait(&config, LEAVING, |_| false);
            door("job.leave").map_err(passed())?;
        }
        driver::delete(&*machine.driver, &machine.container(&instance, &folder), door)?;
        let group = machine.group(&instance);
        group.kill_all(door)?;
        group.remove(door)?;
        marks::remove(&machine.paths.shim(&instance), "shim.folder.remove", door)?;
        marks::remove(&at, "job.bundle.remove", door)?;
        marks::remove(&config, "job.config.remove", door)
    }

    /// Removes the oldest runs beyond those that are kept.
    fn prune(&self, runs: &[Run], door: Door<'_>) -> Result<(), XnodeError> {
        let beyond = (runs.len() + 1).saturating_sub(RUNS_KEPT);
        for run in runs.iter().take(beyond).filter(|run| run.end.is_some()) {
            self.clear(run, door)?;
            marks::remove(&self.of(run.number), "job.remove", door)?;
        }
        Ok(())
    }
}

/// Returns true where everything of an instance stands beside which a run is made: bundle, namespaces, control group and root.
fn stands(machine: &Machine, name: &Name, id: &InstanceId) -> bool {
    let (instance, folder) = (instance_name(name, id), machine.paths.instance(name, id));
    let root = machine.paths.root(&instance);
    let device = |path: &Path| fs::metadata(path).ok().map(|about| about.dev());
    let mounted = device(&root).is_some_and(|own| root.parent().and_then(device) != Some(own));
    let made = folder.join("bundle/config.json").exists() && machine.group(&instance).exists();
    made && mounted && machine.namespaces(&instance).are_there()
}

/// The instance beside which a run of an application is made: the first of the version that has its traffic, else the first that stands.
fn beside(machine: &Machine, name: &Name) -> Result<InstanceId, XnodeError> {
    let found = applications::read(&machine.paths)?.instances.remove(name).unwrap_or_default();
    let door: DoorMark = marks::read(&machine.paths.application(name).join("door.json"))?;
    let serves =
        |id: &InstanceId| matches!(&door, DoorMark::Open { revision, .. } if *revision == id.revision.to_string());
    let mut there: Vec<InstanceId> =
        found.into_iter().filter(|(id, made)| made.is_some() && stands(machine, name, id)).map(|(id, _)| id).collect();
    there.sort_by_key(|id| (!serves(id), id.index));
    there.into_iter().next().ok_or_else(|| XnodeError::Instance {
        application: name.clone(),
        words: "it has no instance beside which a job could run; start it first".into(),
    })
}

/// Ends every run of an application that goes, with the words for why. Ends and logs stay.
///
/// # Errors
/// The first failure; asking again goes on.
pub(crate) fn end_runs(machine: &Machine, name: &Name, words: &str, door: Door<'_>) -> Result<(), XnodeError> {
    for job in job_names(machine, name)? {
        let place = Place { machine, name, job: &job };
        let _lock = place.lock()?;
        for mut run in place.runs()? {
            if run.end.is_none() {
                run.end = Some(RunEnd::without_code(words, Timestamp::now()));
                place.write(&run, door)?;
            }
            place.clear(&run, door)?;
        }
    }
    Ok(())
}

/// Jobs of an application of which there are runs or marks.
fn job_names(machine: &Machine, name: &Name) -> Result<Vec<Name>, XnodeError> {
    let folder = machine.paths.application(name).join("runs");
    let entries = match fs::read_dir(&folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(XnodeError::file("reading", &folder))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

impl Work<'_> {
    /// Runs a job of a switch to its end, on the data of the new version: its first instance is made, and not started, and the job runs beside it. A success
    /// is a mark; a failure is told once, and the next attempt is a new run.
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
                let words = format!("job {job} has failed: {} (run {}; its log is kept)", end.words, run.number);
                place.write(&Run { is_told: true, ..run.clone() }, door)?;
                return Err(place.wrong(words));
            }
            _ => {}
        }
        place.begin(&id, wanted, (RunOccasion::Switch, "agent"), door)?;
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
    fn serving(&self) -> Result<Option<Generation>, XnodeError> {
        let paths = &self.machine().paths;
        match marks::pointer(&paths.current())? {
            0 => Ok(None),
            current => marks::generation(paths, current).map(Some),
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
        (occasion, by): (RunOccasion, &str),
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
        let id = beside(self.machine(), name)?;
        if let Some(schedule) = wanted.schedule.as_ref().filter(|_| occasion == RunOccasion::Schedule) {
            let mark = Scheduled { schedule: schedule.to_string(), until: Timestamp::now() };
            marks::write(&place.folder().join("scheduled.json"), &mark, "job.schedule", door)?;
        }
        place.begin(&id, wanted, (occasion, by), door)
    }

    /// Looks after the runs of all applications. Returns those that have ended since the last look; those of a switch are the plan's.
    ///
    /// # Errors
    /// The folders cannot be read; what is wrong with one run is left for the next look.
    pub fn tend_jobs(&self, door: Door<'_>) -> Result<Vec<RunOf>, XnodeError> {
        let machine = self.machine();
        let mut ended = Vec::new();
        let generations = self.generations()?;
        let known: Vec<&Generation> =
            generations.iter().flat_map(|(wanted, serving)| [wanted].into_iter().chain(serving)).collect();
        for name in applications::read(&machine.paths)?.instances.into_keys() {
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
