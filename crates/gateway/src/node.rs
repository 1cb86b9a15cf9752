//! What the handlers know: the other rooms' handles and what the gateway remembers itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use openmesh_api as api;
use openmesh_content::BlockStore;
use openmesh_ledger::{self as ledger, Block, Genesis, LedgerEvent, Origin, Receipt, SourceKind, Transaction};
use openmesh_market::Exchange;
use openmesh_primitives::{Address, ContentId, Digest, Height, Timestamp, canonical};
use openmesh_storage::{Store, StoreError, StoredBlock};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::error::Refusal;
use crate::index::{BLOCKS_BACK, Index, RecentChunk};
use crate::live::Live;
use crate::sessions::{Audience, Sessions};
use crate::sql::Running;
use crate::stream::STREAMS_MAX;
use crate::waiting::{Waiting, is_over};
use crate::{chunks, incidents, live};

/// Queries of the gateway itself that run at once: each is answered from few rows, and more would not be faster.
const OWN_QUERIES_MAX: usize = 2;

/// Fetches a block of content from other nodes.
pub type Fetch = Arc<dyn Fn(ContentId) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// The handles that the gateway stands on.
pub struct Deps {
    /// The ledger's store.
    pub store: Store,
    /// Consensus.
    pub engine: openmesh_engine::Handle,
    /// Content held here.
    pub content: Arc<BlockStore>,
    /// Content held elsewhere.
    pub fetch: Fetch,
    /// SQL.
    pub pythia: openmesh_pythia::Handle,
    /// What fills the tables, and says how far it has come.
    pub ingest: openmesh_ingest::Handle,
    /// Live market data.
    pub collector: openmesh_collector::Handle,
    /// Metrics of the whole process.
    pub registry: Arc<Registry>,
    /// This node's validator address.
    pub address: Address,
    /// What this site is called in a browser: hosts, with their ports. Where none are given: the address that it listens on.
    pub public_hosts: Vec<String>,
    /// Version of the binary.
    pub version: &'static str,
}

/// State shared by all handlers; a cheap clone.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    deps: Deps,
    own_queries: openmesh_pythia::Handle,
    genesis: Genesis,
    origin: Origin,
    name: String,
    index: Mutex<Index>,
    sessions: Sessions,
    running: Running,
    live: Live,
    streams: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// How a source is doing at this site.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// The venue's time of the newest event; of a chain, when its newest block was agreed on.
    pub last_event: Option<Timestamp>,
    /// Milliseconds since anything was heard.
    pub silent_ms: Option<u64>,
    /// Silent for longer than the watchdog allows, or not collected here.
    pub stale: bool,
    /// Events a second over the last ten seconds.
    pub events_per_second: f64,
    /// Incidents since the start.
    pub incidents: u64,
}

impl Node {
    /// Reads the recent blocks back and is ready, for a door at this address.
    pub fn new(deps: Deps, address: SocketAddr) -> Result<Node, openmesh_storage::StoreError> {
        let genesis = deps.store.genesis()?.clone();
        let tip = deps.store.tip().height;
        let origins: BTreeMap<String, Origin> = genesis.sources.iter().map(|s| (s.id.clone(), s.origin)).collect();
        let mut index = Index::new(origins);
        let from = tip.saturating_sub(BLOCKS_BACK) + 1;
        // What the blocks that are read back do not count.
        index.incidents_total = incidents::count_before(&deps.store, from)?;
        each_block(&deps.store, from, tip, |stored| {
            index.block(&stored.block, &stored.events);
        })?;
        let name = genesis
            .validators
            .iter()
            .find(|v| v.public_key.address() == deps.address)
            .map_or_else(|| "node".into(), |v| v.name.clone());
        // One network has one kind of market; the least real of its sources names it.
        let kinds: Vec<Origin> = genesis.sources.iter().map(|s| s.origin).collect();
        let origin =
            [Origin::Simulated, Origin::Replay].into_iter().find(|o| kinds.contains(o)).unwrap_or(Origin::Live);
        let audience = Audience { hosts: hosts(&deps.public_hosts, address), chain_id: genesis.chain_id };
        Ok(Node(Arc::new(Inner {
            own_queries: deps.pythia.apart(OWN_QUERIES_MAX),
            deps,
            genesis,
            origin,
            name,
            index: Mutex::new(index),
            sessions: Sessions::new(audience),
            running: Running::default(),
            live: Live::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            waiting: Mutex::default(),
        })))
    }

    /// The ledger's store.
    pub fn store(&self) -> &Store {
        &self.0.deps.store
    }

    /// Consensus.
    pub fn engine(&self) -> &openmesh_engine::Handle {
        &self.0.deps.engine
    }

    /// SQL of whoever asks.
    pub fn pythia(&self) -> &openmesh_pythia::Handle {
        &self.0.deps.pythia
    }

    /// SQL of the gateway itself, for candles and chunks: slow queries of strangers do not make it wait.
    pub fn own_queries(&self) -> &openmesh_pythia::Handle {
        &self.0.own_queries
    }

    /// Live market data.
    pub fn collector(&self) -> &openmesh_collector::Handle {
        &self.0.deps.collector
    }

    /// Metrics.
    pub fn registry(&self) -> &Registry {
        &self.0.deps.registry
    }

    /// Nonces and sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The network's chain id.
    pub fn chain_id(&self) -> u64 {
        self.0.genesis.chain_id
    }

    /// Where the network's market data comes from.
    pub fn origin(&self) -> api::Origin {
        chunks::origin(self.0.origin)
    }

    /// Recent chunks, incidents, signatures.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        // A panic under the lock leaves at worst a missing entry of a list.
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work that reads the disk away from the async threads.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Node) -> Result<T, Refusal> + Send + 'static,
    {
        let node = self.clone();
        tokio::task::spawn_blocking(move || work(node)).await.map_err(|e| Refusal::internal("a request", &e))?
    }

    /// Content, from here or from another node. Ask only for what the network agreed on: a gateway is no proxy for the whole
    /// of IPFS.
    pub async fn content(&self, cid: ContentId) -> Result<Vec<u8>, Refusal> {
        let held = self
            .blocking(move |node| node.0.deps.content.get(&cid).map_err(|e| Refusal::internal("reading content", &e)));
        if let Some(bytes) = held.await? {
            return Ok(bytes);
        }
        (self.0.deps.fetch)(cid).await.map_err(|why| {
            Refusal::unavailable(
                "content_unavailable",
                format!("no connected node gave {cid}: {why}"),
                "ask again, or ask one of the validators that attested it",
            )
        })
    }

    /// A transaction that was handed in here, is not committed yet, and may still be.
    pub fn pending(&self, hash: &Digest) -> Result<Option<Vec<u8>>, Refusal> {
        let Some((bytes, since)) = self.waiting().get(hash) else { return Ok(None) };
        let mempool_is_empty = self.engine().status().mempool_transactions == 0;
        if is_over(since, self.store().tip().height, self.is_used(&bytes)?, mempool_is_empty) {
            self.waiting().forget(hash);
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    /// Whether the nonce of a transaction is below the account's next one.
    fn is_used(&self, bytes: &[u8]) -> Result<bool, Refusal> {
        let Ok(Transaction::Account(transaction)) = canonical::decode(bytes) else { return Ok(false) };
        let Ok(sender) = transaction.sender() else { return Ok(false) };
        Ok(transaction.nonce < ledger::account(&self.store().state()?, &sender)?.nonce)
    }

    /// Hands a transaction to the mempool.
    pub async fn submit(&self, bytes: Vec<u8>) -> Result<Digest, Refusal> {
        let hash = self.engine().submit(bytes.clone()).await.map_err(crate::transactions::refuse)?;
        self.waiting().remember(hash, bytes, self.store().tip().height);
        Ok(hash)
    }

    /// Takes a committed block in: lists, and what no longer waits. `false` where it has been taken in before.
    pub fn committed(&self, block: &Block, receipts: &[Receipt], events: &[LedgerEvent]) -> bool {
        if !self.index().block(block, events) {
            return false;
        }
        let mut waiting = self.waiting();
        receipts.iter().filter(|receipt| receipt.ok()).for_each(|receipt| waiting.forget(&receipt.hash));
        true
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queries that run.
    pub fn running(&self) -> &Running {
        &self.0.running
    }

    /// Places for streams.
    pub fn streams(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.streams)
    }

    /// What this site sees now.
    pub fn live(&self) -> &Live {
        &self.0.live
    }

    /// The exchange of a source, where it is one that is spoken here.
    pub fn exchange_of(&self, source: &str) -> Option<&'static str> {
        let spec = self.0.genesis.sources.iter().find(|s| s.id == source)?;
        spec.exchange.parse::<Exchange>().ok().map(Exchange::name)
    }

    /// The sources of an exchange or chain.
    pub fn sources_of(&self, exchange: &str) -> BTreeSet<String> {
        self.0.genesis.sources.iter().filter(|s| s.exchange == exchange).map(|s| s.id.clone()).collect()
    }

    /// Whether a source is a chain.
    pub fn is_chain(&self, source: &str) -> bool {
        self.0.genesis.sources.iter().any(|s| s.id == source && s.kind == SourceKind::Chain)
    }

    /// Whether an instrument is collected here.
    pub fn collects(&self, exchange: &str, symbol: &str) -> bool {
        self.0.genesis.sources.iter().any(|s| s.exchange == exchange && s.symbols.iter().any(|known| known == symbol))
    }

    /// How an exchange is doing at this site.
    pub fn site_of_exchange(&self, exchange: &str) -> Site {
        let source = self.0.genesis.sources.iter().find(|s| s.exchange == exchange);
        source.map_or_else(|| Site { stale: true, ..Site::default() }, |s| self.site(&s.id))
    }

    /// How a source is doing at this site.
    pub fn site(&self, source: &str) -> Site {
        live::site(self, source)
    }

    /// A chunk as the API shows it.
    pub fn chunk_info(&self, chunk: &RecentChunk) -> api::ChunkInfo {
        let spec = self.0.genesis.sources.iter().find(|s| s.id == chunk.source);
        let (kind, window_ms) = spec.map_or((SourceKind::Market, 0), |s| (s.kind, s.window_ms));
        let held = chunk.accepted.is_some_and(|(cid, _, _)| self.0.deps.content.has(&cid));
        chunks::info(chunk, kind, window_ms, held)
    }

    /// Incidents of the ledger and of this site's collector, with their time in nanoseconds.
    pub fn incidents(&self) -> Vec<(i64, api::IncidentInfo)> {
        let mut all = self.timed_ledger_incidents(usize::MAX);
        all.extend(live::incidents(self));
        all
    }

    /// The newest incidents of the ledger.
    pub fn ledger_incidents(&self, newest: usize) -> Vec<api::IncidentInfo> {
        self.timed_ledger_incidents(newest).into_iter().map(|(_, info)| info).collect()
    }

    fn timed_ledger_incidents(&self, newest: usize) -> Vec<(i64, api::IncidentInfo)> {
        self.index()
            .incidents(None)
            .take(newest)
            .map(|recent| (recent.time.nanos(), incidents::info(&recent.incident, recent.time)))
            .collect()
    }

    /// How far the tables are.
    pub fn tables(&self) -> api::TablesStatus {
        let openmesh_ingest::Progress { height, scanned_height, chunks } = self.0.deps.ingest.progress();
        api::TablesStatus {
            height,
            chunks_height: scanned_height,
            chunks_awaited: chunks.late,
            chunks_unavailable: chunks.unavailable,
            chunks_missing: chunks.missing,
        }
    }

    /// How this node and its network are doing.
    pub fn status(&self) -> Result<api::Status, Refusal> {
        let tip = self.store().tip();
        let state = self.store().state()?;
        let (mut accepted, mut disputed) = (0, 0);
        for record in ledger::sources(&state)? {
            let progress = ledger::source_progress(&state, &record.spec.id)?;
            accepted += progress.chunks_accepted;
            disputed += progress.streams_disputed;
        }
        let engine = self.engine().status();
        Ok(api::Status {
            version: self.0.deps.version.into(),
            chain_id: self.chain_id(),
            network: self.0.genesis.name.clone(),
            origin: self.origin(),
            height: tip.height,
            block_hash: tip.block_hash.to_string(),
            state_root: tip.state_root.to_string(),
            time: tip.time.to_rfc3339(),
            syncing: engine.syncing,
            validators: u32::try_from(ledger::validators(&state)?.len()).unwrap_or(u32::MAX),
            peers: engine.peers,
            mempool_transactions: engine.mempool_transactions as u64,
            events_per_second: live::events_per_second(self),
            chunks_accepted: accepted,
            chunks_disputed: disputed,
            incidents: self.index().incidents_total,
            tables: self.tables(),
            node: api::NodeInfo { address: self.0.deps.address.to_string(), name: self.0.name.clone() },
        })
    }
}

/// What this site is called.
fn hosts(configured: &[String], address: SocketAddr) -> Vec<String> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let port = address.port();
    let own = [address.to_string(), format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    BTreeSet::from(own).into_iter().collect()
}

/// Shows stored blocks in their order, as many at once as the store gives.
pub fn each_block(
    store: &Store,
    from: Height,
    to: Height,
    mut show: impl FnMut(&StoredBlock),
) -> Result<(), StoreError> {
    let mut height = from;
    while height <= to {
        let blocks = store.blocks(height..=to)?;
        let Some(last) = blocks.last().map(|b| b.block.header.height) else { break };
        blocks.iter().for_each(&mut show);
        height = last + 1;
    }
    Ok(())
}

/// Now, in nanoseconds since the epoch.
pub fn now() -> Timestamp {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
}
