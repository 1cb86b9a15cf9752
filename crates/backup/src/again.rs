//! Chunks stored again in new packs: what a mark moves, and what is saved of a damaged pack.

use crate::blob::Sealer;
use crate::door::Door;
use crate::error::BackupError;
use crate::index::{IndexedPack, parts};
use crate::name::Kind;
use crate::object::{Sealed, seal};
use crate::pack::{Blob, Filling};
use crate::repository::Repository;

/// Packs that are filled with chunks of others.
pub(crate) struct Again<'r> {
    repository: &'r Repository<'r>,
    sealer: Sealer<'r>,
    filling: Filling,
    packs: Vec<IndexedPack>,
    bytes: u64,
}

impl<'r> Again<'r> {
    /// None yet.
    pub(crate) fn new(repository: &'r Repository<'r>) -> Again<'r> {
        let sealer = Sealer::new(&repository.keys, repository.clock());
        Again { repository, sealer, filling: Filling::default(), packs: Vec::new(), bytes: 0 }
    }

    /// Adds a blob with its content.
    pub(crate) fn add(&mut self, blob: &Blob, content: &[u8], door: Door<'_>) -> Result<(), BackupError> {
        let (blob, sealed) = self.sealer.seal(blob.kind, blob.id, content)?;
        self.bytes += u64::from(blob.stored);
        if self.filling.add(blob, sealed, self.repository.pack_bytes) { self.store(door) } else { Ok(()) }
    }

    fn store(&mut self, door: Door<'_>) -> Result<(), BackupError> {
        let pack = std::mem::take(&mut self.filling).finish(&self.repository.keys)?;
        self.repository.put_as(Kind::Pack, pack.id, &pack.bytes, "put pack", door)?;
        self.packs.push(IndexedPack { id: pack.id, blobs: pack.blobs });
        Ok(())
    }

    /// Stores the last pack and the index of all, and returns the bytes of the blobs.
    pub(crate) fn finish(mut self, door: Door<'_>) -> Result<u64, BackupError> {
        if !self.filling.is_empty() {
            self.store(door)?;
        }
        for part in parts(self.packs) {
            self.repository.put(Kind::Index, &seal(&self.repository.keys, Sealed::Index, &part)?, "put index", door)?;
        }
        Ok(self.bytes)
    }
}
