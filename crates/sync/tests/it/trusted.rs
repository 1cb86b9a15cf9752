//! A node's own blocks beside the one that a person trusts.

use openmesh_primitives::Digest;
use openmesh_storage::{Store, StoreConfig};
use openmesh_sync::{TrustError, TrustedBlock};

use crate::chain::{Chain, genesis};

#[test]
fn own_blocks_come_through_the_trusted_one() {
    let (empty, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let none = Store::open_with(empty.path(), StoreConfig::default()).unwrap();
    let chain = Chain::new(dir.path(), StoreConfig::default(), &genesis(1));
    chain.grow(5);
    let hash = |height| chain.store.header(height).unwrap().unwrap().0.hash();
    let at = |height, hash| TrustedBlock { height, hash };
    for (block, is_passed) in [
        (at(3, hash(3)), true),
        (at(5, hash(5)), true),
        // Not reached: what is there by then is seen then.
        (at(6, Digest::ZERO), false),
        // The genesis has a name of its own.
        (at(0, Digest::ZERO), true),
    ] {
        assert_eq!(block.is_passed(&chain.store).unwrap(), is_passed, "{block:?}");
        assert!(!block.is_passed(&none).unwrap(), "{block:?}");
    }
    for height in [3, 5] {
        let error = at(height, hash(4)).is_passed(&chain.store).unwrap_err();
        assert!(matches!(&error, TrustError::OtherBlock { got, .. } if *got == hash(height)), "{error}");
    }
}
