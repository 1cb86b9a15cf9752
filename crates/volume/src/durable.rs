//! Files and folders that are there after a power cut: temporary file, fsync, rename, fsync of the folder.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::VolumeError;

/// Largest mark or record, bytes: some short texts, many times over.
pub(crate) const MARK_BYTES_MAX: u64 = 64 << 10;
/// End of the name of a file that is being written.
pub(crate) const NEW_SUFFIX: &str = ".new";

/// Writes a whole file. Whoever reads finds the old content or the new.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), VolumeError> {
    let beside = beside(path);
    let written = (|| {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if let Err(cause) = written {
        let _ = fs::remove_file(&beside);
        return Err(VolumeError::io("writing", path)(cause));
    }
    sync_parent(path)
}

/// Name of a file while it is being written.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(NEW_SUFFIX);
    name.into()
}

/// Reads a whole small file; none where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, VolumeError> {
    let mut bytes = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(VolumeError::io("opening", path)(cause)),
    };
    file.take(MARK_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(VolumeError::io("reading", path))?;
    if bytes.len() as u64 > MARK_BYTES_MAX {
        let words = format!("it has more than {MARK_BYTES_MAX} bytes");
        return Err(VolumeError::MarkDamaged { path: path.to_path_buf(), words });
    }
    Ok(Some(bytes))
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), VolumeError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(VolumeError::io("removing", path)(cause)),
    }
}

/// Renames within one folder.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), VolumeError> {
    fs::rename(from, to).map_err(VolumeError::io("renaming", from))?;
    sync_parent(to)
}

/// Makes a folder if it is not there.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<(), VolumeError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => sync_parent(path),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(cause) => Err(VolumeError::io("making folder", path)(cause)),
    }
}

fn sync_parent(path: &Path) -> Result<(), VolumeError> {
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), VolumeError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(VolumeError::io("syncing", folder))
}

/// Makes everything of the file system that holds a folder durable.
pub(crate) fn sync_file_system(folder: &Path) -> Result<(), VolumeError> {
    let file = File::open(folder).map_err(VolumeError::io("opening", folder))?;
    rustix::fs::syncfs(&file).map_err(|cause| VolumeError::io("syncing", folder)(cause.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_old_or_new_and_a_torn_one_beside_it_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        assert!(read(&path).unwrap().is_none());
        write(&path, b"one").unwrap();
        fs::write(beside(&path), "tw").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert!(!beside(&path).exists());
        remove(&path).unwrap();
        remove(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"three").is_err(), "a folder is in its place");
        assert!(!beside(&path).exists(), "nothing is left of what failed");
    }

    #[test]
    fn a_mark_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read(&path), Err(VolumeError::MarkDamaged { .. })));
    }
}
