//! A simulated node's tables: the queue of `ingest` over the chunks that its disk and its peers hold.
//!
//! Rows are durable when they are flushed, with what the queue has to remember; a crash loses the rest. Nothing that was
//! agreed on may be lost in silence: it is in the tables, in the queue, or counted as given up.

use std::collections::BTreeSet;

use openmesh_ingest::accepted;
use openmesh_ingest::awaited::{Awaited, Failure, Memory};
use openmesh_ledger::LedgerEvent;
use openmesh_primitives::{ContentId, Height};

/// Blocks between two flushes.
const FLUSH_BLOCKS: Height = 8;

/// Tables and queue of one node.
pub struct Tables {
    awaited: Awaited,
    rows: BTreeSet<ContentId>,
    /// Agreed chunks up to the last scanned block.
    agreed: u64,
    /// Rows since the last flush.
    unflushed: Vec<ContentId>,
    /// The queue's memory at the last flush, and the agreed chunks then.
    durable: (Memory, u64),
    /// Chunks on this node's disk.
    pub held: BTreeSet<ContentId>,
}

impl Default for Tables {
    fn default() -> Tables {
        Tables {
            awaited: Awaited::new(0),
            rows: BTreeSet::new(),
            agreed: 0,
            unflushed: Vec::new(),
            durable: Default::default(),
            held: BTreeSet::new(),
        }
    }
}

impl Tables {
    /// As after a start of the process: what was not flushed is gone.
    pub fn restart(&mut self) {
        for cid in std::mem::take(&mut self.unflushed) {
            self.rows.remove(&cid);
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
            self.unflushed.push(cid);
        }
    }

    /// Number of agreed chunks that are neither in the tables nor in the queue nor counted as given up.
    pub fn lost(&self) -> u64 {
        let counts = self.awaited.counts();
        self.agreed.abs_diff(self.rows.len() as u64 + counts.late + counts.unavailable + counts.missing)
    }
}
