//! Blocks of bytes by content id, on disk.
//!
//! # What it owns
//! A folder of files named by CID. Whoever asks for a CID gets bytes that hash to it, or an error: what a disk has made of
//! a file since it was written is never passed on.
//!
//! # Retention
//! A block is kept for a [`Reason`], and may besides be held by name ([`BlockStore::hold`]). Chunks of windows are pinned
//! for as long as the ledger's rule wants them kept ([`BlockStore::retain_since`]), what is held until it is released.
//! Everything else is collected, oldest first, while the store is above its low-water mark: some blocks beside each
//! write, or by [`BlockStore::collect`]. A full store never refuses a recent window (see [`Limits`] and `index`):
//! agreement would stop on all nodes at once, since all hold the same bytes.
//!
//! # Why files
//! A block is written once, read whole, and has a name that says what must be in it. The file system does all of that;
//! a database would add a second place for the same bytes and a compaction of its own. Files lie in folders by the last
//! two characters of the CID (the first are alike in all of them), as Kubo's flatfs has them. The reason is the name's
//! suffix, the time of keeping the file's modification time, and a hold an empty file under `holds/NAME/`: so each is
//! durable in the same moment as what it speaks of, and a start reads all of it from the names.
//!
//! # On failure
//! A block is written beside its place, synced, and renamed into it: after a crash it is whole or absent. What a crash left
//! beside is removed on opening. A block whose bytes no longer match its name is moved to `quarantine/`, so that it can
//! be fetched again and somebody can look at what happened. A full disk is an error of its own, and nothing is lost: loose
//! blocks are removed and the write is tried once more before it is said.
//!
//! # Known limit
//! The stock is in memory: about 150 bytes a block, 75 MB for half a million.

mod disk;
mod index;
mod limits;
mod metrics;
mod store;
#[cfg(test)]
mod tests;

pub use limits::{BLOCK_BYTES_MAX, COLLECT_BLOCKS_MAX, ContentError, Limits, STORE_BYTES_MAX};
pub use store::{BlockStore, Collected, Usage};

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
