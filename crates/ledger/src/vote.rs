//! Votes of consensus as bytes to sign. Clause L of `docs/spec/transactions.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height, canonical};

/// Sets votes apart from everything else that a validator's key signs.
const VOTE_DOMAIN: &str = "openmesh/vote/1";

/// The two steps of a round in which validators vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum VoteKind {
    /// First vote of a round.
    Prevote,
    /// Second vote; these decide.
    Precommit,
}

/// The bytes under a vote: domain, chain, kind, height, round, block (`None`: a vote for no block), voter; canonical.
pub fn vote_sign_bytes(
    chain_id: u64,
    kind: VoteKind,
    height: Height,
    round: i64,
    block_hash: Option<&Digest>,
    validator: &Address,
) -> Vec<u8> {
    canonical::encode(&(VOTE_DOMAIN, chain_id, kind, height, round, block_hash, validator))
}

/// The bytes under a precommit for a block, which certificates carry and light clients check.
pub fn precommit_sign_bytes(
    chain_id: u64,
    height: Height,
    round: i64,
    block_hash: &Digest,
    validator: &Address,
) -> Vec<u8> {
    vote_sign_bytes(chain_id, VoteKind::Precommit, height, round, Some(block_hash), validator)
}
