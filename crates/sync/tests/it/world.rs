//! Peers in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmesh_ledger::Genesis;
use openmesh_primitives::canonical;
use openmesh_storage::{Store, StoreConfig};
use openmesh_sync::{
    Deps, JoinConfig, JoinError, Metrics, Peers, Progress, Question, Refusal, Snapshots, Trust, TrustedBlock, join,
};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::chain::{INTERVAL, now};

/// Generous, because the machine may be busy with builds.
pub const DEADLINE: Duration = Duration::from_secs(300);

type Peer = Arc<dyn Fn(Question) -> Result<Vec<u8>, Refusal> + Send + Sync>;

#[derive(Clone, Default)]
pub struct World {
    peers: Arc<Mutex<BTreeMap<String, Peer>>>,
    pub shut_out: Arc<Mutex<BTreeSet<String>>>,
    /// Questions for chunks, by peer.
    pub asked: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl World {
    pub fn add(&self, name: &str, peer: impl Fn(Question) -> Result<Vec<u8>, Refusal> + Send + Sync + 'static) {
        self.peers.lock().unwrap().insert(name.to_owned(), Arc::new(peer));
    }

    /// A peer that answers from a store.
    pub fn add_honest(&self, name: &str, store: &Store) {
        self.add(name, honest(store));
    }

    pub fn peers(&self) -> Peers {
        let (connected, asked, shut_out) = (self.clone(), self.clone(), self.clone());
        Peers {
            connected: Arc::new(move || {
                let shut_out = connected.shut_out.lock().unwrap();
                connected.peers.lock().unwrap().keys().filter(|name| !shut_out.contains(*name)).cloned().collect()
            }),
            ask: Arc::new(move |name, question| {
                let peer = asked.peers.lock().unwrap().get(name).cloned();
                let question: Question = canonical::decode(&question).unwrap();
                if matches!(question, Question::Chunk { .. }) {
                    *asked.asked.lock().unwrap().entry(name.to_owned()).or_default() += 1;
                }
                Box::pin(async move {
                    let Some(peer) = peer else { return Err(Refusal::Silent) };
                    tokio::task::spawn_blocking(move || peer(question)).await.unwrap()
                })
            }),
            shut_out: Arc::new(move |name| shut_out.shut_out.lock().unwrap().extend([name.to_owned()])),
        }
    }

    /// Joins into a directory; returns the store and what the progress came to.
    pub async fn join(
        &self,
        dir: &Path,
        genesis: &Genesis,
        block: Option<TrustedBlock>,
    ) -> (Result<Store, JoinError>, Progress) {
        let (progress, seen) = watch::channel(Progress::default());
        let joined = self.join_with(dir, genesis, block, 0, progress).await;
        let progress = seen.borrow().clone();
        (joined, progress)
    }

    /// The same for a node with a store of a height, saying its progress elsewhere.
    pub async fn join_with(
        &self,
        dir: &Path,
        genesis: &Genesis,
        block: Option<TrustedBlock>,
        height: u64,
        progress: watch::Sender<Progress>,
    ) -> Result<Store, JoinError> {
        let deps = Deps { peers: self.peers(), progress, metrics: Metrics::register(&mut Registry::default()), now };
        let config = JoinConfig {
            dir: dir.to_path_buf(),
            store: StoreConfig::default(),
            genesis: genesis.clone(),
            height,
            trust: trust(block),
            fallback: (height > 0).then_some(Duration::from_millis(600)),
        };
        tokio::time::timeout(DEADLINE, join(config, deps)).await.expect("joined in time")
    }
}

pub fn trust(block: Option<TrustedBlock>) -> Trust {
    Trust { block, period_ms: 7 * 24 * 3_600_000 }
}

/// Answers from a store.
pub fn honest(store: &Store) -> impl Fn(Question) -> Result<Vec<u8>, Refusal> + Clone + Send + Sync + 'static {
    let snapshots = Snapshots::new(store.clone(), INTERVAL, Metrics::register(&mut Registry::default()));
    move |question| snapshots.answer(&canonical::encode(&question)).ok_or(Refusal::Missing)
}
