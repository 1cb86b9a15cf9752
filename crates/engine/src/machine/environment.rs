//! Everything of a simulated validator beside consensus' algorithm: it carries out what the host decides.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use malachite_app::consensus::{Input as CoreInput, LocallyProposedValue};
use malachite_app::engine::host::SyncedValueOutcome;
use malachite_app::types::core::{LinearTimeouts, Timeout, ValueOrigin, ValueResponse};
use openmesh_ledger::{RuleSets, Transaction};
use openmesh_primitives::{Digest, Height, Timestamp, ValidatorKey};
use openmesh_storage::Store;
use tokio::sync::mpsc;

use super::disk::MachineDisk;
use super::wire;
use crate::admission::WorkClass;
use crate::chain::Chain;
use crate::committed::CommittedBlock;
use crate::config::{Pauses, Timeouts, linear_timeouts};
use crate::consensus::context::Context;
use crate::consensus::parts::{Assembled, split};
use crate::consensus::types::{Height as CoreHeight, Init, ValidatorSet};
use crate::error::EngineError;
use crate::host::load_sets;
use crate::host::state::{Effect, HostState, Input as HostInput, Now, Tip};
use crate::mempool::error::SubmitError;
use crate::mempool::{Mempool, Submission};
use crate::pace::Moment;
use crate::relay::Relay;

/// Signatures that were verified before, by anybody: shared between the validators of a simulation to save time.
pub type VerifiedBefore = Arc<Mutex<HashMap<[u8; 32], bool>>>;

/// Configuration of a simulated validator.
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
    /// Age of blocks that are kept, milliseconds; `None` keeps all.
    pub retain_ms: Option<u64>,
    /// The rule sets that its program knows.
    pub rule_sets: RuleSets,
    /// Shared memory of verified signatures.
    pub verified: VerifiedBefore,
}

/// Input of a simulated validator.
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

/// Output of a simulated validator.
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
        /// Time until then.
        after: Duration,
    },
    /// Has committed a block durably.
    Committed(Arc<CommittedBlock>),
}

/// Purpose of a timer.
pub(super) enum Due {
    /// A time-out of the algorithm.
    Core(Timeout),
    /// The moment at which the host may begin the next height.
    Host,
    /// The moment at which transactions are announced, or asked of somebody else.
    Relay,
}

/// Everything beside the algorithm.
pub(super) struct Environment {
    pub(super) config: MachineConfig,
    pub(super) chain_id: u64,
    pub(super) disk: MachineDisk,
    pub(super) store: Store,
    pub(super) mempool: Mempool,
    pub(super) spread: mpsc::Receiver<Arc<openmesh_ledger::VerifiedTransaction>>,
    pub(super) relay: Relay<usize>,
    /// Hashes that each other validator was asked for last, with the number of the question.
    pub(super) asked: BTreeMap<usize, (u64, BTreeSet<Digest>)>,
    /// Announcements made.
    pub(super) announcements: u64,
    /// The moment for which the relay has a timer.
    pub(super) relay_wake_at: Option<Duration>,
    pub(super) chain: Chain,
    pub(super) host: HostState,
    /// The height that the algorithm was told to decide.
    pub(super) deciding: Height,
    /// The height that the host has told to begin.
    pub(super) begin: Option<(CoreHeight, ValidatorSet)>,
    /// The host's answer about a block that came decided.
    pub(super) sync_outcome: Option<SyncedValueOutcome<Context>>,
    pub(super) replaying: bool,
    pub(super) timers: BTreeMap<u64, Due>,
    pub(super) next_timer: u64,
    /// The moment for which the host has a timer.
    pub(super) wake_at: Option<Moment>,
    /// The first height that was asked for last, and when.
    pub(super) requested: (Height, Timestamp),
    /// Decided blocks of heights to come, from peers.
    pub(super) synced: BTreeMap<Height, ValueResponse<Context>>,
    /// Inputs that the algorithm is told next.
    pub(super) queue: VecDeque<CoreInput<Context>>,
    pub(super) outputs: Vec<Output>,
    /// The error that ends this run.
    pub(super) failure: Option<EngineError>,
    pub(super) now: Timestamp,
}

impl Environment {
    pub(super) fn timeouts(&self) -> LinearTimeouts {
        linear_timeouts(self.config.timeouts)
    }

    pub(super) fn timer(&mut self, due: Due, after: Duration) {
        let id = self.next_timer;
        self.next_timer += 1;
        self.timers.insert(id, due);
        self.outputs.push(Output::Timer { id, after });
    }

    /// Lets the host decide, and carries out what it wants.
    pub(super) fn step(&mut self, input: HostInput) {
        for effect in self.host.step(input, moment(self.now)) {
            self.carry_out_host(effect);
        }
    }

    pub(super) fn carry_out_host(&mut self, effect: Effect) {
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
            Effect::Accuse(evidence) => drop(self.admit(Transaction::Evidence(evidence), WorkClass::Consensus)),
            // Whoever drives this looks at the store.
            Effect::Progress { .. } => {}
        }
    }

    /// Tells the host of the time and of waiting work, and sees that it is woken when it wants to be.
    pub(super) fn tick(&mut self) {
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
    pub(super) fn check<T>(&mut self, result: Result<T, EngineError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }

    /// Hands a transaction to the mempool. A refusal is a matter between mempool and sender.
    pub(super) fn admit(
        &mut self,
        transaction: impl Into<Submission>,
        class: WorkClass,
    ) -> Result<Digest, SubmitError> {
        self.mempool.admit_blocking(vec![transaction.into()], class).pop().unwrap_or(Err(SubmitError::Stopped))
    }

    /// Sends to everybody, unless this run has failed.
    pub(super) fn publish(&mut self, message: Option<Vec<u8>>) {
        if let Some(bytes) = message.filter(|_| self.failure.is_none()) {
            self.outputs.push(Output::Broadcast(bytes));
        }
    }

    fn stream(&mut self, init: &Init, bytes: &[u8]) {
        for part in split(init, bytes) {
            self.publish(wire::part(&part));
        }
    }

    pub(super) fn committed(&mut self, block: Arc<CommittedBlock>) {
        let height = block.block.header.height;
        let tip = Tip { height: CoreHeight(height), time: block.block.header.time };
        let (bytes_max, sets) = (self.chain.next_bytes_max(), load_sets(&self.store, tip.height));
        let (Some(bytes_max), Some(sets)) = (self.check(bytes_max), self.check(sets)) else { return };
        self.step(HostInput::BytesMax(bytes_max));
        self.step(HostInput::Committed { tip, sets });
        self.synced.retain(|at, _| *at > height);
        let rechecked = self.mempool.recheck(&block).map_err(EngineError::from);
        self.check(rechecked);
        self.outputs.push(Output::Broadcast(wire::status(height, false)));
        self.outputs.push(Output::Committed(block));
    }
}

/// Virtual time as the host wants it: one clock for both.
pub(super) fn moment(now: Timestamp) -> Now {
    Now { moment: Moment(Duration::from_nanos(u64::try_from(now.nanos()).unwrap_or(0))), time: now }
}
