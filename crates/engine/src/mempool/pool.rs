//! The transactions that wait, and who has to go when there are too many. Pure: no clock, thread or state in here.
//!
//! Two classes that cannot crowd each other out: attestations of validators (in order of arrival, one for a validator,
//! source and window; evidence waits among them, one piece for a validator and height) and transactions of accounts (a queue by nonce for each account). When the accounts' room is full
//! the worst paid transaction goes, together with what its sender sent after it, if the new one pays more. A new
//! transaction with a waiting one's nonce replaces it if it pays a tenth more; a fee must be worth the gossip.
//!
//! Invariants (property-tested below): the limits hold after every operation, the sums of bytes are exact, and every
//! index names exactly the entries that exist.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use openmesh_ledger::{CONSENSUS, Transaction, VerifiedTransaction};
use openmesh_primitives::{Address, Amount, Digest, Height};

use crate::config::MempoolConfig;

/// A replacement must pay at least so many per cent of what it replaces.
const REPLACEMENT_PERCENT: u128 = 110;
/// Hashes of committed transactions that are remembered, so that late gossip is recognised without a check.
const RECENT_MAX: usize = 65_536;

/// Why the pool does not take a valid transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It waits already, or was committed just now.
    #[error("the transaction is known already")]
    Known,
    /// The validator's attestation of this source and window waits already.
    #[error("another attestation of this validator for the same source and window waits already")]
    KnownAttestation,
    /// One with the same nonce waits and pays too much to be replaced.
    #[error("a transaction with this nonce waits already; to replace it, pay at least {needed}")]
    Underpriced {
        /// Least fee of a replacement.
        needed: Amount,
    },
    /// The sender has enough waiting.
    #[error("{sender} has {max} transactions waiting already")]
    SenderFull {
        /// Account or validator.
        sender: Address,
        /// As allowed.
        max: usize,
    },
    /// There is no room, and the fee is not higher than the lowest that waits.
    #[error("the mempool is full; pay more than {lowest}")]
    Full {
        /// Lowest fee that waits.
        lowest: Amount,
    },
    /// There is no room for another attestation.
    #[error("the mempool has no room for another attestation")]
    AttestationsFull,
}

#[derive(Clone, Debug)]
struct Entry {
    verified: Arc<VerifiedTransaction>,
    fee: Amount,
    /// Order of arrival.
    number: u64,
    /// Height of the tip at arrival.
    height: Height,
    /// Ours to spread: it came from a client of this node.
    local: bool,
}

type Attested = (Address, String, u64);

#[derive(Debug, Default)]
struct Queue {
    /// The account's next nonce by the state, as far as known.
    next: u64,
    by_nonce: BTreeMap<u64, Digest>,
}

/// How full the pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) transactions: usize,
    pub(crate) bytes: usize,
    pub(crate) attestations: usize,
    pub(crate) attestation_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Pool {
    limits: MempoolConfig,
    entries: HashMap<Digest, Entry>,
    queues: BTreeMap<Address, Queue>,
    /// Accounts whose first waiting transaction is their next one.
    ready: BTreeSet<Address>,
    by_fee: BTreeSet<(Amount, Reverse<u64>, Digest)>,
    attestations: BTreeMap<Attested, Digest>,
    /// Attestations in order of arrival.
    arrivals: BTreeMap<u64, Digest>,
    load: Load,
    recent: HashSet<Digest>,
    recent_order: VecDeque<Digest>,
    number: u64,
    tip: Height,
}

impl Pool {
    pub(crate) fn new(limits: MempoolConfig) -> Pool {
        Pool {
            limits,
            entries: HashMap::new(),
            queues: BTreeMap::new(),
            ready: BTreeSet::new(),
            by_fee: BTreeSet::new(),
            attestations: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            load: Load::default(),
            recent: HashSet::new(),
            recent_order: VecDeque::new(),
            number: 0,
            tip: 0,
        }
    }

    pub(crate) const fn load(&self) -> Load {
        self.load
    }

    /// Whether the transaction waits or was committed just now.
    pub(crate) fn knows(&self, hash: &Digest) -> bool {
        self.entries.contains_key(hash) || self.recent.contains(hash)
    }

    /// Whether something waits that can go into the next block.
    pub(crate) fn has_work(&self) -> bool {
        !self.arrivals.is_empty() || !self.ready.is_empty()
    }

    /// How far ahead of the account's next nonce a nonce may be.
    pub(crate) const fn nonces_ahead_max(&self) -> u64 {
        self.limits.per_sender_max as u64
    }

    pub(crate) fn verified(&self, hash: &Digest) -> Option<Arc<VerifiedTransaction>> {
        self.entries.get(hash).map(|e| Arc::clone(&e.verified))
    }

    /// Everything that can go into the next block, at most about `bytes` of each class: attestations by arrival, then
    /// the accounts' queues, best paid heads first. The ledger picks and orders.
    pub(crate) fn candidates(&self, bytes: usize) -> Vec<Arc<VerifiedTransaction>> {
        let mut chosen = Vec::new();
        let mut room = bytes;
        for hash in self.arrivals.values() {
            if !self.take(hash, &mut room, &mut chosen) {
                break;
            }
        }
        let mut heads: Vec<(Reverse<Amount>, Address)> =
            self.ready.iter().filter_map(|a| Some((Reverse(self.head_fee(a)?), *a))).collect();
        heads.sort();
        let mut room = bytes;
        for (_, account) in heads {
            let Some(queue) = self.queues.get(&account) else { continue };
            for (nonce, (at, hash)) in (queue.next..).zip(&queue.by_nonce) {
                if nonce != *at || !self.take(hash, &mut room, &mut chosen) {
                    break;
                }
            }
        }
        chosen
    }

    fn head_fee(&self, account: &Address) -> Option<Amount> {
        let (_, hash) = self.queues.get(account)?.by_nonce.first_key_value()?;
        self.entries.get(hash).map(|e| e.fee)
    }

    fn take(&self, hash: &Digest, room: &mut usize, chosen: &mut Vec<Arc<VerifiedTransaction>>) -> bool {
        let Some(entry) = self.entries.get(hash) else { return true };
        let bytes = entry.verified.bytes().len();
        if bytes > *room {
            return false;
        }
        *room -= bytes;
        chosen.push(Arc::clone(&entry.verified));
        true
    }

    /// Takes a transaction in that has been checked against the state; `next` is its account's next nonce.
    pub(crate) fn insert(
        &mut self,
        verified: Arc<VerifiedTransaction>,
        next: u64,
        local: bool,
    ) -> Result<(), PoolError> {
        if self.knows(&verified.hash()) {
            return Err(PoolError::Known);
        }
        match verified.transaction() {
            Transaction::Attestation(attestation) => {
                let key = (verified.sender(), attestation.source.clone(), attestation.window);
                self.insert_attestation(key, verified, local)
            }
            Transaction::Evidence(evidence) => {
                let key = (verified.sender(), CONSENSUS.to_owned(), evidence.height);
                self.insert_attestation(key, verified, local)
            }
            Transaction::Account(transaction) => {
                let (nonce, fee) = (transaction.nonce, transaction.fee);
                self.insert_account(verified, nonce, fee, next, local)
            }
        }
    }

    fn insert_attestation(
        &mut self,
        key: Attested,
        verified: Arc<VerifiedTransaction>,
        local: bool,
    ) -> Result<(), PoolError> {
        if self.attestations.contains_key(&key) {
            return Err(PoolError::KnownAttestation);
        }
        let sender = key.0;
        let own = self.attestations.range((sender, String::new(), 0)..).take_while(|((a, ..), _)| *a == sender).count();
        if own >= self.limits.per_validator_max {
            return Err(PoolError::SenderFull { sender, max: self.limits.per_validator_max });
        }
        let bytes = verified.bytes().len();
        if self.load.attestations >= self.limits.attestations_max
            || self.load.attestation_bytes + bytes > self.limits.attestation_bytes_max
        {
            return Err(PoolError::AttestationsFull);
        }
        self.load.attestations += 1;
        self.load.attestation_bytes += bytes;
        let hash = verified.hash();
        let number = self.put(verified, Amount::ZERO, local);
        self.attestations.insert(key, hash);
        self.arrivals.insert(number, hash);
        Ok(())
    }

    fn insert_account(
        &mut self,
        verified: Arc<VerifiedTransaction>,
        nonce: u64,
        fee: Amount,
        next: u64,
        local: bool,
    ) -> Result<(), PoolError> {
        let sender = verified.sender();
        let waiting = self.queues.get(&sender);
        let replaced = waiting.and_then(|q| q.by_nonce.get(&nonce)).copied();
        if let Some(old) = replaced.and_then(|hash| self.entries.get(&hash)) {
            let needed = Amount((old.fee.0.saturating_mul(REPLACEMENT_PERCENT)).div_ceil(100));
            if fee < needed {
                return Err(PoolError::Underpriced { needed });
            }
        } else if waiting.is_some_and(|q| q.by_nonce.len() >= self.limits.per_sender_max) {
            return Err(PoolError::SenderFull { sender, max: self.limits.per_sender_max });
        }
        let bytes = verified.bytes().len();
        let freed = replaced.and_then(|hash| self.entries.get(&hash)).map_or(0, |old| old.verified.bytes().len());
        self.make_room(sender, nonce, fee, bytes, freed, replaced.is_some())?;
        if let Some(old) = replaced {
            self.remove(&old);
        }
        self.load.transactions += 1;
        self.load.bytes += bytes;
        let hash = verified.hash();
        let number = self.put(verified, fee, local);
        self.by_fee.insert((fee, Reverse(number), hash));
        let queue = self.queues.entry(sender).or_default();
        queue.next = queue.next.max(next);
        queue.by_nonce.insert(nonce, hash);
        self.judge_ready(sender);
        Ok(())
    }

    fn put(&mut self, verified: Arc<VerifiedTransaction>, fee: Amount, local: bool) -> u64 {
        let (number, height) = (self.number, self.tip);
        self.number += 1;
        self.entries.insert(verified.hash(), Entry { verified, fee, number, height, local });
        number
    }

    /// Evicts worse paid transactions until the new one fits, or says why it cannot.
    fn make_room(
        &mut self,
        sender: Address,
        nonce: u64,
        fee: Amount,
        bytes: usize,
        freed: usize,
        replaces: bool,
    ) -> Result<(), PoolError> {
        let fits = |pool: &Pool| {
            (replaces || pool.load.transactions < pool.limits.transactions_max)
                && pool.load.bytes - freed + bytes <= pool.limits.bytes_max
        };
        while !fits(self) {
            let Some((lowest, _, victim)) = self.by_fee.first().copied() else {
                return Err(PoolError::Full { lowest: Amount::ZERO });
            };
            // What the new one builds upon, or replaces, cannot make room for it.
            let own = self.entries.get(&victim).is_some_and(|e| {
                e.verified.sender() == sender && nonce_of(&e.verified).is_some_and(|other| other <= nonce)
            });
            if lowest >= fee || own {
                return Err(PoolError::Full { lowest });
            }
            self.evict(&victim);
        }
        Ok(())
    }

    /// Removes a transaction and what its sender sent after it.
    fn evict(&mut self, victim: &Digest) {
        let Some(entry) = self.entries.get(victim) else { return };
        let (sender, nonce) = (entry.verified.sender(), nonce_of(&entry.verified).unwrap_or(0));
        let later: Vec<Digest> =
            self.queues.get(&sender).map(|q| q.by_nonce.range(nonce..).map(|(_, h)| *h).collect()).unwrap_or_default();
        later.iter().for_each(|hash| self.remove(hash));
    }

    /// Forgets one transaction.
    pub(crate) fn remove(&mut self, hash: &Digest) {
        let Some(entry) = self.entries.remove(hash) else { return };
        let (sender, bytes) = (entry.verified.sender(), entry.verified.bytes().len());
        match entry.verified.transaction() {
            Transaction::Attestation(attestation) => {
                let key = (sender, attestation.source.clone(), attestation.window);
                self.forget_attestation(&key, bytes, entry.number);
            }
            Transaction::Evidence(evidence) => {
                let key = (sender, CONSENSUS.to_owned(), evidence.height);
                self.forget_attestation(&key, bytes, entry.number);
            }
            Transaction::Account(transaction) => {
                self.load.transactions -= 1;
                self.load.bytes -= bytes;
                self.by_fee.remove(&(entry.fee, Reverse(entry.number), *hash));
                if let Some(queue) = self.queues.get_mut(&sender) {
                    queue.by_nonce.remove(&transaction.nonce);
                    if queue.by_nonce.is_empty() {
                        self.queues.remove(&sender);
                    }
                }
                self.judge_ready(sender);
            }
        }
    }

    fn forget_attestation(&mut self, key: &Attested, bytes: usize, number: u64) {
        self.load.attestations -= 1;
        self.load.attestation_bytes -= bytes;
        self.arrivals.remove(&number);
        self.attestations.remove(key);
    }

    /// Forgets an account's waiting transactions altogether.
    pub(crate) fn remove_sender(&mut self, sender: &Address) {
        let all: Vec<Digest> =
            self.queues.get(sender).map(|q| q.by_nonce.values().copied().collect()).unwrap_or_default();
        all.iter().for_each(|hash| self.remove(hash));
    }

    fn judge_ready(&mut self, sender: Address) {
        let first_is_next = |q: &Queue| q.by_nonce.first_key_value().is_some_and(|(nonce, _)| *nonce == q.next);
        if self.queues.get(&sender).is_some_and(first_is_next) {
            self.ready.insert(sender);
        } else {
            self.ready.remove(&sender);
        }
    }

    /// A block was committed in which these transactions took effect.
    pub(crate) fn committed<'a>(&mut self, height: Height, hashes: impl IntoIterator<Item = &'a Digest>) {
        self.tip = height;
        for hash in hashes {
            self.remove(hash);
            if self.recent.insert(*hash) {
                self.recent_order.push_back(*hash);
            }
        }
        while self.recent_order.len() > RECENT_MAX {
            if let Some(oldest) = self.recent_order.pop_front() {
                self.recent.remove(&oldest);
            }
        }
    }

    /// An account's next nonce is known anew: what is behind it goes.
    pub(crate) fn advance(&mut self, sender: Address, next: u64) {
        let Some(queue) = self.queues.get_mut(&sender) else { return };
        queue.next = queue.next.max(next);
        let behind: Vec<Digest> = queue.by_nonce.range(..queue.next).map(|(_, hash)| *hash).collect();
        behind.iter().for_each(|hash| self.remove(hash));
        self.judge_ready(sender);
    }

    /// Drops what has waited too long; returns how many that were.
    pub(crate) fn expire(&mut self) -> usize {
        let tip = self.tip;
        let old = |e: &&Entry| tip.saturating_sub(e.height) > self.limits.blocks_max;
        let old: Vec<Digest> = self.entries.values().filter(old).map(|e| e.verified.hash()).collect();
        old.iter().for_each(|hash| self.remove(hash));
        old.len()
    }

    /// Accounts whose queue can go into the next block, and the head of each.
    pub(crate) fn ready_heads(&self) -> Vec<(Address, Arc<VerifiedTransaction>)> {
        let head = |account: &Address| {
            let (_, hash) = self.queues.get(account)?.by_nonce.first_key_value()?;
            Some((*account, self.verified(hash)?))
        };
        self.ready.iter().filter_map(head).collect()
    }

    /// The attestations that wait, by arrival.
    pub(crate) fn waiting_attestations(&self) -> Vec<Arc<VerifiedTransaction>> {
        self.arrivals.values().filter_map(|hash| self.verified(hash)).collect()
    }

    /// Transactions of this node's clients that have waited for a multiple of `blocks`: to be spread once more, because
    /// a peer may have come later or lost them.
    pub(crate) fn to_spread_again(&self, blocks: u64) -> Vec<Arc<VerifiedTransaction>> {
        let due = |e: &&Entry| e.local && self.tip > e.height && (self.tip - e.height).is_multiple_of(blocks.max(1));
        let mut found: Vec<&Entry> = self.entries.values().filter(due).collect();
        // By arrival: a sender's transactions in order, and the same order in every run.
        found.sort_by_key(|e| e.number);
        found.into_iter().map(|e| Arc::clone(&e.verified)).collect()
    }
}

fn nonce_of(verified: &VerifiedTransaction) -> Option<u64> {
    match verified.transaction() {
        Transaction::Account(transaction) => Some(transaction.nonce),
        Transaction::Attestation(_) | Transaction::Evidence(_) => None,
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
