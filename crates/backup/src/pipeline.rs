//! The threads between a tree and packs: cut chunks go in by number, chunks' ids come out by number, packs come out as they fill.
//!
//! # Why threads and no runtime
//! Reading waits for a disk, hashing and sealing for a processor, storing for a disk again. Three kinds of thread and two bounded queues say that. The door of
//! effects stays with the caller's thread, which sees them one after another.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::blob::Sealer;
use crate::crew::{lock, threads};
use crate::error::BackupError;
use crate::index::Index;
use crate::pack::{BlobKind, ChunkId, Filling, Pack};
use crate::pool::Pool;
use crate::secret::Keys;
use crate::stage::{Clock, Stage};

/// Chunks that wait for a thread: with 2 MiB each, what the queue holds at most is 32 MiB.
pub(crate) const JOBS_WAITING_MAX: usize = 16;
/// Packs that wait to be stored: 32 MiB; threads go on while one is written.
pub(crate) const PACKS_WAITING_MAX: usize = 2;

/// A chunk to be sealed.
pub(crate) struct Job {
    /// Its number.
    pub number: u64,
    /// Its kind.
    pub kind: BlobKind,
    /// Its content.
    pub content: Vec<u8>,
}

/// Results by number.
#[derive(Default)]
struct Board {
    ids: HashMap<u64, ChunkId>,
    /// The first failure of a thread that seals.
    failure: Option<BackupError>,
    stopped: bool,
}

/// State that the threads share.
pub(crate) struct Shared<'a> {
    keys: &'a Keys,
    /// The clock of stages.
    pub clock: Clock<'a>,
    /// Buffers of chunks.
    pub chunks: Pool,
    /// Buffers of packs.
    pub packs: Pool,
    index: &'a Index,
    board: Mutex<Board>,
    news: Condvar,
    claimed: Mutex<HashSet<ChunkId>>,
    filling: Mutex<Filling>,
    /// Bytes at which a pack ends.
    pack_bytes: usize,
    /// Chunks that were there before.
    pub known: AtomicU64,
}

/// Ends the waiting of all others when a thread ends by a panic.
pub(crate) struct Stopper<'b, 'a>(pub &'b Shared<'a>);

impl Drop for Stopper<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl<'a> Shared<'a> {
    /// For a backup against an index.
    pub(crate) fn new(keys: &'a Keys, index: &'a Index, pack_bytes: usize, clock: Clock<'a>) -> Shared<'a> {
        Shared {
            pack_bytes,
            keys,
            clock,
            // As many as there are of each at a time.
            chunks: Pool::new(JOBS_WAITING_MAX + threads() + 1),
            packs: Pool::new(PACKS_WAITING_MAX + 1),
            index,
            board: Mutex::default(),
            news: Condvar::new(),
            claimed: Mutex::default(),
            filling: Mutex::default(),
            known: AtomicU64::new(0),
        }
    }

    /// Ends all waiting.
    pub(crate) fn stop(&self) {
        lock(&self.board).stopped = true;
        self.news.notify_all();
    }

    /// The first failure of a thread that seals.
    pub(crate) fn failure(&self) -> Option<BackupError> {
        lock(&self.board).failure.take()
    }

    /// The last pack; none where it is empty.
    pub(crate) fn last(&self) -> Result<Option<Pack>, BackupError> {
        let filling = std::mem::take(&mut *lock(&self.filling));
        if filling.is_empty() { Ok(None) } else { self.finish(filling).map(Some) }
    }

    /// Waits for the id of a chunk; none where all was stopped.
    pub(crate) fn wait(&self, number: u64) -> Option<ChunkId> {
        let mut board = lock(&self.board);
        loop {
            if let Some(id) = board.ids.remove(&number) {
                return Some(id);
            }
            if board.stopped {
                return None;
            }
            board = self.news.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Work of a thread that seals: until there are no more jobs, or nobody takes the packs.
    pub(crate) fn work(&self, jobs: &Mutex<Receiver<Job>>, packs: &SyncSender<Pack>) {
        let _stopper = Stopper(self);
        let mut sealer = Sealer::new(self.keys, self.clock);
        loop {
            let job = lock(jobs).recv();
            let Ok(job) = job else { return };
            if lock(&self.board).stopped {
                return;
            }
            let sealed = self.seal(&job, &mut sealer);
            self.chunks.give(job.content);
            match sealed {
                Ok((id, full)) => {
                    lock(&self.board).ids.insert(job.number, id);
                    self.news.notify_all();
                    if full.is_some_and(|pack| packs.send(pack).is_err()) {
                        return self.stop();
                    }
                }
                Err(error) => {
                    lock(&self.board).failure.get_or_insert(error);
                    return self.stop();
                }
            }
        }
    }

    fn seal(&self, job: &Job, sealer: &mut Sealer<'_>) -> Result<(ChunkId, Option<Pack>), BackupError> {
        let identify = || job.kind.chunk(self.keys, &job.content);
        let id = self.clock.time(Stage::Identify, job.content.len(), identify);
        if self.index.place(&id).is_some() || !lock(&self.claimed).insert(id) {
            self.known.fetch_add(1, Ordering::Relaxed);
            return Ok((id, None));
        }
        let (blob, sealed) = sealer.seal(job.kind, id, &job.content)?;
        let full = {
            let mut filling = lock(&self.filling);
            if filling.is_empty() {
                *filling = Filling::within(self.packs.take());
            }
            filling.add(blob, sealed, self.pack_bytes).then(|| std::mem::take(&mut *filling))
        };
        full.map(|full| self.finish(full)).transpose().map(|pack| (id, pack))
    }

    fn finish(&self, filling: Filling) -> Result<Pack, BackupError> {
        let begun = self.clock.begin();
        let pack = filling.finish(self.keys)?;
        self.clock.end(Stage::FinishPack, begun, pack.bytes.len());
        Ok(pack)
    }
}
