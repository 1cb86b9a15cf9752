//! Catalogues of other publishers, as the wanted document names them.

use std::collections::BTreeMap;

use openmesh_blueprint::Document;
use openmesh_blueprint::document::{CatalogueSource, Name};

use super::Service;
use crate::error::AgentError;
use crate::publishers::Publishers;

impl Service {
    /// Catalogues of other publishers.
    pub(crate) fn publishers(&self) -> &Publishers {
        &self.publishers
    }

    /// Catalogues that the wanted document names.
    ///
    /// # Errors
    /// The document cannot be read.
    pub(crate) fn catalogues(&self) -> Result<BTreeMap<Name, CatalogueSource>, AgentError> {
        match self.wanted()? {
            0 => Ok(BTreeMap::new()),
            wanted => Ok(self.document(wanted)?.machine.catalogues),
        }
    }

    /// A plan as people read it: behind its first line the publishers of what it changes.
    pub(super) fn told(&self, plan: &str, document: &Document, changed: &[String]) -> String {
        let lines = self.publishers.lines(document, changed);
        let (head, rest) = plan.split_once('\n').unwrap_or((plan, ""));
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        format!("{head}\n{lines}{rest}")
    }
}
