//! A validator without runtime, clock or sockets: the same algorithm, ledger, mempool and store, driven by hand.
//!
//! It exists for simulations. Malachite's core yields effects and is resumed with their results; here each is carried out
//! at once. What the actors of the real engine do beside the core is written once more in this file, and as plainly as
//! possible: the write-ahead log is written before a message leaves, timers are numbers that come back, catching up is
//! asking for decided blocks. Blocks are built, judged, executed and stored by the same [`crate::chain`], and travel in
//! the same signed parts as in the engine.
//!
//! Not the same: the pause between blocks is fixed, messages are not gossiped but handed to everybody by whoever drives this,
//! and the bytes of the write-ahead log are not written (it keeps what was appended, and loses what was not synced).
//!
//! A failing disk makes [`Machine::handle`] return an error; the machine is dead then, and is made anew from its disk.

mod effects;
mod wire;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use malachite_app::consensus::{Input as CoreInput, Params, ProposedValue, State};
use malachite_app::metrics::{Metrics as ConsensusMetrics, SharedRegistry};
use malachite_app::types::core::{
    LinearTimeouts, Round, ThresholdParams, Timeout, TimeoutKind, ValueOrigin, ValuePayload, ValueResponse,
    VoteExtensionPolicy,
};
use openmesh_ledger::{Evidence, Genesis, Transaction};
use openmesh_primitives::{Height, Timestamp, ValidatorKey};
use openmesh_storage::{Store, StoreConfig, VirtualDisk};
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc};

use crate::chain::{Chain, decode_stored};
use crate::consensus::context::{Address, BlockId, Context, Height as CoreHeight, ValidatorSet};
use crate::consensus::parts::{Assembled, Assembler, Init, block_bytes_max};
use crate::mempool::Mempool;
use crate::metrics::Metrics;
use crate::{CommittedBlock, EngineError, MempoolConfig, Timeouts};

pub use wire::contradict;

/// Memory for pages of the store: a simulated chain is short.
const CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Envelopes that wait to be taken out; whoever drives this takes them after each step.
const SPREAD_MAX: usize = 1_024;
/// As in the engine: precommits are taken in until the next height begins.
const COLLECT: Duration = Duration::from_secs(3_600);
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
    /// Pause between a block and the next height.
    pub pause: Duration,
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
    /// The next height.
    Next,
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
    address: Address,
    disk: MachineDisk,
    store: Store,
    mempool: Mempool,
    spread: mpsc::Receiver<Arc<openmesh_ledger::VerifiedTransaction>>,
    chain: Chain,
    sets: [ValidatorSet; 2],
    assembler: Assembler,
    values: HashMap<(Round, BlockId), ProposedValue<Context>>,
    announcements: HashMap<(Round, BlockId), Init>,
    started: (CoreHeight, Round),
    /// The height that the algorithm was told to decide.
    asked: Height,
    replaying: bool,
    timers: BTreeMap<u64, Due>,
    next_timer: u64,
    evidence: Vec<Evidence>,
    /// Whole blocks of the height after the next.
    early: Vec<Assembled>,
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
        let tip = store.tip().height;
        let mut env = Environment {
            chain_id: genesis.chain_id,
            address: Address(address),
            disk: disk.clone(),
            sets: crate::host::load_sets(&store, CoreHeight(tip))?,
            store,
            mempool,
            spread,
            chain,
            config,
            assembler: Assembler::new(block_bytes_max(&genesis.params)),
            values: HashMap::new(),
            announcements: HashMap::new(),
            started: (CoreHeight(0), Round::Nil),
            asked: tip,
            replaying: false,
            timers: BTreeMap::new(),
            next_timer: 0,
            evidence: Vec::new(),
            early: Vec::new(),
            requested: (0, Timestamp(0)),
            synced: BTreeMap::new(),
            queue: VecDeque::new(),
            outputs: Vec::new(),
            failure: None,
            now,
        };
        env.load_undecided()?;
        let params = Params {
            address: env.address,
            threshold_params: ThresholdParams::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let core = State::new(Context, CoreHeight(tip + 1), env.sets[0].clone(), params, 64, 1_024);
        let consensus_metrics = ConsensusMetrics::register(&SharedRegistry::new(Default::default(), None));
        let mut machine = Machine { core, metrics: consensus_metrics, env };
        machine.begin_next();
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
                Some(Due::Next) => self.begin_next(),
                None => {}
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
            // A block that others decided is taken at once; otherwise there is a pause.
            let tip = self.env.store.tip().height;
            if self.env.asked == tip && self.env.synced.contains_key(&(tip + 1)) {
                self.begin_next();
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

    /// Begins the height after the tip, and replays what was logged of it.
    fn begin_next(&mut self) {
        let env = &mut self.env;
        let height = env.store.tip().height + 1;
        if env.asked == height {
            return;
        }
        env.asked = height;
        env.timers.retain(|_, due| !matches!(due, Due::Next));
        let logged = env.disk.log(|log| {
            if log.height != height {
                *log = Log { height, ..Log::default() };
            }
            log.entries.clone()
        });
        let set = env.sets[0].clone();
        let policy = VoteExtensionPolicy::default();
        let start = CoreInput::StartHeight(CoreHeight(height), set, false, Some(COLLECT), policy);
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
        if let Some(response) = self.env.synced.remove(&height) {
            self.env.queue.push_back(CoreInput::SyncValueResponse(response));
        }
    }
}

impl Environment {
    fn timeouts(&self) -> LinearTimeouts {
        crate::linear_timeouts(self.config.timeouts)
    }

    fn timer(&mut self, due: Due, after: Duration) {
        let id = self.next_timer;
        self.next_timer += 1;
        self.timers.insert(id, due);
        self.outputs.push(Output::Timer { id, after });
    }

    fn keep(&mut self, value: ProposedValue<Context>) {
        self.values.insert((value.round, value.value), value);
    }

    /// As after any restart: what was judged valid before is offered again.
    fn load_undecided(&mut self) -> Result<(), EngineError> {
        let height = self.store.tip().height + 1;
        for (round, id, bytes) in self.store.undecided(height)? {
            let Ok(round) = u32::try_from(round).map(Round::new) else { continue };
            let proposer = Address(decode_stored(height, &bytes)?.header.proposer);
            self.keep(crate::host::proposed(CoreHeight(height), round, Round::Nil, proposer, id, true));
        }
        Ok(())
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

    /// Tells the ledger of equivocations at committed heights.
    fn accuse(&mut self) {
        let tip = self.store.tip().height;
        let due: Vec<Evidence> = self.evidence.extract_if(.., |e| e.height <= tip).collect();
        for evidence in due {
            self.admit(vec![Transaction::Evidence(evidence).encode()], true);
        }
    }

    /// Hands over the transactions that clients of this validator brought.
    fn spread(&mut self) {
        while let Ok(transaction) = self.spread.try_recv() {
            self.outputs.push(Output::Broadcast(wire::transaction(transaction.bytes())));
        }
    }

    fn committed(&mut self, block: Arc<CommittedBlock>) {
        let height = block.block.header.height;
        let sets = crate::host::load_sets(&self.store, CoreHeight(height));
        let Some(sets) = self.check(sets) else { return };
        self.sets = sets;
        self.assembler.prune(CoreHeight(height));
        self.values.retain(|_, v| v.height.0 > height);
        self.announcements.retain(|_, init| init.height.0 > height);
        self.synced.retain(|at, _| *at > height);
        let rechecked = self.mempool.recheck(&block).map_err(EngineError::from);
        self.check(rechecked);
        self.accuse();
        self.judge_early();
        self.outputs.push(Output::Broadcast(wire::status(height, false)));
        self.outputs.push(Output::Committed(block));
        self.timer(Due::Next, self.config.pause);
    }

    /// Gives a value to the algorithm as the engine does.
    fn offer(&mut self, value: ProposedValue<Context>, origin: ValueOrigin) {
        self.queue.push_back(CoreInput::ProposedValue(value, origin));
    }

    fn body(&mut self, height: Height, id: &BlockId) -> Option<Bytes> {
        let body = self.chain.body(height, &id.0);
        self.check(body).flatten()
    }
}
