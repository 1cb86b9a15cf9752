//! The host: answers what consensus asks, in one loop that never does slow work itself.
//!
//! Everything that touches the ledger is posted to the chain's thread ([`crate::chain`]); the answer comes back as an
//! [`Event`]. A streamed block is acknowledged at once and handed to consensus when it has been judged, so that votes
//! and rounds never wait for an execution. Bodies are on the disk before consensus hears of a block, because its log
//! holds only hashes; after a restart they are offered again when the height starts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use malachite_app::consensus::{MisbehaviorEvidence, ProposedValue, VoteExtensionError};
use malachite_app::engine::consensus::ConsensusMsg;
use malachite_app::engine::host::{HeightParams, LocallyProposedValue, Next, SyncedValueOutcome};
use malachite_app::engine::network::NetworkMsg;
use malachite_app::types::core::{CommitCertificate, LinearTimeouts, Round, Validity, ValueOrigin};
use malachite_app::types::streaming::StreamMessage;
use malachite_channel::{AppMsg, Reply};
use malachite_peer::PeerId;
use openmesh_ledger::{Certificate, Evidence, Transaction, params};
use openmesh_primitives::{Digest, Timestamp, ValidatorKey, ValidatorSignature, sha256};
use openmesh_storage::Store;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::chain::{Candidate, Judged, Worker, decode_stored, report};
use crate::consensus::context::{Address, BlockId, Context, Height, Part, ValidatorSet};
use crate::consensus::evidence;
use crate::consensus::node::Node;
use crate::consensus::parts::{Assembled, Assembler, Init, block_bytes_max, split};
use crate::consensus::signing::init_bytes;
use crate::mempool::Mempool;
use crate::metrics::Metrics;
use crate::pace::{Pace, Waiting};
use crate::{CommittedBlock, EngineError, Progress};

/// Rounds ahead of ours from which streams are accepted: the same look-ahead as for votes would be useless, since parts
/// are sent again when a value is proposed again.
const ROUNDS_AHEAD_MAX: u32 = 16;
/// Whole blocks of the height after the next that wait until the next is committed.
const EARLY_MAX: usize = 4;
/// For how long consensus takes in precommits after a decision, unless it is told to go on: it is always told before.
const COLLECT: Duration = Duration::from_secs(3_600);
/// A block that came by sync and is older than this when committed: the node is catching up.
const SYNCING_AGE: Duration = Duration::from_secs(5);

/// What comes back from the chain's thread.
enum Event {
    Built { height: Height, round: Round, reply: Reply<LocallyProposedValue<Context>>, built: Option<Candidate> },
    Judged { init: Init, judged: Judged },
    Committed { block: Arc<CommittedBlock>, reply: Reply<()> },
    Streamed { init: Init, body: Bytes },
    Failed(EngineError),
}

/// What the host is made of.
pub(crate) struct Parts {
    pub(crate) chain_id: u64,
    pub(crate) key: Option<ValidatorKey>,
    pub(crate) store: Store,
    pub(crate) worker: Worker,
    pub(crate) mempool: Mempool,
    pub(crate) pace: Pace,
    pub(crate) timeouts: LinearTimeouts,
    pub(crate) metrics: Metrics,
    pub(crate) progress: watch::Sender<Progress>,
}

pub(crate) struct Host {
    parts: Parts,
    address: Option<Address>,
    node: Node,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    /// Validators of the next height, and of the one after.
    sets: [ValidatorSet; 2],
    assembler: Assembler,
    /// Whole blocks of the height after the next.
    early: Vec<Assembled>,
    /// Blocks of the next height that consensus may decide.
    values: HashMap<(Round, BlockId), ProposedValue<Context>>,
    /// Announcements of streams, to send them again word for word.
    announcements: HashMap<(Round, BlockId), Init>,
    /// The height that consensus is in, and its round.
    started: (Height, Round),
    tip: Height,
    committed: Instant,
    /// Age of the last block by its own time when it was committed.
    age: Duration,
    /// The highest height of which a signed announcement was seen.
    heard: Height,
    /// The height that consensus was told to decide.
    asked: Height,
    /// Consensus has finished this height and waits to be told to go on.
    finished: Option<(Height, Reply<Next<Context>>)>,
    /// Equivocations that the ledger has not been told of, because their height is not committed here yet.
    evidence: Vec<Evidence>,
    /// The height that came by sync, if it has not been committed yet.
    synced: Height,
}

impl Host {
    pub(crate) fn new(parts: Parts, node: Node) -> Result<Host, EngineError> {
        let tip = Height(parts.store.tip().height);
        let address = parts.key.as_ref().map(|k| Address(k.public().address()));
        let age = age_of(parts.store.tip().time);
        let sets = load_sets(&parts.store, tip)?;
        let assembler = Assembler::new(block_bytes_max(&params(&parts.store.state()?)?));
        let mut host = Host {
            parts,
            address,
            node,
            events: mpsc::unbounded_channel(),
            sets,
            assembler,
            early: Vec::new(),
            values: HashMap::new(),
            announcements: HashMap::new(),
            started: (Height(0), Round::Nil),
            tip,
            committed: Instant::now(),
            age,
            heard: Height(0),
            asked: Height(tip.0 + 1),
            finished: None,
            evidence: Vec::new(),
            synced: Height(0),
        };
        host.load_undecided()?;
        Ok(host)
    }

    /// The validators of a height; known for the next two.
    fn set(&self, height: Height) -> Option<&ValidatorSet> {
        self.sets.get(usize::try_from(height.0.checked_sub(self.tip.0 + 1)?).ok()?)
    }

    /// Whether this node is the proposer.
    fn proposes(&self, height: Height, round: Round) -> bool {
        let proposer = self.set(height).map(|set| set.proposer(height, round).address);
        proposer.is_some() && proposer == self.address
    }

    /// What was judged valid before a restart; nothing else is stored under a round.
    fn load_undecided(&mut self) -> Result<(), EngineError> {
        let height = Height(self.tip.0 + 1);
        for (round, id, bytes) in self.parts.store.undecided(height.0)? {
            let Ok(round) = u32::try_from(round).map(Round::new) else { continue };
            let proposer = decode_stored(height.0, &bytes)?.header.proposer;
            self.keep(proposed(height, round, Round::Nil, Address(proposer), id, true));
        }
        Ok(())
    }

    fn keep(&mut self, value: ProposedValue<Context>) {
        self.values.insert((value.round, value.value), value);
    }

    /// Runs until it is cancelled or something breaks; the actors have stopped when it returns.
    pub(crate) async fn run(mut self, first: AppMsg<Context>, cancel: CancellationToken) -> Result<(), EngineError> {
        self.question(first);
        let result = self.turn(cancel).await;
        let Host { parts, node, .. } = self;
        node.stop().await;
        // A commit that has begun is finished; after that nobody writes to the store any more.
        let stopped = tokio::task::spawn_blocking(move || parts.worker.stop()).await;
        if stopped.is_ok_and(|clean| clean) { result } else { result.and(Err(EngineError::ChainStopped)) }
    }

    async fn turn(&mut self, cancel: CancellationToken) -> Result<(), EngineError> {
        let mut work = self.parts.mempool.work();
        loop {
            let next = self.next_start(*work.borrow_and_update());
            let pause = tokio::time::sleep_until(next.unwrap_or_else(Instant::now).into());
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                question = self.node.questions.recv() => match question {
                    Some(question) => self.question(question),
                    None => return Err(self.failure()),
                },
                question = self.node.sync_questions.recv() => match question {
                    Some(question) => self.serve(question),
                    None => return Err(self.failure()),
                },
                Some(event) = self.events.1.recv() => self.event(event)?,
                // Only wakes the loop; the mempool outlives it.
                _ = work.changed() => {}
                () = pause, if next.is_some() => self.start_next(),
            }
        }
    }

    /// Why the actors have stopped.
    fn failure(&self) -> EngineError {
        if self.node.metrics.node_safety_failure.get() != 0 { EngineError::Safety } else { EngineError::Liveness }
    }

    fn question(&mut self, question: AppMsg<Context>) {
        match question {
            AppMsg::ConsensusReady { reply } => {
                answer(reply, (Height(self.tip.0 + 1), self.next_params()));
            }
            AppMsg::StartedRound { height, round, reply_value, .. } => {
                answer(reply_value, self.started_round(height, round));
            }
            AppMsg::GetValue { height, round, reply, .. } => self.build(height, round, reply),
            AppMsg::ReceivedProposalPart { from, published_by, part, reply } => {
                // The block follows when it has been judged.
                answer(reply, None);
                self.received(from, published_by, part);
            }
            AppMsg::RestreamProposal { height, round, valid_round, value_id, .. } => {
                self.stream_again(height, round, valid_round, value_id);
            }
            AppMsg::Decided { certificate, reply, .. } => self.decided(&certificate, reply),
            AppMsg::Finalized { certificate, evidence, reply, .. } => self.finalized(&certificate, &evidence, reply),
            AppMsg::ProcessSyncedValue { height, round, value_bytes, reply, .. } => {
                self.synced_value(height, round, value_bytes, reply);
            }
            AppMsg::ExtendVote { reply, .. } => answer(reply, None),
            AppMsg::VerifyVoteExtensions { extensions, reply, .. } => {
                let refuse = |(address, ())| (address, Err(VoteExtensionError::InvalidVoteExtension));
                answer(reply, extensions.into_iter().map(refuse).collect());
            }
            sync => self.serve(sync),
        }
    }

    /// Answers a peer that catches up; reading happens on a thread of its own.
    fn serve(&self, question: AppMsg<Context>) {
        match question {
            AppMsg::GetHistoryMinHeight { reply } => answer(reply, Height(1)),
            AppMsg::GetDecidedValues { range, reply } => {
                let store = self.parts.store.clone();
                tokio::task::spawn_blocking(move || answer(reply, crate::serve::decided_values(&store, range)));
            }
            // The second connector is asked nothing else.
            _ => {}
        }
    }

    /// What consensus needs to know for the next height.
    fn next_params(&self) -> HeightParams<Context> {
        HeightParams::new(self.sets[0].clone(), self.parts.timeouts, Some(COLLECT))
    }

    fn started_round(&mut self, height: Height, round: Round) -> Vec<ProposedValue<Context>> {
        let first = self.started.0 != height;
        self.started = (height, round);
        self.parts.metrics.round.set(round.as_i64());
        let (h, r) = (height.0, round.as_i64());
        self.parts.progress.send_modify(|p| (p.deciding, p.round) = (h, r));
        // Within a height consensus remembers; offering again would only grow its log.
        if first { self.values.values().filter(|v| v.height == height).cloned().collect() } else { Vec::new() }
    }

    fn build(&self, height: Height, round: Round, reply: Reply<LocallyProposedValue<Context>>) {
        let built = self.parts.worker.post(move |chain| chain.build(height.0, round.as_i64(), now()));
        self.forward(built, move |built| Event::Built { height, round, reply, built });
    }

    fn built(&mut self, height: Height, round: Round, reply: Reply<LocallyProposedValue<Context>>, block: Candidate) {
        let id = BlockId(block.id);
        self.keep(proposed(height, round, Round::Nil, Address(block.proposer), block.id, true));
        answer(reply, LocallyProposedValue::new(height, round, id));
        let Some(key) = &self.parts.key else { return };
        if let Some(init) = announce(key, self.parts.chain_id, height, round, Round::Nil, &block.bytes) {
            self.announcements.insert((round, id), init.clone());
            self.publish(&init, &block.bytes);
        }
    }

    fn publish(&self, init: &Init, bytes: &[u8]) {
        for message in split(init, bytes) {
            if self.node.network.cast(NetworkMsg::PublishProposalPart(message)).is_err() {
                return;
            }
        }
    }

    fn stream_again(&mut self, height: Height, round: Round, valid_round: Round, id: BlockId) {
        let known = self.announcements.get(&(round, id)).cloned();
        let signer = self.parts.key.clone().filter(|_| self.proposes(height, round));
        let chain_id = self.parts.chain_id;
        let body = self.parts.worker.post(move |chain| chain.body(height.0, &id.0));
        let events = self.events.0.clone();
        tokio::spawn(async move {
            let body = match body.await {
                Ok(Ok(Some(body))) => body,
                Ok(Err(error)) => return drop(events.send(Event::Failed(error))),
                // Decided meanwhile, or stopping.
                Ok(Ok(None)) | Err(_) => return,
            };
            let announce = || announce(&signer?, chain_id, height, round, valid_round, &body);
            let init = known.or_else(announce);
            if let Some(init) = init {
                // Fails only when the host has stopped.
                let _ = events.send(Event::Streamed { init, body });
            }
        });
    }

    fn received(&mut self, from: PeerId, published_by: Option<PeerId>, part: StreamMessage<Part>) {
        let publisher = published_by.unwrap_or(from).to_bytes();
        let mut assembler = std::mem::take(&mut self.assembler);
        let mut announced = Height(0);
        let check = |init: &Init| {
            let fine = self.is_of_proposer(init);
            if fine {
                announced = init.height;
            }
            fine
        };
        let assembled = assembler.receive(&publisher, &from.to_bytes(), part, check);
        self.assembler = assembler;
        self.heard = self.heard.max(announced);
        if let Some(assembled) = assembled {
            self.judge(assembled);
        }
    }

    /// Whether an announcement is of a height and round of interest, and signed by their proposer.
    fn is_of_proposer(&self, init: &Init) -> bool {
        let ours = if self.started.0.0 == self.tip.0 + 1 { self.started.1.as_u32().unwrap_or(0) } else { 0 };
        let in_reach = init.round.as_u32().is_some_and(|r| r <= ours.saturating_add(ROUNDS_AHEAD_MAX));
        let proposer = self.set(init.height).map(|set| set.proposer(init.height, init.round));
        in_reach
            && init.pol_round < init.round
            && proposer.is_some_and(|proposer| {
                let bytes = init_bytes(self.parts.chain_id, init);
                proposer.address == init.streamer && proposer.public_key.verify(&bytes, &init.signature).is_ok()
            })
    }

    fn judge(&mut self, assembled: Assembled) {
        let Assembled { init, bytes } = assembled;
        if init.height.0 > self.tip.0 + 1 {
            if self.early.len() < EARLY_MAX {
                self.early.push(Assembled { init, bytes });
            } else {
                self.assembler.try_again(&init);
            }
            return;
        }
        let (height, round, streamer) = (init.height.0, init.round.as_i64(), init.streamer.0);
        let fresh = init.pol_round.is_nil();
        let judged = self.parts.worker.post(move |chain| chain.judge(height, round, streamer, fresh, bytes, now()));
        self.forward(judged, move |judged| Event::Judged { init, judged });
    }

    fn judged(&mut self, init: Init, judged: Judged) {
        let (id, proposer, valid) = match judged {
            Judged::Valid(candidate) => (candidate.id, candidate.proposer, true),
            Judged::Invalid { id, proposer, reason, again } => {
                if again {
                    self.assembler.try_again(&init);
                }
                self.parts.metrics.proposals_refused.inc();
                tracing::warn!(height = %init.height, round = %init.round, block = %id, reason, "a block gets no vote");
                (id, proposer, false)
            }
            Judged::Useless(reason) => {
                return tracing::debug!(height = %init.height, round = %init.round, reason, "a stream was useless");
            }
        };
        let value = proposed(init.height, init.round, init.pol_round, Address(proposer), id, valid);
        self.announcements.insert((init.round, BlockId(id)), init);
        self.keep(value.clone());
        // A height that has not started is offered its values when it does.
        if self.started.0 == value.height {
            // Fails only when the actors stop, which ends the loop.
            let _ = self.node.consensus.cast(ConsensusMsg::ReceivedProposedValue(value, ValueOrigin::Consensus));
        }
    }

    fn decided(&self, certificate: &CommitCertificate<Context>, reply: Reply<()>) {
        let certificate = ours(certificate);
        let committed = self.parts.worker.post(move |chain| chain.commit(certificate));
        self.forward(committed, move |block| Event::Committed { block, reply });
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
        // Where the next height was begun already, this is the answer to that, and nobody waits for ours.
        if height >= self.asked {
            self.finished = Some((height, reply));
        }
        if seen.is_empty() {
            return;
        }
        self.parts.metrics.evidence.inc();
        match self.parts.store.validators_at(height.0) {
            Ok(set) => self.evidence.extend(evidence::gather(self.parts.chain_id, &set, seen)),
            Err(error) => tracing::error!(error = report(&error), %height, "equivocations are not told to the ledger"),
        }
        self.accuse();
    }

    /// Tells the ledger of equivocations at committed heights.
    fn accuse(&mut self) {
        let tip = self.tip.0;
        for evidence in self.evidence.extract_if(.., |e| e.height <= tip) {
            let (validator, height, step) = (evidence.validator(), evidence.height, evidence.step.as_str());
            tracing::warn!(%validator, height, step, "a validator signed two conflicting messages");
            let mempool = self.parts.mempool.clone();
            tokio::spawn(async move {
                let bytes = Transaction::Evidence(evidence).encode();
                match mempool.admit(vec![bytes], true).await.map(|mut results| results.pop()) {
                    Ok(Some(Ok(_))) => {}
                    // Mostly because another validator was faster.
                    other => tracing::debug!(%validator, height, ?other, "evidence was not taken"),
                }
            });
        }
    }

    fn committed(&mut self, block: Arc<CommittedBlock>, reply: Reply<()>) -> Result<(), EngineError> {
        answer(reply, ());
        let height = Height(block.block.header.height);
        self.tip = height;
        self.committed = Instant::now();
        self.age = age_of(block.block.header.time);
        self.sets = load_sets(&self.parts.store, height)?;
        self.assembler.prune(height);
        self.values.retain(|_, v| v.height > height);
        self.announcements.retain(|_, init| init.height > height);
        let by_sync = self.synced == height;
        if by_sync {
            self.parts.metrics.blocks_synced.inc();
        }
        self.accuse();
        let syncing = by_sync && self.age > SYNCING_AGE;
        self.parts.progress.send_modify(|p| (p.height, p.syncing) = (height.0, syncing));
        for assembled in std::mem::take(&mut self.early) {
            if assembled.init.height > height {
                self.judge(assembled);
            }
        }
        let (mempool, events) = (self.parts.mempool.clone(), self.events.0.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = mempool.recheck(&block) {
                // Fails only when the host has stopped.
                let _ = events.send(Event::Failed(error.into()));
            }
        });
        Ok(())
    }

    fn synced_value(&mut self, height: Height, round: Round, bytes: Bytes, reply: Reply<SyncedValueOutcome<Context>>) {
        self.synced = height;
        let adopted = self.parts.worker.post(move |chain| chain.adopt(height.0, &bytes));
        let events = self.events.0.clone();
        tokio::spawn(async move {
            let outcome = match adopted.await {
                Ok(Ok(Some((id, proposer)))) => {
                    let value = proposed(height, round, Round::Nil, Address(proposer), id, true);
                    SyncedValueOutcome::Verdict(value)
                }
                Ok(Ok(None)) => SyncedValueOutcome::PeerFault,
                Ok(Err(error)) => {
                    // Fails only when the host has stopped.
                    let _ = events.send(Event::Failed(error));
                    SyncedValueOutcome::LocalTransientError
                }
                Err(_) => SyncedValueOutcome::LocalTransientError,
            };
            answer(reply, outcome);
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
            Event::Built { height, round, reply, built: Some(block) } => self.built(height, round, reply, block),
            // The height was decided meanwhile; nobody waits for the value any more.
            Event::Built { built: None, .. } => {}
            Event::Judged { init, judged } => self.judged(init, judged),
            Event::Committed { block, reply } => self.committed(block, reply)?,
            Event::Streamed { init, body } => self.publish(&init, &body),
            Event::Failed(error) => {
                tracing::error!(error = report(&error), "the engine cannot go on");
                return Err(error);
            }
        }
        Ok(())
    }

    /// When to go on to the next height; `None` while the last one is not committed.
    fn next_start(&self, work: Option<Instant>) -> Option<Instant> {
        if self.asked > self.tip {
            return None;
        }
        let next = Height(self.tip.0 + 1);
        let waiting = Waiting {
            committed: self.committed,
            age: self.age,
            proposer: self.proposes(next, Round::ZERO),
            work,
            heard: self.heard >= next,
        };
        Some(self.parts.pace.start(&waiting))
    }

    /// Until now consensus took in what came late of the last height; beginning the next one ends that.
    fn start_next(&mut self) {
        let (height, params) = (Height(self.tip.0 + 1), self.next_params());
        self.asked = height;
        match self.finished.take() {
            Some((_, reply)) => answer(reply, Next::Start(height, params)),
            // Fails only when the actors stop, which ends the loop.
            None => drop(self.node.consensus.cast(ConsensusMsg::StartHeight(height, params))),
        }
    }
}

pub(crate) fn ours(certificate: &CommitCertificate<Context>) -> Certificate {
    Certificate {
        height: certificate.height.0,
        round: certificate.round.as_i64(),
        block_hash: certificate.value_id.0,
        signatures: certificate.commit_signatures.iter().map(|s| (s.address.0, s.signature)).collect(),
    }
}

pub(crate) fn load_sets(store: &Store, tip: Height) -> Result<[ValidatorSet; 2], EngineError> {
    let set = |height| store.validators_at(height).map(|set| ValidatorSet::from(&set));
    Ok([set(tip.0 + 1)?, set(tip.0 + 2)?])
}

/// Signs the announcement of a stream.
pub(crate) fn announce(
    key: &ValidatorKey,
    chain_id: u64,
    height: Height,
    round: Round,
    pol_round: Round,
    body: &[u8],
) -> Option<Init> {
    let streamer = Address(key.public().address());
    // The ledger's limit on blocks is far below 4 GiB.
    let (bytes, digest) = (u32::try_from(body.len()).ok()?, sha256(&[body]));
    let mut init = Init { height, round, pol_round, streamer, bytes, digest, signature: ValidatorSignature([0; 64]) };
    init.signature = key.sign(&init_bytes(chain_id, &init));
    Some(init)
}

/// Answers a question; whoever asked may have stopped, which the loop notices by itself.
fn answer<T>(reply: Reply<T>, value: T) {
    let _ = reply.send(value);
}

pub(crate) fn proposed(
    height: Height,
    round: Round,
    valid_round: Round,
    proposer: Address,
    id: Digest,
    valid: bool,
) -> ProposedValue<Context> {
    let validity = Validity::from_bool(valid);
    ProposedValue { height, round, valid_round, proposer, value: BlockId(id), validity }
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

pub(crate) fn age_of(time: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now().nanos().saturating_sub(time.nanos())).unwrap_or(0))
}
