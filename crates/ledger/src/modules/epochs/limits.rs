//! Limits of epochs.

/// Number of epochs whose records stay in the state: enough to look up who was assigned some time ago.
pub const EPOCHS_KEPT: u64 = 256;
