//! The process that becomes one of a running instance: it takes on what the first process has, and nothing beyond it, then runs the program.
//!
//! libcontainer's own builder for further processes is not used: version 0.7 joins every namespace but the user's, so that its process would be the host's
//! root, and gives it no filter of system calls. What it has in parts (ids, capabilities, filter) is used here, in its order.
//!
//! Whoever starts this has entered the instance's pid namespace for its children, so number 1 is the instance's first process and can be nobody else.
//! Control groups come last, by files that were opened before: the kernel asks for the rights of whoever opened them. So no process of the group is ever
//! seen with more than its bundle says.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libcontainer::capabilities;
use libcontainer::oci_spec::runtime::{Process, Spec};
use libcontainer::seccomp::initialize_seccomp;
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Gid, Uid};
use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, pidfd_open, set_dumpable_behavior, set_parent_process_death_signal,
};

use crate::frames::Request;

/// Variable with the request, for this process alone: others of the host cannot read it, as they can arguments.
pub const REQUEST_VARIABLE: &str = "OPENMESH_JOIN";
/// Exit code where this program could not make the process. Source: Docker's `exec`.
pub const FAILED_CODE: u8 = 125;
/// Exit code where the program is there and cannot be run. Source: POSIX, the shell.
const NOT_RUNNABLE_CODE: u8 = 126;
/// Exit code where the program is not there. Source: POSIX, the shell.
const NOT_FOUND_CODE: u8 = 127;
/// Largest `/etc/passwd` that is read, bytes.
const PASSWD_BYTES_MAX: u64 = 1 << 20;
/// Terminal type where nobody names one: what every database of terminals has.
const TERM: &str = "xterm";

/// Facts beside the request.
#[derive(Debug, Default)]
pub struct Join {
    /// The instance's `config.json`.
    pub config: PathBuf,
    /// Number of the process that starts this one.
    pub parent: i32,
    /// Files `cgroup.procs` of the instance's groups.
    pub groups: Vec<PathBuf>,
}

impl Join {
    /// Reads the words after `joined`.
    pub fn parse(words: &[String]) -> Option<Join> {
        let mut join = Join::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--config" => join.config = rest.next()?.into(),
                "--parent" => join.parent = rest.next()?.parse().ok()?,
                "--group" => join.groups.push(rest.next()?.into()),
                _ => return None,
            }
        }
        (join.config.is_absolute() && !join.groups.is_empty() && join.parent > 0).then_some(join)
    }

    /// Becomes the process that is asked for. Returns only where that failed, after a word on standard error.
    pub fn become_it(&self) -> ExitCode {
        let (code, words) = match self.prepare() {
            Ok(mut command) => {
                let cause = command.exec();
                let code =
                    if cause.kind() == std::io::ErrorKind::NotFound { NOT_FOUND_CODE } else { NOT_RUNNABLE_CODE };
                (code, format!("{}: {cause}", command.get_program().to_string_lossy()))
            }
            Err(words) => (FAILED_CODE, words),
        };
        let _ = writeln!(std::io::stderr(), "openmesh: {words}");
        ExitCode::from(code)
    }

    /// Everything up to the program.
    fn prepare(&self) -> Result<Command, String> {
        let failed = |act: &'static str| move |cause: rustix::io::Errno| format!("{act}: {cause}");
        // Nobody traces this process on its way in, and whatever the host's root has open stays unseen.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("hiding from tracing"))?;
        tie()?;
        // What whoever started the agent has open would come with the program.
        create_syscall().close_range(0).map_err(|cause| format!("keeping open files of the host out: {cause}"))?;
        if parent_of_self() != Some(self.parent) {
            return Err("whoever asked has ended meanwhile".into());
        }
        let text = std::env::var(REQUEST_VARIABLE).map_err(|_| "there is no request".to_string())?;
        let request = Request::parse(text.as_bytes())?;
        let spec = Spec::load(&self.config).map_err(|cause| format!("{}: {cause}", self.config.display()))?;
        let process = spec.process().clone().ok_or("the bundle names no process")?;
        let filter = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
        let filter = filter.ok_or("the bundle names no filter of system calls")?;
        if process.no_new_privileges() != Some(true) {
            return Err("the bundle lets programs gain privileges".into());
        }
        if let Some(score) = process.oom_score_adj() {
            std::fs::write("/proc/self/oom_score_adj", score.to_string())
                .map_err(|cause| format!("/proc/self/oom_score_adj: {cause}"))?;
        }
        let groups = self.groups.iter().map(|path| open_group(path)).collect::<Result<Vec<File>, _>>()?;
        enter()?;
        rustix::process::setsid().map_err(failed("making a session"))?;
        if request.terminal.is_some() {
            rustix::process::ioctl_tiocsctty(std::io::stdin()).map_err(failed("taking the terminal"))?;
        }
        become_user(&process)?;
        let folder = request.folder.clone().unwrap_or_else(|| process.cwd().display().to_string());
        go_to(&folder)?;
        let mut variables = variables(&process, &request);
        let user = process.user().uid();
        variables.entry("HOME".into()).or_insert_with(|| home(user).unwrap_or_else(|| "/".into()));
        initialize_seccomp(&filter).map_err(|cause| format!("setting the filter of system calls: {cause}"))?;
        for (mut group, path) in groups.into_iter().zip(&self.groups) {
            group.write_all(b"0").map_err(|cause| format!("entering {}: {cause}", path.display()))?;
        }
        let (program, arguments) = request.command.split_first().ok_or("the command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(variables);
        Ok(command)
    }
}

fn open_group(path: &Path) -> Result<File, String> {
    OpenOptions::new().write(true).open(path).map_err(|cause| format!("{}: {cause}", path.display()))
}

/// Ends this process with the one that started it.
fn tie() -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|cause| format!("no parent-death signal: {cause}"))
}

/// Number of this process' parent on the host, which cannot be asked for by system call from within the instance.
fn parent_of_self() -> Option<i32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Enters the namespaces of the first process, all at once. Its root directory is the one of the mount namespace.
fn enter() -> Result<(), String> {
    let first =
        pidfd_open(Pid::INIT, PidfdFlags::empty()).map_err(|cause| format!("finding the first process: {cause}"))?;
    let all = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    setns(&first, all).map_err(|cause| format!("entering the instance's namespaces: {cause}"))
}

/// Takes on the user, groups and capabilities of the bundle, and no way to more.
fn become_user(process: &Process) -> Result<(), String> {
    let failed = |cause: libcontainer::syscall::SyscallError| format!("becoming the instance's user: {cause}");
    let (user, system) = (process.user(), create_syscall());
    if let Some(mask) = user.umask() {
        rustix::process::umask(Mode::from_bits_truncate(mask));
    }
    let groups: Vec<Gid> = user.additional_gids().iter().flatten().map(|group| Gid::from_raw(*group)).collect();
    system.set_groups(&groups).map_err(failed)?;
    system.set_id(Uid::from_raw(user.uid()), Gid::from_raw(user.gid())).map_err(failed)?;
    rustix::thread::set_no_new_privs(true).map_err(|cause| format!("giving up new privileges: {cause}"))?;
    // A change of user has cleared it.
    tie()?;
    let wanted = process.capabilities().clone().ok_or("the bundle names no capabilities")?;
    capabilities::reset_effective(system.as_ref()).map_err(failed)?;
    capabilities::drop_privileges(&wanted, system.as_ref()).map_err(failed)
}

/// Goes to the working directory, which has to be within the instance's root: a link of the instance could lead to something that is open here.
fn go_to(folder: &str) -> Result<(), String> {
    std::env::set_current_dir(folder).map_err(|cause| format!("the working directory {folder}: {cause}"))?;
    match std::env::current_dir() {
        Ok(found) if found.is_absolute() => Ok(()),
        _ => Err(format!("the working directory {folder} is not within the instance")),
    }
}

/// The bundle's variables, with those of the request in their place, and a terminal type where nobody named one.
pub fn variables(process: &Process, request: &Request) -> BTreeMap<String, String> {
    let lines = process.env().iter().flatten().chain(&request.environment).filter_map(|line| line.split_once('='));
    let mut found: BTreeMap<String, String> = lines.map(|(name, value)| (name.into(), value.into())).collect();
    if request.terminal.is_some() {
        found.entry("TERM".into()).or_insert_with(|| TERM.into());
    }
    found
}

/// Home of a user in the instance's own list. What is no plain file is not opened: reading it could take for ever.
fn home(user: u32) -> Option<String> {
    let path = Path::new("/etc/passwd");
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(PASSWD_BYTES_MAX).read_to_string(&mut text).ok()?;
    let wanted = user.to_string();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.get(2) == Some(&wanted.as_str()))?;
    fields.get(5).filter(|home| home.starts_with('/')).map(ToString::to_string)
}
