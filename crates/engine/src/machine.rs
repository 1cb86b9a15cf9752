//! A validator without runtime, clock or sockets, driven by hand: for simulations.
//!
//! It drives what the actors of a real node drive: Malachite's core, which yields effects and is resumed with their
//! results; the host's decisions ([`crate::host::state`]: pace, early blocks, offers, streams, evidence); the same
//! [`crate::chain`], mempool, store and codec. This module only carries their effects out, each at once, and stands for
//! what a real node leaves to its actors: the write-ahead log is written before a message leaves, timers are numbers
//! that come back, catching up is asking for decided blocks. It is in this crate because Malachite is known to no other.
//!
//! Not the same: messages are not gossiped but handed to everybody by whoever drives this, and the bytes of the
//! write-ahead log are not written (it keeps what was appended, and loses what was not synced).
//!
//! A failing disk makes [`Machine::handle`] return an error; the machine is dead then, and is made anew from its disk.

mod effects;
mod wire;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use malachite_app::consensus::{Input as CoreInput, LocallyProposedValue, Params, State};
use malachite_app::engine::host::SyncedValueOutcome;
use malachite_app::metrics::{Metrics as ConsensusMetrics, SharedRegistry};
use malachite_app::types::core::{
    LinearTimeouts, ThresholdParams, Timeout, TimeoutKind, ValueOrigin, ValuePayload, ValueResponse,
    VoteExtensionPolicy,
};
use openmesh_ledger::{Genesis, Transaction};
use openmesh_primitives::{Height, Timestamp, ValidatorKey};
use openmesh_storage::{Store, StoreConfig, VirtualDisk};
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc};

use crate::chain::Chain;
use crate::committed::CommittedBlock;
use crate::config::{MempoolConfig, Pauses, Timeouts, linear_timeouts};
use crate::consensus::context::Context;
use crate::consensus::parts::Assembled;
use crate::consensus::types::{Address, Height as CoreHeight, ValidatorSet};
use crate::error::EngineError;
use crate::host::state::{Effect, HostState, Input as HostInput, Now, Tip};
use crate::host::{COLLECT, load_sets, restored};
use crate::mempool::Mempool;
use crate::metrics::Metrics;
use crate::pace::Moment;

pub use wire::contradict;

/// Memory for pages of the store: a simulated chain is short.
const CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Envelopes that wait to be taken out; whoever drives this takes them after each step.
const SPREAD_MAX: usize = 1_024;
/// Decided blocks asked for at once.
const SYNC_BATCH: u64 = 16;

/// What a validator keeps over a crash; clones are the same disk.
#[derive(Clone, Default)]
pub struct MachineDisk {
    /// The store.
    pub store: VirtualDisk,
    log: Arc<Mutex<Log>>,
}

/// The write-ahead log of one height.
#[derive(Default)]
struct Log {
    height: Height,
    entries: Vec<CoreInput<Context>>,
    synced: usize,
}

impl MachineDisk {
    fn log<T>(&self, with: impl FnOnce(&mut Log) -> T) -> T {
        with(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loses the log, which a disk must not do: for tests of those who look for the consequences.
    pub fn forget_log(&self) {
        self.log(|log| *log = Log::default());
    }

    /// Power goes and comes back; see [`VirtualDisk::power_cut`]. Of the log's entries that were not synced, the first
    /// few may be there.
    pub fn power_cut(&self, mut choose: impl FnMut(u64) -> u64) {
        self.log(|log| {
            let unsynced = (log.entries.len() - log.synced) as u64;
            log.entries.truncate(log.synced + choose(unsynced + 1) as usize);
            log.synced = log.entries.len();
        });
        self.store.power_cut(choose);
    }
}

/// Signatures that were verified before, by anybody: shared between the validators of a simulation to save time.
pub type VerifiedBefore = Arc<Mutex<HashMap<[u8; 32], bool>>>;

/// How a machine is made.
#[derive(Clone)]
pub struct MachineConfig {
    /// Its number, under which the others know it.
    pub number: usize,
    /// Its key.
    pub key: ValidatorKey,
    /// Time-outs of the rounds.
    pub timeouts: Timeouts,
    /// Pauses between blocks.
    pub pauses: Pauses,
    /// Shared memory of verified signatures.
    pub verified: VerifiedBefore,
}

/// What happens to a validator.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message of another validator, or of this one's clients.
    Message {
        /// Number of the sender.
        from: usize,
        /// As it was sent.
        bytes: Vec<u8>,
    },
    /// A timer went off.
    Timer(u64),
    /// A client hands in a transaction.
    Submit(Vec<u8>),
}

/// What a validator does.
#[derive(Clone, Debug)]
pub enum Output {
    /// Sends to everybody else.
    Broadcast(Vec<u8>),
    /// Sends to one.
    Send {
        /// Number of the receiver.
        to: usize,
        /// Message.
        bytes: Vec<u8>,
    },
    /// Wants [`Input::Timer`] with this number after a while.
    Timer {
        /// Number of the timer.
        id: u64,
        /// How long.
        after: Duration,
    },
    /// Has committed a block durably.
    Committed(Arc<CommittedBlock>),
}

/// What a timer is for.
enum Due {
    /// A time-out of the algorithm.
    Core(Timeout),
    /// The moment at which the host may begin the next height.
    Host,
}

/// A validator.
pub struct Machine {
    core: State<Context>,
    metrics: ConsensusMetrics,
    env: Environment,
}

/// Everything beside the algorithm.
struct Environment {
    config: MachineConfig,
    chain_id: u64,
    disk: MachineDisk,
    store: Store,
    mempool: Mempool,
    spread: mpsc::Receiver<Arc<openmesh_ledger::VerifiedTransaction>>,
    chain: Chain,
    host: HostState,
    /// The height that the algorithm was told to decide.
    deciding: Height,
    /// The height that the host has told to begin.
    begin: Option<(CoreHeight, ValidatorSet)>,
    /// The host's answer about a block that came decided.
    sync_outcome: Option<SyncedValueOutcome<Context>>,
    replaying: bool,
    timers: BTreeMap<u64, Due>,
    next_timer: u64,
    /// The moment for which the host has a timer.
    wake_at: Option<Moment>,
    /// The first height that was asked for last, and when.
    requested: (Height, Timestamp),
    /// Decided blocks of heights to come, from peers.
    synced: BTreeMap<Height, ValueResponse<Context>>,
    /// What the algorithm is told next.
    queue: VecDeque<CoreInput<Context>>,
    outputs: Vec<Output>,
    /// What ends this run.
    failure: Option<EngineError>,
    now: Timestamp,
}

impl Machine {
    /// A validator on this disk, which may be empty or have been left by a crash.
    pub fn start(
        config: MachineConfig,
        genesis: &Genesis,
        disk: &MachineDisk,
        now: Timestamp,
    ) -> Result<(Machine, Vec<Output>), EngineError> {
        let limits = StoreConfig { cache_bytes_max: CACHE_BYTES_MAX, ..StoreConfig::default() };
        let store = Store::open_virtual(&disk.store, limits)?;
        store.initialise(genesis)?;
        let metrics = Metrics::register(&mut Registry::default());
        let (sender, spread) = mpsc::channel(SPREAD_MAX);
        let mempool = Mempool::new(MempoolConfig::default(), store.clone(), sender, metrics.clone());
        let address = config.key.public().address();
        let propose = Duration::from_millis(config.timeouts.propose_ms);
        let blocks = broadcast::Sender::new(1);
        let chain = Chain::new(store.clone(), mempool.clone(), Some(address), propose, blocks, metrics);
        let pace = config.pauses.pace();
        let host = restored(&store, genesis.chain_id, Some(config.key.clone()), pace, moment(now))?;
        let (first, validators) = host.next_height();
        let env = Environment {
            chain_id: genesis.chain_id,
            disk: disk.clone(),
            store,
            mempool,
            spread,
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
                Some(Due::Host) | None => {}
            },
            Input::Submit(bytes) => self.env.admit(vec![bytes], true),
            Input::Message { from, bytes } => self.env.receive(from, &bytes),
        }
        self.finish()
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

impl Environment {
    fn timeouts(&self) -> LinearTimeouts {
        linear_timeouts(self.config.timeouts)
    }

    fn timer(&mut self, due: Due, after: Duration) {
        let id = self.next_timer;
        self.next_timer += 1;
        self.timers.insert(id, due);
        self.outputs.push(Output::Timer { id, after });
    }

    /// Lets the host decide, and carries out what it wants.
    fn step(&mut self, input: HostInput) {
        for effect in self.host.step(input, moment(self.now)) {
            self.carry_out_host(effect);
        }
    }

    fn carry_out_host(&mut self, effect: Effect) {
        match effect {
            Effect::Offer(value) => self.queue.push_back(CoreInput::ProposedValue(value, ValueOrigin::Consensus)),
            Effect::Propose { height, round, id } => {
                self.queue.push_back(CoreInput::Propose(LocallyProposedValue::new(height, round, id)));
            }
            Effect::Publish { init, bytes } => self.stream(&init, &bytes),
            Effect::Judge(Assembled { init, bytes }) => {
                let (height, round, fresh) = (init.height.0, init.round.as_i64(), init.pol_round.is_nil());
                let judged = self.chain.judge(height, round, init.streamer.0, fresh, bytes, self.now);
                if let Some(judged) = self.check(judged) {
                    self.step(HostInput::Judged { init, judged });
                }
            }
            Effect::ReadBody(restream) => {
                let body = self.chain.body(restream.height.0, &restream.id.0);
                if let Some(body) = self.check(body) {
                    self.step(HostInput::Body { restream, body });
                }
            }
            Effect::AnswerSync(outcome) => self.sync_outcome = Some(outcome),
            Effect::StartHeight { height, validators, .. } => self.begin = Some((height, validators)),
            Effect::Accuse(evidence) => self.admit(vec![Transaction::Evidence(evidence).encode()], true),
            // Whoever drives this looks at the store.
            Effect::Progress { .. } => {}
        }
    }

    /// Tells the host of the time and of waiting work, and sees that it is woken when it wants to be.
    fn tick(&mut self) {
        let waits = *self.mempool.work().borrow();
        self.step(HostInput::Work(waits));
        self.step(HostInput::Tick);
        let now = moment(self.now).moment;
        let wake_at = self.host.wake_at().filter(|at| self.begin.is_none() && *at > now);
        if wake_at != self.wake_at {
            self.wake_at = wake_at;
            self.timers.retain(|_, due| !matches!(due, Due::Host));
            if let Some(at) = wake_at {
                self.timer(Due::Host, at.0 - now.0);
            }
        }
    }

    /// Notes what ends this run; everything after it is void.
    fn check<T>(&mut self, result: Result<T, EngineError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }

    fn admit(&mut self, batch: Vec<Vec<u8>>, local: bool) {
        // What is refused is a matter between mempool and sender.
        let _ = self.mempool.admit_blocking(&batch, local);
    }

    /// Hands over the transactions that clients of this validator brought.
    fn spread(&mut self) {
        while let Ok(transaction) = self.spread.try_recv() {
            self.outputs.push(Output::Broadcast(wire::transaction(transaction.bytes())));
        }
    }

    fn committed(&mut self, block: Arc<CommittedBlock>) {
        let height = block.block.header.height;
        let tip = Tip { height: CoreHeight(height), time: block.block.header.time };
        let sets = load_sets(&self.store, tip.height);
        let Some(sets) = self.check(sets) else { return };
        self.step(HostInput::Committed { tip, sets });
        self.synced.retain(|at, _| *at > height);
        let rechecked = self.mempool.recheck(&block).map_err(EngineError::from);
        self.check(rechecked);
        self.outputs.push(Output::Broadcast(wire::status(height, false)));
        self.outputs.push(Output::Committed(block));
    }
}

/// Virtual time as the host wants it: one clock for both.
fn moment(now: Timestamp) -> Now {
    Now { moment: Moment(Duration::from_nanos(u64::try_from(now.nanos()).unwrap_or(0))), time: now }
}
