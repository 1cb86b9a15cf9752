//! An instance as a bundle: a pure function to the OCI `config.json`, and the one effect that writes it.
//!
//! Constant for every instance, and therefore here: all seven namespaces are its own, no program gives privileges, the filter of system
//! calls, the paths that are hidden, the memory file systems, no core dumps (memory holds secrets), and that PID 1 of the host's machine is never
//! killed for want of memory before an instance is.
//!
//! `/sys` is a fresh file system of the kernel where the network namespace belongs to the instance's user namespace, which the kernel asks for, else
//! an empty folder: that of the host would show its devices.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::{
    Capabilities, Config, Cpu, DeviceRule, IdMapping, Linux, Memory, Mount, Namespace, OCI_VERSION, Pids, Process,
    Resources, User,
};
use crate::instance::{Bind, Device, Instance, Limits, is_name};
use crate::{Door, seccomp, through};

/// Period of the processor limit, microseconds: the kernel's default, short enough that a throttled service answers within human patience.
pub const CPU_PERIOD_US: u64 = 100_000;
/// Least share of a processor, thousandths: below it the kernel refuses the quota (1 ms in each period).
pub const PROCESSORS_MILLI_MIN: u64 = 10;
/// Least memory, bytes: below it not even the helper that becomes the first process fits.
pub const MEMORY_BYTES_MIN: u64 = 8 << 20;
/// Least number of processes: the first one and the threads of its runtime while it starts.
pub const PROCESSES_MIN: u64 = 8;
/// Open files of a process: Redis wants 10,032; below the 20,000 that the strictest machine seen allows, so the same everywhere.
pub const OPEN_FILES_MAX: u64 = 16_384;
/// Inclination of the out-of-memory killer: where the whole machine is short, instances go before the agent and whatever else runs on it.
pub const OOM_SCORE: i32 = 500;
/// Bytes of `/dev`: links and a few nodes.
const DEV_BYTES_MAX: u64 = 64 << 10;
/// Terminals of an instance at once: a person opens a handful; all of them come out of the 4,096 of the machine.
const TERMINALS_MAX: u32 = 64;
/// Group of terminals: `tty` in every distribution.
const TTY_GROUP: u32 = 5;
/// Bits that new files do not get: others do not write.
const UMASK: u32 = 0o022;
/// Search path where the variables name none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Paths that show the host or its secrets.
pub const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Paths through which the kernel is changed.
pub const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// An instance of which no bundle can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There is no program.
    #[error("the command is empty: give a command or an image with an entry point")]
    NoCommand,
    /// A text holds a NUL byte, or a variable an `=` in its name.
    #[error("`{field}` holds {text:?}, which cannot be passed to a program")]
    Text {
        /// Field.
        field: &'static str,
        /// The text.
        text: String,
    },
    /// A name is not one word.
    #[error("`{field}` is {text:?}: at most 64 letters, digits, `.`, `_` and `-`, not beginning with `.` or `-`")]
    Name {
        /// Field.
        field: &'static str,
        /// The text.
        text: String,
    },
    /// A path is not absolute and plain.
    #[error("`{field}` is {path:?}: it has to begin with / and be without `.`, `..`, empty parts and NUL")]
    Path {
        /// Field.
        field: &'static str,
        /// The path.
        path: String,
    },
    /// Two mounts share a path, or one hides a path of the system.
    #[error("{path} is mounted twice, or is a path of the system: choose another one")]
    Taken {
        /// The path.
        path: String,
    },
    /// A device that is no instance's.
    #[error("{path} is no place of a device: it has to lie below /dev, and beside what every instance has there")]
    Device {
        /// The path.
        path: String,
    },
    /// A number is out of its bounds.
    #[error("`{field}` is {value}, it has to be from {least} to {most}")]
    Bounds {
        /// Field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Least.
        least: u64,
        /// Most.
        most: u64,
    },
}

/// Makes the container of an instance.
///
/// # Errors
/// The first thing in it that cannot be (see [`BundleError`]).
pub fn config(instance: &Instance) -> Result<Config, BundleError> {
    check(instance)?;
    Ok(Config {
        oci_version: OCI_VERSION.into(),
        process: process(instance),
        root: crate::config::Root { path: instance.root.path.clone(), readonly: !instance.root.writable },
        hostname: instance.hostname.clone(),
        mounts: mounts(instance),
        linux: linux(instance),
    })
}

/// Bytes of `config.json`: the same for the same instance.
pub fn text(config: &Config) -> String {
    let mut text = serde_json::to_string_pretty(config).unwrap_or_default();
    text.push('\n');
    text
}

/// Writes `config.json` into a bundle's folder as one whole file that only root can read, since variables hold secrets.
///
/// # Errors
/// The system's word; a file before it stays as it was.
pub fn write(config: &Config, folder: &Path, door: Door<'_>) -> io::Result<PathBuf> {
    let path = folder.join("config.json");
    let beside = folder.join("config.json.new");
    through(door, "bundle.write", || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text(config).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        std::fs::File::open(folder)?.sync_all()
    })?;
    Ok(path)
}

/// Reads `config.json` of a bundle.
///
/// # Errors
/// The system's word, or the place at which it is no file of [`write`].
pub fn read(folder: &Path) -> io::Result<Config> {
    serde_json::from_slice(&std::fs::read(folder.join("config.json"))?).map_err(io::Error::other)
}

/// Paths that the bundle mounts itself.
const SYSTEM_TARGETS: [&str; 9] = ["/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/tmp", "/run"];
/// Names in `/dev` that every instance has.
const SYSTEM_DEVICES: [&str; 15] = [
    "console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
    "urandom", "zero",
];

fn check(instance: &Instance) -> Result<(), BundleError> {
    if instance.command.first().is_none_or(String::is_empty) {
        return Err(BundleError::NoCommand);
    }
    let texts = instance.command.iter().map(|text| ("command", text));
    for (field, text) in texts.chain(instance.variables.values().map(|text| ("variables", text))) {
        if text.contains('\0') {
            return Err(BundleError::Text { field, text: text.clone() });
        }
    }
    if let Some(name) = instance.variables.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(BundleError::Text { field: "variables", text: name.clone() });
    }
    let names = [
        ("hostname", &instance.hostname),
        ("group.agent", &instance.group.agent),
        ("group.instance", &instance.group.instance),
    ];
    for (field, text) in names {
        if !is_name(text) {
            return Err(BundleError::Name { field, text: text.clone() });
        }
    }
    check_paths(instance)?;
    check_numbers(instance)
}

fn check_paths(instance: &Instance) -> Result<(), BundleError> {
    let joined = [("namespaces.user", &instance.namespaces.user), ("namespaces.network", &instance.namespaces.network)];
    let mut paths = vec![("root.path", &instance.root.path), ("workdir", &instance.workdir)];
    paths.extend(joined.into_iter().filter_map(|(field, path)| Some((field, path.as_ref()?))));
    paths.extend(
        instance.binds.iter().flat_map(|bind| [("binds.source", &bind.source), ("binds.target", &bind.target)]),
    );
    let devices = instance.devices.iter();
    paths.extend(devices.flat_map(|one| [("devices.source", &one.source), ("devices.target", &one.target)]));
    for (field, path) in paths {
        if !is_plain(path) {
            return Err(BundleError::Path { field, path: path.clone() });
        }
    }
    let mut taken: BTreeSet<&str> = SYSTEM_TARGETS.into();
    for bind in &instance.binds {
        let below_system = ["/proc/", "/sys/", "/dev/"].iter().any(|folder| bind.target.starts_with(folder));
        if below_system || !taken.insert(&bind.target) {
            return Err(BundleError::Taken { path: bind.target.clone() });
        }
    }
    for Device { target, .. } in &instance.devices {
        let first = target.strip_prefix("/dev/").and_then(|rest| rest.split('/').next());
        if first.is_none_or(|first| SYSTEM_DEVICES.contains(&first)) {
            return Err(BundleError::Device { path: target.clone() });
        }
        if !taken.insert(target) {
            return Err(BundleError::Taken { path: target.clone() });
        }
    }
    Ok(())
}

fn is_plain(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path == "/" || !path.contains('\0') && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part))
}

fn check_numbers(instance: &Instance) -> Result<(), BundleError> {
    let (limits, memory, ids) = (&instance.limits, &instance.memory, &instance.ids);
    let (count, highest) = (u64::from(ids.count), u64::from(ids.count.saturating_sub(1)));
    let bytes_max = i64::MAX.cast_unsigned();
    let mut numbers = vec![
        ("ids.first", u64::from(ids.first), 1, u64::from(u32::MAX) - count),
        ("ids.count", count, 1, u64::from(u32::MAX) - 1),
        ("user.user", u64::from(instance.user.user), 0, highest),
        ("user.group", u64::from(instance.user.group), 0, highest),
        // A million processors.
        ("limits.processors_milli", limits.processors_milli, PROCESSORS_MILLI_MIN, 1_000_000_000),
        ("limits.memory_bytes", limits.memory_bytes, MEMORY_BYTES_MIN, bytes_max),
        // `PID_MAX_LIMIT` of the kernel.
        ("limits.processes", limits.processes, PROCESSES_MIN, 1 << 22),
        ("memory.tmp_bytes", memory.tmp_bytes, 1, bytes_max),
        ("memory.run_bytes", memory.run_bytes, 1, bytes_max),
        ("memory.shm_bytes", memory.shm_bytes, 1, bytes_max),
    ];
    numbers.extend(instance.user.groups.iter().map(|group| ("user.groups", u64::from(*group), 0, highest)));
    for (field, value, least, most) in numbers {
        if !(least..=most).contains(&value) {
            return Err(BundleError::Bounds { field, value, least, most });
        }
    }
    Ok(())
}

fn process(instance: &Instance) -> Process {
    let mut env: Vec<String> = instance.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !instance.variables.contains_key("PATH") {
        env.insert(0, PATH.into());
    }
    let mut groups = instance.user.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    Process {
        terminal: false,
        user: User { uid: instance.user.user, gid: instance.user.group, additional_gids: groups, umask: UMASK },
        args: instance.command.clone(),
        env,
        cwd: instance.workdir.clone(),
        capabilities: capabilities(instance),
        no_new_privileges: true,
        oom_score_adj: OOM_SCORE,
    }
}

/// Root keeps its capabilities over `execve` by the kernel's rule, and loses them by changing its user. Another user keeps them only as ambient ones,
/// which have to be inheritable.
fn capabilities(instance: &Instance) -> Capabilities {
    let mut names: Vec<String> = instance.capabilities.iter().map(|capability| capability.name().to_string()).collect();
    names.sort_unstable();
    let kept = if instance.user.user == 0 { Vec::new() } else { names.clone() };
    Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        permitted: names,
        inheritable: kept.clone(),
        ambient: kept,
    }
}

/// Mounts in order: a path comes after the one that holds it.
fn mounts(instance: &Instance) -> Vec<Mount> {
    let sizes = &instance.memory;
    let tmpfs = |target: &str, mode: &str, bytes: u64| {
        mount(target, "tmpfs", "tmpfs", &["nosuid", "nodev", mode, &format!("size={bytes}")])
    };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "noexec", "mode=755", &format!("size={DEV_BYTES_MAX}")]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                &format!("gid={TTY_GROUP}"),
                &format!("max={TERMINALS_MAX}"),
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", &format!("size={}", sizes.shm_bytes)],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        if owns_network(instance) {
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
        } else {
            mount("/sys", "tmpfs", "tmpfs", &["nosuid", "noexec", "nodev", "ro", "mode=755", "size=4096"])
        },
        tmpfs("/tmp", "mode=1777", sizes.tmp_bytes),
        tmpfs("/run", "mode=755", sizes.run_bytes),
    ];
    let mut binds: Vec<&Bind> = instance.binds.iter().collect();
    binds.sort_by(|a, b| a.target.cmp(&b.target));
    mounts.extend(binds.into_iter().map(|bind| {
        let write = if bind.writable { "rw" } else { "ro" };
        mount(&bind.target, "bind", &bind.source, &["bind", "rprivate", "nosuid", "nodev", write])
    }));
    let mut devices: Vec<&Device> = instance.devices.iter().collect();
    devices.sort_by(|a, b| a.target.cmp(&b.target));
    // A user namespace makes no nodes: those of the host are bound in.
    mounts.extend(
        devices.into_iter().map(|device| {
            mount(&device.target, "bind", &device.source, &["bind", "rprivate", "nosuid", "noexec", "rw"])
        }),
    );
    mounts
}

/// Returns true where the network namespace belongs to the instance's user namespace.
fn owns_network(instance: &Instance) -> bool {
    instance.namespaces.network.is_none() || instance.namespaces.user.is_some()
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let options = options.iter().map(ToString::to_string).collect();
    Mount { destination: target.into(), kind: kind.into(), source: source.into(), options }
}

fn linux(instance: &Instance) -> Linux {
    let ids = vec![IdMapping { container_id: 0, host_id: instance.ids.first, size: instance.ids.count }];
    let joined = |kind: &str| match kind {
        "user" => instance.namespaces.user.clone(),
        "network" => instance.namespaces.network.clone(),
        _ => None,
    };
    let kinds = ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"];
    let namespaces = kinds.map(|kind| Namespace { kind: kind.into(), path: joined(kind) });
    // Whoever made the namespace beforehand has set it there.
    let sysctl =
        [("net.ipv4.ip_unprivileged_port_start", "0")].map(|(name, value)| (name.to_string(), value.to_string()));
    Linux {
        uid_mappings: ids.clone(),
        gid_mappings: ids,
        sysctl: if instance.namespaces.network.is_none() { sysctl.into() } else { [].into() },
        resources: with_devices(resources(&instance.limits), &instance.devices),
        cgroups_path: instance.group.to_string(),
        namespaces: namespaces.into(),
        seccomp: seccomp::profile(instance.machine),
        masked_paths: MASKED.iter().map(ToString::to_string).collect(),
        readonly_paths: READ_ONLY.iter().map(ToString::to_string).collect(),
    }
}

/// Limits of a control group.
pub fn resources(limits: &Limits) -> Resources {
    let memory = limits.memory_bytes.cast_signed();
    Resources {
        devices: devices(),
        memory: Memory { limit: memory, swap: memory },
        cpu: Cpu { quota: cpu_quota_us(limits.processors_milli).cast_signed(), period: CPU_PERIOD_US },
        pids: Pids { limit: limits.processes.cast_signed() },
    }
}

/// Limits that let devices of the host be used, beside those that every instance has.
fn with_devices(mut resources: Resources, devices: &[Device]) -> Resources {
    let rule = |device: &Device| DeviceRule {
        allow: true,
        kind: "c".into(),
        major: Some(device.major.into()),
        minor: Some(device.minor.into()),
        access: "rw".into(),
    };
    resources.devices.extend(devices.iter().map(rule));
    resources
}

/// Microseconds of processor time in each [`CPU_PERIOD_US`].
fn cpu_quota_us(processors_milli: u64) -> u64 {
    processors_milli.saturating_mul(CPU_PERIOD_US) / 1_000
}

/// Devices on cgroup v1: none but those that every program expects, and terminals of its own. Nodes of others can be made, not opened.
fn devices() -> Vec<DeviceRule> {
    let rule = |allow, kind: &str, major, minor, access: &str| DeviceRule {
        allow,
        kind: kind.into(),
        major,
        minor,
        access: access.into(),
    };
    let character = |major, minor| rule(true, "c", Some(major), minor, "rwm");
    vec![
        rule(false, "a", None, None, "rwm"),
        rule(true, "c", None, None, "m"),
        rule(true, "b", None, None, "m"),
        character(1, Some(3)),
        character(1, Some(5)),
        character(1, Some(7)),
        character(1, Some(8)),
        character(1, Some(9)),
        character(5, Some(0)),
        character(5, Some(2)),
        character(136, None),
    ]
}
