//! Events of a source.

use std::time::Duration;

use openmesh_chain::Hash;

use super::error::SourceError;
use crate::decode::Decoded;

/// A verified block with what it was made of.
#[derive(Clone, Debug)]
pub struct VerifiedBlock {
    /// Rows and what was verified.
    pub decoded: Decoded,
    /// The node's block as received, for the archive.
    pub block_json: Vec<u8>,
    /// The node's receipts as received, for the archive.
    pub receipts_json: Vec<u8>,
}

/// Output of a source, in order.
#[derive(Debug)]
pub enum SourceEvent {
    /// The next block of the chain.
    Block(Box<VerifiedBlock>),
    /// A block that went out is no longer part of the chain.
    Reorged {
        /// Height.
        number: u64,
        /// Its hash.
        hash: Hash,
    },
    /// Heights that the recording does not have (only with `sparse`).
    Skipped {
        /// First.
        from: u64,
        /// Last.
        to: u64,
    },
    /// Something went wrong and is being tried again.
    Incident(SourceIncident),
}

/// Something that went wrong.
#[derive(Debug)]
pub struct SourceIncident {
    /// Height that was being fetched, where it was a block.
    pub number: Option<u64>,
    /// Number of failures in a row, from 1.
    pub attempt: u32,
    /// Wait of the source before it tries again.
    pub retry_in: Duration,
    /// The failure.
    pub error: SourceError,
}
