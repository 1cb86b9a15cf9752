//! The host: answers what consensus asks, in one loop that never does slow work itself.
//!
//! Its decisions are made by a pure state machine ([`state`]); this is the part with clocks, threads and channels, which
//! carries the effects out. Everything that touches the ledger is posted to the chain's thread ([`crate::chain`]); the
//! answer comes back as an [`Event`]. A streamed block is acknowledged at once and handed to consensus when it has been
//! judged, so that votes and rounds never wait for an execution. Bodies are on the disk before consensus hears of a
//! block, because its log holds only hashes; after a restart they are offered again when the height starts.

pub(crate) mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use malachite_app::consensus::{MisbehaviorEvidence, VoteExtensionError};
use malachite_app::engine::consensus::ConsensusMsg;
use malachite_app::engine::host::{HeightParams, LocallyProposedValue, Next, SyncedValueOutcome};
use malachite_app::engine::network::NetworkMsg;
use malachite_app::types::core::{CommitCertificate, LinearTimeouts, Round, ValueOrigin};
use malachite_channel::{AppMsg, Reply};
use openmesh_ledger::{Certificate, Evidence, NearTurns, Transaction, Turns, near_turns};
use openmesh_primitives::{Digest, Timestamp, ValidatorKey};
use openmesh_storage::Store;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::admission::WorkClass;
use crate::chain::{Candidate, Judged, Worker, decode_stored, report};
use crate::committed::CommittedBlock;
use crate::consensus::context::Context;
use crate::consensus::evidence;
use crate::consensus::node::Node;
use crate::consensus::parts::{Assembled, split};
use crate::consensus::types::{Address, Height, Init, ValidatorSet};
use crate::error::EngineError;
use crate::mempool::Mempool;
use crate::metrics::Metrics;
use crate::pace::{Moment, Pace};
use state::{Effect, HostState, Input, Now, Restream, Tip};

/// Time for which consensus takes in precommits after a decision, unless it is told to go on: it is always told before.
pub(crate) const COLLECT: Duration = Duration::from_secs(3_600);

/// Progress of the host, as it reports it while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) height: openmesh_primitives::Height,
    pub(crate) deciding: openmesh_primitives::Height,
    pub(crate) round: i64,
    pub(crate) syncing: bool,
}

type Adopted = Option<(Digest, openmesh_primitives::Address)>;

/// An answer of the chain's thread, with the question of consensus that it answers.
enum Event {
    Built { height: Height, round: Round, reply: Reply<LocallyProposedValue<Context>>, built: Option<Candidate> },
    Judged { init: Init, judged: Judged },
    Committed { block: Arc<CommittedBlock>, bytes_max: usize, reply: Reply<()> },
    Body { restream: Restream, body: Option<Bytes> },
    Adopted { height: Height, round: Round, reply: Reply<SyncedValueOutcome<Context>>, adopted: Adopted },
    Failed(EngineError),
}

/// Everything that the host is made of.
pub(crate) struct Parts {
    pub(crate) chain_id: u64,
    pub(crate) key: Option<ValidatorKey>,
    pub(crate) store: Store,
    pub(crate) worker: Worker,
    pub(crate) mempool: Mempool,
    pub(crate) pace: Pace,
    pub(crate) timeouts: LinearTimeouts,
    /// Longest bytes of the next block, as the chain has told.
    pub(crate) block_bytes_max: usize,
    pub(crate) metrics: Metrics,
    pub(crate) progress: watch::Sender<Progress>,
}

/// The actors' host.
pub(crate) struct Host {
    parts: Parts,
    node: Node,
    state: HostState,
    /// Origin of the moments.
    origin: Instant,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    /// Consensus has finished a height and waits to be told to go on.
    finalized: Option<Reply<Next<Context>>>,
}

impl Host {
    /// A host on the store's tip.
    ///
    /// Fails if the store or its state cannot be read.
    pub(crate) fn new(parts: Parts, node: Node) -> Result<Host, EngineError> {
        let origin = Instant::now();
        let Parts { store, block_bytes_max, chain_id, key, pace, .. } = &parts;
        let state = restored(store, *block_bytes_max, *chain_id, key.clone(), *pace, now(origin))?;
        Ok(Host { parts, node, state, origin, events: mpsc::unbounded_channel(), finalized: None })
    }

    /// Runs until it is cancelled or something breaks; the actors have stopped when it returns.
    ///
    /// Fails if the store, the chain's thread or an actor of consensus failed.
    pub(crate) async fn run(mut self, first: AppMsg<Context>, cancel: CancellationToken) -> Result<(), EngineError> {
        self.request(first);
        let result = self.event_loop(cancel).await;
        let Host { parts, node, .. } = self;
        node.stop().await;
        // A commit that has begun is finished; after that nobody writes to the store any more.
        let stopped = tokio::task::spawn_blocking(move || parts.worker.stop()).await;
        if stopped.is_ok_and(|clean| clean) { result } else { result.and(Err(EngineError::ChainStopped)) }
    }

    async fn event_loop(&mut self, cancel: CancellationToken) -> Result<(), EngineError> {
        let mut work = self.parts.mempool.work();
        loop {
            let waits = *work.borrow_and_update();
            self.step(Input::Work(waits));
            let next = self.state.wake_at().map(|Moment(after)| self.origin + after);
            let pause = tokio::time::sleep_until(next.unwrap_or_else(Instant::now).into());
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                request = self.node.questions.recv() => match request {
                    Some(request) => self.request(request),
                    None => return Err(self.failure()),
                },
                request = self.node.sync_questions.recv() => match request {
                    Some(request) => self.serve(request),
                    None => return Err(self.failure()),
                },
                Some(event) = self.events.1.recv() => self.event(event)?,
                // Only wakes the loop; the mempool outlives it.
                _ = work.changed() => {}
                () = pause, if next.is_some() => self.step(Input::Tick),
            }
        }
    }

    /// The reason for which the actors have stopped: what the chain's thread has said just before, which stops them too, or their own.
    fn failure(&mut self) -> EngineError {
        while let Ok(event) = self.events.1.try_recv() {
            if let Event::Failed(error) = event {
                return error;
            }
        }
        if self.node.metrics.node_safety_failure.get() != 0 { EngineError::Safety } else { EngineError::Liveness }
    }

    fn request(&mut self, request: AppMsg<Context>) {
        match request {
            AppMsg::ConsensusReady { reply } => {
                let (height, validators) = self.state.next_height();
                answer(reply, (height, self.height_params(validators)));
            }
            AppMsg::StartedRound { height, round, reply_value, .. } => {
                self.report_round(height, round);
                let offers = self.state.step(Input::StartedRound { height, round }, now(self.origin)).into_iter();
                let values = offers.filter_map(|e| if let Effect::Offer(value) = e { Some(value) } else { None });
                answer(reply_value, values.collect());
            }
            AppMsg::GetValue { height, round, reply, .. } => {
                let built = self.parts.worker.post(move |chain| chain.build(height.0, round.as_i64(), wall_clock()));
                self.forward(built, move |built| Event::Built { height, round, reply, built });
            }
            AppMsg::ReceivedProposalPart { from, published_by, part, reply } => {
                // The block follows when it has been judged.
                answer(reply, None);
                let (publisher, neighbor) = (published_by.unwrap_or(from).to_bytes(), from.to_bytes());
                self.step(Input::Part { publisher, neighbor, part });
            }
            AppMsg::RestreamProposal { height, round, valid_round, value_id, .. } => {
                self.step(Input::Restream(Restream { height, round, valid_round, id: value_id }));
            }
            AppMsg::Decided { certificate, reply, .. } => {
                let certificate = ours(&certificate);
                let committed = self.parts.worker.post(move |chain| {
                    let block = chain.commit(certificate)?;
                    Ok::<_, EngineError>((block, chain.next_bytes_max()?))
                });
                self.forward(committed, move |(block, bytes_max)| Event::Committed { block, bytes_max, reply });
            }
            AppMsg::Finalized { certificate, evidence, reply, .. } => self.finalized(&certificate, &evidence, reply),
            AppMsg::ProcessSyncedValue { height, round, value_bytes, reply, .. } => {
                self.adopt(height, round, value_bytes, reply);
            }
            AppMsg::ExtendVote { reply, .. } => answer(reply, None),
            AppMsg::VerifyVoteExtensions { extensions, reply, .. } => {
                let refuse = |(address, ())| (address, Err(VoteExtensionError::InvalidVoteExtension));
                answer(reply, extensions.into_iter().map(refuse).collect());
            }
            sync => self.serve(sync),
        }
    }

    /// Answers a peer that catches up; reading happens on a thread of its own. Where as many are being answered as may be, it gets
    /// an empty answer, and asks another node or again.
    fn serve(&self, request: AppMsg<Context>) {
        match request {
            AppMsg::GetHistoryMinHeight { reply } => answer(reply, Height(self.parts.store.oldest_block().max(1))),
            AppMsg::GetDecidedValues { range, reply } => {
                let Ok(place) = self.parts.mempool.admission().enter(WorkClass::Sync, 1) else {
                    return answer(reply, Vec::new());
                };
                let store = self.parts.store.clone();
                tokio::spawn(async move {
                    let read = place.run(move || crate::serve::decided_values(&store, range)).await;
                    // The place is free when the answer has been taken.
                    let (values, _place) = read.map_or((Vec::new(), None), |(values, place)| (values, Some(place)));
                    answer(reply, values);
                });
            }
            // The second connector is asked nothing else.
            _ => {}
        }
    }

    /// Parameters of a height, as consensus wants them.
    fn height_params(&self, validators: ValidatorSet) -> HeightParams<Context> {
        HeightParams::new(validators, self.parts.timeouts, Some(COLLECT))
    }

    fn report_round(&self, height: Height, round: Round) {
        self.parts.metrics.round.set(round.as_i64());
        let (height, round) = (height.0, round.as_i64());
        self.parts.progress.send_modify(|p| (p.deciding, p.round) = (height, round));
    }

    /// The height is over: what came between its decision and now is known too.
    fn finalized(
        &mut self,
        certificate: &CommitCertificate<Context>,
        seen: &MisbehaviorEvidence<Context>,
        reply: Reply<Next<Context>>,
    ) {
        let (height, commit) = (certificate.height, ours(certificate));
        // Nobody waits for it: the next block is built by the same thread.
        drop(self.parts.worker.post(move |chain| chain.finalized(commit)));
        self.finalized = Some(reply);
        let evidence = if seen.is_empty() { Vec::new() } else { self.gather(height, seen) };
        self.step(Input::Finalized { height, evidence });
    }

    fn gather(&self, height: Height, seen: &MisbehaviorEvidence<Context>) -> Vec<Evidence> {
        self.parts.metrics.evidence.inc();
        match self.parts.store.validators_at(height.0) {
            Ok(set) => evidence::gather(self.parts.chain_id, &set, seen),
            Err(error) => {
                tracing::error!(error = report(&error), %height, "equivocations are not told to the ledger");
                Vec::new()
            }
        }
    }

    fn adopt(&self, height: Height, round: Round, bytes: Bytes, reply: Reply<SyncedValueOutcome<Context>>) {
        let adopted = self.parts.worker.post(move |chain| chain.adopt(height.0, &bytes));
        let events = self.events.0.clone();
        tokio::spawn(async move {
            let event = match adopted.await {
                Ok(Ok(adopted)) => Event::Adopted { height, round, reply, adopted },
                failed => {
                    answer(reply, SyncedValueOutcome::LocalTransientError);
                    Event::Failed(failed.ok().and_then(Result::err).unwrap_or(EngineError::ChainStopped))
                }
            };
            // Fails only when the host has stopped.
            let _ = events.send(event);
        });
    }

    /// Turns the answer of the chain's thread into an event.
    fn forward<T: Send + 'static>(
        &self,
        result: oneshot::Receiver<Result<T, EngineError>>,
        event: impl FnOnce(T) -> Event + Send + 'static,
    ) {
        let events = self.events.0.clone();
        tokio::spawn(async move {
            let event = match result.await {
                Ok(Ok(value)) => event(value),
                Ok(Err(error)) => Event::Failed(error),
                Err(_) => Event::Failed(EngineError::ChainStopped),
            };
            // Fails only when the host has stopped.
            let _ = events.send(event);
        });
    }

    fn event(&mut self, event: Event) -> Result<(), EngineError> {
        match event {
            Event::Built { height, round, reply, built } => {
                let mut reply = Some(reply);
                for effect in self.state.step(Input::Built { height, round, built }, now(self.origin)) {
                    if let Effect::Propose { height, round, id } = effect {
                        let proposal = LocallyProposedValue::new(height, round, id);
                        reply.take().into_iter().for_each(|reply| answer(reply, proposal.clone()));
                    } else {
                        self.carry_out(effect);
                    }
                }
            }
            Event::Adopted { height, round, reply, adopted } => {
                let effects = self.state.step(Input::Adopted { height, round, adopted }, now(self.origin));
                let outcome = |e| if let Effect::AnswerSync(outcome) = e { Some(outcome) } else { None };
                if let Some(outcome) = effects.into_iter().find_map(outcome) {
                    answer(reply, outcome);
                }
            }
            Event::Judged { init, judged } => {
                if matches!(judged, Judged::Invalid { .. }) {
                    self.parts.metrics.proposals_refused.inc();
                }
                self.step(Input::Judged { init, judged });
            }
            Event::Committed { block, bytes_max, reply } => self.committed(block, bytes_max, reply)?,
            Event::Body { restream, body } => self.step(Input::Body { restream, body }),
            Event::Failed(error) => {
                tracing::error!(error = report(&error), "the engine cannot go on");
                return Err(error);
            }
        }
        Ok(())
    }

    fn committed(&mut self, block: Arc<CommittedBlock>, bytes_max: usize, reply: Reply<()>) -> Result<(), EngineError> {
        answer(reply, ());
        self.step(Input::BytesMax(bytes_max));
        let tip = Tip { height: Height(block.block.header.height), time: block.block.header.time };
        let sets = load_sets(&self.parts.store, tip.height)?;
        self.step(Input::Committed { tip, sets });
        let (mempool, events) = (self.parts.mempool.clone(), self.events.0.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = mempool.recheck(&block) {
                // Fails only when the host has stopped.
                let _ = events.send(Event::Failed(error.into()));
            }
        });
        Ok(())
    }

    fn step(&mut self, input: Input) {
        for effect in self.state.step(input, now(self.origin)) {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Offer(value) => {
                // Fails only when the actors stop, which ends the loop.
                let _ = self.node.consensus.cast(ConsensusMsg::ReceivedProposedValue(value, ValueOrigin::Consensus));
            }
            Effect::Publish { init, bytes } => self.publish(&init, &bytes),
            Effect::Judge(Assembled { init, bytes }) => {
                let (height, round, streamer) = (init.height.0, init.round.as_i64(), init.streamer.0);
                let fresh = init.pol_round.is_nil();
                let judge = move |chain: &mut crate::chain::Chain| {
                    chain.judge(height, round, streamer, fresh, bytes, wall_clock())
                };
                let judged = self.parts.worker.post(judge);
                self.forward(judged, move |judged| Event::Judged { init, judged });
            }
            Effect::ReadBody(restream) => {
                let (height, id) = (restream.height.0, restream.id.0);
                let body = self.parts.worker.post(move |chain| chain.body(height, &id));
                self.forward(body, move |body| Event::Body { restream, body });
            }
            Effect::StartHeight { height, validators, finalized } => self.start_height(height, validators, finalized),
            Effect::Accuse(evidence) => self.accuse(evidence),
            Effect::Progress { height, by_sync, syncing } => {
                self.parts.metrics.blocks_synced.inc_by(u64::from(by_sync));
                self.parts.progress.send_modify(|p| (p.height, p.syncing) = (height.0, syncing));
            }
            // Answers to questions of consensus, which are given where the question is at hand.
            Effect::Propose { .. } | Effect::AnswerSync(_) => {}
        }
    }

    fn publish(&self, init: &Init, bytes: &[u8]) {
        for message in split(init, bytes) {
            if self.node.network.cast(NetworkMsg::PublishProposalPart(message)).is_err() {
                return;
            }
        }
    }

    fn start_height(&mut self, height: Height, validators: ValidatorSet, finalized: bool) {
        let params = self.height_params(validators);
        match self.finalized.take().filter(|_| finalized) {
            Some(reply) => answer(reply, Next::Start(height, params)),
            // Fails only when the actors stop, which ends the loop.
            None => drop(self.node.consensus.cast(ConsensusMsg::StartHeight(height, params))),
        }
    }

    /// Tells the ledger of an equivocation.
    fn accuse(&self, evidence: Evidence) {
        let (validator, height, step) = (evidence.validator(), evidence.height, evidence.step.as_str());
        tracing::warn!(%validator, height, step, "a validator signed two conflicting messages");
        let mempool = self.parts.mempool.clone();
        tokio::spawn(async move {
            let evidence = Transaction::Evidence(evidence).into();
            match mempool.admit_one(evidence, WorkClass::Consensus).await {
                Ok(_) => {}
                // Mostly because another validator was faster.
                other => tracing::debug!(%validator, height, ?other, "evidence was not taken"),
            }
        });
    }
}

/// The state of a host that begins on a store, with the blocks of the next height that were judged valid before a
/// restart; nothing else is stored under a round. `bytes_max`: of the next block.
///
/// Fails if the store or its state cannot be read.
pub(crate) fn restored(
    store: &Store,
    bytes_max: usize,
    chain_id: u64,
    key: Option<ValidatorKey>,
    pace: Pace,
    now: Now,
) -> Result<HostState, EngineError> {
    let tip = Tip { height: Height(store.tip().height), time: store.tip().time };
    let sets = load_sets(store, tip.height)?;
    let mut state = HostState::new(chain_id, key, pace, bytes_max, tip, sets, now);
    let height = tip.height.0 + 1;
    for (round, id, bytes) in store.undecided(height)? {
        let Ok(round) = u32::try_from(round).map(Round::new) else { continue };
        state.restore(round, Address(decode_stored(height, &bytes)?.header.proposer), id);
    }
    Ok(state)
}

/// A commit certificate in the ledger's form.
pub(crate) fn ours(certificate: &CommitCertificate<Context>) -> Certificate {
    Certificate {
        height: certificate.height.0,
        round: certificate.round.as_i64(),
        block_hash: certificate.value_id.0,
        signatures: certificate.commit_signatures.iter().map(|s| (s.address.0, s.signature)).collect(),
    }
}

/// The validators of the two heights after the last committed one, which is `tip`, with their turns.
///
/// Fails if the store cannot be read.
pub(crate) fn load_sets(store: &Store, tip: Height) -> Result<[ValidatorSet; 2], EngineError> {
    let NearTurns { current, next, .. } = near_turns(&store.state()?)?;
    let set = |height, turns: &Turns| store.validators_at(height).map(|set| ValidatorSet::of(&set, turns));
    Ok([set(tip.0 + 1, &current)?, set(tip.0 + 2, &next)?])
}

/// Answers a question; whoever asked may have stopped, which the loop notices by itself.
fn answer<T>(reply: Reply<T>, value: T) {
    let _ = reply.send(value);
}

fn now(origin: Instant) -> Now {
    Now { moment: Moment(origin.elapsed()), time: wall_clock() }
}

fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Age of a block by this node's wall clock; zero if it seems to come from the future.
pub(crate) fn age_of(time: Timestamp) -> Duration {
    state::age(wall_clock(), time)
}
