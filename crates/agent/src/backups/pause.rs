//! An application that stands still for the moment of a clone: its control groups are frozen, and its shims know that this is wished.
//!
//! A mark on the disk comes first and goes last, so that an agent which died in between lets the application go on as soon as it is back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_shim::client::Client;
use openmesh_shim::protocol::Action;
use openmesh_shim::state::{Found, look};
use openmesh_xnode::paths::instance_name;
use openmesh_xnode::{Machine, marks, open};

use crate::backups::error::BackupsError;
use crate::error::AgentError;
use crate::service::Service;

/// Patience with the answer of a shim.
const ANSWER: Duration = Duration::from_secs(5);
/// Note of a pause, as people see it.
const NOTE: &str = "a backup is being made";

/// An instance that runs.
struct Running {
    /// Its name on this machine.
    name: String,
    config: openmesh_shim::Config,
}

/// Pauses an application, and lets it go on.
pub(crate) struct Pauser<'a> {
    service: &'a Service,
    application: Name,
    mark: PathBuf,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    instances: Vec<Running>,
    since: Option<Instant>,
    took: Duration,
}

impl<'a> Pauser<'a> {
    /// For an application, running or not.
    pub fn new(service: &'a Service, application: &Name) -> Pauser<'a> {
        let mark = mark(service, application);
        Pauser { service, application: application.clone(), mark, held: Mutex::default() }
    }

    /// Freezes every instance that runs. One that is frozen already stays as it is.
    ///
    /// # Errors
    /// One does not stand still; those before go on.
    pub fn pause(&self) -> io::Result<()> {
        let machine = self.service.agent().machine();
        let mut found = Vec::new();
        for instance in running(self.service, &self.application).map_err(|error| io::Error::other(error.to_string()))? {
            if !machine.group(&instance.name).frozen().map_err(|error| io::Error::other(error.to_string()))? {
                found.push(instance);
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let names: Vec<&String> = found.iter().map(|instance| &instance.name).collect();
        let bytes = serde_json::to_vec(&names).unwrap_or_default();
        marks::replace(&self.mark, &bytes)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.since = Some(Instant::now());
        for instance in found {
            let group = machine.group(&instance.name);
            // It is noted as held first: whatever fails from here on, it goes on by `resume`.
            let name = instance.name.clone();
            let socket = instance.config.socket.clone();
            held.instances.push(instance);
            let failed = |cause: String| io::Error::other(format!("{name}: {cause}"));
            let mut client = Client::connect(&socket, ANSWER).map_err(|error| failed(error.to_string()))?;
            let asked = client.ask(Action::Pause { note: NOTE.into() });
            asked.map_err(|error| failed(error.to_string()))?;
            // Without a group nothing of it runs, and its shim starts nothing now.
            if group.exists() {
                group.freeze(&open).map_err(|error| failed(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Lets everything go on that [`Pauser::pause`] froze. Done already: nothing changes.
    ///
    /// # Errors
    /// One cannot be thawed; the others are, and the mark stays, by which the agent tries again with every look at the schedules, and when it begins.
    pub fn resume(&self) -> io::Result<()> {
        let machine = self.service.agent().machine();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut result = Ok(());
        for instance in std::mem::take(&mut held.instances) {
            if let Err(error) = thaw(machine, &instance.name, &instance.config) {
                result = Err(error);
                held.instances.push(instance);
            }
        }
        let lasted = held.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        held.took += lasted;
        if result.is_ok() {
            remove(&self.mark)?;
        }
        result
    }

    /// Time for which it stood still.
    pub fn took(&self) -> Duration {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).took
    }
}

impl Drop for Pauser<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.resume() {
            tracing::error!(application = %self.application, %error, "an application was paused for a backup and could not be thawed");
        }
    }
}

fn mark(service: &Service, application: &Name) -> PathBuf {
    service.backups().folder().join("paused").join(format!("{application}.json"))
}

fn remove(mark: &Path) -> io::Result<()> {
    match std::fs::remove_file(mark) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Instances of an application, and runs of its jobs, whose shims live: whatever may write to its volumes.
fn running(service: &Service, application: &Name) -> Result<Vec<Running>, AgentError> {
    let mut found = Vec::new();
    for (name, config) in configs(service, application)? {
        let failed = |cause: String| BackupsError::Pause { instance: name.clone(), cause: io::Error::other(cause) };
        if matches!(look(&config).map_err(|error| failed(error.to_string()))?, Found::Living) {
            found.push(Running { name, config });
        }
    }
    Ok(found)
}

/// All shims of an application: name of the instance or run on this machine, and configuration.
fn configs(service: &Service, application: &Name) -> Result<Vec<(String, openmesh_shim::Config)>, AgentError> {
    let mut found = service.agent().running_jobs(application)?;
    for folder in below(&service.agent().machine().paths.instances(application))? {
        let id = folder.file_name().and_then(|name| name.to_str()?.parse::<InstanceId>().ok());
        let config = marks::find::<openmesh_shim::Config>(&folder.join("shim.json"))?;
        found.extend(id.zip(config).map(|(id, config)| (instance_name(application, &id), config)));
    }
    Ok(found)
}

/// Folders in a folder, but for those that are being removed; none where it is not there.
fn below(folder: &Path) -> Result<Vec<PathBuf>, AgentError> {
    let entries = match std::fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(AgentError::file("reading", folder))?,
    };
    let is_hidden = |path: &PathBuf| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir() && !is_hidden(path)).collect())
}

/// Lets an instance go on. One that is not there any more is no fault.
fn thaw(machine: &Machine, instance: &str, config: &openmesh_shim::Config) -> io::Result<()> {
    let group = machine.group(instance);
    if group.exists() {
        group.thaw(&open).map_err(|error| io::Error::other(format!("{instance}: {error}")))?;
    }
    let asked = Client::connect(&config.socket, ANSWER).and_then(|mut client| client.ask(Action::Resume));
    match asked {
        // A shim that ended meanwhile has no note; one that lives and keeps it would start and stop nothing any more.
        Err(error) if matches!(look(config), Ok(Found::Living)) => {
            Err(io::Error::other(format!("{instance}: {error}")))
        }
        _ => Ok(()),
    }
}

/// Lets everything go on that was paused by a dead agent, or by an act that has ended and could not thaw it. What an act under way has paused stays.
///
/// # Errors
/// The first application that cannot be thawed; its mark stays, and the others go on.
pub(crate) fn recover(service: &Service) -> Result<(), AgentError> {
    let folder = service.backups().folder().join("paused");
    let entries = match std::fs::read_dir(&folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(AgentError::file("reading", &folder))?,
    };
    // Marks first, acts after them: one whose mark was read is under way still, or has left it.
    let found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let running = service.backups().jobs.running();
    let mut result = Ok(());
    for path in found {
        let name = path.file_stem().and_then(|stem| stem.to_str()?.parse::<Name>().ok());
        // A file that was being written when the machine went is no mark.
        let Some(name) = name.filter(|_| path.extension().is_some_and(|end| end == "json")) else { continue };
        if !running.iter().any(|job| job.application.as_ref() == Some(&name)) {
            result = result.and(recover_one(service, &name, &path));
        }
    }
    result
}

fn recover_one(service: &Service, name: &Name, mark: &Path) -> Result<(), AgentError> {
    let machine = service.agent().machine();
    let instances: Vec<String> = marks::read(mark)?;
    for (instance, config) in configs(service, name)? {
        if instances.contains(&instance) {
            let failed = |cause| BackupsError::Pause { instance: instance.clone(), cause };
            thaw(machine, &instance, &config).map_err(failed)?;
        }
    }
    remove(mark).map_err(AgentError::file("removing", mark))
}
