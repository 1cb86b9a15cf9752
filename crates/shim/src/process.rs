//! Processes of an instance, as the kernel shows them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::signal;

/// Search path of helpers, which name their own program absolutely.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variable in which a helper finds the number of its shim, so that it can tell whether the shim that wanted it still lives.
pub const SHIM_VARIABLE: &str = "OPENMESH_SHIM";

/// Starts a helper with its standard output and error in the given pipes.
///
/// # Errors
/// The system's word.
pub fn spawn(
    command: &[String],
    folder: &Path,
    environment: &BTreeMap<String, String>,
    output: OwnedFd,
    error: OwnedFd,
) -> std::io::Result<Pid> {
    let (program, arguments) = command.split_first().ok_or_else(|| std::io::Error::other("the command is empty"))?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        // Signals to a group, as of an application that ends its own, do not reach the shim.
        .process_group(0)
        .env_clear()
        .env("PATH", PATH)
        .env(SHIM_VARIABLE, std::process::id().to_string())
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(error)
        .spawn()?;
    // Whatever ends is reaped in one place, this child too.
    Ok(Pid::from_child(&child))
}

/// Yield of one look at the children.
#[derive(Debug)]
pub enum Reaped {
    /// A child has ended, was stopped, or goes on.
    Child(Pid, WaitStatus),
    /// Nothing has changed.
    Nothing,
    /// There are no children at all.
    Childless,
}

/// Takes the next change of a child, without waiting.
pub fn reap() -> Reaped {
    let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
    loop {
        match rustix::process::wait(options) {
            Ok(Some((pid, status))) => return Reaped::Child(pid, status),
            Ok(None) => return Reaped::Nothing,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Reaped::Childless,
        }
    }
}

/// End of a process in words: `exit code 3`, `killed by SIGKILL`.
pub fn end_in_words(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => format!("killed by {}", signal::name(number)),
        (None, None) => "no end".into(),
    }
}

/// Sends a signal to an unreaped child, whose number nobody else can have; one that has ended meanwhile takes it without effect.
pub fn send(pid: Pid, number: i32) {
    if let Some(signal) = Signal::from_named_raw(number) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits until a descriptor has something to give, as that of a process that ends; returns false where the time is over before.
///
/// # Errors
/// The system's word.
pub fn wait_ready(descriptor: &impl AsFd, ms_max: u64) -> Result<bool, Errno> {
    let until = Instant::now() + Duration::from_millis(ms_max);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        match rustix::event::poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&limit)) {
            // A signal, which says nothing about the descriptor.
            Err(Errno::INTR) => {}
            other => return other.map(|count| count > 0),
        }
    }
}

/// Parent, start and state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Number of its parent.
    pub parent: i32,
    /// Clock ticks between the machine's boot and its start.
    pub start_ticks: u64,
    /// It has ended, and nobody has asked for its end yet.
    pub zombie: bool,
}

/// Reads `/proc/PID/stat`; none where there is no such process.
pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/PID/stat`, whose second field is a name in parentheses that can hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, start_ticks, zombie })
}

/// Sends SIGKILL to every child. The kernel's list of children is not everywhere, so all processes are asked for their parent.
pub fn kill_children() {
    let own = rustix::process::getpid().as_raw_pid();
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == own)) else { continue };
        if let Some(pid) = Pid::from_raw(pid) {
            send(pid, Signal::KILL.as_raw());
        }
    }
}

/// Reads the number in a pid file.
///
/// # Errors
/// A sentence about the file.
pub fn read_pid(path: &Path) -> Result<Pid, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| format!("no pid file {}: {cause}", path.display()))?;
    let number = text.trim().parse::<i32>().ok().filter(|number| *number > 1);
    number.and_then(Pid::from_raw).ok_or_else(|| format!("the pid file {} holds no number", path.display()))
}

/// Kills for want of memory that the kernel counts in the given files; none where no file says it.
pub fn oom_kills(files: &[PathBuf]) -> Option<u64> {
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    texts.filter_map(|text| parse_oom_kills(&text)).reduce(|sum, more| sum.saturating_add(more))
}

/// Reads the line `oom_kill N` of `memory.events` (cgroup v2) or `memory.oom_control` (v1).
fn parse_oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Name of this boot of the machine; empty where the kernel does not say it.
pub fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_its_parent() {
        let line = "42 (a) S 1 (b)) S 7 42 42 0 -1 4194560 9 0 0 0 0 0 0 0 20 0 1 0 123456 9 9";
        assert_eq!(parse_stat(line), Some(Stat { parent: 7, start_ticks: 123_456, zombie: false }));
        assert!(parse_stat(&line.replace(") S 7", ") Z 7")).unwrap().zombie);
        assert_eq!(parse_stat("42 (a) S"), None);
        let own = stat(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.parent > 0 && own.start_ticks > 0);
    }

    #[test]
    fn kills_are_counted_in_both_versions() {
        assert_eq!(parse_oom_kills("low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n"), Some(3));
        assert_eq!(parse_oom_kills("oom_kill_disable 0\nunder_oom 1\noom_kill 2\n"), Some(2));
        assert_eq!(parse_oom_kills("oom_kill_disable 0\nunder_oom 1\n"), None);
        assert_eq!(oom_kills(&["/nowhere".into()]), None);
    }

    #[test]
    fn pid_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        assert!(read_pid(&path).unwrap_err().contains("no pid file"));
        for (text, expected) in
            [("77\n", Some(77)), ("77", Some(77)), ("", None), ("x", None), ("-3", None), ("1", None)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_pid(&path).ok().map(Pid::as_raw_pid), expected, "{text}");
        }
    }
}
