//! A running instance, read from the kernel and held against its bundle.
//!
//! [`observe`] reads, [`compare`] is pure, [`check`] does both and believes only what it sees twice: processes come and go while they are read. Every process of the group is looked at, not the first one alone. A process may have *less* than its
//! bundle says (an entry point that drops its user drops its capabilities), never more. Mounts are looked at both ways: one that is missing or weaker, and one that
//! nobody asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::bundle::OPEN_FILES_MAX;
use crate::cgroup::{CgroupError, Controller, Group, files};
use crate::config::{Config, IdMapping};

mod compare;
pub(crate) mod proc;

pub use compare::compare;
pub use proc::{MountLine, Privileges};

/// Namespaces of X-40: name in the bundle and in `/proc/PID/ns`.
const NAMESPACES: [(&str, &str); 7] = [
    ("user", "user"),
    ("mount", "mnt"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
];

/// Pause between two looks, milliseconds: a process that a driver is just making is in the group before it has given up the host's rights.
const SETTLE_MS: u64 = 250;

/// Limits with which a container's processes are made: name in `/proc/PID/limits` and highest hard value.
const PROCESS_LIMITS: [(&str, u64); 2] = [("Max core file size", 0), ("Max open files", OPEN_FILES_MAX)];

/// An instance that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ReadbackError {
    /// Its first process has ended.
    #[error("process {pid} has ended")]
    Ended {
        /// Number.
        pid: u32,
    },
    /// A file of the kernel cannot be read or is not of its form.
    #[error("{path}: {text}")]
    File {
        /// Its path.
        path: PathBuf,
        /// The problem.
        text: String,
    },
    /// Its control group cannot be read.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// A running instance, as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Number of its first process.
    pub first: u32,
    /// Processes of its group by number.
    pub processes: BTreeMap<u32, Privileges>,
    /// User ids.
    pub uid_map: Vec<IdMapping>,
    /// Group ids.
    pub gid_map: Vec<IdMapping>,
    /// Numbers of its namespaces, by their name in the bundle.
    pub namespaces: BTreeMap<&'static str, u64>,
    /// Numbers of the reader's namespaces.
    pub own_namespaces: BTreeMap<&'static str, u64>,
    /// Numbers of the namespaces that it was to join.
    pub joined: BTreeMap<&'static str, u64>,
    /// Mounts in their order.
    pub mounts: Vec<MountLine>,
    /// Masked and read-only paths that are there.
    pub system_paths: BTreeSet<String>,
    /// Hard limits of its first process, from `/proc/PID/limits`; none where there is no limit.
    pub process_limits: BTreeMap<&'static str, Option<u64>>,
    /// Texts of limits, by file; none where there is no such file.
    pub limits: Vec<(files::Write, Option<String>)>,
    /// Lines of `devices.list`; none on v2.
    pub devices: Option<BTreeSet<String>>,
}

/// A difference between an instance and its bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The first process is not in the group.
    Outside {
        /// Its number.
        pid: u32,
    },
    /// A process has no filter of system calls.
    NoSeccomp {
        /// Its number.
        pid: u32,
        /// Mode found; 2 is a filter.
        mode: u32,
    },
    /// Programs can give privileges to a process.
    NewPrivileges {
        /// Its number.
        pid: u32,
    },
    /// A process has capabilities beyond its bundle's.
    Capabilities {
        /// Its number.
        pid: u32,
        /// Name of the set.
        set: &'static str,
        /// Bits that are allowed.
        allowed: u64,
        /// Bits found.
        found: u64,
    },
    /// Ids are mapped otherwise.
    IdMap {
        /// `uid_map` or `gid_map`.
        file: &'static str,
        /// As it should be.
        expected: Vec<IdMapping>,
        /// As it is.
        found: Vec<IdMapping>,
    },
    /// A namespace is the host's.
    SharedNamespace {
        /// Its kind.
        kind: &'static str,
    },
    /// A namespace is not the one that was to be joined.
    OtherNamespace {
        /// Its kind.
        kind: &'static str,
    },
    /// A mount is not there.
    MountMissing {
        /// Its path.
        target: String,
    },
    /// A mount is weaker than asked for, or of another kind.
    MountDiffers {
        /// Its path.
        target: String,
        /// Its lack: an option, a kind or a size.
        lacks: String,
    },
    /// A mount that nobody asked for.
    MountUnknown {
        /// Its path.
        target: String,
    },
    /// A path of the system is neither masked nor read-only.
    Exposed {
        /// The path.
        path: String,
    },
    /// A limit is another.
    Limit {
        /// Its file.
        file: &'static str,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A hard limit of the first process is above what it was made with.
    ProcessLimit {
        /// Its name in `/proc/PID/limits`.
        name: &'static str,
        /// As it was made.
        allowed: u64,
        /// As it is; none where there is no limit.
        found: Option<u64>,
    },
    /// A device can be used.
    Device {
        /// The kernel's line.
        line: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Outside { pid } => write!(f, "process {pid} is not in the control group of its instance"),
            Difference::NoSeccomp { pid, mode } => {
                write!(f, "process {pid} has no filter of system calls (mode {mode}, not 2)")
            }
            Difference::NewPrivileges { pid } => {
                write!(f, "process {pid} can gain privileges: no_new_privs is not set")
            }
            Difference::Capabilities { pid, set, allowed, found } => {
                let more = found & !allowed;
                write!(f, "process {pid} has capabilities {more:#x} in {set} beyond its {allowed:#x}")
            }
            Difference::IdMap { file, expected, found } => {
                write!(f, "{file} is {}, not {}", map_text(found), map_text(expected))
            }
            Difference::SharedNamespace { kind } => write!(f, "the {kind} namespace is the host's"),
            Difference::OtherNamespace { kind } => {
                write!(f, "the {kind} namespace is not the one that was made for it")
            }
            Difference::MountMissing { target } => write!(f, "nothing is mounted at {target}"),
            Difference::MountDiffers { target, lacks } => write!(f, "the mount at {target} lacks {lacks}"),
            Difference::MountUnknown { target } => write!(f, "a mount at {target} that nobody asked for"),
            Difference::Exposed { path } => write!(f, "{path} is neither hidden nor read-only as it should be"),
            Difference::Limit { file, expected, found } => write!(f, "{file} is {found}, not {expected}"),
            Difference::ProcessLimit { name, allowed, found } => {
                let found = found.map_or("unlimited".into(), |found| found.to_string());
                write!(f, "the first process has {found} as {name}, more than {allowed}")
            }
            Difference::Device { line } => write!(f, "devices `{line}` can be used"),
        }
    }
}

fn map_text(map: &[IdMapping]) -> String {
    let entries: Vec<String> =
        map.iter().map(|entry| format!("{}+{} as {}", entry.host_id, entry.size, entry.container_id)).collect();
    if entries.is_empty() { "empty".into() } else { entries.join(", ") }
}

/// Differences between an instance and its bundle that two looks have shown, a moment apart; none is as it should be. `pid` is its first process, as its shim tells it.
///
/// # Errors
/// The first process has ended, or a file of the kernel cannot be read.
pub fn check(config: &Config, pid: u32, group: &Group) -> Result<Vec<Difference>, ReadbackError> {
    let mut found = compare(config, &observe(config, pid, group)?);
    if !found.is_empty() {
        // The kernel tells of no change. A driver's process on its way in has given up the host's rights by then.
        std::thread::sleep(std::time::Duration::from_millis(SETTLE_MS));
        let again = compare(config, &observe(config, pid, group)?);
        found.retain(|difference| again.contains(difference));
    }
    Ok(found)
}

/// Text of a file in which the name of a process stands: that can hold any bytes, and hides nothing else.
fn text_of(path: &Path) -> std::io::Result<String> {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Privileges of a process; none where it has ended, also where its end was not asked for yet. Where only its first thread has ended, those of another one.
fn privileges(pid: u32) -> Option<Privileges> {
    let status = |path: PathBuf| text_of(&path.join("status")).ok().filter(|text| !proc::has_ended(text));
    let process = PathBuf::from(format!("/proc/{pid}"));
    let threads = || std::fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let text = status(process.clone()).or_else(|| threads().find_map(|thread| status(thread.path())))?;
    proc::privileges(&text)
}

/// Start of a process, which tells it from another one with its number.
fn start(pid: u32) -> Result<u64, ReadbackError> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = text_of(&path).map_err(|cause| gone_or(pid, &path, &cause))?;
    proc::start_ticks(&text).ok_or_else(|| ReadbackError::File { path, text: "is no state of a process".into() })
}

/// Reads what an instance has: `pid` is its first process, as its shim tells it.
///
/// # Errors
/// The first process has ended, or a file of the kernel cannot be read.
pub fn observe(config: &Config, pid: u32, group: &Group) -> Result<Observed, ReadbackError> {
    let begun = start(pid)?;
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|cause| gone_or(pid, &path, &cause))
    };
    let map = |name: &str| {
        let malformed = || ReadbackError::File { path: folder.join(name), text: "is no map of ids".into() };
        proc::id_map(&text(name)?).ok_or_else(malformed)
    };
    let paths = config.linux.masked_paths.iter().chain(&config.linux.readonly_paths);
    let there = |path: &&String| std::fs::symlink_metadata(format!("/proc/{pid}/root{path}")).is_ok();
    let mut processes = BTreeMap::new();
    for member in group.processes()? {
        processes.extend(privileges(member).map(|found| (member, found)));
    }
    // A number that has left the group meanwhile may have been another process' when it was read.
    let members = group.processes()?;
    processes.retain(|member, _| members.contains(member));
    let observed = Observed {
        first: pid,
        processes,
        uid_map: map("uid_map")?,
        gid_map: map("gid_map")?,
        namespaces: namespaces(&pid.to_string(), pid)?,
        own_namespaces: namespaces("self", pid)?,
        joined: joined(config)?,
        mounts: proc::mounts(&text("mountinfo")?),
        system_paths: paths.filter(there).cloned().collect(),
        process_limits: process_limits(&text("limits")?),
        limits: limits(config, group)?,
        devices: devices(group)?,
    };
    if start(pid)? == begun { Ok(observed) } else { Err(ReadbackError::Ended { pid }) }
}

fn gone_or(pid: u32, path: &Path, cause: &std::io::Error) -> ReadbackError {
    // ESRCH: a file of a process that has ended since it was opened.
    let ended = cause.kind() == std::io::ErrorKind::NotFound || cause.raw_os_error() == Some(3);
    if ended {
        ReadbackError::Ended { pid }
    } else {
        ReadbackError::File { path: path.into(), text: cause.to_string() }
    }
}

fn namespaces(process: &str, pid: u32) -> Result<BTreeMap<&'static str, u64>, ReadbackError> {
    let number = |(kind, file): (&'static str, &str)| {
        let path = PathBuf::from(format!("/proc/{process}/ns/{file}"));
        std::fs::metadata(&path).map(|found| (kind, found.ino())).map_err(|cause| gone_or(pid, &path, &cause))
    };
    NAMESPACES.into_iter().map(number).collect()
}

fn joined(config: &Config) -> Result<BTreeMap<&'static str, u64>, ReadbackError> {
    let mut joined = BTreeMap::new();
    for (kind, _) in NAMESPACES {
        let found = config.linux.namespaces.iter().find(|namespace| namespace.kind == kind);
        let Some(path) = found.and_then(|namespace| namespace.path.as_ref()) else { continue };
        let failed = |cause: std::io::Error| ReadbackError::File { path: path.into(), text: cause.to_string() };
        joined.insert(kind, std::fs::metadata(path).map_err(failed)?.ino());
    }
    Ok(joined)
}

/// Hard limits by name; one that the kernel does not show is as none.
fn process_limits(text: &str) -> BTreeMap<&'static str, Option<u64>> {
    PROCESS_LIMITS.into_iter().map(|(name, _)| (name, proc::hard_limit(text, name))).collect()
}

fn limits(config: &Config, group: &Group) -> Result<Vec<(files::Write, Option<String>)>, ReadbackError> {
    let mut found = Vec::new();
    for write in files::limits(group.layout(), &config.linux.resources) {
        let text = crate::cgroup::group::read(&group.folder(write.controller).join(write.file))?;
        found.push((write, text.map(|text| text.trim().to_string())));
    }
    Ok(found)
}

fn devices(group: &Group) -> Result<Option<BTreeSet<String>>, ReadbackError> {
    if matches!(group.layout(), crate::cgroup::Layout::V2 { .. }) {
        return Ok(None);
    }
    let text = crate::cgroup::group::read(&group.folder(Controller::Devices).join("devices.list"))?;
    Ok(text.map(|text| text.lines().map(ToString::to_string).collect()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_process_whose_name_is_no_text_is_looked_at_too() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(OsStr::from_bytes(b"\xff\xfe"));
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(&program).arg("1000").spawn().unwrap();
        let found = (privileges(child.id()), start(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.0.is_some() && found.1.is_ok(), "{found:?}");
    }
}
