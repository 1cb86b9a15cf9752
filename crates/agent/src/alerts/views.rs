//! Answers about alerts, as JSON has them.

use openmesh_alerts::Entry;
pub use openmesh_alerts::{Acknowledged, AlertEvent, DroppedMessage, Severity};
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Kind of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// An application does not run as it is wanted.
    Down,
    /// The machine does not get to what is wanted.
    Machine,
    /// A backup is late.
    BackupLate,
    /// Backups fail.
    BackupFailed,
    /// Restore drills fail or are late.
    DrillFailed,
    /// A place for backups cannot be used, or has damage.
    BackupTarget,
    /// A volume or a writable root is nearly full.
    VolumeFull,
    /// The kernel killed processes for want of memory.
    OutOfMemory,
    /// The machine's disk is nearly full.
    Disk,
    /// A certificate ends soon.
    Certificate,
    /// The lender does not run, or does not all that it was told.
    Lender,
    /// The room of a loan is nearly full.
    LoanFull,
    /// A loan ends soon, or has ended by its date.
    LoanEnds,
    /// An update has failed, one of the agent itself waits, or a document of a file is not taken.
    Update,
    /// A move of an application between machines does not get further.
    Move,
    /// A machine that has joined this one does not report.
    Silent,
}

/// Subject of an alert. There is one alert for it at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Kind.
    pub kind: AlertKind,
    /// Application; none for the machine.
    pub application: Option<String>,
    /// One of several: a place for backups, a name of a certificate, an instance.
    pub subject: Option<String>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Number, from 1; no two alerts of a machine have the same.
    pub id: u64,
    /// Kind.
    pub kind: AlertKind,
    /// Application; none for the machine.
    pub application: Option<String>,
    /// One of several: a place for backups, a loan, a name of a certificate, an instance.
    pub subject: Option<String>,
    /// Severity.
    pub severity: Severity,
    /// Cause.
    pub cause: String,
    /// Remedy, in words.
    pub remedy: String,
    /// Moment at which it was first seen.
    #[schema(value_type = String, format = "seconds")]
    pub begin: Timestamp,
    /// Moment at which it had lasted long enough.
    #[schema(value_type = String, format = "seconds")]
    pub opened: Timestamp,
    /// Moment at which it was over; none while it is open.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub closed: Option<Timestamp>,
    /// Somebody knows of it.
    pub acknowledged: Option<Acknowledged>,
}

impl From<&Entry<Key>> for Alert {
    fn from(entry: &Entry<Key>) -> Alert {
        let Entry { id, key, severity, cause, remedy, begin, opened, closed, acknowledged } = entry.clone();
        let Key { kind, application, subject } = key;
        Alert { id, kind, application, subject, severity, cause, remedy, begin, opened, closed, acknowledged }
    }
}

/// A webhook with its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookState {
    /// Name in the document.
    pub name: String,
    /// Scheme and host of its address; none where it cannot be used. The rest of an address may be a key.
    pub host: Option<String>,
    /// Reason for which it cannot be used.
    pub cause: Option<String>,
    /// Messages that wait.
    pub waiting: u64,
    /// Cause of the last failure among them.
    pub last_failure: Option<String>,
}

/// Alerts of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alerts {
    /// Open ones, the most severe first, and the newest of these first.
    pub open: Vec<Alert>,
    /// Those that are over, the newest first.
    pub closed: Vec<Alert>,
    /// Receivers.
    pub webhooks: Vec<WebhookState>,
    /// Messages that were given up, the newest first.
    pub dropped: Vec<DroppedMessage>,
    /// Number of all that were given up.
    pub dropped_count: u64,
    /// Findings for which no alert was opened, since too many are open.
    pub suppressed: u64,
}

/// Result of a test of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookTest {
    /// Webhook.
    pub webhook: String,
    /// It took the message.
    pub taken: bool,
    /// Cause where it did not.
    pub cause: Option<String>,
}
