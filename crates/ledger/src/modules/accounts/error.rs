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
    /// Highest fee below the base fee of the action.
    #[error("the highest fee is {} OPEN, the base fee of the next block is {} OPEN", got.to_open(), min.to_open())]
    FeeLow {
        /// Base fee for the action's weight.
        min: Amount,
        /// In the transaction.
        got: Amount,
    },
    /// A tip that is more than the highest fee.
    #[error("the tip is {} OPEN, more than the highest fee of {} OPEN", tip.to_open(), max_fee.to_open())]
    TipHigh {
        /// In the transaction.
        tip: Amount,
        /// In the transaction.
        max_fee: Amount,
    },
    /// The highest fee alone exceeds the balance.
    #[error("the account {account} has {} OPEN, the highest fee alone is {} OPEN", balance.to_open(), max_fee.to_open())]
    FeeUnaffordable {
        /// The sender.
        account: Address,
        /// Its balance.
        balance: Amount,
        /// In the transaction.
        max_fee: Amount,
    },
    /// Amount, highest fee and deposit do not fit in 128 bits together.
    #[error("the amount of {spends} units and the highest fee of {max_fee} units do not fit in 128 bits together")]
    FeeOverflow {
        /// In the transaction.
        max_fee: Amount,
        /// Amount that the action spends.
        spends: Amount,
    },
    /// The recovered sender has no account: a signature over other fields gives a random address.
    #[error("there is no account {account}: either the signature belongs to other fields, or it never received OPEN")]
    UnknownSender {
        /// The recovered address.
        account: Address,
    },
    /// Amount, highest fee and deposit exceed the balance.
    #[error("the account {account} has {} OPEN, the transaction needs {} OPEN", balance.to_open(), needed.to_open())]
    Overdraft {
        /// The sender.
        account: Address,
        /// Its balance.
        balance: Amount,
        /// Amount, highest fee and deposit.
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
            AccountsError::TipHigh { .. } => "tip_high",
            AccountsError::FeeUnaffordable { .. } => "fee_unaffordable",
            AccountsError::FeeOverflow { .. } => "fee_overflow",
            AccountsError::UnknownSender { .. } => "unknown_sender",
            AccountsError::Overdraft { .. } => "overdraft",
        }
    }
}
