//! Images on disk: blobs by digest in an OCI image layout, references, leases, and unpacked layers for overlayfs.
//!
//! ```text
//! ROOT/oci-layout, index.json      an OCI image layout; index.json holds the references
//!      blobs/sha256/DIGEST         whole and checked, or not there
//!      partial/DIGEST              what came of a blob so far
//!      layers/DIFF_ID/root         an unpacked layer; record.json beside it says that it is whole, implied.json has folders that it does not name
//!      layers/over-CHAIN/root      folders with the right owners for layers that do not name them (see `lowers`)
//!      layers/building-*           what a dead agent left; removed when the store is opened and nobody else has it open
//!      leases/OWNER.json           images that somebody needs
//!      recipes/HASH.json           images that were built here
//!      lock, locks/*               see `locks`
//! ```
//!
//! # Rules
//! - A file or folder with its final name is whole: it is written under another name, flushed, renamed, and its folder is flushed.
//! - Only leases keep anything. References without a lease are listed with what [`Store::collection`] would remove, and go with it.
//! - An index keeps all that it leads to on this store's platform. A blob that is named by nothing that is needed goes.
//! - What has a name as a layer may be under a running instance: it goes by a collection or by [`Store::discard_layer`], and never because it cannot be read.
//! - Layers are kept by the digest of their archive and shared by all images; the root of the store is readable by root alone, since owners are
//!   those of the images.
//!
//! # On failure
//! After any death the store is what it was before or after the effect. An error of the disk leaves at most a `partial` or `building` entry.

mod collect;
mod error;
mod files;
mod image;
mod known;
mod layers;
mod leases;
mod life;
mod locks;
mod lowers;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openmesh_primitives::{Digest, sha256};

pub use collect::{Collection, Kept};
pub use error::StoreError;
pub use image::Image;
pub use layers::{LayerRecord, LayerState};
pub(crate) use locks::Held;
pub use lowers::Lowers;

use crate::effect::{Effect, through};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::oci::Platform;

/// A store of images in one folder, for one platform.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    platform: Platform,
    /// Images that were found unpacked.
    known: Arc<known::Known>,
    /// Shared lock of the root: nobody cleans the store under it.
    _life: Arc<File>,
}

/// Folders of a store, below its root.
const FOLDERS: [&str; 7] = ["blobs", "blobs/sha256", "partial", "layers", "leases", "recipes", "locks"];
/// Content of the file that makes a folder an OCI image layout.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Store {
    /// Opens a store, makes what is missing of it, and removes what a dead agent left half built, unless another agent has it open: at a hand-over (X-6) the
    /// old one may be building.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(root: &Path, platform: Platform, effect: Effect<'_>) -> Result<Store, StoreError> {
        through(effect, "image.store.make", || {
            std::fs::create_dir_all(root)?;
            // Owners and permissions below are those of the images.
            std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
            FOLDERS.iter().try_for_each(|folder| std::fs::create_dir_all(root.join(folder)))
        })
        .map_err(StoreError::io(root, "making the store"))?;
        let life = life::Life::take(root)?;
        let (known, _life) = (Arc::default(), Arc::clone(&life.file));
        let store = Store { root: root.to_path_buf(), platform, known, _life };
        if life.is_alone {
            let layout = root.join("oci-layout");
            if !layout.exists() {
                files::replace(&layout, LAYOUT, "image.store.layout", effect)?;
            }
            if !store.index_path().exists() {
                store.write_references(&Default::default(), effect)?;
            }
            store.sweep(effect)?;
        }
        life.share(root)?;
        Ok(store)
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The platform whose images it holds.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Removes what was being built when an agent died, half written files, and locks that nobody can have.
    fn sweep(&self, effect: Effect<'_>) -> Result<(), StoreError> {
        for folder in ["", "blobs/sha256", "layers", "leases", "recipes", "locks"] {
            for (path, name) in files::list(&self.root.join(folder))? {
                if name.starts_with("building-") || name.ends_with(files::NEW) || folder == "locks" {
                    files::remove(&path, "image.store.sweep", effect)?;
                }
            }
        }
        Ok(())
    }

    /// Path of a blob, there or not.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.to_string())
    }

    /// Notes what was built, by the hash of its recipe.
    pub(crate) fn keep_note(&self, recipe: &Digest, note: &[u8], effect: Effect<'_>) -> Result<(), StoreError> {
        files::replace(&self.built_path(recipe), note, "image.recipe.note", effect)
    }

    pub(crate) fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(digest.to_string())
    }

    /// Returns true when a blob is there with this size.
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        std::fs::metadata(self.blob_path(digest)).is_ok_and(|file| file.is_file() && file.len() == size)
    }

    /// Returns true when a blob is there with this size, and, where it is small, with these bytes. A large one that the disk has changed is found when it is
    /// unpacked.
    pub(crate) fn is_whole(&self, digest: &Digest, size: u64) -> bool {
        self.has(digest, size) && (size > MANIFEST_BYTES_MAX || self.check(digest).is_ok())
    }

    /// Keeps a small blob; returns its digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, bytes: &[u8], effect: Effect<'_>) -> Result<Digest, StoreError> {
        let digest = sha256(&[bytes]);
        if self.check(&digest).is_err() {
            files::replace(&self.blob_path(&digest), bytes, "image.blob", effect)?;
        }
        Ok(digest)
    }

    /// Takes a file of this file system as a blob whose digest was found while it was written.
    pub(crate) fn adopt(&self, file: &Path, digest: &Digest, effect: Effect<'_>) -> Result<(), StoreError> {
        files::sync(file)?;
        files::rename(file, &self.blob_path(digest), "image.blob", effect)
    }

    /// Bytes of a small blob, checked against its digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        match std::fs::metadata(&path) {
            Ok(file) if file.len() > MANIFEST_BYTES_MAX => return Err(StoreError::Damaged(*digest)),
            _ => {}
        }
        match std::fs::read(&path) {
            Ok(bytes) if sha256(&[&bytes]) == *digest => Ok(bytes),
            Ok(_) => Err(StoreError::Damaged(*digest)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing(*digest)),
            Err(cause) => Err(StoreError::io(&path, "reading")(cause)),
        }
    }

    /// Removes a blob that was found damaged, so that the next pull brings it again.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn discard(&self, digest: &Digest, effect: Effect<'_>) -> Result<(), StoreError> {
        files::remove(&self.blob_path(digest), "image.blob.discard", effect)
    }

    /// Reads a whole blob and compares it with its digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Io`].
    pub fn check(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        let found = match File::open(&path).and_then(files::digest) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing(*digest)),
            result => result.map_err(StoreError::io(&path, "reading"))?,
        };
        if found == *digest { Ok(()) } else { Err(StoreError::Damaged(*digest)) }
    }
}
