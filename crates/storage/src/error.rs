//! Errors of the store.

use std::path::PathBuf;

use openmesh_ledger::{GenesisError, StateError};
use openmesh_primitives::{Digest, Height};

/// Errors of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made.
    #[error("cannot make the directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the store open.
    #[error("the store {0} is open in another process; stop that one first")]
    InUse(PathBuf),
    /// The database failed: a broken disk or file.
    #[error("the database failed")]
    Database(#[source] Box<redb::Error>),
    /// Something in the database is not what it must be.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Written by a newer version of this program.
    #[error(
        "the store has format {got}, this program knows formats up to {newest}: a newer release wrote it, start that one"
    )]
    FormatNewer {
        /// Of this program.
        newest: u32,
        /// In the file.
        got: u32,
    },
    /// Written by a version of this program from before the first format that is read.
    #[error(
        "the store has format {got}, this program reads formats from {oldest} on: start an older release first, which takes the store to \
         {oldest}, or move the folder away, and the node joins anew"
    )]
    FormatOlder {
        /// Oldest that this program reads.
        oldest: u32,
        /// In the file.
        got: u32,
    },
    /// No genesis yet.
    #[error("the store is empty: initialise it with a genesis first")]
    NotInitialised,
    /// The store is of another network.
    #[error("the store belongs to the genesis {stored}, not to {given}; use another directory")]
    OtherGenesis {
        /// Hash of the one in the store.
        stored: Digest,
        /// Hash of the one given.
        given: Digest,
    },
    /// The genesis is refused.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The block is not the next one, or what was prepared is not for it.
    #[error("the block does not follow the tip: {0}")]
    NotNext(String),
    /// A height that does not exist yet.
    #[error("height {height} is beyond the tip {tip}")]
    Beyond {
        /// Asked for.
        height: Height,
        /// Last one.
        tip: Height,
    },
    /// A part of a snapshot that cannot be had at this depth.
    #[error("there is no chunk {index} at depth {depth}, or it is too large there: take a greater depth")]
    NoChunk {
        /// Asked for.
        index: u32,
        /// Digits of its number.
        depth: u8,
    },
    /// A height whose tree was removed.
    #[error("proofs for height {height} are not kept any more, the oldest are for {oldest}")]
    Pruned {
        /// Asked for.
        height: Height,
        /// Oldest that may be kept.
        oldest: Height,
    },
}

impl StoreError {
    pub(crate) fn damaged(what: &str, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged(format!("{what}: {reason}"))
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> StoreError {
                StoreError::Database(Box::new(error.into()))
            }
        }
    )*};
}

from_redb!(
    redb::Error,
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError,
    redb::CompactionError
);

impl From<StoreError> for StateError {
    fn from(error: StoreError) -> StateError {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        StateError::Read(text)
    }
}
