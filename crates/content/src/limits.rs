//! Limits of the store, and the errors of its operations.

use std::io;
use std::path::{Path, PathBuf};

use openmesh_primitives::ContentId;

/// Largest block, in bytes: what Bitswap peers accept.
pub const BLOCK_BYTES_MAX: u64 = 2 << 20;

/// Bytes of a store for which no limit is given.
pub const STORE_BYTES_MAX: u64 = 20 << 30;

/// Blocks removed by one step of collection: some milliseconds of a disk, so that a step can run between two writes.
pub const COLLECT_BLOCKS_MAX: usize = 256;

/// Blocks removed beside one write while the store is above its low-water mark: more than one, so that it falls.
pub(crate) const COLLECT_BESIDE_PUT_MAX: usize = 16;

/// Damaged blocks that are set aside to be looked at; further ones are removed. At [`BLOCK_BYTES_MAX`] they are 128 MiB.
pub(crate) const QUARANTINE_BLOCKS_MAX: usize = 64;

/// Bytes of the name of a holder, which is a folder's.
pub(crate) const HOLDER_BYTES_MAX: usize = 64;

/// Sizes of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest block, in bytes.
    pub block_bytes_max: u64,
    /// All blocks together, in bytes.
    pub store_bytes_max: u64,
    /// Part of the store, in hundredths, into which nothing but recent windows may grow.
    pub reserve_percent: u8,
    /// Part of the store, in hundredths, above which unpinned blocks are collected.
    pub low_water_percent: u8,
}

impl Default for Limits {
    /// Half for recent windows, because the other half holds as much of everything else as anybody has asked for; and a
    /// tenth kept free, because collection is in steps and a burst of windows must not wait for it.
    fn default() -> Limits {
        let (block_bytes_max, store_bytes_max) = (BLOCK_BYTES_MAX, STORE_BYTES_MAX);
        Limits { block_bytes_max, store_bytes_max, reserve_percent: 50, low_water_percent: 90 }
    }
}

impl Limits {
    /// Bytes into which nothing but recent windows may grow.
    pub fn reserve_bytes(&self) -> u64 {
        part(self.store_bytes_max, self.reserve_percent)
    }

    /// Bytes above which unpinned blocks are collected.
    pub fn low_water_bytes(&self) -> u64 {
        part(self.store_bytes_max, self.low_water_percent)
    }
}

fn part(bytes: u64, percent: u8) -> u64 {
    let part = u128::from(bytes) * u128::from(percent.min(100)) / 100;
    u64::try_from(part).unwrap_or(bytes)
}

/// Errors of keeping and giving content.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The block is larger than any may be.
    #[error("a block of {bytes} bytes is larger than the {max} that one may have")]
    BlockTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The configured limit, or the disk, is reached and nothing may be removed.
    #[error(
        "no room for {bytes} more bytes of content ({held} are held): make room, or raise limits.content_bytes_max"
    )]
    Full {
        /// Size of the block.
        bytes: u64,
        /// Bytes held.
        held: u64,
    },
    /// The bytes on disk are no longer those of their name.
    #[error("the bytes of {0} were damaged on this disk; they are set aside, fetch them again from another node")]
    Damaged(ContentId),
    /// A holder's name is no name of a folder.
    #[error("{0:?} is no name of a holder: use 1 to 64 of a-z, 0-9, - and _")]
    Holder(String),
    /// The file system refused.
    #[error("{path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ContentError {
    pub(crate) fn io(path: &Path, source: io::Error) -> ContentError {
        ContentError::Io { path: path.to_path_buf(), source }
    }
}
