//! Handles of everything that an agent's effects go through.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::sync::OnceLock;

use openmesh_blueprint::document::Name;
use openmesh_cage::cgroup::{Group, Layout};
use openmesh_cage::driver::{Container, Driver, Libcontainer, Runc};
use openmesh_cage::instance::GroupPath;
use openmesh_cage::space::Namespaces;
use openmesh_image::oci::Platform;
use openmesh_image::pull::Client;
use openmesh_image::store::Store;
use openmesh_image::unpack::Helper;
use openmesh_links::texts::{Resolvers, read_resolv_conf};
use openmesh_primitives::Digest;
use openmesh_volume::Volumes;

use crate::door::Carrier;
use crate::error::XnodeError;
use crate::events::EventKind;
use crate::memory::{Memory, lock};
use crate::{Door, Paths, applications, marks};

/// Resolvers of the host.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Permission bits of folders through which an instance's own ids have to find their way.
const PASSABLE: u32 = 0o711;

/// Programs of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// `openmesh-shim`.
    pub shim: PathBuf,
    /// `openmesh-cage-helper`.
    pub cage: PathBuf,
    /// `openmesh-unpack`.
    pub unpack: PathBuf,
    /// runc, where it makes containers in place of libcontainer.
    pub runc: Option<PathBuf>,
}

/// Values of secrets, by name and version.
pub trait Secrets: Send + Sync {
    /// The value; none where it is not here.
    fn value(&self, name: &Name, version: u32) -> Option<Vec<u8>>;
}

/// No secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn value(&self, _: &Name, _: u32) -> Option<Vec<u8>> {
        None
    }
}

/// Bytes of an image that have come, or were unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageBytes {
    /// The image.
    pub image: Digest,
    /// They are unpacked; else they come from a registry.
    pub unpacks: bool,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// Hears how far images are.
pub type Follow = Box<dyn Fn(ImageBytes) + Send + Sync>;

/// A machine as an agent holds it.
pub struct Machine {
    /// Instance name of the agent.
    pub agent: Name,
    /// Its folders.
    pub paths: Paths,
    /// Its programs.
    pub programs: Programs,
    /// Images.
    pub images: Store,
    /// Unpacks layers.
    pub unpacker: Helper,
    /// Pulls images.
    pub client: Client,
    /// Data.
    pub volumes: Volumes,
    /// Control groups of the machine.
    pub layout: Layout,
    /// Makes containers.
    pub driver: Box<dyn Driver + Send + Sync>,
    /// File with the resolvers of the host.
    pub resolv_conf: PathBuf,
    /// Folder below which the kernel's files about GPUs, and those of their drivers, are: the root.
    pub gpu_root: PathBuf,
    /// Secrets.
    pub secrets: Box<dyn Secrets>,
    /// Hears how far images are.
    pub follow: Follow,
    /// The door; none where the agent has no program of one. Set once, after the machine was opened.
    pub doors: OnceLock<Carrier>,
    /// Memory that is kept as long as the agent lives.
    pub(crate) memory: Memory,
    /// Locks that keep other agents away, for as long as the machine is held.
    _alone: Alone,
}

impl Machine {
    /// Opens the stores of an agent, and makes the folders that are missing.
    ///
    /// # Errors
    /// A folder cannot be made, another agent works with this state or under this name, or the machine has no control groups.
    pub fn open(
        agent: Name,
        paths: Paths,
        programs: Programs,
        client: Client,
        secrets: Box<dyn Secrets>,
        door: Door<'_>,
    ) -> Result<Machine, XnodeError> {
        for folder in [
            paths.state().to_path_buf(),
            paths.run().to_path_buf(),
            paths.applications(),
            paths.states(),
            paths.run().join("names"),
            paths.run().join("roots"),
            paths.run().join("shims"),
        ] {
            make_folder(&folder).map_err(XnodeError::file("making", &folder))?;
        }
        let alone = Alone::take(&agent, &paths)?;
        sweep(&paths, door)?;
        let images = Store::open(&paths.images(), Platform::here(), door)?;
        let unpacker = Helper { program: programs.unpack.clone(), arguments: Vec::new() };
        let volumes = Volumes::open(&paths.volumes(), agent.as_str())?;
        let driver: Box<dyn Driver + Send + Sync> = match &programs.runc {
            Some(program) => Box::new(Runc { program: program.clone(), root: paths.states() }),
            None => Box::new(Libcontainer { program: programs.cage.clone(), root: paths.states() }),
        };
        let memory = Memory::default();
        // What was broken off keeps its room and nothing else; it is tried again later.
        if let Err(error) = volumes.tidy(door) {
            memory.events.tell(EventKind::Found, None, format!("remains of volumes are not removed yet: {error}"));
        }
        Ok(Machine {
            agent,
            layout: Layout::find()?,
            paths,
            programs,
            images,
            unpacker,
            client,
            volumes,
            driver,
            resolv_conf: RESOLV_CONF.into(),
            gpu_root: "/".into(),
            secrets,
            follow: Box::new(|_| ()),
            doors: OnceLock::new(),
            memory,
            _alone: alone,
        })
    }

    /// Resolvers of instances, as the host has them now. Whoever writes that file may be in the middle of it: as long as it cannot be read, or is empty, they
    /// are those of before.
    pub fn resolvers(&self) -> Resolvers {
        let mut last = lock(&self.memory.resolvers);
        let text = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
        if !text.trim().is_empty() {
            *last = read_resolv_conf(&text);
        }
        last.clone()
    }

    /// Control group of an instance.
    pub fn group(&self, instance: &str) -> Group {
        Group::new(self.layout.clone(), self.group_path(instance))
    }

    /// Its path.
    pub fn group_path(&self, instance: &str) -> GroupPath {
        GroupPath { agent: self.agent.to_string(), instance: instance.to_string() }
    }

    /// Namespaces of an instance.
    pub fn namespaces(&self, instance: &str) -> Namespaces {
        let folder = self.paths.namespaces(instance);
        Namespaces { user: folder.join("user"), network: folder.join("net") }
    }

    /// Folder of the bundle of an instance or of a job's run, whose other parts lie in `folder`. Values of secrets are in it, so that it is on the memory file
    /// system. What an earlier version made has it beside its other parts, and keeps it there until it is made anew.
    pub fn parts(&self, instance: &str, folder: &std::path::Path) -> PathBuf {
        if folder.join("bundle").exists() { folder.to_path_buf() } else { self.paths.shim(instance) }
    }

    /// Container of an instance.
    pub fn container(&self, instance: &str, folder: &std::path::Path) -> Container {
        let run = self.paths.shim(instance);
        Container {
            id: instance.to_string(),
            bundle: self.parts(instance, folder).join("bundle"),
            pid_file: run.join("pid"),
            log: run.join("driver.log"),
        }
    }
}

/// Removes what removals have left.
fn sweep(paths: &Paths, door: Door<'_>) -> Result<(), XnodeError> {
    for folder in [paths.run().join("names"), paths.run().join("shims"), paths.applications(), paths.all_logs()] {
        marks::sweep(&folder, door)?;
    }
    for application in applications::names(&paths.all_logs())? {
        marks::sweep(&paths.all_logs().join(application), door)?;
    }
    for name in applications::read(paths)?.instances.keys() {
        marks::sweep(&paths.instances(name), door)?;
    }
    Ok(())
}

/// Locks of one agent: on its state, and on its name, which is in everything that it makes on the machine.
struct Alone {
    _state: File,
    _name: UnixListener,
}

impl Alone {
    fn take(agent: &Name, paths: &Paths) -> Result<Alone, XnodeError> {
        let path = paths.state().join("lock");
        let file = |cause| XnodeError::file("locking", &path)(cause);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut state = options.map_err(file)?;
        match state.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(cause)) => return Err(file(cause)),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = state.read_to_string(&mut text);
                return Err(XnodeError::AnotherAgent { path, pid: text.trim().parse().ok() });
            }
        }
        // A name without a file goes with its process, whatever becomes of the folders.
        let label = format!("openmesh-agent/{agent}");
        let address = SocketAddr::from_abstract_name(&label).map_err(file)?;
        let name = UnixListener::bind_addr(&address).map_err(|cause| match cause.kind() {
            ErrorKind::AddrInUse => XnodeError::AnotherAgent { path: format!("the name {agent}").into(), pid: None },
            _ => XnodeError::file("binding", &label)(cause),
        })?;
        state.set_len(0).and_then(|()| state.write_all(std::process::id().to_string().as_bytes())).map_err(file)?;
        Ok(Alone { _state: state, _name: name })
    }
}

/// Makes a folder through which an instance's own ids find their way.
pub(crate) fn make_folder(path: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(PASSABLE))
}
