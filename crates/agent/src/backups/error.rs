//! Failures of backups, restores and drills.

use std::io;

use openmesh_backup::{BackupError, Refusal, StoreError};
use openmesh_blueprint::document::Name;
use openmesh_volume::VolumeError;

/// Word for a repository that cannot be used.
const AWAY: (&str, u16) = ("repository", 502);

/// A failure of a backup, a restore or a drill.
#[derive(Debug, thiserror::Error)]
pub enum BackupsError {
    /// No owner's key is known.
    #[error(
        "no owner's key is set, and without one nobody could open a backup when this machine is lost; `openmesh xnode backup-key make FILE` makes one"
    )]
    NoOwner,
    /// Another owner's key is set.
    #[error(
        "the owner's key is {owner} already; `openmesh xnode backup-key set {wanted} --replace` changes it, and adds the new one to every repository"
    )]
    OwnerSet {
        /// The recipient that is set.
        owner: String,
        /// The recipient that was given.
        wanted: String,
    },
    /// A place for backups that cannot be used.
    #[error("backups to `{target}`: {why}")]
    Target {
        /// Its name in the document.
        target: String,
        /// The cause, and what helps.
        why: String,
    },
    /// An application without a place for its backups.
    #[error(
        "{application} has no place for backups; write `backup: {{to: NAME, schedule: \"30 3 * * *\"}}` into it and NAME into `machine.backups`, and deploy that"
    )]
    NoTarget {
        /// The application.
        application: Name,
    },
    /// An application without data.
    #[error("{application} has no volume that is in backups")]
    NothingToKeep {
        /// The application.
        application: Name,
    },
    /// Something is being done with the data of the application already.
    #[error(
        "{application}: {doing} is under way (number {number}); wait for it, or stop it with `openmesh xnode backups --cancel {number}`"
    )]
    Busy {
        /// The application.
        application: String,
        /// The act.
        doing: String,
        /// Its number.
        number: u64,
    },
    /// As much is being done as may be at once.
    #[error("{most} backups and restores are under way, and each takes memory; wait for one of them")]
    TooMany {
        /// The most.
        most: usize,
    },
    /// The agent leaves.
    #[error("the agent is leaving; ask again when it is back")]
    Leaving,
    /// An act that is not known.
    #[error(
        "there is no backup, restore or drill with number {number}; those before the agent's last start are in its history alone"
    )]
    NoJob {
        /// Its number.
        number: u64,
    },
    /// A backup that is not there.
    #[error("{application} has no backup `{wanted}`; {known}")]
    NoBackup {
        /// The application, or the machine.
        application: String,
        /// The id, or its beginning, that was asked for.
        wanted: String,
        /// Those that are there, in words.
        known: String,
    },
    /// A volume that the backup or the application does not have.
    #[error("{application} has no volume `{volume}`{here}; there are {known}")]
    NoVolume {
        /// The application.
        application: String,
        /// The volume.
        volume: String,
        /// The place where it was looked for, in words.
        here: &'static str,
        /// Those that are there.
        known: String,
    },
    /// A lender that knows neither this machine nor the owner.
    #[error(
        "the lender knows neither this machine's key {guest} nor the owner's reading key {reading}; whoever owns it adds one of them to the loan: `openmesh xnode lend give NAME --to {guest}`, or `--reader {reading}`, beside what the loan has (`openmesh xnode lend list`)"
    )]
    Unknown {
        /// Key of this machine as a guest.
        guest: String,
        /// Reading key of the owner.
        reading: String,
    },
    /// A machine that has something already.
    #[error(
        "this machine has generation {wanted} already; a whole machine is restored onto one without any, and an application with `openmesh app restore`"
    )]
    NotFresh {
        /// Number of the wanted generation.
        wanted: u64,
    },
    /// A backup whose description cannot be used.
    #[error("backup {backup} cannot be used: {why}")]
    Description {
        /// Its id.
        backup: String,
        /// The cause.
        why: String,
    },
    /// A text that is no value of its kind.
    #[error("{0}")]
    Value(String),
    /// An instance that does not stand still.
    #[error("{instance} could not be paused for its backup: {cause}")]
    Pause {
        /// The instance.
        instance: String,
        /// The cause.
        cause: io::Error,
    },
    /// The application's own check of restored data found a fault.
    #[error(
        "the data were restored, and the application's own check of them failed: {words} (run {run} of its job `drill`, whose log is kept)"
    )]
    Check {
        /// The application.
        application: Name,
        /// The end of the run, in words.
        words: String,
        /// Number of the run.
        run: u64,
    },
    /// A drill for which the disk of the machine has no room.
    #[error(
        "the volumes of a drill need {} MiB, and the disk of this machine has {} MiB beside its reserve; make room, or give it a larger disk",
        need.div_ceil(1 << 20),
        have >> 20
    )]
    NoRoom {
        /// Bytes that are needed.
        need: u64,
        /// Bytes that may be taken.
        have: u64,
    },
    /// A volume without room beside what its application needs.
    #[error(
        "the volume {volume} of {application} has no room: {why}; make it larger in the document, or remove lines that nobody needs (`openmesh app lines {application}`)"
    )]
    Full {
        /// The application.
        application: String,
        /// The volume.
        volume: String,
        /// The cause, in words.
        why: &'static str,
    },
    /// A person stopped it, or the agent left.
    #[error("it was stopped before its end")]
    Cancelled,
    /// The repository.
    #[error(transparent)]
    Repository(Box<BackupError>),
    /// The store of the repository.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// A volume.
    #[error(transparent)]
    Volume(Box<VolumeError>),
}

impl BackupsError {
    /// A stable word for programs, and the status of HTTP that goes with it.
    pub(crate) fn code(&self) -> (&'static str, u16) {
        match self {
            BackupsError::NoOwner => ("no_owner", 409),
            BackupsError::OwnerSet { .. } => ("owner_set", 409),
            BackupsError::Target { .. } => ("backup_target", 422),
            BackupsError::NoTarget { .. } => ("no_backup_target", 409),
            BackupsError::NothingToKeep { .. } => ("no_volumes", 409),
            BackupsError::Busy { .. } => ("busy", 409),
            BackupsError::TooMany { .. } | BackupsError::Leaving => ("busy", 503),
            BackupsError::NoJob { .. } => ("no_job", 404),
            BackupsError::NoBackup { .. } => ("no_backup", 404),
            BackupsError::NoVolume { .. } => ("no_volume", 404),
            BackupsError::NotFresh { .. } => ("not_fresh", 409),
            BackupsError::Unknown { .. } => ("no_loan", 409),
            BackupsError::Description { .. } => ("backup_damaged", 422),
            BackupsError::Value(_) => ("value", 400),
            BackupsError::Check { .. } => ("check_failed", 422),
            BackupsError::NoRoom { .. } | BackupsError::Full { .. } => ("no_room", 507),
            BackupsError::Cancelled => ("cancelled", 409),
            BackupsError::Repository(error) => match &**error {
                BackupError::Store(error) => of_store(error),
                _ => AWAY,
            },
            BackupsError::Store(error) => of_store(error),
            BackupsError::Pause { .. } | BackupsError::Volume(_) => ("machine", 500),
        }
    }
}

/// The word for a failure of a store: a lender's refusal is told apart from a store that is away.
fn of_store(error: &StoreError) -> (&'static str, u16) {
    let StoreError::Refused { refusal, .. } = error else { return AWAY };
    match refusal {
        Refusal::Room { .. } | Refusal::Objects { .. } | Refusal::Disk => ("lent_room", 507),
        Refusal::Stranger | Refusal::Over | Refusal::Reader => ("no_loan", 409),
        _ => AWAY,
    }
}
