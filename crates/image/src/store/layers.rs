//! Unpacked layers.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};

use super::{Image, Store, StoreError, files};
use crate::effect::{Effect, through};
use crate::limits::REPORT_BYTES_MAX;
use crate::oci::Descriptor;
use crate::unpack::{Helper, Job, Paths, Report, UnpackError, fingerprint};

/// Record of a layer that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Form of this record: 1.
    pub version: u32,
    /// Digest of its archive.
    pub diff_id: Digest,
    /// Folders that it uses without naming them; which, is in a file beside the record, so that the record is small.
    pub implied: usize,
    /// Report of the unpacker, without those folders.
    pub report: Report,
}

/// Bytes of a record: numbers and digests, with room for those of another version.
const RECORD_BYTES_MAX: u64 = 64 << 10;
/// Help for a layer whose record cannot be used.
const LAYER_HELP: &str = "once no instance uses the layer discard it, and it is unpacked again";

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

    /// Path of the record of an unpacked layer.
    pub(super) fn record_path(&self, diff_id: &Digest) -> PathBuf {
        self.layer_folder(diff_id).join("record.json")
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
        let path = self.record_path(diff_id);
        let bytes = match read(&path, RECORD_BYTES_MAX) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(StoreError::Packed(*diff_id)),
            result => result.map_err(StoreError::io(&path, "reading"))?,
        };
        let wrong = |text: String| StoreError::Record { path: path.clone(), text, help: LAYER_HELP };
        let record: LayerRecord = serde_json::from_slice(&bytes).map_err(|cause| wrong(cause.to_string()))?;
        if record.diff_id != *diff_id || record.version != 1 {
            return Err(wrong("it is of another layer or version".into()));
        }
        Ok(record)
    }

    /// Folders that an unpacked layer uses without naming them, in hexadecimal.
    pub(super) fn implied(&self, diff_id: &Digest) -> Result<Vec<String>, StoreError> {
        if self.layer(diff_id)?.implied == 0 {
            return Ok(Vec::new());
        }
        let path = self.layer_folder(diff_id).join("implied.json");
        let bytes = read(&path, REPORT_BYTES_MAX).map_err(StoreError::io(&path, "reading"))?;
        let wrong = |cause: serde_json::Error| StoreError::Record { path, text: cause.to_string(), help: LAYER_HELP };
        serde_json::from_slice(&bytes).map_err(wrong)
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
        let _held = self.hold(&format!("layer-{diff_id}"))?;
        let going = self.rename_layer_away(&self.layer_folder(diff_id), effect)?;
        going.map_or(Ok(()), |going| files::remove(&going, "image.layer.remove", effect))
    }

    /// Takes its name from a layer's folder, so that a death leaves no half of it; returns its new name, which is no other's.
    pub(super) fn rename_layer_away(&self, folder: &Path, effect: Effect<'_>) -> Result<Option<PathBuf>, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if !folder.exists() {
            return Ok(None);
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let going = folder.with_file_name(format!("building-going-{process}-{count}-{name}"));
        files::rename(folder, &going, "image.layer.remove", effect)?;
        Ok(Some(going))
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
            match self.layer(diff_id) {
                Ok(_) => {}
                Err(StoreError::Packed(_)) => self.unpack_alone(layer, diff_id, helper, effect)?,
                // It is there, and may be in use.
                Err(error) => return Err(error),
            }
            done += layer.size;
            progress(done, whole);
        }
        self.make_over(image, effect)
    }

    fn unpack_alone(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        helper: &Helper,
        effect: Effect<'_>,
    ) -> Result<(), StoreError> {
        let _held = self.hold(&format!("layer-{diff_id}"))?;
        match self.layer(diff_id) {
            // Somebody else had the lock before.
            Ok(_) => Ok(()),
            Err(StoreError::Packed(_)) => self.unpack_layer(layer, diff_id, helper, effect),
            Err(error) => Err(error),
        }
    }

    fn unpack_layer(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        helper: &Helper,
        effect: Effect<'_>,
    ) -> Result<(), StoreError> {
        let wrong = |cause| StoreError::Document { digest: layer.digest, cause: Box::new(cause) };
        let compression = layer.compression().map_err(wrong)?;
        let path = self.blob_path(&layer.digest);
        let archive = File::open(&path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(layer.digest),
            _ => StoreError::io(&path, "opening")(cause),
        })?;
        let building = self.building(&diff_id.to_string(), effect)?;
        let root = building.join("root");
        let job = Job::Unpack { compression, diff_id: *diff_id, packed: layer.size, paths: Paths::Checked };
        effect("image.layer.unpack").map_err(StoreError::io(&root, "unpacking"))?;
        let mut report = match helper.unpack(&job, archive, &root) {
            Ok(report) => report,
            Err(cause) => return Err(self.blame(layer, diff_id, cause, effect)),
        };
        effect("image.layer.unpack").map_err(StoreError::io(&root, "unpacking"))?;
        let implied = std::mem::take(&mut report.implied);
        if !implied.is_empty() {
            let text = serde_json::to_vec(&implied).unwrap_or_default();
            files::replace(&building.join("implied.json"), &text, "image.layer.implied", effect)?;
        }
        let record = LayerRecord { version: 1, diff_id: *diff_id, implied: implied.len(), report };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        self.finish_building(&building, &text, &self.layer_folder(diff_id), effect)
    }

    /// The fault of a layer that cannot be unpacked: its image's, or the disk's, which changed the blob since it came; then it is discarded.
    fn blame(&self, layer: &Descriptor, diff_id: &Digest, cause: UnpackError, effect: Effect<'_>) -> StoreError {
        let is_archive = matches!(&cause, UnpackError::Refused(refused) if refused.is_of_archive());
        if is_archive && matches!(self.check(&layer.digest), Err(StoreError::Damaged(_))) {
            return self.discard(&layer.digest, effect).err().unwrap_or(StoreError::Damaged(layer.digest));
        }
        StoreError::Unpack { diff_id: *diff_id, cause }
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
        building: &Path,
        record: &[u8],
        target: &Path,
        effect: Effect<'_>,
    ) -> Result<(), StoreError> {
        files::replace(&building.join("record.json"), record, "image.layer.record", effect)?;
        // One call for the file system: a layer has tens of thousands of files.
        through(effect, "image.layer.flush", || {
            let folder = File::open(building)?;
            rustix::fs::syncfs(&folder).map_err(Into::into)
        })
        .map_err(StoreError::io(building, "flushing"))?;
        if target.exists() {
            let text = "its record is missing".into();
            return Err(StoreError::Record { path: target.to_path_buf(), text, help: LAYER_HELP });
        }
        files::rename(building, target, "image.layer", effect)
    }
}

/// Reads a whole file of at most so many bytes.
fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}
