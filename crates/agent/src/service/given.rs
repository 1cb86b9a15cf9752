//! The document that a file gives this machine, and what of the machine decides about it.

use std::collections::BTreeMap;

use openmesh_blueprint::document::Name;

use super::Service;
use crate::declared::Given;

impl Service {
    /// The file with the machine's document, with what came of it.
    pub(crate) fn given(&self) -> &Given {
        &self.given
    }

    /// Secrets that are there, with their versions.
    pub(crate) fn secret_versions(&self) -> BTreeMap<Name, u32> {
        self.vault.list().into_iter().map(|(name, (version, _))| (name, version)).collect()
    }
}
