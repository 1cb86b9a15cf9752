//! An instance as a generation holds it: every choice made, plain values, no paths to look for.
//!
//! Close to `Resolved` and `Placed` of the blueprint, from which it is filled without a choice. What is constant for every instance is
//! no field and stands in [`crate::bundle`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name of a container, bytes: it is a file name and part of a socket's path of at most 107.
pub const NAME_BYTES_MAX: usize = 64;

/// An instance of an application with every choice made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Name of the host in it: the application's.
    pub hostname: String,
    /// Processor architecture of the machine.
    pub machine: Machine,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment variables with the values of secrets filled in.
    pub variables: BTreeMap<String, String>,
    /// Working directory.
    pub workdir: String,
    /// User and groups of the first process.
    pub user: Identity,
    /// Root file system.
    pub root: Root,
    /// Volumes and files.
    pub binds: Vec<Bind>,
    /// Devices of the host.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Memory file systems.
    pub memory: MemoryFiles,
    /// Limits.
    pub limits: Limits,
    /// Capabilities in its own user namespace.
    pub capabilities: BTreeSet<Capability>,
    /// Its ids on the host.
    pub ids: IdRange,
    /// Namespaces that are there already.
    pub namespaces: Joined,
    /// Its control group.
    pub group: GroupPath,
}

/// Processor architectures for which there is a filter of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Machine {
    /// The machine that this program was compiled for; none where there is no filter for it.
    pub fn own() -> Option<Machine> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Machine::X86_64),
            "aarch64" => Some(Machine::Aarch64),
            _ => None,
        }
    }
}

/// User and groups of a process, as seen in its user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
    /// More groups.
    pub groups: Vec<u32>,
}

/// Root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Folder on the host, whose owners are ids of the instance's range.
    pub path: String,
    /// Root can be written: the folder is a bounded overlay then.
    pub writable: bool,
}

/// A file or folder of the host in the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    /// Path on the host.
    pub source: String,
    /// Path in the instance.
    pub target: String,
    /// The instance can write to it.
    pub writable: bool,
}

/// A device of the host in the instance: of characters, to read and to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Path of its node on the host, which the instance's own ids may open: the host's node in `/dev` is often of a group that no instance has.
    pub source: String,
    /// Path in the instance, below `/dev`.
    pub target: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
}

/// Sizes of the memory file systems, bytes. What lies in them counts as memory of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryFiles {
    /// `/tmp`.
    pub tmp_bytes: u64,
    /// `/run`.
    pub run_bytes: u64,
    /// `/dev/shm`.
    pub shm_bytes: u64,
}

/// Limits of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Thousandths of a processor.
    pub processors_milli: u64,
    /// Memory, bytes; swap is none.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// Capabilities that an instance may have in its own user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Change owners of files.
    Chown,
    /// Pass over permissions of files.
    DacOverride,
    /// Act as the owner of any file.
    Fowner,
    /// Signal processes of other users.
    Kill,
    /// Listen below port 1024, where the network namespace belongs to the user namespace.
    NetBindService,
    /// Change groups.
    Setgid,
    /// Change users.
    Setuid,
}

impl Capability {
    /// All of them, sorted by name.
    pub const ALL: [Capability; 7] = [
        Capability::Chown,
        Capability::DacOverride,
        Capability::Fowner,
        Capability::Kill,
        Capability::NetBindService,
        Capability::Setgid,
        Capability::Setuid,
    ];

    /// Name in the OCI specification.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Chown => "CAP_CHOWN",
            Capability::DacOverride => "CAP_DAC_OVERRIDE",
            Capability::Fowner => "CAP_FOWNER",
            Capability::Kill => "CAP_KILL",
            Capability::NetBindService => "CAP_NET_BIND_SERVICE",
            Capability::Setgid => "CAP_SETGID",
            Capability::Setuid => "CAP_SETUID",
        }
    }

    /// Its bit in the sets that `/proc/PID/status` shows (`capability.h` of the kernel).
    pub fn bit(self) -> u32 {
        match self {
            Capability::Chown => 0,
            Capability::DacOverride => 1,
            Capability::Fowner => 3,
            Capability::Kill => 5,
            Capability::Setgid => 6,
            Capability::Setuid => 7,
            Capability::NetBindService => 10,
        }
    }
}

/// Ids of an instance on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    /// First of them.
    pub first: u32,
    /// Their number.
    pub count: u32,
}

/// Namespaces that are there before the instance and outlive its restarts. Those left out are made new.
///
/// A network namespace has to belong to the user namespace that is given beside it: libcontainer enters the user namespace first, and then may enter
/// no network of another owner. runc enters the network first and takes either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// Path of a user namespace with the instance's id maps.
    pub user: Option<String>,
    /// Path of a network namespace.
    pub network: Option<String>,
}

/// Control group of an instance: below one of its agent, so that several agents share a machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPath {
    /// Name of the agent.
    pub agent: String,
    /// Name of the instance.
    pub instance: String,
}

impl GroupPath {
    /// Name of the group that holds all of an agent's.
    pub fn parent(&self) -> String {
        format!("openmesh-{}", self.agent)
    }
}

/// Absolute path below each hierarchy.
impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/openmesh-{}/{}", self.agent, self.instance)
    }
}

/// Returns true for a name that is one part of a path and one word: letters, digits, `.`, `_`, `-`, not beginning with `.` or `-`.
pub fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with(['.', '-'])
}
