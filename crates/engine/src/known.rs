//! Blocks of the next height with their executions: what a node has built or judged it commits without executing it again.
//!
//! A block stays when its round ends without a decision, because a later round may propose it again, and decide it then. It goes when
//! its height is committed, or when so many came after it that the oldest has to make room: it is executed anew then, from its
//! stored body, should it be decided.

use bytes::Bytes;
use openmesh_ledger::{Block, Execution};
use openmesh_primitives::Digest;
use openmesh_storage::Prepared;

/// Blocks that are kept; a height rarely sees a second one. With the largest blocks that any network may have this is some hundred
/// megabytes, with those of a new network twenty. The writes of a migration, which may be the whole state, are shared by all of them.
const KNOWN_MAX: usize = 8;

/// An execution with the tree that it leads to. The tree is made when the block is decided where it brings a migration: a vote
/// does not need it, and it may take longer to hash than a round lasts.
pub(crate) type Executed = (Execution, Option<Prepared>);

/// A block of the next height.
pub(crate) struct Known {
    pub(crate) block: Block,
    pub(crate) bytes: Bytes,
    /// `None` where it was read from the disk.
    pub(crate) executed: Option<Executed>,
}

/// The known blocks by their hash, the oldest first.
#[derive(Default)]
pub(crate) struct KnownBlocks(Vec<(Digest, Known)>);

impl KnownBlocks {
    /// Keeps a block; the oldest makes room where there is none.
    pub(crate) fn keep(&mut self, id: Digest, known: Known) {
        self.0.retain(|(other, _)| *other != id);
        if self.0.len() >= KNOWN_MAX {
            self.0.remove(0);
        }
        self.0.push((id, known));
    }

    /// The bytes of a block.
    pub(crate) fn bytes(&self, id: &Digest) -> Option<&Bytes> {
        self.0.iter().find(|(other, _)| other == id).map(|(_, known)| &known.bytes)
    }

    /// The execution of a block.
    #[cfg(test)]
    pub(crate) fn executed(&self, id: &Digest) -> Option<&Executed> {
        self.0.iter().find(|(other, _)| other == id).and_then(|(_, known)| known.executed.as_ref())
    }

    /// Takes a block out that stands on this parent: what was executed on another one is of no use.
    pub(crate) fn take(&mut self, id: &Digest, parent: &Digest) -> Option<Known> {
        let at = self.0.iter().position(|(other, known)| other == id && known.block.header.parent == *parent)?;
        Some(self.0.remove(at).1)
    }

    /// Forgets all: their height is committed.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use openmesh_ledger::Header;
    use openmesh_primitives::{Address, Timestamp};

    use super::*;

    fn block(number: u8) -> (Digest, Known) {
        let digest = Digest([number; 32]);
        let header = Header {
            version: openmesh_ledger::HEADER_VERSION,
            chain_id: 1,
            height: 1,
            time: Timestamp(1),
            parent: Digest::ZERO,
            state_root: digest,
            transactions_root: digest,
            last_commit_hash: digest,
            proposer: Address([1; 20]),
            validators_hash: digest,
            next_validators_hash: digest,
            beacon_proof: openmesh_primitives::VrfProof([0; 80]),
        };
        let block = Block { header, last_commit: None, transactions: vec![] };
        (digest, Known { block, bytes: Bytes::copy_from_slice(&[number]), executed: None })
    }

    #[test]
    fn the_oldest_makes_room_and_a_block_is_kept_once() {
        let mut kept = KnownBlocks::default();
        for number in 0..KNOWN_MAX as u8 {
            let (id, known) = block(number);
            kept.keep(id, known);
        }
        let (first, known) = block(0);
        kept.keep(first, known);
        assert_eq!(kept.0.len(), KNOWN_MAX);
        let (late, known) = block(200);
        kept.keep(late, known);
        assert_eq!(kept.0.len(), KNOWN_MAX);
        assert!(kept.bytes(&block(1).0).is_none(), "the oldest; the first one was kept anew meanwhile");
        assert_eq!(kept.bytes(&first).map(|bytes| bytes[0]), Some(0));
        assert!(kept.take(&late, &Digest([9; 32])).is_none(), "on another parent");
        assert!(kept.take(&late, &Digest::ZERO).is_some());
        assert!(kept.take(&late, &Digest::ZERO).is_none(), "it was taken out");
        kept.clear();
        assert!(kept.bytes(&first).is_none());
    }
}
