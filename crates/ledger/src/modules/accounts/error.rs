//! Refusals of an account's transaction by its sender, nonce, fee or balance.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount};
use serde::{Deserialize, Serialize};

/// A refusal because of the sender's account.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum AccountsError {
    /// The nonce was used already.
    #[error("nonce {got} was used already, the account's next nonce is {expected}")]
    NonceLow {
        /// Next one.
        expected: u64,
        /// In the transaction.
        got: u64,
    },
    /// Transactions in between are missing.
    #[error("nonce {got} is too high, the account's next nonce is {expected}")]
    NonceGap {
        /// Next one.
        expected: u64,
        /// In the transaction.
        got: u64,
    },
    /// Fee below the minimum of the action.
    #[error("the fee is {} OPEN, at least {} OPEN is required", got.to_open(), min.to_open())]
    FeeLow {
        /// Least.
        min: Amount,
        /// In the transaction.
        got: Amount,
    },
    /// The recovered sender has no account: a signature over other fields gives a random address.
    #[error("there is no account {account}: either the signature belongs to other fields, or it never received OPEN")]
    UnknownSender {
        /// The recovered address.
        account: Address,
    },
    /// Amount and fee exceed the balance.
    #[error("the account {account} has {} OPEN, the transaction needs {} OPEN", balance.to_open(), needed.to_open())]
    Overdraft {
        /// The sender.
        account: Address,
        /// Its balance.
        balance: Amount,
        /// Amount and fee.
        needed: Amount,
    },
}

impl AccountsError {
    /// Stable name of the error; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            AccountsError::NonceLow { .. } => "nonce_low",
            AccountsError::NonceGap { .. } => "nonce_gap",
            AccountsError::FeeLow { .. } => "fee_low",
            AccountsError::UnknownSender { .. } => "unknown_sender",
            AccountsError::Overdraft { .. } => "overdraft",
        }
    }
}
