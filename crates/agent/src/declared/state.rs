//! A document that is given by a file, as the agent knows it: what came of it, for people.

use std::sync::{Mutex, PoisonError};

use openmesh_blueprint::Document;
use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::settings::DocumentFile;

/// State of a document that is given by a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredState {
    /// It was not looked at yet.
    #[default]
    Begins,
    /// It is what the machine has.
    Taken,
    /// It was taken, and the machine has something else by now, which stays.
    Differs,
    /// It is not taken.
    Refused,
}

/// A document that is given by a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Declared {
    /// The file.
    pub file: String,
    /// Name in which it is taken.
    pub by: String,
    /// State.
    pub state: DeclaredState,
    /// SHA-256 of the document that the file has; none where it cannot be read.
    #[schema(value_type = Option<String>, format = "sha256")]
    pub document: Option<Digest>,
    /// Number of the generation in which a document of the file was taken last; none before the first.
    pub generation: Option<u64>,
    /// Cause where it is not what the machine has.
    pub cause: Option<String>,
    /// Remedy, in words.
    pub remedy: Option<String>,
}

/// Cause and remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    /// Cause.
    pub cause: String,
    /// Remedy, in words.
    pub remedy: String,
}

/// Everything that is known of the file's document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// State.
    pub state: DeclaredState,
    /// Its hash.
    pub document: Option<Digest>,
    /// Number of the generation in which one was taken last.
    pub generation: Option<u64>,
    /// Cause and remedy where it is not what the machine has.
    pub why: Option<Why>,
}

/// The file of an agent's document with what came of it; empty where none is given.
pub(crate) struct Given {
    file: Option<DocumentFile>,
    known: Mutex<Known>,
}

impl Given {
    /// A file that was not looked at yet.
    pub fn new(file: Option<DocumentFile>) -> Given {
        Given { file, known: Mutex::default() }
    }

    /// The file; none where none is given.
    pub fn file(&self) -> Option<&DocumentFile> {
        self.file.as_ref()
    }

    /// All of it.
    pub fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what is known from here on, and returns what was before.
    pub fn know(&self, known: Known) -> Known {
        std::mem::replace(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner), known)
    }

    /// The view of it; none where no file is given.
    pub fn view(&self) -> Option<Declared> {
        let (file, known) = (self.file.as_ref()?, self.known());
        let (cause, remedy) = known.why.map(|Why { cause, remedy }| (cause, remedy)).unzip();
        Some(Declared {
            file: file.path.display().to_string(),
            by: file.by.clone(),
            state: known.state,
            document: known.document,
            generation: known.generation,
            cause,
            remedy,
        })
    }

    /// A plan's text, with a word for whoever changes the machine past the file: bringing the change there is theirs to do.
    pub fn noticed(&self, plan: String, by: &str, document: &Document) -> String {
        let Some(file) = self.file.as_ref().filter(|file| file.by != by) else { return plan };
        if self.known().document == Some(document.hash()) {
            return plan;
        }
        let (path, owner) = (file.path.display(), &file.by);
        // Below the head and above the steps, as what changes is.
        let (head, rest) = plan.split_once('\n').unwrap_or((plan.as_str(), ""));
        format!(
            "{head}\nnote: {path} gives this machine its document ({owner}) and does not have this change; bring it there too: \
             what the file says next is not taken as long as it is without it\n{rest}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_changes_the_machine_past_its_file_is_told() {
        let document = |text: &str| Document::parse(&format!("version: 1\n{text}")).unwrap();
        let (own, other) = (document(""), document("machine: {name: attic}\n"));
        let file = DocumentFile { path: "/etc/xnode.json".into(), by: "NixOS configuration".into() };
        let given = Given::new(Some(file));
        given.know(Known { state: DeclaredState::Taken, document: Some(own.hash()), ..Known::default() });
        let noticed = given.noticed("a plan\n   1. a step\n".into(), "alice", &other);
        assert!(noticed.starts_with("a plan\nnote: /etc/xnode.json gives"), "{noticed}");
        assert!(noticed.ends_with("without it\n   1. a step\n") && noticed.lines().count() == 3, "{noticed}");
        assert_eq!(given.noticed("a plan".into(), "alice", &other).lines().count(), 2);
        // Neither the file itself nor somebody who deploys what it says.
        assert_eq!(given.noticed("a plan\n".into(), "NixOS configuration", &other), "a plan\n");
        assert_eq!(given.noticed("a plan\n".into(), "alice", &own), "a plan\n");
        assert_eq!(Given::new(None).noticed("a plan\n".into(), "alice", &other), "a plan\n");
        assert_eq!(given.view().map(|view| (view.state, view.cause)), Some((DeclaredState::Taken, None)));
        assert_eq!(Given::new(None).view(), None);
    }
}
