//! Refusals of attestations.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest};
use serde::{Deserialize, Serialize};

/// A refusal of an attestation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WindowsError {
    /// The source was registered only in this epoch.
    #[error("the source takes attestations from epoch {from_epoch} on")]
    SourceNotActive {
        /// First epoch.
        from_epoch: u64,
    },
    /// A stream that the source does not have.
    #[error("the source has no stream {stream:?}")]
    UnknownStream {
        /// As named in the attestation.
        stream: String,
    },
    /// Claims not in order, doubled or too many.
    #[error("the claims are malformed: {reason}")]
    Claims {
        /// The fault.
        reason: String,
    },
    /// The first attestation of a window must carry the current epoch or the one before.
    #[error("epoch {got} is neither the current epoch {current} nor the one before")]
    WrongEpoch {
        /// Of the block.
        current: u64,
        /// In the attestation.
        got: u64,
    },
    /// The first attestation of this window pinned another epoch.
    #[error("epoch {got}: the window's first attestation pinned epoch {pinned}; sign again with that one")]
    PinnedEpoch {
        /// Of the window.
        pinned: u64,
        /// In the attestation.
        got: u64,
    },
    /// The validator is not among those assigned to the source in the epoch.
    #[error("the validator {validator} is not assigned to the source in epoch {epoch}")]
    NotAssigned {
        /// The validator.
        validator: Address,
        /// The window's epoch.
        epoch: u64,
    },
    /// The validator has attested this window already.
    #[error("the validator {validator} has attested this window already")]
    DuplicateAttestation {
        /// The validator.
        validator: Address,
    },
    /// The window takes no more attestations.
    #[error("the window was closed at height {height}")]
    WindowClosed {
        /// Height at which it closed.
        height: u64,
    },
    /// A window of a chain with a number that no block has.
    #[error("no block has such a number: at most {max}")]
    WindowNumber {
        /// As allowed.
        max: u64,
    },
    /// A window that has not ended yet.
    #[error("the window ends at {end_ms} ms, too far after {time_ms} ms, the block's time")]
    WindowAhead {
        /// End of the window, milliseconds since 1970.
        end_ms: u64,
        /// The block's time, milliseconds since 1970.
        time_ms: i64,
    },
    /// A window that lies too far in the past.
    #[error("the window lies too far in the past: window {first} is the first that may be opened")]
    WindowPast {
        /// First window that may be opened.
        first: u64,
    },
    /// The validator opened so many windows that nobody has closed.
    #[error("the validator has opened {max} windows that are not closed yet, or that nobody joined in this epoch")]
    OpenWindows {
        /// As allowed.
        max: u32,
    },
    /// The network takes no commitments.
    #[error("the network takes no commitments: attest without one")]
    CommitmentsOff,
    /// The validator has committed to this window already.
    #[error("the validator {validator} has committed to this window already")]
    DuplicateCommitment {
        /// The validator.
        validator: Address,
    },
    /// The window takes no more commitments.
    #[error("the window takes no more commitments: who comes later can only abstain from every stream")]
    CommitmentLate,
    /// Others may still commit.
    #[error("the window still takes commitments, and attestations only after them")]
    CommitmentsOpen,
    /// An attestation without a commitment.
    #[error("the validator {validator} has not committed to this window: it can only abstain from every stream")]
    NoCommitment {
        /// The validator.
        validator: Address,
    },
    /// An attestation that says something else than what its validator committed to.
    #[error("the validator {validator} committed to seal {committed}, the attestation has {got}")]
    CommitmentMismatch {
        /// The validator.
        validator: Address,
        /// On the ledger.
        committed: Digest,
        /// Of the attestation.
        got: Digest,
    },
}

impl WindowsError {
    /// Stable name of the error; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            WindowsError::SourceNotActive { .. } => "source_not_active",
            WindowsError::UnknownStream { .. } => "unknown_stream",
            WindowsError::Claims { .. } => "claims",
            WindowsError::WrongEpoch { .. } => "wrong_epoch",
            WindowsError::PinnedEpoch { .. } => "pinned_epoch",
            WindowsError::NotAssigned { .. } => "not_assigned",
            WindowsError::DuplicateAttestation { .. } => "duplicate_attestation",
            WindowsError::WindowClosed { .. } => "window_closed",
            WindowsError::WindowNumber { .. } => "window_number",
            WindowsError::WindowAhead { .. } => "window_ahead",
            WindowsError::WindowPast { .. } => "window_past",
            WindowsError::CommitmentsOff => "commitments_off",
            WindowsError::DuplicateCommitment { .. } => "duplicate_commitment",
            WindowsError::CommitmentLate => "commitment_late",
            WindowsError::CommitmentsOpen => "commitments_open",
            WindowsError::NoCommitment { .. } => "no_commitment",
            WindowsError::CommitmentMismatch { .. } => "commitment_mismatch",
            WindowsError::OpenWindows { .. } => "open_windows",
        }
    }
}
