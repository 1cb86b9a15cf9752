//! The canonical form: there and back, verified on the way, and equal for honest nodes of different make.

use alloy_primitives::B256;
use openmesh_evm::{CANONICAL_VERSION, CanonicalError, canonical_block, decode, decode_block, decode_canonical};

use crate::support::chain::{FORKS, Fork, block};
use crate::support::sets;

#[test]
fn there_and_back() {
    for fork in FORKS {
        let made = block(fork, 9, B256::ZERO, 4);
        let decoded = decode(&made.block_bytes(), &made.receipts_bytes()).unwrap();
        let bytes = canonical_block(&decoded);
        assert_eq!(bytes[0], CANONICAL_VERSION);
        let back = decode_canonical(&bytes).unwrap();
        assert_eq!(back.rows, decoded.rows);
        assert_eq!((&back.token_transfers, &back.swaps), (&decoded.token_transfers, &decoded.swaps));
        assert_eq!(canonical_block(&back), bytes);
        // Parts that were not given stay apart from empty ones.
        let partial = decode_block(&made.block_bytes()).unwrap();
        let back = decode_canonical(&canonical_block(&partial)).unwrap();
        assert_eq!((back.rows, back.not_verified), (partial.rows, partial.not_verified));
    }
}

#[test]
fn recorded_blocks_there_and_back() {
    for set in sets() {
        let decoded = decode(&set.block, &set.receipts).unwrap();
        let bytes = canonical_block(&decoded);
        let back = decode_canonical(&bytes).unwrap_or_else(|e| panic!("{}: {e}", set.name));
        assert_eq!(back.rows, decoded.rows, "{}", set.name);
        eprintln!("{}: {} canonical bytes, {} of JSON", set.name, bytes.len(), set.block.len() + set.receipts.len());
    }
}

#[test]
fn other_forms_are_refused() {
    let made = block(Fork::Cancun, 9, B256::ZERO, 4);
    let bytes = canonical_block(&decode(&made.block_bytes(), &made.receipts_bytes()).unwrap());
    assert!(matches!(decode_canonical(&[]), Err(CanonicalError::Length { length: 0 })));
    let mut other = bytes.clone();
    other[0] = 2;
    assert!(matches!(decode_canonical(&other), Err(CanonicalError::Version { found: 2 })));
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(decode_canonical(&longer), Err(CanonicalError::Form(_))));
    assert!(matches!(decode_canonical(&bytes[..bytes.len() - 1]), Err(CanonicalError::Form(_))));
    // A value that Borsh can read but the block's hash does not bind.
    let mut altered = bytes;
    altered[9] ^= 1;
    assert!(matches!(decode_canonical(&altered), Err(CanonicalError::Refused(_))));
}
