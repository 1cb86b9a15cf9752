//! A validator without runtime, clock or sockets, driven by hand: for simulations.
//!
//! It drives what the actors of a real node drive: Malachite's core, which yields effects and is resumed with their
//! results; the host's decisions ([`crate::host::state`]: pace, early blocks, offers, streams, evidence); the same
//! [`crate::chain`], mempool, store and codec. This module only carries their effects out, each at once, and stands for
//! what a real node leaves to its actors: the write-ahead log is written before a message leaves, timers are numbers
//! that come back, catching up is asking for decided blocks. It is in this crate because Malachite is known to no other.
//!
//! Not the same: messages are not gossiped but handed to everybody by whoever drives this, a peer loses no place by what it does not
//! deliver, and the bytes of the write-ahead log are not written (it keeps what was appended, and loses what was not synced).
//!
//! A failing disk makes [`Machine::handle`] return an error; the machine is dead then, and is made anew from its disk. So does a height
//! for which it has no rule set ([`EngineError::Rules`]).

mod disk;
mod effects;
mod environment;
mod receive;
mod spread;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use malachite_app::consensus::{Input as CoreInput, Params, State};
use malachite_app::metrics::{Metrics as ConsensusMetrics, SharedRegistry};
use malachite_app::types::core::{ThresholdParams, TimeoutKind, ValuePayload, VoteExtensionPolicy};
use openmesh_ledger::Genesis;
use openmesh_primitives::{Digest, Timestamp};
use openmesh_storage::{Store, StoreConfig};
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc};

use crate::admission::WorkClass;
use crate::chain::Chain;
use crate::config::MempoolConfig;
use crate::consensus::context::Context;
use crate::consensus::types::{Address, Height as CoreHeight, ValidatorSet};
use crate::error::EngineError;
use crate::host::{COLLECT, restored};
use crate::mempool::Mempool;
use crate::mempool::error::SubmitError;
use crate::metrics::Metrics;
use crate::relay::Relay;
use disk::Log;
use environment::{Due, Environment, moment};

pub use disk::MachineDisk;
pub use environment::{Input, MachineConfig, Output, VerifiedBefore};
pub use wire::contradict;

/// Memory for pages of the store: a simulated chain is short.
const CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Transactions that wait to be announced; they are taken out after each step.
const SPREAD_MAX: usize = 1_024;

/// A validator.
pub struct Machine {
    core: State<Context>,
    metrics: ConsensusMetrics,
    env: Environment,
}

impl Machine {
    /// A validator on this disk, which may be empty or have been left by a crash. Fails with [`EngineError::Rules`] where it does
    /// not know the rules of the next height.
    pub fn start(
        config: MachineConfig,
        genesis: &Genesis,
        disk: &MachineDisk,
        now: Timestamp,
    ) -> Result<(Machine, Vec<Output>), EngineError> {
        let limits =
            StoreConfig { cache_bytes_max: CACHE_BYTES_MAX, retain_ms: config.retain_ms, ..StoreConfig::default() };
        let store = Store::open_virtual(&disk.store, limits)?;
        store.initialise(genesis)?;
        let metrics = Metrics::register(&mut Registry::default());
        let (sender, spread) = mpsc::channel(SPREAD_MAX);
        let address = config.key.public().address();
        let (sets, limits) = (config.rule_sets.clone(), MempoolConfig::default());
        let mempool = Mempool::under(sets.clone(), limits, Some(address), store.clone(), sender, metrics.clone());
        let propose = Duration::from_millis(config.timeouts.propose_ms);
        let blocks = broadcast::Sender::new(1);
        let chain = Chain::new(store.clone(), mempool.clone(), Some(config.key.clone()), propose, blocks, metrics);
        let mut chain = chain.under(sets);
        let (pace, bytes_max) = (config.pauses.pace(), chain.next_bytes_max()?);
        let host = restored(&store, bytes_max, genesis.chain_id, Some(config.key.clone()), pace, moment(now))?;
        let (first, validators) = host.next_height();
        let env = Environment {
            chain_id: genesis.chain_id,
            disk: disk.clone(),
            store,
            mempool,
            spread,
            relay: Relay::default(),
            asked: BTreeMap::new(),
            announcements: 0,
            relay_wake_at: None,
            chain,
            host,
            deciding: first.0 - 1,
            begin: Some((first, validators.clone())),
            sync_outcome: None,
            config,
            replaying: false,
            timers: BTreeMap::new(),
            next_timer: 0,
            wake_at: None,
            requested: (0, Timestamp(0)),
            synced: BTreeMap::new(),
            queue: VecDeque::new(),
            outputs: Vec::new(),
            failure: None,
            now,
        };
        let params = Params {
            address: Address(address),
            threshold_params: ThresholdParams::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let core = State::new(Context, first, validators, params, 64, 1_024);
        let consensus_metrics = ConsensusMetrics::register(&SharedRegistry::new(Default::default(), None));
        let mut machine = Machine { core, metrics: consensus_metrics, env };
        let outputs = machine.finish()?;
        Ok((machine, outputs))
    }

    /// The store, to look at.
    pub fn store(&self) -> &Store {
        &self.env.store
    }

    /// Loses what it has executed and not committed, which must not be seen in anything that it does.
    pub fn forget_executions(&mut self) {
        self.env.chain.forget_executions();
    }

    /// Lets something happen, and returns what the validator does about it.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Result<Vec<Output>, EngineError> {
        self.env.now = now;
        match input {
            Input::Timer(id) => match self.env.timers.remove(&id) {
                Some(Due::Core(timeout)) => {
                    if timeout.kind == TimeoutKind::Rebroadcast {
                        let tip = self.env.store.tip().height;
                        self.env.outputs.push(Output::Broadcast(wire::status(tip, true)));
                    }
                    self.env.queue.push_back(CoreInput::TimeoutElapsed(timeout));
                }
                Some(Due::Relay) => self.env.relay_wake_at = None,
                Some(Due::Host) | None => {}
            },
            Input::Submit(bytes) => drop(self.env.admit(bytes, WorkClass::Api)),
            Input::Message { from, bytes } => self.env.receive(from, &bytes),
        }
        self.finish()
    }

    /// Hands in a transaction of this validator's own duties; returns what the mempool says, and what follows.
    pub fn submit_own(
        &mut self,
        bytes: Vec<u8>,
        now: Timestamp,
    ) -> (Result<Digest, SubmitError>, Result<Vec<Output>, EngineError>) {
        self.env.now = now;
        let outcome = self.env.admit(bytes, WorkClass::Own);
        (outcome, self.finish())
    }

    /// Number and bytes of the waiting transactions of both classes.
    pub fn load(&self) -> (usize, usize) {
        let load = self.env.mempool.load();
        (load.transactions + load.attestations, load.bytes + load.attestation_bytes)
    }

    /// Tells the algorithm what waits, until nothing waits any more.
    fn finish(&mut self) -> Result<Vec<Output>, EngineError> {
        loop {
            while let Some(input) = self.env.queue.pop_front() {
                self.step(input);
                if let Some(failure) = self.env.failure.take() {
                    return Err(failure);
                }
            }
            self.env.tick();
            if let Some((height, validators)) = self.env.begin.take() {
                self.begin(height, validators);
                continue;
            }
            if let Some(failure) = self.env.failure.take() {
                return Err(failure);
            }
            self.env.spread();
            return Ok(std::mem::take(&mut self.env.outputs));
        }
    }

    fn step(&mut self, input: CoreInput<Context>) {
        let Machine { core, metrics, env } = self;
        let result: Result<(), malachite_app::consensus::Error<Context>> = malachite_app::consensus::process!(
            input: input,
            state: core,
            metrics: &*metrics,
            with: effect => Ok::<_, EngineError>(env.carry_out(effect))
        );
        if let Err(error) = result {
            tracing::debug!(%error, "consensus");
            env.failure.get_or_insert(EngineError::Liveness);
        }
    }

    /// Begins a height, and replays what was logged of it.
    fn begin(&mut self, height: CoreHeight, set: ValidatorSet) {
        let env = &mut self.env;
        env.deciding = height.0;
        let logged = env.disk.log(|log| {
            if log.height != height.0 {
                *log = Log { height: height.0, ..Log::default() };
            }
            log.entries.clone()
        });
        let policy = VoteExtensionPolicy::default();
        let start = CoreInput::StartHeight(height, set, false, Some(COLLECT), policy);
        let waiting = std::mem::take(&mut env.queue);
        self.step(start);
        let offered = std::mem::take(&mut self.env.queue);
        if !logged.is_empty() && self.env.failure.is_none() {
            self.core.index_wal_entries(&logged);
            self.env.replaying = true;
            for entry in logged {
                self.step(entry);
            }
            self.env.replaying = false;
            self.core.reset_entries_index();
        }
        self.env.queue.extend(offered);
        self.env.queue.extend(waiting);
        if let Some(response) = self.env.synced.remove(&height.0) {
            self.env.queue.push_back(CoreInput::SyncValueResponse(response));
        }
    }
}
