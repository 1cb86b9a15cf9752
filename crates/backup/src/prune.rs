//! Removal of what no snapshot needs, in two phases (B-28 to B-30).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use openmesh_primitives::Timestamp;

use crate::again::Again;
use crate::door::Door;
use crate::error::{BackupError, StoreError};
use crate::fetch::{Stop, Wanted};
use crate::index::{Index, IndexedPack, parts};
use crate::manifest::{self, Event, Piece};
use crate::name::{Id, Kind};
use crate::object::{Sealed, seal};
use crate::pack::{Blob, BlobKind, ChunkId};
use crate::repository::Repository;
use crate::secret::random;
use crate::session::{Mark, MarkContent, SESSION_MS_MAX, SessionContent};

/// Time from a mark to its sweep, milliseconds: a day, so that a snapshot forgotten by mistake can be brought back by hand.
pub const GRACE_MS: i64 = 86_400_000;
/// A pack goes when less than one part in so many of its bytes is needed: rewriting costs what it stores again.
const NEEDED_PART: u64 = 2;

/// Packs that were marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Packs that are to go.
    pub packs: u64,
    /// Bytes of what is needed of them, which was stored again.
    pub moved_bytes: u64,
}

/// Marks that were swept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Packs that were removed.
    pub removed: u64,
    /// Packs that a snapshot came to need since they were marked.
    pub spared: u64,
    /// Sessions of writers that count as dead by both clocks.
    pub dead_sessions: u64,
    /// Causes for which marks wait.
    pub waiting: Vec<String>,
}

impl Repository<'_> {
    /// Marks packs of which no snapshot needs anything, or less than half; the needed rest is stored again.
    ///
    /// # Errors
    /// A snapshot or a manifest cannot be read: nothing is marked while it is not known what is needed. The store fails.
    pub fn mark(&self, time: Timestamp, door: Door<'_>) -> Result<Marked, BackupError> {
        let marked: BTreeSet<Id> = self.marks()?.0.into_iter().flat_map(|mark| mark.packs).collect();
        let all = Index::load(self.store, &self.keys, &BTreeSet::new())?;
        let needed = self.needed(&all)?;
        let index = Index::load(self.store, &self.keys, &marked)?;
        let (mut condemned, mut moved) = (Vec::new(), BTreeMap::new());
        for (number, pack) in (0_u32..).zip(&index.packs) {
            // Of a chunk that two packs have, one place is the chunk's.
            let here = |blob: &Blob, at: u32| {
                needed.contains(&blob.id)
                    && index.place(&blob.id).is_some_and(|place| (place.pack, place.blob) == (number, at))
            };
            let wanted: Wanted =
                (0_u32..).zip(&pack.blobs).filter(|(at, blob)| here(blob, *at)).map(|(at, _)| (at, vec![])).collect();
            let bytes: u64 = pack.blobs.iter().filter(|blob| blob.kind != BlobKind::Padding).map(stored).sum();
            let needed_bytes: u64 = wanted.keys().filter_map(|at| pack.blobs.get(*at as usize)).map(stored).sum();
            if needed_bytes * NEEDED_PART < bytes || wanted.is_empty() {
                condemned.push(pack.id);
                if !wanted.is_empty() {
                    moved.insert(number, wanted);
                }
            }
        }
        let moved_bytes = self.move_chunks(&index, &moved, door)?;
        if condemned.is_empty() {
            return Ok(Marked::default());
        }
        let packs = condemned.len() as u64;
        let content = MarkContent::Packs { time, packs: condemned };
        let mark = self.put(Kind::Mark, &seal(&self.keys, Sealed::Mark, &content)?, "put mark", door)?;
        self.note_sessions(mark, door)?;
        Ok(Marked { packs, moved_bytes })
    }

    /// Removes the packs of marks whose time has come. `now` is the wall clock.
    ///
    /// # Errors
    /// A snapshot or a manifest cannot be read: nothing is removed while it is not known what is needed. The store fails.
    pub fn sweep(&self, now: Timestamp, grace_ms: i64, door: Door<'_>) -> Result<Swept, BackupError> {
        let mut swept = Swept::default();
        let (probe, store_now) = self.store_clock(door)?;
        let sessions = self.end_dead_sessions(now, store_now, &mut swept, door)?;
        let (marks, single) = self.marks()?;
        let mut ready = Vec::new();
        for mark in &marks {
            match self.waits(mark, &sessions, (now, store_now), grace_ms, door)? {
                Some(why) => swept.waiting.push(why),
                None => ready.push(mark),
            }
        }
        if !ready.is_empty() {
            self.remove_packs(&marks, &ready, &mut swept, door)?;
        }
        for id in single.into_iter().filter(|id| *id != probe).chain([probe]) {
            self.remove(Kind::Mark, id, "remove mark", door)?;
        }
        Ok(swept)
    }

    /// Ids of all chunks that snapshots need.
    fn needed(&self, index: &Index) -> Result<HashSet<ChunkId>, BackupError> {
        let snapshots = self.snapshots()?;
        if let Some(finding) = snapshots.findings.into_iter().next() {
            return Err(BackupError::damaged(finding.object, finding.what));
        }
        let mut needed = HashSet::new();
        for (id, snapshot) in snapshots.found {
            let manifest = self.manifest(index, id, &snapshot)?;
            needed.extend(snapshot.chunks.iter().map(|chunk| chunk.id));
            let counts = manifest::read::<Stop>(&manifest, |_, event| {
                if let Event::Piece(_, Piece::Chunk { id, .. }) = event {
                    needed.insert(id);
                }
                Ok(())
            });
            counts.map_err(|stop| stop.of(id))?;
        }
        Ok(needed)
    }

    /// Stores chunks again in new packs, and returns their bytes.
    fn move_chunks(&self, index: &Index, moved: &BTreeMap<u32, Wanted>, door: Door<'_>) -> Result<u64, BackupError> {
        let mut again = Again::new(self);
        self.fetch(index, moved, |number, at, content| {
            let blob = index.packs.get(number as usize).and_then(|pack| pack.blobs.get(at as usize));
            blob.map_or(Ok(()), |blob| again.add(blob, content, door))
        })?;
        again.finish(door)
    }

    fn note_sessions(&self, mark: Id, door: Door<'_>) -> Result<(), BackupError> {
        let sessions = self.store.list(Kind::Session)?.into_iter().map(|listed| listed.id).collect();
        let content = MarkContent::Sessions { mark, sessions };
        self.put(Kind::Mark, &seal(&self.keys, Sealed::Mark, &content)?, "put mark of sessions", door).map(drop)
    }

    /// The store's clock: the time of an object of our own, which belongs to no mark.
    fn store_clock(&self, door: Door<'_>) -> Result<(Id, Timestamp), BackupError> {
        let content = MarkContent::Sessions { mark: Id(random()?), sessions: vec![] };
        let probe = self.put(Kind::Mark, &seal(&self.keys, Sealed::Mark, &content)?, "put probe", door)?;
        let listed = self.store.list(Kind::Mark)?.into_iter().find(|listed| listed.id == probe);
        let listed = listed.ok_or(StoreError::Missing { name: crate::name::Name::Object(Kind::Mark, probe) })?;
        Ok((probe, listed.stored))
    }

    /// Removes sessions that are dead by both clocks, and returns the others.
    fn end_dead_sessions(
        &self,
        now: Timestamp,
        store_now: Timestamp,
        swept: &mut Swept,
        door: Door<'_>,
    ) -> Result<BTreeSet<Id>, BackupError> {
        let old = |from: Timestamp, now: Timestamp| passed_ms(from, now) >= 2 * SESSION_MS_MAX;
        let mut alive = BTreeSet::new();
        for listed in self.store.list(Kind::Session)? {
            let begun = match self.read::<SessionContent>(Kind::Session, Sealed::Session, listed.id) {
                Ok(content) => content.time,
                Err(BackupError::Damaged { .. }) => listed.stored,
                Err(BackupError::Store(StoreError::Missing { .. })) => continue,
                Err(error) => return Err(error),
            };
            if old(begun, now) && old(listed.stored, store_now) {
                self.remove(Kind::Session, listed.id, "remove dead session", door)?;
                swept.dead_sessions += 1;
            } else {
                alive.insert(listed.id);
            }
        }
        Ok(alive)
    }

    /// The cause for which a mark waits.
    fn waits(
        &self,
        mark: &Mark,
        alive: &BTreeSet<Id>,
        (now, store_now): (Timestamp, Timestamp),
        grace_ms: i64,
        door: Door<'_>,
    ) -> Result<Option<String>, BackupError> {
        let Some((_, sessions)) = &mark.sessions else {
            self.note_sessions(mark.id, door)?;
            return Ok(Some(format!("mark {} was broken off; it was brought to its end just now", mark.id)));
        };
        if passed_ms(mark.time, now) < grace_ms {
            return Ok(Some(format!("mark {} is younger than {grace_ms} ms by the wall clock", mark.id)));
        }
        if passed_ms(mark.stored, store_now) < grace_ms {
            return Ok(Some(format!("mark {} is younger than {grace_ms} ms by the store's clock", mark.id)));
        }
        let going_on = sessions.intersection(alive).count();
        Ok((going_on > 0).then(|| format!("{going_on} backups that began before mark {} are going on", mark.id)))
    }

    fn remove_packs(
        &self,
        marks: &[Mark],
        ready: &[&Mark],
        swept: &mut Swept,
        door: Door<'_>,
    ) -> Result<(), BackupError> {
        let index = Index::load(self.store, &self.keys, &BTreeSet::new())?;
        let needed = self.needed(&index)?;
        let marked: HashSet<Id> = marks.iter().flat_map(|mark| mark.packs.iter().copied()).collect();
        let unmarked = index.packs.iter().filter(|pack| !marked.contains(&pack.id)).flat_map(|pack| &pack.blobs);
        let elsewhere: HashSet<ChunkId> = unmarked.map(|blob| blob.id).collect();
        let going: BTreeSet<Id> = ready.iter().flat_map(|mark| mark.packs.iter().copied()).collect();
        let mut left = Vec::new();
        for pack in index.packs {
            let needs = |blob: &Blob| needed.contains(&blob.id) && !elsewhere.contains(&blob.id);
            if !going.contains(&pack.id) {
                left.push(pack);
            } else if pack.blobs.iter().any(needs) {
                swept.spared += 1;
                left.push(pack);
            } else {
                self.remove(Kind::Pack, pack.id, "remove pack", door)?;
                swept.removed += 1;
            }
        }
        self.replace_index(left, index.objects.into_iter().chain(index.damaged), door)?;
        for mark in ready {
            self.remove(Kind::Mark, mark.id, "remove mark", door)?;
            if let Some((id, _)) = mark.sessions {
                self.remove(Kind::Mark, id, "remove mark", door)?;
            }
        }
        Ok(())
    }

    /// Writes an index of packs, then removes the objects that it takes the place of.
    pub(crate) fn replace_index(
        &self,
        packs: Vec<IndexedPack>,
        old: impl Iterator<Item = Id>,
        door: Door<'_>,
    ) -> Result<(), BackupError> {
        for part in parts(packs) {
            self.put(Kind::Index, &seal(&self.keys, Sealed::Index, &part)?, "put index", door)?;
        }
        // A fresh nonce gives each new object a name that no old one has.
        old.into_iter().try_for_each(|id| self.remove(Kind::Index, id, "remove index", door))
    }
}

fn stored(blob: &Blob) -> u64 {
    u64::from(blob.stored)
}

/// Milliseconds from one time to another.
fn passed_ms(from: Timestamp, to: Timestamp) -> i64 {
    to.millis().saturating_sub(from.millis())
}
