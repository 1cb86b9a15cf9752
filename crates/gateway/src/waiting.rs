//! Transactions that were handed in here, until they are committed or can be no more.
//!
//! The mempool tells nobody what it drops: one that pays more takes the nonce, a full pool lets the cheapest go, what has
//! waited too long is dropped. The first shows in the account's nonce, the last in the number of blocks, and an empty mempool
//! settles all three.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openmesh_ledger::Transaction;
use openmesh_primitives::{Address, Digest, Height, canonical};

/// Transactions remembered, so that their sender can ask for them; beyond that the oldest are forgotten.
const WAITING_MAX: usize = 10_000;
/// Blocks after which a transaction is forgotten: the mempool drops it after as many.
const BLOCKS_MAX: u64 = 3_600;

#[derive(Debug)]
struct Entry {
    hash: Digest,
    bytes: Vec<u8>,
    /// Whose, and with which nonce; `None` for what has no nonce.
    sender: Option<(Address, u64)>,
    /// Height of the newest block when it was handed in.
    height: Height,
}

/// All that wait, in the order in which they were handed in.
#[derive(Debug, Default)]
pub struct Waiting(VecDeque<Entry>);

impl Waiting {
    /// Remembers what the mempool took. Returns whose it is.
    pub fn remember(&mut self, hash: Digest, bytes: Vec<u8>, height: Height) -> Option<Address> {
        let sender = sender(&bytes);
        self.0.push_back(Entry { hash, bytes, sender, height });
        if self.0.len() > WAITING_MAX {
            self.0.pop_front();
        }
        sender.map(|(address, _)| address)
    }

    /// The bytes of one that waits.
    pub fn get(&self, hash: &Digest) -> Option<Vec<u8>> {
        self.0.iter().find(|entry| entry.hash == *hash).map(|entry| entry.bytes.clone())
    }

    /// All that wait of whoever sent something in these.
    pub fn senders(&self, among: impl Iterator<Item = Address>) -> Vec<Address> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let waiting: BTreeSet<Address> = self.0.iter().filter_map(|e| e.sender).map(|(address, _)| address).collect();
        among.collect::<BTreeSet<_>>().into_iter().filter(|address| waiting.contains(address)).collect()
    }

    /// Forgets what a block committed, what waited too long, and, where the mempool is empty, all that was handed in
    /// before the block.
    pub fn committed(&mut self, height: Height, hashes: impl Iterator<Item = Digest>, mempool_is_empty: bool) {
        if self.0.is_empty() {
            return;
        }
        let committed: BTreeSet<Digest> = hashes.collect();
        self.0.retain(|entry| {
            let age = height.saturating_sub(entry.height);
            // Not what was handed in since: the mempool may have been looked at before.
            let gone = age > BLOCKS_MAX || (mempool_is_empty && age > 1);
            !committed.contains(&entry.hash) && !gone
        });
    }

    /// Forgets what has a nonce below the account's next one: another transaction took its place.
    pub fn advance(&mut self, nonces: &BTreeMap<Address, u64>) {
        self.0.retain(|entry| {
            let next = entry.sender.and_then(|(address, nonce)| Some((nonces.get(&address)?, nonce)));
            next.is_none_or(|(next, nonce)| nonce >= *next)
        });
    }
}

fn sender(bytes: &[u8]) -> Option<(Address, u64)> {
    match canonical::decode(bytes) {
        Ok(Transaction::Account(t)) => Some((t.sender().ok()?, t.nonce)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{AccountTransaction, Action};
    use openmesh_primitives::{AccountKey, Amount, sha256};

    fn transfer(nonce: u64, fee: u128) -> (Digest, Vec<u8>) {
        let key = AccountKey::from_bytes([1; 32]).unwrap();
        let action = Action::Transfer { to: Address([2; 20]), amount: Amount(1) };
        let signed = AccountTransaction::sign(&key, 7, nonce, Amount(fee), action).unwrap();
        let bytes = Transaction::Account(signed).encode();
        (sha256(&[&bytes]), bytes)
    }

    fn remembered(transactions: &[(Digest, Vec<u8>)], height: Height) -> (Waiting, Address) {
        let mut waiting = Waiting::default();
        let senders: Vec<_> =
            transactions.iter().filter_map(|(hash, bytes)| waiting.remember(*hash, bytes.clone(), height)).collect();
        (waiting, senders[0])
    }

    #[test]
    fn one_that_was_replaced_waits_no_more() {
        let [replaced, replacement, next] = [transfer(0, 5), transfer(0, 6), transfer(1, 5)];
        let (mut waiting, sender) = remembered(&[replaced.clone(), replacement.clone(), next.clone()], 9);
        waiting.committed(10, [replacement.0].into_iter(), false);
        assert!(waiting.get(&replaced.0).is_some() && waiting.get(&replacement.0).is_none());
        assert_eq!(waiting.senders([sender, Address([9; 20])].into_iter()), [sender]);
        waiting.advance(&BTreeMap::from([(sender, 1)]));
        assert!(waiting.get(&replaced.0).is_none(), "its nonce was used");
        assert_eq!(waiting.get(&next.0), Some(next.1));
    }

    #[test]
    fn one_that_the_mempool_let_go_waits_no_more() {
        let (evicted, late) = (transfer(0, 5), transfer(1, 5));
        let (mut waiting, _) = remembered(std::slice::from_ref(&evicted), 9);
        waiting.remember(late.0, late.1.clone(), 10);
        waiting.committed(11, std::iter::empty(), false);
        assert!(waiting.get(&evicted.0).is_some(), "it may still be there");
        waiting.committed(11, std::iter::empty(), true);
        assert!(waiting.get(&evicted.0).is_none() && waiting.get(&late.0).is_some());
        waiting.committed(10 + BLOCKS_MAX + 1, std::iter::empty(), false);
        assert!(waiting.get(&late.0).is_none(), "as long as the mempool keeps it");
    }
}
