//! Envelopes of gossip, and the judgement of them.

use std::sync::Arc;

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::OwnedSemaphorePermit;

use crate::limits;

/// An envelope from a peer, to be judged with [`Handle::report`](crate::Handle::report).
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The neighbour that delivered it (not necessarily who made it).
    pub from: PeerId,
    /// The envelope's identity, for the report.
    pub id: EnvelopeId,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its places in the queue, of its peer and of all, given back when the last clone goes.
    pub(crate) _places: Arc<[OwnedSemaphorePermit; 2]>,
}

/// Identity of an envelope: the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(pub(crate) libp2p::gossipsub::MessageId);

/// The reader's judgement of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New and valid: forward it.
    Accept,
    /// Nothing wrong, but nothing new either: do not forward.
    Ignore,
    /// Well made, but nothing in it that an honest neighbour would have forwarded: do not forward, and count it a little.
    Worthless,
    /// Invalid: do not forward, and count it against the neighbour.
    Reject,
}

/// Errors of publishing an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Longer than [`limits::ENVELOPE_BYTES_MAX`].
    #[error("the envelope has {0} bytes, at most {max} can be gossiped", max = limits::ENVELOPE_BYTES_MAX)]
    TooLong(usize),
    /// The host's queue is full.
    #[error("the host's queue is full, try again later")]
    Busy,
    /// The host has stopped.
    #[error("the host has stopped")]
    Stopped,
}
