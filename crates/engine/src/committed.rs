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
    /// Who decided it.
    pub certificate: Certificate,
    /// Root of the state after it; stands in the next header.
    pub state_root: Digest,
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// What happened in it.
    pub events: Vec<LedgerEvent>,
}
