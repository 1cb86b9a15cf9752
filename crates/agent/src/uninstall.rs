//! The end of an agent on a machine: everything of it goes, its data only where that is asked for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openmesh_xnode::open;
use reqwest::Method;
use rustix::fs::{FlockOperation, flock};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, kill_process};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::belongs;
use crate::client::{Client, ClientError};
use crate::error::AgentError;
use crate::service::Service;
use crate::settings::Settings;

/// Longest time for an agent to end: its present step may stop an application within the application's own grace.
const END_MAX: Duration = Duration::from_secs(120);
/// Parts of the state folder that are made again from the documents: images, programs, and marks of instances that are gone.
const MADE_AGAIN: [&str; 3] = ["images", "programs", "applications"];

/// Things of an agent on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holdings {
    /// Applications, each with the number of its instances that are there.
    pub applications: BTreeMap<String, u64>,
    /// Volumes as `APPLICATION/NAME`, with the size of their images, bytes.
    pub volumes: BTreeMap<String, u64>,
    /// Images and layers, bytes.
    pub image_bytes: u64,
    /// Folder of what outlives the machine's run.
    pub state: String,
    /// Folder of what does not.
    pub run: String,
}

impl Holdings {
    /// Things of an agent that is open.
    pub(crate) fn of(service: &Service) -> Result<Holdings, AgentError> {
        let (machine, settings) = (service.agent().machine(), service.settings());
        let look = service.agent().look()?;
        let applications = look.instances.iter().filter(|(_, instances)| !instances.is_empty());
        let found = machine.volumes.observe().map_err(openmesh_xnode::XnodeError::from)?;
        let volumes = found.volumes.into_iter().map(|(id, volume)| match volume.record {
            Some(record) => (format!("{}/{}", record.application, record.name), record.bytes),
            None => (id.to_string(), 0),
        });
        Ok(Holdings {
            applications: applications.map(|(name, found)| (name.to_string(), found.len() as u64)).collect(),
            volumes: volumes.collect(),
            image_bytes: bytes_below(&machine.paths.images()),
            state: settings.state.display().to_string(),
            run: settings.run.display().to_string(),
        })
    }
}

/// Bytes of the files below a folder; what cannot be read counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Things of the agent with these settings, asked of the one that runs where one does.
///
/// # Errors
/// There is no such agent, or the run folder is that of another state folder; the machine cannot be looked at, or the agent refuses.
pub async fn holdings(settings: &Settings) -> Result<Holdings, AgentError> {
    check(settings).await?;
    match runs(settings) {
        true => asked(settings).await,
        false => Holdings::of(&Service::open(settings.clone())?),
    }
}

/// Refuses where there is no such agent, or the run folder is that of another state folder, before anything is opened: an agent that is opened makes what
/// is not there.
async fn check(settings: &Settings) -> Result<(), AgentError> {
    if !rustix::process::geteuid().is_root() {
        return Err(AgentError::NotRoot);
    }
    let noted = match belongs::read(&settings.run)? {
        // One of a version that writes no note says it itself.
        None if runs(settings) => Some(belongs::whole(Path::new(&asked(settings).await?.state))),
        noted => noted,
    };
    belongs::check_end(settings, noted)
}

/// Returns true where an agent answers in the run folder.
fn runs(settings: &Settings) -> bool {
    UnixStream::connect(settings.socket()).is_ok()
}

/// Things of the agent that runs.
async fn asked(settings: &Settings) -> Result<Holdings, AgentError> {
    let refused = |error: ClientError| AgentError::Name(error.to_string());
    let client = Client::new(&settings.socket()).map_err(refused)?;
    client.ask(client.request(Method::GET, "/holdings")).await.map_err(refused)
}

/// Removes everything of an agent from the machine. Without `wipe` its documents, secrets, generations and volumes stay in its state folder, and the next
/// agent with that folder brings everything back. `says` hears of each part that is done.
///
/// # Errors
/// There is no such agent, or the run folder is that of another state folder: nothing was touched then. Else the first failure; asking again goes on.
pub async fn uninstall(settings: &Settings, wipe: bool, says: &mut dyn FnMut(&str)) -> Result<(), AgentError> {
    check(settings).await?;
    end_agent(settings).await?;
    says("the agent has ended");
    let service = Service::open(settings.clone())?;
    service.agent().remove_everything(&open).await?;
    crate::backups::end_drills(&service)?;
    let service = Arc::new(service);
    let own = service.clone();
    let left = tokio::task::spawn_blocking(move || crate::lending::end(own.lending(), wipe));
    left.await.map_err(|_| AgentError::Worker)??;
    says("every application has ended, and its namespaces, mounts, control groups and links are gone");
    drop(service);
    remove(&settings.run)?;
    match wipe {
        true => {
            refuse_mounts(&settings.state)?;
            remove_state(&settings.state)?;
            crate::ids::release(&settings.ids, &settings.state)?;
            says("documents, secrets, volumes and images are gone");
        }
        false => {
            for part in MADE_AGAIN {
                remove(&settings.state.join(part))?;
            }
            says("images and programs are gone; documents, secrets and volumes stay");
        }
    }
    forget_folders(settings);
    Ok(())
}

/// Ends the agent that answers at the socket, and waits until its lock is free. Whatever it runs goes on.
async fn end_agent(settings: &Settings) -> Result<(), AgentError> {
    let socket = settings.socket();
    let Ok(stream) = UnixStream::connect(&socket) else { return Ok(()) };
    let peer =
        socket_peercred(&stream).map_err(|errno| AgentError::file("asking who answers at", &socket)(errno.into()))?;
    kill_process(peer.pid, Signal::TERM)
        .map_err(|errno| AgentError::file("ending the agent at", &socket)(errno.into()))?;
    let path = Settings::lock_in(&settings.state);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(AgentError::file("opening", &path))?;
    let freed = tokio::task::spawn_blocking(move || flock(&file, FlockOperation::LockExclusive));
    match tokio::time::timeout(END_MAX, freed).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(errno))) => Err(AgentError::file("locking", &path)(errno.into())),
        Ok(Err(_)) | Err(_) => Err(AgentError::Running { name: settings.name.clone(), lock: path }),
    }
}

/// Refuses to remove a folder in which something is mounted: what is mounted would go with it.
fn refuse_mounts(folder: &Path) -> Result<(), AgentError> {
    let text =
        fs::read_to_string("/proc/self/mountinfo").map_err(AgentError::file("reading", "/proc/self/mountinfo"))?;
    let places = text.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    match places.into_iter().find(|place| place.starts_with(folder) && *place != folder) {
        Some(place) => Err(AgentError::Mounted { path: place.into() }),
        None => Ok(()),
    }
}

/// Removes a folder with everything in it, links themselves and not what they lead to.
fn remove(folder: &Path) -> Result<(), AgentError> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(AgentError::file("removing", folder)),
    }
}

/// Removes a state folder, and last what tells it as one: where that breaks off, asking again goes on.
fn remove_state(folder: &Path) -> Result<(), AgentError> {
    let lock = Settings::lock_in(folder);
    for entry in fs::read_dir(folder).map_err(AgentError::file("reading", folder))? {
        let path = entry.map_err(AgentError::file("reading", folder))?.path();
        if path == lock {
            continue;
        }
        match fs::symlink_metadata(&path).is_ok_and(|about| about.is_dir()) {
            true => remove(&path)?,
            false => fs::remove_file(&path).map_err(AgentError::file("removing", &path))?,
        }
    }
    remove(folder)
}

/// Removes the folders above an agent's own where nothing is left in them.
fn forget_folders(settings: &Settings) {
    for folder in [&settings.state, &settings.run] {
        // A folder that is not empty stays; so does what is not ours above them.
        for parent in folder.ancestors().skip(1).take(2) {
            let _ = fs::remove_dir(parent);
        }
    }
}
