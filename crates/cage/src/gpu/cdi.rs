//! Descriptions of GPUs for containers, in the form of the Container Device Interface 0.6.0. Pure.
//!
//! One description is for all GPUs of a vendor; a device of it is one GPU, by its address on the PCI bus. Other programs of the machine that know CDI can use the file
//! as well. Source: the specification of CDI (`SPEC.md` of its repository), versions 0.6.0 and before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::find::{Gpu, Node, Vendor};
use super::libraries::Driver;

/// Version of the form: the first with annotations and with dots in names of vendors' classes, which all present readers know.
pub const CDI_VERSION: &str = "0.6.0";
/// Vendor of the descriptions, in the words of CDI: whoever makes them.
pub const CDI_VENDOR: &str = "openmesh.network";
/// Folder of the driver's files in a container. Images that are made for NVIDIA's GPUs look for them there.
pub const NVIDIA_FOLDER: &str = "/usr/local/nvidia";
/// Variable by which the loader finds libraries without a cache.
pub const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";
/// Options of the mounts of the driver's files.
const MOUNT_OPTIONS: [&str; 5] = ["ro", "nosuid", "nodev", "bind", "rprivate"];

/// A description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// [`CDI_VERSION`].
    pub cdi_version: String,
    /// Vendor and class: `openmesh.network/nvidia-gpu`.
    pub kind: String,
    /// Devices.
    pub devices: Vec<Device>,
    /// Things that a container gets with each of them.
    #[serde(default, skip_serializing_if = "Edits::is_empty")]
    pub container_edits: Edits,
}

/// A device of a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// Its name: the GPU's address on the PCI bus.
    pub name: String,
    /// Words for people.
    pub annotations: Annotations,
    /// Things that a container gets with it.
    pub container_edits: Edits,
}

/// Words for people about a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotations {
    /// Name of the GPU.
    #[serde(rename = "openmesh.network/model")]
    pub model: String,
}

/// Things that a container gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Edits {
    /// Variables, `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Device nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_nodes: Vec<DeviceNode>,
    /// Files of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
}

impl Edits {
    fn is_empty(&self) -> bool {
        self == &Edits::default()
    }

    /// Adds what others give and this one does not give yet.
    fn add(&mut self, more: &Edits) {
        fn extend<T: PartialEq + Clone>(to: &mut Vec<T>, from: &[T]) {
            for item in from {
                if !to.contains(item) {
                    to.push(item.clone());
                }
            }
        }
        extend(&mut self.env, &more.env);
        extend(&mut self.device_nodes, &more.device_nodes);
        extend(&mut self.mounts, &more.mounts);
    }
}

/// A device node in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceNode {
    /// Its path in the container, and on the host.
    pub path: String,
    /// `c`: it is one of characters.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Rights of the container's group of devices: some of `r`, `w`, `m`.
    pub permissions: String,
}

/// A file of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// Its path on the host.
    pub host_path: String,
    /// Its path in the container.
    pub container_path: String,
    /// Options.
    pub options: Vec<String>,
}

/// The description of a vendor's GPUs; `common` are nodes that all of them share, `driver` the driver's files where containers need them.
pub fn spec(vendor: Vendor, gpus: &[Gpu], common: &[Node], driver: &Driver) -> Spec {
    let device = |gpu: &Gpu| Device {
        name: gpu.address.clone(),
        annotations: Annotations { model: gpu.model.clone() },
        container_edits: Edits { device_nodes: nodes(&gpu.nodes), ..Edits::default() },
    };
    let devices: Vec<Device> = gpus.iter().filter(|gpu| gpu.vendor == vendor).map(device).collect();
    let mut shared = Edits { device_nodes: nodes(common), ..Edits::default() };
    if vendor == Vendor::Nvidia {
        // NVIDIA's own hook of other runtimes, where there is one, adds nothing to what is described here.
        shared.env.push("NVIDIA_VISIBLE_DEVICES=void".into());
        if !driver.libraries.is_empty() {
            shared.env.push(format!("{LIBRARY_PATH}={NVIDIA_FOLDER}/lib64"));
        }
        for library in &driver.libraries {
            shared.mounts.push(mount(&library.host, &format!("lib64/{}", library.name)));
            // Programs ask for it without its number too, for which there is a link on the host.
            if let Some(bare) = library.name.strip_suffix(".so.1").filter(|bare| *bare == "libcuda") {
                shared.mounts.push(mount(&library.host, &format!("lib64/{bare}.so")));
            }
        }
        shared.mounts.extend(driver.programs.iter().map(|file| mount(&file.host, &format!("bin/{}", file.name))));
    }
    Spec {
        cdi_version: CDI_VERSION.into(),
        kind: format!("{CDI_VENDOR}/{}-gpu", vendor.word()),
        devices,
        container_edits: shared,
    }
}

fn nodes(nodes: &[Node]) -> Vec<DeviceNode> {
    let node = |node: &Node| DeviceNode {
        path: node.path.clone(),
        kind: "c".into(),
        major: node.major,
        minor: node.minor,
        permissions: "rw".into(),
    };
    nodes.iter().map(node).collect()
}

fn mount(host: &str, below: &str) -> Mount {
    Mount {
        host_path: host.into(),
        container_path: format!("{NVIDIA_FOLDER}/{below}"),
        options: MOUNT_OPTIONS.map(ToString::to_string).into(),
    }
}

impl Spec {
    /// Name of its file, as CDI recommends it: `openmesh.network-nvidia-gpu.json`.
    pub fn file_name(&self) -> String {
        format!("{}.json", self.kind.replace('/', "-"))
    }

    /// Its text: the same for the same description.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Things that a container gets with these devices.
    ///
    /// # Errors
    /// The first one that is not described.
    pub fn edits(&self, names: &BTreeSet<String>) -> Result<Edits, NoDevice> {
        let mut edits = Edits::default();
        for name in names {
            let device = self.devices.iter().find(|device| device.name == *name);
            let device = device.ok_or_else(|| NoDevice { kind: self.kind.clone(), name: name.clone() })?;
            edits.add(&device.container_edits);
        }
        if !names.is_empty() {
            edits.add(&self.container_edits);
        }
        Ok(edits)
    }
}

/// A device that is not described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}={name} is no device that the machine has")]
pub struct NoDevice {
    /// Kind of the description.
    pub kind: String,
    /// Name of the device.
    pub name: String,
}
