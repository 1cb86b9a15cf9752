//! A disk in memory that can lose power: for simulations and tests of what a crash leaves behind.
//!
//! It knows what was synced and what was only written. When power goes, everything since the last sync is lost, kept or torn,
//! write by write and in any combination, as a disk with a volatile cache may do it; sectors are whole. It can also fail
//! after a number of operations, so that a crash falls into the middle of a commit.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Unit that a disk writes whole or not at all, bytes.
const SECTOR_BYTES: usize = 512;

/// A disk in memory; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct VirtualDisk(Arc<Mutex<Image>>);

#[derive(Debug, Default)]
struct Image {
    /// As a process sees it.
    now: Content,
    /// As it is sure to be after a crash.
    synced: Content,
    /// Changes since.
    pending: Vec<Change>,
    /// Syncs since the disk was made.
    syncs: u64,
    /// So many operations still succeed.
    operations_left: Option<u64>,
}

/// Content of a disk. What lies behind the last byte that was written is zero and takes no memory: the database lengthens its
/// file and shortens it again around most of its transactions.
#[derive(Clone, Debug, Default)]
struct Content {
    length: usize,
    written: Vec<u8>,
    /// Most bytes that were ever written: what is cut off is kept in memory for what comes.
    written_most: usize,
}

impl Content {
    fn set_length(&mut self, length: usize) {
        self.length = length;
        self.written.truncate(length);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        self.length = self.length.max(end);
        if self.written.len() < end {
            self.written.resize(end, 0);
            self.written_most = self.written_most.max(end);
        }
        self.written[at..end].copy_from_slice(bytes);
    }

    /// Reads what lies at an offset; `None` where the content ends before.
    fn read(&self, at: usize, out: &mut [u8]) -> Option<()> {
        let end = at.checked_add(out.len()).filter(|end| *end <= self.length)?;
        let there = self.written.get(at..end.min(self.written.len())).unwrap_or_default();
        let (front, zeros) = out.split_at_mut(there.len());
        front.copy_from_slice(there);
        zeros.fill(0);
        Some(())
    }
}

#[derive(Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Change::Length(length) => content.set_length(*length),
            Change::Write { at, bytes } => content.write(*at, bytes),
        }
    }
}

impl VirtualDisk {
    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Size of the disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.image().now.length as u64
    }

    /// Memory that the disk takes, as it is and as it is sure to be after a crash, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let image = self.image();
        (image.now.written_most + image.synced.written_most) as u64
    }

    /// Times that somebody has waited for the disk to hold everything, since it was made.
    pub fn syncs(&self) -> u64 {
        self.image().syncs
    }

    /// Lets so many more writes and syncs succeed, and fails everything after that until power comes back.
    pub fn fail_after(&self, operations: u64) {
        self.image().operations_left = Some(operations);
    }

    /// Power goes and comes back. `choose(n)` returns a number below n; it decides what became of each write that was
    /// not synced.
    pub fn power_cut(&self, mut choose: impl FnMut(u64) -> u64) {
        let mut image = self.image();
        for mut change in std::mem::take(&mut image.pending) {
            match (choose(3), &mut change) {
                (0, _) => continue,
                (1, Change::Write { bytes, .. }) => {
                    let sectors = bytes.len().div_ceil(SECTOR_BYTES) as u64;
                    bytes.truncate(choose(sectors + 1) as usize * SECTOR_BYTES);
                }
                _ => {}
            }
            change.apply(&mut image.synced);
        }
        image.now = image.synced.clone();
        image.operations_left = None;
    }
}

impl Image {
    fn operation(&mut self) -> Result<()> {
        match &mut self.operations_left {
            Some(0) => Err(Error::other("power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) -> Result<()> {
        self.operation()?;
        change.apply(&mut self.now);
        self.pending.push(change);
        Ok(())
    }
}

impl StorageBackend for VirtualDisk {
    fn len(&self) -> Result<u64> {
        Ok(self.image().now.length as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let image = self.image();
        let at = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
        image.now.read(at, out).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, length: u64) -> Result<()> {
        let length = usize::try_from(length).map_err(|_| ErrorKind::StorageFull)?;
        self.image().change(Change::Length(length))
    }

    fn sync_data(&self) -> Result<()> {
        let mut image = self.image();
        image.operation()?;
        image.syncs += 1;
        let Image { synced, pending, .. } = &mut *image;
        pending.drain(..).for_each(|change| change.apply(synced));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let at = usize::try_from(offset).map_err(|_| ErrorKind::StorageFull)?;
        self.image().change(Change::Write { at, bytes: data.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_written_is_zero_and_takes_no_memory() {
        let disk = VirtualDisk::default();
        disk.write(2, b"abc").unwrap();
        disk.set_len(1 << 40).unwrap();
        assert_eq!(disk.syncs(), 0);
        disk.sync_data().unwrap();
        assert_eq!(disk.syncs(), 1);
        let read = |at: u64| {
            let mut out = [9; 4];
            disk.read(at, &mut out).map(|()| out)
        };
        assert_eq!(read(0).unwrap(), *b"\0\0ab");
        assert_eq!(read(3).unwrap(), *b"bc\0\0");
        assert_eq!(read((1 << 40) - 4).unwrap(), [0; 4]);
        assert!(read((1 << 40) - 3).is_err() && read(u64::MAX).is_err());
        disk.set_len(3).unwrap();
        disk.set_len(9).unwrap();
        assert_eq!(read(1).unwrap(), *b"\0a\0\0", "what was cut off does not come back");
        assert_eq!(disk.bytes(), 9);
    }
}
