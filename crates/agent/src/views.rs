//! Answers of the agent, as JSON has them.

use std::collections::BTreeMap;

pub use crate::alerts::views as alerts;
pub use crate::backups::views as backups;
pub use crate::lending::views as lending;
pub use crate::machines::views as machines;
pub use crate::moves::views as moves;
pub use openmesh_access::audit::{
    Filter as AuditFilter, Head as AuditHead, Kind as AuditKind, Record as AuditRecord, Report as AuditReport,
};
pub use openmesh_access::{KeyWish, Role, views as access};
use openmesh_primitives::Timestamp;
pub use openmesh_templates::Fault;
pub use openmesh_templates::views as templates;
pub use openmesh_xnode::InUse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use crate::api::access::Untaken;
pub use crate::api::doors::{
    CertificateFailure, DoorCertificate, DoorHost, DoorInstance, DoorListener, DoorRoute, DoorState, Doors,
    HostCertificate,
};
pub use crate::api::exec::{Exec, ExecEvent, TerminalWord};
pub use crate::api::files::{FileEntry, FileFolder, FileKind, FilePlaces, FileRename, FileVolume};
pub use crate::api::gpus::NodeGpu;
pub use crate::api::import::{ImportBody, ImportFinding, Imported};
pub use crate::api::jobs::{JobRun, JobView};
pub use crate::api::processes::{ProcessInfo, ProcessList, ProcessState};
pub use crate::api::upgrade::Upgrades;
pub use crate::api::usage::{InstanceUsage, Usage, UsageCondition};
pub use crate::api::visit::{Leave, VisitWish, Visited};
pub use crate::costs::{ApplicationCost, ChangedCost, Costs, DeploymentCost, PriceList};
pub use crate::declared::{Declared, DeclaredState};
pub use crate::doors::Maker as CertificateMaker;
pub use crate::drain::{DrainView, Drained};
pub use crate::export::NixosExport;
pub use crate::publishers::views as catalogues;
pub use crate::usage::UsagePoint;
pub use crate::visits::Way;

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Instance name of the agent.
    pub agent: String,
    /// Version of the agent.
    pub version: String,
    /// Name of the machine.
    pub node: String,
    /// Number of the generation that serves; 0 before the first.
    pub current: u64,
    /// Number of the wanted generation; 0 before the first.
    pub wanted: u64,
    /// Present work.
    pub work: Work,
    /// Memory of the machine, bytes.
    pub memory_bytes: u64,
    /// Free disk below the agent's folder, bytes.
    pub disk_free_bytes: u64,
    /// Parts of it that are in use; none where the kernel does not say it, or of an agent of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<InUse>,
    /// Its GPUs; none where no driver of one is loaded, or of an agent of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<NodeGpu>,
    /// Features that the kernel or the installed tools lack, each with a way to get it.
    pub lacks: Vec<String>,
    /// Whoever emptied it, and why; none where it takes deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<Drained>,
    /// Document that a file gives it; none where people alone deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
}

/// Present work of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Work {
    /// State.
    pub state: WorkState,
    /// Step that is being done, in words.
    pub step: Option<String>,
    /// Bytes of that step that are done, and all.
    pub bytes: Option<(u64, u64)>,
    /// Steps that failed and are tried again, and applications that are left as they are, with their causes.
    pub troubles: Vec<Trouble>,
    /// Last look at the machine.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub looked_at: Option<Timestamp>,
}

/// State of the agent's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// Nothing was looked at yet.
    #[default]
    Begins,
    /// Nothing is wanted of the machine.
    Idle,
    /// Steps are being done.
    Works,
    /// Everything is as it is wanted.
    Rests,
    /// Nothing more can be done but what failed or is held.
    Held,
}

/// Something that cannot go on now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// Application; none for the machine as a whole.
    pub application: Option<String>,
    /// Cause, and what would help.
    pub cause: String,
    /// Attempts; 0 where trying again has no use.
    pub attempts: u32,
    /// Time until the next attempt, milliseconds.
    pub again_in_ms: Option<u64>,
}

/// State of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationState {
    /// Every instance runs and has passed its gate.
    Running,
    /// It is on its way.
    Starting,
    /// A person wished it stopped, and it is.
    Stopped,
    /// An instance ended too often and is tried seldom.
    CrashLoop,
    /// An instance is frozen, and nobody asked for it.
    Frozen,
    /// An instance has ended and is not started again.
    Ended,
    /// It did not pass its gate.
    Failed,
    /// It is left as it is, for a cause that is named.
    Held,
    /// It is in no wanted generation, and goes.
    Leaving,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Application {
    /// Name.
    pub name: String,
    /// State.
    pub state: ApplicationState,
    /// Cause of a state that nobody wished.
    pub cause: Option<String>,
    /// Source of its image, as a person reads it.
    pub image: Option<String>,
    /// Digest of its image.
    pub digest: Option<String>,
    /// Wanted revision.
    pub revision: Option<String>,
    /// Instances that are there.
    pub instances: Vec<Instance>,
    /// Ports: name, and place on the host where it is published.
    pub ports: BTreeMap<String, Option<String>>,
    /// Volumes: name, and id with line.
    pub volumes: BTreeMap<String, String>,
    /// Domains that lead to it: name, and who may open it there.
    #[serde(default)]
    pub domains: BTreeMap<String, String>,
    /// The last version that was wanted for it has failed, and nothing was wanted since; none where none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Returned>,
    /// Last time that its instances were asked to be started anew, without a new version; none where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Conditions with their figures: throttled, out of memory, disk full. Nothing is restarted for one.
    #[serde(default)]
    pub conditions: Vec<UsageCondition>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Revision and number.
    pub id: String,
    /// State of its shim: `running`, `waiting`, ...; `created` before it ran.
    pub state: String,
    /// Address.
    pub address: String,
    /// Number of its first process.
    pub pid: Option<u32>,
    /// Starts by policy.
    pub restarts: u64,
    /// Traffic from outside is let to it.
    pub admitted: bool,
    /// Its last end, in words.
    pub last_end: Option<String>,
}

/// A version of an application that failed, and what serves in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Returned {
    /// Number of the generation that failed.
    pub generation: u64,
    /// The test that failed, with its last answer, or the last words of the version.
    pub cause: String,
    /// Number of the generation that brought back what the failed one changed.
    pub returned_by: u64,
    /// Number of the generation that serves now.
    pub serves: u64,
}

/// A restart of an application that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restart {
    /// Its number, from 1: so many were asked for since the application is there.
    pub number: u64,
    /// Whoever asked for it.
    pub by: String,
    /// Reason.
    pub reason: String,
    /// Moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Instances that are still to be started.
    pub left: Vec<String>,
    /// All of its instances run anew, with their traffic.
    pub is_over: bool,
}

/// A restart that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Restarting {
    /// The application.
    pub application: String,
    /// Its number among those of the application, from 1.
    pub number: u64,
    /// Instances that it starts anew.
    pub instances: Vec<String>,
    /// Its way.
    pub way: RestartWay,
    /// Sequence of the history from which its events can be followed.
    pub events: u64,
}

/// Way of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RestartWay {
    /// One instance after another; the others have the traffic meanwhile.
    Rolling,
    /// All at once, while requests wait at the door.
    Held,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Generation {
    /// Number.
    pub number: u64,
    /// Number of the one before.
    pub parent: u64,
    /// Maker.
    pub by: String,
    /// Reason.
    pub reason: String,
    /// Moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Hash of the portable part.
    pub portable: String,
    /// Names of its applications.
    pub applications: Vec<String>,
    /// It serves.
    pub serves: bool,
    /// It is wanted.
    pub is_wanted: bool,
    /// Cause of its failure, where it came back by itself.
    #[serde(default)]
    pub failed: Option<String>,
    /// Number of the generation that brought back what it changed.
    #[serde(default)]
    pub returned_by: Option<u64>,
}

/// A deployment that was taken, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// Number of the generation.
    pub generation: u64,
    /// Number of the wanted generation that it follows; 0 for the first.
    pub after: u64,
    /// Applications that it changes.
    pub applications: Vec<String>,
    /// Plan as a person reads it.
    pub plan: String,
    /// Number of steps.
    pub steps: u64,
    /// Words for what is lost by it.
    pub destroys: Vec<String>,
    /// Data are among what is lost: more than connections that are cut.
    pub loses_data: bool,
    /// Sequence of the history from which its events can be followed.
    pub events: u64,
    /// Costs that it comes to; none where its document has no prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<DeploymentCost>,
}

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Name.
    pub name: String,
    /// Present version.
    pub version: u32,
    /// Moment at which it was set.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Applications of the wanted generation that have it, each with the version it has.
    pub used_by: BTreeMap<String, u32>,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A generation is wanted.
    Wanted,
    /// A step begins.
    Begins,
    /// A step is done.
    Done,
    /// A step failed, and is tried again.
    Failed,
    /// An application, or everything, is left as it is.
    Held,
    /// A generation goes no further for now: its new versions are watched, or something that is named holds up its commit.
    Serves,
    /// A generation has failed, and the next one brings back what it changed.
    Returned,
    /// Everything is as it is wanted.
    Rest,
    /// The agent began or left.
    Agent,
    /// A secret was set or removed; its name alone is told.
    Secret,
    /// Something lasts that is not as it should be.
    Found,
    /// Something that lasted is over.
    Over,
    /// Something that had gone, or was changed by somebody else, is as it was again.
    Repaired,
    /// Instances of an application are asked to be started anew, without a new version.
    Restart,
    /// They run anew, with their traffic.
    Restarted,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Number, from 1.
    pub sequence: u64,
    /// Moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Kind.
    pub kind: EventKind,
    /// Generation that was wanted at that moment.
    pub generation: u64,
    /// Application, where it is about one.
    pub application: Option<String>,
    /// Words for a person.
    pub text: String,
}

/// A line of an application's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Instance.
    pub instance: String,
    /// Number in the instance's log.
    pub sequence: u64,
    /// Moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// `stdout`, `stderr`, or `shim` for words of the shim itself.
    pub stream: String,
    /// Text.
    pub text: String,
}

/// An error, as every answer with a status above 399 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Stable word for programs.
    pub code: String,
    /// Words for people; one problem a line.
    pub message: String,
}
