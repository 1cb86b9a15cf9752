//! Parts of a compose file that mean something else here, or nothing.

use std::fmt;

use crate::text::{Entry, Place, printable};

/// Most findings of one file, ten times what the largest known one has: a file with more is no file of a person, and is refused.
pub const FINDINGS_MAX: usize = 10_000;

/// Consequence of what is done with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Nothing changes without it.
    Ignored,
    /// Something near to it is done, which a person should look at.
    Changed,
    /// The service would behave otherwise.
    Unsupported,
}

impl FindingKind {
    /// The word of the kind.
    pub const fn word(self) -> &'static str {
        match self {
            FindingKind::Ignored => "ignored",
            FindingKind::Changed => "changed",
            FindingKind::Unsupported => "unsupported",
        }
    }
}

/// A part that means something else here, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Its place.
    pub place: Place,
    /// Its path: `services.web.build`.
    pub path: String,
    /// Its key: `build`.
    pub key: String,
    /// Consequence of what is done with it.
    pub kind: FindingKind,
    /// The reason, or what is there instead.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}: {}", self.place.line, self.path, self.kind.word(), self.why)
    }
}

/// Collector of findings below one path.
pub(super) struct Findings<'a> {
    pub(super) path: String,
    pub(super) found: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    /// Notes a key of which nothing changes without it.
    pub(super) fn ignored(&mut self, entry: &Entry, why: impl Into<String>) {
        self.add(&entry.key, entry.place, FindingKind::Ignored, why.into());
    }

    /// Notes a part of a key's value of which nothing changes without it.
    pub(super) fn ignored_at(&mut self, key: &str, place: Place, why: impl Into<String>) {
        self.add(key, place, FindingKind::Ignored, why.into());
    }

    /// Notes a key in place of which something near is done.
    pub(super) fn changed(&mut self, entry: &Entry, why: impl Into<String>) {
        self.add(&entry.key, entry.place, FindingKind::Changed, why.into());
    }

    /// Notes a part of a key's value in place of which something near is done.
    pub(super) fn changed_at(&mut self, key: &str, place: Place, why: impl Into<String>) {
        self.add(key, place, FindingKind::Changed, why.into());
    }

    /// Notes a key without which the service would behave otherwise.
    pub(super) fn unsupported(&mut self, entry: &Entry, why: impl Into<String>) {
        self.add(&entry.key, entry.place, FindingKind::Unsupported, why.into());
    }

    /// Notes a part of a key's value without which the service would behave otherwise.
    pub(super) fn unsupported_at(&mut self, key: &str, place: Place, why: impl Into<String>) {
        self.add(key, place, FindingKind::Unsupported, why.into());
    }

    fn add(&mut self, key: &str, place: Place, kind: FindingKind, why: String) {
        // One that is full is refused as a whole, so none is lost unsaid.
        if self.found.len() >= FINDINGS_MAX {
            return;
        }
        let path = printable(format!("{}.{key}", self.path).trim_start_matches('.').to_string());
        self.found.push(Finding { place, path, key: key.to_string(), kind, why: printable(why) });
    }
}
