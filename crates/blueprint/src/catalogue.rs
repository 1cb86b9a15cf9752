//! Values that the resolver chooses from: images with their digests, built recipes and templates.

use std::collections::BTreeMap;

use openmesh_primitives::{Digest, canonical, sha256};

use crate::document::{Application, ImageReference, Name, PackageVersion, Recipe, Size};
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
    /// Templates by name, from the oldest version to the newest.
    pub templates: BTreeMap<Name, Vec<Template>>,
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

    /// The template of a name, the newest without a version.
    pub fn template(&self, name: &Name, version: Option<&PackageVersion>) -> Option<&Template> {
        let versions = self.templates.get(name)?;
        match version {
            Some(version) => versions.iter().find(|template| &template.version == version),
            None => versions.last(),
        }
    }

    /// An application with its template filled in; one without a template as it is. Fails where there is no such template, and with every problem of its answers.
    pub fn fill(&self, name: &Name, own: &Application) -> Result<Application, Vec<Unresolved>> {
        let Some(using) = &own.template else { return Ok(own.clone()) };
        let Some(template) = self.template(&using.name, using.version.as_ref()) else {
            let version = using.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            let known: Vec<&str> = self.templates.keys().map(Name::as_str).collect();
            let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            let template = format!("{}{version}", using.name);
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
