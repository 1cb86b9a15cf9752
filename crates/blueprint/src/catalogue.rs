//! Values that the resolver chooses from: images with their digests, built recipes and templates.

use std::collections::BTreeMap;

use openmesh_primitives::{Digest, canonical, sha256};

use crate::document::{ImageReference, Name, PackageVersion, Recipe, Size};
use crate::template::Template;

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
}

/// Hash under which a recipe's image is kept.
pub fn recipe_hash(recipe: &Recipe) -> Digest {
    sha256(&[b"openmesh recipe 1", &canonical::encode(recipe)])
}
