//! Facts of evidence.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height};

/// A recorded equivocation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EvidenceFact {
    /// The validator.
    pub validator: Address,
    /// Height of the two messages.
    pub height: Height,
    /// Hash of the transaction that showed them.
    pub transaction: Digest,
}
