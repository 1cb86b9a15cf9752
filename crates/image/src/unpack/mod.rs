//! Layers become folders: a helper process that holds one folder and nothing else reads the archive and makes what it names.
//!
//! # Why a process
//! Two walls stand between a stranger's archive and the machine. The first is the path check: every name is taken apart, `..` is refused, and each
//! folder is opened from the one held by `openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`, so that no link is ever followed, whoever made it and
//! whenever. The second does not trust the first: before the first byte is read the helper gives up everything but that folder (landlock) and all
//! system calls but those that it needs (seccomp, which also lets no device be made). [`Paths::Unchecked`] switches the first wall off in tests.
//!
//! # Rules
//! - A leading `/` is passed over, as all tools do: some builders write it. `..` anywhere is refused.
//! - Links are made as they are written and never followed: an entry below a link of the same layer is refused. A hard link may name only a file or a link
//!   of the same layer. Where a name comes twice the later one counts; a file in place of a folder that is not empty is refused.
//! - Devices are refused (sockets cannot be in an archive). Pipes are made.
//! - Whiteouts take the form of overlayfs: a device 0/0 for a hidden name, `trusted.overlay.opaque` for an opaque folder. They hide what is
//!   in layers below only. A whiteout of `.`, of `..`, of nothing, of the root, and those of aufs itself (`.wh..wh.plnk`) are refused.
//! - Owners are kept as the image has them; instances see them through an idmapped mount, so one folder serves all of them. Owners above
//!   65,535, which no instance can have, become `nobody`, as the kernel would show them.
//! - Set-user-id and set-group-id of files are taken away: nothing in an instance could use them (`no_new_privs`), and something on the host could. Those
//!   of folders and the sticky bit stay.
//! - Of the extended attributes `user.*` stay. Capabilities and access control lists are taken away and counted; `*.overlay.*` is refused, since it
//!   would speak to overlayfs in our name.
//!
//! # On failure
//! The files that were made stay in its building folder, which the store removes; nothing of it counts.

mod apply;
pub(crate) mod cage;
mod fault;
mod helper;
mod job;
mod tree;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use cage::{Attempt, has_landlock};
pub use helper::main as helper_main;
pub use job::{Dropped, Job, Paths, Refused, Report};
pub use tree::{Fingerprint, fingerprint};

use crate::limits::REPORT_BYTES_MAX;

/// The program that runs as the unpacker: one that calls [`helper_main`] with its last argument.
#[derive(Clone, Debug)]
pub struct Helper {
    /// Its path.
    pub program: PathBuf,
    /// Arguments before the job.
    pub arguments: Vec<OsString>,
}

/// A layer that was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The layer is not what it should be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The helper cannot be started or heard.
    #[error("the unpacker {} cannot be run: {cause}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// The helper ended without a report.
    #[error("the unpacker ended without a report ({status}): {text}")]
    Ended {
        /// Its exit.
        status: std::process::ExitStatus,
        /// Its last words.
        text: String,
    },
}

impl Helper {
    /// Unpacks an archive into a folder that is empty.
    ///
    /// # Errors
    /// [`UnpackError::Refused`] for a layer that breaks a rule; the folder then holds parts of it.
    pub fn unpack(&self, job: &Job, archive: File, folder: &Path) -> Result<Report, UnpackError> {
        self.ask(job, Some(archive), folder)
    }

    /// Tries, from within the cage, what the cage should forbid.
    ///
    /// # Errors
    /// [`Refused::Cage`] on a machine where the cage cannot be closed.
    pub fn probe(&self, folder: &Path) -> Result<Vec<Attempt>, UnpackError> {
        self.ask(&Job::Probe, None, folder)
    }

    fn ask<T: serde::de::DeserializeOwned>(
        &self,
        job: &Job,
        input: Option<File>,
        folder: &Path,
    ) -> Result<T, UnpackError> {
        let run = |cause| UnpackError::Run { program: self.program.clone(), cause };
        let words = serde_json::to_string(job).map_err(|cause| run(cause.into()))?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(words)
            .env_clear()
            .current_dir(folder)
            .stdin(input.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(run)?;
        let mut answer = Vec::new();
        let mut words = String::new();
        if let Some(output) = child.stdout.take() {
            output.take(REPORT_BYTES_MAX).read_to_end(&mut answer).map_err(run)?;
        }
        if let Some(output) = child.stderr.take() {
            let _ = output.take(4_096).read_to_string(&mut words);
        }
        let status = child.wait().map_err(run)?;
        match serde_json::from_slice::<Result<T, Refused>>(&answer) {
            Ok(result) => Ok(result?),
            Err(_) => Err(UnpackError::Ended { status, text: words.trim().to_string() }),
        }
    }
}
