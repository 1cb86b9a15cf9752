//! Limits of windows and attestations.

use crate::modules::sources::{SOURCE_FEEDS_MAX, SOURCE_SYMBOLS_MAX};

/// Most streams that one attestation may claim or abstain from: 64 symbols times 16 feeds.
pub const CHUNK_CLAIMS_MAX: usize = SOURCE_SYMBOLS_MAX * SOURCE_FEEDS_MAX;

/// Highest number of a chain's window, which is a block's: what a number in JSON and a column of a table hold exactly.
pub const WINDOW_NUMBER_MAX: u64 = (1 << 53) - 1;

/// Longest time by which the end of a market's window may lie after the block's time, milliseconds: the clocks' tolerance.
pub const WINDOW_AHEAD_MS_MAX: i64 = 5_000;

/// The same before inclusion, where the only known time is that of the last block, which may be some rounds old.
pub const WINDOW_AHEAD_MEMPOOL_MS_MAX: i64 = 120_000;

/// Time after a market's window within which honest collectors close it, milliseconds: one that waits for proof that it missed nothing
/// waits for 8 s, and clocks differ. Before that no window closes to which no more than a third of the power has committed.
pub const WINDOW_SETTLE_MS: i64 = 10_000;

/// Longest time for which commitments wait for those that are late, milliseconds: an hour, far beyond what a collector takes.
pub const COMMIT_GRACE_MS_MAX: u64 = 3_600_000;

/// Most blocks that a window may stay open: eleven days of blocks each second, after which nobody waits any more.
pub const WINDOW_CLOSE_BLOCKS_MAX: u64 = 1_000_000;

/// Most incidents that name one validator as differing in one window: what more there is stands in the window's record, so
/// that one attestation with a thousand wrong claims does not make a thousand incidents.
pub const DIFFERING_INCIDENTS_MAX: usize = 16;

/// Most windows that are looked at when a gap is searched: all that some validators may have open.
pub(crate) const GAP_WINDOWS_MAX: usize = 8_192;
