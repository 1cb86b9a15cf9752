//! Transactions whose signatures were verified lately, whatever became of them: so that a node verifies one once, also where its
//! block comes before it, or where it had no room for it. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use openmesh_ledger::VerifiedTransaction;
use openmesh_primitives::Digest;

/// Most transactions that are remembered: some seconds of a busy network, about ten megabytes with what they are decoded to.
const COUNT_MAX: usize = 16_384;
/// Most bytes of them. What waits in the pool is the same memory.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The transactions, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    by_hash: HashMap<Digest, Arc<VerifiedTransaction>>,
    order: VecDeque<Digest>,
    bytes: usize,
}

impl Lately {
    pub(crate) fn get(&self, hash: &Digest) -> Option<Arc<VerifiedTransaction>> {
        self.by_hash.get(hash).cloned()
    }

    /// Remembers a transaction; the oldest make room where there is none.
    pub(crate) fn keep(&mut self, verified: &Arc<VerifiedTransaction>) {
        let hash = verified.hash();
        if self.by_hash.insert(hash, Arc::clone(verified)).is_some() {
            return;
        }
        self.order.push_back(hash);
        self.bytes += verified.bytes().len();
        while self.order.len() > COUNT_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front().and_then(|hash| self.by_hash.remove(&hash)) else { return };
            self.bytes -= oldest.bytes().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use openmesh_ledger::{Attestation, ChunkClaim, Transaction, verify_stateless};
    use openmesh_primitives::{ContentId, ValidatorKey};

    use super::*;

    /// Long, since bytes are what fills it first.
    fn attestation(window: u64, claims: &[ChunkClaim]) -> Arc<VerifiedTransaction> {
        let key = ValidatorKey::from_seed([1; 32]);
        let signed = Attestation::sign(&key, 1, "source", window, 0, claims.to_vec(), vec![]);
        Arc::new(verify_stateless(&Transaction::Attestation(signed).encode()).unwrap())
    }

    #[test]
    fn it_is_bounded_and_the_oldest_go_first() {
        let mut lately = Lately::default();
        let cid = ContentId::of(b"chunk");
        let claim = |n: u64| ChunkClaim { stream: format!("S{n:04}.USD/trades"), cid, bytes: 1, events: 1 };
        let claims: Vec<ChunkClaim> = (0..1_000).map(claim).collect();
        let all: Vec<_> = (0..200).map(|window| attestation(window, &claims)).collect();
        for verified in &all {
            lately.keep(verified);
            lately.keep(verified);
        }
        let kept = all.iter().filter(|verified| lately.get(&verified.hash()).is_some()).count();
        let each = all[0].bytes().len();
        assert_eq!((kept, lately.order.len(), lately.bytes), (BYTES_MAX / each, kept, kept * each));
        assert!(kept < all.len() && lately.get(&all[199].hash()).is_some() && lately.get(&all[0].hash()).is_none());
    }
}
