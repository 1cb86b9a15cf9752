//! Keys of evidence.

use openmesh_primitives::{Address, Height};

/// `evidence/<20 bytes>/<8 bytes>` -> hash of the transaction that showed that a validator equivocated at a height.
pub fn evidence(validator: &Address, height: Height) -> Vec<u8> {
    [b"evidence/".as_slice(), &validator.0, b"/", &height.to_be_bytes()].concat()
}
