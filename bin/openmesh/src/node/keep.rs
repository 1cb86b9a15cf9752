//! Keeping: committed blocks and accepted chunks become tables, and chunks that others hold are fetched.
//!
//! The lake says how far it has come, so after a crash the rest is taken from the store again; appending twice changes
//! nothing. A chunk that nobody gives now is asked for again with each block: it is never forgotten while it is recent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use openmesh_content::BlockStore;
use openmesh_engine::CommittedBlock;
use openmesh_lake::{
    AcceptedChunkMeta, Lake, LedgerBlock, LedgerBlockRow, LedgerChunkRow, LedgerIncidentRow, LedgerTransactionRow,
};
use openmesh_ledger::{Action, Block, Certificate, Genesis, LedgerEvent, Receipt, SourceKind, Transaction};
use openmesh_primitives::{ContentId, Timestamp, canonical};
use openmesh_storage::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::chain_of;
use super::segments::Segments;

/// Blocks looked back on start for chunks that the lake does not hold.
const BLOCKS_BACK: u64 = 3_600;
/// Chunks that are still to be had; the oldest are given up beyond that, and said.
const MISSING_MAX: usize = 8_192;
/// Chunks asked for after a block, so that fetching never holds up keeping.
const FETCHES_MAX: usize = 32;

/// Keeps what the network agreed on.
pub struct Keeper {
    store: Store,
    content: Arc<BlockStore>,
    lake: Lake,
    network: openmesh_network::Handle,
    windows: BTreeMap<String, (SourceKind, u64)>,
    missing: VecDeque<AcceptedChunkMeta>,
    segments: Option<Segments>,
}

impl Keeper {
    /// With nothing kept yet.
    pub fn new(
        store: Store,
        content: Arc<BlockStore>,
        lake: Lake,
        network: openmesh_network::Handle,
        genesis: Genesis,
    ) -> Keeper {
        let windows = genesis.sources.iter().map(|s| (s.id.clone(), (s.kind, s.window_ms))).collect();
        Keeper { store, content, lake, network, windows, missing: VecDeque::new(), segments: None }
    }

    /// Also tells which raw segments this site wrote.
    pub fn with_archive(self, segments: Segments) -> Keeper {
        Keeper { segments: Some(segments), ..self }
    }

    /// Keeps until the node stops.
    pub async fn run(mut self, mut committed: broadcast::Receiver<Arc<CommittedBlock>>, stop: CancellationToken) {
        self.look_back().await;
        self.catch_up().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    if let Err(error) = self.lake.flush().await {
                        tracing::error!(error = chain_of(&error), "the lake could not write what it holds in memory");
                    }
                    return;
                }
                block = committed.recv() => match block {
                    // The store has it as well: reading from there keeps the order whatever was missed.
                    Ok(_) | Err(RecvError::Lagged(_)) => self.catch_up().await,
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// Chunks of the recent blocks that the lake does not hold, although it holds the blocks.
    async fn look_back(&mut self) {
        let Some(height) = self.lake.ledger_height() else { return };
        let first = height.saturating_sub(BLOCKS_BACK) + 1;
        let mut at = first;
        while at <= height {
            let blocks = match self.store.blocks(at..=height) {
                Ok(blocks) if !blocks.is_empty() => blocks,
                Ok(_) => return,
                Err(error) => return tracing::error!(error = chain_of(&error), "blocks cannot be read"),
            };
            for stored in &blocks {
                at = stored.block.header.height + 1;
                for meta in accepted(&stored.events) {
                    if !self.lake.missing(&[meta.cid]).is_empty() {
                        self.missing.push_back(meta);
                    }
                }
            }
        }
        self.fetch_missing().await;
    }

    async fn catch_up(&mut self) {
        let tip = self.store.tip().height;
        let mut next = self.lake.ledger_height().map_or(1, |h| h + 1);
        while next <= tip {
            let stored = match self.store.block(next) {
                Ok(Some(stored)) => stored,
                Ok(None) => return tracing::error!(height = next, "a committed block is not in the store"),
                Err(error) => return tracing::error!(error = chain_of(&error), "a block cannot be read"),
            };
            let rows = self.rows(&stored.block, &stored.certificate, &stored.receipts, &stored.events);
            if let Err(error) = self.lake.append_ledger_block(&rows).await {
                return tracing::error!(error = chain_of(&error), height = next, "a block is not kept as rows");
            }
            self.missing.extend(accepted(&stored.events));
            next += 1;
        }
        self.fetch_missing().await;
        if let Some(segments) = &mut self.segments {
            segments.keep(&self.lake).await;
        }
    }

    async fn fetch_missing(&mut self) {
        let mut fetches = 0;
        for _ in 0..self.missing.len() {
            let Some(meta) = self.missing.pop_front() else { return };
            let bytes = match self.held(meta.cid).await {
                Some(bytes) => Some(bytes),
                None if fetches < FETCHES_MAX => {
                    fetches += 1;
                    self.fetch(meta.cid).await
                }
                None => None,
            };
            match bytes {
                Some(bytes) => {
                    if let Err(error) = self.lake.append_chunk(&meta, &bytes).await {
                        tracing::error!(error = chain_of(&error), cid = %meta.cid, stream = meta.stream, "a chunk is not kept as rows");
                    }
                }
                None => self.missing.push_back(meta),
            }
        }
        while self.missing.len() > MISSING_MAX {
            if let Some(lost) = self.missing.pop_front() {
                tracing::warn!(cid = %lost.cid, "nobody gave this chunk: its rows are not in the tables of this node");
            }
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
        let bytes = match self.network.fetch(cid).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::debug!(%error, %cid, "not fetched yet");
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
        nonce: receipt.nonce,
        fee: receipt.fee,
        bytes: bytes.len() as u64,
        error: receipt.error.as_ref().map(|e| e.code().into()),
    }
}
