//! Namespaces and root of an instance, which are there before its container and outlive its runs.
//!
//! A network namespace that is to outlive restarts is made together with a user namespace that owns it, and both are files to be joined by path. A root is
//! the folders of an image over one another, their owners shown through that user namespace, so that one unpacked layer serves every instance. Both need
//! a process with one thread, or calls that have no safe form here: `openmesh-cage-helper` does them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::instance::IdRange;
use crate::program::finish;
use crate::{Door, through};

/// Most that is kept of the helper's words, bytes.
const WORDS_BYTES_MAX: usize = 64 << 10;
/// Time for one task, milliseconds: a cold disk and a busy machine, many times over.
const TASK_MS_MAX: u64 = 120_000;
/// Magic number of the file system of namespaces. Source: `statfs(2)`.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Namespaces or a root that could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The helper cannot be run.
    #[error("{program} cannot be run: {cause}")]
    Program {
        /// Its path.
        program: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// The kernel refused.
    #[error("{task} has failed: {words}")]
    Refused {
        /// The task.
        task: &'static str,
        /// The helper's words.
        words: String,
    },
    /// The helper took too long and was killed.
    #[error("{task} did not end within {ms} ms: {program} was killed")]
    Late {
        /// The task.
        task: &'static str,
        /// Path of the helper.
        program: PathBuf,
        /// Time given, milliseconds.
        ms: u64,
    },
}

/// Namespaces of one instance, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// File of the user namespace.
    pub user: PathBuf,
    /// File of the network namespace.
    pub network: PathBuf,
}

/// Root of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFolders {
    /// Its place.
    pub at: PathBuf,
    /// Folders of the image, the uppermost first. Paths at which the bundle mounts something have to be in one of them where the root cannot be written: no driver
    /// can make them then.
    pub lowers: Vec<PathBuf>,
    /// Folders for what is written and for work, on one bounded file system, where the root can be written.
    pub upper: Option<(PathBuf, PathBuf)>,
}

impl Namespaces {
    /// Both are there.
    pub fn are_there(&self) -> bool {
        [&self.user, &self.network].into_iter().all(|file| is_namespace(file))
    }

    /// Makes both. Done already: nothing changes, also where the ids were others (they do not move as long as their owner is there, X-23).
    ///
    /// # Errors
    /// See [`SpaceError`]; then neither is there, or a second call goes on.
    pub fn make(&self, helper: &Path, ids: IdRange, door: Door<'_>) -> Result<(), SpaceError> {
        if self.are_there() {
            return Ok(());
        }
        let ids = format!("{}:{}", ids.first, ids.count);
        let mut command = Command::new(helper);
        command.args(["namespaces", "--ids", &ids, "--user"]).arg(&self.user).arg("--net").arg(&self.network);
        run(command, "making the namespaces", "namespaces.make", door)
    }

    /// Lets go of both: they end with their last process. Done already: nothing changes.
    ///
    /// # Errors
    /// See [`SpaceError`].
    pub fn remove(&self, helper: &Path, door: Door<'_>) -> Result<(), SpaceError> {
        let mut command = Command::new(helper);
        command.args(["namespaces-remove", "--user"]).arg(&self.user).arg("--net").arg(&self.network);
        run(command, "removing the namespaces", "namespaces.remove", door)
    }
}

impl RootFolders {
    /// Mounts it, with owners shown through a user namespace. What was mounted at its place before is unmounted first; an instance that runs keeps what it has,
    /// but two roots must not write to one upper folder.
    ///
    /// # Errors
    /// See [`SpaceError`]; then nothing is mounted, or a second call goes on.
    pub fn make(&self, helper: &Path, user: &Path, door: Door<'_>) -> Result<(), SpaceError> {
        let mut command = Command::new(helper);
        command.args(["root", "--user"]).arg(user).arg("--at").arg(&self.at);
        if let Some((upper, work)) = &self.upper {
            command.arg("--upper").arg(upper).arg("--work").arg(work);
        }
        command.args(&self.lowers);
        run(command, "mounting the root", "root.make", door)
    }
}

/// Unmounts a root and removes its folder. Done already: nothing changes.
///
/// # Errors
/// Somebody uses it.
pub fn remove_root(at: &Path, helper: &Path, door: Door<'_>) -> Result<(), SpaceError> {
    let mut command = Command::new(helper);
    command.args(["root-remove", "--at"]).arg(at);
    run(command, "unmounting the root", "root.remove", door)
}

fn is_namespace(file: &Path) -> bool {
    rustix::fs::statfs(file).is_ok_and(|about| u64::try_from(about.f_type) == Ok(NSFS_MAGIC))
}

fn run(mut command: Command, task: &'static str, effect: &str, door: Door<'_>) -> Result<(), SpaceError> {
    let program = PathBuf::from(command.get_program());
    let mut refusal = None;
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let done = through(door, effect, || {
        let mut child = command.spawn()?;
        let pipe = child.stderr.take();
        refusal = match finish(&mut child, pipe, WORDS_BYTES_MAX, TASK_MS_MAX)? {
            (Some(status), _) if status.success() => None,
            (Some(_), words) => Some(SpaceError::Refused { task, words: words.trim().to_string() }),
            (None, _) => Some(SpaceError::Late { task, program: program.clone(), ms: TASK_MS_MAX }),
        };
        Ok(())
    });
    match refusal {
        Some(refusal) => Err(refusal),
        None => done.map_err(|cause| SpaceError::Program { program, cause }),
    }
}
