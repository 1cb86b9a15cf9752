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
use std::path::Path;
use std::sync::Arc;

use super::{Store, StoreError};

/// A lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(#[allow(dead_code, reason = "the open file is the lock")] File);

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
        let is_alone = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                file.lock_shared().map_err(StoreError::io(&path, "locking"))?;
                false
            }
            Err(TryLockError::Error(cause)) => return Err(StoreError::io(&path, "locking")(cause)),
        };
        Ok(Life { file: Arc::new(file), is_alone })
    }

    /// Lets others in.
    pub fn share(&self, root: &Path) -> Result<(), StoreError> {
        self.file.lock_shared().map_err(StoreError::io(&root.join("lock"), "locking"))
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let file = File::options().create(true).append(true).open(path);
    file.map_err(StoreError::io(path, "opening"))
}

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

    /// Takes a lock alone, where nobody has it.
    pub(crate) fn try_hold(&self, name: &str) -> Result<Option<Held>, StoreError> {
        let path = self.lock_path(name);
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(StoreError::io(&path, "locking")(cause)),
        }
    }

    /// Waits until nobody collects, and keeps it so.
    pub(crate) fn hold_off_collections(&self) -> Result<Held, StoreError> {
        let path = self.lock_path("collection");
        let file = open(&path)?;
        file.lock_shared().map_err(StoreError::io(&path, "locking"))?;
        Ok(Held(file))
    }
}
