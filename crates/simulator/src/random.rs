//! Numbers from a seed.
//!
//! ChaCha of the crate `rand_chacha`, whose stream of a seed is promised to stay the same in all its versions: a seed that
//! failed replays after an update of the libraries.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// Of a seed.
    pub fn new(seed: u64) -> Random {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`; zero if that is zero. Of all numbers of 64 bits some are left over, so the first ones are more likely
    /// by `end` in 2^64: far less than a simulation could notice.
    pub fn below(&mut self, end: u64) -> u64 {
        let next = self.number();
        if end == 0 { 0 } else { next % end }
    }

    /// True so many times of a thousand.
    pub fn permille(&mut self, share: u64) -> bool {
        self.below(1_000) < share
    }
}
