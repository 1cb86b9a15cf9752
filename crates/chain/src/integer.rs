//! 256-bit integers: only what rows need, which is to be kept, compared and printed exactly.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

/// An unsigned 256-bit integer, big-endian as in the EVM. Prints and serialises as a decimal string.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct U256(pub [u8; 32]);

/// The greatest power of ten in 64 bits: digits are taken off 19 at a time.
const TEN_19: u128 = 10_000_000_000_000_000_000;

impl U256 {
    /// Nothing.
    pub const ZERO: U256 = U256([0; 32]);

    /// The value, where it fits 128 bits.
    pub fn to_u128(self) -> Option<u128> {
        let (high, low) = self.0.split_at(16);
        if high.iter().any(|b| *b != 0) {
            return None;
        }
        low.try_into().ok().map(u128::from_be_bytes)
    }

    /// Four limbs, most significant first.
    fn limbs(self) -> [u64; 4] {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(self.0.chunks_exact(8)) {
            *limb = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        limbs
    }

    fn from_limbs(limbs: [u64; 4]) -> U256 {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(limbs) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        U256(bytes)
    }

    /// `self - other` modulo 2^256.
    fn wrapping_sub(self, other: U256) -> U256 {
        let (a, b) = (self.limbs(), other.limbs());
        let mut limbs = [0; 4];
        let mut borrow = false;
        for at in (0..4).rev() {
            let (difference, under) = a[at].overflowing_sub(b[at]);
            let (difference, under_too) = difference.overflowing_sub(u64::from(borrow));
            limbs[at] = difference;
            borrow = under || under_too;
        }
        U256::from_limbs(limbs)
    }
}

impl From<u64> for U256 {
    fn from(value: u64) -> U256 {
        U256::from(u128::from(value))
    }
}

impl From<u128> for U256 {
    fn from(value: u128) -> U256 {
        let mut bytes = [0; 32];
        bytes[16..].copy_from_slice(&value.to_be_bytes());
        U256(bytes)
    }
}

impl fmt::Display for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        let mut groups = Vec::with_capacity(5);
        while limbs.iter().any(|limb| *limb != 0) {
            let mut rest: u128 = 0;
            for limb in &mut limbs {
                let value = rest << 64 | u128::from(*limb);
                // The quotient fits 64 bits, because `rest` is below the divisor.
                *limb = (value / TEN_19) as u64;
                rest = value % TEN_19;
            }
            groups.push(rest);
        }
        let Some(first) = groups.pop() else { return f.write_str("0") };
        write!(f, "{first}")?;
        groups.iter().rev().try_for_each(|group| write!(f, "{group:019}"))
    }
}

impl fmt::Debug for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for U256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A signed amount as sign and magnitude, which holds every int256 and every difference of two uint256. Prints and
/// serialises as a decimal string.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SignedAmount {
    /// Below zero; never set with a magnitude of zero.
    pub negative: bool,
    /// Absolute value.
    pub magnitude: U256,
}

impl SignedAmount {
    /// An `int256` of the ABI (two's complement).
    pub fn from_int256(word: [u8; 32]) -> SignedAmount {
        let value = U256(word);
        if word[0] & 0x80 == 0 {
            return SignedAmount { negative: false, magnitude: value };
        }
        SignedAmount { negative: true, magnitude: U256::ZERO.wrapping_sub(value) }
    }

    /// `plus - minus`, exactly.
    pub fn difference(plus: U256, minus: U256) -> SignedAmount {
        if plus >= minus {
            SignedAmount { negative: false, magnitude: plus.wrapping_sub(minus) }
        } else {
            SignedAmount { negative: true, magnitude: minus.wrapping_sub(plus) }
        }
    }
}

impl fmt::Display for SignedAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        fmt::Display::fmt(&self.magnitude, f)
    }
}

impl fmt::Debug for SignedAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for SignedAmount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_edges_print_exactly() {
        assert_eq!(U256::ZERO.to_string(), "0");
        assert_eq!(
            U256([0xff; 32]).to_string(),
            "115792089237316195423570985008687907853269984665640564039457584007913129639935"
        );
        // 10^19 and 10^38: the zeros inside a group and between groups.
        assert_eq!(U256::from(TEN_19).to_string(), "10000000000000000000");
        assert_eq!(U256::from(TEN_19 * TEN_19).to_string(), "1".to_owned() + &"0".repeat(38));
        let mut least = [0; 32];
        least[0] = 0x80;
        assert_eq!(
            SignedAmount::from_int256(least).to_string(),
            "-57896044618658097711785492504343953926634992332820282019728792003956564819968"
        );
        assert_eq!(SignedAmount::from_int256([0xff; 32]).to_string(), "-1");
        assert_eq!(
            SignedAmount::difference(U256::ZERO, U256([0xff; 32])).to_string(),
            format!("-{}", U256([0xff; 32]))
        );
    }

    proptest! {
        #[test]
        fn as_128_bit_arithmetic_has_it(a: u128, b: u128) {
            prop_assert_eq!(U256::from(a).to_string(), a.to_string());
            prop_assert_eq!(U256::from(a).to_u128(), Some(a));
            let difference = SignedAmount::difference(U256::from(a), U256::from(b));
            prop_assert_eq!(difference.magnitude, U256::from(a.abs_diff(b)));
            prop_assert_eq!(difference.negative, a < b);
        }

        /// Decimal digits, added up again modulo 2^64 limb by limb, are the number they came from.
        #[test]
        fn digits_rebuild_the_number(bytes: [u8; 32]) {
            let mut limbs = [0u64; 4];
            for digit in U256(bytes).to_string().bytes() {
                let mut carry = u128::from(digit - b'0');
                for limb in limbs.iter_mut().rev() {
                    let value = u128::from(*limb) * 10 + carry;
                    *limb = value as u64;
                    carry = value >> 64;
                }
            }
            prop_assert_eq!(U256::from_limbs(limbs), U256(bytes));
        }

        #[test]
        fn int256_is_twos_complement(value: i128) {
            let mut word = [if value < 0 { 0xff } else { 0 }; 32];
            word[16..].copy_from_slice(&value.to_be_bytes());
            prop_assert_eq!(SignedAmount::from_int256(word).to_string(), value.to_string());
        }
    }
}
