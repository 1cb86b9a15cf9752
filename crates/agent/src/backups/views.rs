//! Answers about backups, as JSON has them.

use std::collections::BTreeMap;

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Keys of backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupKeys)]
pub struct Keys {
    /// Public half of the owner's key (`age1...`); none before it was set.
    pub owner: Option<String>,
    /// Public half of the node's own key.
    pub node: String,
    /// Key by which other Xnodes know this machine that lend it room.
    #[serde(default)]
    pub guest: String,
    /// Key by which other Xnodes know the owner, who reads alone there; none where nobody has told it.
    #[serde(default)]
    pub reading: Option<String>,
}

/// Everything about backups of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupOverview)]
pub struct Overview {
    /// Keys.
    pub keys: Keys,
    /// Mark of this machine in its backups.
    pub machine: String,
    /// Places for backups, by name.
    pub targets: Vec<Target>,
    /// Applications that have backups or ought to.
    pub applications: Vec<Application>,
    /// Acts that are under way, and those that ended lately.
    pub jobs: Vec<Job>,
}

/// A place for backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupTarget)]
pub struct Target {
    /// Its name in the document.
    pub name: String,
    /// The place, in words.
    pub place: String,
    /// Id of its repository, to be noted outside of it; none before the first backup.
    pub repository: Option<String>,
    /// State.
    pub state: State,
    /// Cause of a state that nobody wished.
    pub cause: Option<String>,
    /// Last time that it was tidied and checked.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub tended: Option<Timestamp>,
    /// Room that another Xnode grants, as it was said last; none where nobody bounds it.
    #[serde(default)]
    pub room: Option<Room>,
}

/// Room that a place grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupRoom)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// All of it, bytes.
    pub all_bytes: u64,
    /// Room that is taken, withheld objects too, bytes.
    pub used_bytes: u64,
    /// Moment after which the place takes nothing new; none where it has no end.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub until: Option<Timestamp>,
}

/// State of backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupState)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every moment of the schedule has its backup.
    Ok,
    /// The first moment has not come yet.
    Waiting,
    /// One is being made.
    Running,
    /// A moment has passed for an hour without a backup.
    Late,
    /// The last one failed, and is tried again.
    Failed,
}

/// Backups of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupApplication)]
pub struct Application {
    /// Name.
    pub name: String,
    /// Target; none where there is none.
    pub target: Option<String>,
    /// State of its backups.
    pub state: State,
    /// Cause of a state that nobody wished.
    pub cause: Option<String>,
    /// Next moment of the schedule.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub next: Option<Timestamp>,
    /// First moment that has passed without a backup.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub due_since: Option<Timestamp>,
    /// Moments that have passed without a backup; the next one makes up for all of them.
    pub missed: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Time until the next attempt, milliseconds; none where nothing is due.
    pub again_in_ms: Option<u64>,
    /// The last backup that was made.
    pub last: Option<Backup>,
    /// State of its drills; none without a schedule for them and before the first.
    pub drill_state: Option<State>,
    /// Cause of a drill's state that nobody wished.
    pub drill_cause: Option<String>,
    /// Next moment of a drill.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub next_drill: Option<Timestamp>,
    /// The last drill.
    pub drill: Option<Drill>,
    /// It was removed with the wish for a last backup, which is not made yet.
    pub awaits_last: bool,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// Its id: that of the snapshot that describes it.
    pub id: String,
    /// Application.
    pub application: String,
    /// Target that has it.
    pub target: String,
    /// Machine that made it, by name.
    pub node: String,
    /// Generation whose document is in it.
    pub generation: u64,
    /// Place in the order of the machine's backups in that target; 0 where that is not known here.
    #[serde(default)]
    pub number: u64,
    /// Moment of the data.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Volumes, with the bytes of their files.
    pub volumes: BTreeMap<String, u64>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that were stored for it; none where that is not known here.
    pub stored_bytes: Option<u64>,
    /// Time for which the application stood still, milliseconds; none where that is not known here.
    pub still_ms: Option<u64>,
}

/// A drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupDrill)]
pub struct Drill {
    /// The backup that was restored.
    pub backup: String,
    /// Moment of its data.
    #[schema(value_type = String, format = "seconds")]
    pub of: Timestamp,
    /// Moment of the drill.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Bytes that were restored.
    pub bytes: u64,
    /// Time it took, milliseconds.
    pub took_ms: u64,
    /// The fault that was found; none where the backup proved good.
    pub fault: Option<String>,
}

/// Kind of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupJobKind)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A backup of an application.
    Backup,
    /// A drill.
    Drill,
    /// A restore of an application's data.
    Restore,
    /// A restore of a whole machine.
    Machine,
    /// A check of a target, with what it does not need any more taken away.
    Tend,
    /// Document and secrets of the machine alone.
    Describe,
    /// A part of an application's move between machines.
    Move,
}

impl JobKind {
    /// The act in words.
    pub fn words(self) -> &'static str {
        match self {
            JobKind::Backup => "a backup",
            JobKind::Drill => "a restore drill",
            JobKind::Restore => "a restore",
            JobKind::Machine => "the restore of the whole machine",
            JobKind::Tend => "a check of the target",
            JobKind::Describe => "a backup of document and secrets",
            JobKind::Move => "a part of its move",
        }
    }
}

/// An act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupJob)]
pub struct Job {
    /// Its number since the agent began.
    pub number: u64,
    /// Kind.
    pub kind: JobKind,
    /// Application; none where it is about the machine or a target.
    pub application: Option<String>,
    /// Whoever asked for it; `schedule` for the machine itself.
    pub by: String,
    /// Its begin.
    #[schema(value_type = String, format = "seconds")]
    pub begun: Timestamp,
    /// Present phase, in words.
    pub phase: String,
    /// Bytes that are done.
    pub bytes: u64,
    /// Bytes in all, roughly; 0 before that is known.
    pub all_bytes: u64,
    /// Its end.
    pub ended: Option<Ended>,
}

/// The end of an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupJobEnd)]
pub struct Ended {
    /// Its moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// It did what it was to do.
    pub ok: bool,
    /// Words for a person.
    pub text: String,
    /// Stable word for programs where it failed.
    pub code: Option<String>,
    /// The backup that was made or used.
    pub backup: Option<String>,
    /// Number of the generation that was made by it.
    pub generation: Option<u64>,
    /// Sequence of the history from which the events of that generation can be followed.
    pub events: Option<u64>,
}

/// A line of data of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DataLine)]
pub struct Line {
    /// Volume.
    pub volume: String,
    /// Number.
    pub number: u32,
    /// It is in use.
    pub in_use: bool,
    /// Line that it is a clone of; none for the first and for restored ones.
    pub parent: Option<u32>,
    /// Reason.
    pub reason: String,
    /// Maker.
    pub by: String,
    /// Moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// It had traffic from outside, so that no machine removes it.
    pub admitted: bool,
}

/// Request for a restore of an application's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreRequest {
    /// Id of the backup, or its first digits; the newest one without it.
    pub backup: Option<String>,
    /// Volumes; all of the backup without a word.
    pub volumes: Vec<String>,
    /// Name of a new application that gets the data, beside the one that has them.
    pub as_name: Option<String>,
}

/// Request for the restore of a whole machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineRequest {
    /// Place of the repository.
    pub place: Place,
    /// The owner's identity (`AGE-SECRET-KEY-1...`). It is used and not kept.
    pub identity: String,
    /// Id that the repository must have (B-4).
    #[serde(default)]
    pub repository: Option<String>,
    /// Name of the machine, where the repository has several.
    #[serde(default)]
    pub node: Option<String>,
}

impl std::fmt::Debug for MachineRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "restore of {:?} from {:?}", self.node, self.place)
    }
}

/// Place of a repository that is in no document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BackupPlace)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
pub enum Place {
    /// A folder of the machine.
    Folder {
        /// Its path.
        path: String,
    },
    /// A bucket of an object store.
    S3 {
        /// Address of the server.
        address: String,
        /// Bucket; behind a slash the beginning of all keys in it.
        bucket: String,
        /// Region.
        #[serde(default)]
        region: Option<String>,
        /// Id of the access key.
        key: String,
        /// The secret access key.
        secret: String,
    },
    /// The room that another Xnode lends to this machine's key.
    Peer {
        /// Its address: `HOST:PORT`.
        address: String,
        /// Its key as a lender.
        node: String,
    },
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Folder { path } => write!(f, "folder {path}"),
            Place::S3 { address, bucket, .. } => write!(f, "bucket {bucket} at {address}"),
            Place::Peer { address, node } => write!(f, "Xnode {} at {address}", node.get(..16).unwrap_or(node)),
        }
    }
}

/// Backups of a machine in a repository, for a person who restores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachinePlan {
    /// Id of the repository.
    pub repository: String,
    /// Name of the machine.
    pub node: String,
    /// Generation whose document is taken.
    pub generation: u64,
    /// Moment of the backup that has that document.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// The backup of each application.
    pub backups: Vec<Backup>,
    /// Names of the secrets.
    pub secrets: Vec<String>,
    /// Applications that run once it is restored, also where one has moved to another machine since that moment.
    pub runs: Vec<String>,
}
