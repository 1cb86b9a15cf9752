//! Collecting a chain: verified blocks become chunks of their own, one window for each block number.

use std::sync::Arc;

use openmesh_content::BlockStore;
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
    let source = spec.id.clone();
    Ok(Some(tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                SourceEvent::Block(block) => {
                    let content = content.clone();
                    let kept = tokio::task::spawn_blocking(move || keep(&content, &block.decoded)).await;
                    match kept {
                        Ok(Ok((number, claim))) => {
                            if windows.send(Window::of_chain(&source, number, claim)).await.is_err() {
                                break;
                            }
                        }
                        Ok(Err(error)) => tracing::error!(%error, source, "a block is not kept, so it is not attested"),
                        Err(error) => tracing::error!(%error, source, "a block is not kept"),
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

fn keep(
    content: &BlockStore,
    decoded: &openmesh_evm::Decoded,
) -> Result<(u64, ChunkClaim), openmesh_content::ContentError> {
    let bytes = openmesh_evm::canonical_block(decoded);
    let cid = content.put(&bytes)?;
    let events = u32::try_from(decoded.transactions().len() + decoded.logs().len() + 1).unwrap_or(u32::MAX);
    Ok((decoded.rows.block.number, ChunkClaim { stream: STREAM.into(), cid, bytes: bytes.len() as u64, events }))
}
