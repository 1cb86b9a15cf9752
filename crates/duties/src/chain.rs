//! Collecting a chain: verified blocks become chunks of their own, one window for each block number.

use std::sync::Arc;
use std::time::Duration;

use openmesh_content::{BlockStore, ContentError, Reason};
use openmesh_evm::source::{self, SourceEvent};
use openmesh_ledger::ChunkClaim;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::window::Window;

/// The stream of a chain's blocks.
const STREAM: &str = "blocks";
/// Pause before a block is put on a full disk again: long enough to make room, short beside a block's 12 s.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Blocks that wait to be kept: a few minutes of Ethereum, at most some megabytes each.
const BLOCKS_WAITING_MAX: usize = 16;

/// A chain to follow.
#[derive(Clone, Debug)]
pub struct Config {
    /// Id of its source.
    pub source: String,
    /// Its node.
    pub node: source::Config,
}

/// Dependencies of following a chain.
pub struct Deps {
    /// Store of the blocks.
    pub content: Arc<BlockStore>,
    /// Windows to be attested.
    pub windows: mpsc::Sender<Window>,
    /// Cancelled to stop.
    pub stop: CancellationToken,
}

/// Follows a chain. Fails where the address of its node cannot be used.
pub fn start(config: Config, deps: Deps) -> Result<JoinHandle<()>, source::SourceError> {
    let (sender, events) = mpsc::channel(BLOCKS_WAITING_MAX);
    let following = source::start(config.node, sender, deps.stop.clone())?;
    Ok(tokio::spawn(async move {
        follow(&config.source, events, &deps).await;
        // It ends with the token; a failure has been logged there.
        let _ = following.await;
    }))
}

async fn follow(source: &str, mut events: mpsc::Receiver<SourceEvent>, deps: &Deps) {
    while let Some(event) = events.recv().await {
        match event {
            SourceEvent::Block(block) => {
                let keeping = keep(&deps.content, Arc::new(block.decoded));
                let Some(kept) = deps.stop.run_until_cancelled(keeping).await else { return };
                if let Some((number, claim)) = kept
                    && deps.windows.send(Window::of_chain(source, number, claim)).await.is_err()
                {
                    return;
                }
            }
            // What was attested stays on the ledger under its number; the tables say which hash it had.
            SourceEvent::Reorged { number, hash } => {
                tracing::warn!(source, number, hash = hex::encode(hash), "a block is no longer part of the chain");
            }
            SourceEvent::Skipped { from, to } => tracing::info!(source, from, to, "not in the recording"),
            SourceEvent::Incident(incident) => {
                tracing::warn!(source, number = incident.number, attempt = incident.attempt, error = %incident.error, "chain node");
            }
        }
    }
}

/// Stores a block, trying until the disk takes it. Returns its number and claim; `None` where it can never be stored.
async fn keep(content: &Arc<BlockStore>, decoded: Arc<openmesh_evm::Decoded>) -> Option<(u64, ChunkClaim)> {
    loop {
        let (content, block) = (content.clone(), decoded.clone());
        let number = block.rows.block.number;
        match tokio::task::spawn_blocking(move || put(&content, &block)).await {
            Ok(Ok(kept)) => return Some(kept),
            Ok(Err(error @ ContentError::BlockTooLarge { .. })) => {
                tracing::error!(%error, number, "a block is not kept, so it is not attested");
                return None;
            }
            Ok(Err(error)) => tracing::error!(%error, number, "a block is not kept yet: it is tried again"),
            Err(error) => {
                tracing::error!(%error, number, "a block is not kept");
                return None;
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn put(content: &BlockStore, decoded: &openmesh_evm::Decoded) -> Result<(u64, ChunkClaim), ContentError> {
    let bytes = openmesh_evm::canonical_block(decoded);
    let cid = content.put(&bytes, Reason::Window)?;
    let events = u32::try_from(decoded.transactions().len() + decoded.logs().len() + 1).unwrap_or(u32::MAX);
    Ok((decoded.rows.block.number, ChunkClaim { stream: STREAM.into(), cid, bytes: bytes.len() as u64, events }))
}
