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
mod config;
mod error;
mod event;
mod follow;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use backoff::{BACKOFF_MAX, BACKOFF_MIN, RATE_LIMIT_WAIT_MAX};
pub use client::REQUEST_TIMEOUT;
pub use config::{Config, Start};
pub use error::{REORG_DEPTH_MAX, RpcError, SourceError};
pub use event::{SourceEvent, SourceIncident, VerifiedBlock};

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
