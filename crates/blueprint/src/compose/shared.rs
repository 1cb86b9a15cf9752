//! Parts of a compose file as a whole, and what was made of them.

use std::collections::{BTreeMap, BTreeSet};

use super::naming::Proposed;
use crate::document::{Content, Name};
use crate::text::Place;

/// Most bytes of files and configs that one import takes, each use counted: four times the longest document.
const TAKEN_BYTES_MAX: usize = 4 << 20;
/// Words where they are more.
pub(super) const TAKEN: &str = "and the files before it have more than 4 MiB, each use counted; put them into a volume";

/// Words for a text of the document in which an address with a password stands.
pub(super) const IN_THE_CLEAR: &str =
    "holds an address with a password, which stands in the clear in document, plan and history; make it a secret";

/// Named parts of the file as a whole, and what was made of them.
#[derive(Default)]
pub(super) struct Shared {
    /// Service that has a named volume.
    pub(super) owners: BTreeMap<String, Name>,
    /// Volumes that the file declares.
    pub(super) volumes: BTreeSet<String>,
    /// Contents of configs, or the reason that there is none.
    pub(super) configs: BTreeMap<String, Result<Content, String>>,
    /// Secrets of the file.
    pub(super) secrets: BTreeMap<String, Secret>,
    /// Secrets that were proposed.
    pub(super) proposed: Proposed,
    /// Bytes of files and configs that were taken into the document.
    pub(super) taken: usize,
}

/// A secret of the file as a whole.
pub(super) struct Secret {
    /// Its name.
    pub(super) name: Name,
    /// Command that sets it.
    pub(super) set: String,
    /// Its place.
    pub(super) place: Place,
    /// It was told that a person sets it.
    pub(super) is_told: bool,
}

/// Counts a text that is taken into the document; false where all of them are too much.
pub(super) fn is_room(taken: &mut usize, bytes: usize) -> bool {
    *taken = taken.saturating_add(bytes);
    *taken <= TAKEN_BYTES_MAX
}
