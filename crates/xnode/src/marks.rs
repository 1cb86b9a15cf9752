//! Marks: whole files of an agent, each replaced by one rename.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openmesh_blueprint::Generation;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_primitives::{Timestamp, canonical};
use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::XnodeError;
use crate::{Door, Paths};

/// Number of the next draft of this process.
static DRAFTS: AtomicU64 = AtomicU64::new(0);
/// File of the kernel with the name of this run of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Largest mark, bytes: lists of names, many times over.
const MARK_BYTES_MAX: u64 = 4 << 20;

/// Mark in an instance's folder: its last start by the agent.
pub(crate) const STARTED: &str = "started.json";
/// Mark in an instance's folder: it came to rest by its policy after it had passed its gate, with this code. It outlives the run of the machine, so that
/// nobody starts again what is over.
pub(crate) const OVER: &str = "over.json";
/// Mark in an application's folder, beside that of the jobs that ended with 0: a job of a switch that has failed, with its cause.
pub(crate) const FAILED_JOB: &str = "failed-job.json";
/// Mark in an application's folder: its instances that were last asked to be started anew, and by whom.
pub(crate) const RESTART: &str = "restart.json";
/// Mark on the memory file system: everything of an instance was made in this run of the machine.
pub(crate) const MADE: &str = "made.json";

/// Traffic of an application at the door.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "state")]
pub enum DoorMark {
    /// Nothing is let in.
    #[default]
    Closed,
    /// Traffic goes to so many instances of a revision.
    Open {
        /// The revision.
        revision: String,
        /// Number of its instances.
        instances: u32,
        /// Number of the one that gets none, since it is started anew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        without: Option<u32>,
    },
    /// New requests wait.
    Holding,
    /// A maintenance page answers.
    Maintenance,
}

/// Text of an application's maintenance page, where it has another one than the usual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageMark {
    /// Heading.
    pub title: String,
    /// One paragraph.
    pub text: String,
}

/// Result of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The thing that was tried: a revision, or the number of an instance's run.
    pub of: String,
    /// Its cause where it failed.
    pub failed: Option<String>,
    /// Its moment; none in a mark of an earlier version.
    #[serde(default)]
    pub at: Option<Clock>,
    /// Number of tries so far.
    #[serde(default)]
    pub attempts: u32,
}

/// A moment of this run of the machine, by a clock that nobody sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Name of the run.
    pub boot: String,
    /// Time since its begin, milliseconds, with the time in which the machine slept.
    pub ms: u64,
}

impl Clock {
    /// This moment.
    pub fn now() -> Clock {
        let since = clock_gettime(ClockId::Boottime);
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        Clock { boot: boot(), ms: part(since.tv_sec).saturating_mul(1_000) + part(since.tv_nsec) / 1_000_000 }
    }

    /// Time since then; none where the machine has started anew.
    pub fn elapsed(&self) -> Option<Duration> {
        let now = Clock::now();
        (now.boot == self.boot).then(|| Duration::from_millis(now.ms.saturating_sub(self.ms)))
    }
}

/// Name of this run of the machine; empty where the kernel does not say it. It is asked for at every look, and no process lives to see another one.
fn boot() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return boot.clone();
    }
    let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_string();
    if boot.is_empty() { boot } else { BOOT.get_or_init(|| boot).clone() }
}

/// Last start of an instance by the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartedMark {
    /// Its moment.
    pub clock: Clock,
    /// Number of the start, from 1.
    pub number: u64,
    /// It is still to be done, though the instance is over: its version is wanted again.
    #[serde(default)]
    pub is_due: bool,
}

impl StartedMark {
    /// Name of the start that no other one of the instance has.
    pub fn of(&self) -> String {
        format!("{}/{}", self.clock.boot, self.number)
    }
}

/// Last restart of an application that was asked for. An instance is due as long as its last start is one of before, so that its next start, by
/// whomever, is all that has to be written down of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartMark {
    /// Its number, from 1: so many were asked for since the application is there.
    pub number: u64,
    /// Whoever asked for it.
    pub by: String,
    /// Reason.
    pub reason: String,
    /// Moment.
    pub at: Timestamp,
    /// Instances, with the number of the last start of each at that moment.
    pub after: BTreeMap<String, u64>,
    /// Its end is in the history.
    pub is_told: bool,
}

impl RestartMark {
    /// Returns true for an instance that is to be started anew and was not yet.
    pub(crate) fn is_due(&self, id: &InstanceId, started: Option<&StartedMark>) -> bool {
        let after = self.after.get(&id.to_string());
        after.is_some_and(|after| started.map_or(0, |started| started.number) <= *after)
    }
}

/// End of a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartEnd {
    /// The restart.
    pub mark: RestartMark,
    /// Its instances that run anew, with their traffic; none where another version took their place.
    pub instances: BTreeSet<InstanceId>,
}

/// Jobs that ended with 0: revision and name.
pub type JobsMark = BTreeSet<(String, String)>;
/// Ports of the host as they are printed, with application and name of the port.
pub type PublishedMark = BTreeMap<String, (String, String)>;

/// Reads a mark; the default where there is none.
///
/// # Errors
/// It cannot be read, or is not of its form.
pub fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, XnodeError> {
    Ok(find(path)?.unwrap_or_default())
}

/// Reads a mark; none where there is none.
///
/// # Errors
/// It cannot be read, or is not of its form.
pub fn find<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, XnodeError> {
    let wrong = |words: String| XnodeError::Mark { path: path.into(), words };
    let failed = || XnodeError::file("reading", path);
    let file = match File::open(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed())?,
    };
    let bytes_there = file.metadata().map_err(failed())?.len();
    if bytes_there > MARK_BYTES_MAX {
        return Err(wrong(format!("it has {bytes_there} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(bytes_there).unwrap_or(0) + 1);
    // A mark is replaced as a whole: it grows under nobody who reads it.
    file.take(MARK_BYTES_MAX).read_to_end(&mut bytes).map_err(failed())?;
    serde_json::from_slice(&bytes).map(Some).map_err(|cause| wrong(cause.to_string()))
}

/// Writes a mark.
///
/// # Errors
/// It cannot be written; the one before stays.
pub fn write<T: Serialize>(path: &Path, mark: &T, effect: &str, door: Door<'_>) -> Result<(), XnodeError> {
    let bytes = serde_json::to_vec(mark).unwrap_or_default();
    through(door, effect, || replace(path, &bytes)).map_err(XnodeError::file("writing", path))
}

/// Prefix of a folder that is being removed.
const GONE: &str = ".gone-";

/// Removes what removals of folders below a folder have left.
///
/// # Errors
/// The system's word.
pub(crate) fn sweep(folder: &Path, door: Door<'_>) -> Result<(), XnodeError> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(XnodeError::file("reading", folder))?,
    };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(GONE)) {
        let path = entry.path();
        through(door, "remains.remove", || fs::remove_dir_all(&path)).map_err(XnodeError::file("removing", &path))?;
    }
    Ok(())
}

/// Removes a file or folder: a folder goes by one rename, and what is in it afterwards. Done already: nothing changes.
///
/// # Errors
/// The system's word.
pub fn remove(path: &Path, effect: &str, door: Door<'_>) -> Result<(), XnodeError> {
    let removed = through(door, effect, || {
        let about = match fs::symlink_metadata(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            about => about?,
        };
        if about.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let beside = path.with_file_name(format!("{GONE}{name}"));
            if beside.exists() {
                fs::remove_dir_all(&beside)?;
            }
            fs::rename(path, &beside)?;
            sync_parent(path)?;
            fs::remove_dir_all(&beside)?
        } else {
            fs::remove_file(path)?
        }
        sync_parent(path)
    });
    removed.map_err(XnodeError::file("removing", path))
}

/// Does an effect between two passages of its door.
pub(crate) fn through<T>(door: Door<'_>, name: &str, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    door(name)?;
    let value = effect()?;
    door(name)?;
    Ok(value)
}

/// Replaces a file that its owner alone can read: whoever reads finds the old content or the new one, after a power cut too.
///
/// # Errors
/// The system's word; the old content stays.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut beside = path.as_os_str().to_os_string();
    // Two threads that write one mark at once have drafts of their own: the later one stays.
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    beside.push(format!(".{}-{number}.new", std::process::id()));
    let beside = Path::new(&beside);
    let replaced = draft(beside, bytes).and_then(|()| fs::rename(beside, path));
    if replaced.is_err() {
        // A full disk needs the room, and the next draft has another name.
        let _ = fs::remove_file(beside);
        return replaced;
    }
    sync_parent(path)
}

fn draft(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Number of a generation in a pointer; 0 where there is none.
///
/// # Errors
/// It cannot be read.
pub fn pointer(path: &Path) -> Result<u64, XnodeError> {
    read(path)
}

/// Lets a pointer name a generation.
///
/// # Errors
/// It cannot be written.
pub fn point(path: &Path, number: u64, effect: &str, door: Door<'_>) -> Result<(), XnodeError> {
    write(path, &number, effect, door)
}

/// Keeps a generation. One of this number that is there already has to be the same one: numbers are not given twice.
///
/// # Errors
/// The number is another one's, or it cannot be written.
pub fn keep(paths: &Paths, generation: &Generation, door: Door<'_>) -> Result<(), XnodeError> {
    let path = paths.generations().join(generation.number.to_string());
    let bytes = canonical::encode(generation);
    match fs::read(&path) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) => return Err(XnodeError::NumberTaken { number: generation.number }),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(cause) => return Err(XnodeError::file("reading", path)(cause)),
    }
    through(door, "generation.write", || replace(&path, &bytes)).map_err(XnodeError::file("writing", path))
}

/// A generation that is kept.
///
/// # Errors
/// It is not here, or cannot be read.
pub fn generation(paths: &Paths, number: u64) -> Result<Generation, XnodeError> {
    let path = paths.generations().join(number.to_string());
    let bytes = match fs::read(&path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Err(XnodeError::NoGeneration { number }),
        bytes => bytes.map_err(XnodeError::file("reading", &path))?,
    };
    canonical::decode(&bytes).map_err(|cause| XnodeError::Mark { path, words: cause.to_string() })
}

/// Numbers of the generations that are kept, lowest first.
///
/// # Errors
/// Their folder cannot be read.
pub fn numbers(paths: &Paths) -> Result<Vec<u64>, XnodeError> {
    let folder = paths.generations();
    let entries = match fs::read_dir(&folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(XnodeError::file("reading", &folder))?,
    };
    let mut numbers: Vec<u64> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drafts of one file collide with nobody's, and none is left.
    #[test]
    fn threads_that_write_one_mark_at_once_all_succeed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark.json");
        std::thread::scope(|scope| {
            for number in 0..8_u64 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        replace(path, number.to_string().as_bytes()).unwrap();
                    }
                });
            }
        });
        assert!(find::<u64>(&path).unwrap().is_some_and(|number| number < 8));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark.json");
        fs::create_dir_all(path.join("inside")).unwrap();
        assert!(replace(&path, b"1").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
