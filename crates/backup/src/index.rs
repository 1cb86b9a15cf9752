//! The index: places of chunks, read from its objects and from the packs' headers (B-16 to B-18).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::{BackupError, StoreError};
use crate::name::{Id, Kind, Name};
use crate::object::{SEALED_BYTES_MAX, Sealed, unseal};
use crate::pack::{Blob, BlobKind, ChunkId, blobs_bytes, check_blobs, read_header};
use crate::secret::Keys;
use crate::store::Store;

/// Blobs in one index object: 4 MB, so that each is one small read.
pub(crate) const INDEX_BLOBS_MAX: usize = 100_000;

/// A pack and its blobs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct IndexedPack {
    /// Its id.
    pub id: Id,
    /// Its blobs, in their order.
    pub blobs: Vec<Blob>,
}

/// An object that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its path in the repository.
    pub object: String,
    /// The fault, in words.
    pub what: String,
}

/// Place of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the pack in the index.
    pub pack: u32,
    /// Number of the blob in the pack.
    pub blob: u32,
}

/// All packs and chunks of a repository.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The packs.
    pub packs: Vec<IndexedPack>,
    /// Objects that were damaged.
    pub findings: Vec<Finding>,
    /// Ids of the index objects that were read, in which every pack is listed.
    pub objects: Vec<Id>,
    /// Ids of the index objects that are damaged.
    pub damaged: Vec<Id>,
    /// Numbers of the packs that no index object names.
    pub unnamed: Vec<u32>,
    chunks: HashMap<ChunkId, Place>,
}

impl Index {
    /// Loads the index, without some packs.
    pub(crate) fn load(store: &dyn Store, keys: &Keys, without: &BTreeSet<Id>) -> Result<Index, BackupError> {
        let mut index = Index::default();
        let mut packs: BTreeMap<Id, u64> =
            store.list(Kind::Pack)?.into_iter().map(|pack| (pack.id, pack.bytes)).collect();
        packs.retain(|id, _| !without.contains(id));
        for listed in store.list(Kind::Index)? {
            let name = Name::Object(Kind::Index, listed.id);
            match read_part(store, keys, listed.id) {
                Ok(part) => {
                    index.objects.push(listed.id);
                    for pack in part {
                        if packs.remove(&pack.id).is_some() {
                            index.add(pack);
                        }
                    }
                }
                // Another process replaced it since it was listed.
                Err(BackupError::Store(StoreError::Missing { .. })) => {}
                Err(BackupError::Damaged { what, .. }) => {
                    index.damaged.push(listed.id);
                    index.findings.push(Finding { object: name.to_string(), what });
                }
                Err(error) => return Err(error),
            }
        }
        for (id, bytes) in packs {
            let name = Name::Object(Kind::Pack, id);
            let read = |from, most| store.read(name, from, most).map_err(BackupError::from);
            match read_header(keys, id, bytes, read) {
                Ok(blobs) => {
                    index.unnamed.push(index.packs.len() as u32);
                    index.add(IndexedPack { id, blobs });
                }
                Err(BackupError::Store(StoreError::Missing { .. })) => {}
                Err(BackupError::Damaged { what, .. }) => {
                    index.findings.push(Finding { object: name.to_string(), what })
                }
                Err(error) => return Err(error),
            }
        }
        Ok(index)
    }

    /// Adds a pack.
    pub(crate) fn add(&mut self, pack: IndexedPack) {
        let number = self.packs.len() as u32;
        for (blob, about) in pack.blobs.iter().enumerate() {
            if about.kind != BlobKind::Padding {
                self.chunks.entry(about.id).or_insert(Place { pack: number, blob: blob as u32 });
            }
        }
        self.packs.push(pack);
    }

    /// The place of a chunk.
    pub(crate) fn place(&self, id: &ChunkId) -> Option<Place> {
        self.chunks.get(id).copied()
    }

    /// The blob of a chunk.
    pub(crate) fn blob(&self, id: &ChunkId) -> Option<&Blob> {
        let place = self.place(id)?;
        self.packs.get(place.pack as usize)?.blobs.get(place.blob as usize)
    }

    /// Number of chunks.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }
}

/// Reads an index object.
fn read_part(store: &dyn Store, keys: &Keys, id: Id) -> Result<Vec<IndexedPack>, BackupError> {
    let name = Name::Object(Kind::Index, id);
    let part: Vec<IndexedPack> = unseal(keys, Sealed::Index, &name, &read_named(store, name, id)?)?;
    for pack in &part {
        let bytes = usize::try_from(blobs_bytes(&pack.blobs)).unwrap_or(usize::MAX);
        check_blobs(&pack.blobs, bytes).map_err(|what| BackupError::damaged(name, what))?;
    }
    Ok(part)
}

/// Reads a sealed object and holds it against its name.
pub(crate) fn read_named(store: &dyn Store, name: Name, id: Id) -> Result<Vec<u8>, BackupError> {
    let bytes = store.read(name, 0, SEALED_BYTES_MAX + 1)?;
    if bytes.len() > SEALED_BYTES_MAX {
        return Err(BackupError::damaged(name, "it is longer than any object of its kind"));
    }
    if Id::of(&bytes) != id {
        return Err(BackupError::damaged(name, "its bytes are not those of its name"));
    }
    Ok(bytes)
}

/// Packs in groups of which each fits into one index object.
pub(crate) fn parts(packs: Vec<IndexedPack>) -> Vec<Vec<IndexedPack>> {
    let mut parts: Vec<Vec<IndexedPack>> = Vec::new();
    let mut blobs = 0;
    for pack in packs {
        if parts.is_empty() || blobs + pack.blobs.len() > INDEX_BLOBS_MAX {
            parts.push(Vec::new());
            blobs = 0;
        }
        blobs += pack.blobs.len();
        if let Some(part) = parts.last_mut() {
            part.push(pack);
        }
    }
    parts
}
