//! Archives in the tar format: a reader for bytes of strangers and a writer whose output is the same for the same input.
//!
//! A library would not do: the reader must refuse by name what the unpacker must not see (sparse files, headers of gigabytes, names with NUL), must
//! read every header as Go's `archive/tar` does, which made nearly all layers, and must not hold more than [`crate::limits`] says. Sources: POSIX
//! `pax` interchange format, GNU tar's manual ("Basic Tar Format"), Go's `archive/tar`.
//!
//! Read: v7, ustar, pax and GNU long names. Global pax headers are passed over, as Go does. Hard links, links and folders have no content, whatever
//! size they are said to have.

mod header;
mod pax;
mod read;
mod write;

pub use header::{BLOCK_BYTES, Kind};
pub use read::{Archive, Entry};
pub use write::Writer;

use crate::limits::{EXTENDED_BYTES_MAX, EXTENDED_IN_A_ROW_MAX, PATH_BYTES_MAX};

/// An archive that is refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Its bytes cannot be had.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It ends within an entry.
    #[error("the archive ends in the middle of an entry")]
    Short,
    /// A header whose sum is wrong: no archive, or not one any more.
    #[error("header {0} has a wrong checksum: this is no tar archive, or it is damaged")]
    Checksum(u64),
    /// A number that cannot be read.
    #[error("header {header}: {field} is no number")]
    Number {
        /// Number of the header, from 0.
        header: u64,
        /// Its field.
        field: &'static str,
    },
    /// A kind that has no place in a layer.
    #[error("header {header} has type {kind:?}, which layers do not have")]
    Kind {
        /// Number of the header.
        header: u64,
        /// Its type.
        kind: char,
    },
    /// A sparse file.
    #[error("header {0} is of a sparse file, which could be larger than any disk; build the image without them")]
    Sparse(u64),
    /// A name or a target that is too long.
    #[error("header {header} has a name of {bytes} bytes, but {PATH_BYTES_MAX} are the most")]
    Name {
        /// Number of the header.
        header: u64,
        /// Length of the name.
        bytes: u64,
    },
    /// A name or a target with NUL in it.
    #[error("header {0} has a name with NUL in it")]
    Nul(u64),
    /// A name that is empty.
    #[error("header {0} has no name")]
    Unnamed(u64),
    /// An extended header that is too long.
    #[error("extended header {header} has {bytes} bytes, but {EXTENDED_BYTES_MAX} are the most")]
    Extended {
        /// Number of the header.
        header: u64,
        /// Bytes that it is said to have.
        bytes: u64,
    },
    /// Extended headers without an entry.
    #[error("{EXTENDED_IN_A_ROW_MAX} extended headers in a row before header {0}")]
    ExtendedRow(u64),
    /// A record of an extended header that cannot be read.
    #[error("extended header {0} has a record that is not of the form `LENGTH KEY=VALUE`")]
    Record(u64),
}
