//! Follows a chain's head through one node's JSON-RPC over HTTP and hands on verified blocks.
//!
//! Polling over HTTP instead of subscribing over WebSocket, because a subscription loses what passes while it is down and
//! every gap must be fetched by number anyway; one way of fetching has one set of failures. Receipts are asked for by the
//! block's *hash*, so that an answer can never mix two forks.
//!
//! A block goes out once it is verified and its parent is the block that went out before it. Where the parent differs, the
//! chain was reorganised: blocks that went out are taken back one by one ([`SourceEvent::Reorged`]), newest first, until
//! the new chain's blocks fit, and these follow. While nothing new comes, the newest block is compared with the node's, so
//! that a replacement of equal height is seen too.
//!
//! The node is not trusted and never ends the task: what it answers wrongly becomes an incident with its own error, and
//! the same block is asked for again, later and later ([`backoff`]). Nothing is skipped for being bad. Only a channel
//! without a receiver or the token ends the task. A slow receiver slows the task, since the channel is bounded.

mod backoff;
mod client;
mod follow;

use std::time::Duration;

use openmesh_chain::Hash;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use backoff::{BACKOFF_MAX, BACKOFF_MIN, RATE_LIMIT_WAIT_MAX};
pub use client::{REQUEST_TIMEOUT, RpcError};
pub use follow::REORG_DEPTH_MAX;

use crate::DOCUMENT_BYTES_MAX;
use crate::decode::Decoded;
use crate::verify::VerifyError;

/// What to follow, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node: `http://` or `https://`. It may hold a key and is never printed.
    pub url: String,
    /// Where to begin.
    pub start: Start,
    /// How many blocks must stand on a block before it goes out. Not heeded with `sparse`.
    pub confirmations: u64,
    /// How long to wait for a new head.
    pub poll: Duration,
    /// The node replays a recording: numbers that it does not have are skipped ([`SourceEvent::Skipped`]), and blocks of
    /// which it has only parts go out with what was verified of them.
    pub sparse: bool,
    /// Which chain it must be (EIP-155); unchecked where none.
    pub chain_id: Option<u64>,
    /// Longest answer that is read.
    pub body_bytes_max: usize,
}

/// Where a source begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the head.
    Latest,
    /// At this height.
    Number(u64),
    /// After a block that went out in an earlier run; where it is no longer part of the chain, it is taken back first.
    After {
        /// Height.
        number: u64,
        /// Hash.
        hash: Hash,
    },
}

impl Config {
    /// Of a live node: from the head on, two confirmations, asked each four seconds (a third of Ethereum's slot).
    pub fn new(url: impl Into<String>) -> Config {
        Config {
            url: url.into(),
            start: Start::Latest,
            confirmations: 2,
            poll: Duration::from_secs(4),
            sparse: false,
            chain_id: None,
            body_bytes_max: DOCUMENT_BYTES_MAX,
        }
    }

    /// Of a server that replays recorded blocks: all of them, asked often.
    pub fn replay(url: impl Into<String>) -> Config {
        let (start, poll) = (Start::Number(0), Duration::from_millis(250));
        Config { start, confirmations: 0, poll, sparse: true, ..Config::new(url) }
    }
}

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

/// What a source tells, in order.
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
    /// How often in a row it has gone wrong, from 1.
    pub attempt: u32,
    /// How long the source waits before it tries again.
    pub retry_in: Duration,
    /// What it was.
    pub error: SourceError,
}

/// What can go wrong with a node.
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
        /// Which check failed.
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
        /// Which checks could not be made.
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

/// Starts to follow. The process must have installed a TLS provider (`rustls`) before.
///
/// # Errors
/// [`SourceError::Address`] where the URL cannot be used.
pub fn start(
    config: Config,
    events: mpsc::Sender<SourceEvent>,
    cancel: CancellationToken,
) -> Result<JoinHandle<()>, SourceError> {
    let client = client::Client::new(&config.url, config.body_bytes_max)?;
    let follower = follow::Follower::new(client, config, events);
    Ok(tokio::spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = follower.run() => {}
        }
    }))
}
