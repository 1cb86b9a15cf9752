//! Limits of upgrades.

/// Longest name of a release, bytes: it stands in messages and lists.
pub const RELEASE_BYTES_MAX: usize = 64;

/// A plan may lie so many heights ahead, at most: four months of blocks of a second, longer than any release is prepared.
pub const PLAN_AHEAD_BLOCKS_MAX: u64 = 10_000_000;

/// Plans that a validator may approve at the same time, at most: one that is due and others that are prepared. It bounds the plans
/// that the state holds.
pub const APPROVALS_PER_VALIDATOR_MAX: usize = 4;

/// Ballots that a validator may cast in one epoch, at most: they are free, and a person changes their mind less often.
pub const BALLOTS_PER_EPOCH_MAX: u32 = 32;

/// Plans that are read at once: four of each of 256 validators, and as many again of former ones.
pub(crate) const PLANS_READ_MAX: usize = 2_048;
