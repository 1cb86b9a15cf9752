//! The messages and values of consensus: plain data, without Malachite's algorithm.
//!
//! A value is the hash of a block: bodies travel as signed parts beside the votes (see `parts`).

use std::fmt;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use malachite_app::types::core::{self, NilOrVal, Round, VoteType};
use openmesh_ledger::{Share, Turns, proposer_index};
use openmesh_primitives::{Digest, ValidatorPublicKey, ValidatorSignature};

/// A height; the first decided one is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Height(pub u64);

/// A validator's address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Address(pub openmesh_primitives::Address);

/// A block's hash: both the value and its identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct BlockId(pub Digest);

/// A prevote or precommit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// The step of the round.
    pub kind: VoteType,
    /// Height voted on.
    pub height: Height,
    /// Round voted in.
    pub round: Round,
    /// The block, or nil.
    pub value: NilOrVal<BlockId>,
    /// The voter.
    pub validator: Address,
}

/// A proposal: names the block whose parts the proposer streams.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// Height proposed for.
    pub height: Height,
    /// Round proposed in.
    pub round: Round,
    /// The block.
    pub value: BlockId,
    /// The round in which the block had a polka before, or nil.
    pub pol_round: Round,
    /// The proposer.
    pub proposer: Address,
}

/// One piece of a streamed block; see `parts`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Part {
    /// Announcement of the pieces, signed.
    Init(Init),
    /// A piece of the block's bytes.
    Data(Vec<u8>),
}

/// A validator as the algorithm sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Its address.
    pub address: Address,
    /// Its key.
    pub public_key: ValidatorPublicKey,
    /// Its voting power.
    pub power: u64,
    /// Its phase in the schedule of proposers, 1 to 2^32 (clause P of `docs/spec/transactions.md`).
    pub phase: u64,
    /// It has no turns as a proposer at this height.
    pub passed_over: bool,
}

/// The validators of a height, ascending by address; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet(pub(crate) Arc<Vec<Validator>>);

impl ValidatorSet {
    /// The validators of a height, with their turns at it.
    pub(crate) fn of(set: &openmesh_ledger::ValidatorSet, turns: &Turns) -> ValidatorSet {
        let validator = |(v, share): (&openmesh_ledger::Validator, Share)| Validator {
            address: Address(v.address),
            public_key: v.public_key,
            power: v.power,
            phase: share.phase,
            passed_over: share.passed_over,
        };
        ValidatorSet(Arc::new(set.iter().zip(turns.shares(set)).map(validator).collect()))
    }

    /// The proposer of a height and round.
    pub fn proposer(&self, height: Height, round: Round) -> &Validator {
        let share = |v: &Validator| Share { power: v.power, phase: v.phase, passed_over: v.passed_over };
        let shares: Vec<Share> = self.0.iter().map(share).collect();
        &self.0[proposer_index(&shares, height.0, round.as_u32().unwrap_or(0))]
    }
}

/// The first part of a stream.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Init {
    /// Height that the block is for.
    pub height: Height,
    /// Round in which it is proposed.
    pub round: Round,
    /// The round in which it had a polka before, or nil.
    pub pol_round: Round,
    /// The proposer of that height and round, who streams it.
    pub streamer: Address,
    /// Length of the block's canonical bytes.
    pub bytes: u32,
    /// SHA-256 of the block's canonical bytes.
    pub digest: Digest,
    /// Of the streamer, over all of the above.
    pub signature: ValidatorSignature,
}

impl core::Height for Height {
    const ZERO: Height = Height(0);
    const INITIAL: Height = Height(1);

    fn increment_by(&self, n: u64) -> Height {
        Height(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Height> {
        self.0.checked_sub(n).map(Height)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Address for Address {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl core::Value for BlockId {
    type Id = BlockId;

    fn id(&self) -> BlockId {
        *self
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
