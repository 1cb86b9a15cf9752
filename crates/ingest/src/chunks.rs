//! Agreed chunks become rows, as they can be had: from this node's disk, else from peers.
//!
//! In a task beside the blocks: peers that do not answer must not hold blocks up. And on two lanes: a chunk that no peer
//! gives must not hold those up that lie on this node's disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use openmesh_content::{BlockStore, Reason};
use openmesh_lake::{AcceptedChunkMeta, Lake, LakeError};
use openmesh_primitives::{ContentId, Height, report};
use openmesh_storage::{BLOCKS_READ_MAX, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::awaited::{Failure, Ticket};
use crate::memory;
use crate::progress::Shared;
use crate::rows::accepted;
use crate::work::blocking;

/// Time between two looks at what is due.
const TURN: Duration = Duration::from_secs(1);
/// Chunks read from this node's disk and decoded at once: a few keep disk and processor busy.
const LOCAL_AT_ONCE_MAX: usize = 4;
/// Chunks asked of peers at once.
const REMOTE_AT_ONCE_MAX: usize = 8;
/// Longest wait for one chunk, from whatever peers: what the network's own search takes, where it takes all its time.
const FETCH_MAX: Duration = Duration::from_secs(15);
/// The queue is written down each so many blocks: a start scans at most as many again.
const REMEMBER_BLOCKS: u64 = 60;

/// Fetches a block of content from peers and checks it against its CID.
pub type Fetch = Arc<dyn Fn(ContentId) -> BoxFuture<'static, Result<Vec<u8>, FetchError>> + Send + Sync>;

/// The reason why content was not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// All connected peers answered that they do not hold it.
    #[error("no connected peer holds it")]
    Absent,
    /// Another attempt may succeed.
    #[error("{0}")]
    Failed(String),
}

/// Outcome of an attempt.
enum Outcome {
    Kept,
    NotHeld,
    Failed(Failure),
}

type Attempts = FuturesUnordered<BoxFuture<'static, (Ticket, AcceptedChunkMeta, Outcome)>>;
/// Chunks that peers are asked for.
type Fetches = FuturesUnordered<BoxFuture<'static, (Ticket, AcceptedChunkMeta, Result<Vec<u8>, Failure>)>>;
/// Chunks that peers gave, and that are kept together.
type Batches = FuturesUnordered<BoxFuture<'static, Vec<Fetched>>>;
type Fetched = (Ticket, AcceptedChunkMeta, Vec<u8>);
/// Blocks with the chunks that they accepted and that the tables lack.
type Scan = Result<Vec<(Height, Vec<AcceptedChunkMeta>)>, StoreError>;

pub(crate) struct Chunks {
    pub(crate) store: Store,
    pub(crate) content: Arc<BlockStore>,
    pub(crate) lake: Lake,
    pub(crate) fetch: Fetch,
    pub(crate) shared: Shared,
    /// File of the queue, and the height up to which it was written down.
    pub(crate) memory_file: PathBuf,
    pub(crate) remembered: Height,
}

impl Chunks {
    /// Makes rows of chunks until the node stops. What is under way then is asked for again after the next start.
    pub(crate) async fn run(&mut self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut local, mut remote) = (Attempts::new(), Remote::default());
        let mut scans: FuturesUnordered<BoxFuture<'static, Scan>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = turns.tick() => self.remember(REMEMBER_BLOCKS).await,
                Some(scan) = scans.next() => if !self.on_scan(scan) {
                    // Tried again with the next turn.
                    turns.tick().await;
                },
                Some(attempt) = local.next() => self.on_attempt(attempt),
                // Those that come while others are kept are kept together after them.
                Some(first) = remote.fetches.next(), if remote.batches.is_empty() => self.on_fetched(first, &mut remote),
                Some(batch) = remote.batches.next() => self.append(batch, &remote),
                Some(attempt) = remote.appends.next() => self.on_attempt(attempt),
            }
            if scans.is_empty() {
                scans.extend(self.scan());
            }
            self.fill(&mut local, &mut remote);
            self.shared.publish(&self.lake);
        }
    }

    /// Starts attempts at chunks that are due.
    fn fill(&self, local: &mut Attempts, remote: &mut Remote) {
        let now = self.store.tip().height;
        let mut awaited = self.shared.awaited();
        while local.len() < LOCAL_AT_ONCE_MAX
            && let Some((ticket, meta)) = awaited.next_local(now)
        {
            let keeper = self.keeper();
            local.push(Box::pin(async move {
                let outcome = keeper.read_disk(&meta).await;
                (ticket, meta, outcome)
            }));
        }
        while remote.batches.is_empty()
            && remote.fetches.len() + remote.appends.len() < REMOTE_AT_ONCE_MAX
            && let Some((ticket, meta)) = awaited.next_remote()
        {
            let fetch = self.fetch.clone();
            remote.fetches.push(Box::pin(async move {
                let fetched = ask_peers(meta.cid, fetch).await;
                (ticket, meta, fetched)
            }));
        }
    }

    /// Keeps what peers gave, with everything else that they have given by now.
    fn on_fetched(&self, first: (Ticket, AcceptedChunkMeta, Result<Vec<u8>, Failure>), remote: &mut Remote) {
        let (mut batch, mut next) = (Vec::new(), Some(first));
        while let Some((ticket, meta, fetched)) = next {
            match fetched {
                Ok(bytes) => batch.push((ticket, meta, bytes)),
                Err(failure) => self.on_attempt((ticket, meta, Outcome::Failed(failure))),
            }
            next = remote.fetches.next().now_or_never().flatten();
        }
        if !batch.is_empty() {
            remote.batches.push(Box::pin(keep_batch(self.content.clone(), batch)));
        }
    }

    /// Starts to append the rows of chunks that were fetched.
    fn append(&self, batch: Vec<Fetched>, remote: &Remote) {
        for (ticket, meta, bytes) in batch {
            let keeper = self.keeper();
            remote.appends.push(Box::pin(async move {
                let outcome = keeper.keep(&meta, &bytes).await;
                (ticket, meta, outcome)
            }));
        }
    }

    fn keeper(&self) -> Keeper {
        Keeper { content: self.content.clone(), lake: self.lake.clone() }
    }

    fn on_attempt(&self, (ticket, meta, outcome): (Ticket, AcceptedChunkMeta, Outcome)) {
        let mut awaited = self.shared.awaited();
        match outcome {
            Outcome::Kept => awaited.complete(ticket),
            Outcome::NotHeld => awaited.not_held(ticket),
            Outcome::Failed(failure) => {
                if awaited.failed(ticket, self.store.tip().height, failure).is_some() {
                    let AcceptedChunkMeta { cid, stream, window, .. } = meta;
                    tracing::error!(%cid, stream, window, "a chunk is given up: its rows are not in the tables of this node");
                }
            }
        }
    }

    /// Reads the next blocks that the tables hold and that were not scanned for chunks yet, where there are such: as many as have
    /// chunks for the room that there is.
    fn scan(&self) -> Option<BoxFuture<'static, Scan>> {
        let last = self.lake.ledger_height().unwrap_or(0);
        let ((next, abandoned), room) = {
            let mut awaited = self.shared.awaited();
            if awaited.scanned_height() >= last {
                return None;
            }
            (awaited.next_scan(), awaited.room())
        };
        for AcceptedChunkMeta { cid, stream, window, .. } in abandoned {
            tracing::warn!(%cid, stream, window, "nobody gave this chunk: its rows are not in the tables of this node");
        }
        let (first, store, lake) = (next?, self.store.clone(), self.lake.clone());
        Some(Box::pin(blocking(move || {
            // Where the tables can not be searched the chunk is fetched, and appending it tells.
            let missing = |meta: &AcceptedChunkMeta| !lake.missing(&[meta.cid]).is_ok_and(|missing| missing.is_empty());
            let (mut blocks, mut found) = (Vec::new(), 0);
            for height in (first.max(store.oldest_block())..=last).take(BLOCKS_READ_MAX) {
                // One that is gone from the store is passed over.
                let Some(block) = store.block(height)? else { continue };
                let chunks: Vec<AcceptedChunkMeta> = accepted(&block.events).filter(missing).collect();
                found += chunks.len();
                blocks.push((height, chunks));
                if found >= room {
                    break;
                }
            }
            Ok(blocks)
        })))
    }

    /// Takes scanned blocks in; `false` where they could not be read.
    fn on_scan(&self, scan: Scan) -> bool {
        let blocks = match scan {
            Ok(blocks) if !blocks.is_empty() => blocks,
            Ok(_) => {
                tracing::error!("blocks that the tables hold are not in the store: their chunks are not looked for");
                return false;
            }
            Err(error) => {
                tracing::error!(error = report(&error), "blocks cannot be read");
                return false;
            }
        };
        let mut awaited = self.shared.awaited();
        for (height, chunks) in blocks {
            // Another block was scanned meanwhile, when its rows were made; and where there is no room any more, the
            // rest is read again. Blocks that are gone from the store cannot be scanned.
            if height > awaited.scanned_height() {
                if !awaited.has_room() {
                    break;
                }
                awaited.scanned(height, chunks);
            }
        }
        true
    }

    /// Writes the queue down, where it is so many blocks further than when that was done last.
    pub(crate) async fn remember(&mut self, blocks: u64) {
        let durable = self.lake.durable_ledger_height().unwrap_or(0);
        if self.shared.awaited().scanned_height().min(durable) < self.remembered + blocks {
            return;
        }
        let memory = self.shared.awaited().memory(durable, |cid| self.lake.is_durable(cid).unwrap_or(false));
        let (scanned, file) = (memory.scanned, self.memory_file.clone());
        match blocking(move || memory::write(&file, &memory)).await {
            Ok(()) => self.remembered = scanned,
            Err(error) => tracing::warn!(%error, "the queue of awaited chunks is not written down"),
        }
    }
}

/// Stages of chunks that this node's disk does not hold.
#[derive(Default)]
struct Remote {
    fetches: Fetches,
    /// One at a time.
    batches: Batches,
    appends: Attempts,
}

/// Keeps chunks that peers gave in one step. Rows are made of them even where the disk has no room.
async fn keep_batch(content: Arc<BlockStore>, batch: Vec<Fetched>) -> Vec<Fetched> {
    blocking(move || {
        let bytes: Vec<&[u8]> = batch.iter().map(|(.., bytes)| bytes.as_slice()).collect();
        if content.put_all(&bytes, Reason::Window).is_err() {
            // Some may find room where all together do not.
            for (_, meta, bytes) in &batch {
                if let Err(error) = content.put(bytes, Reason::Window) {
                    tracing::warn!(error = report(&error), cid = %meta.cid, "fetched, but not kept");
                }
            }
        }
        batch
    })
    .await
}

/// Asks peers for a chunk.
async fn ask_peers(cid: ContentId, fetch: Fetch) -> Result<Vec<u8>, Failure> {
    match tokio::time::timeout(FETCH_MAX, fetch(cid)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            tracing::debug!(%error, %cid, "not fetched yet");
            Err(if error == FetchError::Absent { Failure::Absent } else { Failure::Passing })
        }
        Err(_) => {
            tracing::debug!(%cid, "not fetched in {FETCH_MAX:?}");
            Err(Failure::Passing)
        }
    }
}

/// Dependencies of an attempt at a chunk.
struct Keeper {
    content: Arc<BlockStore>,
    lake: Lake,
}

impl Keeper {
    async fn read_disk(&self, meta: &AcceptedChunkMeta) -> Outcome {
        let (content, cid) = (self.content.clone(), meta.cid);
        match blocking(move || content.get(&cid)).await {
            Ok(Some(bytes)) => self.keep(meta, &bytes).await,
            Ok(None) => Outcome::NotHeld,
            Err(error) => {
                tracing::error!(error = report(&error), %cid, "content cannot be read: peers are asked for it");
                Outcome::NotHeld
            }
        }
    }

    /// Appends the rows of a chunk to the tables.
    async fn keep(&self, meta: &AcceptedChunkMeta, bytes: &[u8]) -> Outcome {
        match self.lake.append_chunk(meta, bytes).await {
            Ok(_) => Outcome::Kept,
            Err(error) => {
                tracing::error!(error = report(&error), cid = %meta.cid, stream = meta.stream, "a chunk is not kept as rows");
                Outcome::Failed(if is_permanent(&error) { Failure::Permanent } else { Failure::Passing })
            }
        }
    }
}

/// Returns true when the same bytes will be refused again: they are no chunk, or hold what no column does.
fn is_permanent(error: &LakeError) -> bool {
    matches!(error, LakeError::Chunk { .. } | LakeError::OutOfRange { .. } | LakeError::Rows { .. })
}
