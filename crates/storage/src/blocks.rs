//! Committed blocks as they stand in the database.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_ledger::{Block, Certificate, Header, LedgerEvent, Receipt};
use openmesh_primitives::{Height, Timestamp, canonical};
use redb::ReadableTable;

use crate::StoreError;

/// A committed block with everything that came of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredBlock {
    /// The block.
    pub block: Block,
    /// Signatures of those who decided it.
    pub certificate: Certificate,
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    /// Events of its execution.
    pub events: Vec<LedgerEvent>,
}

impl StoredBlock {
    /// False for the block of a snapshot with transactions in it, which was never executed here.
    pub fn has_receipts(&self) -> bool {
        self.receipts.len() == self.block.transactions.len()
    }
}

pub fn decode_block(bytes: &[u8]) -> Result<StoredBlock, StoreError> {
    canonical::decode(bytes).map_err(|e| StoreError::damaged("block", e))
}

/// The header alone, which stands first.
fn decode_header(mut bytes: &[u8]) -> Result<Header, StoreError> {
    Header::deserialize(&mut bytes).map_err(|e| StoreError::damaged("block", e))
}

/// The oldest block that is kept, by height and time.
pub type Oldest = Option<(Height, Timestamp)>;

pub fn oldest(blocks: &impl ReadableTable<u64, &'static [u8]>) -> Result<Oldest, StoreError> {
    let Some((height, bytes)) = blocks.first()? else { return Ok(None) };
    Ok(Some((height.value(), decode_header(bytes.value())?.time)))
}
