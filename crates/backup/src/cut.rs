//! The cut of content into chunks: a rolling Gear hash with a table drawn from a key, and FastCDC's two masks (B-11).
//!
//! # Why an own one
//! The rule is forty lines, is a part of the format, and has to stay as it is while libraries move on.

/// Smallest chunk of data, bytes, but for the last of a run: below, the 130 bytes that a chunk costs in packs, index and manifest would be felt.
pub const CHUNK_BYTES_MIN: usize = 128 << 10;
/// Mean chunk of data, bytes: a page changed in a database stores so much anew; half of it doubles the index.
pub const CHUNK_BYTES_MEAN: usize = 512 << 10;
/// Largest chunk of data, bytes: bounds what a thread holds, and what a hostile pack can make it hold.
pub const CHUNK_BYTES_MAX: usize = 2 << 20;
/// Chunks of manifests are smaller by this factor: a changed file changes one.
const MANIFEST_PART: usize = 4;
/// Bits by which the mask is harder before the mean and easier after it. Source: FastCDC, normalisation level 2.
const NORMALISATION_BITS: u32 = 2;
/// Bytes that the rolling hash remembers: one for each of its bits.
const WINDOW_BYTES: usize = 64;
/// Bytes that are rolled over in one step of a loop.
const STEP_BYTES: usize = 8;

/// A rule for cutting.
pub(crate) struct Cutter {
    table: [u64; 256],
    min: usize,
    mean: usize,
    max: usize,
}

impl Cutter {
    /// The cut of data.
    pub(crate) fn data(key: &[u8; 32]) -> Cutter {
        Cutter { table: table(key), min: CHUNK_BYTES_MIN, mean: CHUNK_BYTES_MEAN, max: CHUNK_BYTES_MAX }
    }

    /// The cut of manifests.
    pub(crate) fn manifest(key: &[u8; 32]) -> Cutter {
        let Cutter { table, min, mean, max } = Cutter::data(key);
        Cutter { table, min: min / MANIFEST_PART, mean: mean / MANIFEST_PART, max: max / MANIFEST_PART }
    }

    /// Bytes that have to be there for a cut, unless the run ends before.
    pub(crate) fn bytes_max(&self) -> usize {
        self.max
    }

    /// Length of the first chunk of these bytes. They are the rest of a run, or at least [`Cutter::bytes_max`].
    pub(crate) fn first(&self, bytes: &[u8]) -> usize {
        if bytes.len() <= self.min {
            return bytes.len();
        }
        let end = bytes.len().min(self.max);
        let normal = end.min(self.mean);
        let bits = self.mean.ilog2();
        let warm = self.min - WINDOW_BYTES;
        let mut hash = bytes[warm..self.min].iter().fold(0, |hash, byte| self.roll(hash, *byte));
        for (from, until, bits) in
            [(self.min, normal, bits + NORMALISATION_BITS), (normal, end, bits - NORMALISATION_BITS)]
        {
            if let Some(length) = self.find(&mut hash, &bytes[from..until], u64::MAX << (u64::BITS - bits)) {
                return from + length;
            }
        }
        end
    }

    /// Rolls over bytes as far as the first place where no bit of the mask is set: the number of bytes up to it.
    fn find(&self, rolled: &mut u64, bytes: &[u8], mask: u64) -> Option<usize> {
        let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
        let mut hash = *rolled;
        for (number, step) in steps.iter().enumerate() {
            for (at, byte) in step.iter().enumerate() {
                hash = self.roll(hash, *byte);
                if hash & mask == 0 {
                    return Some(number * STEP_BYTES + at + 1);
                }
            }
        }
        for (at, byte) in rest.iter().enumerate() {
            hash = self.roll(hash, *byte);
            if hash & mask == 0 {
                return Some(steps.len() * STEP_BYTES + at + 1);
            }
        }
        *rolled = hash;
        None
    }

    fn roll(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[usize::from(byte)])
    }
}

fn table(key: &[u8; 32]) -> [u64; 256] {
    let mut bytes = [0; 2048];
    blake3::Hasher::new_keyed(key).finalize_xof().fill(&mut bytes);
    let mut words = bytes.as_chunks::<8>().0.iter();
    std::array::from_fn(|_| words.next().map_or(0, |word| u64::from_le_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::SplitMix64;
    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut numbers = SplitMix64::new(seed);
        (0..length.div_ceil(8)).flat_map(|_| numbers.next().to_le_bytes()).take(length).collect()
    }

    fn cuts(cutter: &Cutter, mut bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !bytes.is_empty() {
            let length = cutter.first(bytes);
            lengths.push(length);
            bytes = &bytes[length..];
        }
        lengths
    }

    #[test]
    fn sizes_are_bounded_and_have_their_mean() {
        let cutter = Cutter::manifest(&[7; 32]);
        let lengths = cuts(&cutter, &noise(1, 16 << 20));
        let (last, others) = lengths.split_last().unwrap();
        assert!(others.iter().all(|length| (CHUNK_BYTES_MIN / 4..=CHUNK_BYTES_MAX / 4).contains(length)) && *last > 0);
        let mean = (16 << 20) / lengths.len();
        assert!((96 << 10..192 << 10).contains(&mean), "{mean}");
        assert_eq!(cuts(&cutter, &[]), Vec::<usize>::new());
    }

    #[test]
    fn a_byte_put_in_moves_two_cuts_and_another_key_moves_all() {
        let cutter = Cutter::manifest(&[7; 32]);
        let bytes = noise(2, 8 << 20);
        let ends = |cutter: &Cutter, bytes: &[u8]| {
            let ends = cuts(cutter, bytes).into_iter().scan(0, |at, length| {
                *at += length;
                Some(bytes.len() - *at)
            });
            ends.collect::<std::collections::BTreeSet<usize>>()
        };
        let before = ends(&cutter, &bytes);
        let mut longer = vec![1];
        longer.extend(&bytes);
        assert!(ends(&cutter, &longer).intersection(&before).count() + 4 >= before.len());
        let other = ends(&Cutter::manifest(&[8; 32]), &bytes);
        assert!(other.intersection(&before).count() <= 2, "the end, and one by chance");
    }

    /// The rule byte by byte.
    fn first(cutter: &Cutter, bytes: &[u8]) -> usize {
        let mut hash = 0_u64;
        for (at, byte) in bytes.iter().enumerate().take(cutter.max).skip(cutter.min - WINDOW_BYTES) {
            hash = (hash << 1).wrapping_add(cutter.table[usize::from(*byte)]);
            let bits = cutter.mean.ilog2();
            let bits = if at < cutter.mean { bits + NORMALISATION_BITS } else { bits - NORMALISATION_BITS };
            if at >= cutter.min && hash >> (u64::BITS - bits) == 0 {
                return at + 1;
            }
        }
        bytes.len().min(cutter.max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Contents of few values make places that match often, and of many the usual ones.
        #[test]
        fn a_cut_is_where_the_rule_says(
            seed in any::<u64>(),
            length in 0_usize..(700 << 10),
            mask in prop_oneof![Just(0_u8), Just(1), Just(15), Just(255)],
        ) {
            let cutter = Cutter::manifest(&[7; 32]);
            let bytes: Vec<u8> = noise(seed, length).into_iter().map(|byte| byte & mask).collect();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let length = cutter.first(rest);
                prop_assert_eq!(length, first(&cutter, rest));
                rest = &rest[length..];
            }
        }
    }
}
