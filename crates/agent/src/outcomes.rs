//! Outcomes of generations that have failed, for people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use openmesh_blueprint::Generation;
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;

/// Outcome of a generation that has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Cause, with the application.
    pub cause: String,
    /// Number of the generation that brings back what it changed.
    pub returned_by: u64,
    /// Cause of each application that failed, with the moment of it; none in an outcome of an earlier version.
    #[serde(default)]
    pub causes: BTreeMap<String, String>,
}

/// Maker of the generations that come back by themselves.
pub(crate) const AGENT: &str = "openmesh";

impl Outcome {
    /// Returns true for the generation that brings back what a failed one changed. The outcome is noted before that generation is made: where the agent
    /// died in between and somebody deployed first, its number is that person's generation.
    pub fn is_followed_by(&self, failed: u64, generation: &Generation) -> bool {
        (generation.number, generation.parent) == (self.returned_by, failed) && generation.cause.by == AGENT
    }
}

fn file(state: &Path, number: u64) -> PathBuf {
    state.join("outcomes").join(format!("{number}.json"))
}

/// Notes the outcome of a generation.
///
/// # Errors
/// It cannot be written.
pub(crate) fn note(state: &Path, number: u64, outcome: &Outcome) -> Result<(), AgentError> {
    let path = file(state, number);
    let bytes = serde_json::to_vec(outcome).unwrap_or_default();
    marks::replace(&path, &bytes).map_err(AgentError::file("writing", &path))
}

/// Outcome of a generation; none where it has not failed, or nobody knows any more.
pub(crate) fn find(state: &Path, number: u64) -> Option<Outcome> {
    marks::find(&file(state, number)).ok().flatten()
}
