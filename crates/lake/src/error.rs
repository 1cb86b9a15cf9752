//! Errors of the lake, by what the caller can do about them.

use crate::table::Table;

/// Error of a lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A value that no column type holds exactly. Nothing was written; the caller records an incident.
    #[error("{table}.{column} cannot hold {value} exactly: {limit}")]
    OutOfRange {
        /// Table.
        table: Table,
        /// Column.
        column: &'static str,
        /// The value, cut to a readable length.
        value: String,
        /// Range of the column, for people.
        limit: &'static str,
    },
    /// Rows that do not fit their table: a mistake in this program.
    #[error("rows of table {table} were built against its schema: {reason}")]
    Rows {
        /// Table.
        table: Table,
        /// Reason, for people.
        reason: String,
    },
    /// Bytes that are not the chunk they were said to be.
    #[error("not an acceptable chunk: {reason}")]
    Chunk {
        /// Reason, for people.
        reason: String,
    },
    /// A Parquet file that is not one window of ours, or whose rows and footer contradict each other.
    #[error("not a window file of Openmesh: {reason}")]
    WindowFile {
        /// Reason, for people.
        reason: String,
    },
    /// A window file of another program, or of a version of this one that wrote other bytes: its rows are in order, but the
    /// rest of it (statistics, indexes, page headers), which readers rely on, can not be compared with what this program writes.
    #[error(
        "the file was written by {created_by:?}, and only bytes as {known:?} writes them can be checked to the last one"
    )]
    OtherWriter {
        /// Writer that the file names.
        created_by: String,
        /// Writer whose bytes are known.
        known: &'static str,
    },
    /// A block handed in out of order: the lake keeps a gapless sequence of ledger blocks.
    #[error("ledger block {height} cannot follow block {last}: hand in block {} next", last + 1)]
    LedgerGap {
        /// Height handed in.
        height: u64,
        /// Last height held.
        last: u64,
    },
    /// Another process (or another `Lake` in this one) has the folder open.
    #[error("the lake in {dir} is in use by another process: stop it, or give this one a folder of its own")]
    InUse {
        /// Folder.
        dir: String,
    },
    /// The manifest or a file that it names is missing or broken. Needs a person.
    #[error("the lake is damaged at {at}: {reason}; move the folder away and let it be filled again from the chunks")]
    Corrupt {
        /// Object.
        at: String,
        /// Reason, for people.
        reason: String,
    },
    /// The folder was written by another version.
    #[error(
        "the lake's manifest has format {found}, this program reads format {known}: use the openmesh that wrote it, or move the \
         folder away and let it be filled again from the chunks"
    )]
    Format {
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// Reading or writing failed (disk full, rights). What was acknowledged before stays.
    #[error("the lake could not {doing} {at}")]
    Storage {
        /// `read`, `write`, `delete`, ...
        doing: &'static str,
        /// Object or folder.
        at: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Parquet or Avro could not be made or read.
    #[error("the lake could not encode or decode {what}")]
    Encoding {
        /// Thing that was encoded or decoded.
        what: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LakeError {
    pub(crate) fn storage(
        doing: &'static str,
        at: impl ToString,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> LakeError {
        LakeError::Storage { doing, at: at.to_string(), source: source.into() }
    }

    pub(crate) fn encoding(
        what: impl ToString,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> LakeError {
        LakeError::Encoding { what: what.to_string(), source: source.into() }
    }

    pub(crate) fn corrupt(at: impl ToString, reason: impl ToString) -> LakeError {
        LakeError::Corrupt { at: at.to_string(), reason: reason.to_string() }
    }

    pub(crate) fn window(reason: impl ToString) -> LakeError {
        LakeError::WindowFile { reason: reason.to_string() }
    }

    pub(crate) fn chunk(reason: impl ToString) -> LakeError {
        LakeError::Chunk { reason: reason.to_string() }
    }
}
