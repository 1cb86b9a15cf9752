//! Keeping: committed blocks and accepted chunks become tables, and chunks that others hold are fetched.
//!
//! The lake says how far it has come, so after a crash the rest is taken from the store again; appending twice changes
//! nothing. Blocks are kept first, then the chunks that were agreed on in them, as they can be had ([`awaited`]): a chunk that
//! nobody gives holds nothing up, and how many are still awaited is told with every answer that is made of tables.

mod awaited;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openmesh_api::TablesStatus;
use openmesh_content::BlockStore;
use openmesh_engine::CommittedBlock;
use openmesh_gateway::Kept;
use openmesh_lake::{
    AcceptedChunkMeta, Lake, LedgerBlock, LedgerBlockRow, LedgerChunkRow, LedgerIncidentRow, LedgerTransactionRow,
};
use openmesh_ledger::{Action, Block, Certificate, LedgerEvent, Receipt, SourceKind, Transaction, sources};
use openmesh_primitives::{ContentId, Height, Timestamp, canonical};
use openmesh_storage::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use self::awaited::Awaited;
use super::chain_of;
use super::segments::Segments;

/// Blocks looked back on start for chunks that the lake does not hold, where nothing says how far it had come.
const BLOCKS_BACK: u64 = 3_600;
/// Time between two turns of asking for chunks.
const TURN: Duration = Duration::from_secs(1);
/// Chunks asked for at once.
const FETCHES_AT_ONCE: usize = 8;
/// Longest wait for one chunk, from whatever peers.
const FETCH_MAX: Duration = Duration::from_secs(15);
/// How far the tables are is written down each so many blocks.
const REMEMBER_BLOCKS: u64 = 60;
/// Rows of chunks may be written some minutes after those of the blocks that accepted them.
const DURABLE_BLOCKS: u64 = 600;

/// Keeps what the network agreed on.
pub struct Keeper {
    blocks: Blocks,
    chunks: Chunks,
}

/// Blocks become rows, one after the other.
struct Blocks {
    store: Store,
    lake: Lake,
    windows: BTreeMap<String, (SourceKind, u64)>,
    segments: Option<Segments>,
    /// Chunks are told of here while their block is at hand.
    awaited: Arc<Mutex<Awaited>>,
}

/// Chunks become rows, as they can be had. In a task of their own: asking peers that do not answer must not hold blocks up.
struct Chunks {
    store: Store,
    content: Arc<BlockStore>,
    lake: Lake,
    network: openmesh_network::Handle,
    awaited: Arc<Mutex<Awaited>>,
    /// Where [`Awaited::complete_height`] is written down, and what stands there.
    complete_file: PathBuf,
    remembered: Height,
    kept: Arc<Kept>,
}

impl Keeper {
    /// Goes on from where the lake is. `complete_file` says up to which block no chunk has to be looked for.
    pub fn new(
        store: Store,
        content: Arc<BlockStore>,
        lake: Lake,
        network: openmesh_network::Handle,
        complete_file: PathBuf,
    ) -> Keeper {
        let height = lake.ledger_height().unwrap_or(0);
        let written = std::fs::read_to_string(&complete_file).ok().and_then(|text| text.trim().parse::<Height>().ok());
        // A lake that was emptied is filled again from the first block on.
        let remembered = written.unwrap_or_else(|| height.saturating_sub(BLOCKS_BACK)).min(height);
        let (awaited, kept) = (Arc::new(Mutex::new(Awaited::new(remembered))), Arc::default());
        let mut blocks = Blocks {
            store: store.clone(),
            lake: lake.clone(),
            windows: BTreeMap::new(),
            segments: None,
            awaited: awaited.clone(),
        };
        blocks.read_register();
        Keeper { blocks, chunks: Chunks { store, content, lake, network, awaited, complete_file, remembered, kept } }
    }

    /// Also tells which raw segments this site wrote.
    pub fn with_archive(mut self, segments: Segments) -> Keeper {
        self.blocks.segments = Some(segments);
        self
    }

    /// How far it is, for others to read.
    pub fn kept(&self) -> Arc<Kept> {
        self.chunks.kept.clone()
    }

    /// Keeps until the node stops.
    pub async fn run(self, committed: broadcast::Receiver<Arc<CommittedBlock>>, stop: CancellationToken) {
        let lake = self.blocks.lake.clone();
        futures::future::join(self.blocks.run(committed, stop.clone()), self.chunks.run(stop)).await;
        if let Err(error) = lake.flush().await {
            tracing::error!(error = chain_of(&error), "the lake could not write what it holds in memory");
        }
    }
}

impl Blocks {
    async fn run(mut self, mut committed: broadcast::Receiver<Arc<CommittedBlock>>, stop: CancellationToken) {
        self.catch_up().await;
        while let Some(block) = stop.run_until_cancelled(committed.recv()).await {
            match block {
                // The store has it as well: reading from there keeps the order whatever was missed.
                Ok(_) | Err(RecvError::Lagged(_)) => self.catch_up().await,
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Learns what windows sources have.
    fn read_register(&mut self) {
        let state = self.store.state().map_err(|e| chain_of(&e));
        match state.and_then(|state| sources(&state).map_err(|e| chain_of(&e))) {
            Ok(all) => self.windows = all.into_iter().map(|s| (s.spec.id, (s.spec.kind, s.spec.window_ms))).collect(),
            Err(error) => tracing::error!(error, "the register of sources cannot be read"),
        }
    }

    /// Makes rows of all blocks that are committed.
    async fn catch_up(&mut self) {
        let tip = self.store.tip().height;
        let mut next = self.lake.ledger_height().map_or(1, |h| h + 1);
        while next <= tip {
            let stored = match self.store.block(next) {
                Ok(Some(stored)) => stored,
                Ok(None) => return tracing::error!(height = next, "a committed block is not in the store"),
                Err(error) => return tracing::error!(error = chain_of(&error), "a block cannot be read"),
            };
            if stored.events.iter().any(|event| matches!(event, LedgerEvent::SourceRegistered { .. })) {
                self.read_register();
            }
            let rows = self.rows(&stored.block, &stored.certificate, &stored.receipts, &stored.events);
            if let Err(error) = self.lake.append_ledger_block(&rows).await {
                return tracing::error!(error = chain_of(&error), height = next, "rows of blocks cannot be written");
            }
            let mut awaited = lock(&self.awaited);
            // Where others come first, the block is read again when it is its turn.
            if awaited.next_height() == Some(next) {
                awaited.read(next, accepted(&stored.events));
            }
            next += 1;
        }
        if let Some(segments) = &mut self.segments {
            segments.keep(&self.lake).await;
        }
    }

    fn rows(
        &self,
        block: &Block,
        certificate: &Certificate,
        receipts: &[Receipt],
        events: &[LedgerEvent],
    ) -> LedgerBlock {
        let header = &block.header;
        let transactions =
            block.transactions.iter().zip(receipts).map(|(bytes, receipt)| transaction_row(bytes, receipt)).collect();
        let (mut chunks, mut incidents) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                LedgerEvent::ChunkAccepted { source, window, stream, cid, bytes, events, attesters, .. } => {
                    chunks.push(LedgerChunkRow {
                        bytes: *bytes,
                        events: u64::from(*events),
                        attesters: attesters.iter().map(ToString::to_string).collect(),
                        ..self.chunk_row(source, *window, stream, Some(cid.to_string()), header.time)
                    });
                }
                LedgerEvent::WindowClosed { source, window, disputed, .. } => {
                    for stream in disputed {
                        chunks.push(self.chunk_row(source, *window, stream, None, header.time));
                    }
                }
                LedgerEvent::Incident(incident) => incidents.push(LedgerIncidentRow {
                    kind: incident.kind.as_str().into(),
                    source: incident.source.clone(),
                    window: incident.window,
                    stream: incident.stream.clone(),
                    validator: incident.validator.map(|v| v.to_string()),
                    detail: incident.detail.clone(),
                }),
                LedgerEvent::Attested { .. }
                | LedgerEvent::SourceRegistered { .. }
                | LedgerEvent::Transferred { .. } => {}
            }
        }
        let block = LedgerBlockRow {
            height: header.height,
            time: header.time,
            hash: header.hash().to_string(),
            parent: header.parent.to_string(),
            state_root: header.state_root.to_string(),
            transactions_root: header.transactions_root.to_string(),
            proposer: header.proposer.to_string(),
            round: certificate.round,
            bytes: block.transaction_bytes(),
            signatures: certificate.signatures.len() as u64,
        };
        LedgerBlock { block, transactions, chunks, incidents }
    }

    fn chunk_row(
        &self,
        source: &str,
        window: u64,
        stream: &str,
        cid: Option<String>,
        time: Timestamp,
    ) -> LedgerChunkRow {
        // A chain's windows are block numbers, without times of their own: the block's that accepted them stands in.
        let (window_start, window_end) = match self.windows.get(source) {
            Some((SourceKind::Market, length)) => {
                let at = |w: u64| Timestamp::from_millis(i64::try_from(w.saturating_mul(*length)).unwrap_or(i64::MAX));
                (at(window), at(window.saturating_add(1)))
            }
            _ => (time, time),
        };
        LedgerChunkRow {
            source: source.into(),
            window,
            window_start,
            window_end,
            stream: stream.into(),
            cid,
            bytes: 0,
            events: 0,
            attesters: Vec::new(),
        }
    }
}

impl Chunks {
    async fn run(mut self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            self.look().await;
            // What is under way when the node stops is asked for again after the next start.
            let _ = stop.run_until_cancelled(self.fetch_due()).await;
            self.remember(REMEMBER_BLOCKS).await;
            let (chunks_awaited, chunks_missing) = {
                let awaited = lock(&self.awaited);
                (awaited.len() as u64, awaited.given_up())
            };
            let height = self.lake.ledger_height().unwrap_or(0);
            self.kept.set(TablesStatus { height, chunks_awaited, chunks_missing });
        }
        self.remember(1).await;
    }

    /// Looks for chunks that the tables do not hold in the blocks that they hold.
    async fn look(&mut self) {
        let last = self.lake.ledger_height().unwrap_or(0);
        while let Some(height) = self.next_height().filter(|height| *height <= last) {
            let store = self.store.clone();
            let blocks = match tokio::task::spawn_blocking(move || store.blocks(height..=last)).await {
                Ok(Ok(blocks)) if !blocks.is_empty() => blocks,
                Ok(Ok(_)) => return tracing::error!(height, "a committed block is not in the store"),
                Ok(Err(error)) => return tracing::error!(error = chain_of(&error), "blocks cannot be read"),
                Err(error) => return tracing::error!(%error, "blocks cannot be read"),
            };
            for stored in &blocks {
                let mut awaited = lock(&self.awaited);
                if awaited.next_height() != Some(stored.block.header.height) {
                    break;
                }
                let missing = accepted(&stored.events).filter(|meta| !self.lake.missing(&[meta.cid]).is_empty());
                awaited.read(stored.block.header.height, missing);
            }
        }
    }

    fn next_height(&self) -> Option<Height> {
        lock(&self.awaited).next_height()
    }

    /// Makes rows of chunks that are due, some at once.
    async fn fetch_due(&mut self) {
        let now = self.store.tip().height;
        loop {
            let metas = {
                let mut awaited = lock(&self.awaited);
                let due = awaited.due(now, FETCHES_AT_ONCE);
                let metas: Vec<AcceptedChunkMeta> = due.iter().map(|wanted| wanted.meta.clone()).collect();
                // Also where this is given up half way: each stays in the queue until it is kept.
                due.into_iter().for_each(|wanted| awaited.again(wanted, now));
                metas
            };
            if metas.is_empty() {
                return;
            }
            let kept = futures::future::join_all(metas.iter().map(|meta| self.keep(meta))).await;
            for (meta, _) in metas.iter().zip(kept).filter(|(_, kept)| *kept) {
                lock(&self.awaited).had(&meta.cid);
            }
        }
    }

    /// Whether a chunk could be had and kept as rows.
    async fn keep(&self, meta: &AcceptedChunkMeta) -> bool {
        let bytes = match self.held(meta.cid).await {
            Some(bytes) => Some(bytes),
            None => self.fetch(meta.cid).await,
        };
        let Some(bytes) = bytes else { return false };
        match self.lake.append_chunk(meta, &bytes).await {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(error = chain_of(&error), cid = %meta.cid, stream = meta.stream, "a chunk is not kept as rows");
                false
            }
        }
    }

    /// Writes down up to which block no chunk has to be looked for again, where that is so many blocks further than before.
    async fn remember(&mut self, blocks: u64) {
        let durable = self.lake.durable_ledger_height().unwrap_or(0);
        // Rows that are in memory only are lost with this process: their chunks are looked for again.
        let complete = lock(&self.awaited).complete_height().min(durable.saturating_sub(DURABLE_BLOCKS));
        if complete < self.remembered + blocks {
            return;
        }
        let (file, text) = (self.complete_file.clone(), complete.to_string());
        match tokio::task::spawn_blocking(move || crate::up::home::write(&file, text.as_bytes())).await {
            Ok(Ok(())) => self.remembered = complete,
            Ok(Err(failure)) => {
                tracing::warn!(error = failure.message(), "how far the tables are is not written down");
            }
            Err(error) => tracing::warn!(%error, "how far the tables are is not written down"),
        }
    }

    async fn held(&self, cid: ContentId) -> Option<Vec<u8>> {
        let content = self.content.clone();
        match tokio::task::spawn_blocking(move || content.get(&cid)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                tracing::error!(error = chain_of(&error), %cid, "content cannot be read");
                None
            }
            Err(error) => {
                tracing::error!(%error, %cid, "content cannot be read");
                None
            }
        }
    }

    async fn fetch(&self, cid: ContentId) -> Option<Vec<u8>> {
        let bytes = match tokio::time::timeout(FETCH_MAX, self.network.fetch(cid)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                tracing::debug!(%error, %cid, "not fetched yet");
                return None;
            }
            Err(_) => {
                tracing::debug!(%cid, "not fetched in {FETCH_MAX:?}");
                return None;
            }
        };
        let (content, copy) = (self.content.clone(), bytes.clone());
        match tokio::task::spawn_blocking(move || content.put(&copy)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(error = chain_of(&error), %cid, "fetched, but not kept"),
            Err(error) => tracing::warn!(%error, %cid, "fetched, but not kept"),
        }
        Some(bytes)
    }
}

/// The queue is whole after every statement, so a panic elsewhere does not spoil it.
fn lock(awaited: &Mutex<Awaited>) -> MutexGuard<'_, Awaited> {
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accepted(events: &[LedgerEvent]) -> impl Iterator<Item = AcceptedChunkMeta> + '_ {
    events.iter().filter_map(|event| match event {
        LedgerEvent::ChunkAccepted { source, origin, window, stream, cid, height, .. } => Some(AcceptedChunkMeta {
            source: source.clone(),
            origin: origin.as_str().into(),
            cid: *cid,
            window: *window,
            stream: stream.clone(),
            height: *height,
        }),
        _ => None,
    })
}

fn transaction_row(bytes: &[u8], receipt: &Receipt) -> LedgerTransactionRow {
    let action = match canonical::decode::<Transaction>(bytes) {
        Ok(Transaction::Account(transaction)) => match transaction.action {
            Action::Transfer { .. } => "transfer",
            Action::RegisterSource(_) => "register_source",
        },
        Ok(Transaction::Attestation(_)) => "attest",
        Ok(Transaction::Evidence(_)) => "evidence",
        Err(_) => "unknown",
    };
    LedgerTransactionRow {
        hash: receipt.hash.to_string(),
        class: receipt.class.as_str().into(),
        sender: receipt.sender.map_or_else(String::new, |s| s.to_string()),
        action: action.into(),
        // What no column holds: no account ever comes so far, so it is a transaction that was refused.
        nonce: receipt.nonce.filter(|nonce| i64::try_from(*nonce).is_ok()),
        fee: receipt.fee,
        bytes: bytes.len() as u64,
        error: receipt.error.as_ref().map(|e| e.code().into()),
    }
}
