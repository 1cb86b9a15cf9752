//! Durable changes of files: written under another name, flushed, renamed, and the folder flushed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use openmesh_primitives::Digest;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use crate::effect::{Effect, through};

/// End of the name of a file that is not whole yet.
pub(super) const NEW: &str = ".new";

/// Replaces a file as a whole.
pub(super) fn replace(path: &Path, bytes: &[u8], name: &str, effect: Effect<'_>) -> Result<(), StoreError> {
    let new = path.with_file_name(format!("{}{NEW}", path.file_name().unwrap_or_default().to_string_lossy()));
    through(effect, &format!("{name}.write"), || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()
    })
    .map_err(StoreError::io(&new, "writing"))?;
    rename(&new, path, name, effect)
}

/// Gives a file or a folder its final name, in a way that survives a power cut.
pub(super) fn rename(from: &Path, to: &Path, name: &str, effect: Effect<'_>) -> Result<(), StoreError> {
    through(effect, &format!("{name}.rename"), || {
        std::fs::rename(from, to)?;
        sync_folder(to)
    })
    .map_err(StoreError::io(to, "renaming"))
}

/// Flushes the content of a file.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io(path, "flushing"))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Removes a file or a whole folder; nothing happens where there is none.
pub(super) fn remove(path: &Path, name: &str, effect: Effect<'_>) -> Result<(), StoreError> {
    through(effect, name, || {
        let removed = match std::fs::symlink_metadata(path) {
            Ok(there) if there.is_dir() => crate::delete::folder(path),
            Ok(_) => std::fs::remove_file(path),
            Err(cause) => Err(cause),
        };
        match removed {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.and_then(|()| sync_folder(path)),
        }
    })
    .map_err(StoreError::io(path, "removing"))
}

/// Files and folders with their names, in order; names that are not UTF-8 are not ours and left out.
pub(super) fn list(folder: &Path) -> Result<Vec<(PathBuf, String)>, StoreError> {
    let read = || -> io::Result<Vec<(PathBuf, String)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                found.push((entry.path(), name));
            }
        }
        found.sort();
        Ok(found)
    };
    read().map_err(StoreError::io(folder, "reading"))
}

/// Bytes on disk below a path.
pub(super) fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(there) = std::fs::symlink_metadata(path) else { return 0 };
    let own = there.blocks() * 512;
    if !there.is_dir() {
        return own;
    }
    let inner = std::fs::read_dir(path).into_iter().flatten().flatten();
    own + inner.map(|entry| size(&entry.path())).sum::<u64>()
}

/// SHA-256 of all that a file holds.
pub(super) fn digest(mut file: File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}
