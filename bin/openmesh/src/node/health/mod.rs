//! The health of a running node, for its operator: facts, alerts, and who is told of them. `docs/spec/operators.md`, clauses O-14 to O-17.
//!
//! One task follows blocks and counts this validator's signatures; another one looks at everything each quarter of a minute and writes the book of
//! alerts; a third one sends what is due, so that no slow receiver holds up the looking. The rules ([`rules`]) and the counting ([`signing`]) are pure.

mod kept;
mod metrics;
mod rules;
mod signing;
pub mod webhooks;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use openmesh_alerts::{AlertEvent, Entry, Message, Receiver, Severity, body};
use openmesh_api::{
    NodeAlert, NodeAlertSeverity, NodeClock, NodeDisk, NodeNetwork, NodeRole, NodeSigning, NodeState, NodeWebhook,
};
use openmesh_engine as engine;
use openmesh_ledger::{Block, Genesis, validator_record};
use openmesh_network as network;
use openmesh_primitives::{Timestamp, ValidatorPublicKey, report};
use openmesh_storage::files::write_whole;
use openmesh_storage::{Store, StoreError};
use openmesh_sync::{Peers, clocks, median_ms};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::config::{Alerts, Files, MeantRole, NodeConfig};
use super::joining;
use super::room::Room;
use super::running::Stage;
use kept::{Kept, changes};
use metrics::Metrics;
use rules::{Facts, Key};
use signing::{Signed, Signing};

/// Time between two looks: half of the shortest time for which something has to last.
const LOOK: Duration = Duration::from_secs(15);
/// Time between two comparisons of clocks: a clock that drifts does so by milliseconds in it.
const CLOCK: Duration = Duration::from_secs(60);
/// Time for which a comparison counts where no other one comes about: a clock may be set right while nobody is there to tell.
const CLOCK_COUNTS: Duration = Duration::from_secs(300);
/// Time between two looks whether a message is due.
const SEND: Duration = Duration::from_secs(5);
/// Messages that are sent at once.
const SENDS_MAX: usize = 8;

/// Handles that the health of a node is read from: consensus, the ledger's store, the host, the disks.
pub type Handles = (engine::Handle, Store, network::Handle, Room);

/// The health of a node; clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    home: PathBuf,
    alerts: Alerts,
    network_info: NodeNetwork,
    key: ValidatorPublicKey,
    name: String,
    meant_to_validate: bool,
    is_archive: bool,
    idle_block_ms: u64,
    peers_named: usize,
    /// Height of the block that `sync.trust` names; 0 without one.
    trusted_height: u64,
    engine: engine::Handle,
    store: Store,
    network: network::Handle,
    room: Room,
    begun: Instant,
    seen: Mutex<Seen>,
    kept: Mutex<Kept>,
    /// Held while the book is written.
    writing: tokio::sync::Mutex<()>,
    metrics: Metrics,
}

/// Everything that the last look has found.
struct Seen {
    signing: Signing,
    /// Power of this node's key and of all, where the set has the key.
    power: Option<(u64, u64)>,
    clock: NodeClock,
    disks: Vec<NodeDisk>,
    /// Height at the last look, and when it was first seen.
    height: (u64, Instant),
    /// Reasons for which webhooks cannot be used.
    unusable: Vec<(String, String)>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Health {
    /// Begins to follow and to look at a node that serves: its health, and the stage that does so.
    pub fn start(
        config: &NodeConfig,
        files: &Files,
        genesis: &Genesis,
        key: ValidatorPublicKey,
        handles: Handles,
        registry: &mut Registry,
    ) -> (Health, Stage) {
        let peers = joining::peers(&handles.2);
        let health = Health::new(config, files, genesis, key, handles, registry);
        let mut stage = Stage::new("the watch over this node's health");
        stage.add(tokio::spawn(health.clone().follow(stage.stop())));
        stage.add(tokio::spawn(health.clone().watch(peers, stage.stop())));
        stage.add(tokio::spawn(health.clone().tell(stage.stop())));
        (health, stage)
    }

    fn new(
        config: &NodeConfig,
        files: &Files,
        genesis: &Genesis,
        key: ValidatorPublicKey,
        (engine, store, network, room): Handles,
        registry: &mut Registry,
    ) -> Health {
        let seen = Seen {
            signing: Signing::new(key.address()),
            power: None,
            clock: NodeClock::default(),
            disks: Vec::new(),
            height: (0, Instant::now()),
            unusable: Vec::new(),
        };
        Health(Arc::new(Inner {
            home: files.home.clone(),
            alerts: config.alerts.clone(),
            network_info: NodeNetwork {
                name: genesis.name.clone(),
                chain_id: genesis.chain_id,
                genesis: genesis.hash().to_string(),
            },
            key,
            name: name_of(genesis, &key),
            meant_to_validate: config.role == Some(MeantRole::Validator),
            is_archive: config.storage.kept_epochs().is_none(),
            idle_block_ms: config.consensus.idle_block_ms,
            peers_named: config.consensus.peers.len(),
            // A wrong one was refused before.
            trusted_height: config.sync.trusted().ok().flatten().map_or(0, |(height, _)| height),
            engine,
            store,
            network,
            room,
            begun: Instant::now(),
            seen: Mutex::new(seen),
            kept: Mutex::new(Kept::open(&files.data("alerts.json"))),
            writing: tokio::sync::Mutex::default(),
            metrics: Metrics::register(registry),
        }))
    }

    /// Counts signatures, block by block, until it is told to stop.
    async fn follow(self, stop: CancellationToken) {
        let mut committed = self.0.engine.committed();
        let own = self.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || own.look_back()).await {
            tracing::warn!(error = report(&error), "the last blocks are not counted");
        }
        locked(&self.0.seen).signing.begin();
        while let Some(block) = stop.run_until_cancelled(committed.recv()).await {
            match block {
                Ok(block) => self.note(&block.block),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Counts the last blocks of the store.
    fn look_back(&self) -> Result<(), StoreError> {
        let tip = self.0.store.tip().height;
        let first = tip.saturating_sub(signing::BLOCKS as u64).max(self.0.store.oldest_block()).max(1);
        for height in first..=tip {
            if let Some(stored) = self.0.store.block(height)? {
                self.note(&stored.block);
            }
        }
        Ok(())
    }

    fn note(&self, block: &Block) {
        let (store, address) = (&self.0.store, self.0.key.address());
        let is_member = || store.validators_at(block.header.height).map(|set| set.get(&address).is_some());
        let noted = locked(&self.0.seen).signing.block(&block.header, block.last_commit.as_ref(), is_member);
        if let Err(error) = noted {
            tracing::warn!(error = report(&error), "the validators of a height cannot be read");
        }
    }

    /// Looks again and again until it is told to stop.
    async fn watch(self, peers: Peers, stop: CancellationToken) {
        let mut compared: Option<Instant> = None;
        loop {
            let turn = async {
                if compared.is_none_or(|at| at.elapsed() >= CLOCK) {
                    if self.compare(&peers).await {
                        compared = Some(Instant::now());
                    } else if compared.is_some_and(|at| at.elapsed() >= CLOCK_COUNTS) {
                        locked(&self.0.seen).clock = NodeClock::default();
                    }
                }
                self.look().await;
                tokio::time::sleep(LOOK).await;
            };
            if stop.run_until_cancelled(turn).await.is_none() {
                return;
            }
        }
    }

    /// Sends what is due, again and again until it is told to stop. A message that is under way then is sent again by the next start.
    async fn tell(self, stop: CancellationToken) {
        loop {
            let turn = async {
                self.deliver().await;
                tokio::time::sleep(SEND).await;
            };
            if stop.run_until_cancelled(turn).await.is_none() {
                return;
            }
        }
    }

    /// Compares clocks; false where nobody has told.
    async fn compare(&self, peers: &Peers) -> bool {
        let offsets = clocks(peers).await;
        let count = u32::try_from(offsets.len()).unwrap_or(u32::MAX);
        let Some(offset) = median_ms(offsets) else { return false };
        locked(&self.0.seen).clock = NodeClock { offset_ms: Some(offset), peers: count };
        self.0.metrics.clock(offset);
        true
    }

    /// One look: disks, the set, then the rules.
    async fn look(&self) {
        let own = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let height = own.0.store.tip().height;
            let set = own.0.store.validators_at(height + 1);
            let address = own.0.key.address();
            let power = set.map(|set| set.get(&address).map(|validator| (validator.power, set.total_power())));
            (height, power, own.0.room.disks())
        });
        let Ok((height, power, disks)) = read.await else { return };
        {
            let mut seen = locked(&self.0.seen);
            seen.disks = disks;
            if seen.height.0 != height {
                seen.height = (height, Instant::now());
            }
            match power {
                Ok(power) => seen.power = power,
                Err(error) => tracing::warn!(error = report(&error), "the validators cannot be read"),
            }
        }
        let found = rules::findings(&self.facts(), &self.0.alerts);
        let webhooks: BTreeSet<String> = self.0.alerts.webhooks.keys().cloned().collect();
        let is_new = {
            let mut kept = locked(&self.0.kept);
            let before = kept.book.open.clone();
            let now = kept.now();
            let Kept { book, watch, .. } = &mut *kept;
            let is_new = book.step(watch, &found, &webhooks, now);
            changes(&before, &kept.book.open).iter().for_each(|(event, entry)| log(*event, entry));
            self.0.metrics.alerts(&kept.book.open);
            is_new
        };
        let signed = locked(&self.0.seen).signing.signed();
        self.0.metrics.signed(&signed);
        self.write(is_new).await;
    }

    /// Writes the book where it has changed: away from the threads of consensus and of the API, which a slow disk must not hold up, and one
    /// after the other, so that an older one never comes last.
    async fn write(&self, is_new: bool) {
        let _turn = self.0.writing.lock().await;
        let Some((path, bytes)) = locked(&self.0.kept).unwritten(is_new) else { return };
        let written = tokio::task::spawn_blocking(move || write_whole(&path, &bytes)).await;
        locked(&self.0.kept).wrote(written.unwrap_or_else(|error| Err(std::io::Error::other(error))));
    }

    /// Sends what is due to its receivers.
    async fn deliver(&self) {
        let due = locked(&self.0.kept).due(SENDS_MAX);
        let mut unusable = Vec::new();
        let sends = due.into_iter().map(|message| self.send(message));
        let done = join_all(sends).await;
        for (name, webhook) in &self.0.alerts.webhooks {
            if let Err(cause) = webhooks::receiver(&self.0.home, webhook) {
                unusable.push((name.clone(), cause));
            }
        }
        locked(&self.0.seen).unusable = unusable;
        if done.is_empty() {
            return;
        }
        {
            let mut kept = locked(&self.0.kept);
            let now = kept.now();
            for (id, sent) in done {
                kept.book.settle(id, sent, now);
            }
        }
        self.write(true).await;
    }

    async fn send(&self, message: Message<Key>) -> (u64, Result<(), String>) {
        let webhook = self.0.alerts.webhooks.get(&message.webhook);
        let receiver: Result<Receiver, String> = match webhook {
            Some(webhook) => webhooks::receiver(&self.0.home, webhook),
            None => Err("the webhook is not in node.toml any more".into()),
        };
        let sent = match receiver {
            Ok(receiver) => {
                let id = format!("{}-{}-{}", self.0.key.address(), message.at.nanos(), message.id);
                let data = data(&self.0.network_info.name, &self.0.name, &self.0.key, Some(&message.alert));
                receiver.post(&id, body(message.event, message.at, &data)).await
            }
            Err(cause) => Err(cause),
        };
        (message.id, sent)
    }

    fn facts(&self) -> Facts {
        let status = self.0.engine.status();
        let seen = locked(&self.0.seen);
        let (height, lag_ms) = self.tip();
        Facts {
            meant_to_validate: self.0.meant_to_validate,
            is_validator: seen.power.is_some(),
            signed: seen.signing.signed(),
            height,
            lag_ms,
            idle_block_ms: self.0.idle_block_ms,
            syncing: status.syncing,
            since_block_ms: u64::try_from(seen.height.1.elapsed().as_millis()).unwrap_or(u64::MAX),
            consensus_peers: status.peers,
            peers_named: self.0.peers_named,
            trusted_height: self.0.trusted_height,
            clock: seen.clock,
            disks: seen.disks.clone(),
        }
    }

    /// Height and age, in milliseconds, of the last block.
    fn tip(&self) -> (u64, u64) {
        let tip = self.0.store.tip();
        let age = Timestamp::now().millis().saturating_sub(tip.time.millis());
        (tip.height, u64::try_from(age).unwrap_or(0))
    }

    /// The state for the operator.
    pub fn state(&self) -> NodeState {
        let facts = self.facts();
        let (power, unusable) = {
            let seen = locked(&self.0.seen);
            (seen.power, seen.unusable.clone())
        };
        let role = match (facts.is_validator, self.0.is_archive) {
            (true, _) => NodeRole::Validator,
            (false, true) => NodeRole::Archive,
            (false, false) => NodeRole::Full,
        };
        let (alerts, webhooks) = self.told(&unusable);
        NodeState {
            version: env!("CARGO_PKG_VERSION").into(),
            network: self.0.network_info.clone(),
            role,
            meant_to_validate: facts.meant_to_validate,
            address: self.0.key.address().to_string(),
            public_key: self.0.key.to_string(),
            time: Timestamp::now().to_rfc3339(),
            uptime_seconds: self.0.begun.elapsed().as_secs(),
            height: facts.height,
            lag_ms: facts.lag_ms,
            idle_block_ms: facts.idle_block_ms,
            syncing: facts.syncing,
            oldest_block: self.0.store.oldest_block(),
            signing: power.map(|power| part(power, facts.signed, self.payout())),
            consensus_peers: facts.consensus_peers,
            network_peers: u32::try_from(self.0.network.peers().len()).unwrap_or(u32::MAX),
            clock: facts.clock,
            disks: facts.disks,
            alerts,
            webhooks,
        }
    }

    /// The account that earns the tips of this validator's blocks. A store that cannot be read is told of elsewhere.
    fn payout(&self) -> Option<String> {
        let state = self.0.store.state().ok()?;
        let record = validator_record(&state, &self.0.key.address()).ok()??;
        record.payout.map(|account| account.to_string())
    }

    /// Open alerts, the most severe first, and the receivers.
    fn told(&self, unusable: &[(String, String)]) -> (Vec<NodeAlert>, Vec<NodeWebhook>) {
        let kept = locked(&self.0.kept);
        let mut alerts: Vec<NodeAlert> = kept.book.open.iter().map(alert).collect();
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.id));
        let webhook = |name: &String| {
            let waiting: Vec<&Message<Key>> =
                kept.book.waiting.iter().filter(|message| message.webhook == *name).collect();
            let broken = unusable.iter().find(|(other, _)| other == name).map(|(_, cause)| cause.clone());
            let failed = || waiting.iter().rev().find_map(|message| message.cause.clone());
            NodeWebhook { name: name.clone(), waiting: waiting.len() as u64, trouble: broken.or_else(failed) }
        };
        (alerts, self.0.alerts.webhooks.keys().map(webhook).collect())
    }
}

/// Part of a validator in consensus.
fn part((power, total_power): (u64, u64), signed: Signed, payout: Option<String>) -> NodeSigning {
    let Signed { recent, missed, last, signs, .. } = signed;
    NodeSigning { payout, power, total_power, recent, missed, last_signed_height: last, signs }
}

/// An alert as the API tells it.
fn alert(entry: &Entry<Key>) -> NodeAlert {
    NodeAlert {
        id: entry.id,
        kind: entry.key.kind,
        subject: entry.key.subject.clone(),
        severity: match entry.severity {
            Severity::Critical => NodeAlertSeverity::Critical,
            Severity::Warning | Severity::Info => NodeAlertSeverity::Warning,
        },
        cause: entry.cause.clone(),
        remedy: entry.remedy.clone(),
        begin: entry.begin.to_rfc3339(),
    }
}

/// Name of a node for people: that of the genesis, or its address.
pub fn name_of(genesis: &Genesis, key: &ValidatorPublicKey) -> String {
    let own = genesis.validators.iter().find(|validator| validator.public_key == *key);
    own.map_or_else(|| key.address().to_string(), |validator| validator.name.clone())
}

/// Words of a message: the one who sends it, and the alert.
pub fn data(network: &str, name: &str, key: &ValidatorPublicKey, alert: Option<&Entry<Key>>) -> Value {
    json!({ "network": network, "node": name, "address": key.address().to_string(), "alert": alert })
}

/// Logs a change of an alert.
fn log(event: AlertEvent, entry: &Entry<Key>) {
    let (kind, cause, remedy) = (entry.key.kind.as_str(), entry.cause.as_str(), entry.remedy.as_str());
    match (event, entry.severity) {
        (AlertEvent::Closed, _) => tracing::info!(alert = entry.id, kind, cause, "an alert is over"),
        (_, Severity::Critical) => tracing::error!(alert = entry.id, kind, cause, remedy, "an alert is critical"),
        _ => tracing::warn!(alert = entry.id, kind, cause, remedy, "an alert is open"),
    }
}
