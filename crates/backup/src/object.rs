//! The sealed form of small objects (B-8).

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::error::BackupError;
use crate::secret::Keys;

/// First bytes of a sealed object, with the version of the format.
const MAGIC: [u8; 5] = *b"OMBK\x01";
/// Bytes of the authenticated head: magic, version, kind.
const HEAD_BYTES: usize = 6;
/// Largest sealed object that is read, bytes: more than the largest that is written (an index part or a manifest list of 16 MiB), so that a hostile
/// store cannot fill the memory.
pub const SEALED_BYTES_MAX: usize = 32 << 20;

/// Kinds of sealed content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// Header of a pack.
    Header = 1,
    /// Part of the index.
    Index = 2,
    /// A snapshot.
    Snapshot = 3,
    /// A session.
    Session = 4,
    /// A mark.
    Mark = 5,
}

/// The next step of Padmé from a length: 12 % more at most, and only the leading bits of the length are told.
pub(crate) fn padded(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let mask = (1_usize << (exponent - (exponent.ilog2() + 1).min(exponent))) - 1;
    length.saturating_add(mask) & !mask
}

/// Seals content: an object's bytes.
pub(crate) fn seal<T: BorshSerialize>(keys: &Keys, kind: Sealed, content: &T) -> Result<Vec<u8>, BackupError> {
    let content = encode(content);
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut plain = length.to_le_bytes().to_vec();
    plain.extend(content);
    if kind != Sealed::Header {
        plain.resize(padded(plain.len()), 0);
    }
    let head = head(kind);
    let mut bytes = head.to_vec();
    bytes.extend(keys.seal(&head, &plain)?);
    Ok(bytes)
}

/// Opens a sealed object. `object` is its path, for messages.
pub(crate) fn unseal<T: BorshDeserialize>(
    keys: &Keys,
    kind: Sealed,
    object: &dyn fmt::Display,
    bytes: &[u8],
) -> Result<T, BackupError> {
    let damaged = |what: &str| BackupError::damaged(object, what);
    let head = head(kind);
    let body = bytes.strip_prefix(&head).ok_or_else(|| damaged("it does not begin as an object of its kind"))?;
    let plain = keys.unseal(&head, body).ok_or_else(|| damaged("its seal does not fit its content"))?;
    let (length, rest) = plain.split_first_chunk::<4>().ok_or_else(|| damaged("it has no length"))?;
    let content = usize::try_from(u32::from_le_bytes(*length)).ok().and_then(|length| rest.split_at_checked(length));
    let (content, zeros) = content.ok_or_else(|| damaged("its length is beyond its end"))?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(damaged("its padding is not zero"));
    }
    borsh::from_slice(content).map_err(|_| damaged("its content cannot be read"))
}

fn head(kind: Sealed) -> [u8; HEAD_BYTES] {
    let [a, b, c, d, version] = MAGIC;
    [a, b, c, d, version, kind as u8]
}

/// Canonical bytes of a value. Writing to memory does not fail.
pub(crate) fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_grows_little_and_in_steps() {
        let mut steps = std::collections::BTreeSet::new();
        for length in 0..100_000 {
            let step = padded(length);
            assert!(step >= length && step as f64 <= length as f64 * 1.12 + 1.0, "{length} to {step}");
            assert_eq!(padded(step), step);
            steps.insert(step);
        }
        assert!(steps.len() < 300, "{} sizes can be told apart", steps.len());
        assert_eq!(padded(16 << 20), 16 << 20);
    }
}
