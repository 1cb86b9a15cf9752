//! Catalogues of other publishers on this machine: fetched, kept for the time in which their place is away, and never older than was seen (X-120 to X-124).
//!
//! # What it owns
//! The folder `catalogues` of the agent: a record for each catalogue with the highest number that was seen of each key, texts by their hash, and the texts that deployed
//! applications were made of, as long as somebody can come back to them (X-127). The form of an index and the reasons against one are those of `openmesh_templates::index`.
//!
//! # Shape
//! ```text
//! source (folder, https) ─► fetch: bounds of size and time ─► index: signature, number, end ─► texts by hash ─► shelf ─► library of the store
//!                                                                                                └─► kept: what applications use, whatever becomes of the shelf
//! ```
//!
//! # On failure
//! A copy that is there stays in use until its index ends, with the reason for which it is not renewed. An application that was made of a template goes on, and can be changed,
//! when the catalogue is gone: its text is kept by name and version, and goes with backups of the machine. Nothing on the disk is trusted for lying there: signatures and hashes are looked at again when the agent begins.
//! A record, or the list of kept texts, that cannot be read is set aside under another name, its second copy counts, and an alert names it.

mod clock;
mod error;
mod fetch;
mod kept;
mod shelf;
mod source;
#[cfg(test)]
mod tests;
pub mod views;

pub(crate) use clock::start;
pub use error::CatalogueError;
pub(crate) use kept::Damage;
pub(crate) use shelf::{Carried, Publishers, kept_names, of_catalogue};
