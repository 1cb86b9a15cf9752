//! Collecting a chain: verified blocks become chunks of their own, one window for each block number.

use std::sync::Arc;
use std::time::Duration;

use openmesh_content::{BlockStore, ContentError};
use openmesh_evm::source::{self, SourceEvent};
use openmesh_ledger::{ChunkClaim, Genesis, SourceKind};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::attest::Window;
use super::config::NodeConfig;
use crate::commands::Failure;

/// The stream of a chain's blocks.
const STREAM: &str = "blocks";
/// Pause before a block is put on a full disk again.
const AGAIN: Duration = Duration::from_secs(5);
/// Blocks that wait to be kept.
const BLOCKS_WAITING_MAX: usize = 16;

/// Follows each chain that is registered, where an address for it is configured.
pub fn start(
    config: &NodeConfig,
    genesis: &Genesis,
    content: Arc<BlockStore>,
    windows: mpsc::Sender<Window>,
    stop: &CancellationToken,
) -> Result<Option<JoinHandle<()>>, Failure> {
    let spec = genesis.sources.iter().find(|s| s.kind == SourceKind::Chain && s.exchange == "ethereum");
    let (Some(spec), Some(url)) = (spec, &config.collect.ethereum) else { return Ok(None) };
    let settings = if config.collect.ethereum_sparse { source::Config::replay(url) } else { source::Config::new(url) };
    let (sender, mut events) = mpsc::channel(BLOCKS_WAITING_MAX);
    let following = source::start(settings, sender, stop.clone())
        .map_err(|e| Failure::from_display("node.toml, collect.ethereum", &e))?;
    let (source, stop) = (spec.id.clone(), stop.clone());
    Ok(Some(tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                SourceEvent::Block(block) => {
                    let Some(kept) = stop.run_until_cancelled(keep(&content, Arc::new(block.decoded))).await else {
                        break;
                    };
                    if let Some((number, claim)) = kept
                        && windows.send(Window::of_chain(&source, number, claim)).await.is_err()
                    {
                        break;
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
        // It ends with the token; what it had to say it has said.
        let _ = following.await;
    })))
}

/// Keeps a block, however long the disk takes nothing. `None` where it can never be kept.
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
        tokio::time::sleep(AGAIN).await;
    }
}

fn put(content: &BlockStore, decoded: &openmesh_evm::Decoded) -> Result<(u64, ChunkClaim), ContentError> {
    let bytes = openmesh_evm::canonical_block(decoded);
    let cid = content.put(&bytes)?;
    let events = u32::try_from(decoded.transactions().len() + decoded.logs().len() + 1).unwrap_or(u32::MAX);
    Ok((decoded.rows.block.number, ChunkClaim { stream: STREAM.into(), cid, bytes: bytes.len() as u64, events }))
}
