//! GPUs of the machine, for inventories and for the instances that have some.
//!
//! An instance gets what the description of its GPUs says ([`openmesh_cage::gpu::cdi`]), which is also written beside the agent's run for other programs. Nodes of
//! devices are made for it: those of the host are often of a group that no instance has.

mod claims;
mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use openmesh_blueprint::document::{GpuVendor, Name};
use openmesh_blueprint::gpu::{Gpu, PciAddress};
use openmesh_cage::cgroup::Layout;
use openmesh_cage::gpu::cdi::{self, DeviceNode, Spec};
use openmesh_cage::gpu::libraries::{self, Driver};
use openmesh_cage::gpu::{self, Vendor};
use openmesh_cage::instance::{Bind, Device};
use rustix::fs::{CWD, FileType, Mode, StatVfsMountFlags, makedev, mknodat, statvfs};

use self::claims::Claim;
use crate::applications::{Made, NOTE};
use crate::error::XnodeError;
use crate::{Door, Machine, machine, marks};

/// Folder of an instance's device nodes, in its own.
const DEVICES: &str = "devices";
/// Permission bits of that folder: the instance's own ids find their way through it, and nobody else of the host.
const FOLDER_MODE: u32 = 0o700;
/// Permission bits of the nodes in it: every user of the instance uses its GPUs.
const NODE_MODE: u32 = 0o666;

/// GPUs that the machine has.
pub(crate) fn found(machine: &Machine) -> BTreeMap<PciAddress, Gpu> {
    let all = gpu::find(&machine.gpu_root).into_iter();
    all.filter_map(|gpu| {
        let vendor = match gpu.vendor {
            Vendor::Nvidia => GpuVendor::Nvidia,
            Vendor::Amd => GpuVendor::Amd,
            Vendor::Intel => GpuVendor::Intel,
        };
        Some((gpu.address.parse().ok()?, Gpu { vendor, model: gpu.model }))
    })
    .collect()
}

/// Reason for which no new instance gets a GPU, with what helps; none where they do.
pub(crate) fn lack(machine: &Machine) -> Option<String> {
    if matches!(machine.layout, Layout::V2 { .. }) && !machine.driver.filters_devices() {
        let words = "with control groups v2 nothing would keep it to the devices that are its own, since libcontainer loads no filter of devices there; let runc make containers (`openmesh xnode agent --runc PROGRAM`), or boot the machine with control groups v1";
        return Some(words.to_string());
    }
    without_devices(&machine.paths.applications()).ok().flatten()
}

/// Words for a folder in which no device can be opened; none where one can.
fn without_devices(folder: &Path) -> io::Result<Option<String>> {
    let about = statvfs(folder).map_err(io::Error::from)?;
    Ok(about.f_flag.contains(StatVfsMountFlags::NODEV).then(|| {
        format!(
            "{} lies on a file system that is mounted without devices; mount it without `nodev`, or keep the agent's state elsewhere",
            folder.display()
        )
    }))
}

/// An instance that has GPUs.
pub(crate) struct Asker<'a> {
    /// Its application.
    pub application: &'a Name,
    /// Its folder.
    pub folder: &'a Path,
    /// First of its ids on the host.
    pub first_id: u32,
    /// Its GPUs.
    pub gpus: &'a BTreeSet<PciAddress>,
}

/// Things that an instance gets for its GPUs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// Devices.
    pub devices: Vec<Device>,
    /// Files of the driver.
    pub binds: Vec<Bind>,
    /// Variables.
    pub variables: Vec<(String, String)>,
}

impl Given {
    /// Adds the variables to those of an instance. What an image or a document says stays; the path of libraries goes on behind what it has.
    pub fn add_to(&self, variables: &mut BTreeMap<String, String>) {
        for (name, value) in &self.variables {
            let own = variables.entry(name.clone()).or_default();
            if own.is_empty() {
                own.clone_from(value);
            } else if name == cdi::LIBRARY_PATH && !own.split(':').any(|part| part == value) {
                own.push(':');
                own.push_str(value);
            }
        }
    }
}

impl Asker<'_> {
    fn wrong(&self, words: String) -> XnodeError {
        XnodeError::Instance { application: self.application.clone(), words }
    }

    /// Place of a node in its folder of devices.
    fn place(&self, path: &str) -> PathBuf {
        self.folder.join(DEVICES).join(path.trim_start_matches("/dev/").replace('/', "-"))
    }

    /// Names of its GPUs by vendor. Fails where one is not there.
    fn names(&self, there: &[gpu::Gpu]) -> Result<BTreeMap<Vendor, BTreeSet<String>>, XnodeError> {
        let mut names: BTreeMap<Vendor, BTreeSet<String>> = BTreeMap::new();
        for address in self.gpus {
            let found = there.iter().find(|gpu| gpu.address.parse() == Ok(*address));
            let missing = || self.wrong(format!("its GPU {address} is not there, or its driver is not loaded"));
            let found = found.ok_or_else(missing)?;
            names.entry(found.vendor).or_default().insert(found.address.clone());
        }
        Ok(names)
    }

    /// Notes that it has its GPUs. Fails where an instance of another application, or of another agent, still has one.
    fn claim(&self, machine: &Machine, door: Door<'_>) -> Result<(), XnodeError> {
        let (root, folder) = (&machine.gpu_root, self.folder.to_path_buf());
        let own = Claim { agent: machine.agent.to_string(), application: self.application.to_string(), folder };
        let taken = marks::through(door, "gpu.claim", || claims::take(root, self.gpus, &own));
        match taken.map_err(XnodeError::file("noting GPUs in", claims::list(root)))? {
            Some((gpu, holder)) => Err(self.wrong(format!("its GPU {gpu} is still that of {holder}"))),
            None => Ok(()),
        }
    }
}

/// Makes what an instance gets for its GPUs.
///
/// # Errors
/// One of them is not there or somebody else's, or the nodes of its devices cannot be made where the agent keeps its state.
pub(crate) fn give(machine: &Machine, asker: &Asker<'_>, door: Door<'_>) -> Result<Given, XnodeError> {
    let mut given = Given::default();
    if asker.gpus.is_empty() {
        return Ok(given);
    }
    let there = gpu::find(&machine.gpu_root);
    let names = asker.names(&there)?;
    asker.claim(machine, door)?;
    let mut nodes = Vec::new();
    for (vendor, names) in names {
        let spec = describe(machine, vendor, &there, door)?;
        let edits = spec.edits(&names).map_err(|error| asker.wrong(error.to_string()))?;
        let pairs = edits.env.iter().filter_map(|line| line.split_once('='));
        given.variables.extend(pairs.map(|(name, value)| (name.to_string(), value.to_string())));
        given.binds.extend(edits.mounts.iter().map(|mount| Bind {
            source: machine.gpu_root.join(mount.host_path.trim_start_matches('/')).display().to_string(),
            target: mount.container_path.clone(),
            writable: false,
        }));
        nodes.extend(edits.device_nodes);
    }
    given.devices = make_nodes(&nodes, asker, door)?;
    Ok(given)
}

/// Lets an instance that was made keep its GPUs for its next start. Returns false where its nodes are not those of its GPUs any more, so that it has to be made
/// anew: numbers of nodes may be another GPU's once a driver was loaded again.
///
/// # Errors
/// Its note cannot be read; one of its GPUs is not there, or somebody else's.
pub(crate) fn keep(machine: &Machine, application: &Name, folder: &Path, door: Door<'_>) -> Result<bool, XnodeError> {
    let made: Option<Made> = marks::find(&folder.join(NOTE))?;
    let gpus: BTreeSet<PciAddress> =
        made.into_iter().flat_map(|made| made.gpus).filter_map(|gpu| gpu.parse().ok()).collect();
    if gpus.is_empty() {
        return Ok(true);
    }
    // Whose the nodes are matters to those alone who make them.
    let asker = Asker { application, folder, first_id: 0, gpus: &gpus };
    let there = gpu::find(&machine.gpu_root);
    let names = asker.names(&there)?;
    asker.claim(machine, door)?;
    let is_own = |gpu: &&gpu::Gpu| names.values().any(|names| names.contains(&gpu.address));
    let mut nodes: Vec<gpu::Node> = there.iter().filter(is_own).flat_map(|gpu| gpu.nodes.clone()).collect();
    nodes.extend(names.keys().flat_map(|vendor| gpu::common(&machine.gpu_root, *vendor)));
    let is_there = |node: &gpu::Node| {
        let about = fs::symlink_metadata(asker.place(&node.path));
        let number = makedev(node.major, node.minor);
        about.is_ok_and(|about| about.file_type().is_char_device() && about.rdev() == number)
    };
    let count = fs::read_dir(folder.join(DEVICES)).map_or(0, Iterator::count);
    Ok(count == nodes.len() && nodes.iter().all(is_there))
}

/// Takes the GPUs of an instance back whose folder is gone.
///
/// # Errors
/// The list of GPUs that instances have cannot be read or written.
pub(crate) fn release(machine: &Machine, folder: &Path, door: Door<'_>) -> Result<(), XnodeError> {
    let (root, list) = (&machine.gpu_root, claims::list(&machine.gpu_root));
    if !list.exists() {
        return Ok(());
    }
    marks::through(door, "gpu.release", || claims::release(root, folder))
        .map_err(XnodeError::file("noting GPUs in", list))
}

/// The description of a vendor's GPUs, written where other programs find it too.
fn describe(machine: &Machine, vendor: Vendor, there: &[gpu::Gpu], door: Door<'_>) -> Result<Spec, XnodeError> {
    let root = &machine.gpu_root;
    let driver = match vendor {
        Vendor::Nvidia => libraries::find(root, std::env::consts::ARCH),
        Vendor::Amd | Vendor::Intel => Driver::default(),
    };
    let spec = cdi::spec(vendor, there, &gpu::common(root, vendor), &driver);
    let folder = machine.paths.descriptions();
    let path = folder.join(spec.file_name());
    let write = || {
        machine::make_folder(&folder)?;
        marks::replace(&path, spec.text().as_bytes())
    };
    marks::through(door, "gpu.describe", write).map_err(XnodeError::file("writing", &path))?;
    Ok(spec)
}

/// Makes the nodes of an instance's devices. Those of an earlier try go first.
fn make_nodes(nodes: &[DeviceNode], asker: &Asker<'_>, door: Door<'_>) -> Result<Vec<Device>, XnodeError> {
    let folder = asker.folder.join(DEVICES);
    let place = |node: &DeviceNode| asker.place(&node.path);
    let make = || -> io::Result<()> {
        match fs::remove_dir_all(&folder) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
            _ => fs::create_dir(&folder)?,
        }
        // The instance's root alone finds its way through it: it mounts what lies there.
        fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE))?;
        chown(&folder, Some(asker.first_id), Some(asker.first_id))?;
        for node in nodes {
            let (path, number) = (place(node), makedev(node.major, node.minor));
            mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(NODE_MODE), number)?;
            // The mask of this process has taken bits away.
            fs::set_permissions(&path, Permissions::from_mode(NODE_MODE))?;
            chown(&path, Some(asker.first_id), Some(asker.first_id))?;
        }
        Ok(())
    };
    marks::through(door, "gpu.devices", make).map_err(XnodeError::file("making devices in", &folder))?;
    if let Some(words) = without_devices(&folder).map_err(XnodeError::file("reading", &folder))? {
        return Err(asker.wrong(words));
    }
    let device = |node: &DeviceNode| Device {
        source: place(node).display().to_string(),
        target: node.path.clone(),
        major: node.major,
        minor: node.minor,
    };
    Ok(nodes.iter().map(device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_libraries_goes_on_behind_what_an_image_has() {
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        let given = Given {
            variables: vec![pair("LD_LIBRARY_PATH", "/nv/lib64"), pair("NVIDIA_VISIBLE_DEVICES", "void")],
            ..Given::default()
        };
        let with = |own: &[(&str, &str)]| {
            let mut variables = own.iter().map(|(name, value)| pair(name, value)).collect();
            given.add_to(&mut variables);
            (variables["LD_LIBRARY_PATH"].clone(), variables["NVIDIA_VISIBLE_DEVICES"].clone())
        };
        assert_eq!(with(&[]), pair("/nv/lib64", "void"));
        assert_eq!(with(&[("LD_LIBRARY_PATH", "/opt/lib")]), pair("/opt/lib:/nv/lib64", "void"));
        assert_eq!(with(&[("LD_LIBRARY_PATH", "/nv/lib64:/opt")]), pair("/nv/lib64:/opt", "void"));
        assert_eq!(with(&[("NVIDIA_VISIBLE_DEVICES", "all")]), pair("/nv/lib64", "all"));
    }
}
