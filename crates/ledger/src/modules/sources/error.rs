//! Refusals of changes of the register of sources.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::spec::SourceError;

/// A refusal of a change of the register of sources.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SourcesError {
    /// The source's description is malformed.
    #[error("the source cannot be registered so: {0}", fault)]
    SourceInvalid {
        /// The field, and the reason.
        fault: SourceError,
    },
    /// The id is taken.
    #[error("a source {id:?} is registered already")]
    SourceExists {
        /// Of the source.
        id: String,
    },
    /// The register is full.
    #[error("the register of sources is full: {max} are allowed")]
    SourcesFull {
        /// As allowed.
        max: u32,
    },
    /// Another account owns the source, or the genesis.
    #[error(
        "the source {id:?} was registered by another account, or stands in the genesis: only its owner can change it"
    )]
    NotOwner {
        /// Of the source.
        id: String,
    },
    /// The source was retired.
    #[error("the source {id:?} is retired from epoch {from_epoch} on")]
    SourceRetired {
        /// Of the source.
        id: String,
        /// First epoch without new windows.
        from_epoch: u64,
    },
    /// No such source.
    #[error("there is no source {id:?}")]
    UnknownSource {
        /// As named in the transaction.
        id: String,
    },
}

impl SourcesError {
    /// Stable name of the error; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            SourcesError::SourceInvalid { .. } => "source_invalid",
            SourcesError::SourceExists { .. } => "source_exists",
            SourcesError::SourcesFull { .. } => "sources_full",
            SourcesError::NotOwner { .. } => "not_owner",
            SourcesError::SourceRetired { .. } => "source_retired",
            SourcesError::UnknownSource { .. } => "unknown_source",
        }
    }
}
