//! The only writer of the chain: builds, judges and commits blocks, one after the other, on a thread of its own.
//!
//! A thread and not a lock, because the order of these steps matters and none of them may stall the async runtime. The
//! host posts closures; the answer comes through a channel. A block that was built or judged keeps its execution
//! ([`crate::known`]), so that deciding it costs only the commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openmesh_ledger::{
    Block, Certificate, CheckedBlock, ExecuteError, Execution, ProposalError, RuleSets, UnverifiedTransaction,
    Upcoming, build_block_on, commit_hash, execute_checked, transactions_root, validate_checked,
};
use openmesh_primitives::{Address, Digest, Height, Timestamp, ValidatorKey, canonical};
use openmesh_storage::{Prepared, Store, StoreError};
use tokio::sync::{broadcast, oneshot};

use crate::admission::processors;
use crate::committed::CommittedBlock;
use crate::consensus::parts::block_bytes_max;
use crate::error::EngineError;
use crate::fill::Fill;
use crate::known::{Executed, Known, KnownBlocks};
use crate::mempool::Mempool;
use crate::metrics::Metrics;

/// A proposed block may be so far ahead of this node's clock, nanoseconds. Validators are expected to run NTP; two
/// seconds allow for a bad one and still keep block time useful.
const TIME_AHEAD_NANOS_MAX: i64 = 2_000_000_000;
/// Share of the proposal's time-out that may go into verifying signatures that a validator has not seen.
const VERIFY_SHARE: u32 = 3;
/// A block may have so many transactions whatever the measurement says, so that a hiccup cannot stop the chain.
const TRANSACTIONS_MIN: u64 = 128;
/// Round under which blocks are stored that came by sync.
const ROUND_NOT_JUDGED: i64 = -1;
/// Candidates for a block: some more than fit, because some will be refused.
const CANDIDATES_FACTOR: usize = 2;

/// A block as consensus refers to it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: Digest,
    pub(crate) proposer: Address,
    pub(crate) bytes: Bytes,
}

/// Judgement on a block that came from another proposer.
#[derive(Clone, Debug)]
pub(crate) enum Judged {
    /// It can be voted for, and is stored.
    Valid(Candidate),
    /// It is a block, but deserves no vote. `again`: only at this moment, because its time lies ahead.
    Invalid { id: Digest, proposer: Address, reason: String, again: bool },
    /// Not even a block of the next height.
    Useless(String),
}

pub(crate) struct Chain {
    store: Store,
    mempool: Mempool,
    /// Of the validator that proposes here.
    key: Option<ValidatorKey>,
    /// Time-out of the first round's proposal.
    propose: Duration,
    /// The share of a block's limits that this node fills when it proposes.
    fill: Fill,
    /// Rounds of the height that is being decided in which it has proposed.
    proposed: (Height, BTreeSet<i64>),
    known: KnownBlocks,
    /// Commit of the last block, with the precommits that came after the decision.
    last_commit: Option<Certificate>,
    rule_sets: RuleSets,
    /// The beginning of the next block, with the tip that it follows.
    upcoming: Option<(Digest, Arc<Upcoming>)>,
    committed: broadcast::Sender<Arc<CommittedBlock>>,
    metrics: Metrics,
}

/// Posts work to the chain's thread.
pub(crate) struct Worker {
    jobs: std::sync::mpsc::Sender<Job>,
    thread: std::thread::JoinHandle<()>,
}

type Job = Box<dyn FnOnce(&mut Chain) + Send>;

impl Worker {
    /// Starts the thread.
    pub(crate) fn start(mut chain: Chain) -> Result<Worker, EngineError> {
        // Unbounded: the host posts one job for each message that it has taken from a bounded channel.
        let (jobs, posted) = std::sync::mpsc::channel::<Job>();
        let run = move || posted.into_iter().for_each(|job| job(&mut chain));
        let thread = std::thread::Builder::new().name("openmesh-chain".to_owned()).spawn(run);
        Ok(Worker { jobs, thread: thread.map_err(EngineError::Thread)? })
    }

    /// Lets the thread finish what was posted, and waits for it; `false` if it had panicked.
    pub(crate) fn stop(self) -> bool {
        drop(self.jobs);
        self.thread.join().is_ok()
    }

    /// Posts a job; jobs run in the order of these calls. The receiver fails if the thread is gone.
    pub(crate) fn post<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Chain) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        // If the thread is gone the closure is dropped with its sender, and the receiver learns of it. The same if
        // nobody waits for the answer.
        let _ = self.jobs.send(Box::new(move |chain| {
            let _ = reply.send(job(chain));
        }));
        answer
    }
}

impl Chain {
    pub(crate) fn new(
        store: Store,
        mempool: Mempool,
        key: Option<ValidatorKey>,
        propose: Duration,
        committed: broadcast::Sender<Arc<CommittedBlock>>,
        metrics: Metrics,
    ) -> Chain {
        let (fill, proposed, known) = (Fill::default(), (0, BTreeSet::new()), KnownBlocks::default());
        let (rule_sets, upcoming, last_commit) = (RuleSets::built_in(), None, None);
        Chain {
            store,
            mempool,
            key,
            propose,
            fill,
            proposed,
            known,
            last_commit,
            rule_sets,
            upcoming,
            committed,
            metrics,
        }
    }

    /// The same with these rule sets.
    pub(crate) fn under(self, rule_sets: RuleSets) -> Chain {
        Chain { rule_sets, upcoming: None, ..self }
    }

    /// The beginning of the next block, made once for a tip: a migration may touch the whole state.
    fn upcoming(&mut self) -> Result<Arc<Upcoming>, EngineError> {
        let tip = self.store.tip();
        if let Some((_, known)) = self.upcoming.as_ref().filter(|(parent, _)| *parent == tip.block_hash) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Upcoming::of(&self.rule_sets, &self.store.state()?, tip.height + 1)?);
        self.upcoming = Some((tip.block_hash, Arc::clone(&made)));
        Ok(made)
    }

    /// Longest canonical bytes of the next block. Asked before its height begins, so that what a migration computes is there when
    /// the rounds begin, and a node whose program has no rules for it never takes part.
    ///
    /// Fails with [`EngineError::Rules`] where it has none.
    pub(crate) fn next_bytes_max(&mut self) -> Result<usize, EngineError> {
        let upcoming = self.upcoming()?;
        if let Some(plan) = upcoming.plan() {
            let (height, version, keys) = (upcoming.height(), plan.version, upcoming.writes().len());
            tracing::info!(height, version, release = %plan.release, keys, "the next block brings another rule set");
        }
        Ok(block_bytes_max(upcoming.params()))
    }

    /// The block that this node proposes in a round: the one that it proposed before a crash, or a new one. It is on the
    /// disk when this returns. `None`: that height is not next any more.
    pub(crate) fn build(
        &mut self,
        height: Height,
        round: i64,
        now: Timestamp,
    ) -> Result<Option<Candidate>, EngineError> {
        let tip = self.store.tip();
        let Some(proposer) = self.key.clone().filter(|_| tip.height + 1 == height) else { return Ok(None) };
        let fill = self.share(height, round);
        if let Some(before) = self.proposed_before(height, round, proposer.public().address())? {
            return Ok(Some(before));
        }
        let (state, upcoming) = (self.store.state()?, self.upcoming()?);
        let mut limits = fill.of(&upcoming.params().blocks);
        limits.transactions_max = limits.transactions_max.min(self.transactions_verifiable());
        let candidates = self.mempool.candidates(limits.bytes_max as usize * CANDIDATES_FACTOR, upcoming.base_fee());
        let last_commit = self.last_commit(tip.height)?;
        let started = Instant::now();
        let (block, execution) =
            build_block_on(&upcoming, &state, &tip, last_commit, &candidates, &proposer, now, &limits)?;
        let prepared = self.prepare(&execution)?;
        self.metrics.execute_seconds.observe(started.elapsed().as_secs_f64());
        let candidate = candidate(&block);
        let known = Known { block, bytes: candidate.bytes.clone(), executed: Some((execution, prepared)) };
        self.known.keep(candidate.id, known);
        self.store.put_undecided(height, round, &candidate.id, &candidate.bytes)?;
        self.metrics.proposals_built.inc();
        Ok(Some(candidate))
    }

    /// Learns from the decision of a height how this node's proposals went.
    fn learn(&mut self, decided: i64) {
        let rounds = std::mem::take(&mut self.proposed).1;
        self.fill = self.fill.after(rounds.range(..decided).count());
        if rounds.contains(&decided) {
            self.fill = self.fill.grown();
        }
    }

    /// Remembers a proposal of this node, and returns the share that it may fill.
    fn share(&mut self, height: Height, round: i64) -> Fill {
        if self.proposed.0 != height {
            self.proposed = (height, BTreeSet::new());
        }
        self.proposed.1.insert(round);
        self.fill.after(self.proposed.1.range(..round).count())
    }

    /// Forgets the executions of the next height's blocks: they are executed anew, from their stored bodies.
    pub(crate) fn forget_executions(&mut self) {
        self.known.clear();
    }

    /// Takes in what consensus knows of a decision when the next height begins: the precommits that came meanwhile too.
    pub(crate) fn finalized(&mut self, certificate: Certificate) {
        self.last_commit = Some(certificate);
    }

    /// The commit of the tip for the next block. After a restart, and of what came by sync, it is the one that was stored.
    fn last_commit(&self, tip: Height) -> Result<Option<Certificate>, EngineError> {
        match self.last_commit.as_ref().filter(|commit| commit.height == tip) {
            Some(commit) => Ok(Some(commit.clone())),
            None => Ok(self.store.block(tip)?.map(|last| last.certificate)),
        }
    }

    /// Number of transactions that the others can verify in good time, if they are like this machine and have seen none of
    /// them: a block that takes longer costs a round, and the next one is no smaller.
    fn transactions_verifiable(&self) -> u64 {
        let budget = self.propose / VERIFY_SHARE * (processors() as u32 / 2).max(1);
        let count = budget.as_nanos() / self.mempool.check_cost().as_nanos().max(1);
        u64::try_from(count).unwrap_or(u64::MAX).max(TRANSACTIONS_MIN)
    }

    fn proposed_before(
        &mut self,
        height: Height,
        round: i64,
        proposer: Address,
    ) -> Result<Option<Candidate>, EngineError> {
        for (at, id, bytes) in self.store.undecided(height)? {
            if at == round {
                let block = decode_stored(height, &bytes)?;
                if block.header.proposer == proposer {
                    return Ok(Some(Candidate { id, proposer, bytes: bytes.into() }));
                }
            }
        }
        Ok(None)
    }

    /// Judges a streamed block, and stores it if it is valid. `fresh`: proposed for the first time, so its proposer must
    /// be the one who streams it.
    pub(crate) fn judge(
        &mut self,
        height: Height,
        round: i64,
        streamer: Address,
        fresh: bool,
        bytes: Vec<u8>,
        now: Timestamp,
    ) -> Result<Judged, EngineError> {
        let tip = self.store.tip();
        if tip.height + 1 != height {
            return Ok(Judged::Useless(format!("height {height} is not next")));
        }
        let block: Block = match canonical::decode(&bytes) {
            Ok(block) => block,
            Err(error) => return Ok(Judged::Useless(error.to_string())),
        };
        let (id, proposer) = (block.hash(), block.header.proposer);
        let refused = |reason: String| Ok(Judged::Invalid { id, proposer, reason, again: false });
        if fresh && proposer != streamer {
            return refused(format!("the header names the proposer {proposer}, {streamer} streams it"));
        }
        let ahead = block.header.time.nanos().saturating_sub(now.nanos());
        if ahead > TIME_AHEAD_NANOS_MAX {
            let reason = format!("its time is {} ms ahead of this node's clock", ahead / 1_000_000);
            return Ok(Judged::Invalid { id, proposer, reason, again: true });
        }
        let bytes = Bytes::from(bytes);
        let known = self.known.bytes(&id).map(|known| *known == bytes);
        if known == Some(false) {
            return Ok(Judged::Useless(format!("another body under the header of block {id}")));
        }
        if known.is_none() {
            match self.execute(&block)? {
                Ok(executed) => {
                    self.known.keep(id, Known { block, bytes: bytes.clone(), executed: Some(executed) });
                }
                Err(reason) => return refused(reason),
            }
        }
        self.store.put_undecided(height, round, &id, &bytes)?;
        Ok(Judged::Valid(Candidate { id, proposer, bytes }))
    }

    /// Stores a block that came decided from a peer. It is executed when it is decided; until then nobody here has judged
    /// it, and whether it is the one that the certificate names, only consensus knows: so it is stored under a round that
    /// is never offered. `None`: not the bytes of a block of this height.
    pub(crate) fn adopt(&self, height: Height, bytes: &[u8]) -> Result<Option<(Digest, Address)>, EngineError> {
        let Ok(block) = canonical::decode::<Block>(bytes) else { return Ok(None) };
        // The certificate speaks about the header; this ties the rest to it. Whether the rules allow the block is looked at when it is
        // decided: where they do not, they are others here than the network's, which is no fault of the peer and has to be said.
        let fits = transactions_root(&block.transactions) == block.header.transactions_root
            && commit_hash(block.last_commit.as_ref()) == block.header.last_commit_hash;
        if block.header.height != height || !fits {
            return Ok(None);
        }
        let id = block.hash();
        self.store.put_undecided(height, ROUND_NOT_JUDGED, &id, bytes)?;
        Ok(Some((id, block.header.proposer)))
    }

    /// Bytes of a block of the next height.
    pub(crate) fn body(&self, height: Height, id: &Digest) -> Result<Option<Bytes>, EngineError> {
        if let Some(bytes) = self.known.bytes(id) {
            return Ok(Some(bytes.clone()));
        }
        let stored = self.store.undecided(height)?.into_iter().find(|(_, other, _)| other == id);
        Ok(stored.map(|(_, _, bytes)| bytes.into()))
    }

    /// Commits the decided block: one durable transaction. Any failure is the end of this node's run, because it can
    /// neither go on without the block nor change its mind about it.
    pub(crate) fn commit(&mut self, certificate: Certificate) -> Result<Arc<CommittedBlock>, EngineError> {
        let (height, hash) = (certificate.height, certificate.block_hash);
        let known = match self.known.take(&hash, &self.store.tip().block_hash) {
            Some(known) => known,
            None => {
                let bytes = self.body(height, &hash)?.ok_or(EngineError::UnknownDecision { height, hash })?;
                Known { block: decode_stored(height, &bytes)?, bytes, executed: None }
            }
        };
        let block = known.block;
        let (execution, prepared) = match known.executed {
            Some(executed) => executed,
            // The network has decided it; if it does not fit here, this node's state has gone another way.
            None => self.execute(&block)?.map_err(|reason| EngineError::Diverged { height, reason })?,
        };
        self.learn(certificate.round);
        let started = Instant::now();
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => self.store.prepare(&execution)?,
        };
        let state_root = prepared.state_root;
        self.store.commit(&block, &certificate, &execution, prepared)?;
        self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.known.clear();
        let Execution { receipts, events, .. } = execution;
        let committed = Arc::new(CommittedBlock { block, hash, certificate, state_root, receipts, events });
        self.mempool.committed(&committed);
        self.count(&committed);
        // Nobody listening is fine.
        let _ = self.committed.send(Arc::clone(&committed));
        Ok(committed)
    }

    fn count(&self, committed: &CommittedBlock) {
        let ok = committed.receipts.iter().filter(|r| r.ok()).count();
        self.metrics.height.set(committed.block.header.height as i64);
        self.metrics.blocks.inc();
        self.metrics.transactions_committed.inc_by(ok as u64);
        self.metrics.transactions_failed.inc_by((committed.receipts.len() - ok) as u64);
    }

    /// Checks and executes a block of the next height. Each transaction is hashed once, and decoded and verified only where none with
    /// its hash waits here or was verified lately. Returns the rule that it breaks, if it breaks one.
    ///
    /// Fails if the store does.
    fn execute(&mut self, block: &Block) -> Result<Result<Executed, String>, EngineError> {
        let started = Instant::now();
        let (state, upcoming) = (self.store.state()?, self.upcoming()?);
        let hashed = block.hashed();
        let known = self.mempool.verified_before(hashed.hashes());
        let mut checked = match hashed.check(&upcoming, &known) {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(report(&ProposalError::from(error)))),
        };
        match validate_checked(&state, &self.store.tip(), &checked) {
            Ok(()) => {}
            Err(ProposalError::State(error)) => return Err(error.into()),
            Err(error) => return Ok(Err(report(&error))),
        }
        let verified = verify(&mut checked);
        if verified > 0 {
            self.metrics.signatures_verified.inc_by(verified as u64);
            self.mempool.remember(checked.verified());
        }
        let execution = match execute_checked(&upcoming, &state, checked) {
            Ok(execution) => execution,
            Err(ExecuteError::Block(error)) => return Ok(Err(report(&error))),
            Err(error) => return Err(error.into()),
        };
        let prepared = self.prepare(&execution)?;
        self.metrics.execute_seconds.observe(started.elapsed().as_secs_f64());
        Ok(Ok((execution, prepared)))
    }

    /// The tree after an execution, but where it brings a migration.
    fn prepare(&self, execution: &Execution) -> Result<Option<Prepared>, EngineError> {
        match execution.migration {
            Some(_) => Ok(None),
            None => Ok(Some(self.store.prepare(execution)?)),
        }
    }
}

/// Verifies the signatures that nobody here has verified yet, on all processors, and returns how many that were. A wrong one keeps
/// its error for the receipt.
fn verify(checked: &mut CheckedBlock<'_>) -> usize {
    let mut missing = checked.unverified();
    let share = missing.len().div_ceil(processors()).max(1);
    std::thread::scope(|scope| {
        for part in missing.chunks_mut(share) {
            scope.spawn(move || part.iter_mut().for_each(UnverifiedTransaction::verify));
        }
    });
    missing.len()
}

fn candidate(block: &Block) -> Candidate {
    Candidate { id: block.hash(), proposer: block.header.proposer, bytes: canonical::encode(block).into() }
}

pub(crate) fn decode_stored(height: Height, bytes: &[u8]) -> Result<Block, EngineError> {
    canonical::decode(bytes)
        .map_err(|e| EngineError::Store(StoreError::Damaged(format!("undecided block of height {height}: {e}"))))
}

/// An error with its causes, in one line.
pub(crate) fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
