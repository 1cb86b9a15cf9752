//! Refusals of changes of the register of sources.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::spec::SourceError;

/// A refusal of a change of the register of sources.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum SourcesError {
    /// The source's description is malformed.
    #[error("the source cannot be registered: {0}", fault)]
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
            SourcesError::UnknownSource { .. } => "unknown_source",
        }
    }
}
