//! Limits of the format that no module owns.

/// Largest transaction that is even decoded, bytes; [`crate::BlocksParams::transaction_bytes_max`] may only be smaller.
/// An attestation of [`crate::CHUNK_CLAIMS_MAX`] claims is about 90 KiB.
pub const TRANSACTION_BYTES_HARD_MAX: u64 = 256 * 1024;

/// Largest block that any network may allow, bytes: what fits a p2p message and a slow link in a few seconds.
pub const BLOCK_BYTES_HARD_MAX: u64 = 16 * 1024 * 1024;

/// Longest name of a source, an exchange, a feed or a validator, bytes. Names stand in state keys.
pub const NAME_BYTES_MAX: usize = 32;

/// Returns the name of the first parameter whose rule is not kept as the error.
pub(crate) fn in_range(rules: &[(bool, &'static str)]) -> Result<(), &'static str> {
    rules.iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, name)| Err(*name))
}
