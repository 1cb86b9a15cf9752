//! Limits of the store, and the errors of its operations.

use std::io;
use std::path::{Path, PathBuf};

use openmesh_primitives::ContentId;

/// Largest block, in bytes: what Bitswap peers accept.
pub const BLOCK_BYTES_MAX: u64 = 2 << 20;

/// Largest block that lies in the database, in bytes; larger ones are files. Beyond it a file costs no more than a row: its
/// folder's entry and its sync are little beside its bytes, while a row of that size is copied through the database's memory
/// and takes whole powers of two of pages.
pub const PACKED_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a store for which no limit is given.
pub const STORE_BYTES_MAX: u64 = 20 << 30;

/// Blocks removed by one step of collection: some milliseconds of a disk, so that a step can run between two writes.
pub const COLLECT_BLOCKS_MAX: usize = 256;

/// Blocks removed beside one write while the store is above its low-water mark: more than one, so that it falls.
pub(crate) const COLLECT_BESIDE_PUT_MAX: usize = 16;

/// Damaged blocks that are set aside to be looked at; further ones are removed. At [`BLOCK_BYTES_MAX`] they are 128 MiB.
pub(crate) const QUARANTINE_BLOCKS_MAX: usize = 64;

/// Old files of small blocks that are moved into the database beside one write: few enough for a write to stay one of some
/// milliseconds, and enough for a million of them to be moved within an hour or two.
pub(crate) const MOVE_BESIDE_PUT_MAX: usize = 32;

/// Smallest unit of a file or of the database, in bytes: a page.
const PAGE_BYTES: u64 = 4 << 10;

/// Bytes of the database for a row beside the block's own: key and offset beside the bytes, the CID's row, which lies in pages that
/// are two thirds full, and the pages above both. Reckoned, and without the room that is free within the database: with it a
/// million rows of 350 bytes were measured to take 500 bytes each, of which 487 are counted (docs/benchmarks.md).
const ROW_BYTES: u64 = 128;

/// Room on the disk that is asked for beside each new row, in bytes: pages are copied when they change, and a row changes its
/// own and those above it in two tables.
pub(crate) const ROW_PAGES_BYTES: u64 = 16 << 10;

/// Room on the disk that is asked for beside that of new rows, in bytes: a removal copies pages before it frees any.
pub(crate) const REMOVAL_ROOM_BYTES: u64 = 1 << 20;

/// Free bytes of the disk below which no old files are moved into the database: they need room twice while that lasts.
pub(crate) const MOVE_ROOM_BYTES_MIN: u64 = 64 << 20;

/// Part of [`ROW_BYTES`] that lies beside the block's bytes, in the same page.
const KEY_BYTES: u64 = 50;

/// Bytes of the name of a holder, which is a folder's.
pub(crate) const HOLDER_BYTES_MAX: usize = 64;

/// Sizes of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest block, in bytes.
    pub block_bytes_max: u64,
    /// All blocks together, in bytes of the disk ([`Limits::disk_bytes`]).
    pub store_bytes_max: u64,
    /// Largest block that lies in the database, in bytes; larger ones are files of their own. 0 where all are files: these give
    /// their room back to the disk when they are removed, while the database only uses it again.
    pub packed_bytes_max: u64,
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
        let packed_bytes_max = PACKED_BYTES_MAX;
        Limits { block_bytes_max, store_bytes_max, packed_bytes_max, reserve_percent: 50, low_water_percent: 90 }
    }
}

impl Limits {
    /// Bytes that a block of a size takes of the disk, about: what counts against [`Limits::store_bytes_max`].
    pub const fn disk_bytes(&self, block_bytes: u64) -> u64 {
        if self.is_packed(block_bytes) { row_cost(block_bytes) } else { file_cost(block_bytes) }
    }

    /// Returns true for a block that lies in the database.
    pub(crate) const fn is_packed(&self, block_bytes: u64) -> bool {
        self.packed_bytes_max > 0 && block_bytes <= self.packed_bytes_max
    }

    /// Bytes into which nothing but recent windows may grow.
    pub fn reserve_bytes(&self) -> u64 {
        part(self.store_bytes_max, self.reserve_percent)
    }

    /// Bytes above which unpinned blocks are collected.
    pub fn low_water_bytes(&self) -> u64 {
        part(self.store_bytes_max, self.low_water_percent)
    }
}

/// Bytes of the disk for a file: whole pages, and one at least, since its name and its inode are somewhere too.
pub(crate) const fn file_cost(bytes: u64) -> u64 {
    let pages = bytes.div_ceil(PAGE_BYTES);
    if pages == 0 { PAGE_BYTES } else { pages.saturating_mul(PAGE_BYTES) }
}

/// Bytes of the disk for a row: a page is shared by as many as fit into it, a larger row has a power of two of pages.
pub(crate) const fn row_cost(bytes: u64) -> u64 {
    let row = bytes.saturating_add(KEY_BYTES);
    let share = if row <= PAGE_BYTES {
        PAGE_BYTES / (PAGE_BYTES / row)
    } else if row <= 1 << 40 {
        row.next_power_of_two()
    } else {
        row
    };
    share.saturating_add(ROW_BYTES - KEY_BYTES)
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
        /// Bytes of the disk that it needs.
        bytes: u64,
        /// Bytes held.
        held: u64,
    },
    /// The bytes on disk are no longer those of their name.
    #[error("the bytes of {0} were damaged on this disk; they are set aside, fetch them again from another node")]
    Damaged(ContentId),
    /// Another process has the store open.
    #[error("the content store {0} is open in another process; stop that one first")]
    InUse(PathBuf),
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
