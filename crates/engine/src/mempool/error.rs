//! Reasons for which the mempool does not take a transaction.

use openmesh_ledger::{CheckError, StateError, TransactionError};
use openmesh_primitives::{Address, Amount, Height};

/// Refusal of a valid transaction for lack of room, or because it is not new.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It waits already, or was committed just now.
    #[error("the transaction is known already")]
    Known,
    /// It was committed.
    #[error("the transaction was committed already, in block {height}")]
    Committed {
        /// Height of its block.
        height: Height,
    },
    /// The validator's attestation of this source and window, or its ballot of this number, waits already.
    #[error(
        "another attestation of this validator for the same source and window, or ballot of the same number, waits already"
    )]
    KnownAttestation,
    /// One with the same nonce waits and offers too much to be replaced.
    #[error(
        "a transaction with this nonce waits already; to replace it, offer a highest fee of {max_fee} and a tip of {tip} for a unit of weight"
    )]
    Underpriced {
        /// Least highest fee of a replacement.
        max_fee: Amount,
        /// Least tip of a replacement, for a unit of weight.
        tip: Amount,
    },
    /// The sender has enough waiting.
    #[error("{sender} has {max} transactions waiting already")]
    SenderFull {
        /// Account or validator.
        sender: Address,
        /// As allowed.
        max: usize,
    },
    /// The sender's waiting transactions are long enough.
    #[error("the waiting transactions of {sender} have {max} bytes already")]
    SenderBytesFull {
        /// Account or validator.
        sender: Address,
        /// Bytes allowed.
        max: usize,
    },
    /// The sender cannot pay for everything that it has waiting.
    #[error("the waiting transactions of {sender} would need {needed} together, its balance is {balance}")]
    Overdrawn {
        /// The account.
        sender: Address,
        /// Its balance after the last block.
        balance: Amount,
        /// Amounts, highest fees and deposits of its waiting transactions with this one.
        needed: Amount,
    },
    /// There is no room, and the tip is not higher than the lowest that waits.
    #[error("the mempool is full; offer a tip of more than {lowest} for a unit of weight")]
    Full {
        /// Lowest tip that waits, for a unit of weight.
        lowest: Amount,
    },
    /// There is no room for another transaction whose nonce is not the sender's next.
    #[error("the mempool has no room for transactions ahead of their turn; send those before it first")]
    AheadFull,
    /// There is no room for another attestation.
    #[error("the mempool has no room for another attestation")]
    AttestationsFull,
}

/// Refusal of a submitted transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It is invalid, by itself or by the state after the last block.
    #[error(transparent)]
    Refused(#[from] TransactionError),
    /// It is valid, but the mempool has no room for it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Too many transactions of this class wait to be checked.
    #[error("too many transactions wait to be checked, try again in a moment")]
    Busy,
    /// This node's store is broken.
    #[error(transparent)]
    State(#[from] StateError),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl From<CheckError> for SubmitError {
    fn from(error: CheckError) -> SubmitError {
        match error {
            CheckError::Refused(error) => SubmitError::Refused(error),
            CheckError::State(error) => SubmitError::State(error),
        }
    }
}
