//! Errors of backups: each says what was wrong, where, and what helps.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::name::{Id, Name, RepositoryId};
use crate::peer::refusal::Refusal;

/// A store that did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object has this name.
    #[error("{name} is not in the repository")]
    Missing {
        /// Its name.
        name: Name,
    },
    /// The store failed.
    #[error("{doing} {name} in the repository: {cause}")]
    Io {
        /// The act, as a verb in -ing form.
        doing: &'static str,
        /// The object or folder.
        name: String,
        /// The store's word.
        cause: io::Error,
    },
    /// A lender refused (B-73).
    #[error("{doing} {name} at the lender: {refusal}")]
    Refused {
        /// The act, as a verb in -ing form.
        doing: &'static str,
        /// The object or folder.
        name: String,
        /// The lender's word.
        refusal: Refusal,
    },
}

/// An act on a repository that was not done.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A system call failed.
    #[error("{doing} {}: {cause}", path.display())]
    Io {
        /// The act, as a verb in -ing form.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// The caller's door did not let an effect pass.
    #[error("effect \"{effect}\" was stopped: {cause}")]
    Door {
        /// Name of the effect.
        effect: String,
        /// The door's word.
        cause: io::Error,
    },
    /// The store failed, or lacks an object.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object that is not what its name or its seal says (B-7, B-8).
    #[error("{object} is damaged: {what}. Nothing was taken from it; run a check to see which snapshots need it")]
    Damaged {
        /// Its path in the repository.
        object: String,
        /// The fault, in words.
        what: String,
    },
    /// A mark that cannot be read (B-28).
    #[error(
        "{object} is damaged: {what}. It names packs that are to go, and nobody can tell which; have the repository mended, which takes it away"
    )]
    DamagedMark {
        /// Its path in the repository.
        object: String,
        /// The fault, in words.
        what: String,
    },
    /// No repository is in this place.
    #[error("there is no repository here: `format` is missing. Make one, or correct the place")]
    NoRepository,
    /// A repository of another version of the format.
    #[error(
        "this repository is of version {found} of the format, and this program reads version 1; use a newer program. Nothing was changed"
    )]
    OtherVersion {
        /// Its version.
        found: u32,
    },
    /// A repository is here already.
    #[error("repository {id} is here already; open it, or choose another place")]
    Exists {
        /// Its id.
        id: RepositoryId,
    },
    /// Another repository than expected (B-4).
    #[error(
        "this is repository {found}, and {expected} was expected: somebody put another one in its place, or the place is wrong"
    )]
    OtherRepository {
        /// The id the caller knows.
        expected: RepositoryId,
        /// The id found.
        found: RepositoryId,
    },
    /// None of the key files is for the caller's identities.
    #[error(
        "none of the {files} key files of repository {id} is for the key given; use the key whose recipient it was made for"
    )]
    NotForThisKey {
        /// Id of the repository.
        id: RepositoryId,
        /// Number of key files.
        files: usize,
    },
    /// A key or key file that cannot be used.
    #[error("{what}")]
    Key {
        /// The fault and the remedy, in words.
        what: String,
    },
    /// The system gave no randomness.
    #[error("no randomness to be had from the operating system")]
    Randomness,
    /// A device, a pipe or a socket (B-23).
    #[error("{} is a {kind}, which a backup cannot hold; remove it, or have such things left out", path.display())]
    Special {
        /// Its path.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// Another file system is mounted below the root (B-23).
    #[error("{} is another file system; back it up on its own, or have it left out", path.display())]
    OtherFileSystem {
        /// The mount point.
        path: PathBuf,
    },
    /// A file or folder that changed while it was read (B-24).
    #[error("{} changed while it was read; back up a snapshot of the volume, or stop the application", path.display())]
    Torn {
        /// Its path.
        path: PathBuf,
    },
    /// A tree beyond a limit.
    #[error("{} is beyond a limit of backups: {limit}", path.display())]
    Limit {
        /// The entry.
        path: PathBuf,
        /// The limit, in words.
        limit: String,
    },
    /// A manifest against its rules (B-20, B-21).
    #[error("the manifest of snapshot {snapshot} is refused at {}: {what}. Nothing was restored", path.display())]
    Manifest {
        /// Id of the snapshot.
        snapshot: Id,
        /// The entry.
        path: PathBuf,
        /// The rule, in words.
        what: String,
    },
    /// A chunk that no pack has.
    #[error(
        "snapshot {snapshot} needs chunk {chunk}, and no pack has it; restore another snapshot, or bring the lost pack back"
    )]
    ChunkMissing {
        /// Id of the snapshot.
        snapshot: Id,
        /// Id of the chunk.
        chunk: String,
    },
    /// The target of a restore is there and not an empty folder.
    #[error("{} is not an empty folder; choose another target, nothing is ever restored over something", path.display())]
    Occupied {
        /// The target.
        path: PathBuf,
    },
    /// Another process restores to the same target.
    #[error("{} is being filled by another restore; wait for it, or choose another target", path.display())]
    Busy {
        /// The folder beside the target.
        path: PathBuf,
    },
    /// The file system of the target is too small.
    #[error("{} has {have_bytes} bytes free, and {need_bytes} are needed; make room, or choose another target", path.display())]
    NoRoom {
        /// Folder of the target.
        path: PathBuf,
        /// Bytes of the snapshot's files.
        need_bytes: u64,
        /// Bytes free.
        have_bytes: u64,
    },
    /// An owner outside the range that is shifted (B-35).
    #[error("{} belongs to {number}, which is outside the range {from}..{until}", path.display())]
    OwnerOutside {
        /// The entry.
        path: PathBuf,
        /// Its user or group.
        number: u32,
        /// Begin of the range.
        from: u32,
        /// End of the range.
        until: u32,
    },
    /// A restored tree that is not as the manifest says (B-33).
    #[error("{} was restored and is not as backed up: {what}. The target was not touched", path.display())]
    Differs {
        /// The entry.
        path: PathBuf,
        /// The difference, in words.
        what: String,
    },
    /// A backup that took too long, or was declared dead by a sweep (B-30).
    #[error("this backup is over: {why}. Start it again; what was stored is used")]
    SessionOver {
        /// The cause, in words.
        why: &'static str,
    },
    /// Somebody stopped the act ([`crate::Meter::stop`]).
    #[error("it was stopped before its end; what was stored is used by the next one")]
    Cancelled,
    /// A mark that may not be swept yet (B-29).
    #[error("nothing may be removed yet: {why}")]
    TooEarly {
        /// The cause, in words.
        why: String,
    },
}

impl BackupError {
    /// Makes the error of a system call.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BackupError {
        move |cause| BackupError::Io { doing, path: path.into(), cause }
    }

    /// An object that is not what it should be.
    pub(crate) fn damaged(object: impl ToString, what: impl Into<String>) -> BackupError {
        BackupError::Damaged { object: object.to_string(), what: what.into() }
    }
}

/// Makes the error of a system call on an entry of a tree.
pub(crate) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(Errno) -> BackupError + 'a {
    move |cause| BackupError::Io { doing, path: path.to_path_buf(), cause: cause.into() }
}
