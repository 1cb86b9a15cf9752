//! Signed integers of 512 bits, schoolbook: the oracle for the arithmetic of decimals.

use std::cmp::Ordering;

const LIMBS: usize = 16;

/// Sign and magnitude; zero is never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wide {
    negative: bool,
    /// Least significant first, 32 bits each.
    limbs: [u32; LIMBS],
}

impl Wide {
    fn of(negative: bool, limbs: [u32; LIMBS]) -> Wide {
        Wide { negative: negative && limbs.iter().any(|l| *l != 0), limbs }
    }

    /// `self * other`.
    pub fn times(self, other: Wide) -> Wide {
        let mut limbs = [0u32; LIMBS];
        for (at, a) in self.limbs.iter().enumerate().filter(|(_, a)| **a != 0) {
            let mut carry = 0u64;
            for (over, b) in other.limbs.iter().enumerate() {
                let sum = u64::from(*a) * u64::from(*b) + carry;
                match limbs.get_mut(at + over) {
                    Some(limb) => {
                        let sum = sum + u64::from(*limb);
                        *limb = sum as u32;
                        carry = sum >> 32;
                    }
                    None => assert_eq!(sum, 0, "the oracle's own integers are too narrow"),
                }
            }
        }
        Wide::of(self.negative != other.negative, limbs)
    }

    /// `self * 10^exponent`.
    pub fn shifted(self, exponent: u8) -> Wide {
        (0..exponent).fold(self, |value, _| value.times(Wide::from(10)))
    }

    fn magnitude(&self, other: &Wide) -> Ordering {
        self.limbs.iter().rev().cmp(other.limbs.iter().rev())
    }

    /// `self + other`.
    pub fn plus(self, other: Wide) -> Wide {
        let mut limbs = [0u32; LIMBS];
        if self.negative == other.negative {
            let mut carry = 0u64;
            for (limb, (a, b)) in limbs.iter_mut().zip(self.limbs.iter().zip(&other.limbs)) {
                let sum = u64::from(*a) + u64::from(*b) + carry;
                *limb = sum as u32;
                carry = sum >> 32;
            }
            return Wide::of(self.negative, limbs);
        }
        let (large, small) = if self.magnitude(&other).is_ge() { (self, other) } else { (other, self) };
        let mut borrow = 0i64;
        for (limb, (a, b)) in limbs.iter_mut().zip(large.limbs.iter().zip(&small.limbs)) {
            let difference = i64::from(*a) - i64::from(*b) - borrow;
            borrow = i64::from(difference < 0);
            *limb = difference as u32;
        }
        Wide::of(large.negative, limbs)
    }

    /// `-self`.
    pub fn negated(self) -> Wide {
        Wide::of(!self.negative, self.limbs)
    }

    /// Returns true when 128 bits with a sign hold it.
    pub fn fits_i128(self) -> bool {
        self.compare(Wide::from(i128::MAX)).is_le() && self.compare(Wide::from(i128::MIN)).is_ge()
    }

    /// The order of values.
    pub fn compare(self, other: Wide) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude(&other),
            (true, true) => other.magnitude(&self),
        }
    }
}

impl From<i128> for Wide {
    fn from(value: i128) -> Wide {
        let mut limbs = [0; LIMBS];
        let magnitude = value.unsigned_abs();
        for (at, limb) in limbs.iter_mut().take(4).enumerate() {
            *limb = (magnitude >> (32 * at)) as u32;
        }
        Wide::of(value < 0, limbs)
    }
}
