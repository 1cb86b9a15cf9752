//! Events of windows.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, ContentId, Height};

use crate::modules::sources::Origin;

/// An event of windows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum WindowsEvent {
    /// More than two thirds of the assigned power named the same chunk.
    ChunkAccepted {
        /// The source's id.
        source: String,
        /// Origin of the source's data.
        origin: Origin,
        /// Number of the window.
        window: u64,
        /// `<symbol>/<feed>`.
        stream: String,
        /// The chunk.
        cid: ContentId,
        /// Its bytes.
        bytes: u64,
        /// Its events.
        events: u32,
        /// Validators that had named it when it was accepted.
        attesters: Vec<Address>,
        /// Of the block.
        height: Height,
    },
    /// A window takes no more attestations.
    WindowClosed {
        /// The source's id.
        source: String,
        /// Number of the window.
        window: u64,
        /// Epoch of its assignment.
        epoch: u64,
        /// Number of chunks that were accepted.
        accepted: u32,
        /// Streams with conflicting words and no quorum.
        disputed: Vec<String>,
        /// Streams that too few covered.
        uncovered: Vec<String>,
        /// Assigned validators that sent nothing.
        missing: Vec<Address>,
        /// Of the block.
        height: Height,
    },
    /// A validator's statement about a window took effect: it agrees with what was accepted, but for the streams that it
    /// abstains from and those in which it differs.
    Attested {
        /// The source's id.
        source: String,
        /// Number of the window.
        window: u64,
        /// The validator.
        validator: Address,
        /// Streams that it abstains from.
        abstained: Vec<String>,
        /// Of the block.
        height: Height,
    },
    /// A validator's word about a stream is another than the decided one.
    Differed {
        /// The source's id.
        source: String,
        /// Number of the window.
        window: u64,
        /// `<symbol>/<feed>`.
        stream: String,
        /// The validator.
        validator: Address,
        /// Of the block.
        height: Height,
    },
}
