//! Catalogues of other publishers, as the wanted document names them.

use std::collections::BTreeMap;

use openmesh_blueprint::Document;
use openmesh_blueprint::document::{CatalogueSource, Name};
use openmesh_primitives::Timestamp;
use openmesh_templates::makeable;

use super::Service;
use crate::catalogue::with_templates;
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

    /// Secrets that the templates of a document make, with their letters and digits. Catalogues of such templates that are not here yet are fetched.
    ///
    /// # Errors
    /// A template of a catalogue cannot be had.
    pub(crate) async fn makeable(&self, document: &Document) -> Result<BTreeMap<Name, u32>, AgentError> {
        self.publishers.prepare(document).await;
        tokio::task::block_in_place(|| {
            let others = self.publishers.templates_of(document, Timestamp::now())?;
            Ok(makeable(&with_templates(others), &document.applications))
        })
    }

    /// A plan as people read it: behind its first line the publishers of what it changes.
    pub(super) fn told(&self, plan: &str, document: &Document, changed: &[String]) -> String {
        let lines = self.publishers.lines(document, changed);
        let (head, rest) = plan.split_once('\n').unwrap_or((plan, ""));
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        format!("{head}\n{lines}{rest}")
    }
}
