//! Limits of epochs.

/// Number of epochs whose draw stays in the state: enough to look up who was assigned some time ago.
pub const EPOCHS_KEPT: u64 = 256;

/// Number of epochs for which the draw is made before they begin: one, so that collectors connect first.
pub const DRAWN_AHEAD_EPOCHS: u64 = 1;

/// So many times as fast as an epoch's details came they leave the state again: after half an epoch they are gone, though its blocks
/// may come less evenly than those of the epoch that made them.
pub const PRUNING_SPEED: u64 = 2;

/// Least number of keys of details that a block removes where so many are due: hardly more than the block writes anyway, and an
/// epoch that added few is done with after some blocks.
pub const PRUNED_KEYS_PER_BLOCK_MIN: u32 = 64;

/// Most blocks of an epoch whose outputs the draw waits for: more would leave collectors little time of the epoch.
pub const MIX_BLOCKS_MAX: u64 = 10_000;

/// Shortest epoch, milliseconds of block time: below this the draw would change faster than collectors connect.
pub const EPOCH_MS_MIN: u64 = 1_000;

/// Longest epoch, milliseconds of block time: a month, after which an assignment is hardly one.
pub const EPOCH_MS_MAX: u64 = 31 * 24 * 3_600_000;
