//! Events of the register of sources.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Height};

/// An event of the register of sources.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SourcesEvent {
    /// A source was registered.
    SourceRegistered {
        /// The source's id.
        id: String,
        /// The account that registered it.
        owner: Address,
        /// First epoch in which it takes attestations.
        active_from_epoch: u64,
        /// Of the block.
        height: Height,
    },
    /// The streams of a source change.
    SourceUpdated {
        /// The source's id.
        id: String,
        /// First epoch with the new streams.
        from_epoch: u64,
        /// Of the block.
        height: Height,
    },
    /// A source was retired.
    SourceRetired {
        /// The source's id.
        id: String,
        /// First epoch without new windows.
        from_epoch: u64,
        /// Of the block.
        height: Height,
    },
}
