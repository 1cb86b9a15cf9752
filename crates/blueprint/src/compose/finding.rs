//! Parts of a compose file that have no meaning here.

use std::fmt;

use crate::text::{Entry, Place};

/// Consequence of leaving a part out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Nothing changes without it.
    Ignored,
    /// The service would behave otherwise.
    Unsupported,
}

/// A part that has no meaning here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Its place.
    pub place: Place,
    /// Its path: `services.web.build`.
    pub path: String,
    /// Its key: `build`.
    pub key: String,
    /// Consequence of leaving it out.
    pub kind: FindingKind,
    /// The reason, or what is there instead.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FindingKind::Ignored => "ignored",
            FindingKind::Unsupported => "unsupported",
        };
        write!(f, "line {}: {}: {kind}: {}", self.place.line, self.path, self.why)
    }
}

/// Collector of findings below one path.
pub(super) struct Findings<'a> {
    pub(super) path: String,
    pub(super) found: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    /// Notes a key of which nothing changes without it.
    pub(super) fn ignored(&mut self, entry: &Entry, why: &str) {
        self.add(&entry.key, entry.place, FindingKind::Ignored, why.to_string());
    }

    /// Notes a key without which the service would behave otherwise.
    pub(super) fn unsupported(&mut self, entry: &Entry, why: impl Into<String>) {
        self.add(&entry.key, entry.place, FindingKind::Unsupported, why.into());
    }

    /// Notes a part of a key's value.
    pub(super) fn unsupported_at(&mut self, key: &str, place: Place, why: impl Into<String>) {
        self.add(key, place, FindingKind::Unsupported, why.into());
    }

    fn add(&mut self, key: &str, place: Place, kind: FindingKind, why: String) {
        let path = format!("{}.{key}", self.path).trim_start_matches('.').to_string();
        self.found.push(Finding { place, path, key: key.to_string(), kind, why });
    }
}
