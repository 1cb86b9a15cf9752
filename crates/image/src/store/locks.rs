//! Locks between threads and between agents: of files, by the kernel, so that whoever dies lets go of them.
//!
//! | lock | held while |
//! | --- | --- |
//! | `lock` in the root | shared for the life of a [`Store`]; alone while one is opened and cleaned |
//! | `blob-DIGEST` | a blob is fetched |
//! | `layer-NAME` | a layer, or the folder over several, is unpacked or taken away |
//! | `recipe-HASH` | an image is made |
//! | `collection` | alone: what nobody needs is looked for and taken away; shared: somebody says what is needed |
//! | `leases`, `references` | such a file is read and written anew |
//!
//! They are taken in this order. A thread that has one of a line takes none of that line again.

use std::fs::{File, TryLockError};

use super::life::{lock_soon, open};
use super::{Store, StoreError};

/// A lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(#[allow(dead_code, reason = "the open file is the lock")] File);

impl Store {
    fn lock_path(&self, name: &str) -> std::path::PathBuf {
        self.root.join("locks").join(name)
    }

    /// Waits for a lock and takes it alone.
    pub(crate) fn hold(&self, name: &str) -> Result<Held, StoreError> {
        let path = self.lock_path(name);
        let file = open(&path)?;
        file.lock().map_err(StoreError::io(&path, "locking"))?;
        Ok(Held(file))
    }

    /// Takes a lock alone, where nobody has it at this instant.
    pub(crate) fn try_hold(&self, name: &str) -> Result<Option<Held>, StoreError> {
        let path = self.lock_path(name);
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(StoreError::io(&path, "locking")(cause)),
        }
    }

    /// Takes a lock alone, where nobody has it for longer than a moment.
    pub(super) fn hold_soon(&self, name: &str) -> Result<Option<Held>, StoreError> {
        let path = self.lock_path(name);
        let file = open(&path)?;
        Ok(lock_soon(&file, &path)?.then_some(Held(file)))
    }

    /// Waits until nobody collects, and keeps it so.
    pub(crate) fn hold_off_collections(&self) -> Result<Held, StoreError> {
        let path = self.lock_path("collection");
        let file = open(&path)?;
        file.lock_shared().map_err(StoreError::io(&path, "locking"))?;
        Ok(Held(file))
    }
}
