//! The mempool: checks transactions on threads of their own, keeps them in the [`pool`], tells when there is work.
//!
//! Signatures are verified here once for each transaction, and the result is kept with it and for a while after it: the
//! execution of a block asks for it and verifies only what it has never seen, and what it verified is asked for here.
//! Before a signature is looked at, the hash is: what waits or was committed before costs a look and nothing else. Checks
//! are admitted by class ([`crate::admission`]): a flood of clients or of peers can starve neither the other class nor
//! this node's own attestations, and a long envelope is checked in slices between which others have their turn.
//!
//! The time of a check here and now is measured ([`Mempool::check_cost`]), because a proposer must not fill a block with
//! more signatures than the others can verify before they have to vote.

pub(crate) mod accounts;
pub(crate) mod attestations;
pub(crate) mod entry;
pub(crate) mod error;
pub(crate) mod gossip;
pub(crate) mod lately;
pub(crate) mod place;
pub(crate) mod pool;
pub(crate) mod recheck;
pub(crate) mod verdict;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_ledger::{Class, MempoolRules, RawTransaction, RuleSets, StateError, Transaction, VerifiedTransaction};
use openmesh_primitives::{Address, Amount, Digest, Height, Timestamp};
use openmesh_storage::{StateView, Store};
use tokio::sync::{mpsc, watch};

use crate::admission::{Admission, WorkClass};
use crate::committed::CommittedBlock;
use crate::config::MempoolConfig;
use crate::metrics::Metrics;
use error::{PoolError, SubmitError};
use lately::Lately;
use place::place;
use pool::{Load, Pool};

/// Transactions of clients that still wait are spread again after so many blocks, twice, four times as many, and so on.
const SPREAD_AGAIN_BLOCKS: u64 = 10;
/// Cost of a check before the first one was measured: about that of a secp256k1 recovery on a slow machine.
const CHECK_COST_GUESS: Duration = Duration::from_micros(300);
/// Transactions that are checked in one turn: some ten milliseconds, so that whoever waits has its turn soon.
const CHECKS_PER_TURN: usize = 64;

/// A transaction as it is handed in.
#[derive(Clone, Debug)]
pub enum Submission {
    /// Its canonical bytes.
    Bytes(Vec<u8>),
    /// Decoded, by whoever made it.
    Decoded(Box<Transaction>),
    /// Hashed, by whoever had to know what it is.
    Hashed(Box<RawTransaction>),
}

impl Submission {
    /// Its canonical bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Submission::Bytes(bytes) => bytes.clone(),
            Submission::Decoded(transaction) => transaction.encode(),
            Submission::Hashed(raw) => raw.bytes().to_vec(),
        }
    }
}

impl From<Vec<u8>> for Submission {
    fn from(bytes: Vec<u8>) -> Submission {
        Submission::Bytes(bytes)
    }
}

impl From<Transaction> for Submission {
    fn from(transaction: Transaction) -> Submission {
        Submission::Decoded(Box::new(transaction))
    }
}

#[derive(Clone)]
pub(crate) struct Mempool(Arc<Inner>);

/// The state after a block and what the rules read from it, for all checks until the next block.
struct Snapshot {
    state: StateView,
    rules: MempoolRules,
}

struct Inner {
    pool: Mutex<Pool>,
    lately: Mutex<Lately>,
    store: Store,
    rule_sets: RuleSets,
    /// Of the last block that anybody asked for.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    admission: Admission,
    /// Moving average of the time for one check, nanoseconds.
    check_nanos: AtomicU64,
    /// True while something waits that can go into the next block.
    work: watch::Sender<bool>,
    spread: mpsc::Sender<Arc<VerifiedTransaction>>,
    metrics: Metrics,
}

type Outcome = Result<Digest, SubmitError>;

impl Mempool {
    /// [`Mempool::under`] the rule sets of the ledger itself.
    #[cfg(test)]
    pub(crate) fn new(
        limits: MempoolConfig,
        own: Option<Address>,
        store: Store,
        spread: mpsc::Sender<Arc<VerifiedTransaction>>,
        metrics: Metrics,
    ) -> Mempool {
        Mempool::under(RuleSets::built_in(), limits, own, store, spread, metrics)
    }

    /// An empty mempool of a node; `own` is its validator. Transactions of its clients are handed to `spread`.
    pub(crate) fn under(
        rule_sets: RuleSets,
        limits: MempoolConfig,
        own: Option<Address>,
        store: Store,
        spread: mpsc::Sender<Arc<VerifiedTransaction>>,
        metrics: Metrics,
    ) -> Mempool {
        let admission = Admission::new(limits.admission);
        let mut pool = Pool::new(limits, own);
        pool.begin_after(store.tip().height);
        Mempool(Arc::new(Inner {
            admission,
            pool: Mutex::new(pool),
            lately: Mutex::default(),
            store,
            rule_sets,
            snapshot: Mutex::new(None),
            check_nanos: AtomicU64::new(CHECK_COST_GUESS.as_nanos() as u64),
            work: watch::Sender::new(false),
            spread,
            metrics,
        }))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // The pool's operations do not panic half-way through a change of several indices.
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.0.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opening a view and reading parameters from it costs as much as checking some transactions.
    fn snapshot(&self) -> Result<Arc<Snapshot>, StateError> {
        let mut kept = self.0.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = kept.as_ref().filter(|s| s.state.tip() == self.0.store.tip()) {
            return Ok(Arc::clone(snapshot));
        }
        let state = self.0.store.state()?;
        let rules = MempoolRules::under(&self.0.rule_sets, &state)?;
        let snapshot = Arc::new(Snapshot { state, rules });
        *kept = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    pub(crate) fn work(&self) -> watch::Receiver<bool> {
        self.0.work.subscribe()
    }

    /// The gate through which all work that others ask for goes.
    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    pub(crate) fn load(&self) -> Load {
        self.pool().load()
    }

    /// Height and time of the last block.
    pub(crate) fn tip(&self) -> (Height, Timestamp) {
        let tip = self.0.store.tip();
        (tip.height, tip.time)
    }

    /// Time of one check at present, with whatever else this machine does.
    pub(crate) fn check_cost(&self) -> Duration {
        Duration::from_nanos(self.0.check_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn candidates(&self, bytes: usize, base_fee: Amount) -> Vec<Arc<VerifiedTransaction>> {
        self.pool().candidates(bytes, base_fee)
    }

    /// The bytes of all that waits, in the order in which it came.
    pub(crate) fn waiting(&self) -> Vec<Vec<u8>> {
        self.pool().waiting()
    }

    /// The nonce of an account after those that wait without a gap.
    pub(crate) fn nonce_after(&self, account: &Address) -> Option<u64> {
        self.pool().accounts.end_of(account)
    }

    /// Those of the hashes that neither wait here nor were committed or turned away just now.
    pub(crate) fn unknown(&self, mut hashes: Vec<Digest>) -> Vec<Digest> {
        let pool = self.pool();
        hashes.retain(|hash| pool.wants(hash));
        hashes
    }

    /// The verified transactions of these hashes, as far as they wait here.
    pub(crate) fn verified(&self, hashes: &[Digest]) -> Vec<Option<Arc<VerifiedTransaction>>> {
        let pool = self.pool();
        hashes.iter().map(|hash| pool.verified(hash)).collect()
    }

    /// The same, and those whose signatures were verified here lately, for the check of a block.
    pub(crate) fn verified_before(&self, hashes: &[Digest]) -> Vec<Option<Arc<VerifiedTransaction>>> {
        let mut found = self.verified(hashes);
        if found.iter().any(Option::is_none) {
            let lately = self.lately();
            let missing = found.iter_mut().zip(hashes).filter(|(slot, _)| slot.is_none());
            missing.for_each(|(slot, hash)| *slot = lately.get(hash));
        }
        found
    }

    /// Remembers transactions of a block whose signatures have been verified: they may come as transactions yet.
    pub(crate) fn remember<'a>(&self, verified: impl Iterator<Item = &'a Arc<VerifiedTransaction>>) {
        let mut lately = self.lately();
        verified.for_each(|verified| lately.keep(verified));
    }

    /// Checks transactions and takes those in that are valid and new; one result for each, in order. An envelope of a
    /// peer is not read to its end when it contains what no honest neighbour could have sent: it has fewer results then.
    ///
    /// Fails as a whole if the class has no place left, or the engine stops.
    pub(crate) async fn admit(&self, batch: Vec<Submission>, class: WorkClass) -> Result<Vec<Outcome>, SubmitError> {
        let weight = if class == WorkClass::Gossip { 1 } else { batch.len() };
        let mut place = self.0.admission.enter(class, weight).map_err(|_| SubmitError::Busy)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut rest = batch.into_iter();
        loop {
            let slice: Vec<Submission> = rest.by_ref().take(CHECKS_PER_TURN).collect();
            if slice.is_empty() {
                return Ok(outcomes);
            }
            let mempool = self.clone();
            let work = move || mempool.admit_blocking(slice, class);
            let (checked, again) = place.run(work).await.ok_or(SubmitError::Stopped)?;
            place = again;
            let is_bad = class == WorkClass::Gossip && checked.iter().any(verdict::is_stateless);
            outcomes.extend(checked);
            if is_bad {
                return Ok(outcomes);
            }
        }
    }

    /// The same for one transaction.
    pub(crate) async fn admit_one(&self, transaction: Submission, class: WorkClass) -> Outcome {
        let outcomes = self.admit(vec![transaction], class).await?;
        outcomes.into_iter().next().unwrap_or(Err(SubmitError::Stopped))
    }

    /// The same on the caller's thread, without admission.
    pub(crate) fn admit_blocking(&self, batch: Vec<Submission>, class: WorkClass) -> Vec<Outcome> {
        let snapshot = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return vec![Err(SubmitError::State(error)); batch.len()],
        };
        let mut outcomes = Vec::with_capacity(batch.len());
        for transaction in batch {
            let outcome = self.take(&snapshot, transaction, class != WorkClass::Gossip);
            let is_bad = class == WorkClass::Gossip && verdict::is_stateless(&outcome);
            outcomes.push(outcome);
            if is_bad {
                break;
            }
        }
        self.count(&outcomes);
        if self.pool().has_work() {
            self.0.work.send_if_modified(|work| !std::mem::replace(work, true));
        }
        outcomes
    }

    /// `local`: it came from a client of this node, so it is spread; the others are forwarded by the network itself.
    fn take(&self, snapshot: &Snapshot, transaction: Submission, local: bool) -> Outcome {
        let verified = self.verify(transaction)?;
        let hash = verified.hash();
        if !self.insert(snapshot, &verified, local)? {
            // It is in the store since before the pool heard of it.
            let newer = self.snapshot()?;
            if !self.insert(&newer, &verified, local)? {
                return Err(SubmitError::Busy);
            }
        }
        if local && self.0.spread.try_send(verified).is_err() {
            // It still waits here, and is spread again after some blocks.
            self.0.metrics.gossip_dropped.inc();
        }
        Ok(hash)
    }

    /// Takes a transaction in that is fine by the state of a snapshot. Returns false where the pool has taken out what a later block has in
    /// it: that may have used the nonce, and nobody would look at this transaction again until its age removes it.
    fn insert(
        &self,
        snapshot: &Snapshot,
        verified: &Arc<VerifiedTransaction>,
        local: bool,
    ) -> Result<bool, SubmitError> {
        let ahead_max = self.pool().nonces_ahead_max();
        let place = place(&snapshot.rules, &snapshot.state, verified, ahead_max);
        let mut pool = self.pool();
        if snapshot.state.tip().height < pool.tip() {
            return Ok(false);
        }
        pool.insert(Arc::clone(verified), place?, local)?;
        Ok(true)
    }

    /// Looks whether the transaction is new, and only then at its signature.
    fn verify(&self, transaction: Submission) -> Result<Arc<VerifiedTransaction>, SubmitError> {
        let raw = match transaction {
            Submission::Bytes(bytes) => RawTransaction::new(bytes),
            Submission::Decoded(transaction) => RawTransaction::from(*transaction),
            Submission::Hashed(raw) => *raw,
        };
        let hash = raw.hash();
        if self.pool().knows(&hash) {
            return Err(PoolError::Known.into());
        }
        let committed = self.0.store.transaction(&hash).map_err(StateError::from)?;
        // The store knows the place of a refused one too.
        if let Some((height, _)) = committed
            && !self.pool().was_refused(&hash)
        {
            return Err(PoolError::Committed { height }.into());
        }
        if let Some(verified) = self.lately().get(&hash) {
            return Ok(verified);
        }
        let started = Instant::now();
        let verified = Arc::new(raw.verify()?);
        self.0.metrics.signatures_verified.inc();
        if verified.class() == Class::Account {
            self.measured(started.elapsed());
        }
        self.lately().keep(&verified);
        Ok(verified)
    }

    /// A sixteenth of the new measurement: steady against outliers, yet there within a block's worth of checks. Two
    /// threads may overwrite each other's, which loses a measurement and nothing else.
    fn measured(&self, took: Duration) {
        let before = self.0.check_nanos.load(Ordering::Relaxed);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.check_nanos.store(before - before / 16 + took / 16, Ordering::Relaxed);
    }

    fn count(&self, results: &[Outcome]) {
        let refused = results.iter().filter(|r| r.is_err()).count();
        self.0.metrics.transactions_refused.inc_by(refused as u64);
        self.0.metrics.transactions_admitted.inc_by((results.len() - refused) as u64);
        self.0.metrics.mempool(&self.load());
    }

    /// Takes out what took effect in a block. Called by whoever committed it, before anybody builds the next.
    pub(crate) fn committed(&self, block: &CommittedBlock) {
        let mut pool = self.pool();
        recheck::take_out(&mut pool, block.block.header.height, &block.receipts);
        // An empty block although something waits: it cannot go in now, so it is no work until something else comes.
        let work = pool.has_work() && !block.block.transactions.is_empty();
        drop(pool);
        self.0.work.send_replace(work);
    }

    /// Checks again what the block may have made invalid. Blocks; called off the way of consensus.
    ///
    /// Fails if the state cannot be read.
    pub(crate) fn recheck(&self, block: &CommittedBlock) -> Result<(), StateError> {
        let (snapshot, height) = (self.snapshot()?, block.block.header.height);
        recheck::recheck(&snapshot.rules, &snapshot.state, height, &block.receipts, || self.pool())?;
        let mut pool = self.pool();
        let expired = recheck::expire(&mut pool, height);
        self.0.metrics.transactions_expired.inc_by(expired as u64);
        let again = pool.to_spread_again(SPREAD_AGAIN_BLOCKS);
        self.0.metrics.mempool(&pool.load());
        drop(pool);
        for transaction in again {
            if self.0.spread.try_send(transaction).is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "mempool_tests.rs"]
mod tests;
