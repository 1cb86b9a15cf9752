//! Mark of a machine that is emptied: a file of the agent, by which deployments of people are refused.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use openmesh_primitives::Timestamp;
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::AgentError;
use crate::settings::Settings;

/// Mark of a machine that is emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Drained {
    /// Whoever asked for it.
    pub by: String,
    /// Reason, a line for people.
    pub reason: String,
    /// Moment.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Applications that ran, and run again when it is undone.
    pub applications: BTreeSet<String>,
}

fn file(settings: &Settings) -> PathBuf {
    settings.state.join("drained.json")
}

/// The mark of an agent; none where it takes deployments.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn find(settings: &Settings) -> Result<Option<Drained>, AgentError> {
    let path = file(settings);
    let bytes = match fs::read(&path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(AgentError::file("reading", &path))?,
    };
    let mark = serde_json::from_slice(&bytes);
    mark.map(Some).map_err(|cause| AgentError::Damaged { path, words: cause.to_string() })
}

/// Refuses a change of a machine that is emptied.
///
/// # Errors
/// It is; or its mark cannot be read.
pub fn refuse(settings: &Settings) -> Result<(), AgentError> {
    match find(settings)? {
        Some(Drained { by, reason, .. }) => Err(AgentError::Drained { by, reason }),
        None => Ok(()),
    }
}

/// Puts the mark there. One that is there already keeps its reason, and learns of what was started since.
///
/// # Errors
/// The mark cannot be read or written.
pub fn mark(settings: &Settings, new: Drained) -> Result<Drained, AgentError> {
    let mut mark = find(settings)?.unwrap_or_else(|| Drained { applications: BTreeSet::new(), ..new.clone() });
    mark.applications.extend(new.applications);
    let path = file(settings);
    let text = serde_json::to_vec_pretty(&mark).unwrap_or_default();
    marks::replace(&path, &text).map_err(AgentError::file("writing", &path))?;
    Ok(mark)
}

/// Takes the mark away.
pub fn unmark(settings: &Settings) -> Result<(), AgentError> {
    let path = file(settings);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(AgentError::file("removing", &path)(cause)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &std::path::Path) -> Settings {
        Settings { state: folder.into(), ..Settings::usual("test".parse().unwrap()).unwrap() }
    }

    fn drained(by: &str, applications: &[&str]) -> Drained {
        let applications = applications.iter().map(|name| name.to_string()).collect();
        Drained { by: by.into(), reason: "a new disk".into(), at: Timestamp(0), applications }
    }

    #[test]
    fn a_mark_is_kept_refuses_and_forgets_nothing_that_ran() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        assert_eq!(find(&settings).unwrap(), None);
        assert!(refuse(&settings).is_ok());
        assert_eq!(mark(&settings, drained("root", &["web"])).unwrap(), drained("root", &["web"]));
        // Asked for again once everything has stopped.
        assert_eq!(mark(&settings, drained("another", &[])).unwrap(), drained("root", &["web"]));
        assert_eq!(find(&settings).unwrap(), Some(drained("root", &["web"])));
        let error = refuse(&settings).unwrap_err();
        assert_eq!(error.code(), ("drained", 409));
        for word in ["root", "a new disk", "openmesh xnode drain --off"] {
            assert!(error.to_string().contains(word), "{word:?} is not in {error}");
        }
        fs::write(file(&settings), "{").unwrap();
        assert!(matches!(refuse(&settings), Err(AgentError::Damaged { .. })));
        unmark(&settings).unwrap();
        unmark(&settings).unwrap();
        assert!(refuse(&settings).is_ok());
    }
}
