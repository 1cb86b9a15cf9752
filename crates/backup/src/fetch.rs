//! Chunks fetched from packs, each pack read once and whole (B-15, B-33).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::error::BackupError;
use crate::index::{Index, IndexedPack};
use crate::manifest::{self, Broken, Counts, Event};
use crate::name::{Id, Kind, Name};
use crate::pack::{BlobKind, ChunkId, PACK_BYTES_MAX, blobs_bytes};
use crate::pipeline::{PACKS_WAITING_MAX, threads};
use crate::repository::Repository;
use crate::snapshot::Snapshot;

/// Failure of reading a manifest: of its rules, or of the reader's act.
pub(crate) enum Stop {
    /// It breaks a rule.
    Broken(Broken),
    /// Something else failed.
    Failed(BackupError),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Stop {
        Stop::Broken(broken)
    }
}

impl From<BackupError> for Stop {
    fn from(error: BackupError) -> Stop {
        Stop::Failed(error)
    }
}

impl Stop {
    /// The error, of a snapshot.
    pub(crate) fn of(self, snapshot: Id) -> BackupError {
        match self {
            Stop::Broken(Broken { path, what }) => BackupError::Manifest { snapshot, path, what: what.to_string() },
            Stop::Failed(error) => error,
        }
    }
}

/// Chunks wanted of a pack: numbers of blobs, with a number of the caller's for each.
pub(crate) type Wanted = BTreeMap<u32, Vec<(u32, u64)>>;

/// Contents of blobs of one pack, by their numbers.
pub(crate) type Opened = Vec<(u32, Vec<u8>)>;

impl Repository<'_> {
    /// Reads a whole pack and holds it against its name.
    pub(crate) fn read_pack(&self, pack: &IndexedPack) -> Result<Vec<u8>, BackupError> {
        let name = Name::Object(Kind::Pack, pack.id);
        let bytes = self.store.read(name, 0, PACK_BYTES_MAX + 1)?;
        if bytes.len() > PACK_BYTES_MAX || Id::of(&bytes) != pack.id {
            return Err(BackupError::damaged(name, "its bytes are not those of its name"));
        }
        if bytes.len() as u64 <= blobs_bytes(&pack.blobs) {
            return Err(BackupError::damaged(name, "it is shorter than the index says"));
        }
        Ok(bytes)
    }

    /// Opens blobs of a pack.
    pub(crate) fn open_blobs(
        &self,
        pack: &IndexedPack,
        bytes: &[u8],
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Opened, BackupError> {
        let damaged = |what: &str| BackupError::damaged(Name::Object(Kind::Pack, pack.id), what);
        let (mut at, mut opened) = (0, Vec::new());
        for (number, blob) in (0_u32..).zip(&pack.blobs) {
            let end = at + blob.stored as usize;
            if wanted(number) {
                let sealed = bytes.get(at..end).ok_or_else(|| damaged("it is shorter than the index says"))?;
                opened.push((number, blob.open(&self.keys, sealed).map_err(damaged)?));
            }
            at = end;
        }
        Ok(opened)
    }

    /// Reads packs and opens blobs of them in several threads, and hands each pack's to the caller's thread.
    pub(crate) fn fetch(
        &self,
        index: &Index,
        wanted: &BTreeMap<u32, Wanted>,
        mut take: impl FnMut(u32, Opened) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let packs: Vec<(u32, &Wanted)> = wanted.iter().map(|(pack, wanted)| (*pack, wanted)).collect();
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::sync_channel(PACKS_WAITING_MAX);
        std::thread::scope(|scope| {
            for _ in 0..threads().min(packs.len()) {
                let sender = sender.clone();
                let (packs, next) = (&packs, &next);
                scope.spawn(move || {
                    while let Some((number, wanted)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(pack) = index.packs.get(*number as usize) else { continue };
                        let opened = self
                            .read_pack(pack)
                            .and_then(|bytes| self.open_blobs(pack, &bytes, |blob| wanted.contains_key(&blob)));
                        let failed = opened.is_err();
                        if sender.send(opened.map(|opened| (*number, opened))).is_err() || failed {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            // Owned by this closure: after an error the threads find nobody who takes what they have.
            let receiver = receiver;
            receiver.iter().try_for_each(|opened| opened.and_then(|(number, opened)| take(number, opened)))
        })
    }

    /// The manifest of a snapshot.
    pub(crate) fn manifest(&self, index: &Index, id: Id, snapshot: &Snapshot) -> Result<Vec<u8>, BackupError> {
        let mut wanted: BTreeMap<u32, Wanted> = BTreeMap::new();
        let mut at = 0;
        for chunk in &snapshot.chunks {
            let place = find(index, id, &chunk.id, BlobKind::Manifest, chunk.bytes)?;
            wanted.entry(place.pack).or_default().entry(place.blob).or_default().push((0, at));
            at += u64::from(chunk.bytes);
        }
        let mut bytes = vec![0; usize::try_from(at).unwrap_or(usize::MAX)];
        self.fetch(index, &wanted, |pack, opened| {
            for (blob, content) in opened {
                let places = wanted.get(&pack).and_then(|wanted| wanted.get(&blob));
                for (_, at) in places.into_iter().flatten() {
                    let at = *at as usize;
                    if let Some(place) = bytes.get_mut(at..at + content.len()) {
                        place.copy_from_slice(&content);
                    }
                }
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Holds a whole manifest against every rule, the index and the snapshot's own counts, before anything is made of it.
    pub(crate) fn check_manifest(
        &self,
        index: &Index,
        id: Id,
        snapshot: &Snapshot,
        manifest: &[u8],
    ) -> Result<(), BackupError> {
        let counts = manifest::read::<Stop>(manifest, |_, event| {
            if let Event::Piece(_, manifest::Piece::Chunk { id: chunk, bytes }) = event {
                find(index, id, &chunk, BlobKind::Data, bytes)?;
            }
            Ok(())
        });
        let counts = counts.map_err(|stop| stop.of(id))?;
        if counts != (Counts { entries: snapshot.entries, bytes: snapshot.bytes }) {
            let what = "it has not as much in it as the snapshot says".to_string();
            return Err(BackupError::Manifest { snapshot: id, path: PathBuf::new(), what });
        }
        Ok(())
    }
}

/// The place of a chunk that a snapshot needs, if it is as long as the snapshot says and of the kind.
pub(crate) fn find(
    index: &Index,
    snapshot: Id,
    chunk: &ChunkId,
    kind: BlobKind,
    bytes: u32,
) -> Result<crate::index::Place, BackupError> {
    let missing = || BackupError::ChunkMissing { snapshot, chunk: chunk.to_string() };
    let (place, blob) = index.place(chunk).zip(index.blob(chunk)).ok_or_else(missing)?;
    if blob.plain != bytes || blob.kind != kind {
        let what = format!("chunk {chunk} is not of the length and kind that are needed");
        return Err(BackupError::Manifest { snapshot, path: PathBuf::new(), what });
    }
    Ok(place)
}
