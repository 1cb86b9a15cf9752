//! The mempool: checks transactions on threads of their own, keeps them in the [`pool`], tells when there is work.
//!
//! Signatures are verified here once for each transaction, and the result is kept with it: the execution of a block asks
//! for it and verifies only what it has never seen. Checks run on blocking threads, on half of the processors at most, so
//! that a flood of transactions cannot starve the votes; a bounded number may wait for one, and whoever comes after that
//! is told to come again.
//!
//! What a check costs here and now is measured ([`Mempool::check_cost`]), because a proposer must not fill a block with
//! more signatures than the others can verify before they have to vote.

pub(crate) mod gossip;
pub(crate) mod pool;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_ledger::{
    AccountsError, CheckError, Class, MempoolRules, StateError, Transaction, TransactionError, VerifiedTransaction,
    account, verify_stateless,
};
use openmesh_primitives::{Address, Amount, Digest, Timestamp, sha256};
use openmesh_storage::{StateView, Store};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::committed::CommittedBlock;
use crate::config::{MempoolConfig, processors};
use crate::metrics::Metrics;
use pool::{Load, Pool, PoolError};

/// Checks that may wait for a thread.
const CHECKS_WAITING_MAX: usize = 8_192;
/// Transactions of clients that still wait are spread again each time so many blocks have passed.
const SPREAD_AGAIN_BLOCKS: u64 = 10;
/// Cost of a check before the first one was measured: about that of a secp256k1 recovery on a slow machine.
const CHECK_COST_GUESS: Duration = Duration::from_micros(300);
/// Waiting transactions are searched for expired ones each time so many blocks have passed.
const EXPIRE_BLOCKS: u64 = 64;

/// Why a transaction is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It is invalid, by itself or by the state after the last block.
    #[error(transparent)]
    Refused(#[from] TransactionError),
    /// It is valid, but the mempool has no room for it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Too many transactions wait to be checked.
    #[error("too many transactions wait to be checked, try again in a moment")]
    Busy,
    /// This node's store is broken.
    #[error(transparent)]
    State(#[from] StateError),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl From<CheckError> for SubmitError {
    fn from(error: CheckError) -> SubmitError {
        match error {
            CheckError::Refused(error) => SubmitError::Refused(error),
            CheckError::State(error) => SubmitError::State(error),
        }
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
    store: Store,
    /// Of the last block that anybody asked for.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    waiting: Arc<Semaphore>,
    threads: Semaphore,
    /// Moving average of the time for one check, nanoseconds.
    check_nanos: AtomicU64,
    /// Whether something waits that can go into the next block.
    work: watch::Sender<bool>,
    spread: mpsc::Sender<Arc<VerifiedTransaction>>,
    metrics: Metrics,
}

impl Mempool {
    pub(crate) fn new(
        limits: MempoolConfig,
        store: Store,
        spread: mpsc::Sender<Arc<VerifiedTransaction>>,
        metrics: Metrics,
    ) -> Mempool {
        let threads = (processors() / 2).max(1);
        Mempool(Arc::new(Inner {
            pool: Mutex::new(Pool::new(limits)),
            store,
            snapshot: Mutex::new(None),
            waiting: Arc::new(Semaphore::new(CHECKS_WAITING_MAX)),
            threads: Semaphore::new(threads),
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

    /// Opening a view and reading parameters from it costs as much as checking some transactions.
    fn snapshot(&self) -> Result<Arc<Snapshot>, StateError> {
        let mut kept = self.0.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = kept.as_ref().filter(|s| s.state.tip() == self.0.store.tip()) {
            return Ok(Arc::clone(snapshot));
        }
        let state = self.0.store.state()?;
        let rules = MempoolRules::of(&state)?;
        let snapshot = Arc::new(Snapshot { state, rules });
        *kept = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    pub(crate) fn work(&self) -> watch::Receiver<bool> {
        self.0.work.subscribe()
    }

    pub(crate) fn load(&self) -> Load {
        self.pool().load()
    }

    /// The last block's time.
    pub(crate) fn tip_time(&self) -> Timestamp {
        self.0.store.tip().time
    }

    /// What one check takes at present, with whatever else this machine does.
    pub(crate) fn check_cost(&self) -> Duration {
        Duration::from_nanos(self.0.check_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn candidates(&self, bytes: usize) -> Vec<Arc<VerifiedTransaction>> {
        self.pool().candidates(bytes)
    }

    /// What is known of a block's transactions.
    pub(crate) fn verified(&self, hashes: &[Digest]) -> Vec<Option<Arc<VerifiedTransaction>>> {
        let pool = self.pool();
        hashes.iter().map(|hash| pool.verified(hash)).collect()
    }

    /// Checks transactions and takes those in that are valid and new; one result for each, in order. `local` ones came
    /// from a client of this node and are spread; the others are forwarded by the network itself.
    pub(crate) async fn admit(
        &self,
        batch: Vec<Vec<u8>>,
        local: bool,
    ) -> Result<Vec<Result<Digest, SubmitError>>, SubmitError> {
        let count = u32::try_from(batch.len()).map_err(|_| SubmitError::Busy)?;
        let places = Arc::clone(&self.0.waiting).try_acquire_many_owned(count).map_err(|_| SubmitError::Busy)?;
        let thread = self.0.threads.acquire().await.map_err(|_| SubmitError::Stopped)?;
        let mempool = self.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let _places = places;
            mempool.admit_blocking(&batch, local)
        });
        let results = checked.await.map_err(|_| SubmitError::Stopped)?;
        drop(thread);
        Ok(results)
    }

    /// The same on the caller's thread.
    pub(crate) fn admit_blocking(&self, batch: &[Vec<u8>], local: bool) -> Vec<Result<Digest, SubmitError>> {
        let snapshot = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return vec![Err(SubmitError::State(error)); batch.len()],
        };
        let results: Vec<_> = batch.iter().map(|bytes| self.admit_one(&snapshot, bytes, local)).collect();
        self.count(&results);
        if self.pool().has_work() {
            self.0.work.send_if_modified(|work| !std::mem::replace(work, true));
        }
        results
    }

    fn admit_one(&self, snapshot: &Snapshot, bytes: &[u8], local: bool) -> Result<Digest, SubmitError> {
        let hash = sha256(&[bytes]);
        if self.pool().knows(&hash) {
            return Err(PoolError::Known.into());
        }
        let started = Instant::now();
        let verified = Arc::new(verify_stateless(bytes)?);
        if verified.class() == Class::Account {
            self.measured(started.elapsed());
        }
        let next = self.next_nonce(snapshot, &verified)?;
        self.pool().insert(Arc::clone(&verified), next, local)?;
        if local && self.0.spread.try_send(verified).is_err() {
            // It still waits here, and is spread again after some blocks.
            self.0.metrics.gossip_dropped.inc();
        }
        Ok(hash)
    }

    /// A sixteenth of the new measurement: steady against outliers, yet there within a block's worth of checks. Two
    /// threads may overwrite each other's, which loses a measurement and nothing else.
    fn measured(&self, took: Duration) {
        let before = self.0.check_nanos.load(Ordering::Relaxed);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.check_nanos.store(before - before / 16 + took / 16, Ordering::Relaxed);
    }

    /// Checks against the state; a nonce that is a little ahead is allowed to wait for those before it.
    fn next_nonce(&self, snapshot: &Snapshot, verified: &VerifiedTransaction) -> Result<u64, SubmitError> {
        match snapshot.rules.check(&snapshot.state, verified) {
            Ok(checked) => Ok(checked.nonce.unwrap_or(0)),
            Err(CheckError::Refused(TransactionError::Accounts(AccountsError::NonceGap { expected, got })))
                if got - expected <= self.pool().nonces_ahead_max() =>
            {
                affordable(snapshot, verified)?;
                Ok(expected)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn count(&self, results: &[Result<Digest, SubmitError>]) {
        let refused = results.iter().filter(|r| r.is_err()).count();
        self.0.metrics.transactions_refused.inc_by(refused as u64);
        self.0.metrics.transactions_admitted.inc_by((results.len() - refused) as u64);
        self.0.metrics.mempool(&self.load());
    }

    /// Called by whoever committed a block, before anybody builds the next: what took effect in it waits no more. What
    /// it refused waits on: otherwise a proposer could take a transaction away from everybody by including it before its
    /// turn. If it will never be fine, [`Mempool::recheck`] or its age removes it.
    pub(crate) fn committed(&self, block: &CommittedBlock) {
        let mut pool = self.pool();
        let hashes: Vec<Digest> = block.receipts.iter().filter(|r| r.ok()).map(|r| r.hash).collect();
        pool.committed(block.block.header.height, &hashes);
        for receipt in &block.receipts {
            if let (Some(sender), Some(nonce), true) = (receipt.sender, receipt.nonce, receipt.ok()) {
                pool.advance(sender, nonce + 1);
            }
        }
        // An empty block although something waits: it cannot go in now, so it is no work until something else comes.
        let work = pool.has_work() && !block.block.transactions.is_empty();
        drop(pool);
        self.0.work.send_replace(work);
    }

    /// Checks again what the block may have made invalid. Blocks; called off the way of consensus.
    pub(crate) fn recheck(&self, block: &CommittedBlock) -> Result<(), StateError> {
        let snapshot = self.snapshot()?;
        let Snapshot { state, rules } = &*snapshot;
        let (heads, attestations) = {
            let pool = self.pool();
            // Of refused transactions too: they wait on, and may have become worthless.
            let touched: BTreeSet<Address> =
                block.receipts.iter().filter(|r| r.class == Class::Account).filter_map(|r| r.sender).collect();
            let mut heads = pool.ready_heads();
            if !block.block.transactions.is_empty() {
                heads.retain(|(sender, _)| touched.contains(sender));
            }
            (heads, pool.waiting_attestations())
        };
        for (sender, head) in heads {
            let next = account(state, &sender)?.nonce;
            self.pool().advance(sender, next);
            match rules.check(state, &head) {
                // Behind the nonce: gone already. Ahead: cannot be ready.
                Ok(_) | Err(CheckError::Refused(TransactionError::Accounts(AccountsError::NonceLow { .. }))) => {}
                Err(CheckError::Refused(_)) => self.pool().remove_sender(&sender),
                Err(CheckError::State(error)) => return Err(error),
            }
        }
        for attestation in attestations {
            match rules.check(state, &attestation) {
                Ok(_) => {}
                Err(CheckError::Refused(_)) => self.pool().remove(&attestation.hash()),
                Err(CheckError::State(error)) => return Err(error),
            }
        }
        self.age(block.block.header.height);
        Ok(())
    }

    fn age(&self, height: u64) {
        let mut pool = self.pool();
        if height.is_multiple_of(EXPIRE_BLOCKS) {
            self.0.metrics.transactions_expired.inc_by(pool.expire() as u64);
        }
        let again = pool.to_spread_again(SPREAD_AGAIN_BLOCKS);
        self.0.metrics.mempool(&pool.load());
        drop(pool);
        for transaction in again {
            if self.0.spread.try_send(transaction).is_err() {
                break;
            }
        }
    }
}

/// What the ledger would say about fee and balance if the nonce were next: it stops at the nonce.
fn affordable(snapshot: &Snapshot, verified: &VerifiedTransaction) -> Result<(), SubmitError> {
    let Transaction::Account(transaction) = verified.transaction() else { return Ok(()) };
    let min = transaction.action.fee_min(snapshot.rules.params());
    if transaction.fee < min {
        return Err(TransactionError::Accounts(AccountsError::FeeLow { min, got: transaction.fee }).into());
    }
    let balance = account(&snapshot.state, &verified.sender())?.balance;
    let needed = transaction.action.spends().checked_add(transaction.fee).unwrap_or(Amount(u128::MAX));
    if needed > balance {
        return Err(TransactionError::Accounts(AccountsError::Overdraft {
            account: verified.sender(),
            balance,
            needed,
        })
        .into());
    }
    Ok(())
}
