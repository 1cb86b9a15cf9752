//! Values that the resolver chooses from: images with their digests, built recipes and templates.

use std::collections::BTreeMap;

use openmesh_primitives::{Digest, canonical, sha256};

use crate::document::{Application, ImageReference, Name, Recipe, Size, TemplateUse};
use crate::template::Template;
use crate::unresolved::Unresolved;

/// An image as a registry or a builder gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Digest of its manifest, or of its index where it has one: the same for every architecture.
    pub digest: Digest,
    /// Bytes to fetch.
    pub packed: Size,
    /// Bytes on disk.
    pub unpacked: Size,
}

/// All that can be chosen from, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Images by reference.
    pub images: BTreeMap<ImageReference, ImageFacts>,
    /// Built images by the hash of their recipe.
    pub recipes: BTreeMap<Digest, ImageFacts>,
    /// Built-in templates by name, from the oldest version to the newest.
    pub templates: BTreeMap<Name, Vec<Template>>,
    /// Templates of other publishers by catalogue and name, from the oldest version to the newest.
    pub others: BTreeMap<(Name, Name), Vec<Template>>,
}

impl Catalogue {
    /// Facts of an image. A reference with a digest is found under its own or under the same without its tag.
    pub fn image(&self, reference: &ImageReference) -> Option<&ImageFacts> {
        let facts = self.images.get(reference).or_else(|| {
            let bare = ImageReference { tag: None, ..reference.clone() };
            self.images.get(&bare)
        })?;
        // A catalogue that gives another digest than was asked for is wrong.
        reference.digest.is_none_or(|wanted| wanted == facts.digest).then_some(facts)
    }

    /// The template that is named, the newest without a version. A name without a catalogue is a built-in template's, whatever others call theirs.
    pub fn template(&self, using: &TemplateUse) -> Option<&Template> {
        let versions = match &using.catalogue {
            Some(catalogue) => self.others.get(&(catalogue.clone(), using.name.clone()))?,
            None => self.templates.get(&using.name)?,
        };
        match &using.version {
            Some(version) => versions.iter().find(|template| &template.version == version),
            None => versions.last(),
        }
    }

    /// Names of the templates of a catalogue, of the built-in ones where none is named.
    fn known(&self, catalogue: Option<&Name>) -> String {
        let known: Vec<&str> = match catalogue {
            Some(wanted) => self.others.keys().filter(|(of, _)| of == wanted).map(|(_, name)| name.as_str()).collect(),
            None => self.templates.keys().map(Name::as_str).collect(),
        };
        if known.is_empty() { "none".to_string() } else { known.join(", ") }
    }

    /// An application with its template filled in; one without a template as it is. Fails where there is no such template, and with every problem of its answers.
    pub fn fill(&self, name: &Name, own: &Application) -> Result<Application, Vec<Unresolved>> {
        let Some(using) = &own.template else { return Ok(own.clone()) };
        let Some(template) = self.template(using) else {
            let (template, known) = (using.words(), self.known(using.catalogue.as_ref()));
            return Err(vec![Unresolved::NoSuchTemplate { application: name.clone(), template, known }]);
        };
        let fail = |problem| Unresolved::Template { application: name.clone(), problem };
        template.render(own).map_err(|problems| problems.into_iter().map(fail).collect())
    }
}

/// Hash under which a recipe's image is kept.
pub fn recipe_hash(recipe: &Recipe) -> Digest {
    sha256(&[b"openmesh recipe 1", &canonical::encode(recipe)])
}
