//! Texts of templates that go with backups: a machine that is restored needs none of their catalogues (X-124, B-64).

use openmesh_blueprint::Document;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::template::Template;
use openmesh_primitives::{ValidatorPublicKey, sha256};
use serde::{Deserialize, Serialize};

use super::super::kept::Kept;
use super::{KEPT_MAX, Publishers, kept_name, of_all, uses};
use crate::error::AgentError;

/// The text of a template that applications of a document are made of, with its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Carried {
    /// Catalogue, by the machine's name for it.
    pub catalogue: String,
    /// Name of the template.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Publisher, for people.
    pub publisher: String,
    /// Key that signed the text.
    pub key: ValidatorPublicKey,
    /// The text.
    pub text: String,
}

impl Carried {
    /// Name under which it is kept; none where its text is not that of a template of others with its name and version.
    fn kept_name(&self) -> Option<String> {
        let catalogue = self.catalogue.parse::<Name>().ok()?;
        let template = Template::parse_of_others(&self.text, &catalogue).ok()?;
        let is_its = template.name.as_str() == self.name && template.version.as_str() == self.version;
        is_its.then(|| kept_name(&catalogue, &self.name, &self.version))
    }
}

impl Publishers {
    /// Texts of the templates that applications of a document are made of, each once. One that is not here any more is left out.
    pub(crate) fn carried(&self, document: &Document) -> Vec<Carried> {
        let inner = self.lock();
        let mut carried: Vec<Carried> = Vec::new();
        for (_, catalogue, using, version) in uses(document) {
            let kept = inner.kept.get(&kept_name(catalogue, using.name.as_str(), version));
            let text = kept.and_then(|kept| Some((kept, String::from_utf8(self.folder.text(&kept.text)?).ok()?)));
            let Some((kept, text)) = text else { continue };
            let one = Carried {
                catalogue: catalogue.to_string(),
                name: using.name.to_string(),
                version: version.to_string(),
                publisher: kept.publisher.clone(),
                key: kept.key,
                text,
            };
            if !carried.contains(&one) {
                carried.push(one);
            }
        }
        carried
    }

    /// Words about the first template of a document of which this machine has another text than the one that was carried, or none and a catalogue of that name with
    /// another key: here the name means another publisher's. None where all are the same, or unknown here.
    pub(crate) fn differs(&self, carried: &[Carried], document: &Document) -> Option<String> {
        let inner = self.lock();
        uses(document).find_map(|(_, catalogue, using, version)| {
            let theirs = carried.iter().find(|one| {
                let own = (one.catalogue.as_str(), one.name.as_str(), one.version.as_str());
                own == (catalogue.as_str(), using.name.as_str(), version)
            })?;
            let kept = inner.kept.get(&kept_name(catalogue, using.name.as_str(), version));
            let source = document.machine.catalogues.get(catalogue);
            let copy = || {
                let (opened, others) = inner.shelves.get(catalogue)?.copy(source?)?;
                let entry = opened.index.find(using.name.as_str(), version.parse().ok()?)?;
                Some((entry.text.sha256, others.publisher.clone()))
            };
            let here = kept.map(|kept| (kept.text, kept.publisher.clone())).or_else(copy);
            let is_other = match &here {
                Some((text, _)) => *text != sha256(&[theirs.text.as_bytes()]),
                None => source.is_some_and(|source| source.key != theirs.key),
            };
            is_other.then(|| {
                let (words, there) = (using.words(), &theirs.publisher);
                let publisher = here.map_or_else(|| "another publisher".to_string(), |(_, publisher)| publisher);
                format!(
                    "the template {words} of {there} is another one here, of {publisher}; give one of the two catalogues another name"
                )
            })
        })
    }

    /// Keeps texts that came with a backup. One that is kept already stays, and one that is no template of its name and version is left out.
    ///
    /// # Errors
    /// A text or the list cannot be written.
    pub(crate) fn adopt(&self, carried: &[Carried]) -> Result<(), AgentError> {
        // Nothing that is written here is swept before the list has it: whoever sweeps holds the same lock.
        let mut inner = self.lock();
        let mut kept = inner.kept.clone();
        for one in carried {
            let Some(name) = one.kept_name() else { continue };
            // A document names it next, perhaps hours later: its day begins anew.
            inner.idle.remove(&name);
            if kept.len() < KEPT_MAX && !kept.contains_key(&name) {
                let text = self.folder.write_text(one.text.as_bytes()).map_err(of_all)?;
                kept.insert(name, Kept { text, publisher: one.publisher.clone(), key: one.key });
            }
        }
        if kept != inner.kept {
            self.folder.write_kept(&kept).map_err(of_all)?;
            inner.kept = kept;
        }
        Ok(())
    }
}
