//! Numbers from a seed.

use openmesh_primitives::SplitMix64;

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    /// Of a seed.
    pub const fn new(seed: u64) -> Random {
        Random(SplitMix64::new(seed))
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `end`; zero if that is zero.
    pub const fn below(&mut self, end: u64) -> u64 {
        let next = self.next();
        if end == 0 { 0 } else { next % end }
    }

    /// True so many times of a thousand.
    pub const fn permille(&mut self, share: u64) -> bool {
        self.below(1_000) < share
    }
}
