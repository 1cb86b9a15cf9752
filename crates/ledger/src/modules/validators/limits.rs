//! Limits of validators.

/// Number of heights in which a validator must have proposed, attested or signed a precommit to have been there: a hundred
/// blocks have many proposers, so that none of them alone makes another one absent.
pub const PRESENCE_BLOCKS: u64 = 100;

/// Most validators of a set: every one signs every block, and signatures are not aggregated.
pub const VALIDATORS_MAX: usize = 256;
