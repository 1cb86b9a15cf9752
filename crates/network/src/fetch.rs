//! Fetching one block: ask peer after peer, trust none.

use std::sync::Arc;

use libp2p::PeerId;
use openmesh_primitives::ContentId;
use tokio::sync::{mpsc, oneshot};

use crate::Shared;
use crate::blocks::Answer;
use crate::host::Command;

/// Why a block could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// There is nobody to ask.
    #[error("no peer is connected")]
    NoPeers,
    /// Everyone was asked.
    #[error("none of {asked} peers returned the block ({wrong} sent other bytes, {failed} did not answer)")]
    NotFound {
        /// Peers asked.
        asked: usize,
        /// Peers whose bytes did not match the CID; they are shut out now.
        wrong: usize,
        /// Peers that were busy, went away or took too long.
        failed: usize,
    },
    /// The host has stopped.
    #[error("the host has stopped")]
    Stopped,
}

pub(crate) async fn fetch(
    shared: &Arc<Shared>,
    commands: &mpsc::Sender<Command>,
    cid: ContentId,
) -> Result<Vec<u8>, FetchError> {
    let _permit = shared.fetches.acquire().await.map_err(|_| FetchError::Stopped)?;
    let peers = by_failures(shared);
    if peers.is_empty() {
        return Err(FetchError::NoPeers);
    }
    let (mut wrong, mut failed) = (0, 0);
    for peer in &peers {
        match ask(commands, *peer, cid).await? {
            Some(Answer::Block(bytes)) if cid.matches(&bytes) => {
                shared.metrics.blocks_fetched.inc();
                shared.metrics.block_bytes_fetched.inc_by(bytes.len() as u64);
                return Ok(bytes);
            }
            Some(Answer::Block(_)) => {
                wrong += 1;
                shared.metrics.blocks_refused.inc();
                tracing::warn!(%peer, %cid, "a peer sent bytes that do not match the hash; it is shut out");
                commands.send(Command::Ban(*peer)).await.map_err(|_| FetchError::Stopped)?;
            }
            Some(Answer::Missing) => {}
            Some(Answer::Busy) | None => {
                failed += 1;
                count_failure(shared, *peer);
            }
        }
    }
    Err(FetchError::NotFound { asked: peers.len(), wrong, failed })
}

/// One question to one peer; `None` when no answer came (the transport limits the time).
async fn ask(commands: &mpsc::Sender<Command>, peer: PeerId, cid: ContentId) -> Result<Option<Answer>, FetchError> {
    let (reply, answer) = oneshot::channel();
    commands.send(Command::Ask { peer, cid, reply }).await.map_err(|_| FetchError::Stopped)?;
    Ok(answer.await.ok())
}

/// The reliable peers first; among equals the order of their ids, so that a run can be repeated.
fn by_failures(shared: &Shared) -> Vec<PeerId> {
    let Ok(peers) = shared.peers.read() else { return Vec::new() };
    let mut order: Vec<(u32, PeerId)> = peers.iter().map(|(peer, failures)| (*failures, *peer)).collect();
    order.sort();
    order.into_iter().map(|(_, peer)| peer).collect()
}

fn count_failure(shared: &Shared, peer: PeerId) {
    if let Ok(mut peers) = shared.peers.write()
        && let Some(failures) = peers.get_mut(&peer)
    {
        *failures = failures.saturating_add(1);
    }
}
