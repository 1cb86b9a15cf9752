//! Values that a document is resolved with: images looked up in their registries, recipes built.

use openmesh_blueprint::catalogue::{Catalogue, ImageFacts, recipe_hash};
use openmesh_blueprint::document::{ImageReference, Name, Origin, Recipe, Size};
use openmesh_blueprint::{Document, Generation};
use openmesh_image::oci::Compression;
use openmesh_primitives::Digest;
use openmesh_templates::built_in;
use openmesh_xnode::{Machine, open};

use crate::error::AgentError;
use crate::settings::Settings;
use crate::{own_image, pins};

/// Owner of the lease on images that a document was resolved with, until its generation has them.
const LEASE: &str = "resolved";

/// Gets what the applications of a document name, those of templates too. `previous` is the generation whose tags stay pinned; `said` hears what is being done, for a
/// person who waits.
///
/// # Errors
/// Every problem of a template's answers, before anything is fetched; the first image that cannot be looked up, or recipe that cannot be built.
pub async fn of(
    machine: &Machine,
    settings: &Settings,
    document: &Document,
    previous: Option<&Generation>,
    said: &(dyn Fn(&Name, String) + Sync),
) -> Result<Catalogue, AgentError> {
    let mut catalogue = Catalogue { templates: built_in().templates().clone(), ..Catalogue::default() };
    let document = filled(document, &catalogue)?;
    catalogue.images = pins::pinned(&document, previous);
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
                let facts = build(machine, settings, name, recipe, said).await?;
                catalogue.recipes.insert(recipe_hash(recipe), facts);
            }
            _ => {}
        }
    }
    Ok(catalogue)
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

/// Facts of an image: of the store where it is named by a digest that is there, else of its registry.
async fn look(machine: &Machine, name: &Name, reference: &ImageReference) -> Result<ImageFacts, AgentError> {
    if let Some(digest) = reference.digest
        && let Ok(facts) = stored(machine, digest)
    {
        return Ok(facts);
    }
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

async fn build(
    machine: &Machine,
    settings: &Settings,
    name: &Name,
    recipe: &Recipe,
    said: &(dyn Fn(&Name, String) + Sync),
) -> Result<ImageFacts, AgentError> {
    if let Some(base) = &recipe.base {
        said(name, format!("pulls {base}, the base of its recipe"));
        let pulled = machine.client.pull(&machine.images, base, LEASE, &open, &|_| ()).await;
        pulled.map_err(|cause| AgentError::Image { application: name.clone(), cause: Box::new(cause) })?;
    }
    said(name, format!("builds its recipe {}", recipe_hash(recipe)));
    // Minutes of programs: other tasks of this runtime go on meanwhile.
    let made = tokio::task::block_in_place(|| machine.images.make(recipe, &settings.kitchen, LEASE, &open));
    let made = made.map_err(|cause| AgentError::Recipe { application: name.clone(), cause: Box::new(cause) })?;
    stored(machine, made.image)
}
