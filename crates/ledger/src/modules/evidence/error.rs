//! Refusals of evidence.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Address;
use serde::{Deserialize, Serialize};

/// A refusal of evidence.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum EvidenceError {
    /// The two messages name the same block, or are not in order.
    #[error("the two messages do not conflict, or do not stand in ascending order of block")]
    NoConflict,
    /// The messages are about a block that is not decided, or too old.
    #[error("evidence about height {height}: heights {from} to {to} are taken now")]
    EvidenceHeight {
        /// Of the messages.
        height: u64,
        /// Oldest that is taken.
        from: u64,
        /// Newest that is taken.
        to: u64,
    },
    /// The key was never a validator's.
    #[error("{validator} is no validator of this network")]
    UnknownValidator {
        /// The validator that the evidence names.
        validator: Address,
    },
    /// Evidence about the same validator and height was recorded before.
    #[error("that {validator} equivocated at height {height} is recorded already")]
    DuplicateEvidence {
        /// The validator that the evidence names.
        validator: Address,
        /// Of the messages.
        height: u64,
    },
}

impl EvidenceError {
    /// Stable name of the error; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            EvidenceError::NoConflict => "no_conflict",
            EvidenceError::EvidenceHeight { .. } => "evidence_height",
            EvidenceError::UnknownValidator { .. } => "unknown_validator",
            EvidenceError::DuplicateEvidence { .. } => "duplicate_evidence",
        }
    }
}
