//! Places for objects (B-10).

use std::fmt;

use openmesh_primitives::Timestamp;

use crate::error::StoreError;
use crate::name::{Id, Kind, Name};

/// An object in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: Id,
    /// Its bytes.
    pub bytes: u64,
    /// The moment it was stored, by the store's clock.
    pub stored: Timestamp,
}

/// Room that a store grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it, bytes.
    pub all_bytes: u64,
    /// Room that is taken, bytes.
    pub used_bytes: u64,
    /// Moment after which the store takes nothing new; none where it has no end.
    pub until: Option<Timestamp>,
}

/// A place that keeps objects under their names. It needs no keys and is not trusted: it may lose, hide or change what it has, and all of that is noticed.
///
/// After `put_new` or `delete` has returned, every list and read tells of it, whoever asks: a sweep relies on that (B-28).
pub trait Store: Send + Sync + fmt::Debug {
    /// Keeps an object if none of its name is there; false where one is. It is durable and whole when this returns, and never visible in part.
    ///
    /// # Errors
    /// The store failed; the object may be there or not.
    fn put_new(&self, name: Name, bytes: &[u8]) -> Result<bool, StoreError>;

    /// Reads at most so many bytes from a place on; fewer where the object ends.
    ///
    /// # Errors
    /// No object has this name; the store failed.
    fn read(&self, name: Name, from: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError>;

    /// The same into a buffer: its content is replaced, and its room is used again.
    ///
    /// # Errors
    /// No object has this name; the store failed. What is in the buffer then is nothing.
    fn read_into(&self, name: Name, from: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        *buffer = self.read(name, from, bytes_max)?;
        Ok(())
    }

    /// Tells that an object is about to be read whole. It is advice: a store may do nothing, and a read is right without it.
    fn expect(&self, _name: Name) {}

    /// Objects that are best put at the same time: more than one where each waits for a disk, one where they share a line.
    fn puts_max(&self) -> usize {
        1
    }

    /// All objects of a kind, in any order. What has no name of an object is passed over.
    ///
    /// # Errors
    /// The store failed.
    fn list(&self, kind: Kind) -> Result<Vec<Listed>, StoreError>;

    /// Removes an object; false where none of its name is there.
    ///
    /// # Errors
    /// The store failed; the object may be there or not.
    fn delete(&self, name: Name) -> Result<bool, StoreError>;

    /// Room that the store grants; none where nobody bounds it.
    ///
    /// # Errors
    /// The store failed.
    fn room(&self) -> Result<Option<Room>, StoreError> {
        Ok(None)
    }
}
