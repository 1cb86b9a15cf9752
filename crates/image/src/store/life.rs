//! The lock of a whole store, and the taking of locks.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StoreError;

/// Milliseconds of a moment: a program that is being started has every file of its parent open, locks too, until it is executed.
const MOMENT_MS: u64 = 500;
/// Milliseconds between two tries: the kernel tells nobody of a lock that is let go without letting him wait for it.
const LOOK_MS: u64 = 10;

/// The lock of a whole store.
pub(super) struct Life {
    /// Shared, or alone until [`Life::share`].
    pub file: Arc<File>,
    /// Nobody else has the store open.
    pub is_alone: bool,
}

impl Life {
    /// Takes it, alone where nobody has it; where somebody cleans the store, that is waited for.
    pub fn take(root: &Path) -> Result<Life, StoreError> {
        let path = root.join("lock");
        let file = open(&path)?;
        let is_alone = lock_soon(&file, &path)?;
        if !is_alone {
            file.lock_shared().map_err(StoreError::io(&path, "locking"))?;
        }
        Ok(Life { file: Arc::new(file), is_alone })
    }

    /// Lets others in.
    pub fn share(&self, root: &Path) -> Result<(), StoreError> {
        self.file.lock_shared().map_err(StoreError::io(&root.join("lock"), "locking"))
    }
}

/// Takes a lock alone where nobody has it for longer than a moment.
pub(super) fn lock_soon(file: &File, path: &Path) -> Result<bool, StoreError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if began.elapsed() < Duration::from_millis(MOMENT_MS) => {
                std::thread::sleep(Duration::from_millis(LOOK_MS));
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(cause)) => return Err(StoreError::io(path, "locking")(cause)),
        }
    }
}

/// Opens the file of a lock.
pub(super) fn open(path: &Path) -> Result<File, StoreError> {
    let file = File::options().create(true).append(true).open(path);
    file.map_err(StoreError::io(path, "opening"))
}
