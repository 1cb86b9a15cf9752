//! Damage made good as far as it can be (B-41).

use std::collections::{BTreeMap, BTreeSet};

use crate::again::Again;
use crate::blob::Opener;
use crate::door::Door;
use crate::error::{BackupError, StoreError};
use crate::index::Index;
use crate::name::{Id, Kind, Name};
use crate::object::Sealed;
use crate::pack::{Blob, BlobKind, PACK_BYTES_MAX};
use crate::repository::Repository;
use crate::session::{MarkContent, SessionContent};

/// Damage that was made good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Damaged packs that were removed.
    pub packs: u64,
    /// Chunks of them that were whole and are stored again.
    pub saved: u64,
    /// Chunks of them that are lost, until a backup of the same content brings them back.
    pub lost: u64,
    /// Sessions and marks that nobody could read, and that were removed.
    pub unreadable: u64,
}

impl Repository<'_> {
    /// Reads all packs; saves what is whole of the damaged ones into new packs, removes them, and writes the index anew. The next backup stores lost chunks again if its
    /// tree still has them, and snapshots that need them are whole again.
    ///
    /// # Errors
    /// The store fails; what is done stays done, and the same call goes on.
    pub fn mend(&self, door: Door<'_>) -> Result<Mended, BackupError> {
        let index = Index::load(self.store, &self.keys, &BTreeSet::new())?;
        let blobs: BTreeMap<Id, &[Blob]> = index.packs.iter().map(|pack| (pack.id, pack.blobs.as_slice())).collect();
        let (mut mended, mut again, mut damaged) = (Mended::default(), Again::new(self), BTreeSet::new());
        let mut opener = Opener::new(&self.keys, self.clock());
        for listed in self.store.list(Kind::Pack)? {
            let mut bytes = match self.store.read(Name::Object(Kind::Pack, listed.id), 0, PACK_BYTES_MAX + 1) {
                Err(StoreError::Missing { .. }) => continue,
                bytes => bytes?,
            };
            if Id::of(&bytes) == listed.id {
                // Whole. Whether its header can be read or not: it may be for a program that is newer.
                continue;
            }
            damaged.insert(listed.id);
            let mut at = 0;
            for blob in blobs.get(&listed.id).copied().unwrap_or_default() {
                let end = at + blob.stored as usize;
                let content = match bytes.get_mut(at..end) {
                    Some(sealed) => opener.open(blob, sealed).ok(),
                    None => None,
                };
                at = end;
                match content {
                    _ if blob.kind == BlobKind::Padding => {}
                    Some(content) => {
                        again.add(blob, content, door)?;
                        mended.saved += 1;
                    }
                    None => mended.lost += 1,
                }
            }
        }
        again.finish(door)?;
        self.remove_unreadable(&mut mended, door)?;
        for id in &damaged {
            // What a line spoilt on the way may be good in its place.
            let name = Name::Object(Kind::Pack, *id);
            if self.store.read(name, 0, PACK_BYTES_MAX + 1).is_ok_and(|bytes| Id::of(&bytes) == *id) {
                continue;
            }
            self.remove(Kind::Pack, *id, "remove pack", door)?;
            mended.packs += 1;
        }
        if !damaged.is_empty() || !index.damaged.is_empty() {
            let index = Index::load(self.store, &self.keys, &BTreeSet::new())?;
            self.replace_index(index.packs, index.objects.into_iter().chain(index.damaged), door)?;
        }
        Ok(mended)
    }

    /// Removes sessions and marks that nobody can read: a backup does not go on beside such a mark, and a sweep waits for such a session.
    fn remove_unreadable(&self, mended: &mut Mended, door: Door<'_>) -> Result<(), BackupError> {
        for kind in [Kind::Session, Kind::Mark] {
            for listed in self.store.list(kind)? {
                let read = match kind {
                    Kind::Session => self.read::<SessionContent>(kind, Sealed::Session, listed.id).map(drop),
                    _ => self.read::<MarkContent>(kind, Sealed::Mark, listed.id).map(drop),
                };
                match read {
                    Err(BackupError::Damaged { .. }) => {
                        self.remove(kind, listed.id, "remove unreadable", door)?;
                        mended.unreadable += 1;
                    }
                    Ok(()) | Err(BackupError::Store(StoreError::Missing { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
