//! The helper of the driver `libcontainer`: a process with one thread that lives for one task (X-43; `docs/spec/shim.md`, section 3).
//!
//! libcontainer forks by `clone3` without executing, which only a process with one thread may do, so it is linked into this small program and nowhere
//! else. It is a workspace of its own for two reasons: its features would compile half of the main workspace anew, and its tree has no
//! place in a binary that runs for months. A small binary also starts faster than a large one that is re-executed.
//!
//! - The first process is a child of the *caller* from its first moment (`as_sibling`), so a shim owns and reaps it without this library.
//! - A parent-death signal makes the kernel end it with a killed shim.
//! - Words for people are one line on standard error and in the file of `--log`; there is no tracing, which three processes would write at once.
//! - `delete` succeeds where there is nothing, and after any death within `create`.
//! - `exec` stays beside a process of a running instance until that has ended; `joined` becomes it.

use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::default::get_executor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use rustix::process::{
    Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};

mod console;
mod exec;
mod frames;
mod join;
mod session;
mod space;
mod space_task;

/// Exit code of a wrong command line.
const USAGE_CODE: u8 = 2;
/// Most causes of an error that are said: libcontainer wraps one in the other, four deep.
const CAUSES_MAX: usize = 8;
/// Variable in which a shim tells its helpers its own process number.
const PARENT_VARIABLE: &str = "OPENMESH_SHIM";
/// Times that the removal of a group is tried: a killed process is in it for some milliseconds more.
const REMOVALS_MAX: u32 = 100;

const USAGE: &str = "\
openmesh-cage-helper create --root DIR --bundle DIR --pid-file FILE [--log FILE] ID
openmesh-cage-helper start  --root DIR [--log FILE] ID
openmesh-cage-helper kill   --root DIR [--log FILE] ID SIGNAL
openmesh-cage-helper delete --root DIR [--log FILE] ID
openmesh-cage-helper state  --root DIR [--log FILE] ID
openmesh-cage-helper namespaces        --ids FIRST:COUNT --user FILE --net FILE
openmesh-cage-helper namespaces-remove --user FILE --net FILE
openmesh-cage-helper root        --user FILE --at DIR [--upper DIR --work DIR] LAYER...
openmesh-cage-helper root-remove --at DIR
openmesh-cage-helper exec --bundle DIR --pid PID --start TICKS --group FILE... [--runc FILE --root DIR --id ID --scratch DIR]
openmesh-cage-helper --version
";

/// A task that was not done.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// There is no such container.
    #[error("there is no container {id} below {root}")]
    Absent {
        /// Its name.
        id: String,
        /// Folder of all containers.
        root: PathBuf,
    },
    /// The library's word.
    #[error("container {id} cannot be {done}: {text}")]
    Library {
        /// Its name.
        id: String,
        /// `made`, `started`, ...
        done: &'static str,
        /// Error and causes.
        text: String,
    },
    /// Its first process has ended.
    #[error("the first process of container {id} has ended")]
    Ended {
        /// Its name.
        id: String,
    },
    /// Whoever wants the container has ended.
    #[error("whoever asked for container {id} has ended meanwhile")]
    Orphaned {
        /// Its name.
        id: String,
    },
    /// A file cannot be used.
    #[error("{path} cannot be used: {cause}")]
    Io {
        /// Its path.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
}

/// Does the task of a command line, without the program's name; says what failed on standard error and in the log.
pub fn helper_main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.collect();
    if arguments.iter().any(|argument| argument == "--version") {
        println!("openmesh-cage-helper {} (libcontainer 0.7)", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if arguments.first().is_some_and(|word| space_task::VERBS.contains(&word.as_str())) {
        return exit_code(space_task::run(&arguments), None);
    }
    match arguments.split_first() {
        Some((verb, rest)) if verb == "exec" => {
            return exit_code(exec::Target::parse(rest).and_then(|target| target.run()), None);
        }
        Some((verb, rest)) if verb == "joined" => {
            return join::Join::parse(rest).map_or(ExitCode::from(join::FAILED_CODE), |join| join.become_it());
        }
        _ => {}
    }
    match Task::parse(&arguments) {
        Ok(task) => exit_code(task.run(), task.log.as_deref()),
        Err(error) => exit_code(Err(error), None),
    }
}

/// Says what failed, on standard error and in a log.
fn exit_code(done: Result<(), HelperError>, log: Option<&Path>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ HelperError::Usage(_)) => {
            eprint!("{error}\n{USAGE}");
            ExitCode::from(USAGE_CODE)
        }
        Err(error) => {
            eprintln!("{error}");
            if let Some(path) = log {
                // Nobody is left to hear that the log cannot be written.
                let _ = std::fs::write(path, format!("{error}\n"));
            }
            ExitCode::FAILURE
        }
    }
}

/// A task for one container.
#[derive(Debug, Default)]
struct Task {
    verb: String,
    id: String,
    root: PathBuf,
    bundle: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    log: Option<PathBuf>,
    signal: Option<i32>,
}

impl Task {
    fn parse(arguments: &[String]) -> Result<Task, HelperError> {
        let usage = |text: String| HelperError::Usage(text);
        let mut task = Task::default();
        let mut words = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value =
                || rest.next().map(PathBuf::from).ok_or_else(|| usage(format!("{argument} lacks its value")));
            match argument.as_str() {
                "--root" => task.root = value()?,
                "--bundle" => task.bundle = Some(value()?),
                "--pid-file" => task.pid_file = Some(value()?),
                "--log" => task.log = Some(value()?),
                option if option.starts_with('-') => return Err(usage(format!("unknown option {option}"))),
                word => words.push(word.to_string()),
            }
        }
        let mut words = words.into_iter();
        task.verb = words.next().ok_or_else(|| usage("no task is named".into()))?;
        task.id = words.next().ok_or_else(|| usage("no container is named".into()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        if task.id.starts_with('.') || !task.id.chars().all(plain) {
            return Err(usage(format!("{} is no name of a container", task.id)));
        }
        if let Some(text) = words.next() {
            task.signal = Some(text.parse().map_err(|_| usage(format!("{text} is no number of a signal")))?);
        }
        let complete = match task.verb.as_str() {
            "create" => task.bundle.is_some() && task.pid_file.is_some(),
            "kill" => task.signal.is_some(),
            "start" | "delete" | "state" => true,
            _ => false,
        };
        let rooted = task.root.is_absolute();
        if complete && rooted { Ok(task) } else { Err(usage(format!("{} is no whole task", arguments.join(" ")))) }
    }

    fn run(&self) -> Result<(), HelperError> {
        match self.verb.as_str() {
            "create" => self.create(),
            "start" => self.load()?.start().map_err(|error| self.failed("started", &error)),
            "kill" => {
                let ended = || HelperError::Ended { id: self.id.clone() };
                let signal = self.signal.and_then(Signal::from_named_raw);
                let signal = signal.ok_or_else(|| HelperError::Usage("no signal has this number".into()))?;
                let (_, handle) = self.first(&self.load()?).ok_or_else(ended)?;
                pidfd_send_signal(&handle, signal).map_err(|_| ended())
            }
            "delete" => self.delete(),
            _ => self.state(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.id)
    }

    fn failed(&self, done: &'static str, error: &dyn std::error::Error) -> HelperError {
        let mut text = error.to_string();
        let mut cause = error.source();
        for _ in 0..CAUSES_MAX {
            let Some(error) = cause else { break };
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        HelperError::Library { id: self.id.clone(), done, text }
    }

    fn load(&self) -> Result<Container, HelperError> {
        if !self.folder().is_dir() {
            return Err(HelperError::Absent { id: self.id.clone(), root: self.root.clone() });
        }
        Container::load(self.folder()).map_err(|error| self.failed("read", &error))
    }

    /// First process of a container: its number, and a descriptor that can mean no other one. The library's note has the number alone, which may be another
    /// process' by now: that one is not in the container's group. None where it has ended.
    fn first(&self, container: &Container) -> Option<(i32, OwnedFd)> {
        let pid = container.pid()?.as_raw();
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let group = group_of(&self.folder())?;
        is_within(Path::new(&format!("/proc/{pid}")), &group).then_some((pid, handle))
    }

    /// Ends this process with whoever started it: one that goes on alone would, when it fails, clean up what a later run has made.
    fn tie(&self) -> Result<(), HelperError> {
        let parent = getppid();
        let told = std::env::var(PARENT_VARIABLE).ok().and_then(|text| text.parse().ok());
        let tied = set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
        let same = getppid() == parent && told.is_none_or(|told| Pid::from_raw(told) == parent);
        if tied && same { Ok(()) } else { Err(HelperError::Orphaned { id: self.id.clone() }) }
    }

    fn create(&self) -> Result<(), HelperError> {
        self.tie()?;
        let made = |error: &dyn std::error::Error| self.failed("made", error);
        let bundle = self.bundle.clone().unwrap_or_default();
        let pid_file = self.pid_file.clone().unwrap_or_default();
        remove_file(&pid_file)?;
        let built = ContainerBuilder::new(self.id.clone(), SyscallType::default())
            .with_root_path(&self.root)
            .and_then(|builder| builder.with_pid_file(Some(&pid_file)))
            .and_then(|builder| builder.validate_id())
            .map_err(|error| made(&error))?
            .with_executor(Tied { inner: get_executor() })
            .as_init(&bundle)
            .with_systemd(false)
            .with_detach(true)
            .as_sibling(true)
            .build();
        built.map_err(|error| made(&error))?;
        if let Some(group) = group_of(&self.folder()) {
            forbid_swap(&group)?;
        }
        // The library only logs that it could not write it.
        std::fs::metadata(&pid_file).map(|_| ()).map_err(|cause| HelperError::Io { path: pid_file, cause })
    }

    /// The library tells a container by its process number alone, which may be another process' by now: it may refuse for that reason, or
    /// kill what is in the container's group. Then files and groups go, whatever it said.
    fn delete(&self) -> Result<(), HelperError> {
        let folder = self.folder();
        if !folder.exists() {
            return Ok(());
        }
        let group = group_of(&folder);
        let mut last = None;
        for _ in 0..REMOVALS_MAX {
            match Container::load(folder.clone()).and_then(|mut container| container.delete(true)) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
            if !folder.join("state.json").exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        if group.as_ref().is_none_or(|path| is_free(path)) {
            return std::fs::remove_dir_all(&folder).map_err(|cause| HelperError::Io { path: folder, cause });
        }
        Err(last.map_or_else(
            || HelperError::Absent { id: self.id.clone(), root: self.root.clone() },
            |e| self.failed("removed", &e),
        ))
    }

    fn state(&self) -> Result<(), HelperError> {
        let mut container = self.load()?;
        container.refresh_status().map_err(|error| self.failed("read", &error))?;
        let first = self.first(&container);
        let ended = first.is_none() && container.pid().is_some();
        let status = if ended { "stopped".into() } else { container.status().to_string().to_lowercase() };
        let state = serde_json::json!({
            "ociVersion": "1.0.2",
            "id": self.id,
            "status": status,
            "pid": first.map_or(0, |(pid, _)| pid),
            "bundle": container.bundle(),
        });
        let mut output = std::io::stdout();
        let written = writeln!(output, "{state}").and_then(|()| output.flush());
        written.map_err(|cause| HelperError::Io { path: "/dev/stdout".into(), cause })
    }
}

fn remove_file(path: &Path) -> Result<(), HelperError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(HelperError::Io { path: path.into(), cause }),
        _ => Ok(()),
    }
}

/// Control group of a container, from the library's own note; none where it was not written yet.
fn group_of(folder: &Path) -> Option<PathBuf> {
    let bytes = std::fs::read(folder.join("youki_config.json")).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    value.get("cgroup_path").and_then(|path| path.as_str()).map(PathBuf::from)
}

/// Takes swap away from a group of version 2: every bundle says so, and libcgroups 0.7 takes a limit of zero for none. The agent writes it at the first start
/// alone; a restart by policy is the shim's, with a group made anew.
fn forbid_swap(group: &Path) -> Result<(), HelperError> {
    let mounts = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(mounts).map_err(|cause| HelperError::Io { path: mounts.into(), cause })?;
    let Some(root) = unified(&text) else { return Ok(()) };
    let path = Path::new(root).join(group.strip_prefix("/").unwrap_or(group)).join("memory.swap.max");
    match std::fs::write(&path, "0") {
        // The controller is on version 1, or the kernel has no swap.
        Err(cause) if cause.kind() != ErrorKind::NotFound && path.exists() => Err(HelperError::Io { path, cause }),
        _ => Ok(()),
    }
}

/// Mount point of the control groups of version 2 in a `mountinfo`.
fn unified(mountinfo: &str) -> Option<&str> {
    mountinfo.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4))
}

/// Returns true where no process of this machine is in a control group.
fn is_free(group: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    !entries.flatten().any(|entry| is_within(&entry.path(), group))
}

/// Returns true where a process, by its folder in `/proc`, is in a control group or below it, in any hierarchy.
fn is_within(process: &Path, group: &Path) -> bool {
    let suffix = format!(":{}", group.display());
    let text = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    text.lines().any(|line| line.ends_with(&suffix) || line.contains(&format!("{suffix}/")))
}

/// The library's own executor with a parent-death signal: set once when the process has its last user, since a change of user clears it, and once more
/// when it starts. Its parent cannot be asked for (it is outside of the pid namespace, where every number is 0); this helper ends with the parent too, and a first
/// process without its helper ends before it is ready.
#[derive(Clone)]
struct Tied {
    inner: Box<dyn Executor>,
}

impl Executor for Tied {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|errno| ExecutorError::Execution(Box::new(errno)))?;
        self.inner.exec(spec)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let set = set_parent_process_death_signal(Some(Signal::KILL));
        set.map_err(|errno| ExecutorValidationError::ArgValidationError(format!("no parent-death signal: {errno}")))?;
        self.inner.validate(spec)
    }
}
