//! Chunks that the network agreed on and whose rows the tables of this node do not hold yet.
//!
//! A chunk that nobody gives is asked for again, less and less often, and never forgotten while there is room for it in
//! memory. Blocks are the record of what was agreed on: as long as the queue is full, later blocks are simply not read
//! for it. What a start has to look through again is told by [`Awaited::complete_height`].

use std::collections::VecDeque;

use openmesh_lake::AcceptedChunkMeta;
use openmesh_primitives::{ContentId, Height};

/// Chunks in the queue: some MiB of memory.
pub const AWAITED_MAX: usize = 8_192;

/// A chunk that was asked for so often goes where others wait for its place: after more than ten minutes.
const TRIES_MIN: u32 = 10;

/// Longest pause between two attempts, in blocks: about a quarter of an hour.
const PAUSE_BLOCKS_MAX: u64 = 1_024;

/// One chunk.
#[derive(Debug)]
pub struct Wanted {
    /// What it is.
    pub meta: AcceptedChunkMeta,
    tries: u32,
    /// Not before this height.
    next: Height,
}

/// The queue.
#[derive(Debug)]
pub struct Awaited {
    queue: VecDeque<Wanted>,
    /// The chunks of all blocks up to here are in the tables, in the queue, or given up.
    read_to: Height,
    given_up: u64,
}

impl Awaited {
    /// Where the chunks of all blocks up to a height are done with.
    pub fn new(complete: Height) -> Awaited {
        Awaited { queue: VecDeque::new(), read_to: complete, given_up: 0 }
    }

    /// The next block that is to be read for its chunks, where there is room for them.
    pub fn next_height(&mut self) -> Option<Height> {
        if self.queue.len() >= AWAITED_MAX {
            let most = (0..self.queue.len()).max_by_key(|at| self.queue[*at].tries)?;
            if self.queue[most].tries < TRIES_MIN {
                return None;
            }
            if let Some(lost) = self.queue.remove(most) {
                self.given_up += 1;
                let AcceptedChunkMeta { cid, stream, window, .. } = lost.meta;
                tracing::warn!(%cid, stream, window, "nobody gave this chunk: its rows are not in the tables of this node");
            }
        }
        Some(self.read_to + 1)
    }

    /// A block was read: these of its chunks are not in the tables.
    pub fn read(&mut self, height: Height, missing: impl IntoIterator<Item = AcceptedChunkMeta>) {
        self.queue.extend(missing.into_iter().map(|meta| Wanted { meta, tries: 0, next: 0 }));
        self.read_to = self.read_to.max(height);
    }

    /// Takes the chunks out that may be asked for now, at most so many, those that waited longest first.
    pub fn due(&mut self, now: Height, most: usize) -> Vec<Wanted> {
        let (mut due, mut at) = (Vec::new(), 0);
        while due.len() < most && at < self.queue.len() {
            if self.queue[at].next > now {
                at += 1;
            } else {
                due.extend(self.queue.remove(at));
            }
        }
        due
    }

    /// Puts a chunk back that could not be had.
    pub fn again(&mut self, mut wanted: Wanted, now: Height) {
        let pause = 1u64.checked_shl(wanted.tries).unwrap_or(PAUSE_BLOCKS_MAX).min(PAUSE_BLOCKS_MAX);
        wanted.next = now + pause;
        wanted.tries = wanted.tries.saturating_add(1);
        self.queue.push_back(wanted);
    }

    /// A chunk is kept: it leaves the queue.
    pub fn had(&mut self, cid: &ContentId) {
        // It was put back a moment ago.
        if let Some(at) = self.queue.iter().rposition(|wanted| wanted.meta.cid == *cid) {
            self.queue.remove(at);
        }
    }

    /// The chunks of all blocks up to here need not be looked for again.
    pub fn complete_height(&self) -> Height {
        let oldest = self.queue.iter().map(|wanted| wanted.meta.height).min();
        oldest.map_or(self.read_to, |height| self.read_to.min(height.saturating_sub(1)))
    }

    /// Chunks in the queue.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Chunks that went because nobody gave them, since this process started.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(height: Height, n: usize) -> AcceptedChunkMeta {
        AcceptedChunkMeta {
            source: "kraken".into(),
            origin: "simulated".into(),
            cid: ContentId::of(format!("{height} {n}").as_bytes()),
            window: height,
            stream: "BTC.USD/trades".into(),
            height,
        }
    }

    #[test]
    fn a_full_queue_stops_reading_and_forgets_nothing_that_was_not_asked_for() {
        let mut awaited = Awaited::new(4);
        assert_eq!(awaited.next_height(), Some(5));
        awaited.read(5, (0..AWAITED_MAX).map(|n| chunk(5, n)));
        assert_eq!((awaited.next_height(), awaited.len(), awaited.complete_height()), (None, AWAITED_MAX, 4));
        // All but one come.
        let mut due = awaited.due(6, usize::MAX);
        awaited.again(due.remove(0), 6);
        assert_eq!((awaited.next_height(), awaited.len(), awaited.complete_height()), (Some(6), 1, 4));
        awaited.read(6, [chunk(6, 0)]);
        assert_eq!(awaited.due(6, 9).iter().map(|w| w.meta.height).collect::<Vec<_>>(), [6], "the other one pauses");
        assert_eq!(awaited.due(7, 9).iter().map(|w| w.meta.height).collect::<Vec<_>>(), [5]);
        assert_eq!((awaited.len(), awaited.complete_height(), awaited.given_up()), (0, 6, 0));
    }

    #[test]
    fn attempts_become_rare_and_never_end_while_there_is_room() {
        let mut awaited = Awaited::new(0);
        awaited.read(1, [chunk(1, 0)]);
        let mut tried = Vec::new();
        for now in 1..10_000 {
            for wanted in awaited.due(now, 1) {
                tried.push(now);
                awaited.again(wanted, now);
            }
        }
        assert_eq!(tried[..6], [1, 2, 4, 8, 16, 32]);
        assert!(tried.windows(2).all(|pair| pair[1] - pair[0] <= PAUSE_BLOCKS_MAX));
        assert!(tried.last() > Some(&8_900) && awaited.given_up() == 0);
    }

    #[test]
    fn what_nobody_gives_makes_room_for_what_may_be_had() {
        let mut awaited = Awaited::new(0);
        awaited.read(1, (0..AWAITED_MAX).map(|n| chunk(1, n)));
        let mut now = 1;
        while awaited.next_height().is_none() {
            now += PAUSE_BLOCKS_MAX;
            for wanted in awaited.due(now, usize::MAX) {
                awaited.again(wanted, now);
            }
        }
        assert_eq!((awaited.len(), awaited.given_up()), (AWAITED_MAX - 1, 1));
    }
}
