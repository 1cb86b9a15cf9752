//! The store that stood in a directory before a restore, and what of it goes into the one that takes its place.

use std::path::Path;

use openmesh_ledger::{Genesis, Tip};
use openmesh_primitives::Height;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::StoreError;
use crate::files;
use crate::store::{FILE, make_tables};
use crate::tables::{CHUNK_FACTS, FACTS, META, STAMP_FACTS, get_meta};

/// The store that stood in a directory before, and has a genesis.
pub(crate) struct Former {
    database: Database,
    tip: Height,
}

impl Former {
    /// Opens it; `None` where there is none, or nothing in it.
    ///
    /// # Errors
    /// [`StoreError::OtherGenesis`] where it is of another network, [`StoreError::InUse`] while it is open.
    pub(crate) fn open(dir: &Path, genesis: &Genesis) -> Result<Option<Former>, StoreError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let database = Database::builder().create(&path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.clone()),
            other => other.into(),
        })?;
        make_tables(&database)?;
        let meta = database.begin_read()?.open_table(META)?;
        let Some(stored) = get_meta::<Genesis>(&meta, "genesis")?.map(|stored| stored.hash()) else { return Ok(None) };
        let given = genesis.hash();
        if stored != given {
            return Err(StoreError::OtherGenesis { stored, given });
        }
        let tip = get_meta::<Tip>(&meta, "tip")?.map_or(0, |tip| tip.height);
        Ok(Some(Former { database, tip }))
    }

    /// Copies the facts, which no snapshot has.
    pub(crate) fn carry(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        let read = self.database.begin_read()?;
        let mut facts = write.open_table(FACTS)?;
        for entry in read.open_table(FACTS)?.iter()? {
            let (place, fact) = entry?;
            facts.insert(place.value(), fact.value())?;
        }
        for table in [CHUNK_FACTS, STAMP_FACTS] {
            let mut places = write.open_table(table)?;
            for entry in read.open_table(table)?.iter()? {
                let (key, place) = entry?;
                places.insert(key.value(), place.value())?;
            }
        }
        Ok(())
    }

    /// Returns true where there is a block in it.
    pub(crate) const fn has_blocks(&self) -> bool {
        self.tip > 0
    }

    /// Gives the file a second name, in a folder in which it can be opened as a store, so that it outlives its place being taken.
    pub(crate) fn keep_aside(self, dir: &Path) -> Result<(), StoreError> {
        let folder = dir.join(format!("until-{}", self.tip));
        let path = folder.join(FILE);
        drop(self);
        let link = || -> std::io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            match std::fs::hard_link(dir.join(FILE), &path) {
                // Of a try that was interrupted after it.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
            files::sync_folder(&path)?;
            files::sync_folder(&folder)
        };
        link().map_err(|source| StoreError::Directory { path: folder.clone(), source })
    }
}
