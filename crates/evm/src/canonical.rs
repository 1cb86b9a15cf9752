//! The byte form of a block on which validators agree (`docs/spec/chain.md`).
//!
//! A version byte, then Borsh of header, transactions, receipts and logs. Transfers and swaps are not in it: they follow
//! from the logs, and a better decoder must not change a chunk's CID. Nor is anything that a node may leave out or
//! choose: rows hold only what the block's hash binds or what follows from it, so two honest nodes, whatever their make,
//! lead to the same bytes.

use openmesh_chain::{Block, Log, Receipt, Transaction};
use openmesh_primitives::canonical;

use crate::DOCUMENT_BYTES_MAX;
use crate::decode::Decoded;
use crate::report::VerifyError;
use crate::verify::{Rows, verify};

/// The version that is written, first byte of the form.
pub const CANONICAL_VERSION: u8 = 1;

/// Reason that bytes are not a block.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Written by another version of this software.
    #[error("canonical block: version {found} is not known here (version {CANONICAL_VERSION} is)")]
    Version {
        /// First byte.
        found: u8,
    },
    /// No bytes, or too many.
    #[error("canonical block: {length} bytes; 1 to {DOCUMENT_BYTES_MAX} are expected")]
    Length {
        /// Number of them.
        length: usize,
    },
    /// Not the canonical form.
    #[error(transparent)]
    Form(#[from] canonical::CanonicalError),
    /// Well formed, but hashes do not match.
    #[error(transparent)]
    Refused(#[from] VerifyError),
}

/// The canonical bytes of a verified block.
pub fn canonical_block(decoded: &Decoded) -> Vec<u8> {
    let Rows { block, transactions, receipts, logs } = &decoded.rows;
    let mut bytes = vec![CANONICAL_VERSION];
    bytes.extend(canonical::encode(&(block, transactions, receipts, logs)));
    bytes
}

/// Reads and verifies a block from its canonical bytes.
///
/// # Errors
/// [`CanonicalError`]; bytes that decode are the only form of what they decode to.
pub fn decode_canonical(bytes: &[u8]) -> Result<Decoded, CanonicalError> {
    let length = bytes.len();
    let Some((version, body)) = bytes.split_first().filter(|_| length <= DOCUMENT_BYTES_MAX) else {
        return Err(CanonicalError::Length { length });
    };
    if *version != CANONICAL_VERSION {
        return Err(CanonicalError::Version { found: *version });
    }
    type Body = (Block, Option<Vec<Transaction>>, Option<Vec<Receipt>>, Vec<Log>);
    let (block, transactions, receipts, logs) = canonical::decode::<Body>(body)?;
    let rows = Rows { block, transactions, receipts, logs };
    let report = verify(&rows)?;
    Ok(Decoded::new(rows, report))
}
