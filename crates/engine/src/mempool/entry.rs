//! A waiting transaction, whatever its class, and sums of such.

use std::sync::Arc;

use openmesh_ledger::VerifiedTransaction;
use openmesh_primitives::{Digest, Height};

/// A verified transaction with the circumstances of its arrival.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) verified: Arc<VerifiedTransaction>,
    /// Order of arrival.
    pub(crate) number: u64,
    /// Height of the tip at arrival.
    pub(crate) height: Height,
    /// Ours to spread: it came from a client of this node.
    pub(crate) local: bool,
}

impl Entry {
    pub(crate) fn hash(&self) -> Digest {
        self.verified.hash()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.verified.bytes().len()
    }
}

/// Number and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

impl Sum {
    pub(crate) const fn add(&mut self, bytes: usize) {
        (self.count, self.bytes) = (self.count + 1, self.bytes + bytes);
    }

    pub(crate) const fn subtract(&mut self, bytes: usize) {
        (self.count, self.bytes) = (self.count - 1, self.bytes - bytes);
    }

    /// Returns true if another one fits beside it, in the place of `freed` where it replaces one.
    pub(crate) fn fits(&self, max: Sum, bytes: usize, freed: Option<usize>) -> bool {
        (freed.is_some() || self.count < max.count) && self.bytes - freed.unwrap_or(0) + bytes <= max.bytes
    }
}
