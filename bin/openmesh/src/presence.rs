//! The process that runs in a folder: one at a time, told apart from every later process with the same number, and found
//! again by a supervisor that did not start it.
//!
//! A process number alone names nobody: the kernel gives it again. A record therefore holds the start time and the boot as
//! well, and whoever finds a record opens the process first and compares then, so that what it holds is the recorded
//! process or nothing. The lock of the folder goes with the process, however it ends; the record may stay behind.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_storage::files::write_whole;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Longest wait for an earlier process of the same folder: longer than it has to drain.
const FORMER_SECONDS_MAX: u64 = 30;
/// Time between two looks at a lock that another process holds, in milliseconds: short for a person, nothing for a disk.
const LOCK_POLL_MS: u64 = 100;
/// Names the process (by its number) with which this one and all that it starts shall end.
pub const STOP_WITH: &str = "OPENMESH_STOP_WITH";
/// Longest time that this process may drain once the one that it follows has ended.
const FOLLOW_SECONDS_MAX: u64 = 30;

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number, which may be given again after its end.
    pub pid: u32,
    /// Its start, in clock ticks since the boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub started_ticks: u64,
    /// The boot from which those are counted.
    pub boot: String,
}

/// The build that a process runs: device and number of its program's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build(u64, u64);

/// Content of `running.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The process.
    pub process: Identity,
    /// The build that it runs.
    pub build: Build,
    /// Its command line behind the program's name.
    pub arguments: Vec<String>,
    /// Its announcement once it serves.
    pub ready: Option<serde_json::Value>,
}

/// A process that runs, or did when it was opened: never another one that got its number.
#[derive(Debug)]
pub struct Running {
    identity: Identity,
    descriptor: AsyncFd<OwnedFd>,
}

impl Identity {
    /// The process with this number, which must not be reaped meanwhile.
    pub fn of(pid: u32) -> Result<Identity> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let (_, started_ticks) = stat(pid)?;
        Ok(Identity { pid, started_ticks, boot })
    }

    /// Opens the process; `None` where it has ended.
    pub fn open(&self) -> Option<Running> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Compared after it was opened: from here on the descriptor means the process that was looked at.
        let found = Identity::of(self.pid).ok()?;
        let (state, _) = stat(self.pid).ok()?;
        if found != *self || matches!(state, 'Z' | 'X') {
            return None;
        }
        #[expect(
            deprecated,
            reason = "its soundness rests on the descriptor being owned, which this one is; what replaces it is unsafe"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE).ok()?;
        Some(Running { identity: found, descriptor })
    }
}

/// State and start time of a process.
fn stat(pid: u32) -> Result<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything.
    let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let state = fields.next().and_then(|field| field.chars().next());
    let started = fields.nth(18).and_then(|field| field.parse().ok());
    state.zip(started).ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("/proc/{pid}/stat is not understood")))
}

impl Running {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        // A process's descriptor becomes readable when it ends and stays so.
        if let Err(error) = self.descriptor.readable().await {
            tracing::warn!(%error, pid = self.pid(), "the end of a process is not seen");
        }
    }

    /// Asks it to end, as Ctrl-C would. One that has ended meanwhile is no error.
    ///
    /// # Errors
    /// The operating system's, where the process is another user's.
    pub fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Asks it to end, and kills it where it has not within `limit`. Returns whether it ended by itself.
    ///
    /// # Errors
    /// The operating system's, where the process is another user's.
    pub async fn stop(&self, limit: Duration) -> Result<bool> {
        self.ask_to_end()?;
        if tokio::time::timeout(limit, self.ended()).await.is_ok() {
            return Ok(true);
        }
        self.signal(Signal::KILL)?;
        self.ended().await;
        Ok(false)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(self.descriptor.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Build {
    /// The build that this process runs.
    pub fn own() -> Result<Build> {
        let file = std::fs::metadata("/proc/self/exe")?;
        Ok(Build(file.dev(), file.ino()))
    }
}

/// The file that holds a folder's record.
pub fn record_file(folder: &Path) -> PathBuf {
    folder.join("running.json")
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("running.lock")
}

/// Returns the process of a folder with its record; `None` where nothing runs, whatever a record says.
pub fn find(folder: &Path) -> Option<(Record, Running)> {
    let record: Record = serde_json::from_slice(&std::fs::read(record_file(folder)).ok()?).ok()?;
    let running = record.process.open()?;
    is_locked(&lock_file(folder)).then_some((record, running))
}

/// Returns true when a process holds this lock.
pub fn is_locked(path: &Path) -> bool {
    // A lock that is taken here by the look itself goes at once; who waits for it looks again.
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Takes a lock; `None` where another process holds it. The file's content is not touched.
pub fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// This process as the one of a folder, until it is dropped.
#[derive(Debug)]
pub struct Presence {
    folder: PathBuf,
    record: Record,
    _lock: File,
}

impl Presence {
    /// Becomes the process of a folder. Waits until an earlier one has drained.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if another process still runs there after half a minute; else the operating system's.
    pub async fn take(folder: &Path) -> Result<Presence> {
        let path = lock_file(folder);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(FORMER_SECONDS_MAX);
        let mut said = false;
        let lock = loop {
            if let Some(lock) = try_lock(&path)? {
                break lock;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::new(ErrorKind::WouldBlock, "another process runs in this folder"));
            }
            if !std::mem::replace(&mut said, true) {
                eprintln!(
                    "another process runs in {}: waiting up to {FORMER_SECONDS_MAX} s for it to end",
                    folder.display()
                );
            }
            tokio::time::sleep(Duration::from_millis(LOCK_POLL_MS)).await;
        };
        let record = Record {
            process: Identity::of(std::process::id())?,
            build: Build::own()?,
            arguments: std::env::args().skip(1).collect(),
            ready: None,
        };
        let presence = Presence { folder: folder.to_path_buf(), record, _lock: lock };
        presence.write()?;
        Ok(presence)
    }

    /// Returns true where exactly this is recorded.
    pub fn is_ready(&self, ready: &serde_json::Value) -> bool {
        self.record.ready.as_ref() == Some(ready)
    }

    /// Records that this process serves, and where.
    pub fn ready(&mut self, ready: serde_json::Value) -> Result<()> {
        self.record.ready = Some(ready);
        self.write()
    }

    fn write(&self) -> Result<()> {
        let (path, record) = (record_file(&self.folder), serde_json::to_vec_pretty(&self.record)?);
        match write_whole(&path, &record) {
            // A full disk has no place for a second file, but the old one has its place.
            Err(error) if error.kind() == ErrorKind::StorageFull => write_over(&path, &record),
            written => written,
        }
    }
}

/// Writes into the place of a file that exists.
fn write_over(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let mut file = OpenOptions::new().write(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

impl Drop for Presence {
    fn drop(&mut self) {
        // One that is left behind names a process that no longer runs, and whoever reads it sees that.
        let _ = std::fs::remove_file(record_file(&self.folder));
    }
}

/// Ends this process, as Ctrl-C would, when the one named by [`STOP_WITH`] has ended: benchmarks and tests start networks that
/// must not outlive them. Everybody else's go on.
pub async fn follow() {
    let Some(pid) = std::env::var(STOP_WITH).ok().and_then(|text| text.parse::<u32>().ok()) else {
        return std::future::pending().await;
    };
    if let Some(leader) = Identity::of(pid).ok().and_then(|leader| leader.open()) {
        leader.ended().await;
    }
    tracing::warn!(pid, "the process that this one follows has ended");
    if let Err(error) = rustix::process::kill_process(rustix::process::getpid(), Signal::TERM) {
        tracing::warn!(%error, "this process could not be asked to end");
    }
    tokio::time::sleep(Duration::from_secs(FOLLOW_SECONDS_MAX)).await;
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_that_was_given_again_is_not_opened() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.open().is_some());
        let earlier = Identity { started_ticks: own.started_ticks - 1, ..own.clone() };
        assert!(earlier.open().is_none(), "the same number, started at another time");
        let before_boot = Identity { boot: "another".into(), ..own };
        assert!(before_boot.open().is_none(), "the same number and time, after another boot");
    }

    #[tokio::test]
    async fn an_ended_process_is_not_opened_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        let running = identity.open().unwrap();
        assert!(running.stop(Duration::from_secs(10)).await.unwrap(), "TERM ends it");
        assert!(identity.open().is_none(), "it has ended, and waits for its parent");
        child.wait().unwrap();
        assert!(identity.open().is_none());
    }

    #[tokio::test]
    async fn a_folder_has_one_process_and_its_record_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut presence = Presence::take(dir.path()).await.unwrap();
        presence.ready(serde_json::json!({ "api": "127.0.0.1:1" })).unwrap();
        let (record, running) = find(dir.path()).unwrap();
        assert_eq!((running.pid(), record.ready.unwrap()["api"].as_str()), (std::process::id(), Some("127.0.0.1:1")));
        assert!(try_lock(&lock_file(dir.path())).unwrap().is_none());

        // A record without a lock is of nobody, though its process runs.
        let kept = std::fs::read(record_file(dir.path())).unwrap();
        drop(presence);
        assert!(!record_file(dir.path()).exists());
        std::fs::write(record_file(dir.path()), kept).unwrap();
        assert!(find(dir.path()).is_none());
    }
}
