//! Faults of a node and of calls to it.

use std::time::Duration;

use crate::report::VerifyError;

/// Number of blocks that are remembered for reorganisations. Ethereum finalises within 64 to 96 slots; other chains are given
/// some room.
pub const REORG_DEPTH_MAX: usize = 256;

/// Reason for a call without a result.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// No connection, or it broke.
    #[error("the node cannot be reached: {reason}")]
    Transport {
        /// Cause; without the node's address, which may hold a key.
        reason: String,
    },
    /// An HTTP status that is no success.
    #[error("the node answers with HTTP status {status}")]
    Status {
        /// Status.
        status: u16,
    },
    /// HTTP 429 or JSON-RPC's equivalent.
    #[error("the node limits the rate of requests")]
    RateLimited {
        /// Wait that the node asks for.
        retry_after: Option<Duration>,
    },
    /// Longer than the configured limit.
    #[error("the answer to {method} is longer than {limit} bytes")]
    TooLarge {
        /// Call.
        method: &'static str,
        /// Configured limit.
        limit: usize,
    },
    /// Not a JSON-RPC response, or to another call.
    #[error("the answer to {method} is not a JSON-RPC response: {reason}")]
    Malformed {
        /// Call.
        method: &'static str,
        /// Fault.
        reason: String,
    },
    /// A JSON-RPC error.
    #[error("{method}: the node answers with error {code}: {message}")]
    Refused {
        /// Call.
        method: &'static str,
        /// Code.
        code: i64,
        /// The node's text, shortened.
        message: String,
    },
}

/// Fault of a node.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It did not answer a request, or not with JSON-RPC.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// It answered with a block that does not verify.
    #[error("block {number} refused: {reason}")]
    BadData {
        /// Height.
        number: u64,
        /// Failed check.
        reason: VerifyError,
    },
    /// It answered with another block than the one asked for.
    #[error("block {asked} was asked for and block {got} was given")]
    WrongBlock {
        /// Height asked for.
        asked: u64,
        /// Height of the answer.
        got: u64,
    },
    /// Its block lacks transactions, receipts or withdrawals.
    #[error("block {number} came in part; not verified: {missing}")]
    Incomplete {
        /// Height.
        number: u64,
        /// Checks that could not be made.
        missing: String,
    },
    /// It announces a head, but does not have the block.
    #[error("block {number} is not after the node's head, but the node does not have it")]
    Missing {
        /// Height.
        number: u64,
    },
    /// It has the block, but not its receipts.
    #[error("the node has no receipts of block {number}")]
    NoReceipts {
        /// Height.
        number: u64,
    },
    /// It serves another chain.
    #[error("the node serves chain {got}, configured is chain {expected}")]
    WrongChain {
        /// Configured.
        expected: u64,
        /// The node's.
        got: u64,
    },
    /// A reorganisation went further back than this source remembers: blocks below stay as they went out.
    #[error("blocks before {number} were reorganised too, further back than the {REORG_DEPTH_MAX} blocks remembered")]
    DeepReorg {
        /// Lowest height that was taken back.
        number: u64,
    },
    /// The configured address cannot be used.
    #[error("the node's address is not an http:// or https:// URL")]
    Address,
}
