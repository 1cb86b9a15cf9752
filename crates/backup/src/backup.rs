//! A backup of a tree (B-25).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};

use openmesh_primitives::Timestamp;

use crate::crew::{Brake, Crew, threads};
use crate::door::{Door, effect};
use crate::error::BackupError;
use crate::index::{Finding, Index, IndexedPack, parts};
use crate::name::{Id, Kind, Name};
use crate::object::{Sealed, seal};
use crate::pack::{BlobKind, Pack};
use crate::pipeline::{JOBS_WAITING_MAX, PACKS_WAITING_MAX, Shared, Stopper};
use crate::reading::{Halt, Read, Reading, Special};
use crate::repository::Repository;
use crate::session::Session;
use crate::snapshot::{LABEL_BYTES_MAX, LABELS_MAX, Snapshot};
use crate::stage::Stage;

/// Name of the effect that stores a pack.
const PUT_PACK: &str = "put pack";

/// An order to back up a tree.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Root of the tree: a snapshot of a volume, or the volume of a stopped application.
    pub root: &'a Path,
    /// Texts that go into the snapshot.
    pub labels: BTreeMap<String, String>,
    /// The present moment by the wall clock.
    pub time: Timestamp,
    /// Name of the writer, of which one backup runs at a time: node and application. Earlier sessions of the name count as dead (B-31).
    pub writer: &'a str,
    /// Treatment of devices, pipes, sockets and other file systems.
    pub special: Special,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Id of the snapshot: to be noted outside of the repository as well (B-38).
    pub snapshot: Id,
    /// Entries of the tree.
    pub entries: u64,
    /// Bytes of its files, without holes.
    pub bytes: u64,
    /// Chunks of data and manifest.
    pub chunks: u64,
    /// Those of them that were there before, or came twice.
    pub known: u64,
    /// Bytes of the packs that were stored.
    pub stored_bytes: u64,
    /// The first [`crate::LEFT_OUT_MAX`] paths that were left out.
    pub left_out: Vec<PathBuf>,
    /// Number of all that were left out.
    pub left_out_count: u64,
    /// Objects that were found damaged on the way: a reason for a check.
    pub findings: Vec<Finding>,
}

/// Packs that were stored.
#[derive(Default)]
struct Stored {
    packs: Vec<IndexedPack>,
    bytes: u64,
}

impl Stored {
    /// Notes a pack, and returns its buffer.
    fn add(&mut self, pack: Pack) -> Vec<u8> {
        self.bytes += pack.bytes.len() as u64;
        self.packs.push(IndexedPack { id: pack.id, blobs: pack.blobs });
        pack.bytes
    }
}

impl Repository<'_> {
    /// Backs up a tree. The snapshot is there when this returns, and not before all it needs is durable.
    ///
    /// # Errors
    /// An entry cannot be read, is of a refused kind or changes; the store fails; the session is over. What was stored is used by the next backup.
    pub fn backup(&self, order: &Order<'_>, door: Door<'_>) -> Result<Report, BackupError> {
        if order.labels.len() > LABELS_MAX
            || order.labels.iter().any(|(name, value)| name.len().max(value.len()) > LABEL_BYTES_MAX)
        {
            let limit = format!("{LABELS_MAX} labels of {LABEL_BYTES_MAX} bytes");
            return Err(BackupError::Limit { path: order.root.to_path_buf(), limit });
        }
        let session = Session::begin(self, order.writer, order.time, door)?;
        let report = self.backup_in(&session, order, door);
        match report {
            Ok(report) => session.end(door).map(|()| report),
            // The session stays where the door stopped it, as after a death; else it is over.
            Err(error) => {
                let _ = session.end(door);
                Err(error)
            }
        }
    }

    fn backup_in(&self, session: &Session<'_, '_>, order: &Order<'_>, door: Door<'_>) -> Result<Report, BackupError> {
        // Marks before packs: a sweep removes its packs before its mark.
        let marked: BTreeSet<Id> = self.marks()?.0.into_iter().flat_map(|mark| mark.packs).collect();
        let index = Index::load(self.store, &self.keys, &marked)?;
        let shared = Shared::new(&self.keys, &index, self.pack_bytes, self.clock());
        let (read, mut stored) = self.run(&shared, order, door)?;
        if let Some(last) = shared.last()? {
            stored.add(effect(door, PUT_PACK, || self.store_pack(last))?);
        }
        let unnamed = index.unnamed.iter().filter_map(|number| index.packs.get(*number as usize)).cloned();
        for part in parts(unnamed.chain(stored.packs).collect()) {
            self.put(Kind::Index, &seal(&self.keys, Sealed::Index, &part)?, "put index", door)?;
        }
        let snapshot = Snapshot {
            time: order.time,
            labels: order.labels.clone(),
            entries: read.counts.entries,
            bytes: read.counts.bytes,
            chunks: read.chunks,
        };
        if snapshot.fault().is_some() {
            let limit = "a manifest of a gibibyte".to_string();
            return Err(BackupError::Limit { path: order.root.to_path_buf(), limit });
        }
        session.check()?;
        let id = self.put(Kind::Snapshot, &seal(&self.keys, Sealed::Snapshot, &snapshot)?, "put snapshot", door)?;
        if let Err(error) = session.check() {
            self.remove(Kind::Snapshot, id, "take snapshot back", door)?;
            return Err(error);
        }
        Ok(Report {
            snapshot: id,
            entries: snapshot.entries,
            bytes: snapshot.bytes,
            chunks: read.cut,
            known: shared.known.load(Ordering::Relaxed),
            stored_bytes: stored.bytes,
            left_out: read.left_out,
            left_out_count: read.left_out_count,
            findings: index.findings.clone(),
        })
    }

    /// Runs the threads, and stores packs as they come: some at a time, where the store likes that.
    fn run(&self, shared: &Shared<'_>, order: &Order<'_>, door: Door<'_>) -> Result<(Read, Stored), BackupError> {
        let (jobs, waiting) = mpsc::sync_channel(JOBS_WAITING_MAX);
        let (full, packs) = mpsc::sync_channel(PACKS_WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let brake = Brake::default();
        std::thread::scope(|scope| {
            for _ in 0..threads() {
                let (waiting, full) = (Arc::clone(&waiting), full.clone());
                scope.spawn(move || shared.work(&waiting, &full));
            }
            // The threads alone hold these two ends: when they are gone, reading ends, and so does the loop below.
            drop((waiting, full));
            let reading = scope.spawn(move || {
                let _stopper = Stopper(shared);
                Reading::new(order.root, order.special, &self.keys.cut, shared, jobs, &self.meter).run()
            });
            let mut stored = Stored::default();
            let crew = Crew { door, name: PUT_PACK, threads: self.store.puts_max(), waiting: 0, brake: &brake };
            let result = crew.work(
                packs.iter(),
                move || move |pack: Pack| self.store_pack(pack),
                |pack| {
                    shared.packs.give(stored.add(pack));
                    Ok(())
                },
            );
            if result.is_err() {
                shared.stop();
            }
            drop(packs);
            let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result?;
            match read {
                Ok(read) => shared.failure().map_or(Ok((read, stored)), Err),
                Err(Halt::Failed(error)) => Err(error),
                Err(Halt::Stopped) => {
                    let other = BackupError::SessionOver { why: "a thread of it ended before its time" };
                    Err(shared.failure().unwrap_or(other))
                }
            }
        })
    }

    /// Stores a pack. It passes no door: the caller's thread does.
    fn store_pack(&self, pack: Pack) -> Result<Pack, BackupError> {
        self.meter.check()?;
        let put = || self.store.put_new(Name::Object(Kind::Pack, pack.id), &pack.bytes);
        self.clock().time(Stage::StorePack, pack.bytes.len(), put)?;
        Ok(pack)
    }

    /// Bytes of data and manifest chunks in packs, for a report of the whole repository.
    ///
    /// # Errors
    /// The store fails.
    pub fn stored(&self) -> Result<StoredSum, BackupError> {
        let index = Index::load(self.store, &self.keys, &BTreeSet::new())?;
        let blobs = index.packs.iter().flat_map(|pack| &pack.blobs).filter(|blob| blob.kind != BlobKind::Padding);
        let plain_bytes = blobs.map(|blob| u64::from(blob.plain)).sum();
        let packs_bytes = self.store.list(Kind::Pack)?.iter().map(|pack| pack.bytes).sum();
        Ok(StoredSum { packs: index.packs.len() as u64, chunks: index.chunks() as u64, plain_bytes, packs_bytes })
    }
}

/// Sums over a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSum {
    /// Packs.
    pub packs: u64,
    /// Different chunks.
    pub chunks: u64,
    /// Bytes of the blobs' contents.
    pub plain_bytes: u64,
    /// Bytes of the packs.
    pub packs_bytes: u64,
}
