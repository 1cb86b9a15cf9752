//! File operations of the store, each a step at which a test can end the process.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// File operations. Outside tests they are those of the system and nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<crate::tests::faults::Faults>,
}

impl Disk {
    /// Fails where a test wants this step to.
    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.faults.step()
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests have another body")]
    const fn step(&self) -> io::Result<()> {
        Ok(())
    }

    /// Creates a folder with those above it; fails where the file system refuses. Durable when this returns.
    pub(crate) fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let Some(above) = folder.parent() else { return Ok(()) };
        self.create_folder(above)?;
        self.step()?;
        match fs::create_dir(folder) {
            // Another thread was first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_folder(above),
        }
    }

    /// Writes a new file with a modification time, synced; fails where the file system refuses.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8], modified: SystemTime) -> io::Result<()> {
        self.step()?;
        let mut file = File::create(path)?;
        // Half of it may be on the disk when a crash comes.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.step()?;
        file.write_all(second)?;
        file.set_modified(modified)?;
        self.step()?;
        self.sync_all(&file)
    }

    /// Sets a file's modification time, synced; fails where the file system refuses.
    pub(crate) fn touch(&self, path: &Path, modified: SystemTime) -> io::Result<()> {
        self.step()?;
        let file = File::options().write(true).open(path)?;
        file.set_modified(modified)?;
        self.sync_all(&file)
    }

    /// Opens a file for reading and writing, made where there is none; fails where the file system refuses.
    pub(crate) fn open_or_create(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        File::options().read(true).write(true).create(true).truncate(false).open(path)
    }

    /// Writes bytes at an offset of a file; durable only with [`Disk::sync`]. Fails where the file system refuses.
    pub(crate) fn write_at(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        #[cfg(test)]
        self.faults.before_write(file, offset, bytes.len())?;
        let half = bytes.len() / 2;
        file.write_all_at(&bytes[..half], offset)?;
        self.step()?;
        file.write_all_at(&bytes[half..], offset + half as u64)
    }

    /// Sets a file's length; durable only with [`Disk::sync`]. Fails where the file system refuses.
    pub(crate) fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        self.step()?;
        #[cfg(test)]
        self.faults.before_length(file, length)?;
        file.set_len(length)
    }

    /// Makes a file's bytes and length durable; fails where the file system refuses.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.step()?;
        #[cfg(test)]
        if self.faults.synced() {
            return Ok(());
        }
        file.sync_data()
    }

    /// Bytes that the file system of a folder has free for this process; fails where it does not tell.
    pub(crate) fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        #[cfg(test)]
        if let Some(free) = self.faults.free() {
            return Ok(free);
        }
        let about = rustix::fs::statvfs(folder)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    /// Renames a file; durable only with [`Disk::sync_folder`]. Fails where the file system refuses.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)
    }

    /// Removes a file; one that is not there is removed. Fails where the file system refuses.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes the names in a folder durable; fails where the file system refuses.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        self.sync_all(&File::open(folder)?)
    }

    #[cfg_attr(not(test), allow(clippy::unused_self, reason = "tests need it"))]
    fn sync_all(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if self.faults.skip_sync() {
            return Ok(());
        }
        file.sync_all()
    }
}

/// Paths in a folder; fails where it cannot be read.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect()
}
