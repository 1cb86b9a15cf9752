//! Events of epochs.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Height;

use super::records::ClosedEpoch;

/// An event of epochs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EpochsEvent {
    /// An epoch ended, and its facts have one root that stays.
    EpochClosed {
        /// Number of the epoch.
        epoch: u64,
        /// The root with what it covers.
        closed: ClosedEpoch,
        /// Of the block, the first of the next epoch.
        height: Height,
    },
}
