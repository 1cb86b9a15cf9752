//! Catalogues of other publishers, as the wanted document names them.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::document::{CatalogueSource, Name};
use openmesh_blueprint::{Document, retention};
use openmesh_primitives::Timestamp;
use openmesh_templates::makeable;
use openmesh_xnode::marks;

use super::Service;
use super::told::with_lines;
use crate::catalogue::with_templates;
use crate::error::AgentError;
use crate::publishers::{Publishers, kept_names};

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

    /// Names, as their texts are kept, of the templates to which somebody can come back: those of the documents of every generation that is kept or of which
    /// backups are kept. None where that is not known: a place for backups was not looked at since this is noted.
    ///
    /// # Errors
    /// A document or the generations cannot be read.
    pub(crate) fn templates_named(&self) -> Result<Option<BTreeSet<String>>, AgentError> {
        let paths = &self.agent.machine().paths;
        let wanted = self.wanted()?;
        let Some(mut needed) = self.backed_up(wanted)? else { return Ok(None) };
        needed.insert(wanted);
        let mut ages = Vec::new();
        for number in marks::numbers(paths)? {
            match marks::generation(paths, number) {
                Ok(generation) => ages.push((number, generation.cause.at)),
                // Nobody knows how old it is.
                Err(_) => {
                    needed.insert(number);
                }
            }
        }
        let kept = retention::kept(&ages, marks::pointer(&paths.current())?, &needed, Timestamp::now());
        needed.extend(kept);
        let mut named = BTreeSet::new();
        for number in needed {
            match self.document(number) {
                Ok(document) => named.extend(kept_names(&document)),
                Err(AgentError::NoDocument { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(named))
    }

    /// Generations of which the places for backups of a document keep backups; none where one was not looked at since that is noted.
    fn backed_up(&self, wanted: u64) -> Result<Option<BTreeSet<u64>>, AgentError> {
        let mut generations = BTreeSet::new();
        if wanted == 0 {
            return Ok(Some(generations));
        }
        for place in self.document(wanted)?.machine.backups.keys() {
            match self.publishers.heads(place.as_str()) {
                Some(heads) => generations.extend(heads),
                // One without a repository has never had a backup.
                None if self.backups.records.target(place)?.repository.is_empty() => {}
                None => return Ok(None),
            }
        }
        Ok(Some(generations))
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
        with_lines(plan, &self.publishers.lines(document, changed))
    }
}
