//! Keys of evidence.

use openmesh_primitives::{Address, Height};

/// Prefix of [`evidence`].
pub const EVIDENCE: &[u8] = b"evidence/";

/// `evidence/<8 bytes>/`: the evidence about a height.
pub fn evidence_at(height: Height) -> Vec<u8> {
    [EVIDENCE, &height.to_be_bytes(), b"/"].concat()
}

/// `evidence/<8 bytes>/<20 bytes>` -> hash of the transaction that showed that a validator equivocated at a height.
pub fn evidence(validator: &Address, height: Height) -> Vec<u8> {
    [evidence_at(height).as_slice(), &validator.0].concat()
}
