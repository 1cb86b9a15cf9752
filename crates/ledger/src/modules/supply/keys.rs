//! Keys of the supply.

/// Key of [`crate::Supply`].
pub const SUPPLY: &[u8] = b"supply";
/// Prefix of [`pool`].
pub const POOLS: &[u8] = b"pool/";

/// `pool/<name>` -> [`crate::Pool`].
pub fn pool(name: &str) -> Vec<u8> {
    [POOLS, name.as_bytes()].concat()
}
