//! Keys of validators.

use openmesh_primitives::Address;

/// Key of the [`crate::ValidatorSet`] of the next block.
pub const VALIDATORS_CURRENT: &[u8] = b"validators/current";
/// Key of the [`crate::ValidatorSet`] of the block after that: a change written in block H changes the set of H + 2.
pub const VALIDATORS_NEXT: &[u8] = b"validators/next";
/// Key of the set that decided the last block, whose signatures stand in the next one.
pub const VALIDATORS_LAST: &[u8] = b"validators/last";
/// Key of the heights at which the validators in force were last seen: addresses in ascending order.
pub const PRESENCE: &[u8] = b"presence";
/// Key of the [`crate::NearTurns`].
pub const TURNS: &[u8] = b"turns";
/// Prefix of [`validator`].
pub const VALIDATORS: &[u8] = b"validator/";

/// `validator/<20 bytes>` -> [`crate::ValidatorRecord`].
pub fn validator(address: &Address) -> Vec<u8> {
    [VALIDATORS, &address.0].concat()
}
