//! Wishes for records.

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{Kind, Record};

/// Most records of one answer.
pub const LIST_MAX: usize = 1_000;

/// Wish for records, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Text in the name of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Beginning of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Earliest moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Moment before which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Number before which they are: that of the last one of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most of them; [`LIST_MAX`] where it is not given, and at most that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Filter {
    /// True for a record that is wished for.
    pub(super) fn takes(&self, record: &Record) -> bool {
        let has = |wanted: &Option<String>, found: &Option<String>, fits: fn(&str, &str) -> bool| match (wanted, found)
        {
            (None, _) => true,
            (Some(wanted), Some(found)) => fits(&found.to_lowercase(), &wanted.to_lowercase()),
            (Some(_), None) => false,
        };
        has(&self.who, &record.who, |found, wanted| found.contains(wanted))
            && has(&self.method, &record.method, |found, wanted| found == wanted)
            && has(&self.path, &record.path, |found, wanted| found.starts_with(wanted))
            && self.kind.is_none_or(|kind| kind == record.kind)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
            && self.before.is_none_or(|before| record.sequence < before)
    }
}
