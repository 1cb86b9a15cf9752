//! Deployments: the way from a document to the generation that is wanted, refused as early as can be.

use std::collections::BTreeMap;

use openmesh_blueprint::catalogue::Catalogue;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Disposal;
use openmesh_blueprint::{Document, Generation, Refusal, resolve};
use openmesh_primitives::Timestamp;
use openmesh_xnode::XnodeError;

use super::made::naming;
use super::{Asked, Service, Terms, names};
use crate::backups;
use crate::catalogue::Known;
use crate::drain::refuse as refuse_drained;
use crate::error::AgentError;
use crate::settings::Settings;
use crate::views::{self, EventKind};

impl Service {
    /// The plan for a document; where `does`, its generation is the wanted one from here on.
    ///
    /// # Errors
    /// Every problem of the document, every reason for which there is no generation, every refusal of its plan: then nothing has changed.
    pub async fn deploy(
        &self,
        document: &Document,
        asked: &Asked,
        does: bool,
    ) -> Result<views::Deployment, AgentError> {
        self.deploy_on(document, &Terms::default(), asked, does).await
    }

    /// Takes an application out of the wanted document.
    ///
    /// # Errors
    /// It is not there; or as [`Service::deploy`].
    pub async fn remove(
        &self,
        name: &Name,
        disposal: Disposal,
        asked: &Asked,
        does: bool,
    ) -> Result<views::Deployment, AgentError> {
        let wanted = self.wanted()?;
        let mut document = self.document(wanted)?;
        if document.applications.remove(name).is_none() {
            let known = names(document.applications.keys());
            return Err(AgentError::NoApplication { name: name.to_string(), known });
        }
        if disposal == Disposal::Backup {
            backups::check_removal(self, name)?;
        }
        let asked = Asked { expected: Some(asked.expected.unwrap_or(wanted)), ..asked.clone() };
        let terms = Terms { disposals: BTreeMap::from([(name.clone(), disposal)]), ..Terms::default() };
        self.deploy_on(&document, &terms, &asked, does).await
    }

    /// As [`Service::deploy`], on terms.
    ///
    /// # Errors
    /// As [`Service::deploy`].
    pub(crate) async fn deploy_on(
        &self,
        document: &Document,
        terms: &Terms,
        asked: &Asked,
        does: bool,
    ) -> Result<views::Deployment, AgentError> {
        check_drained(&self.settings, terms, does)?;
        tokio::task::block_in_place(|| readable(document))?;
        self.publishers.prepare(document).await;
        loop {
            let (number, known) = self.prepare(document, terms, asked).await?;
            let said =
                |name: &Name, text: String| self.history.note(EventKind::Begins, number, Some(name.to_string()), text);
            // Minutes of fetching and building, in which others may change the machine: above all its way back from a failure waits for nobody.
            let catalogue = known.complete(self.agent.machine(), &self.settings, &said).await?;
            let _change = self.change.lock().await;
            check_drained(&self.settings, terms, does)?;
            let previous = self.check_expected(asked)?;
            if previous.as_ref().map_or(0, |previous| previous.number) != number {
                // Tags are pinned to those of another generation by now. What was built is found built.
                continue;
            }
            let previous = previous.as_ref();
            // Disks are read and shims asked from here on: other tasks of this runtime go on meanwhile.
            return tokio::task::block_in_place(|| {
                self.check_moves(previous, document, terms)?;
                let generation = self.resolved(document, &catalogue, terms, previous, asked)?;
                let unmade = self.unmade(&terms.makes);
                let taken = if !does || terms.makes.is_empty() {
                    self.want(&generation, previous, document, does)?
                } else {
                    // A refusal is known by now, and no secret was made for it.
                    self.want(&generation, previous, document, false)?;
                    self.want_with_secrets(document, &catalogue, terms, previous, asked)?
                };
                Ok(views::Deployment { plan: naming(&taken.plan, &unmade), ..taken })
            });
        }
    }

    /// Lets the generation of a document be the wanted one, with the secrets that are made for it.
    fn want_with_secrets(
        &self,
        document: &Document,
        catalogue: &Catalogue,
        terms: &Terms,
        previous: Option<&Generation>,
        asked: &Asked,
    ) -> Result<views::Deployment, AgentError> {
        let made = self.make_secrets(&terms.makes)?;
        let generation = self.resolved(document, catalogue, terms, previous, asked);
        let taken = generation.and_then(|generation| self.want(&generation, previous, document, true));
        match &taken {
            Ok(taken) => {
                for (name, version) in &made {
                    let text = format!("version {version} of the secret `{name}` was made");
                    self.history.note(EventKind::Secret, taken.generation, None, text);
                }
            }
            Err(_) => self.withdraw_secrets(&made),
        }
        taken
    }

    /// Finds out what is known of a document, and refuses it where that is enough to. With the number of the generation that is wanted now.
    async fn prepare(&self, document: &Document, terms: &Terms, asked: &Asked) -> Result<(u64, Known), AgentError> {
        let _change = self.change.lock().await;
        let previous = self.check_expected(asked)?;
        let previous = previous.as_ref();
        tokio::task::block_in_place(|| {
            self.check_moves(previous, document, terms)?;
            let others = self.publishers.templates_of(document, Timestamp::now())?;
            let known = Known::of(self.agent.machine(), &self.settings, document, others, previous, terms.refresh)?;
            if let Some(least) = known.least(previous) {
                let generation = self.resolved(document, &least, terms, previous, asked)?;
                match self.agent.plan(&generation, self.serving()?.as_ref()) {
                    Err(XnodeError::Refused { refusals }) => certain(refusals)?,
                    planned => drop(planned?),
                }
            }
            Ok((previous.map_or(0, |previous| previous.number), known))
        })
    }

    /// The generation of a document.
    fn resolved(
        &self,
        document: &Document,
        catalogue: &Catalogue,
        terms: &Terms,
        previous: Option<&Generation>,
        asked: &Asked,
    ) -> Result<Generation, AgentError> {
        let mut allocations = self.allocations(terms.disposals.clone())?;
        for name in terms.makes.keys() {
            allocations.secrets.entry(name.clone()).or_insert(1);
        }
        let placed = self.settings.placed(document);
        let generation = resolve(&placed, catalogue, &allocations, previous, Self::cause(asked));
        generation.map_err(|reasons| AgentError::Unresolved { reasons })
    }
}

/// Refuses what would change a machine that is emptied.
fn check_drained(settings: &Settings, terms: &Terms, does: bool) -> Result<(), AgentError> {
    if does && !terms.although_drained { refuse_drained(settings) } else { Ok(()) }
}

/// Sees that a document can be read back from the text in which it is kept: anchors and escapes make it longer than it was written.
fn readable(document: &Document) -> Result<(), AgentError> {
    match Document::parse(&document.to_yaml()) {
        Ok(again) if again == *document => Ok(()),
        Ok(_) => Err(AgentError::Name("the document reads otherwise in the text in which it is kept".into())),
        Err(problems) => Err(AgentError::Document { problems }),
    }
}

/// Refuses what no image changes. Conditions of instances and lines of data depend on whether a version is another one, which its image decides.
fn certain(refusals: Vec<Refusal>) -> Result<(), AgentError> {
    let is_certain = |refusal: &Refusal| {
        matches!(
            refusal,
            Refusal::PortTaken { .. }
                | Refusal::DiskShort { .. }
                | Refusal::MemoryShort { .. }
                | Refusal::KernelLacks { .. }
                | Refusal::GpuUnusable { .. }
                | Refusal::VolumeShrinks { .. }
        )
    };
    let refusals: Vec<Refusal> = refusals.into_iter().filter(is_certain).collect();
    if refusals.is_empty() { Ok(()) } else { Err(AgentError::Refused { refusals }) }
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::document::Size;

    use super::*;

    #[test]
    fn only_what_no_image_changes_is_refused_before_it_is_here() {
        let application: Name = "shop".parse().unwrap();
        let failed = Refusal::GateFailed { application, cause: "it ended".into() };
        assert!(certain(vec![failed.clone()]).is_ok());
        let short = Refusal::MemoryShort { need: Size(2), have: Size(1), largest: Vec::new() };
        let refused = certain(vec![failed, short.clone()]);
        assert!(matches!(refused, Err(AgentError::Refused { refusals }) if refusals == std::slice::from_ref(&short)));
    }

    #[test]
    fn a_document_is_read_back_as_it_was() {
        let document = Document::parse("version: 1\napplications: {web: {image: \"shop:1\"}}\n").unwrap();
        assert!(readable(&document).is_ok());
    }
}
