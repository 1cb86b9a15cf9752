//! Numbers from a seed, for simulations and tests.

/// SplitMix64: the same numbers for the same seed on every machine and version. Not for secrets.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// From a seed.
    pub const fn new(seed: u64) -> SplitMix64 {
        SplitMix64(seed)
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`; 0 where the bound is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: the bias is below 2^-40 for bounds below 2^24.
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// Returns a place in a list of `length` items; 0 where it is empty.
    pub const fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Returns a number below `bound`, or 0 where the bound is not positive.
    pub const fn up_to(&mut self, bound: i64) -> i64 {
        if bound <= 0 { 0 } else { self.below(bound as u64) as i64 }
    }

    /// Returns true with a chance of `part` in `of`.
    pub const fn chance(&mut self, part: u64, of: u64) -> bool {
        self.below(of) < part
    }

    /// Returns an approximately normal number: mean 0, standard deviation 1000, a sum of twelve uniform ones.
    pub const fn bell(&mut self) -> i64 {
        let mut sum = 0;
        let mut n = 0;
        while n < 12 {
            sum += self.below(1_001) as i64;
            n += 1;
        }
        sum - 6_000
    }

    /// Returns a number of a long-tailed distribution with this mean: small ones often, large ones seldom.
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
    fn as_the_reference_implementation() {
        let mut random = SplitMix64::new(0);
        assert_eq!([random.next(), random.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn distributions_have_their_means_and_deviations() {
        let mut random = SplitMix64::new(5);
        let mut bell: Vec<i64> = (0..20_000).map(|_| random.bell()).collect();
        bell.sort_unstable();
        assert!(bell[10_000].abs() < 30, "median {}", bell[10_000]);
        assert!((900..1_100).contains(&bell[16_827]), "one deviation {}", bell[16_827]);
        let mean = (0..20_000).map(|_| random.tail(100)).sum::<i64>() / 20_000;
        assert!((90..110).contains(&mean), "{mean}");
        let heads = (0..20_000).filter(|_| random.chance(1, 4)).count();
        assert!((4_700..5_300).contains(&heads), "{heads}");
        assert_eq!((random.below(0), random.index(0), random.up_to(-3)), (0, 0, 0));
    }
}
