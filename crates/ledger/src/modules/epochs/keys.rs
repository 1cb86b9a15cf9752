//! Keys of epochs.

/// `epoch/<8 bytes>` -> [`crate::EpochRecord`].
pub fn epoch(number: u64) -> Vec<u8> {
    [b"epoch/".as_slice(), &number.to_be_bytes()].concat()
}
