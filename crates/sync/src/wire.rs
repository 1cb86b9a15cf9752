//! Questions and answers, in canonical bytes. `docs/spec/sync.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_ledger::{Block, Certificate, Header};
use openmesh_primitives::{Digest, Height};

/// A question to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Question {
    /// The peer's [`Offer`].
    Offer,
    /// Steps of a light client at the changes of the validator set after a height, ascending, as many as fit an answer:
    /// a list of `ValidatorChange`.
    Changes {
        /// Exclusive; 0 for all since the genesis.
        after: Height,
    },
    /// The last height that each set decided, of changes after a height: a list of heights.
    ChangeHeights {
        /// Exclusive.
        after: Height,
    },
    /// Header and certificate of a height, and the set that decides the next: `ValidatorChange`.
    Step {
        /// Of the header.
        height: Height,
    },
    /// The set that decides a height: `ValidatorSet`.
    Validators {
        /// That it decides.
        height: Height,
    },
    /// The [`Anchor`] of a snapshot.
    Anchor {
        /// Of the snapshot.
        height: Height,
    },
    /// A chunk of the state after a height: `SnapshotChunk`.
    Chunk {
        /// Of the snapshot.
        height: Height,
        /// Digits of a chunk's number.
        depth: u8,
        /// The chunk's number.
        index: u32,
    },
}

/// Blocks and snapshots that a peer says it has. Nobody has signed it: it only tells whom to ask for what.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Offer {
    /// Its last block.
    pub tip: Height,
    /// Its oldest block; 0 where it has none.
    pub oldest_block: Height,
    /// Height from which it knows the way of a light client; 0 for the genesis.
    pub walk_from: Height,
    /// Snapshots, the newest first.
    pub snapshots: Vec<SnapshotOffer>,
}

/// A snapshot that a peer offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct SnapshotOffer {
    /// Last block before the state.
    pub height: Height,
    /// Root of the state.
    pub state_root: Digest,
    /// Digits of a chunk's number: there are `16^depth` chunks.
    pub depth: u8,
}

/// A snapshot's block, and the header after it, which names the root of its state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Anchor {
    /// Last block before the state.
    pub block: Block,
    /// Signatures of those who decided it.
    pub certificate: Certificate,
    /// The header of the next height.
    pub next_header: Header,
    /// Signatures of those who decided that.
    pub next_certificate: Certificate,
}
