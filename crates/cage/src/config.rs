//! The part of the OCI runtime specification's `config.json` that this crate writes, version 1.0.2.
//!
//! Types of our own and not those of the crate `oci-spec`: its capabilities are a hash set, so that the same bundle would have other bytes each
//! time, and its defaults add mounts, capabilities and limits that nobody asked for. Everything here is written in a fixed order, and a value
//! that is left out is absent. The helper of the other driver reads the golden file with `oci-spec`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the OCI runtime specification that is written: what runc 1.1 and libcontainer 0.7 both read.
pub const OCI_VERSION: &str = "1.0.2";

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// [`OCI_VERSION`].
    pub oci_version: String,
    /// First process.
    pub process: Process,
    /// Root file system.
    pub root: Root,
    /// Name of the host in it.
    pub hostname: String,
    /// Mounts in their order.
    pub mounts: Vec<Mount>,
    /// The part of Linux.
    pub linux: Linux,
}

/// First process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// It has a terminal.
    pub terminal: bool,
    /// User and groups, as seen in the user namespace.
    pub user: User,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Variables, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// No program gives privileges.
    pub no_new_privileges: bool,
    /// Inclination of the out-of-memory killer, -1000 to 1000.
    pub oom_score_adj: i32,
}

/// User and groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// More groups.
    pub additional_gids: Vec<u32>,
    /// Bits that new files do not get.
    pub umask: u32,
}

/// Capability sets, sorted names as `CAP_CHOWN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Upper bound of what can ever be had.
    pub bounding: Vec<String>,
    /// In use.
    pub effective: Vec<String>,
    /// Kept by programs that ask for it.
    pub inheritable: Vec<String>,
    /// Can be used.
    pub permitted: Vec<String>,
    /// Kept by programs of users other than 0.
    pub ambient: Vec<String>,
}

/// Root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Its folder.
    pub path: String,
    /// Nothing is written to it.
    pub readonly: bool,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Path in the container.
    pub destination: String,
    /// File system, or `bind`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Source: a path of the host for `bind`.
    pub source: String,
    /// Options in their order.
    pub options: Vec<String>,
}

/// The part of Linux.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Linux {
    /// User ids.
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids.
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel settings of its namespaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// Limits of its control group.
    pub resources: Resources,
    /// Absolute path of its control group below each hierarchy.
    pub cgroups_path: String,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Filter of system calls.
    pub seccomp: Seccomp,
    /// Paths that cannot be seen.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<String>,
}

/// A range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdMapping {
    /// First id in the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First id on the host.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// Number of ids.
    pub size: u32,
}

/// Limits of a control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Devices, later rules over earlier ones. cgroup v1 only: on v2 the user namespace alone keeps devices away.
    pub devices: Vec<DeviceRule>,
    /// Memory.
    pub memory: Memory,
    /// Processors.
    pub cpu: Cpu,
    /// Processes.
    pub pids: Pids,
}

/// A rule for devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRule {
    /// They are allowed.
    pub allow: bool,
    /// `a` for all, `c` for characters, `b` for blocks.
    #[serde(rename = "type")]
    pub kind: String,
    /// Major number, or every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    /// Minor number, or every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    /// Some of `r`, `w` and `m`.
    pub access: String,
}

/// Memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Bytes.
    pub limit: i64,
    /// Bytes of memory and swap together.
    pub swap: i64,
}

/// Processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Microseconds of processor time in each period.
    pub quota: i64,
    /// Microseconds.
    pub period: u64,
}

/// Processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pids {
    /// Processes and threads.
    pub limit: i64,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// Its kind, as `pid`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One that is there already; without it a new one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Filter of system calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seccomp {
    /// Answer to calls that no rule names.
    pub default_action: String,
    /// Its error number.
    pub default_errno_ret: u32,
    /// Architectures whose calls are looked at; others end the process.
    pub architectures: Vec<String>,
    /// Rules.
    pub syscalls: Vec<Syscalls>,
}

/// A rule for system calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Syscalls {
    /// Names.
    pub names: Vec<String>,
    /// Answer.
    pub action: String,
    /// Its error number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions, all of which hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Argument>,
}

/// A condition on an argument of a system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Argument {
    /// Number of the argument, from 0.
    pub index: usize,
    /// Value.
    pub value: u64,
    /// Comparison.
    pub op: String,
}
