//! The committed block as the engine announces it.

use openmesh_ledger::{Block, Certificate, LedgerEvent, Receipt};
use openmesh_primitives::Digest;

/// A block that was decided, executed and stored.
#[derive(Clone, Debug)]
pub struct CommittedBlock {
    /// The block.
    pub block: Block,
    /// Its hash.
    pub hash: Digest,
    /// Precommits of more than two thirds for it.
    pub certificate: Certificate,
    /// Root of the state after it; stands in the next header.
    pub state_root: Digest,
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// Events of its execution.
    pub events: Vec<LedgerEvent>,
}
