//! Limits of validators.

/// Most validators of a set: every one signs every block, and signatures are not aggregated.
pub const VALIDATORS_MAX: usize = 256;
