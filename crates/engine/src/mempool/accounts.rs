//! Waiting transactions of accounts: a queue by nonce for each account.
//!
//! A transaction is *ready* if all nonces from its account's next one up to its own wait too, and *ahead* otherwise:
//! somebody has to send something before it can go into a block, and perhaps nobody ever will. So what is ahead has a
//! small room of its own, and goes first, whatever it pays, when a ready transaction needs its place. An account may have
//! waiting only what it could pay for altogether, so that a queue is worth its room.
//!
//! If there is no room, the transaction with the lowest tip goes, together with what its sender sent after it, if the tip of the
//! new one is higher. Only the tip counts, for a unit of weight and at the base fee of the moment: the base fee is burnt by
//! whoever is in the block, and a highest fee that is never taken costs nothing. Of equal tips those that came later go first,
//! so that nobody is pushed out by offering the same. A new transaction with a waiting one's nonce replaces it if both its
//! highest fee and its tip are a tenth higher: tips may be zero, and a tenth of nothing would let a nonce be replaced for ever.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use openmesh_ledger::VerifiedTransaction;
use openmesh_primitives::{Address, Amount, Digest};

use super::entry::{Entry, Sum};
use super::error::PoolError;
use crate::config::MempoolConfig;

/// A replacement must offer at least so many per cent of what it replaces.
const REPLACEMENT_PERCENT: u128 = 110;

/// An account after the last block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its next nonce.
    pub(crate) next: u64,
    /// Its balance.
    pub(crate) balance: Amount,
}

/// Nonce and prices of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) nonce: u64,
    /// The proposer's tip for a unit of weight, at the base fee when it came.
    pub(crate) tip: Amount,
    /// Highest fee.
    pub(crate) max_fee: Amount,
    /// Highest base fee of a unit of weight under which it can be in a block.
    pub(crate) base_fee_max: Amount,
    /// Everything that it reserves of its account: the highest fee, the deposit, and what it spends.
    pub(crate) cost: Amount,
}

#[derive(Clone, Debug)]
pub(crate) struct Priced {
    pub(crate) entry: Entry,
    pub(crate) terms: Terms,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The account's next nonce by the state, as far as known.
    pub(crate) next: u64,
    /// The first nonce from `next` on that does not wait.
    pub(crate) end: u64,
    pub(crate) by_nonce: BTreeMap<u64, Digest>,
    pub(crate) bytes: usize,
    /// Sum of the costs.
    pub(crate) cost: u128,
}

/// Lowest tip first, of equal ones the youngest.
type Rank = (Amount, Reverse<u64>, Digest);

/// The room of accounts' transactions.
#[derive(Debug)]
pub(crate) struct Accounts {
    max: Sum,
    ahead_max: Sum,
    per_sender: Sum,
    pub(crate) entries: HashMap<Digest, Priced>,
    pub(crate) queues: BTreeMap<Address, Queue>,
    /// Accounts of which a transaction is ready.
    pub(crate) ready_accounts: BTreeSet<Address>,
    pub(crate) ready: BTreeSet<Rank>,
    pub(crate) ahead: BTreeSet<Rank>,
    sum: Sum,
    ahead_sum: Sum,
}

impl Accounts {
    pub(crate) fn new(limits: &MempoolConfig) -> Accounts {
        Accounts {
            max: Sum { count: limits.transactions_max, bytes: limits.bytes_max },
            ahead_max: Sum { count: limits.ahead_max, bytes: limits.ahead_bytes_max },
            per_sender: Sum { count: limits.per_sender_max, bytes: limits.per_sender_bytes_max },
            entries: HashMap::new(),
            queues: BTreeMap::new(),
            ready_accounts: BTreeSet::new(),
            ready: BTreeSet::new(),
            ahead: BTreeSet::new(),
            sum: Sum::default(),
            ahead_sum: Sum::default(),
        }
    }

    pub(crate) const fn sum(&self) -> Sum {
        self.sum
    }

    pub(crate) const fn ahead_sum(&self) -> Sum {
        self.ahead_sum
    }

    /// Takes a transaction in that has been checked against the state, or says why not.
    pub(crate) fn insert(&mut self, entry: Entry, terms: Terms, standing: Standing) -> Result<(), PoolError> {
        let (sender, bytes) = (entry.verified.sender(), entry.bytes());
        self.advance(sender, standing.next);
        let queue = self.queues.get(&sender);
        let old = queue.and_then(|q| q.by_nonce.get(&terms.nonce)).and_then(|hash| self.entries.get(hash));
        if let Some(old) = old {
            let raised = |price: Amount| Amount(price.0.saturating_mul(REPLACEMENT_PERCENT).div_ceil(100));
            let (max_fee, tip) = (raised(old.terms.max_fee), raised(old.terms.tip));
            if terms.max_fee < max_fee || terms.tip < tip {
                return Err(PoolError::Underpriced { max_fee, tip });
            }
        }
        let freed = old.map(|old| old.entry.bytes());
        let (old_cost, replaced) = old.map_or((0, None), |old| (old.terms.cost.0, Some(old.entry.hash())));
        if let Some(queue) = queue {
            self.fits_sender(sender, queue, bytes, freed)?;
        }
        let needed = queue.map_or(0, |q| q.cost).saturating_sub(old_cost).saturating_add(terms.cost.0);
        if needed > standing.balance.0 {
            let balance = standing.balance;
            return Err(PoolError::Overdrawn { sender, balance, needed: Amount(needed) });
        }
        let (next, end) = queue.map_or((standing.next, standing.next), |q| (q.next, q.end));
        let is_ahead = terms.nonce > end;
        let victims = self.victims(sender, &terms, bytes, freed, is_ahead)?;
        victims.iter().for_each(|victim| self.evict(victim));
        if let Some(replaced) = replaced {
            self.remove(&replaced);
        }
        self.put(sender, next, entry, terms);
        Ok(())
    }

    fn fits_sender(&self, sender: Address, q: &Queue, bytes: usize, freed: Option<usize>) -> Result<(), PoolError> {
        let of_sender = Sum { count: q.by_nonce.len(), bytes: q.bytes };
        if of_sender.fits(self.per_sender, bytes, freed) {
            return Ok(());
        }
        if freed.is_none() && of_sender.count >= self.per_sender.count {
            return Err(PoolError::SenderFull { sender, max: self.per_sender.count });
        }
        Err(PoolError::SenderBytesFull { sender, max: self.per_sender.bytes })
    }

    /// Chooses what has to go so that the new one fits, or says why it cannot come. Nothing goes before all of it is known: a transaction
    /// that is refused in the end must not have pushed anybody out.
    fn victims(
        &self,
        sender: Address,
        terms: &Terms,
        bytes: usize,
        freed: Option<usize>,
        is_ahead: bool,
    ) -> Result<Vec<Digest>, PoolError> {
        let mut leaving = Leaving::of(self);
        // Whoever is ready has the places of all others that are ahead, whatever those pay.
        let is_of_other = |rank: &&Rank| !is_ahead && !self.is_before(&rank.2, sender, u64::MAX);
        let mut given = self.ahead.iter().filter(is_of_other);
        let mut bought = if is_ahead { self.ahead.iter() } else { self.ready.iter() };
        while !leaving.leave_room(bytes, freed, is_ahead) {
            if let Some((.., victim)) = given.find(|rank| leaving.stays(&rank.2)) {
                leaving.add(victim);
                continue;
            }
            let lowest = bought.find(|rank| leaving.stays(&rank.2));
            let (lowest, _, victim) = lowest.ok_or(PoolError::AheadFull)?;
            // What the new one builds upon, or replaces, cannot make room for it.
            if *lowest >= terms.tip || self.is_before(victim, sender, terms.nonce) {
                return Err(if is_ahead { PoolError::AheadFull } else { PoolError::Full { lowest: *lowest } });
            }
            leaving.add(victim);
        }
        Ok(leaving.victims)
    }

    /// Returns true if it is the sender's with at most this nonce.
    fn is_before(&self, hash: &Digest, sender: Address, nonce: u64) -> bool {
        self.entries.get(hash).is_some_and(|e| e.entry.verified.sender() == sender && e.terms.nonce <= nonce)
    }

    fn put(&mut self, sender: Address, next: u64, entry: Entry, terms: Terms) {
        let (hash, bytes) = (entry.hash(), entry.bytes());
        self.sum.add(bytes);
        self.ahead_sum.add(bytes);
        self.ahead.insert((terms.tip, Reverse(entry.number), hash));
        let queue = self.queues.entry(sender).or_insert_with(|| Queue { next, end: next, ..Queue::default() });
        queue.bytes += bytes;
        queue.cost = queue.cost.saturating_add(terms.cost.0);
        queue.by_nonce.insert(terms.nonce, hash);
        self.entries.insert(hash, Priced { entry, terms });
        self.extend(sender);
    }

    /// Makes ready what follows without a gap.
    fn extend(&mut self, sender: Address) {
        let Some(queue) = self.queues.get_mut(&sender) else { return };
        while let Some(hash) = queue.by_nonce.get(&queue.end) {
            queue.end += 1;
            if let Some(priced) = self.entries.get(hash) {
                let rank = (priced.terms.tip, Reverse(priced.entry.number), *hash);
                self.ahead.remove(&rank);
                self.ahead_sum.subtract(priced.entry.bytes());
                self.ready.insert(rank);
            }
        }
        self.note_ready(sender);
    }

    fn note_ready(&mut self, sender: Address) {
        if self.queues.get(&sender).is_some_and(|q| q.end > q.next) {
            self.ready_accounts.insert(sender);
        } else {
            self.ready_accounts.remove(&sender);
        }
    }

    /// Forgets one transaction; what its sender sent after it is ahead then.
    pub(crate) fn remove(&mut self, hash: &Digest) {
        let Some(Priced { entry, terms }) = self.entries.remove(hash) else { return };
        let (sender, bytes) = (entry.verified.sender(), entry.bytes());
        self.sum.subtract(bytes);
        let rank = (terms.tip, Reverse(entry.number), *hash);
        if !self.ready.remove(&rank) && self.ahead.remove(&rank) {
            self.ahead_sum.subtract(bytes);
        }
        let Some(queue) = self.queues.get_mut(&sender) else { return };
        queue.by_nonce.remove(&terms.nonce);
        queue.bytes -= bytes;
        queue.cost = queue.cost.saturating_sub(terms.cost.0);
        if (queue.next..queue.end).contains(&terms.nonce) {
            for later in queue.by_nonce.range(terms.nonce..queue.end).map(|(_, hash)| *hash) {
                if let Some(priced) = self.entries.get(&later) {
                    let rank = (priced.terms.tip, Reverse(priced.entry.number), later);
                    self.ready.remove(&rank);
                    self.ahead.insert(rank);
                    self.ahead_sum.add(priced.entry.bytes());
                }
            }
            queue.end = terms.nonce;
        }
        if queue.by_nonce.is_empty() {
            self.queues.remove(&sender);
        }
        self.note_ready(sender);
    }

    /// Forgets a transaction and what its sender sent after it.
    pub(crate) fn evict(&mut self, victim: &Digest) {
        let Some(priced) = self.entries.get(victim) else { return };
        self.truncate(&priced.entry.verified.sender(), priced.terms.nonce);
    }

    /// Forgets an account's transactions from a nonce on.
    pub(crate) fn truncate(&mut self, sender: &Address, from: u64) {
        let Some(queue) = self.queues.get(sender) else { return };
        // From the end, so that none is ahead for a moment.
        let later: Vec<Digest> = queue.by_nonce.range(from..).rev().map(|(_, hash)| *hash).collect();
        later.iter().for_each(|hash| self.remove(hash));
    }

    /// An account's next nonce is known anew: what is behind it goes.
    pub(crate) fn advance(&mut self, sender: Address, next: u64) {
        let Some(queue) = self.queues.get_mut(&sender).filter(|q| q.next < next) else { return };
        queue.next = next;
        queue.end = queue.end.max(next);
        let behind: Vec<Digest> = queue.by_nonce.range(..next).map(|(_, hash)| *hash).collect();
        behind.iter().for_each(|hash| self.remove(hash));
        self.extend(sender);
    }

    /// An account is known anew: what is behind its nonce goes, and from the end what it cannot pay for any more.
    pub(crate) fn settle(&mut self, sender: Address, standing: Standing) {
        self.advance(sender, standing.next);
        while let Some(last) = self.queues.get(&sender).filter(|q| q.cost > standing.balance.0).and_then(Queue::last) {
            self.remove(&last);
        }
    }

    /// An account's next transaction, if it is ready.
    pub(crate) fn head(&self, account: &Address) -> Option<&Priced> {
        let queue = self.queues.get(account)?;
        self.entries.get(queue.by_nonce.get(&queue.next)?)
    }

    /// The nonce of an account after those that wait without a gap; `None` where nothing of it waits.
    pub(crate) fn end_of(&self, account: &Address) -> Option<u64> {
        self.queues.get(account).map(|queue| queue.end)
    }

    /// Ready transactions for a block of this base fee, at most so many bytes: again and again the best paid one of those whose turn it
    /// is in their queues, as the ledger picks them, so that what stands behind a well paid one takes no room from what is paid
    /// better. A queue ends at what the base fee has passed, since nothing behind it can go in either.
    pub(crate) fn best(&self, bytes: usize, base_fee: Amount) -> Vec<Arc<VerifiedTransaction>> {
        let turn = |priced: Option<&Priced>, queue: usize| {
            let Priced { entry, terms } = priced.filter(|priced| priced.terms.base_fee_max >= base_fee)?;
            Some((terms.tip, Reverse(entry.number), entry.hash(), queue))
        };
        let mut queues: Vec<_> = self.ready_accounts.iter().map(|account| self.ready_of(account)).collect();
        let heads = queues.iter_mut().enumerate().filter_map(|(at, queue)| turn(queue.next(), at));
        let mut turns: BinaryHeap<(Amount, Reverse<u64>, Digest, usize)> = heads.collect();
        let (mut chosen, mut room) = (Vec::new(), bytes);
        while let Some((_, _, hash, at)) = turns.pop() {
            let Some(Priced { entry, .. }) = self.entries.get(&hash) else { continue };
            // What comes later from this account has to wait for this one.
            let Some(left) = room.checked_sub(entry.bytes()) else { continue };
            room = left;
            chosen.push(Arc::clone(&entry.verified));
            turns.extend(turn(queues[at].next(), at));
        }
        chosen
    }

    /// An account's ready transactions in the order of their nonces.
    fn ready_of(&self, account: &Address) -> impl Iterator<Item = &Priced> {
        let ready = self.queues.get(account).into_iter().flat_map(|q| q.by_nonce.range(q.next..q.end));
        ready.filter_map(|(_, hash)| self.entries.get(hash))
    }
}

/// Transactions that would have to go for a new one, each with those that its sender sent after it.
struct Leaving<'a> {
    accounts: &'a Accounts,
    victims: Vec<Digest>,
    gone: HashSet<Digest>,
    /// The sum without them.
    sum: Sum,
    ahead_sum: Sum,
}

impl<'a> Leaving<'a> {
    fn of(accounts: &'a Accounts) -> Leaving<'a> {
        let (sum, ahead_sum) = (accounts.sum, accounts.ahead_sum);
        Leaving { accounts, victims: Vec::new(), gone: HashSet::new(), sum, ahead_sum }
    }

    fn stays(&self, hash: &Digest) -> bool {
        !self.gone.contains(hash)
    }

    /// Returns true if another one fits beside what stays, in the place of `freed` where it replaces one.
    fn leave_room(&self, bytes: usize, freed: Option<usize>, is_ahead: bool) -> bool {
        let Accounts { max, ahead_max, .. } = *self.accounts;
        self.sum.fits(max, bytes, freed) && (!is_ahead || self.ahead_sum.fits(ahead_max, bytes, freed))
    }

    fn add(&mut self, victim: &Digest) {
        let Some(Priced { entry, terms }) = self.accounts.entries.get(victim) else { return };
        let Some(queue) = self.accounts.queues.get(&entry.verified.sender()) else { return };
        self.victims.push(*victim);
        for (nonce, hash) in queue.by_nonce.range(terms.nonce..) {
            let Some(priced) = self.accounts.entries.get(hash).filter(|_| self.gone.insert(*hash)) else { continue };
            let bytes = priced.entry.bytes();
            self.sum.subtract(bytes);
            if *nonce >= queue.end {
                self.ahead_sum.subtract(bytes);
            }
        }
    }
}

impl Queue {
    fn last(&self) -> Option<Digest> {
        self.by_nonce.last_key_value().map(|(_, hash)| *hash)
    }
}
