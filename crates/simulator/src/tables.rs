//! A simulated node's tables: the queue of `ingest` over the chunks that its disk and its peers hold.
//!
//! Rows are durable when they are flushed, with what the queue has to remember; a crash loses the rest. Nothing that was
//! agreed on may be lost in silence: it is in the tables, in the queue, or counted as given up.

use std::collections::{BTreeSet, VecDeque};

use openmesh_ingest::accepted;
use openmesh_ingest::awaited::{Awaited, Failure, Memory};
use openmesh_ledger::LedgerEvent;
use openmesh_primitives::{ContentId, Height};

/// Blocks between two flushes.
const FLUSH_BLOCKS: Height = 8;

/// Chunks that a simulated node remembers by their CIDs: far more than wait anywhere.
const CHUNKS_KEPT: usize = 50_000;

/// The newest chunks of many.
#[derive(Default)]
pub struct Newest {
    set: BTreeSet<ContentId>,
    order: VecDeque<ContentId>,
}

impl Newest {
    /// Adds a chunk; returns false if it is there.
    pub fn insert(&mut self, cid: ContentId) -> bool {
        let new = self.set.insert(cid);
        if new {
            self.order.push_back(cid);
            if self.order.len() > CHUNKS_KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.set.remove(&oldest);
            }
        }
        new
    }

    /// Returns true if the chunk is there.
    pub fn contains(&self, cid: &ContentId) -> bool {
        self.set.contains(cid)
    }

    /// Takes a chunk out that was added lately.
    fn remove(&mut self, cid: &ContentId) {
        if self.set.remove(cid) {
            self.order.retain(|other| other != cid);
        }
    }
}

/// Tables and queue of one node.
pub struct Tables {
    awaited: Awaited,
    rows: Newest,
    /// Chunks in the tables, of all times.
    chunks: u64,
    /// Agreed chunks up to the last scanned block.
    agreed: u64,
    /// Rows since the last flush.
    unflushed: Vec<ContentId>,
    /// The queue's memory at the last flush, and the agreed chunks then.
    durable: (Memory, u64),
    /// Chunks on this node's disk.
    pub held: Newest,
}

impl Default for Tables {
    fn default() -> Tables {
        Tables {
            awaited: Awaited::new(0),
            rows: Newest::default(),
            chunks: 0,
            agreed: 0,
            unflushed: Vec::new(),
            durable: Default::default(),
            held: Newest::default(),
        }
    }
}

impl Tables {
    /// As after a start of the process: what was not flushed is gone.
    pub fn restart(&mut self) {
        for cid in std::mem::take(&mut self.unflushed) {
            self.rows.remove(&cid);
            self.chunks -= 1;
        }
        let (memory, agreed) = self.durable.clone();
        let height = memory.scanned;
        self.awaited = Awaited::restore(memory, height, |cid| self.rows.contains(cid));
        self.agreed = agreed;
    }

    /// The next block to be scanned, while the queue has room.
    pub fn next_scan(&mut self) -> Option<Height> {
        self.awaited.next_scan().0
    }

    /// Takes in the events of the next block.
    pub fn scanned(&mut self, height: Height, events: &[LedgerEvent]) {
        let agreed: Vec<_> = accepted(events).collect();
        self.agreed += agreed.len() as u64;
        self.awaited.scanned(height, agreed.into_iter().filter(|meta| !self.rows.contains(&meta.cid)));
    }

    /// Fills the tables from this node's disk, then from peers: `fetch` tells whether one of them gave a chunk.
    pub fn fill(&mut self, now: Height, fetch: impl Fn(&ContentId) -> bool) {
        while let Some((ticket, meta)) = self.awaited.next_local(now) {
            if self.held.contains(&meta.cid) {
                self.insert(meta.cid);
                self.awaited.complete(ticket);
            } else {
                self.awaited.not_held(ticket);
            }
        }
        while let Some((ticket, meta)) = self.awaited.next_remote() {
            if fetch(&meta.cid) {
                self.held.insert(meta.cid);
                self.insert(meta.cid);
                self.awaited.complete(ticket);
            } else {
                self.awaited.failed(ticket, now, Failure::Absent);
            }
        }
        if now.is_multiple_of(FLUSH_BLOCKS) {
            self.unflushed.clear();
            let scanned = self.awaited.scanned_height();
            self.durable = (self.awaited.memory(scanned, |cid| self.rows.contains(cid)), self.agreed);
        }
    }

    fn insert(&mut self, cid: ContentId) {
        if self.rows.insert(cid) {
            self.chunks += 1;
            self.unflushed.push(cid);
        }
    }

    /// Number of agreed chunks that are neither in the tables nor in the queue nor counted as given up.
    pub fn lost(&self) -> u64 {
        let counts = self.awaited.counts();
        self.agreed.abs_diff(self.chunks + counts.late + counts.unavailable + counts.missing)
    }
}
