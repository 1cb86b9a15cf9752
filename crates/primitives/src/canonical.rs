//! The one canonical byte form: Borsh, without trailing bytes.
//!
//! Borsh is specified, deterministic (one encoding per value) and has implementations in the languages that a
//! verifier is likely to be written in. Source: <https://borsh.io>.

use borsh::{BorshDeserialize, BorshSerialize};

/// Bytes that are not the canonical form of the wanted type.
#[derive(Debug, thiserror::Error)]
#[error("not the canonical bytes of {what}: {reason}")]
pub struct CanonicalError {
    what: &'static str,
    reason: String,
}

/// The canonical bytes of a value.
pub fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    // Writing to memory fails only for a collection of more than 2^32 items, which limits forbid long before.
    borsh::to_vec(value).unwrap_or_default()
}

/// The value of canonical bytes; anything left over is refused.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, CanonicalError> {
    T::try_from_slice(bytes).map_err(|e| CanonicalError { what: std::any::type_name::<T>(), reason: e.to_string() })
}
