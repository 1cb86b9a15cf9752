//! State that survives a shim: its status as a file, the lock of a living shim, and what a dead one left behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::config::Config;
use crate::process;
use crate::protocol::{First, Status};

/// Largest state file, bytes: a status with all its ends, many times over.
const STATE_BYTES_MAX: u64 = 1 << 20;
/// Time for which a lock is tried, milliseconds: somebody who looks holds it for less than one.
const LOCK_MS_MAX: u64 = 1_000;
/// Time that a killed process is waited for, milliseconds: it can be within a slow system call.
const KILL_MS_MAX: u64 = 10_000;

/// State that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another shim serves this instance.
    #[error("another shim holds {path}: this instance has its shim")]
    Held {
        /// Its lock.
        path: PathBuf,
    },
    /// A file cannot be used.
    #[error("{path} cannot be used: {cause}")]
    Io {
        /// Its path.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The first process of a dead shim cannot be reached.
    #[error("process {pid}, left by an earlier shim, cannot be ended: {cause}")]
    Unreachable {
        /// Its number.
        pid: u32,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The first process of a dead shim does not end.
    #[error("process {pid}, left by an earlier shim, does not end after SIGKILL")]
    Undying {
        /// Its number.
        pid: u32,
    },
}

/// State of an instance's shim, seen from outside.
#[derive(Debug)]
pub enum Found {
    /// There never was one in this folder.
    Nothing,
    /// One lives; its socket answers or soon will.
    Living,
    /// It has ended, and this is the last that it wrote. An instance that it says to run has no parent any more: see [`end_orphan`].
    Ended(Box<Status>),
}

/// Looks for an instance's shim.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn look(config: &Config) -> Result<Found, StateError> {
    let path = config.lock_file();
    match File::open(&path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => return Err(StateError::Io { path, cause }),
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Found::Living),
            Err(TryLockError::Error(cause)) => return Err(StateError::Io { path, cause }),
        },
    }
    Ok(read(&config.state_file()).map_or(Found::Nothing, |status| Found::Ended(Box::new(status))))
}

/// Takes the lock that a living shim holds. The file stays when the lock goes, with its holder.
///
/// # Errors
/// Another shim holds it, or the folder cannot be used.
pub fn lock(config: &Config) -> Result<File, StateError> {
    let path = config.lock_file();
    let io = |cause| StateError::Io { path: path.clone(), cause };
    std::fs::create_dir_all(&config.state_directory).map_err(io)?;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(io)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < Duration::from_millis(LOCK_MS_MAX) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(StateError::Held { path }),
        }
    }
}

/// Reads the last status that was written; none where there is no whole one.
pub fn read(path: &Path) -> Option<Status> {
    let length = std::fs::metadata(path).ok()?.len();
    let bytes = if length <= STATE_BYTES_MAX { std::fs::read(path).ok()? } else { return None };
    serde_json::from_slice(&bytes).ok()
}

/// Writes a status as one whole file.
///
/// # Errors
/// The system's word; the file before it stays.
pub fn write(path: &Path, status: &Status) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec(status)?)?;
    std::fs::rename(&beside, path)
}

/// Ends the first process that a dead shim left, if it still runs: told by boot, number and start time, and killed through a descriptor that
/// can mean no other process.
///
/// Returns true where there was one.
///
/// # Errors
/// It does not end, or the system does not let it be reached: then it may still run.
pub fn end_orphan(status: &Status) -> Result<bool, StateError> {
    let Some(first) = status.first.as_ref().filter(|_| status.boot == process::boot()) else { return Ok(false) };
    let Some(pid) = i32::try_from(first.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let unreachable = |errno: Errno| StateError::Unreachable { pid: first.pid, cause: errno.into() };
    let handle = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(false),
        handle => handle.map_err(unreachable)?,
    };
    if !is_same(first) {
        return Ok(false);
    }
    match rustix::process::pidfd_send_signal(&handle, Signal::KILL) {
        Err(Errno::SRCH) | Ok(()) => {}
        Err(errno) => return Err(unreachable(errno)),
    }
    match process::wait_ready(&handle, KILL_MS_MAX) {
        Ok(true) => Ok(true),
        Ok(false) => Err(StateError::Undying { pid: first.pid }),
        Err(errno) => Err(unreachable(errno)),
    }
}

/// Returns true where the process with the number is the one that was meant, and has not ended.
fn is_same(first: &First) -> bool {
    let found = i32::try_from(first.pid).ok().and_then(process::stat);
    found.is_some_and(|stat| stat.start_ticks == first.start_ticks && !stat.zombie)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{LogStatus, State};

    fn status(pid: u32) -> Status {
        let start_ticks = process::stat(pid.cast_signed()).unwrap().start_ticks;
        Status {
            name: "test".into(),
            version: "0".into(),
            shim_pid: 1,
            boot: process::boot(),
            state: State::Running,
            wanted: true,
            crash_loop: false,
            run: 1,
            restarts: 0,
            first: Some(First { pid, start_ticks, stopped_by: None }),
            next_start_ms: None,
            paused: None,
            ends: Vec::new(),
            oom_kills: None,
            log: LogStatus::default(),
        }
    }

    #[test]
    fn only_the_process_that_was_meant_is_ended() {
        let mut child = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let right = status(child.id());
        let mut other_start = right.clone();
        other_start.first.as_mut().unwrap().start_ticks += 1;
        let other_boot = Status { boot: "another".into(), ..right.clone() };
        let nobody = Status { first: None, ..right.clone() };
        for wrong in [other_start, other_boot, nobody] {
            assert!(!end_orphan(&wrong).unwrap());
            assert!(child.try_wait().unwrap().is_none(), "it lives");
        }
        assert!(end_orphan(&right).unwrap());
        child.wait().unwrap();
        assert!(!end_orphan(&right).unwrap());
    }

    #[test]
    fn a_state_is_whole_or_absent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        assert!(read(&path).is_none());
        let own = status(std::process::id());
        write(&path, &own).unwrap();
        assert_eq!(read(&path), Some(own.clone()));
        std::fs::write(path.with_extension("new"), "{\"name\":").unwrap();
        assert_eq!(read(&path), Some(own), "a torn file beside it is not read");
        std::fs::write(&path, "{\"name\":").unwrap();
        assert!(read(&path).is_none());
    }
}
