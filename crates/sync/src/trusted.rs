//! The block that a person trusts, held against a node's own blocks. A join by snapshot begins at it; a node that takes blocks has to come through it, or whoever
//! has the old validators' keys leads it along another chain.

use openmesh_primitives::{Digest, Height};
use openmesh_storage::{Store, StoreError};

use crate::walk::TrustedBlock;

/// A reason for which a node does not go on with its own blocks.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Its own block at the trusted height is another one.
    #[error(
        "sync.trust names block {height} with the hash {expected}, and this node's own block of that height has the hash {got}"
    )]
    OtherBlock {
        /// Of the trusted block.
        height: Height,
        /// As a person said.
        expected: Digest,
        /// Of the own block.
        got: Digest,
    },
    /// The store fails.
    #[error("the trusted block cannot be looked for")]
    Store(#[from] StoreError),
}

impl TrustedBlock {
    /// Returns true where the blocks of a store are past this one. One that is not kept was passed when it was here, or by the walk to a snapshot.
    ///
    /// # Errors
    /// [`TrustError::OtherBlock`] where they are past another one of its height.
    pub fn is_passed(&self, store: &Store) -> Result<bool, TrustError> {
        // Of a store without blocks there is nothing to read yet.
        if store.tip().height < self.height.max(1) {
            return Ok(false);
        }
        let got = store.header(self.height)?.map(|(header, _)| header.hash());
        match got {
            Some(got) if got != self.hash => {
                Err(TrustError::OtherBlock { height: self.height, expected: self.hash, got })
            }
            _ => Ok(true),
        }
    }
}
