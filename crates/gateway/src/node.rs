//! State that all handlers share.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_api::limits::STREAMS_MAX;
use openmesh_collector::SourceLiveness;
use openmesh_engine::{Submission, SubmitError};
use openmesh_ledger::{self as ledger, Genesis, SourceSpec, Transaction};
use openmesh_primitives::{ContentId, Digest, Timestamp, canonical};
use openmesh_pythia::{Query as Sql, QueryResult};
use openmesh_storage::{Store, StoreError};

use crate::deps::Deps;
use crate::error::Refusal;
use crate::lanes::{Lanes, Sizes};
use crate::memory::{Activity, Memory, RecentChunk, is_dropped};
use crate::peer;
use crate::places::Places;
use crate::running::Running;
use crate::sessions::{Audience, Sessions};
use crate::views::status::{Facts, Identity};
use crate::views::{self, words};
use crate::work::{Budget, Work};

/// Queries for candles at once: each may read many files, and more would not be faster.
const CANDLE_QUERIES_MAX: usize = 2;
/// Queries for the place of a chunk at once. They have places of their own: proofs and downloads do not wait behind charts.
const LOOKUPS_MAX: usize = 4;

/// Queries of people at once: as many as Pythia runs, so that none waits there.
const QUERIES: usize = 4;

/// Lanes of people's SQL. A second is what a question to much data takes, and a peer has two such; what an indexed question takes
/// uses nothing, and an hour of analysis goes through the slow lane.
fn query_lanes() -> Sizes {
    // Long queries of people who ask for many take half of the processors, as scans do.
    let slow = (std::thread::available_parallelism().map_or(1, NonZero::get) / 2).clamp(1, 2);
    Sizes {
        quick: QUERIES - slow,
        slow,
        waiting_max: 8,
        wait_max: Duration::from_secs(30),
        credit: Duration::from_secs(2),
        free: Duration::from_millis(20),
        refill_permille: 50,
        reserve: Duration::from_secs(1),
        quick_max: Duration::from_secs(1),
    }
}

/// Lanes of those who look for chunks. A CID of nothing is looked for in the table of all chunks, and costs whoever asks for it nothing:
/// two such questions are all the credit that a peer has, and leave a place of the quick lane to others.
fn lookup_lanes() -> Sizes {
    Sizes { quick: LOOKUPS_MAX - 1, slow: 1, waiting_max: 32, ..query_lanes() }
}

/// State that all handlers share; a cheap clone.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    deps: Deps,
    identity: Identity,
    candle_queries: openmesh_pythia::Handle,
    lookups: openmesh_pythia::Handle,
    lookup_lanes: Lanes,
    memory: Memory,
    work: Work,
    sessions: Sessions,
    running: Running,
    streams: Places,
    queries: Lanes,
}

impl Node {
    /// Reads the recent blocks back and is ready to serve at this listening address. Fails where the ledger cannot be read.
    pub fn new(deps: Deps, address: SocketAddr) -> Result<Node, StoreError> {
        let identity = identity(&deps, deps.store.genesis()?);
        let audience = Audience { hosts: hosts(&deps.public_hosts, address), chain_id: identity.chain_id };
        Ok(Node(Arc::new(Inner {
            candle_queries: deps.pythia.apart(CANDLE_QUERIES_MAX),
            lookups: deps.pythia.apart(LOOKUPS_MAX),
            lookup_lanes: Lanes::new(lookup_lanes()),
            memory: Memory::open(&deps.store)?,
            deps,
            identity,
            work: Work::default(),
            sessions: Sessions::new(audience),
            running: Running::default(),
            streams: Places::new(STREAMS_MAX),
            queries: Lanes::new(query_lanes()),
        })))
    }

    /// Handles of the other rooms.
    pub fn deps(&self) -> &Deps {
        &self.0.deps
    }

    /// The ledger's store.
    pub fn store(&self) -> &Store {
        &self.0.deps.store
    }

    /// Recent blocks, live events, transactions that wait.
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// SQL of the gateway itself for candles: slow queries of strangers do not make it wait.
    pub fn candle_queries(&self) -> &openmesh_pythia::Handle {
        &self.0.candle_queries
    }

    /// Asks the tables for the place of a chunk, by the lanes of those who look for one. Fails where the tables do, or as busy.
    pub async fn look_up(&self, sql: Sql) -> Result<QueryResult, Refusal> {
        let mut pass = self.0.lookup_lanes.enter(peer::current()).await?;
        let is_quick = pass.is_quick();
        tokio::select! {
            found = self.0.lookups.query_among_many(sql, is_quick) => Ok(found?),
            busy = pass.overdue() => Err(busy),
        }
    }

    /// Nonces and sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// SQL queries that run.
    pub fn running(&self) -> &Running {
        &self.0.running
    }

    /// Places for streams.
    pub fn streams(&self) -> &Places {
        &self.0.streams
    }

    /// Lanes of people's SQL.
    pub fn queries(&self) -> &Lanes {
        &self.0.queries
    }

    /// The network's chain id.
    pub fn chain_id(&self) -> u64 {
        self.0.identity.chain_id
    }

    /// Provenance of the network's data as a whole, as its genesis has it: a source that somebody registers later has its own
    /// beside it, and does not rename the network.
    pub fn origin(&self) -> api::Origin {
        self.0.identity.origin
    }

    /// Source of an instrument: of several the first by id that is collected here, or else the first.
    pub fn source_of(&self, exchange: &str, symbol: &str) -> Option<SourceSpec> {
        let register = self.memory().register();
        let collected = |spec: &&SourceSpec| self.deps().collector.watch_liveness(&spec.id).is_some();
        let first = || register.of_instrument(exchange, symbol).next();
        register.of_instrument(exchange, symbol).find(collected).or_else(first).cloned()
    }

    /// Reads by key from the disk. Fails as `work` does, or as busy.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Node) -> Result<T, Refusal> + Send + 'static,
    {
        let node = self.clone();
        self.0.work.read(move || work(node)).await
    }

    /// Looks through rows on the disk within a budget. Fails as `work` does, or as busy.
    pub async fn scan<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Node, &mut Budget) -> Result<T, Refusal> + Send + 'static,
    {
        let node = self.clone();
        self.0.work.scan(move |budget| work(node, budget)).await
    }

    /// Content, from here or from another node. Ask only for what the network agreed on: a gateway is no proxy for the whole
    /// content network. Fails where no node gives it.
    pub async fn content(&self, cid: ContentId) -> Result<Vec<u8>, Refusal> {
        let here = self
            .read(move |node| node.deps().content.get(&cid).map_err(|e| Refusal::internal("reading content", &e)))
            .await?;
        if let Some(bytes) = here {
            return Ok(bytes);
        }
        (self.deps().fetch)(cid).await.map_err(|why| {
            let hint = "ask again, or ask one of the validators that attested it";
            Refusal::new(ErrorCode::ContentUnavailable, format!("no connected node gave {cid}: {why}"), hint)
        })
    }

    /// A transaction that was handed in here, is not committed yet, and may still be. Fails where the ledger cannot be read.
    pub fn pending(&self, hash: &Digest) -> Result<Option<Vec<u8>>, Refusal> {
        let Some((bytes, since)) = self.memory().waiting().get(hash) else { return Ok(None) };
        let mempool_is_empty = self.deps().engine.status().mempool_transactions == 0;
        if is_dropped(since, self.store().tip().height, self.is_used(&bytes)?, mempool_is_empty) {
            self.memory().waiting().forget(hash);
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    /// True where the nonce of a transaction is below the account's next one.
    fn is_used(&self, bytes: &[u8]) -> Result<bool, Refusal> {
        let Ok(Transaction::Account(transaction)) = canonical::decode(bytes) else { return Ok(false) };
        let Ok(sender) = transaction.sender() else { return Ok(false) };
        Ok(transaction.nonce < ledger::account(&self.store().state()?, &sender)?.nonce)
    }

    /// Hands a transaction to the mempool. Fails where that refuses it.
    pub async fn submit(&self, transaction: Submission) -> Result<Digest, Refusal> {
        let bytes = transaction.bytes();
        let hash = self.deps().engine.submit(transaction).await?;
        self.memory().waiting().remember(hash, bytes, self.store().tip().height);
        Ok(hash)
    }

    /// Hands several transactions to the mempool, in their order; one outcome for each. Fails where too much waits to be checked.
    pub async fn submit_all(&self, batch: Vec<Vec<u8>>) -> Result<Vec<Result<Digest, Refusal>>, Refusal> {
        let height = self.store().tip().height;
        let submissions = batch.iter().cloned().map(Submission::Bytes).collect();
        let outcomes = self.deps().engine.submit_all(submissions).await?;
        let told = |(outcome, bytes): (Result<Digest, SubmitError>, Vec<u8>)| {
            let hash = outcome?;
            self.memory().waiting().remember(hash, bytes, height);
            Ok::<_, Refusal>(hash)
        };
        Ok(outcomes.into_iter().zip(batch).map(told).collect())
    }

    /// Activity of a source at this site.
    pub fn activity(&self, source: &str) -> Activity {
        self.memory().activity(source, Timestamp::now())
    }

    /// Troubles of the sources that are collected here.
    fn troubles(&self) -> Vec<api::SourceTrouble> {
        let now = Timestamp::now();
        let of = |liveness: &SourceLiveness| {
            views::sources::troubles(liveness, &self.memory().activity(&liveness.source, now), now)
        };
        self.deps().collector.liveness().iter().flat_map(of).collect()
    }

    /// A chunk as the API shows it.
    pub fn chunk_info(&self, chunk: &RecentChunk) -> api::ChunkInfo {
        let held = chunk.outcome.cid().is_some_and(|cid| self.deps().content.has(&cid).unwrap_or(false));
        let register = self.memory().register();
        let retired = match register.spec(&chunk.source) {
            Some(_) => None,
            None => self.retired(&chunk.source),
        };
        views::chunks::info(chunk, register.spec(&chunk.source).or(retired.as_ref()), held)
    }

    /// The specification of a source that has left the register; of a state that cannot be read, others tell.
    fn retired(&self, source: &str) -> Option<SourceSpec> {
        let state = self.store().state().ok()?;
        ledger::retired_source(&state, source).ok().flatten().map(|record| record.spec)
    }

    /// Progress of ingestion into the tables.
    pub fn tables(&self) -> api::TablesStatus {
        let openmesh_ingest::Progress { height, scanned_height, chunks } = self.deps().ingest.progress();
        api::TablesStatus {
            height,
            chunks_height: scanned_height,
            chunks_awaited: chunks.late,
            chunks_unavailable: chunks.unavailable,
            chunks_missing: chunks.missing,
        }
    }

    /// Status of this node and its network; from memory.
    pub fn status(&self) -> api::Status {
        let engine = self.deps().engine.status();
        let content = self.deps().content.usage();
        let facts = Facts {
            tip: self.store().tip(),
            oldest_block: self.store().oldest_block(),
            content_bytes: (content.bytes, content.bytes_max),
            counts: self.memory().counts(),
            incidents: self.memory().index().incidents_total,
            node_incidents: self.memory().live().incidents_total(),
            syncing: engine.syncing,
            peers: engine.peers,
            mempool_transactions: engine.mempool_transactions as u64,
            events_per_second: self.memory().live().events_per_second(),
            tables: self.tables(),
            restarts: self.memory().restarts(),
            troubles: self.troubles(),
            disks: (self.deps().full_disks)(),
        };
        views::status::status(&self.0.identity, &facts)
    }
}

fn identity(deps: &Deps, genesis: &Genesis) -> Identity {
    let own = genesis.validators.iter().find(|v| v.public_key.address() == deps.address);
    let name = own.map_or_else(|| "node".into(), |v| v.name.clone());
    Identity {
        version: deps.version,
        chain_id: genesis.chain_id,
        network: genesis.name.clone(),
        origin: words::origin(words::least_real(genesis.sources.iter().map(|s| s.origin))),
        node: api::NodeInfo { address: deps.address.to_string(), name },
    }
}

/// Names of this site in a browser.
fn hosts(configured: &[String], address: SocketAddr) -> Vec<String> {
    if !configured.is_empty() {
        return configured.to_vec();
    }
    let port = address.port();
    let own = [address.to_string(), format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    BTreeSet::from(own).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;
    use std::net::{IpAddr, Ipv4Addr};

    #[tokio::test]
    async fn whoever_looks_for_chunks_of_nothing_leaves_a_place_to_others() {
        let [stranger, other] = [1, 2].map(|n| Peer::from(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))));
        let lanes = Lanes::new(lookup_lanes());
        let mut held = Vec::new();
        for is_quick in [true, true, false] {
            let pass = lanes.enter(stranger).await.unwrap();
            assert_eq!(pass.is_quick(), is_quick);
            held.push(pass);
        }
        // More of the stranger's wait for the one place of the slow lane.
        let waiting = tokio::spawn({
            let lanes = lanes.clone();
            async move { lanes.enter(stranger).await.map(|pass| pass.is_quick()) }
        });
        while lanes.in_work() < 4 {
            tokio::task::yield_now().await;
        }
        assert!(lanes.enter(other).await.unwrap().is_quick(), "another has its answer at once");
        assert!(!waiting.is_finished());
        held.clear();
        assert!(!waiting.await.unwrap().unwrap());
    }

    #[test]
    fn no_question_that_has_a_place_in_the_lanes_waits_in_pythia() {
        let (queries, lookups) = (query_lanes(), lookup_lanes());
        assert_eq!((queries.quick + queries.slow, lookups.quick + lookups.slow), (QUERIES, LOOKUPS_MAX));
    }
}
