//! Messages of links and requests to their source.

use std::sync::Arc;

use bytes::Bytes;
use openmesh_market::ConnectionId;
use openmesh_primitives::Timestamp;

/// A message to a source. `generation` tells links apart that had the same connection one after the other.
#[derive(Debug)]
pub(crate) enum SourceInput {
    /// A connection is open.
    Opened { connection: ConnectionId, generation: u64, at: Timestamp },
    /// A frame came in.
    Frame { connection: ConnectionId, generation: u64, at: Timestamp, data: Bytes },
    /// A message of ours has left.
    Sent { connection: ConnectionId, generation: u64, at: Timestamp, text: String },
    /// A connection has ended; its link is over.
    Closed { connection: ConnectionId, generation: u64, why: String },
    /// A connection was not opened and is tried again after a pause, which the venue may have asked for.
    Refused { connection: ConnectionId, why: String, banned_until: Option<Timestamp> },
    /// A request must wait until then, because the venue asked for it.
    Limited { url: Arc<str>, until: Timestamp },
}
