//! The mempool of a simulated validator without store, threads and gossip: the same pool under the same rules.

use std::cell::RefCell;
use std::sync::Arc;

use openmesh_ledger::{
    MempoolRules, Receipt, StateError, StateRead, Transaction, VerifiedTransaction, verify_transaction,
};
use openmesh_primitives::{Address, Digest, Height};

use crate::config::MempoolConfig;
use crate::mempool::error::SubmitError;
use crate::mempool::place::place;
use crate::mempool::pool::Pool;
use crate::mempool::recheck;

/// A pool of waiting transactions over a state that is handed in.
#[derive(Debug)]
pub struct SimulatedMempool(RefCell<Pool>);

impl SimulatedMempool {
    /// An empty mempool of this validator.
    pub fn new(own: Address) -> SimulatedMempool {
        SimulatedMempool(RefCell::new(Pool::new(MempoolConfig::default(), Some(own))))
    }

    /// Checks a transaction against the state after the last block and takes it in.
    ///
    /// Fails as [`crate::Handle::submit`] does.
    pub fn take(&self, state: &dyn StateRead, transaction: Transaction) -> Result<Digest, SubmitError> {
        let verified = Arc::new(verify_transaction(transaction)?);
        let rules = MempoolRules::of(state)?;
        let ahead_max = self.0.borrow().nonces_ahead_max();
        let place = place(&rules, state, &verified, ahead_max)?;
        let hash = verified.hash();
        self.0.borrow_mut().insert(verified, place, true)?;
        Ok(hash)
    }

    /// Candidates for the next block, at most about so many bytes of each class.
    pub fn candidates(&self, bytes: usize) -> Vec<Arc<VerifiedTransaction>> {
        self.0.borrow().candidates(bytes)
    }

    /// Notes a committed block; `state` is the one after it.
    ///
    /// Fails if the state cannot be read.
    pub fn committed(&self, state: &dyn StateRead, height: Height, receipts: &[Receipt]) -> Result<(), StateError> {
        recheck::take_out(&mut self.0.borrow_mut(), height, receipts);
        recheck::recheck(&MempoolRules::of(state)?, state, receipts, || self.0.borrow_mut())?;
        recheck::expire(&mut self.0.borrow_mut(), height);
        Ok(())
    }

    /// Number and bytes of the waiting transactions of both classes.
    pub fn load(&self) -> (usize, usize) {
        let load = self.0.borrow().load();
        (load.transactions + load.attestations, load.bytes + load.attestation_bytes)
    }
}
