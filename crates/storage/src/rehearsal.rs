//! The store for rehearsals of upgrades: copies of it, and roots of states that nobody has written. Clause U10 of
//! `docs/spec/upgrades.md`.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use openmesh_ledger::{MigrationWrites, Tip};
use openmesh_primitives::Digest;

use crate::migrated::remembered;
use crate::store::{FILE, Store};
use crate::tables::{META, VERSIONS, get_meta};
use crate::tree::Tree;
use crate::{MigratedRoot, StoreError};

impl Store {
    /// Returns the roots of the migrated states of the upgrades that were executed here, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn migrated_roots(&self) -> Result<Vec<MigratedRoot>, StoreError> {
        remembered(&self.read()?.open_table(META)?)
    }

    /// Computes the root that the state after the tip has with these writes. Writes nothing.
    ///
    /// # Errors
    /// Where the database fails or has no genesis.
    pub fn root_with(&self, writes: &MigrationWrites) -> Result<Digest, StoreError> {
        let read = self.read()?;
        let tip: Tip = get_meta(&read.open_table(META)?, "tip")?.ok_or(StoreError::NotInitialised)?;
        let version = read.open_table(VERSIONS)?.get(tip.height)?.map(|version| version.value());
        let version = version.ok_or_else(|| StoreError::damaged("tree-versions", "no tip"))?;
        Ok(Tree::open(&read)?.update(writes, Some((version, tip.state_root)))?.0)
    }

    /// Copies the store in a directory to another one, which becomes a store of its own. The first one is not opened as a store:
    /// nothing in it changes, whatever its format.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while it is open anywhere, [`StoreError::NotInitialised`] where there is none, and where a directory cannot
    /// be read or written.
    pub fn copy_closed(from: &Path, to: &Path) -> Result<(), StoreError> {
        let (source, target) = (from.join(FILE), to.join(FILE));
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| StoreError::Directory { path, source }
        };
        if !source.exists() {
            return Err(StoreError::NotInitialised);
        }
        // The lock of the database itself, held until the copy is made: redb takes this one beside its locks of ranges.
        let held = OpenOptions::new().read(true).write(true).open(&source).map_err(failed(&source))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(source)),
            Err(TryLockError::Error(error)) => return Err(failed(&source)(error)),
        }
        std::fs::create_dir_all(to).map_err(failed(to))?;
        let copied = std::fs::copy(&source, &target).and_then(|_| File::open(&target)?.sync_all());
        copied.map_err(failed(&target))
    }
}
