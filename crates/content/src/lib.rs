//! Blocks of bytes by content id, on disk.
//!
//! # What it owns
//! A folder with a database of small blocks and a file for each large one. Whoever asks for a CID gets bytes that hash to it, or an error: what a disk has made of
//! a file since it was written is never passed on.
//!
//! # Retention
//! A block is kept for a [`Reason`], and may besides be held by name ([`BlockStore::hold`]). Chunks of windows are pinned
//! for as long as the ledger's rule wants them kept ([`BlockStore::retain_since`]), what is held until it is released.
//! Everything else is collected, oldest first, while the store is above its low-water mark: some blocks beside each
//! write, or by [`BlockStore::collect`]. A full store never refuses a recent window (see [`Limits`] and `rule`):
//! agreement would stop on all nodes at once, since all hold the same bytes.
//!
//! # Why a database, and why files
//! Chunks are small and many: 180 a second of 350 bytes with four validators. As files of their own they cost two syncs, three
//! changes of folders, an inode and 4 KiB each, which is half of a machine for the kernel and ends at the inodes of the disk. So blocks of at
//! most [`PACKED_BYTES_MAX`] are rows of a database (redb): those of a window are one transaction with one sync, and lie side
//! by side in the order in which they yield, so that the pages of the oldest become free as a whole. Nothing of a row is in
//! memory but sums, and 16 MiB of the database's pages, however many there are.
//!
//! Larger blocks, such as raw segments, stay files. They are written once and read whole, their size makes up for what a file costs, and they
//! give their room back to the disk when they go, while a database only uses its room again: this is what a store of raw
//! frames is for when the disk is full, so there even small ones can be files ([`Limits::packed_bytes_max`]). Files lie in folders by
//! the last two characters of the CID (the first are alike in all of them), as Kubo's flatfs has them. The reason is the
//! name's suffix, the time of keeping the file's modification time, and a hold an empty file under `holds/NAME/`: so
//! each is durable in the same moment as what it speaks of.
//!
//! The rule of retention holds over both: `rule` sees two stocks, merged in the order of yielding.
//!
//! # Old files
//! Small blocks that an earlier version kept as files are found as what they are, and moved into the database beside later
//! writes, some with each, in the same transaction. A store in which nothing is written any more stays as it is.
//!
//! # On failure
//! A file is written beside its place, synced, and renamed into it; rows are in a transaction: after a crash a block is whole or absent.
//! A removal is not synced for itself: one that a crash takes back is harmless. What a crash left beside is removed on opening. A block
//! whose bytes no longer match its name is moved to `quarantine/`, so that it can be fetched again and somebody can look at what
//! happened. A full disk is an error of its own, and nothing is lost: loose blocks are removed and the write is tried once more before it
//! is said. The database refuses everything after a failed operation, so it is opened again in place. Where its file is damaged
//! that is set aside in `quarantine/` and said in the log, and the store goes on with an empty one: peers give what is missing.
//!
//! # Known limits
//! Files are in memory: about 150 bytes each, 3 MB for a full store of 20 GiB in segments of 1 MiB. After a crash the database is read from end to end
//! when it is opened (docs/benchmarks.md has the time). Its file does not become smaller while the store is open.

mod database;
mod disk;
mod fault;
mod files;
mod keep;
mod limits;
mod metrics;
mod pages;
mod retain;
mod rule;
mod store;
mod tables;
#[cfg(test)]
mod tests;

pub use limits::{BLOCK_BYTES_MAX, COLLECT_BLOCKS_MAX, ContentError, Limits, PACKED_BYTES_MAX, STORE_BYTES_MAX};
pub use retain::Collected;
pub use store::{BlockStore, Usage};

/// The purpose of a block, in the order in which they yield: the first one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Fetched from a peer to answer a question.
    Cached,
    /// A raw segment of this site.
    Segment,
    /// A chunk of a window, agreed or vouched for.
    Window,
}
