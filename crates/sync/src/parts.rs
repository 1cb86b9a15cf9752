//! A chunk that a peer does not have in one answer, fetched in parts.

use std::time::Duration;

use openmesh_primitives::{Digest, Height, canonical};
use openmesh_storage::{CHUNK_BYTES_MAX, ChunkError, ChunkParts, SNAPSHOT_DEPTH_MAX};
use tokio::time::sleep;

use crate::error::{Fault, JoinError, Lie, Refusal};
use crate::peers::Peers;
use crate::wire::Question;

/// Bytes of a chunk that is put together at a depth that could be greater: sixteen answers. Honest offers have no such chunk
/// but of keys that somebody chose, and an offer of too small a depth must not take all memory.
const SHALLOW_CHUNK_BYTES_MAX: usize = 16 * CHUNK_BYTES_MAX;
/// Pause before anything else is asked of a peer that has nothing.
const PAUSE: Duration = Duration::from_millis(250);
/// Times that a part is asked for before the chunk is given up to another peer.
const TRIES_MAX: u32 = 4;

/// The snapshot whose chunks are asked for.
pub(crate) struct Wanted {
    pub(crate) height: Height,
    pub(crate) state_root: Digest,
    pub(crate) depth: u8,
}

/// Fetches a chunk from a peer in parts, of which each is proved; returns its canonical bytes. A peer that does not have the state at
/// all is recognised by the first question.
pub(crate) async fn in_parts(peers: &Peers, wanted: &Wanted, peer: &str, index: u32) -> Result<Vec<u8>, Fault> {
    let probe = ChunkParts::probe(wanted.depth, index);
    if let Err(refusal) = part(peers, wanted, peer, probe).await {
        sleep(PAUSE).await;
        return Err(Fault::Refused(refusal));
    }
    let Some(mut parts) = ChunkParts::of(wanted.state_root, wanted.depth, index) else {
        return Err(Fault::Refused(Refusal::Missing));
    };
    while let Some(next) = parts.wanted() {
        match part(peers, wanted, peer, next).await {
            Ok(bytes) => {
                let lie = |source: ChunkError| Lie::Chunk { height: wanted.height, index, source };
                let added = tokio::task::spawn_blocking(move || {
                    let added = parts.add(&bytes);
                    (parts, added)
                });
                let (back, added) = added.await.map_err(|_| Fault::Fatal(JoinError::Worker))?;
                added.map_err(lie)?;
                parts = back;
            }
            Err(Refusal::Missing) if parts.split() => {}
            Err(refusal) => return Err(Fault::Refused(refusal)),
        }
        if wanted.depth < SNAPSHOT_DEPTH_MAX && parts.bytes() > SHALLOW_CHUNK_BYTES_MAX {
            tracing::warn!(peer, index, depth = wanted.depth, "a chunk of the snapshot is too large for its depth");
            return Err(Fault::Refused(Refusal::Missing));
        }
    }
    parts.into_chunk().map(|chunk| canonical::encode(&chunk)).ok_or(Fault::Refused(Refusal::Missing))
}

/// Asks for a part, again where the peer is busy.
async fn part(peers: &Peers, wanted: &Wanted, peer: &str, (depth, index): (u8, u32)) -> Result<Vec<u8>, Refusal> {
    let question = canonical::encode(&Question::Chunk { height: wanted.height, depth, index });
    let mut tries = 0;
    loop {
        tries += 1;
        match (peers.ask)(peer, question.clone()).await {
            Err(Refusal::Busy) if tries < TRIES_MAX => sleep(PAUSE).await,
            answer => return answer,
        }
    }
}
