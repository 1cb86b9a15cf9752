//! Transactions that were handed in here, until they are committed or can be no more.
//!
//! The mempool tells nobody what it drops: one that pays more takes the nonce, a full pool lets the cheapest go, what has
//! waited too long is dropped. The first shows in the account's nonce, the last in the number of blocks, and an empty mempool
//! settles all three. That is looked at when somebody asks ([`is_dropped`]), not with each block: thousands may wait, and each
//! signature tells its sender only by as much work as checking it.

use std::collections::{HashMap, VecDeque};

use openmesh_primitives::{Digest, Height};

/// Transactions remembered, so that their sender can ask for them; beyond that the oldest are forgotten.
const WAITING_MAX: usize = 10_000;
/// Most bytes of them, as many as the mempool takes of accounts: what it has dropped is remembered too, so that its own bound is none here.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Blocks after which a transaction is forgotten: the mempool drops it after as many.
const BLOCKS_MAX: u64 = 3_600;

/// Transactions that wait.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Bytes, and the height of the newest block when they were handed in.
    entries: HashMap<Digest, (Vec<u8>, Height)>,
    /// In the order in which they were handed in; some have gone.
    order: VecDeque<Digest>,
    /// Sum of their bytes.
    bytes: usize,
}

impl Waiting {
    /// Remembers a transaction that the mempool took.
    pub fn remember(&mut self, hash: Digest, bytes: Vec<u8>, height: Height) {
        let length = bytes.len();
        // The same hash is of the same bytes.
        if self.entries.insert(hash, (bytes, height)).is_none() {
            self.order.push_back(hash);
            self.bytes += length;
        }
        while (self.entries.len() > WAITING_MAX || self.bytes > WAITING_BYTES_MAX)
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(&oldest);
        }
        if self.order.len() > 2 * WAITING_MAX {
            self.order.retain(|hash| self.entries.contains_key(hash));
        }
    }

    /// One that waits: its bytes, and since which height.
    pub fn get(&self, hash: &Digest) -> Option<(Vec<u8>, Height)> {
        self.entries.get(hash).cloned()
    }

    /// Forgets one.
    pub fn forget(&mut self, hash: &Digest) {
        if let Some((bytes, _)) = self.entries.remove(hash) {
            self.bytes = self.bytes.saturating_sub(bytes.len());
        }
    }
}

/// Returns true when a transaction that was handed in after block `since` can no longer be included: its nonce was `used` by
/// another, the mempool dropped it by age, or the mempool is empty. Not where it was handed in a moment ago: the mempool may
/// have been looked at before.
pub fn is_dropped(since: Height, now: Height, used: bool, mempool_is_empty: bool) -> bool {
    let age = now.saturating_sub(since);
    used || age > BLOCKS_MAX || (mempool_is_empty && age > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::sha256;

    fn hash(n: usize) -> Digest {
        sha256(&[&n.to_be_bytes()])
    }

    #[test]
    fn the_oldest_are_forgotten_and_what_has_gone_takes_no_room() {
        let mut waiting = Waiting::default();
        for n in 0..5 * WAITING_MAX {
            waiting.remember(hash(n), vec![1], 7);
            if n > 0 {
                waiting.forget(&hash(n));
            }
        }
        assert_eq!(waiting.get(&hash(0)), Some((vec![1], 7)), "it is the only one");
        assert!(waiting.order.len() <= 2 * WAITING_MAX + 1, "{}", waiting.order.len());
        for n in 0..WAITING_MAX {
            waiting.remember(hash(usize::MAX - n), vec![2], 8);
        }
        assert_eq!(waiting.get(&hash(0)), None);
        assert!(waiting.get(&hash(usize::MAX)).is_some() && waiting.entries.len() == WAITING_MAX);
    }

    #[test]
    fn long_ones_are_bounded_by_their_bytes() {
        const LENGTH: usize = 1 << 20;
        let mut waiting = Waiting::default();
        for n in 0..100 {
            waiting.remember(hash(n), vec![0; LENGTH], 7);
            waiting.remember(hash(n), vec![0; LENGTH], 8);
            if n % 2 == 0 {
                waiting.forget(&hash(n));
                waiting.forget(&hash(n));
            }
            assert_eq!(waiting.bytes, waiting.entries.len() * LENGTH);
        }
        assert!(waiting.entries.len() <= WAITING_BYTES_MAX / LENGTH);
        assert_eq!((waiting.get(&hash(1)), waiting.get(&hash(99)).map(|(_, since)| since)), (None, Some(8)));
    }

    #[test]
    fn a_transaction_that_can_no_longer_be_included() {
        assert!(is_dropped(9, 10, true, false), "another one has its nonce");
        assert!(!is_dropped(9, 11, false, false), "it may still be there");
        assert!(is_dropped(9, 11, false, true), "nothing is there");
        assert!(!is_dropped(10, 11, false, true), "it may have come after the look");
        assert!(is_dropped(10, 10 + BLOCKS_MAX + 1, false, false), "as long as the mempool keeps it");
    }
}
