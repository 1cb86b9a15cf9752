//! Questions and answers, in canonical bytes. `docs/spec/sync.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_ledger::{Block, Certificate, Header};
use openmesh_primitives::{Digest, Height};

use crate::error::Lie;

/// Largest height that anybody may name: what a JSON number holds exactly, and nine million years of seconds.
pub(crate) const HEIGHT_MAX: Height = 1 << 53;
/// Snapshots in one offer: a node offers two, and has room for more without another version.
pub(crate) const SNAPSHOTS_MAX: usize = 4;
/// Longest offer, bytes: three heights and [`SNAPSHOTS_MAX`] snapshots of 41 bytes, several times over.
const OFFER_BYTES_MAX: usize = 1 << 10;
/// Longest list of changes, bytes: 2 MiB are filled, and one change may go beyond them.
const CHANGES_BYTES_MAX: usize = 4 << 20;
/// Longest list of heights, bytes: 3,000 of eight.
const HEIGHTS_BYTES_MAX: usize = 32 << 10;
/// Longest step or set of validators, bytes: a thousand validators have 150 kB.
const STEP_BYTES_MAX: usize = 1 << 20;
/// Longest anchor, bytes: it holds a block, of which the host carries no longer one.
const ANCHOR_BYTES_MAX: usize = 16 << 20;
/// Longest chunk, bytes: rows of 4 MiB and their proof.
const CHUNK_BYTES_MAX: usize = 5 << 20;

/// An answer about a clock, bytes.
const CLOCK_BYTES: usize = 8;

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
    /// The peer's clock: milliseconds since 1970, an `i64`.
    Clock,
}

impl Question {
    /// Longest answer that an honest peer gives, bytes.
    pub(crate) const fn answer_bytes_max(&self) -> usize {
        match self {
            Question::Offer => OFFER_BYTES_MAX,
            Question::Changes { .. } => CHANGES_BYTES_MAX,
            Question::ChangeHeights { .. } => HEIGHTS_BYTES_MAX,
            Question::Step { .. } | Question::Validators { .. } => STEP_BYTES_MAX,
            Question::Anchor { .. } => ANCHOR_BYTES_MAX,
            Question::Chunk { .. } => CHUNK_BYTES_MAX,
            Question::Clock => CLOCK_BYTES,
        }
    }

    /// The height that it names.
    pub(crate) const fn height(&self) -> Height {
        match *self {
            Question::Offer | Question::Clock => 0,
            Question::Changes { after } | Question::ChangeHeights { after } => after,
            Question::Step { height }
            | Question::Validators { height }
            | Question::Anchor { height }
            | Question::Chunk { height, .. } => height,
        }
    }
}

impl Offer {
    /// Checks the form of an offer: few snapshots, and heights with which can be reckoned.
    pub(crate) fn check(&self) -> Result<(), Lie> {
        if self.snapshots.len() > SNAPSHOTS_MAX {
            return Err(Lie::Parts("it offers more snapshots than any node has"));
        }
        let heights = self.snapshots.iter().map(|snapshot| snapshot.height);
        match heights.chain([self.tip, self.oldest_block, self.walk_from]).any(|height| height > HEIGHT_MAX) {
            true => Err(Lie::Parts("it offers a height that no chain has")),
            false => Ok(()),
        }
    }
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
