//! Files of a restore that stand beside the store, and their removal when nobody needs them any more.

use std::io::ErrorKind;
use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, Height, canonical};

use crate::StoreError;

/// Folder of the chunks until the store is whole.
pub(crate) const FOLDER: &str = "restoring";
/// File in the folder that says of which target the chunks are.
pub(crate) const MARK: &str = "target";
/// Name of the database's file until it is whole.
pub(crate) const PARTIAL: &str = "restoring.redb";

/// The target that the chunks in a folder are of.
#[derive(Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Mark {
    pub(crate) genesis: Digest,
    pub(crate) height: Height,
    pub(crate) block: Digest,
    pub(crate) state_root: Digest,
    pub(crate) depth: u8,
}

/// Removes what a restore left, where the store has come as far by now: one that was killed when the store was in its place, or
/// one that was given up for blocks. Chunks of a later height stay.
pub(crate) fn remove_leftovers(dir: &Path, tip: Height) -> Result<(), StoreError> {
    let (folder, partial) = (dir.join(FOLDER), dir.join(PARTIAL));
    let mark = std::fs::read(folder.join(MARK)).ok().and_then(|bytes| canonical::decode::<Mark>(&bytes).ok());
    if mark.is_some_and(|mark| mark.height > tip) {
        return Ok(());
    }
    for (removed, path) in [(std::fs::remove_dir_all(&folder), folder), (std::fs::remove_file(&partial), partial)] {
        match removed {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(StoreError::Directory { path, source }),
            _ => {}
        }
    }
    Ok(())
}
