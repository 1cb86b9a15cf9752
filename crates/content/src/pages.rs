//! The database's file, page by page, through the operations of [`Disk`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

use crate::disk::Disk;

/// The file as one opening of the database sees it. What replaces that opening ends it first, so that two never write.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    file: Arc<File>,
    disk: Disk,
    ended: Arc<AtomicBool>,
}

impl Pages {
    pub(crate) fn new(file: Arc<File>, disk: Disk) -> Pages {
        Pages { file, disk, ended: Arc::default() }
    }

    /// Refuses every further operation.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.ended.load(Ordering::Acquire) {
            return Err(io::Error::other("the database was opened anew meanwhile"));
        }
        Ok(())
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        self.check()?;
        self.file.metadata().map(|about| about.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.check()?;
        self.disk.set_length(&self.file, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.disk.sync(&self.file)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.disk.write_at(&self.file, offset, data)
    }
}
