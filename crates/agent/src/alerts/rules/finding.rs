//! Findings: what is not as it should be, by its subject.

use std::collections::BTreeMap;
use std::time::Duration;

use openmesh_alerts::Finding;

use crate::alerts::views::{AlertKind, Key};

/// Time for which a disk or a volume is full: what is written and removed again at once is no trouble.
pub const FULL_LASTS: Duration = Duration::from_secs(60);
/// Time for which everything else lasts: a look that saw half of a change is over by then.
pub const OTHER_LASTS: Duration = Duration::from_secs(30);
/// Attempts after which a step that fails is no passing trouble.
pub const ATTEMPTS_MIN: u32 = 3;

/// Findings by their subjects.
pub type Findings = BTreeMap<Key, Finding>;

/// The subject of a finding.
pub fn key(kind: AlertKind, application: Option<&str>, subject: Option<&str>) -> Key {
    Key { kind, application: application.map(Into::into), subject: subject.map(Into::into) }
}
