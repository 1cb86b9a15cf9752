//! File operations that fail when a test wants them to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Copy, Debug)]
enum Plan {
    /// After so many steps the process is dead: nothing works any more. What it wrote is there.
    Kill(u32),
    /// After so many steps power is gone: of the database, what was not synced is lost.
    Cut(u32),
    /// The step after so many fails with this, the others work.
    Once(u32, io::ErrorKind),
}

/// The database's file as it was before a change that is not synced.
#[derive(Debug)]
struct Change {
    file: File,
    length: u64,
    offset: u64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Faults {
    plan: Mutex<Option<Plan>>,
    /// With a plan nothing is really synced: a process that ends loses nothing that it wrote, and a test has no time for it.
    planned: bool,
    unsynced: Mutex<Vec<Change>>,
    free: AtomicU64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::new(None)
    }
}

impl Faults {
    fn new(plan: Option<Plan>) -> Faults {
        let (planned, free) = (plan.is_some(), AtomicU64::new(u64::MAX));
        Faults { plan: Mutex::new(plan), planned, unsynced: Mutex::default(), free }
    }

    pub(crate) fn kill(after: u32) -> Arc<Faults> {
        Arc::new(Faults::new(Some(Plan::Kill(after))))
    }

    pub(crate) fn cut(after: u32) -> Arc<Faults> {
        Arc::new(Faults::new(Some(Plan::Cut(after))))
    }

    pub(crate) fn once(after: u32, kind: io::ErrorKind) -> Arc<Faults> {
        Arc::new(Faults::new(Some(Plan::Once(after, kind))))
    }

    /// Returns true when the fault has come.
    pub(crate) fn came(&self) -> bool {
        matches!(*self.plan(), Some(Plan::Kill(0) | Plan::Cut(0)) | None)
    }

    /// Sets the bytes that the disk says to have free; `u64::MAX` for those of the real one.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn free(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Relaxed)).filter(|free| *free != u64::MAX)
    }

    pub(crate) fn skip_sync(&self) -> bool {
        self.planned
    }

    /// Everything that was written is on the disk; true where that need not be made so.
    pub(crate) fn synced(&self) -> bool {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.planned
    }

    pub(crate) fn before_write(&self, file: &File, offset: u64, length: usize) -> io::Result<()> {
        self.remember(file, offset, length as u64)
    }

    pub(crate) fn before_length(&self, file: &File, length: u64) -> io::Result<()> {
        self.remember(file, length, file.metadata()?.len().saturating_sub(length))
    }

    fn remember(&self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        if !matches!(*self.plan(), Some(Plan::Cut(_))) {
            return Ok(());
        }
        let now = file.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length.min(now.saturating_sub(offset))).unwrap()];
        file.read_exact_at(&mut bytes, offset)?;
        let change = Change { file: file.try_clone()?, length: now, offset, bytes };
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        Ok(())
    }

    pub(crate) fn step(&self) -> io::Result<()> {
        let mut plan = self.plan();
        match &mut *plan {
            Some(Plan::Kill(0)) => Err(io::Error::other("killed")),
            Some(Plan::Cut(0)) => {
                let lost = std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
                for change in lost.into_iter().rev() {
                    change.file.set_len(change.length)?;
                    change.file.write_all_at(&change.bytes, change.offset)?;
                }
                Err(io::Error::other("power is gone"))
            }
            Some(Plan::Once(0, kind)) => {
                let kind = *kind;
                *plan = None;
                Err(kind.into())
            }
            Some(Plan::Kill(left) | Plan::Cut(left) | Plan::Once(left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Option<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
