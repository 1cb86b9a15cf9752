//! The transactions that wait, and who has to go when there are too many. Pure: no clock, thread or state in here.
//!
//! Two classes that cannot crowd each other out: attestations and evidence ([`super::attestations`]), and transactions
//! of accounts ([`super::accounts`]).
//!
//! Invariants (property-tested below): the limits hold after every operation, the sums of bytes are exact, and every
//! index names exactly the entries that exist.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use openmesh_ledger::{CONSENSUS, Transaction, VerifiedTransaction};
use openmesh_primitives::{Address, Amount, Digest, Height};

use super::accounts::{Accounts, Standing, Terms};
use super::attestations::{Attestations, Duty};
use super::entry::Entry;
use super::error::PoolError;
use crate::config::MempoolConfig;

/// Hashes of committed transactions that are remembered, so that late gossip is recognised without a look at the disk; and as many of those
/// that a block refused.
const RECENT_MAX: usize = 65_536;

/// Name under which ballots about upgrades wait among attestations; no source can have it.
const UPGRADE: &str = "/upgrade";

/// Numbers and bytes of the waiting transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) transactions: usize,
    pub(crate) bytes: usize,
    /// Of the transactions, those that are ahead of their turn.
    pub(crate) ahead: usize,
    pub(crate) attestations: usize,
    pub(crate) attestation_bytes: usize,
}

/// Place of a checked transaction in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Of an account.
    Account(Terms, Standing),
    /// An attestation, evidence or a ballot.
    Attestation,
}

/// The newest hashes of a kind.
#[derive(Debug, Default)]
struct Recent {
    hashes: HashSet<Digest>,
    order: VecDeque<Digest>,
}

impl Recent {
    /// Remembers a hash; the oldest is forgotten where there are too many.
    fn keep(&mut self, hash: Digest) {
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
        }
        while self.order.len() > RECENT_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.hashes.remove(&oldest);
            }
        }
    }
}

/// The waiting transactions of both classes.
#[derive(Debug)]
pub(crate) struct Pool {
    limits: MempoolConfig,
    pub(crate) accounts: Accounts,
    pub(crate) attestations: Attestations,
    /// Took effect.
    recent: Recent,
    /// Stood in a block that refused them.
    refused: Recent,
    /// Had no place here since the last block, and between the one before and that.
    turned_away: [HashSet<Digest>; 2],
    number: u64,
    tip: Height,
}

impl Pool {
    /// An empty pool of a node; `own` is its validator.
    pub(crate) fn new(limits: MempoolConfig, own: Option<Address>) -> Pool {
        Pool {
            accounts: Accounts::new(&limits),
            attestations: Attestations::new(&limits, own),
            limits,
            recent: Recent::default(),
            refused: Recent::default(),
            turned_away: Default::default(),
            number: 0,
            tip: 0,
        }
    }

    pub(crate) const fn load(&self) -> Load {
        Load {
            transactions: self.accounts.sum().count,
            bytes: self.accounts.sum().bytes,
            ahead: self.accounts.ahead_sum().count,
            attestations: self.attestations.count(),
            attestation_bytes: self.attestations.bytes(),
        }
    }

    /// Begins after a block: what comes before the next one is as old as this one, and not as the chain.
    pub(crate) const fn begin_after(&mut self, tip: Height) {
        self.tip = tip;
    }

    /// Height of the last block of which it was told.
    pub(crate) const fn tip(&self) -> Height {
        self.tip
    }

    /// Returns true if the transaction waits or was committed just now.
    pub(crate) fn knows(&self, hash: &Digest) -> bool {
        self.entry(hash).is_some() || self.recent.hashes.contains(hash)
    }

    /// Returns true if the transaction is worth asking somebody for: it is not known, and has not just been turned away. Everybody who has a
    /// place for it announces it, and its body would come once from each of them, to be refused again as long as no block has made
    /// room. Its own node spreads it once more, some blocks later.
    pub(crate) fn wants(&self, hash: &Digest) -> bool {
        !self.knows(hash) && !self.turned_away.iter().any(|hashes| hashes.contains(hash))
    }

    /// Returns true if the transaction stood in a block lately that refused it, perhaps because its turn had not come: it may be in
    /// another one yet.
    pub(crate) fn was_refused(&self, hash: &Digest) -> bool {
        self.refused.hashes.contains(hash)
    }

    /// Takes in that a block has refused these.
    pub(crate) fn refused<'a>(&mut self, hashes: impl IntoIterator<Item = &'a Digest>) {
        hashes.into_iter().for_each(|hash| self.refused.keep(*hash));
    }

    fn entry(&self, hash: &Digest) -> Option<&Entry> {
        let attestation = || self.attestations.entries.get(hash).map(|(_, entry)| entry);
        self.accounts.entries.get(hash).map(|priced| &priced.entry).or_else(attestation)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let attestations = self.attestations.entries.values().map(|(_, entry)| entry);
        self.accounts.entries.values().map(|priced| &priced.entry).chain(attestations)
    }

    /// The bytes of all that waits, in the order in which it came.
    pub(crate) fn waiting(&self) -> Vec<Vec<u8>> {
        let mut entries: Vec<&Entry> = self.entries().collect();
        entries.sort_by_key(|entry| entry.number);
        entries.into_iter().map(|entry| entry.verified.bytes().to_vec()).collect()
    }

    /// Returns true if something waits that can go into the next block.
    pub(crate) fn has_work(&self) -> bool {
        self.attestations.count() > 0 || !self.accounts.ready_accounts.is_empty()
    }

    /// Largest distance ahead of the account's next nonce.
    pub(crate) const fn nonces_ahead_max(&self) -> u64 {
        self.limits.per_sender_max as u64
    }

    pub(crate) fn verified(&self, hash: &Digest) -> Option<Arc<VerifiedTransaction>> {
        self.entry(hash).map(|entry| Arc::clone(&entry.verified))
    }

    /// Everything that can go into the next block, at most about `bytes` of each class: attestations by arrival, then those of
    /// accounts by tip, each account's by nonce. The ledger picks and orders. What the base fee of that block has passed is left out
    /// with what stands behind it: it must not take the room of others while it cannot go in.
    pub(crate) fn candidates(&self, bytes: usize, base_fee: Amount) -> Vec<Arc<VerifiedTransaction>> {
        let mut chosen = Vec::new();
        take_while_room(bytes, self.attestations.waiting(), &mut chosen);
        chosen.extend(self.accounts.best(bytes, base_fee));
        chosen
    }

    /// Takes a transaction in that has been checked against the state.
    pub(crate) fn insert(
        &mut self,
        verified: Arc<VerifiedTransaction>,
        place: Place,
        local: bool,
    ) -> Result<(), PoolError> {
        if self.knows(&verified.hash()) {
            return Err(PoolError::Known);
        }
        let key = match verified.transaction() {
            Transaction::Attestation(a) => Some((verified.sender(), Duty::Attestation, a.source.clone(), a.window)),
            Transaction::Commitment(c) => Some((verified.sender(), Duty::Commitment, c.source.clone(), c.window)),
            Transaction::Evidence(e) => Some((verified.sender(), Duty::Evidence, CONSENSUS.to_owned(), e.height)),
            Transaction::Upgrade(b) => Some((verified.sender(), Duty::Upgrade, UPGRADE.to_owned(), b.number)),
            Transaction::Account(_) => None,
        };
        let entry = Entry { verified, number: self.number, height: self.tip, local };
        let hash = entry.hash();
        let inserted = match (key, place) {
            (Some(key), _) => self.attestations.insert(key, entry),
            (None, Place::Account(terms, standing)) => self.accounts.insert(entry, terms, standing),
            // Only attestations have no place among the accounts, and they have a key.
            (None, Place::Attestation) => Ok(()),
        };
        if inserted.is_ok() {
            self.number += 1;
        } else if self.turned_away[0].len() < RECENT_MAX {
            self.turned_away[0].insert(hash);
        }
        inserted
    }

    /// Forgets one transaction.
    pub(crate) fn remove(&mut self, hash: &Digest) {
        self.accounts.remove(hash);
        self.attestations.remove(hash);
    }

    /// Forgets an account's waiting transactions altogether.
    pub(crate) fn remove_sender(&mut self, sender: &Address) {
        self.accounts.truncate(sender, 0);
    }

    /// A block was committed in which these transactions took effect. Of accounts whose next nonce is known, it is told
    /// before ([`Accounts::advance`]).
    pub(crate) fn committed<'a>(&mut self, height: Height, hashes: impl IntoIterator<Item = &'a Digest>) {
        self.tip = height;
        let [now, before] = &mut self.turned_away;
        *before = std::mem::take(now);
        for hash in hashes {
            self.remove(hash);
            self.recent.keep(*hash);
        }
    }

    /// Drops what has waited too long, and what depends on it; returns how many that were.
    pub(crate) fn expire(&mut self) -> usize {
        let tip = self.tip;
        let is_old = |e: &&Entry| tip.saturating_sub(e.height) > self.limits.blocks_max;
        let mut old: Vec<(u64, Digest)> = self.entries().filter(is_old).map(|e| (e.number, e.hash())).collect();
        // A map's order is not the same in the next run.
        old.sort_unstable();
        let before = self.entries().count();
        for (_, hash) in old {
            self.accounts.evict(&hash);
            self.attestations.remove(&hash);
        }
        before - self.entries().count()
    }

    /// Accounts of which a transaction can go into the next block, and the first one of each.
    pub(crate) fn ready_heads(&self) -> Vec<(Address, Arc<VerifiedTransaction>)> {
        let head = |account: &Address| Some((*account, Arc::clone(&self.accounts.head(account)?.entry.verified)));
        self.accounts.ready_accounts.iter().filter_map(head).collect()
    }

    /// The attestations that wait, by arrival.
    pub(crate) fn waiting_attestations(&self) -> Vec<Arc<VerifiedTransaction>> {
        self.attestations.waiting().cloned().collect()
    }

    /// Transactions of this node's clients that have waited for `blocks`, twice, four times, eight times as long, and so on: to be
    /// spread once more, because a peer may have come later or lost them. Ever more seldom, because thousands may wait behind gaps
    /// for ever, and each costs every node a message.
    pub(crate) fn to_spread_again(&self, blocks: u64) -> Vec<Arc<VerifiedTransaction>> {
        let blocks = blocks.max(1);
        let due = |e: &&Entry| {
            let age = self.tip.saturating_sub(e.height);
            e.local && age.is_multiple_of(blocks) && (age / blocks).is_power_of_two()
        };
        let mut found: Vec<&Entry> = self.entries().filter(due).collect();
        // By arrival: a sender's transactions in order, and the same order in every run.
        found.sort_by_key(|e| e.number);
        found.into_iter().map(|e| Arc::clone(&e.verified)).collect()
    }
}

/// Chooses transactions until one does not fit.
fn take_while_room<'a>(
    mut room: usize,
    waiting: impl Iterator<Item = &'a Arc<VerifiedTransaction>>,
    chosen: &mut Vec<Arc<VerifiedTransaction>>,
) {
    for verified in waiting {
        let Some(left) = room.checked_sub(verified.bytes().len()) else { return };
        room = left;
        chosen.push(Arc::clone(verified));
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
