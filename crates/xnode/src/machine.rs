//! Handles of everything that an agent's effects go through.

use std::path::PathBuf;

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

use crate::error::XnodeError;
use crate::{Door, Paths};

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
    /// What unpacks layers.
    pub unpacker: Helper,
    /// What pulls images.
    pub client: Client,
    /// Data.
    pub volumes: Volumes,
    /// Control groups of the machine.
    pub layout: Layout,
    /// What makes containers.
    pub driver: Box<dyn Driver + Send + Sync>,
    /// Resolvers of instances.
    pub resolvers: Resolvers,
    /// Secrets.
    pub secrets: Box<dyn Secrets>,
    /// Hears how far images are.
    pub follow: Follow,
}

impl Machine {
    /// Opens the stores of an agent, and makes the folders that are missing.
    ///
    /// # Errors
    /// A folder cannot be made, another agent has a store, or the machine has no control groups.
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
        let images = Store::open(&paths.images(), Platform::here(), door)?;
        let unpacker = Helper { program: programs.unpack.clone(), arguments: Vec::new() };
        let volumes = Volumes::open(&paths.volumes(), agent.as_str())?;
        let driver: Box<dyn Driver + Send + Sync> = match &programs.runc {
            Some(program) => Box::new(Runc { program: program.clone(), root: paths.states() }),
            None => Box::new(Libcontainer { program: programs.cage.clone(), root: paths.states() }),
        };
        let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
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
            resolvers: read_resolv_conf(&text),
            secrets,
            follow: Box::new(|_| ()),
        })
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

    /// Container of an instance, whose bundle lies in its folder.
    pub fn container(&self, instance: &str, folder: &std::path::Path) -> Container {
        let run = self.paths.shim(instance);
        Container {
            id: instance.to_string(),
            bundle: folder.join("bundle"),
            pid_file: run.join("pid"),
            log: run.join("driver.log"),
        }
    }
}

/// Makes a folder through which an instance's own ids find their way.
pub(crate) fn make_folder(path: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(PASSABLE))
}
