//! Images as the store holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use openmesh_blueprint::inventory::ImageState;
use openmesh_primitives::Digest;

use super::known::Standing;
use super::{Store, StoreError};
use crate::oci::{Config, Descriptor, Document, Manifest, OciError};

/// An image of which all documents are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Digest by which it is known: of its index where it has one.
    pub digest: Digest,
    /// Digest of its manifest for this platform.
    pub manifest_digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its configuration.
    pub config: Config,
}

impl Image {
    /// Layers with the digests of their archives, from the lowest.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = (&Descriptor, &Digest)> {
        self.manifest.layers.iter().zip(&self.config.diff_ids)
    }
}

impl Store {
    /// Reads the documents of an image.
    ///
    /// # Errors
    /// [`StoreError::Missing`] and [`StoreError::Damaged`] with the blob, [`StoreError::Document`] where one is not what it should be.
    pub fn image(&self, digest: &Digest) -> Result<Image, StoreError> {
        let (manifest_digest, manifest) = self.manifest(digest)?;
        let config_digest = manifest.config.digest;
        let wrong = |cause| StoreError::Document { digest: config_digest, cause: Box::new(cause) };
        let config = Config::parse(&self.read(&config_digest)?).map_err(wrong)?;
        let (layers, diffs) = (manifest.layers.len(), config.diff_ids.len());
        if layers != diffs {
            return Err(wrong(OciError::Layers { layers, diffs }));
        }
        Ok(Image { digest: *digest, manifest_digest, manifest, config })
    }

    /// The manifest of an image for this platform.
    pub(super) fn manifest(&self, digest: &Digest) -> Result<(Digest, Manifest), StoreError> {
        let document = |digest: Digest| {
            let bytes = self.read(&digest)?;
            Document::parse(&bytes, None).map_err(|cause| StoreError::Document { digest, cause: Box::new(cause) })
        };
        match document(*digest)? {
            Document::Manifest(manifest) => Ok((*digest, manifest)),
            Document::Index(index) => {
                let wrong = |cause| StoreError::Document { digest: *digest, cause: Box::new(cause) };
                let chosen = index.choose(&self.platform).map_err(wrong)?.digest;
                match document(chosen)? {
                    Document::Manifest(manifest) => Ok((chosen, manifest)),
                    Document::Index(_) => Err(wrong(OciError::Nested)),
                }
            }
        }
    }

    /// Returns what is there of an image; `None` where a blob is missing. Files of one that was found unpacked are read again where one of them was changed.
    pub fn state(&self, digest: &Digest) -> Option<ImageState> {
        let standing = self.known.look(digest);
        if standing == Standing::Unpacked {
            return Some(ImageState::Unpacked);
        }
        let image = self.image(digest).inspect_err(|_| self.known.forget(digest)).ok()?;
        let layers = &image.config.diff_ids;
        if !layers.iter().all(|diff_id| self.layer(diff_id).is_ok()) {
            self.known.forget(digest);
            let fetched = image.manifest.layers.iter().all(|layer| self.has(&layer.digest, layer.size));
            return fetched.then_some(ImageState::Fetched);
        }
        let blobs = BTreeSet::from([image.digest, image.manifest_digest, image.manifest.config.digest]);
        let blobs = blobs.iter().map(|blob| self.blob_path(blob));
        let files = blobs.chain(layers.iter().map(|diff_id| self.record_path(diff_id)));
        self.known.note(*digest, files.collect(), standing, SystemTime::now());
        Some(ImageState::Unpacked)
    }

    /// Every image that a lease or a reference names and that is there: what an inventory says about images.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Record`].
    pub fn observe(&self) -> Result<BTreeMap<Digest, ImageState>, StoreError> {
        let mut named = self.leased()?;
        named.extend(self.references()?.into_values());
        Ok(named.into_iter().filter_map(|digest| Some((digest, self.state(&digest)?))).collect())
    }

    /// Reads every blob of an image and compares it with its digest; returns those that are missing or damaged.
    ///
    /// # Errors
    /// Those of [`Store::image`], since without the documents nothing can be compared.
    pub fn verify(&self, digest: &Digest) -> Result<Vec<StoreError>, StoreError> {
        let image = self.image(digest)?;
        Ok(image.manifest.layers.iter().filter_map(|layer| self.check(&layer.digest).err()).collect())
    }
}
