//! Facts of windows: what stays provable when the details have left the state.

use borsh::{BorshDeserialize, BorshSerialize};

use super::records::{AcceptedChunk, WindowRecord};
use crate::modules::sources::Origin;

/// A fact of windows.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(clippy::large_enum_variant, reason = "facts are few, and live for the block that they are of")]
pub enum WindowsFact {
    /// The network agreed on a chunk.
    Chunk {
        /// The source's id.
        source: String,
        /// Origin of the source's data.
        origin: Origin,
        /// Number of the window.
        window: u64,
        /// `<symbol>/<feed>`.
        stream: String,
        /// The chunk.
        chunk: AcceptedChunk,
    },
    /// A window closed.
    Closed {
        /// The source's id.
        source: String,
        /// Number of the window.
        window: u64,
        /// As it closed.
        record: WindowRecord,
    },
}
