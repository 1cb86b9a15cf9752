//! Refusals of transactions, put together from the modules.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::modules::accounts::AccountsError;
use crate::modules::evidence::EvidenceError;
use crate::modules::sources::SourcesError;
use crate::modules::stamps::StampsError;
use crate::modules::upgrades::UpgradesError;
use crate::modules::windows::WindowsError;
use crate::state::StateError;

/// A refusal of a transaction by its form, whatever it does.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum EnvelopeError {
    /// Not the canonical bytes of a transaction.
    #[error("the transaction cannot be decoded: {reason}")]
    Encoding {
        /// The reason as the decoder gives it.
        reason: String,
    },
    /// Too many bytes.
    #[error("the transaction is {bytes} bytes, {bytes_max} are allowed")]
    Size {
        /// As it is.
        bytes: u64,
        /// As allowed.
        bytes_max: u64,
    },
    /// For another network.
    #[error("the transaction is for chain {got}, this is chain {expected}")]
    Chain {
        /// This network.
        expected: u64,
        /// In the transaction.
        got: u64,
    },
    /// The signature is malformed or not of this key and these fields.
    #[error("the signature does not verify; v must be 27 or 28 and s the low one (EIP-2)")]
    Signature,
}

impl EnvelopeError {
    /// Stable name of the error; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            EnvelopeError::Encoding { .. } => "encoding",
            EnvelopeError::Size { .. } => "size",
            EnvelopeError::Chain { .. } => "chain",
            EnvelopeError::Signature => "signature",
        }
    }
}

/// Declares [`TransactionError`] from one line for each module: the variant, and the module's own enum of refusals.
macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident($part:ident),)*) => {
        /// A refusal of a transaction: the sender's fault.
        #[derive(
            Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error,
        )]
        #[serde(untagged)]
        pub enum TransactionError {
            $($(#[$doc])* #[error(transparent)] $variant(#[from] $part),)*
        }

        $(impl From<$part> for CheckError {
            fn from(error: $part) -> CheckError {
                CheckError::Refused(TransactionError::$variant(error))
            }
        })*

        impl TransactionError {
            /// Stable name of the error, one for each variant of each module; the same as `code` in JSON.
            pub const fn code(&self) -> &'static str {
                match self {
                    $(TransactionError::$variant(error) => error.code(),)*
                }
            }
        }
    };
}

errors! {
    /// Of its form.
    Envelope(EnvelopeError),
    /// Of the sender's account.
    Accounts(AccountsError),
    /// Of the register of sources.
    Sources(SourcesError),
    /// Of attestations.
    Windows(WindowsError),
    /// Of evidence.
    Evidence(EvidenceError),
    /// Of stamps.
    Stamps(StampsError),
    /// Of upgrades.
    Upgrades(UpgradesError),
}

/// A failure of a check against the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The sender's fault.
    #[error(transparent)]
    Refused(#[from] TransactionError),
    /// This node's fault.
    #[error(transparent)]
    State(#[from] StateError),
}
