//! Values that a document is resolved with: images looked up in their registries, recipes built.

use std::collections::BTreeMap;

use openmesh_blueprint::catalogue::{Catalogue, ImageFacts, recipe_hash};
use openmesh_blueprint::document::{ImageReference, Name, Origin, Recipe, Size};
use openmesh_blueprint::template::Template;
use openmesh_blueprint::{Document, Generation};
use openmesh_image::oci::Compression;
use openmesh_primitives::{Digest, sha256};
use openmesh_templates::built_in;
use openmesh_xnode::{Machine, open};

use crate::error::AgentError;
use crate::settings::Settings;
use crate::{own_image, pins};

/// Owner of the lease on images that a document was resolved with, until its generation has them.
const LEASE: &str = "resolved";

/// A document with its templates filled in, and what is known of its images before a registry is asked or anything is built.
pub struct Known {
    document: Document,
    catalogue: Catalogue,
    /// Images of the document's recipes that were built before.
    built: BTreeMap<Digest, ImageFacts>,
}

impl Known {
    /// Finds out what is known of a document, of which `others` has the templates of other publishers. Tags of `previous` stay pinned unless `refresh`.
    ///
    /// # Errors
    /// Every problem of a template's answers.
    pub fn of(
        machine: &Machine,
        settings: &Settings,
        document: &Document,
        others: BTreeMap<(Name, Name), Vec<Template>>,
        previous: Option<&Generation>,
        refresh: bool,
    ) -> Result<Known, AgentError> {
        let mut catalogue = with_templates(others);
        let document = filled(document, &catalogue)?;
        catalogue.images = pins::pinned(&document, previous.filter(|_| !refresh));
        // No registry has the image of this machine's program: one that is lost is made anew.
        catalogue
            .images
            .retain(|reference, facts| !own_image::is_own(reference) || machine.images.state(&facts.digest).is_some());
        let mut built = BTreeMap::new();
        for application in document.applications.values() {
            match application.origin() {
                Some(Origin::Image(reference)) => {
                    let there = reference.digest.and_then(|digest| stored(machine, digest).ok());
                    catalogue.images.extend(there.map(|facts| (reference.clone(), facts)));
                }
                Some(Origin::Recipe(recipe)) => {
                    let recipe = recipe_hash(recipe);
                    let made = machine.images.made(&recipe, &settings.kitchen);
                    let there = made.and_then(|image| stored(machine, image).ok());
                    built.extend(there.map(|facts| (recipe, facts)));
                }
                _ => {}
            }
        }
        Ok(Known { document, catalogue, built })
    }

    /// A catalogue in which what is not known is the least that it can be: the image that its application has already, else one without a byte. Whatever is
    /// refused with it would be refused with the images too. None where everything is known, or where applications with different images would get the same one.
    pub fn least(&self, previous: Option<&Generation>) -> Option<Catalogue> {
        let mut images: BTreeMap<&ImageReference, Option<Digest>> = BTreeMap::new();
        let mut recipes: BTreeMap<Digest, Option<Digest>> = BTreeMap::new();
        for (name, application) in &self.document.applications {
            let had =
                previous.and_then(|previous| previous.portable.applications.get(name)).map(|had| had.image.digest);
            let entry = match application.origin() {
                Some(Origin::Image(reference)) if !self.catalogue.images.contains_key(reference) => {
                    images.entry(reference).or_default()
                }
                Some(Origin::Recipe(recipe)) => recipes.entry(recipe_hash(recipe)).or_default(),
                _ => continue,
            };
            if let (Some(one), Some(other)) = (*entry, had)
                && one != other
            {
                return None;
            }
            *entry = entry.or(had);
        }
        if images.is_empty() && recipes.is_empty() {
            return None;
        }
        // Bytes of an image that is there already are on the disk, or were asked for before.
        let nothing = |digest| ImageFacts { digest, packed: Size(0), unpacked: Size(0) };
        let mut least = self.catalogue.clone();
        for (reference, had) in images {
            let digest = reference.digest.or(had).unwrap_or_else(|| sha256(&[reference.to_string().as_bytes()]));
            least.images.insert(reference.clone(), nothing(digest));
        }
        for (recipe, had) in recipes {
            let facts = self.built.get(&recipe).copied().unwrap_or_else(|| nothing(had.unwrap_or(recipe)));
            least.recipes.insert(recipe, facts);
        }
        Some(least)
    }

    /// Looks up and builds what is not known. `said` hears what is being done, for a person who waits.
    ///
    /// # Errors
    /// The first image that cannot be looked up, or recipe that cannot be built.
    pub async fn complete(
        self,
        machine: &Machine,
        settings: &Settings,
        said: &(dyn Fn(&Name, String) + Sync),
    ) -> Result<Catalogue, AgentError> {
        let Known { document, mut catalogue, built } = self;
        for (name, application) in &document.applications {
            match application.origin() {
                Some(Origin::Image(reference)) if catalogue.images.contains_key(reference) => {}
                Some(Origin::Image(reference)) if own_image::is_own(reference) => {
                    said(name, "makes an image of the program of this machine".into());
                    let made = tokio::task::block_in_place(|| own_image::make(machine, settings, name, LEASE));
                    catalogue.images.insert(reference.clone(), stored(machine, made?)?);
                }
                Some(Origin::Image(reference)) => {
                    said(name, format!("looks up {reference}"));
                    let facts = look(machine, name, reference).await?;
                    catalogue.images.insert(reference.clone(), facts);
                }
                Some(Origin::Recipe(recipe)) => {
                    let hash = recipe_hash(recipe);
                    if !built.contains_key(&hash) {
                        pull_base(machine, name, recipe, said).await?;
                    }
                    said(name, format!("builds its recipe {hash}"));
                    // Minutes of programs: other tasks of this runtime go on meanwhile. One that was built before is only held.
                    let made = tokio::task::block_in_place(|| build(machine, settings, name, recipe));
                    catalogue.recipes.insert(hash, made?);
                }
                _ => {}
            }
        }
        Ok(catalogue)
    }
}

/// The catalogue of the built-in templates and of these ones of other publishers, without images.
pub(crate) fn with_templates(others: BTreeMap<(Name, Name), Vec<Template>>) -> Catalogue {
    Catalogue { templates: built_in().templates().clone(), others, ..Catalogue::default() }
}

/// A document with its templates filled in.
fn filled(document: &Document, catalogue: &Catalogue) -> Result<Document, AgentError> {
    let mut filled = document.clone();
    let mut reasons = Vec::new();
    for (name, application) in &mut filled.applications {
        match catalogue.fill(name, application) {
            Ok(rendered) => *application = rendered,
            Err(found) => reasons.extend(found),
        }
    }
    if reasons.is_empty() { Ok(filled) } else { Err(AgentError::Unresolved { reasons }) }
}

/// Facts of an image of a registry.
async fn look(machine: &Machine, name: &Name, reference: &ImageReference) -> Result<ImageFacts, AgentError> {
    let pulled = machine.client.look(&machine.images, reference, &open, &|_| ()).await;
    let pulled = pulled.map_err(|cause| AgentError::Image { application: name.clone(), cause: Box::new(cause) })?;
    Ok(ImageFacts { digest: pulled.digest, packed: Size(pulled.packed), unpacked: Size(pulled.unpacked_max) })
}

fn stored(machine: &Machine, digest: Digest) -> Result<ImageFacts, AgentError> {
    let manifest = machine.images.image(&digest)?.manifest;
    // A layer that is not compressed has the bytes of its files; of others only the most is known.
    let unpacked = manifest.layers.iter().map(|layer| match layer.compression() {
        Ok(Compression::Plain) => layer.size,
        _ => openmesh_image::limits::unpacked_bytes_max(layer.size),
    });
    Ok(ImageFacts { digest, packed: Size(manifest.bytes()), unpacked: Size(unpacked.sum()) })
}

/// Fetches the image that a recipe begins with.
async fn pull_base(
    machine: &Machine,
    name: &Name,
    recipe: &Recipe,
    said: &(dyn Fn(&Name, String) + Sync),
) -> Result<(), AgentError> {
    let Some(base) = &recipe.base else { return Ok(()) };
    said(name, format!("pulls {base}, the base of its recipe"));
    let pulled = machine.client.pull(&machine.images, base, LEASE, &open, &|_| ()).await;
    pulled.map_err(|cause| AgentError::Image { application: name.clone(), cause: Box::new(cause) })?;
    Ok(())
}

/// Builds a recipe, or finds it built.
fn build(machine: &Machine, settings: &Settings, name: &Name, recipe: &Recipe) -> Result<ImageFacts, AgentError> {
    let made = machine.images.make(recipe, &settings.kitchen, LEASE, &open);
    let made = made.map_err(|cause| AgentError::Recipe { application: name.clone(), cause: Box::new(cause) })?;
    stored(machine, made.image)
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::generation::Cause;
    use openmesh_blueprint::resolve;
    use openmesh_blueprint::resolve::Allocations;
    use openmesh_primitives::Timestamp;

    use super::*;

    const RECIPE: &str = "recipe: {debian: {nginx: 1.22.1-9}}";

    fn facts(word: &str) -> ImageFacts {
        ImageFacts { digest: sha256(&[word.as_bytes()]), packed: Size(1), unpacked: Size(2) }
    }

    fn document(applications: &str) -> Document {
        Document::parse(&format!("version: 1\napplications: {{{applications}}}\n")).unwrap()
    }

    fn known(document: &Document) -> Known {
        Known { document: document.clone(), catalogue: Catalogue::default(), built: BTreeMap::new() }
    }

    /// A generation in which every image has the digest of its reference.
    fn generation(document: &Document) -> Generation {
        let mut catalogue = Catalogue::default();
        for application in document.applications.values() {
            match application.origin() {
                Some(Origin::Image(reference)) => {
                    catalogue.images.insert(reference.clone(), facts(&reference.to_string()));
                }
                Some(Origin::Recipe(recipe)) => {
                    catalogue.recipes.insert(recipe_hash(recipe), facts("built"));
                }
                _ => {}
            }
        }
        let allocations = Allocations {
            node: "kitchen".parse().unwrap(),
            taken: BTreeMap::new(),
            highest: 0,
            busy: BTreeMap::new(),
            first_id: 1_000_000,
            id_ranges: 8,
            secrets: BTreeMap::new(),
            committed: 0,
            disposals: BTreeMap::new(),
            gone: std::collections::BTreeSet::new(),
            gpus: openmesh_blueprint::gpu::Stock::default(),
        };
        let cause = Cause { by: "test".into(), reason: "a test".into(), at: Timestamp(0) };
        resolve(document, &catalogue, &allocations, None, cause).unwrap()
    }

    #[test]
    fn what_is_not_known_is_the_least_that_it_can_be() {
        let before = generation(&document("a: {image: \"shop:1\"}"));
        let after = document(&format!("a: {{image: \"shop:2\"}}, b: {{image: \"db:1\"}}, c: {{{RECIPE}}}"));
        let least = known(&after).least(Some(&before)).unwrap();
        // An application that is there may keep its image; a new one has at least none.
        let image = |text: &str| least.images[&text.parse::<ImageReference>().unwrap()];
        assert_eq!(image("shop:2").digest, facts("docker.io/library/shop:1").digest);
        for image in [image("shop:2"), image("db:1")] {
            assert_eq!((image.packed, image.unpacked), (Size(0), Size(0)));
        }
        let facts_of_recipe: Vec<&ImageFacts> = least.recipes.values().collect();
        assert_eq!(facts_of_recipe.len(), 1);
        assert_eq!((facts_of_recipe[0].packed, facts_of_recipe[0].unpacked), (Size(0), Size(0)));
    }

    #[test]
    fn nothing_is_assumed_of_what_is_known() {
        let one = document("a: {image: \"shop:1\"}");
        let mut all = known(&one);
        all.catalogue.images.insert("shop:1".parse().unwrap(), facts("shop"));
        assert_eq!(all.least(None), None);
        let digest = sha256(&[b"named"]);
        let named = document(&format!("a: {{image: \"shop@sha256:{digest}\"}}"));
        let before = generation(&document("a: {image: \"shop:1\"}"));
        let least = known(&named).least(Some(&before)).unwrap();
        assert_eq!(least.images.values().map(|facts| facts.digest).collect::<Vec<_>>(), [digest]);
        let made = document(&format!("c: {{{RECIPE}}}"));
        let mut built = known(&made);
        let Some(Origin::Recipe(recipe)) = made.applications.values().next().and_then(|made| made.origin()) else {
            panic!("a recipe");
        };
        built.built.insert(recipe_hash(recipe), facts("built"));
        assert_eq!(built.least(None).unwrap().recipes[&recipe_hash(recipe)], facts("built"));
    }

    #[test]
    fn two_images_are_not_taken_for_one() {
        let before = generation(&document("a: {image: \"shop:1\"}, b: {image: \"shop:2\"}"));
        let after = known(&document("a: {image: \"shop:3\"}, b: {image: \"shop:3\"}"));
        assert_eq!(after.least(Some(&before)), None);
        assert!(after.least(None).is_some());
    }
}
