//! Composition of the engine: keys, actors of consensus, mempool, chain thread, host.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use malachite_channel::AppMsg;
use openmesh_ledger::Upcoming;
use openmesh_primitives::ValidatorKey;
use openmesh_storage::Store;
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::chain::{Chain, Worker};
use crate::config::{Config, linear_timeouts};
use crate::consensus::context::Context;
use crate::consensus::node;
use crate::error::EngineError;
use crate::handle::{Handle, HandleInner};
use crate::host::{Host, Parts, Progress};
use crate::keyfile::p2p_seed;
use crate::mempool::{Mempool, gossip};
use crate::metrics::{Metrics, share_consensus};

/// Committed blocks that a slow listener may be behind; one that is further behind reads them from the store.
const COMMITTED_MAX: usize = 1_024;
/// Time within which the consensus network must listen.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts the engine on an initialised store; with a key it takes part in consensus if the key is a validator's. When
/// this returns it listens, and the returned task ends when it is cancelled or when the process must end.
///
/// Fails if the store has no genesis, none of the rule sets is that of the next height, a file of the home directory or a
/// peer's address cannot be used, or consensus cannot listen.
pub async fn start(
    config: Config,
    key: Option<ValidatorKey>,
    store: Store,
    cancel: CancellationToken,
    registry: &mut Registry,
) -> Result<(Handle, JoinHandle<Result<(), EngineError>>), EngineError> {
    let chain_id = store.genesis()?.chain_id;
    let tip = store.tip();
    // Before anything listens: a program without the rules of the next height takes no part in it.
    Upcoming::check(&config.rule_sets, &store.state()?, tip.height + 1)?;
    let metrics = Metrics::register(registry);
    metrics.height.set(tip.height as i64);
    let seed = p2p_seed(&config.home)?;
    check_free(config.listen)?;
    let (spread, spreading) = mpsc::channel(gossip::SPREAD_MAX);
    let address = key.as_ref().map(|k| k.public().address());
    let (rule_sets, limits) = (config.rule_sets.clone(), config.mempool.clone());
    let mempool = Mempool::under(rule_sets.clone(), limits, address, store.clone(), spread, metrics.clone());
    let committed = broadcast::Sender::new(COMMITTED_MAX);
    let propose = Duration::from_millis(config.timeouts.propose_ms);
    let chain = Chain::new(store.clone(), mempool.clone(), key.clone(), propose, committed.clone(), metrics.clone());
    let (chain, block_bytes_max) = begun(chain.under(rule_sets.clone())).await?;

    let mut node = node::start(&config, key.clone(), chain_id, seed).await?;
    share_consensus(registry, &node.metrics);
    let first = match ready(&mut node, config.listen).await {
        Ok(first) => first,
        Err(error) => {
            node.stop().await;
            return Err(error);
        }
    };
    let listen = node.listen_addr().await?;
    let (named, announcements) = mpsc::channel(gossip::ANNOUNCEMENTS_MAX);
    let stop = cancel.child_token();
    let naming = tokio::spawn(gossip::name(spreading, named, metrics.clone(), stop.clone()));
    let progress = watch::Sender::new(Progress { height: tip.height, round: -1, ..Progress::default() });
    let handle = Handle(Arc::new(HandleInner {
        mempool: mempool.clone(),
        committed,
        progress: progress.subscribe(),
        peers: node.metrics.connected_peers.clone(),
        listen,
        peer_id: node.peer_id.clone(),
        network: node.network.clone(),
        announcements: Mutex::new(Some(announcements)),
        rule_sets,
    }));
    let parts = Parts {
        chain_id,
        key,
        store,
        worker: Worker::start(chain)?,
        mempool,
        pace: config.pauses.pace(),
        timeouts: linear_timeouts(config.timeouts),
        block_bytes_max,
        metrics,
        progress,
    };
    let host = Host::new(parts, node)?;
    tracing::info!(%listen, height = tip.height, "consensus: listening");
    Ok((handle, tokio::spawn(guarded(host.run(first, stop.clone()), naming, stop))))
}

/// Lets a chain make the beginning of the next block, and returns it with the longest bytes of that block. It is made before anything
/// listens, and kept: a migration may touch the whole state, and no round is to wait for it (clause U5 of `docs/spec/upgrades.md`).
async fn begun(mut chain: Chain) -> Result<(Chain, usize), EngineError> {
    let made = tokio::task::spawn_blocking(move || chain.next_bytes_max().map(|bytes_max| (chain, bytes_max)));
    made.await.map_err(|_| EngineError::ChainStopped)?
}

/// Malachite only logs a port that is taken; asking first gives an error that says so.
fn check_free(address: SocketAddr) -> Result<(), EngineError> {
    if address.port() == 0 {
        return Ok(());
    }
    std::net::TcpListener::bind(address).map(drop).map_err(|source| EngineError::Listen { address, source })
}

/// Runs the host as long as its helper runs: whatever ends the helper ends the engine, because a node that takes
/// transactions in and spreads none looks healthy and is not.
async fn guarded(
    host: impl Future<Output = Result<(), EngineError>>,
    mut helper: JoinHandle<()>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    tokio::pin!(host);
    let ended = tokio::select! {
        result = &mut host => {
            stop.cancel();
            return result;
        }
        ended = &mut helper => ended,
    };
    let asked = stop.is_cancelled();
    stop.cancel();
    let result = host.await;
    if asked && ended.is_ok() {
        return result;
    }
    tracing::error!(panicked = ended.is_err(), "the task that spreads transactions has ended");
    result.and(Err(EngineError::TaskEnded { what: "task that spreads transactions" }))
}

/// Waits until consensus asks its first question, which it does when its network listens.
async fn ready(node: &mut node::Node, address: SocketAddr) -> Result<AppMsg<Context>, EngineError> {
    let listen = |kind, reason: &str| EngineError::Listen { address, source: std::io::Error::new(kind, reason) };
    match tokio::time::timeout(LISTEN_TIMEOUT, node.questions.recv()).await {
        Ok(Some(question)) => Ok(question),
        Ok(None) => Err(EngineError::Liveness),
        Err(_) => Err(listen(std::io::ErrorKind::TimedOut, "the consensus network does not listen")),
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod failure_tests;

#[cfg(test)]
#[path = "peer_flood_tests.rs"]
mod peer_flood_tests;
