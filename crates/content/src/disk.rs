//! File operations of the store, each a step at which a test can end the process.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// File operations. Outside tests they are those of the system and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: crate::tests::faults::Faults,
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
        file.sync_all()
    }

    /// Sets a file's modification time, synced; fails where the file system refuses.
    pub(crate) fn touch(&self, path: &Path, modified: SystemTime) -> io::Result<()> {
        self.step()?;
        let file = File::options().write(true).open(path)?;
        file.set_modified(modified)?;
        file.sync_all()
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
        File::open(folder)?.sync_all()
    }
}

/// Paths in a folder; fails where it cannot be read.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect()
}
