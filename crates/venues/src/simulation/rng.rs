//! A small generator of random numbers: the same seed gives the same market on every machine and version.

use openmesh_primitives::SplitMix64;

/// A generator. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(SplitMix64);

impl Rng {
    /// From a seed.
    pub const fn new(seed: u64) -> Rng {
        Rng(SplitMix64::new(seed))
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: the bias is below 2^-40 for the bounds used here.
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// The same for signed bounds above zero.
    pub const fn up_to(&mut self, bound: i64) -> i64 {
        if bound <= 0 { 0 } else { self.below(bound as u64) as i64 }
    }

    /// True with a chance of `part` in `of`.
    pub const fn chance(&mut self, part: u64, of: u64) -> bool {
        self.below(of) < part
    }

    /// About normal, mean 0, deviation 1000: twelve uniform numbers summed.
    pub const fn bell(&mut self) -> i64 {
        let mut sum = 0;
        let mut n = 0;
        while n < 12 {
            sum += self.below(1_001) as i64;
            n += 1;
        }
        sum - 6_000
    }

    /// About exponential with this mean: small numbers often, large ones seldom.
    pub const fn tail(&mut self, mean: i64) -> i64 {
        // A product of two uniform numbers has a long tail and a quarter of the largest as its mean.
        let span = mean.saturating_mul(4).saturating_add(1);
        let inner = self.up_to(span);
        self.up_to(inner + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_even() {
        // First output of the reference implementation for seed 0.
        assert_eq!(Rng::new(0).next(), 0xe220_a839_7b1d_cdaf);
        let mut rng = Rng::new(5);
        let mut bell: Vec<i64> = (0..20_000).map(|_| rng.bell()).collect();
        bell.sort_unstable();
        assert!(bell[10_000].abs() < 30, "median {}", bell[10_000]);
        assert!((900..1_100).contains(&bell[16_827]), "one deviation {}", bell[16_827]);
        let mean = (0..20_000).map(|_| rng.tail(100)).sum::<i64>() / 20_000;
        assert!((90..110).contains(&mean), "{mean}");
        assert_eq!(Rng::new(1).below(0), 0);
    }
}
