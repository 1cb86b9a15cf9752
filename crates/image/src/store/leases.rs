//! References and leases.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, files};
use crate::effect::Effect;
use crate::oci::{INDEX, MANIFEST, parse_digest, print_digest};

/// Annotation of a reference in an OCI image layout.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
/// Bytes of a lease's name.
const OWNER_BYTES_MAX: usize = 100;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Listed>,
}

impl Store {
    pub(super) fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }

    /// References: what a name with a tag led to when it was resolved.
    ///
    /// # Errors
    /// [`StoreError::Record`] where the file cannot be read.
    pub fn references(&self) -> Result<BTreeMap<String, Digest>, StoreError> {
        let path = self.index_path();
        let help = "move it away, and pull the images again";
        let wrong = |text: String| StoreError::Record { path: path.clone(), text, help };
        let bytes = std::fs::read(&path).map_err(StoreError::io(&path, "reading"))?;
        let listing: Listing = serde_json::from_slice(&bytes).map_err(|cause| wrong(cause.to_string()))?;
        let mut references = BTreeMap::new();
        for listed in listing.manifests {
            let digest = parse_digest(&listed.digest).map_err(|cause| wrong(cause.to_string()))?;
            if let Some(name) = listed.annotations.get(REFERENCE) {
                references.insert(name.clone(), digest);
            }
        }
        Ok(references)
    }

    /// Makes a reference lead to an image, or nowhere.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Record`].
    pub fn refer(&self, name: &str, image: Option<Digest>, effect: Effect<'_>) -> Result<(), StoreError> {
        let _held = self.hold("references")?;
        let mut references = self.references()?;
        let before = match image {
            Some(digest) => references.insert(name.to_string(), digest),
            None => references.remove(name),
        };
        if before == image {
            return Ok(());
        }
        self.write_references(&references, effect)
    }

    pub(super) fn write_references(
        &self,
        references: &BTreeMap<String, Digest>,
        effect: Effect<'_>,
    ) -> Result<(), StoreError> {
        let listed = |(name, digest): (&String, &Digest)| {
            let bytes = std::fs::read(self.blob_path(digest)).unwrap_or_default();
            let index = crate::oci::Document::parse(&bytes, None);
            let kind = if matches!(index, Ok(crate::oci::Document::Index(_))) { INDEX } else { MANIFEST };
            Listed {
                media_type: kind.into(),
                digest: print_digest(digest),
                size: bytes.len() as u64,
                annotations: BTreeMap::from([(REFERENCE.to_string(), name.clone())]),
            }
        };
        let manifests = references.iter().map(listed).collect();
        let listing = Listing { schema_version: 2, media_type: INDEX.into(), manifests };
        let bytes = serde_json::to_vec_pretty(&listing).unwrap_or_default();
        files::replace(&self.index_path(), &bytes, "image.references", effect)
    }

    fn lease_path(&self, owner: &str) -> Result<PathBuf, StoreError> {
        let fits = (1..=OWNER_BYTES_MAX).contains(&owner.len())
            && owner.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && owner.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && !owner.ends_with(files::NEW);
        if !fits {
            return Err(StoreError::Owner(owner.chars().take(OWNER_BYTES_MAX).collect()));
        }
        Ok(self.root.join("leases").join(format!("{owner}.json")))
    }

    /// Leases: who needs which images.
    ///
    /// # Errors
    /// [`StoreError::Io`], and [`StoreError::Record`] for one that cannot be read: nothing is collected while a need is unknown.
    pub fn leases(&self) -> Result<BTreeMap<String, BTreeSet<Digest>>, StoreError> {
        let mut leases = BTreeMap::new();
        for (path, name) in files::list(&self.root.join("leases"))? {
            let Some(owner) = name.strip_suffix(".json") else { continue };
            let bytes = std::fs::read(&path).map_err(StoreError::io(&path, "reading"))?;
            let images = serde_json::from_slice(&bytes);
            let help = "let its owner say again what it needs: while that is unknown nothing is collected";
            let images = images.map_err(|cause| StoreError::Record { path, text: cause.to_string(), help })?;
            leases.insert(owner.to_string(), images);
        }
        Ok(leases)
    }

    /// All images that somebody needs.
    pub(super) fn leased(&self) -> Result<BTreeSet<Digest>, StoreError> {
        Ok(self.leases()?.into_values().flatten().collect())
    }

    /// Says which images an owner needs, whether they are there yet or not; none of them ends the lease.
    ///
    /// # Errors
    /// [`StoreError::Owner`] for a name that cannot be a file's, [`StoreError::Io`].
    pub fn lease(&self, owner: &str, images: &BTreeSet<Digest>, effect: Effect<'_>) -> Result<(), StoreError> {
        let _collections = self.hold_off_collections()?;
        let _held = self.hold("leases")?;
        self.write_lease(owner, images, effect)
    }

    fn write_lease(&self, owner: &str, images: &BTreeSet<Digest>, effect: Effect<'_>) -> Result<(), StoreError> {
        let path = self.lease_path(owner)?;
        if images.is_empty() {
            return files::remove(&path, "image.lease", effect);
        }
        files::replace(&path, &serde_json::to_vec(images).unwrap_or_default(), "image.lease", effect)
    }

    /// Adds an image to what an owner needs.
    ///
    /// # Errors
    /// Those of [`Store::lease`].
    pub fn lease_also(&self, owner: &str, image: Digest, effect: Effect<'_>) -> Result<(), StoreError> {
        let _collections = self.hold_off_collections()?;
        let _held = self.hold("leases")?;
        let mut images = self.leases()?.remove(owner).unwrap_or_default();
        if images.insert(image) { self.write_lease(owner, &images, effect) } else { Ok(()) }
    }
}
