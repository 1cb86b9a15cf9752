//! Runs the ledger under consensus: Malachite's host, the mempool, the only writer of the chain.
//!
//! # What it owns
//! Malachite (a Tendermint consensus in Rust, embedded) and everything that it leaves to its user: the types and bytes
//! of its messages, signed streaming of blocks, the mempool, pacing, serving and taking decided blocks. The rules of the
//! ledger are elsewhere (`openmesh-ledger`), and so is the disk (`openmesh-storage`). Transactions travel through
//! [`Handle::gossip_out`] and [`Handle::gossip_in`]: whoever composes the node joins them with a network.
//!
//! # How a block comes about
//! A proposer that is told to go on ([`pace`]) takes candidates from the [`mempool`], builds, executes and stores the
//! block ([`chain`]), then streams it in signed parts ([`consensus`]). The others assemble, execute and store it and only
//! then let consensus vote. The decision commits the execution that is there already, and [`Handle::committed`] tells
//! everybody. A node that was away gets decided blocks with their certificates and executes them.
//!
//! # On failure
//! The task of [`start`] ends with an error; the process must end then, and a supervisor may start it again. After
//! [`EngineError::Safety`] (the write-ahead log could not be written) a person should look at the disk first: a node
//! whose log is incomplete could vote twice. Nothing in here retries by restarting a height, for the same reason.

mod chain;
mod consensus;
#[doc(hidden)]
pub mod fuzz;
mod host;
pub mod machine;
mod mempool;
mod metrics;
mod pace;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use malachite_app::engine::network::NetworkRef;
use malachite_app::types::core::LinearTimeouts;
use malachite_channel::AppMsg;
use openmesh_ledger::{Block, Certificate, ExecuteError, LedgerEvent, Receipt, StateError};
use openmesh_primitives::{Digest, Height, ValidatorKey};
use openmesh_storage::{Store, StoreError};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use mempool::SubmitError;
pub use mempool::gossip::GossipVerdict;
pub use mempool::pool::{MempoolConfig, PoolError};

use consensus::context::Context;
use mempool::Mempool;
use metrics::Metrics;

/// Committed blocks that a slow listener may be behind; one that is further behind reads them from the store.
const COMMITTED_MAX: usize = 1_024;
/// A node whose last block is older than this does not blame neighbours for what it does not know: it is behind, or the
/// network stands still.
const STATE_FRESH: Duration = Duration::from_secs(10);
/// How long the consensus network may take to listen.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How to run the engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name for people, in logs and at peers.
    pub name: String,
    /// Directory for the write-ahead log and the key of the peer-to-peer identity.
    pub home: PathBuf,
    /// Where consensus listens (TCP); port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Multiaddresses of the other validators: `/ip4/10.0.0.2/tcp/26656`.
    pub peers: Vec<String>,
    /// Connections from one address; all validators of a local network share one.
    pub connections_per_ip_max: usize,
    /// A block without transactions follows the last one after so many milliseconds.
    pub idle_block_ms: u64,
    /// Blocks with transactions are at least so many milliseconds apart.
    pub block_min_ms: u64,
    /// The first waiting transaction waits so many milliseconds for company.
    pub batch_ms: u64,
    /// Time-outs of the rounds.
    pub timeouts: Timeouts,
    /// Limits of the mempool.
    pub mempool: MempoolConfig,
}

/// Time-outs of consensus, milliseconds: for the first round, and what each further round adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the proposal: building, streaming and executing a full block must fit.
    pub propose_ms: u64,
    /// Added for each round.
    pub propose_delta_ms: u64,
    /// For prevotes and for precommits, once two thirds are there but do not agree.
    pub vote_ms: u64,
    /// Added for each round.
    pub vote_delta_ms: u64,
    /// Upper limit of each: how long a network that was halted may take to notice that it can go on.
    pub max_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { propose_ms: 1_500, propose_delta_ms: 500, vote_ms: 500, vote_delta_ms: 250, max_ms: 5_000 }
    }
}

impl Config {
    /// Defaults for a node in this directory.
    pub fn new(name: &str, home: PathBuf, listen: SocketAddr) -> Config {
        Config {
            name: name.to_owned(),
            home,
            listen,
            peers: Vec::new(),
            connections_per_ip_max: 64,
            idle_block_ms: 1_000,
            block_min_ms: 200,
            batch_ms: 20,
            timeouts: Timeouts::default(),
            mempool: MempoolConfig::default(),
        }
    }

    fn pace(&self) -> pace::Pace {
        pace::Pace {
            idle: Duration::from_millis(self.idle_block_ms),
            min: Duration::from_millis(self.block_min_ms),
            batch: Duration::from_millis(self.batch_ms),
            grace: Duration::from_millis(self.block_min_ms.max(200)),
        }
    }
}

/// As Malachite wants them.
pub(crate) fn linear_timeouts(t: Timeouts) -> LinearTimeouts {
    let ms = Duration::from_millis;
    LinearTimeouts {
        propose: ms(t.propose_ms),
        propose_delta: ms(t.propose_delta_ms),
        prevote: ms(t.vote_ms),
        prevote_delta: ms(t.vote_delta_ms),
        precommit: ms(t.vote_ms),
        precommit_delta: ms(t.vote_delta_ms),
        rebroadcast: ms(t.propose_ms + 2 * t.vote_ms),
        max_timeout: ms(t.max_ms),
    }
}

/// Why the engine does not start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The state cannot be read.
    #[error("the state cannot be read")]
    State(#[from] StateError),
    /// A block of ours or a decided one cannot be executed.
    #[error("a block cannot be executed")]
    Execute(#[from] ExecuteError),
    /// The network decided a block that does not fit this node's state: its state is wrong, or the network's majority.
    #[error("the decided block {height} does not fit this node's state: {reason}")]
    Diverged {
        /// Of the block.
        height: Height,
        /// What does not fit.
        reason: String,
    },
    /// A block was decided whose body this node never stored.
    #[error("block {hash} of height {height} was decided, but its body is not here")]
    UnknownDecision {
        /// Decided height.
        height: Height,
        /// Decided block.
        hash: Digest,
    },
    /// A file in the home directory cannot be read or written.
    #[error("{path} cannot be used")]
    Home {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The operating system gave no randomness for the peer-to-peer key.
    #[error("no randomness to be had from the operating system")]
    Randomness,
    /// A peer's address is malformed.
    #[error("{address:?} is not a peer's multiaddress (/ip4/<address>/tcp/<port>): {reason}")]
    Peer {
        /// As given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The listening address cannot be used.
    #[error("consensus cannot listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of the consensus engine did not start.
    #[error("the {what} of consensus did not start: {reason}")]
    Start {
        /// Which part.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The chain's thread panicked: a bug.
    #[error("the thread that writes the chain has stopped; the log says why")]
    ChainStopped,
    /// The write-ahead log could not be written or read: look at the disk before starting again.
    #[error("the write-ahead log of consensus failed; check the disk before this validator is started again")]
    Safety,
    /// An actor of consensus stopped: the process can be started again.
    #[error("consensus stopped unexpectedly; the log says why")]
    Liveness,
}

/// A block that was decided, executed and stored.
#[derive(Clone, Debug)]
pub struct CommittedBlock {
    /// The block.
    pub block: Block,
    /// Its hash.
    pub hash: Digest,
    /// Who decided it.
    pub certificate: Certificate,
    /// Root of the state after it; stands in the next header.
    pub state_root: Digest,
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// What happened in it.
    pub events: Vec<LedgerEvent>,
}

/// What the host reports while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) height: Height,
    pub(crate) deciding: Height,
    pub(crate) round: i64,
    pub(crate) syncing: bool,
}

/// Where the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Last committed height.
    pub height: Height,
    /// The height that is being decided; the same as `height` during the pause between blocks.
    pub deciding: Height,
    /// Its round; -1 before the first.
    pub round: i64,
    /// Connected peers of consensus.
    pub peers: u32,
    /// Whether the node is catching up.
    pub syncing: bool,
    /// Waiting transactions of both classes.
    pub mempool_transactions: usize,
    /// Their bytes.
    pub mempool_bytes: usize,
}

/// The running engine; clones are cheap.
#[derive(Clone)]
pub struct Handle(Arc<HandleInner>);

struct HandleInner {
    mempool: Mempool,
    committed: broadcast::Sender<Arc<CommittedBlock>>,
    progress: watch::Receiver<Progress>,
    peers: Gauge,
    listen: SocketAddr,
    peer_id: String,
    network: NetworkRef<Context>,
    envelopes: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

impl Handle {
    /// Checks a transaction and takes it into the mempool; returns its hash. It is spread to the other nodes.
    pub async fn submit(&self, bytes: Vec<u8>) -> Result<Digest, SubmitError> {
        let results = self.0.mempool.admit(vec![bytes], true).await?;
        results.into_iter().next().unwrap_or(Err(SubmitError::Stopped))
    }

    /// The same for several, checked together; one result for each, in order.
    pub async fn submit_batch(&self, batch: Vec<Vec<u8>>) -> Result<Vec<Result<Digest, SubmitError>>, SubmitError> {
        self.0.mempool.admit(batch, true).await
    }

    /// Committed blocks from now on. A listener that falls behind is told so and reads the store.
    pub fn committed(&self) -> broadcast::Receiver<Arc<CommittedBlock>> {
        self.0.committed.subscribe()
    }

    /// Where the engine is.
    pub fn status(&self) -> EngineStatus {
        let progress = *self.0.progress.borrow();
        let load = self.0.mempool.load();
        EngineStatus {
            height: progress.height,
            deciding: progress.deciding.max(progress.height),
            round: progress.round,
            peers: u32::try_from(self.0.peers.get()).unwrap_or(0),
            syncing: progress.syncing,
            mempool_transactions: load.transactions + load.attestations,
            mempool_bytes: load.bytes + load.attestation_bytes,
        }
    }

    /// Where consensus listens, with the port that the system chose.
    pub fn listen_addr(&self) -> SocketAddr {
        self.0.listen
    }

    /// The identity at the peers of consensus.
    pub fn peer_id(&self) -> &str {
        &self.0.peer_id
    }

    /// Adds a validator's multiaddress to stay connected with.
    pub async fn add_peer(&self, address: &str) -> Result<(), EngineError> {
        consensus::node::add_peer(&self.0.network, address).await
    }

    /// Envelopes of transactions for the other nodes. There is one stream: the second call returns `None`.
    pub fn gossip_out(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.0.envelopes.lock().ok().and_then(|mut slot| slot.take())
    }

    /// Takes an envelope in that came from a peer, and says what it was worth; only accepted ones should be forwarded.
    pub async fn gossip_in(&self, envelope: Bytes, from: String) -> GossipVerdict {
        let Some(batch) = mempool::gossip::decode(&envelope) else {
            tracing::debug!(from, "not an envelope of transactions");
            return GossipVerdict::Reject;
        };
        let Ok(results) = self.0.mempool.admit(batch, false).await else { return GossipVerdict::Ignore };
        let wrong = |r: &Result<Digest, SubmitError>| matches!(r, Err(SubmitError::Refused(e)) if e.is_stateless());
        if results.iter().any(wrong) {
            tracing::debug!(from, "an envelope with an invalid transaction");
            return GossipVerdict::Reject;
        }
        if results.iter().any(Result::is_ok) {
            return GossipVerdict::Accept;
        }
        let worthless = |r: &Result<Digest, SubmitError>| matches!(r, Err(SubmitError::Refused(e)) if e.is_worthless());
        // Who is behind does not know what its neighbours know.
        let judges = host::age_of(self.0.mempool.tip_time()) < STATE_FRESH;
        if judges && results.iter().all(worthless) { GossipVerdict::Worthless } else { GossipVerdict::Ignore }
    }
}

/// What a refusal says about the neighbour that forwarded the transaction.
trait Blame {
    /// It does not depend on the state, so that every neighbour must have seen it.
    fn is_stateless(&self) -> bool;
    /// A neighbour with about the same state would have refused it too: anybody can make such transactions for nothing.
    fn is_worthless(&self) -> bool;
}

impl Blame for openmesh_ledger::TransactionError {
    fn is_stateless(&self) -> bool {
        use openmesh_ledger::TransactionError::{Chain, Encoding, Signature};
        matches!(self, Encoding { .. } | Signature | Chain { .. })
    }

    fn is_worthless(&self) -> bool {
        use openmesh_ledger::TransactionError::{FeeLow, NotAssigned, UnknownSender, UnknownSource};
        matches!(self, UnknownSender { .. } | FeeLow { .. } | NotAssigned { .. } | UnknownSource { .. })
    }
}

/// Starts the engine on an initialised store; with a key it takes part in consensus if the key is a validator's. When
/// this returns it listens, and the returned task ends when it is cancelled or when the process must end.
pub async fn start(
    config: Config,
    key: Option<ValidatorKey>,
    store: Store,
    cancel: CancellationToken,
    registry: &mut Registry,
) -> Result<(Handle, JoinHandle<Result<(), EngineError>>), EngineError> {
    let chain_id = store.genesis()?.chain_id;
    let tip = store.tip();
    let metrics = Metrics::register(registry);
    metrics.height.set(tip.height as i64);
    let seed = p2p_seed(&config.home)?;
    if config.listen.port() != 0 {
        // Malachite only logs a port that is taken; asking first gives an error that says so.
        std::net::TcpListener::bind(config.listen)
            .map(drop)
            .map_err(|source| EngineError::Listen { address: config.listen, source })?;
    }
    let mut node = consensus::node::start(&config, key.clone(), chain_id, seed).await?;
    metrics::share_consensus(registry, &node.metrics);
    let first = match ready(&mut node, config.listen).await {
        Ok(first) => first,
        Err(error) => {
            node.stop().await;
            return Err(error);
        }
    };
    let listen = node.listen_addr().await?;

    let (spread, spreading) = mpsc::channel(mempool::gossip::SPREAD_MAX);
    let (envelopes_sent, envelopes) = mpsc::channel(mempool::gossip::ENVELOPES_MAX);
    tokio::spawn(mempool::gossip::pack(spreading, envelopes_sent, metrics.clone(), cancel.clone()));
    let mempool = Mempool::new(config.mempool.clone(), store.clone(), spread, metrics.clone());
    let committed = broadcast::Sender::new(COMMITTED_MAX);
    let address = key.as_ref().map(|k| k.public().address());
    let propose = Duration::from_millis(config.timeouts.propose_ms);
    let chain = chain::Chain::new(store.clone(), mempool.clone(), address, propose, committed.clone(), metrics.clone());
    let progress = watch::Sender::new(Progress { height: tip.height, round: -1, ..Progress::default() });
    let handle = Handle(Arc::new(HandleInner {
        mempool: mempool.clone(),
        committed,
        progress: progress.subscribe(),
        peers: node.metrics.connected_peers.clone(),
        listen,
        peer_id: node.peer_id.clone(),
        network: node.network.clone(),
        envelopes: Mutex::new(Some(envelopes)),
    }));
    let parts = host::Parts {
        chain_id,
        key,
        store,
        worker: chain::Worker::start(chain)?,
        mempool,
        pace: config.pace(),
        timeouts: linear_timeouts(config.timeouts),
        metrics,
        progress,
    };
    let host = host::Host::new(parts, node)?;
    tracing::info!(%listen, height = tip.height, "consensus: listening");
    Ok((handle, tokio::spawn(host.run(first, cancel))))
}

/// Waits until consensus asks its first question, which it does when its network listens.
async fn ready(node: &mut consensus::node::Node, address: SocketAddr) -> Result<AppMsg<Context>, EngineError> {
    let listen = |kind, reason: &str| EngineError::Listen { address, source: std::io::Error::new(kind, reason) };
    match tokio::time::timeout(LISTEN_TIMEOUT, node.questions.recv()).await {
        Ok(Some(question)) => Ok(question),
        Ok(None) => Err(EngineError::Liveness),
        Err(_) => Err(listen(std::io::ErrorKind::TimedOut, "the consensus network does not listen")),
    }
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The seed of the peer-to-peer identity: made once and kept, so that peers know the node again. Not the validator's
/// key, which signs nothing but consensus and attestations.
fn p2p_seed(home: &std::path::Path) -> Result<[u8; 32], EngineError> {
    let path = home.join("p2p.key");
    let failed = |source| EngineError::Home { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "32 bytes are expected"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| EngineError::Randomness)?;
            std::fs::create_dir_all(home).map_err(failed)?;
            write_private(&path, &seed).map_err(failed)?;
            Ok(seed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file that only its owner may read: beside its place, and moved there when it is whole on the disk, because
/// half a key would keep the node from starting.
fn write_private(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let beside = path.with_added_extension("new");
    match std::fs::remove_file(&beside) {
        // Of a run that ended in between.
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod failure_tests;
