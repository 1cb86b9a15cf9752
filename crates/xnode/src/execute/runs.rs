//! Runs of one job: made, looked after, ended and cleared away.
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
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_blueprint::document::{Job, Name};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::config::Mount;
use openmesh_cage::{bundle, driver};
use openmesh_primitives::{Timestamp, sha256};
use openmesh_shim::protocol::{Action, Ending, State};
use openmesh_shim::restart::{RestartPolicy, RestartRule};
use openmesh_shim::{Config as ShimConfig, Helpers, Logs, Stop};

use crate::error::XnodeError;
use crate::jobs::{Next, RUN_LOG_BYTES_MAX, RUN_VERSION, RUNS_KEPT, Run, RunEnd, RunOccasion, RunShim, next};
use crate::marks::{self, Clock};
use crate::paths::instance_name;
use crate::shims::{self, Shim};
use crate::{Door, Machine, machine};

/// Time between the asking signal and SIGKILL for a run whose time is over, milliseconds.
pub(super) const GRACE_MS: u64 = 10_000;
/// The same for a run whose application is stopped: requests may be held meanwhile.
const STOP_GRACE_MS: u64 = 3_000;
/// Time for its end then.
const STOPPING: Duration = Duration::from_secs(5);
/// Time in which a shim that was told to leave must have gone.
const LEAVING: Duration = Duration::from_secs(30);
/// File of a run.
const RUN: &str = "run.json";

/// Data that a run has in place of its application's: folders of the host by those that the instance beside it has. Without an entry it has the
/// application's own.
pub(super) type Data = BTreeMap<PathBuf, PathBuf>;

/// A job of an application, with its folder.
pub(super) struct Place<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Application.
    pub name: &'a Name,
    /// Job.
    pub job: &'a Name,
}

impl Place<'_> {
    pub fn folder(&self) -> PathBuf {
        self.machine.paths.application(self.name).join("runs").join(self.job.as_str())
    }

    pub fn of(&self, number: u64) -> PathBuf {
        self.folder().join(number.to_string())
    }

    pub fn wrong(&self, words: impl Into<String>) -> XnodeError {
        XnodeError::Instance { application: self.name.clone(), words: words.into() }
    }

    /// Name of a run on this machine. The name of an application has no `_`, so no instance has it.
    pub fn instance(&self, number: u64) -> String {
        let digest = sha256(&[self.job.as_str().as_bytes()]).to_string();
        format!("{}_{}.{number}", self.name, digest.get(..10).unwrap_or(&digest))
    }

    /// Holds the job: two never begin or clear away at once.
    pub fn lock(&self) -> Result<File, XnodeError> {
        let folder = self.folder();
        // Looks come all the time: they write nothing.
        if !folder.is_dir() {
            machine::make_folder(&folder).map_err(XnodeError::file("making", &folder))?;
        }
        let path = folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(XnodeError::file("opening", &path))?;
        file.lock().map_err(XnodeError::file("locking", &path))?;
        Ok(file)
    }

    /// Numbers of the runs that have a folder, the lowest first.
    fn numbers(&self) -> Result<Vec<u64>, XnodeError> {
        let folder = self.folder();
        let entries = match fs::read_dir(&folder) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(XnodeError::file("reading", &folder))?,
        };
        let mut numbers: Vec<u64> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Runs that are kept, the oldest first. One whose file cannot be read is passed over: it holds up no other, and its number is given to none.
    pub fn runs(&self) -> Result<Vec<Run>, XnodeError> {
        let numbers = self.numbers()?.into_iter();
        Ok(numbers.filter_map(|number| marks::find(&self.of(number).join(RUN)).ok().flatten()).collect())
    }

    pub fn write(&self, run: &Run, door: Door<'_>) -> Result<(), XnodeError> {
        marks::write(&self.of(run.number).join(RUN), run, "job.run", door)
    }

    /// Fails as long as a run goes on.
    pub fn check_free(&self) -> Result<(), XnodeError> {
        match self.runs()?.last().filter(|run| run.end.is_none()) {
            Some(run) => {
                let since = run.at.to_rfc3339();
                Err(self.wrong(format!("job {} runs already, since {since} (run {})", self.job, run.number)))
            }
            None => Ok(()),
        }
    }

    /// Begins a run beside an instance that stands. The run is noted before anything of it is made.
    pub fn begin(
        &self,
        id: &InstanceId,
        job: &Job,
        new: (RunOccasion, &str),
        data: &Data,
        door: Door<'_>,
    ) -> Result<Run, XnodeError> {
        self.check_free()?;
        let runs = self.runs()?;
        let number = self.numbers()?.last().copied().unwrap_or(0) + 1;
        let mut run = Run {
            version: RUN_VERSION,
            number,
            occasion: new.0,
            by: new.1.to_string(),
            revision: id.revision.to_string(),
            instance: id.to_string(),
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
        if let Err(error) = self.make(&run, id, job, data, door) {
            run.end = Some(RunEnd::without_code(format!("it could not be begun: {error}"), Timestamp::now()));
            self.write(&run, door)?;
            self.clear(&run, door)?;
            return Err(error);
        }
        self.prune(&runs, door)?;
        Ok(run)
    }

    /// Makes the run's own parts and starts its shim: the bundle is the instance's with another command and another control group.
    fn make(&self, run: &Run, id: &InstanceId, job: &Job, data: &Data, door: Door<'_>) -> Result<(), XnodeError> {
        let (machine, instance, folder) = (self.machine, self.instance(run.number), self.of(run.number));
        let beside =
            machine.parts(&instance_name(self.name, id), &machine.paths.instance(self.name, id)).join("bundle");
        let mut config = bundle::read(&beside).map_err(XnodeError::file("reading", &beside))?;
        config.process.args.clone_from(&job.command);
        config.linux.cgroups_path = machine.group_path(&instance).to_string();
        self.replace_data(&mut config.mounts, data)?;
        let (at, run_folder) = (machine.parts(&instance, &folder).join("bundle"), machine.paths.shim(&instance));
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

    /// Mounts other data in place of the application's. Its other volumes can only be read then: nothing that such a run does comes to the application.
    fn replace_data(&self, mounts: &mut [Mount], data: &Data) -> Result<(), XnodeError> {
        let volumes = self.machine.volumes.root();
        let mut replaced = 0;
        for mount in mounts.iter_mut().filter(|mount| !data.is_empty() && Path::new(&mount.source).starts_with(volumes))
        {
            match data.get(Path::new(&mount.source)) {
                Some(other) => {
                    mount.source = other.display().to_string();
                    replaced += 1;
                }
                None => {
                    mount.options.retain(|option| option != "rw" && option != "ro");
                    mount.options.push("ro".into());
                }
            }
        }
        match replaced == data.len() {
            true => Ok(()),
            false => {
                Err(self.wrong("its instance has other lines of data than the job was to have replaced; try again"))
            }
        }
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
    pub fn tend(&self, door: Door<'_>) -> Result<Option<Run>, XnodeError> {
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

    pub fn ask(&self, folder: &Path, action: Action, door: Door<'_>) -> Result<(), XnodeError> {
        let Some(config) = shims::config(folder)? else { return Ok(()) };
        let passed = || XnodeError::file("asking", &config.socket);
        door("job.ask").map_err(passed())?;
        shims::ask(&config, action)?;
        door("job.ask").map_err(passed())
    }

    /// Asks a run to end, and waits within its short grace; what does not end is killed when it is cleared away.
    pub fn stop(&self, run: &Run, door: Door<'_>) -> Result<(), XnodeError> {
        let folder = self.of(run.number);
        if let (Shim::Living(_), Some(config)) = (shims::find(&folder)?, shims::config(&folder)?) {
            self.ask(&folder, Action::Stop(Ending { signal: None, grace_ms: Some(STOP_GRACE_MS) }), door)?;
            let _ = shims::wait(&config, STOPPING, |status| status.state == State::Stopped);
        }
        Ok(())
    }

    /// Removes what a run was made of; its end and its log stay. The shim's configuration goes last: as long as it is there, this is to be done.
    pub fn clear(&self, run: &Run, door: Door<'_>) -> Result<(), XnodeError> {
        let (machine, instance, folder) = (self.machine, self.instance(run.number), self.of(run.number));
        let config = shims::config_file(&folder);
        let at = machine.parts(&instance, &folder).join("bundle");
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
