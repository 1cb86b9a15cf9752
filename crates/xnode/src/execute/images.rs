//! Images of a generation.

use std::collections::BTreeSet;

use openmesh_blueprint::document::ImageReference;
use openmesh_blueprint::generation::{ImageSource, ResolvedImage};
use openmesh_blueprint::{Generation, retention};
use openmesh_image::pull::Progress;
use openmesh_primitives::{Digest, Timestamp};

use super::Work;
use crate::error::XnodeError;
use crate::kept::Brief;
use crate::machine::ImageBytes;
use crate::{Door, Machine, OWN_REGISTRY, marks};

/// Owner of the lease on the images of generations that are kept.
pub(crate) const LEASE: &str = "generations";

/// Lets the lease of generations be on the images of all that are kept, unpacked long ago or not here yet.
pub(crate) fn lease(
    machine: &Machine,
    generations: &[&Generation],
    current: u64,
    door: Door<'_>,
) -> Result<(), XnodeError> {
    let (numbers, known) = (marks::numbers(&machine.paths)?, &machine.memory.generations);
    known.keep(&numbers);
    // One that cannot be read holds up no other.
    let there: Vec<Brief> = numbers.iter().filter_map(|number| known.brief(&machine.paths, *number).ok()).collect();
    let ages: Vec<_> = there.iter().map(|one| (one.number, one.at)).collect();
    let kept = retention::kept(&ages, current, &BTreeSet::new(), Timestamp::now());
    let kept = there.iter().filter(|one| kept.contains(&one.number)).flat_map(|one| &one.images).copied();
    let present = generations.iter().flat_map(|one| one.portable.applications.values());
    let images: BTreeSet<Digest> = kept.chain(present.map(|resolved| resolved.image.digest)).collect();
    if machine.images.leases()?.remove(LEASE).unwrap_or_default() != images {
        machine.images.lease(LEASE, &images, door)?;
    }
    Ok(())
}

impl Work<'_> {
    fn image(&self, digest: &Digest) -> Option<&ResolvedImage> {
        let applications = self.generation.portable.applications.values();
        applications.map(|resolved| &resolved.image).find(|image| image.digest == *digest)
    }

    /// Gets an image. One of a recipe or of this machine was made when the generation was, and is made again by a person's word.
    pub(super) async fn fetch(&self, digest: &Digest) -> Result<(), XnodeError> {
        let missing = || XnodeError::from(openmesh_image::store::StoreError::Missing(*digest));
        let image = self.image(digest).ok_or_else(missing)?;
        let ImageSource::Registry(reference) = &image.source else { return Err(missing()) };
        if reference.registry == OWN_REGISTRY {
            return Err(missing());
        }
        let reference = ImageReference { digest: Some(*digest), ..reference.clone() };
        let follow = |progress: Progress| {
            let (done, bytes) = match progress {
                Progress::Begins { bytes, there } => (there, bytes),
                Progress::Bytes { done, bytes } => (done, bytes),
                _ => return,
            };
            (self.machine.follow)(ImageBytes { image: *digest, unpacks: false, done, bytes });
        };
        self.machine.client.pull(&self.machine.images, &reference, LEASE, self.door, &follow).await?;
        Ok(())
    }

    /// Unpacks an image's layers.
    pub(super) fn unpack(&self, digest: &Digest) -> Result<(), XnodeError> {
        self.machine.images.lease_also(LEASE, *digest, self.door)?;
        let image = self.machine.images.image(digest)?;
        Ok(self.machine.images.unpack(&image, &self.machine.unpacker, self.door, &|done, bytes| {
            (self.machine.follow)(ImageBytes { image: *digest, unpacks: true, done, bytes });
        })?)
    }
}
