//! Waiting attestations, commitments and evidence: in order of arrival, one of each for a validator, source and window.
//!
//! No validator can fill the room: each has a limit of transactions and of bytes, and the room of one validator is kept
//! free for this node's own attestations, whatever the others send.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use openmesh_ledger::VerifiedTransaction;
use openmesh_primitives::{Address, Digest};

use super::entry::{Entry, Sum};
use super::error::PoolError;
use crate::config::MempoolConfig;

/// Validator, duty, source and window; for evidence the accused, its duty, a name of its own and the height; for a ballot about upgrades a
/// name of its own and its number.
pub(crate) type Key = (Address, Duty, String, u64);

/// A validator's word: of a window first the commitment, then the attestation, each once, and both may wait at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Duty {
    Commitment,
    Attestation,
    Evidence,
    Upgrade,
}

/// The room of attestations.
#[derive(Debug)]
pub(crate) struct Attestations {
    count_max: usize,
    bytes_max: usize,
    per_validator: Sum,
    /// This node's validator.
    own: Option<Address>,
    pub(crate) entries: HashMap<Digest, (Key, Entry)>,
    pub(crate) keys: BTreeMap<Key, Digest>,
    pub(crate) arrivals: BTreeMap<u64, Digest>,
    sums: BTreeMap<Address, Sum>,
    sum: Sum,
}

impl Attestations {
    pub(crate) fn new(limits: &MempoolConfig, own: Option<Address>) -> Attestations {
        Attestations {
            count_max: limits.attestations_max,
            bytes_max: limits.attestation_bytes_max,
            per_validator: Sum { count: limits.per_validator_max, bytes: limits.per_validator_bytes_max },
            own,
            entries: HashMap::new(),
            keys: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            sums: BTreeMap::new(),
            sum: Sum::default(),
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.sum.count
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.sum.bytes
    }

    /// Takes one in, or says why not.
    pub(crate) fn insert(&mut self, key: Key, entry: Entry) -> Result<(), PoolError> {
        if self.keys.contains_key(&key) {
            return Err(PoolError::KnownAttestation);
        }
        let (sender, bytes) = (key.0, entry.bytes());
        let of_sender = self.sums.get(&sender).copied().unwrap_or_default();
        if of_sender.count >= self.per_validator.count {
            return Err(PoolError::SenderFull { sender, max: self.per_validator.count });
        }
        if of_sender.bytes + bytes > self.per_validator.bytes {
            return Err(PoolError::SenderBytesFull { sender, max: self.per_validator.bytes });
        }
        // Of the room that is kept for the node's own attestations, theirs that wait already take a part.
        let own = self.own.and_then(|own| self.sums.get(&own)).copied().unwrap_or_default();
        let kept = |max: usize, used: usize| if self.own.is_some() { max.saturating_sub(used) } else { 0 };
        let kept = match self.own {
            Some(own) if own == sender => Sum::default(),
            _ => Sum {
                count: kept(self.per_validator.count, own.count),
                bytes: kept(self.per_validator.bytes, own.bytes),
            },
        };
        if self.sum.count + kept.count >= self.count_max || self.sum.bytes + kept.bytes + bytes > self.bytes_max {
            return Err(PoolError::AttestationsFull);
        }
        self.add(sender, bytes);
        self.keys.insert(key.clone(), entry.hash());
        self.arrivals.insert(entry.number, entry.hash());
        self.entries.insert(entry.hash(), (key, entry));
        Ok(())
    }

    fn add(&mut self, sender: Address, bytes: usize) {
        self.sums.entry(sender).or_default().add(bytes);
        self.sum.add(bytes);
    }

    /// Forgets one.
    pub(crate) fn remove(&mut self, hash: &Digest) {
        let Some((key, entry)) = self.entries.remove(hash) else { return };
        let bytes = entry.bytes();
        self.sum.subtract(bytes);
        if let Some(sum) = self.sums.get_mut(&key.0) {
            sum.subtract(bytes);
            if sum.count == 0 {
                self.sums.remove(&key.0);
            }
        }
        self.arrivals.remove(&entry.number);
        self.keys.remove(&key);
    }

    /// Those that wait, by arrival.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Arc<VerifiedTransaction>> {
        self.arrivals.values().filter_map(|hash| self.entries.get(hash)).map(|(_, entry)| &entry.verified)
    }
}
