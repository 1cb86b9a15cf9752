//! A network of engines in one process: loopback ports that the system chose, temporary directories, transactions
//! joined by channels. Every wait has a deadline and waits for a committed block.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openmesh_engine::{CommittedBlock, Config, EngineError, Handle, start};
use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Genesis, GenesisValidator, Origin, Params, SourceKind, SourceSpec,
    Transaction, WindowsParams,
};
use openmesh_primitives::{AccountKey, Address, Amount, Digest, Timestamp, ValidatorKey};
use openmesh_storage::{Store, StoreError};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Generous, because the machine may be busy with builds.
pub const DEADLINE: Duration = Duration::from_secs(120);
pub const CHAIN_ID: u64 = 4_242;
/// Fee of the tests' transfers: the default network's minimum.
pub const FEE: Amount = Amount(1_000_000_000_000);

pub fn account(n: usize) -> AccountKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(n as u64 + 1).to_be_bytes());
    AccountKey::from_bytes(bytes).unwrap()
}

pub fn transfer(from: usize, nonce: u64, to: Address, amount: u128) -> Vec<u8> {
    let action = Action::Accounts(AccountsAction::Transfer { to, amount: Amount(amount) });
    let signed = AccountTransaction::sign(&account(from), CHAIN_ID, nonce, FEE, action).unwrap();
    Transaction::Account(signed).encode()
}

/// The one source of the tests' network.
pub fn source() -> SourceSpec {
    SourceSpec {
        id: "simulated".to_owned(),
        exchange: "simulated".to_owned(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USDT".to_owned()],
        feeds: vec!["trades".to_owned()],
        window_ms: 1_000,
        origin: Origin::Simulated,
    }
}

type Hub = Arc<Mutex<BTreeMap<usize, Handle>>>;

pub struct Running {
    pub handle: Handle,
    pub store: Store,
    pub blocks: broadcast::Receiver<Arc<CommittedBlock>>,
    pub registry: Registry,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), EngineError>>,
}

pub struct Network {
    dirs: Vec<TempDir>,
    pub keys: Vec<Option<ValidatorKey>>,
    genesis: Genesis,
    pub nodes: Vec<Option<Running>>,
    hub: Hub,
    pub tune: fn(&mut Config),
}

impl Network {
    /// A network of validators with equal power and of followers; nobody runs yet.
    pub fn new(validators: usize, followers: usize, accounts: usize) -> Network {
        let mut keys: Vec<Option<ValidatorKey>> =
            (0..validators).map(|n| Some(ValidatorKey::from_seed([n as u8 + 1; 32]))).collect();
        let validator = |key: &ValidatorKey| GenesisValidator {
            public_key: key.public(),
            power: 10,
            name: String::new(),
            payout: None,
        };
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let genesis = Genesis {
            chain_id: CHAIN_ID,
            name: "test".to_owned(),
            time: Timestamp(since.as_nanos() as i64),
            validators: keys.iter().flatten().map(validator).collect(),
            accounts: (0..accounts).map(|n| (account(n).address(), Amount::open(1_000))).collect(),
            sources: vec![source()],
            source_owners: Default::default(),
            allocation: Default::default(),
            params: Params {
                windows: WindowsParams { commitments: false, ..WindowsParams::default() },
                ..Params::default()
            },
        };
        keys.resize_with(validators + followers, || None);
        Network {
            dirs: keys.iter().map(|_| TempDir::new().unwrap()).collect(),
            nodes: keys.iter().map(|_| None).collect(),
            keys,
            genesis,
            hub: Hub::default(),
            tune: |_| {},
        }
    }

    pub async fn start_all(&mut self) {
        for n in 0..self.nodes.len() {
            self.start(n).await;
        }
    }

    /// Starts a node from its directory; it connects to whoever runs.
    pub async fn start(&mut self, n: usize) {
        let dir = self.dirs[n].path();
        let store = open(dir).await;
        store.initialise(&self.genesis).unwrap();
        let mut config = Config::new(&format!("node {n}"), dir.to_owned(), "127.0.0.1:0".parse().unwrap());
        config.peers = self.nodes.iter().flatten().map(|r| multiaddr(&r.handle)).collect();
        (self.tune)(&mut config);
        let cancel = CancellationToken::new();
        let mut registry = Registry::default();
        let started = start(config, self.keys[n].clone(), store.clone(), cancel.clone(), &mut registry).await;
        let (handle, task) = started.unwrap();
        let mut announced = handle.gossip_out().unwrap();
        assert!(handle.gossip_out().is_none());
        self.hub.lock().unwrap().insert(n, handle.clone());
        let (hub, own) = (Arc::clone(&self.hub), handle.clone());
        tokio::spawn(async move {
            while let Some(hashes) = announced.recv().await {
                // Committed meanwhile: nobody needs to hear of them.
                let Some(envelope) = own.bodies(&hashes) else { continue };
                let others: Vec<Handle> =
                    hub.lock().unwrap().iter().filter(|(m, _)| **m != n).map(|(_, h)| h.clone()).collect();
                for other in others {
                    // A slow node must not hold up what the others hear.
                    let envelope = envelope.clone();
                    tokio::spawn(async move { other.gossip_in(envelope, n.to_string()).await });
                }
            }
        });
        let blocks = handle.committed();
        self.nodes[n] = Some(Running { handle, store, blocks, registry, cancel, task });
    }

    /// Stops a node in order.
    pub async fn stop(&mut self, n: usize) {
        let running = self.nodes[n].take().unwrap();
        self.hub.lock().unwrap().remove(&n);
        running.cancel.cancel();
        running.task.await.unwrap().unwrap();
    }

    pub fn node(&mut self, n: usize) -> &mut Running {
        self.nodes[n].as_mut().unwrap()
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].is_some()).collect()
    }

    /// Waits until all running nodes have committed this height.
    pub async fn reach(&mut self, height: u64) {
        for n in self.running() {
            self.node(n).reach(height).await;
        }
    }

    pub fn highest(&self) -> u64 {
        self.nodes.iter().flatten().map(|r| r.store.tip().height).max().unwrap()
    }

    /// All running nodes have the same blocks up to the lowest tip, and verify them as a light client does.
    pub fn assert_agreement(&self) -> u64 {
        let stores: Vec<&Store> = self.nodes.iter().flatten().map(|r| &r.store).collect();
        let common = stores.iter().map(|s| s.tip().height).min().unwrap();
        for height in 1..=common {
            let first = stores[0].block(height).unwrap().unwrap();
            for store in &stores {
                let stored = store.block(height).unwrap().unwrap();
                assert_eq!(stored.block, first.block, "height {height}");
                let set = store.validators_at(height).unwrap();
                openmesh_ledger::light::verify(CHAIN_ID, &set, &stored.block.header, &stored.certificate).unwrap();
            }
        }
        common
    }
}

impl Running {
    /// Waits until the node has committed this height.
    pub async fn reach(&mut self, height: u64) {
        let reached = async {
            while self.store.tip().height < height {
                match self.blocks.recv().await {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => panic!("the engine stopped"),
                }
            }
        };
        let tip = self.store.tip().height;
        assert!(
            tokio::time::timeout(DEADLINE, reached).await.is_ok(),
            "height {height} was not reached from {tip}: {:?}",
            self.handle.status()
        );
    }

    /// A figure of the node's own registry.
    pub fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// Waits until these transactions have been committed, and returns when each was seen.
    pub async fn commits(&mut self, hashes: &[Digest]) -> BTreeMap<Digest, Instant> {
        let mut missing: std::collections::BTreeSet<Digest> = hashes.iter().copied().collect();
        let mut seen = BTreeMap::new();
        let all = async {
            while !missing.is_empty() {
                let block = self.blocks.recv().await.expect("the engine runs and is not too fast");
                for receipt in &block.receipts {
                    if missing.remove(&receipt.hash) {
                        assert!(receipt.ok(), "{receipt:?}");
                        seen.insert(receipt.hash, Instant::now());
                    }
                }
            }
        };
        let done = tokio::time::timeout(DEADLINE, all).await.is_ok();
        assert!(done, "{} transactions were not committed: {:?}", missing.len(), self.handle.status());
        seen
    }
}

pub fn multiaddr(handle: &Handle) -> String {
    let address = handle.listen_addr();
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}

/// Opens a store that a run which has just stopped may not have let go of yet.
async fn open(dir: &std::path::Path) -> Store {
    let opened = async {
        loop {
            match Store::open(dir) {
                Err(StoreError::InUse(_)) => tokio::task::yield_now().await,
                other => return other.unwrap(),
            }
        }
    };
    tokio::time::timeout(DEADLINE, opened).await.expect("the store is free")
}
