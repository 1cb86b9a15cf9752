//! Chunks that the network agreed on and whose rows the tables of this node do not hold yet.
//!
//! Pure: heights and outcomes are handed in. Each chunk is first looked for on this node's disk, then asked of peers, and
//! asked for again less and less often; it is never forgotten while there is room for it in memory. Blocks are the record
//! of what was agreed on: as long as the queue is full, later blocks are simply not scanned.
//!
//! What is not in files yet is what [`Awaited::memory`] writes down. So a start scans only blocks after
//! [`Memory::scanned`], however long a chunk has been awaited.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_lake::AcceptedChunkMeta;
use openmesh_primitives::{ContentId, Height};
use serde::{Deserialize, Serialize};

/// Chunks in the queue: some MiB of memory.
pub const AWAITED_CHUNKS_MAX: usize = 8_192;
/// Attempts after which a chunk gives its place up where others need it: more than ten minutes.
const ATTEMPTS_MIN: u32 = 10;
/// Answers "no connected peer holds it" in a row after which a chunk counts as unavailable: one may come too early.
const ABSENCES_MIN: u32 = 3;
/// Longest pause between two attempts, in blocks: about a quarter of an hour.
const PAUSE_BLOCKS_MAX: u64 = 1_024;

/// Number of a chunk in the queue, ascending in the order of agreement.
pub type Ticket = u64;

/// Outcome of an attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// All connected peers answered that they do not hold it.
    Absent,
    /// It may succeed another time: a peer did not answer, a disk was full.
    Passing,
    /// It will never succeed: the bytes are not a chunk that this version can read.
    Permanent,
}

/// State of a chunk in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be looked for on this node's disk.
    Due,
    /// To be asked of peers.
    NotHeld,
    /// Being looked for or asked for.
    Working,
    /// Not before this height.
    Pausing(Height),
}

#[derive(Debug)]
struct Wanted {
    meta: AcceptedChunkMeta,
    stage: Stage,
    attempts: u32,
    /// Answers in a row that no connected peer holds it.
    absences: u32,
}

impl Wanted {
    fn unavailable(&self) -> bool {
        self.absences >= ABSENCES_MIN || self.attempts >= ATTEMPTS_MIN
    }
}

/// Numbers of chunks by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Late: they are on their way as far as anybody knows.
    pub late: u64,
    /// No connected peer gives them; they are asked for again, seldom.
    pub unavailable: u64,
    /// Given up: this node's tables lack them for good.
    pub missing: u64,
}

/// The queue.
#[derive(Debug)]
pub struct Awaited {
    chunks: BTreeMap<Ticket, Wanted>,
    /// Those to be looked for on disk, and those to be asked of peers: fewest attempts first.
    due: BTreeSet<(u32, Ticket)>,
    not_held: BTreeSet<(u32, Ticket)>,
    pausing: BTreeSet<(Height, Ticket)>,
    /// Those of `pausing` that give their place up where others need it.
    tired: BTreeSet<(u32, Ticket)>,
    /// Those whose rows are in the tables and, as far as is known, in memory only.
    settling: Vec<AcceptedChunkMeta>,
    next_ticket: Ticket,
    /// The chunks of all blocks up to here are in the tables, in the queue, or given up.
    scanned: Height,
    unavailable: u64,
    missing: u64,
}

impl Awaited {
    /// A queue where the chunks of all blocks up to a height are in the tables.
    pub fn new(scanned: Height) -> Awaited {
        Awaited {
            chunks: BTreeMap::new(),
            due: BTreeSet::new(),
            not_held: BTreeSet::new(),
            pausing: BTreeSet::new(),
            tired: BTreeSet::new(),
            settling: Vec::new(),
            next_ticket: 0,
            scanned,
            unavailable: 0,
            missing: 0,
        }
    }

    /// The queue as it was written down, for tables that hold the blocks up to `height`. Chunks that `held` knows are left
    /// out.
    pub fn restore(memory: Memory, height: Height, held: impl Fn(&ContentId) -> bool) -> Awaited {
        let mut awaited = Awaited::new(memory.scanned.min(height));
        // Where the tables lost blocks, those are scanned again, and what was given up is tried again.
        awaited.missing = if memory.scanned <= height { memory.missing } else { 0 };
        for chunk in memory.chunks {
            // Of later blocks is told when those are scanned again.
            if chunk.height <= awaited.scanned && !held(&chunk.cid) {
                let (attempts, absences) = (chunk.attempts, chunk.absences);
                awaited.push(chunk.into(), attempts, absences);
            }
        }
        awaited
    }

    fn push(&mut self, meta: AcceptedChunkMeta, attempts: u32, absences: u32) {
        let (ticket, wanted) = (self.next_ticket, Wanted { meta, stage: Stage::Due, attempts, absences });
        self.next_ticket += 1;
        self.unavailable += u64::from(wanted.unavailable());
        self.due.insert((attempts, ticket));
        self.chunks.insert(ticket, wanted);
    }

    /// The next block that is to be scanned for its chunks; `None` while there is no room for them. Gives chunks up for
    /// it that were asked for in vain for long, and returns those beside.
    pub fn next_scan(&mut self) -> (Option<Height>, Vec<AcceptedChunkMeta>) {
        // The chunks of a block are taken in together, so there may be more than there is room for.
        let excess = (self.chunks.len() + 1).saturating_sub(AWAITED_CHUNKS_MAX);
        // Of those that pause: one that is being asked for keeps its place, its answer may be on the way. And none goes in vain.
        if self.tired.len() < excess {
            return (None, Vec::new());
        }
        let tired: Vec<Ticket> = self.tired.iter().rev().take(excess).map(|(_, ticket)| *ticket).collect();
        let abandoned = tired.into_iter().filter_map(|ticket| self.give_up(ticket)).collect();
        (Some(self.scanned + 1), abandoned)
    }

    /// Chunks for which there is room.
    pub fn room(&self) -> usize {
        AWAITED_CHUNKS_MAX.saturating_sub(self.chunks.len())
    }

    /// Returns true when the chunks of a further block fit in.
    pub fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Takes in that a block was scanned: these of its chunks are not in the tables.
    pub fn scanned(&mut self, height: Height, missing: impl IntoIterator<Item = AcceptedChunkMeta>) {
        missing.into_iter().for_each(|meta| self.push(meta, 0, 0));
        self.scanned = self.scanned.max(height);
    }

    /// Hands out a chunk to be looked for on this node's disk; [`Awaited::complete`], [`Awaited::not_held`] or
    /// [`Awaited::failed`] has to follow.
    pub fn next_local(&mut self, now: Height) -> Option<(Ticket, AcceptedChunkMeta)> {
        while let Some((height, ticket)) = self.pausing.first().copied().filter(|(height, _)| *height <= now) {
            self.pausing.remove(&(height, ticket));
            let Some(wanted) = self.chunks.get_mut(&ticket) else { continue };
            self.tired.remove(&(wanted.attempts, ticket));
            wanted.stage = Stage::Due;
            self.due.insert((wanted.attempts, ticket));
        }
        let (_, ticket) = self.due.pop_first()?;
        self.work(ticket)
    }

    /// Notes that this node's disk does not hold a chunk: peers are to be asked.
    pub fn not_held(&mut self, ticket: Ticket) {
        if let Some(wanted) = self.chunks.get_mut(&ticket) {
            wanted.stage = Stage::NotHeld;
            self.not_held.insert((wanted.attempts, ticket));
        }
    }

    /// Hands out a chunk to be asked of peers; [`Awaited::complete`] or [`Awaited::failed`] has to follow.
    pub fn next_remote(&mut self) -> Option<(Ticket, AcceptedChunkMeta)> {
        let (_, ticket) = self.not_held.pop_first()?;
        self.work(ticket)
    }

    fn work(&mut self, ticket: Ticket) -> Option<(Ticket, AcceptedChunkMeta)> {
        let wanted = self.chunks.get_mut(&ticket)?;
        wanted.stage = Stage::Working;
        Some((ticket, wanted.meta.clone()))
    }

    /// Notes that the rows of a chunk are in the tables.
    pub fn complete(&mut self, ticket: Ticket) {
        if let Some(wanted) = self.remove(ticket) {
            self.settling.push(wanted.meta);
        }
    }

    /// Notes that an attempt failed. Returns the chunk where it is given up.
    pub fn failed(&mut self, ticket: Ticket, now: Height, failure: Failure) -> Option<AcceptedChunkMeta> {
        if failure == Failure::Permanent {
            return self.give_up(ticket);
        }
        let wanted = self.chunks.get_mut(&ticket)?;
        let before = wanted.unavailable();
        let pause = 1u64.checked_shl(wanted.attempts).unwrap_or(PAUSE_BLOCKS_MAX).min(PAUSE_BLOCKS_MAX);
        wanted.attempts = wanted.attempts.saturating_add(1);
        wanted.absences = if failure == Failure::Absent { wanted.absences.saturating_add(1) } else { 0 };
        wanted.stage = Stage::Pausing(now + pause);
        let (after, attempts) = (wanted.unavailable(), wanted.attempts);
        if attempts >= ATTEMPTS_MIN {
            self.tired.insert((attempts, ticket));
        }
        self.pausing.insert((now + pause, ticket));
        self.unavailable = self.unavailable + u64::from(after) - u64::from(before);
        None
    }

    fn give_up(&mut self, ticket: Ticket) -> Option<AcceptedChunkMeta> {
        let wanted = self.remove(ticket)?;
        self.missing += 1;
        Some(wanted.meta)
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Wanted> {
        let wanted = self.chunks.remove(&ticket)?;
        match wanted.stage {
            Stage::Due => drop(self.due.remove(&(wanted.attempts, ticket))),
            Stage::NotHeld => drop(self.not_held.remove(&(wanted.attempts, ticket))),
            Stage::Pausing(height) => {
                self.pausing.remove(&(height, ticket));
                self.tired.remove(&(wanted.attempts, ticket));
            }
            Stage::Working => {}
        }
        self.unavailable -= u64::from(wanted.unavailable());
        Some(wanted)
    }

    /// The chunks of all blocks up to here are counted.
    pub fn scanned_height(&self) -> Height {
        self.scanned
    }

    /// Numbers of chunks by their state.
    pub fn counts(&self) -> Counts {
        Counts {
            late: self.chunks.len() as u64 - self.unavailable,
            unavailable: self.unavailable,
            missing: self.missing,
        }
    }

    /// Returns the part that has to survive a crash, given that the rows of blocks up to `durable`, and of chunks that
    /// `is_durable` knows, do.
    pub fn memory(&mut self, durable: Height, is_durable: impl Fn(&ContentId) -> bool) -> Memory {
        self.settling.retain(|meta| !is_durable(&meta.cid));
        let scanned = self.scanned.min(durable);
        let queued = self.chunks.values().map(|w| Remembered::of(&w.meta, w.attempts, w.absences));
        let settling = self.settling.iter().map(|meta| Remembered::of(meta, 0, 0));
        let chunks = queued.chain(settling).filter(|chunk| chunk.height <= scanned).collect();
        Memory { scanned, missing: self.missing, chunks }
    }
}

/// The part of the queue that survives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The chunks of all blocks up to here are in files of the tables, or in [`Memory::chunks`], or given up.
    pub scanned: Height,
    /// Chunks given up.
    pub missing: u64,
    /// Chunks whose rows are not in files.
    pub chunks: Vec<Remembered>,
}

/// A chunk of [`Memory`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    source: String,
    origin: String,
    cid: ContentId,
    window: u64,
    stream: String,
    height: Height,
    attempts: u32,
    absences: u32,
}

impl Remembered {
    fn of(meta: &AcceptedChunkMeta, attempts: u32, absences: u32) -> Remembered {
        let AcceptedChunkMeta { source, origin, cid, window, stream, height } = meta.clone();
        Remembered { source, origin, cid, window, stream, height, attempts, absences }
    }
}

impl From<Remembered> for AcceptedChunkMeta {
    fn from(chunk: Remembered) -> AcceptedChunkMeta {
        let Remembered { source, origin, cid, window, stream, height, .. } = chunk;
        AcceptedChunkMeta { source, origin, cid, window, stream, height }
    }
}

#[cfg(test)]
mod tests;
