//! Unpacked layers.

use std::fs::File;
use std::path::PathBuf;

use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};

use super::{Image, Store, StoreError, files};
use crate::effect::{Effect, through};
use crate::oci::Descriptor;
use crate::unpack::{Helper, Job, Paths, Report, UnpackError, fingerprint};

/// Record of a layer that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Form of this record: 1.
    pub version: u32,
    /// Digest of its archive.
    pub diff_id: Digest,
    /// Report of the unpacker.
    pub report: Report,
}

/// Result of a comparison of a layer with its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// As it was unpacked.
    Whole,
    /// A name, owner, permission, size, time or content is another one.
    Altered,
}

impl Store {
    fn layer_folder(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.to_string())
    }

    /// Folder of an unpacked layer.
    pub fn layer_root(&self, diff_id: &Digest) -> PathBuf {
        self.layer_folder(diff_id).join("root")
    }

    /// The record of an unpacked layer. It says that the layer is whole: it is written last.
    ///
    /// # Errors
    /// [`StoreError::Packed`] where there is none, [`StoreError::Record`] where it cannot be read.
    pub fn layer(&self, diff_id: &Digest) -> Result<LayerRecord, StoreError> {
        let path = self.layer_folder(diff_id).join("record.json");
        let bytes = std::fs::read(&path).map_err(|_| StoreError::Packed(*diff_id))?;
        let record: LayerRecord = serde_json::from_slice(&bytes)
            .map_err(|cause| StoreError::Record { path: path.clone(), text: cause.to_string() })?;
        if record.diff_id != *diff_id || record.version != 1 {
            return Err(StoreError::Record { path, text: "it is of another layer or version".into() });
        }
        Ok(record)
    }

    /// Compares a layer with its record: by names, sizes, owners and times, and by every byte where `contents` says so.
    ///
    /// # Errors
    /// Those of [`Store::layer`], and [`StoreError::Unpack`] where the tree cannot be read.
    pub fn check_layer(&self, diff_id: &Digest, contents: bool) -> Result<LayerState, StoreError> {
        let record = self.layer(diff_id)?;
        let unpack = |cause| StoreError::Unpack { diff_id: *diff_id, cause: UnpackError::Refused(cause) };
        let found = fingerprint(&self.layer_root(diff_id), contents).map_err(unpack)?;
        let same = found.metadata == record.report.metadata
            && found.content.is_none_or(|content| content == record.report.content);
        Ok(if same { LayerState::Whole } else { LayerState::Altered })
    }

    /// Removes an unpacked layer that was altered, so that it can be unpacked again. No instance may use it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn discard_layer(&self, diff_id: &Digest, effect: Effect<'_>) -> Result<(), StoreError> {
        self.remove_layer(&self.layer_folder(diff_id), effect)
    }

    /// Removes a layer's folder: under another name first, so that a death leaves no half of it under its own.
    pub(super) fn remove_layer(&self, folder: &std::path::Path, effect: Effect<'_>) -> Result<(), StoreError> {
        if !folder.exists() {
            return Ok(());
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let going = folder.with_file_name(format!("building-going-{name}"));
        files::remove(&going, "image.layer.remove", effect)?;
        files::rename(folder, &going, "image.layer.remove", effect)?;
        files::remove(&going, "image.layer.remove", effect)
    }

    /// Unpacks what is not unpacked of an image. `progress` hears the packed bytes that are done and the packed bytes of all layers.
    ///
    /// # Errors
    /// [`StoreError::Unpack`] with the layer, [`StoreError::Missing`] for a blob, [`StoreError::Io`].
    pub fn unpack(
        &self,
        image: &Image,
        helper: &Helper,
        effect: Effect<'_>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), StoreError> {
        let whole: u64 = image.manifest.layers.iter().map(|layer| layer.size).sum();
        let mut done = 0;
        for (layer, diff_id) in image.layers() {
            if self.layer(diff_id).is_err() {
                self.unpack_layer(layer, diff_id, helper, effect)?;
            }
            done += layer.size;
            progress(done, whole);
        }
        self.make_over(image, effect)
    }

    fn unpack_layer(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        helper: &Helper,
        effect: Effect<'_>,
    ) -> Result<(), StoreError> {
        let wrong = |cause| StoreError::Document { digest: layer.digest, cause };
        let compression = layer.compression().map_err(wrong)?;
        let archive = File::open(self.blob_path(&layer.digest)).map_err(|_| StoreError::Missing(layer.digest))?;
        let building = self.building(&diff_id.to_string(), effect)?;
        let root = building.join("root");
        let job = Job::Unpack { compression, diff_id: *diff_id, packed: layer.size, paths: Paths::Checked };
        let io = StoreError::io(&root, "unpacking");
        effect("image.layer.unpack").map_err(io)?;
        let report = helper.unpack(&job, archive, &root);
        let report = report.map_err(|cause| StoreError::Unpack { diff_id: *diff_id, cause })?;
        effect("image.layer.unpack").map_err(StoreError::io(&root, "unpacking"))?;
        let record = LayerRecord { version: 1, diff_id: *diff_id, report };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        self.finish_building(&building, &text, &self.layer_folder(diff_id), effect)
    }

    /// Makes an empty folder for something that is being built.
    pub(super) fn building(&self, name: &str, effect: Effect<'_>) -> Result<PathBuf, StoreError> {
        let building = self.root.join("layers").join(format!("building-{name}"));
        files::remove(&building, "image.layer.make", effect)?;
        let root = building.join("root");
        through(effect, "image.layer.make", || {
            std::fs::create_dir_all(&root)?;
            std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        })
        .map_err(StoreError::io(&root, "making"))?;
        Ok(building)
    }

    /// Writes the record of something that was built, flushes all of it, and gives it its name.
    pub(super) fn finish_building(
        &self,
        building: &std::path::Path,
        record: &[u8],
        target: &std::path::Path,
        effect: Effect<'_>,
    ) -> Result<(), StoreError> {
        files::replace(&building.join("record.json"), record, "image.layer.record", effect)?;
        // One call for the file system: a layer has tens of thousands of files.
        through(effect, "image.layer.flush", || {
            let folder = File::open(building)?;
            rustix::fs::syncfs(&folder).map_err(Into::into)
        })
        .map_err(StoreError::io(building, "flushing"))?;
        // One without a record, or with one that cannot be read, is in the way.
        self.remove_layer(target, effect)?;
        files::rename(building, target, "image.layer", effect)
    }
}
