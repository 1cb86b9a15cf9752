//! Chunks fetched from packs, each pack read once and whole (B-15, B-33).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::blob::Opener;
use crate::crew::threads;
use crate::error::BackupError;
use crate::index::{Index, IndexedPack};
use crate::manifest::{self, Broken, Counts, Event};
use crate::name::{Id, Kind, Name};
use crate::pack::{BlobKind, ChunkId, PACK_BYTES_MAX, blobs_bytes};
use crate::repository::Repository;
use crate::snapshot::Snapshot;
use crate::stage::Stage;

/// Contents that wait for the caller: with 2 MiB each, at most 32 MiB, however small they were in their packs.
const CONTENTS_WAITING_MAX: usize = 16;

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

/// A reader of packs, for one thread: what it holds is one pack and one content, in buffers that it uses again.
pub(crate) struct PackReader<'r> {
    repository: &'r Repository<'r>,
    opener: Opener<'r>,
    bytes: Vec<u8>,
}

impl<'r> PackReader<'r> {
    /// A reader of a repository's packs.
    pub(crate) fn new(repository: &'r Repository<'r>) -> PackReader<'r> {
        PackReader { repository, opener: Opener::new(&repository.keys, repository.clock()), bytes: Vec::new() }
    }

    /// Reads a whole pack and holds it against its name; then opens blobs of it by their number, and hands the content of each on before it opens the next.
    pub(crate) fn read(
        &mut self,
        pack: &IndexedPack,
        wanted: impl Fn(u32) -> bool,
        mut take: impl FnMut(u32, &[u8]) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let name = Name::Object(Kind::Pack, pack.id);
        let damaged = |what: &str| BackupError::damaged(name, what);
        let clock = self.repository.clock();
        let begun = clock.begin();
        self.repository.store.read_into(name, 0, PACK_BYTES_MAX + 1, &mut self.bytes)?;
        clock.end(Stage::ReadPack, begun, self.bytes.len());
        let begun = clock.begin();
        if self.bytes.len() > PACK_BYTES_MAX || Id::of(&self.bytes) != pack.id {
            return Err(damaged("its bytes are not those of its name"));
        }
        clock.end(Stage::CheckPack, begun, self.bytes.len());
        if self.bytes.len() as u64 <= blobs_bytes(&pack.blobs) {
            return Err(damaged("it is shorter than the index says"));
        }
        let mut at = 0;
        for (number, blob) in (0_u32..).zip(&pack.blobs) {
            let end = at + blob.stored as usize;
            if wanted(number) {
                let sealed = self.bytes.get_mut(at..end).ok_or_else(|| damaged("it is shorter than the index says"))?;
                take(number, self.opener.open(blob, sealed).map_err(damaged)?)?;
            }
            at = end;
        }
        Ok(())
    }
}

/// A content on its way to the caller.
struct Fetched {
    pack: u32,
    blob: u32,
    content: Vec<u8>,
}

impl Repository<'_> {
    /// Reads packs and opens blobs of them in several threads, and hands each content to the caller's thread, with the numbers of its pack and blob.
    pub(crate) fn fetch(
        &self,
        index: &Index,
        wanted: &BTreeMap<u32, Wanted>,
        mut take: impl FnMut(u32, u32, &[u8]) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let packs: Vec<(u32, &Wanted)> = wanted.iter().map(|(pack, wanted)| (*pack, wanted)).collect();
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::sync_channel::<Result<Fetched, BackupError>>(CONTENTS_WAITING_MAX);
        std::thread::scope(|scope| {
            for _ in 0..threads().min(packs.len()) {
                let sender = sender.clone();
                let (packs, next) = (&packs, &next);
                scope.spawn(move || {
                    let mut reader = PackReader::new(self);
                    while let Some((number, wanted)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(pack) = index.packs.get(*number as usize) else { continue };
                        let hand = |blob: u32, content: &[u8]| {
                            let fetched = Fetched { pack: *number, blob, content: content.to_vec() };
                            // Nobody takes it: the caller has failed, and says so itself.
                            sender.send(Ok(fetched)).map_err(|_| BackupError::Cancelled)
                        };
                        if let Err(error) = reader.read(pack, |blob| wanted.contains_key(&blob), hand) {
                            let _ = sender.send(Err(error));
                            return;
                        }
                    }
                });
            }
            drop(sender);
            // Owned by this closure: after an error the threads find nobody who takes what they have.
            let receiver = receiver;
            receiver.iter().try_for_each(|fetched| {
                let Fetched { pack, blob, content } = fetched?;
                take(pack, blob, &content)
            })
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
        self.fetch(index, &wanted, |pack, blob, content| {
            let places = wanted.get(&pack).and_then(|wanted| wanted.get(&blob));
            for (_, at) in places.into_iter().flatten() {
                let at = *at as usize;
                if let Some(place) = bytes.get_mut(at..at + content.len()) {
                    place.copy_from_slice(content);
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
