//! Keys of epochs.

/// Key of the [`crate::CurrentEpoch`].
pub const CURRENT_EPOCH: &[u8] = b"current-epoch";
/// Key of the [`crate::ValidatorSet`] that was in force when the current epoch began: who takes part in its beacon, and in the draw
/// that is made in it.
pub const EPOCH_VALIDATORS: &[u8] = b"validators/epoch";
/// Key of the [`crate::MerklePeaks`] over the facts of the current epoch so far.
pub const FACTS: &[u8] = b"facts";
/// Key of the [`crate::EpochKeys`] of the current epoch so far.
pub const EPOCH_KEYS: &[u8] = b"epoch-keys";
/// Prefix of [`closed_epoch`].
pub const CLOSED_EPOCHS: &[u8] = b"closed-epoch/";

/// `epoch/<8 bytes>` -> [`crate::EpochRecord`].
pub fn epoch(number: u64) -> Vec<u8> {
    [b"epoch/".as_slice(), &number.to_be_bytes()].concat()
}

/// `closed-epoch/<8 bytes>` -> [`crate::ClosedEpoch`], for ever.
pub fn closed_epoch(number: u64) -> Vec<u8> {
    [CLOSED_EPOCHS, &number.to_be_bytes()].concat()
}
