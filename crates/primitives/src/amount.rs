//! Amounts of OPEN in its smallest unit.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Decimal;

/// OPEN has 18 decimals, as most ERC-20 tokens.
pub const OPEN_DECIMALS: u8 = 18;

/// An amount in units of 10^-18 OPEN. The cap of 10^9 OPEN is 10^27 units, far below 2^128.
/// Serialises as an integer in a string, because JSON numbers end at 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Amount(pub u128);

/// Error of parsing an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount: a whole number of the smallest unit (10^-18 OPEN) is expected")]
pub struct AmountError;

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// Whole OPEN.
    pub const fn open(whole: u64) -> Amount {
        Amount(whole as u128 * 1_000_000_000_000_000_000)
    }

    /// Sum; `None` on overflow.
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).map(Amount)
    }

    /// Difference; `None` below zero.
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// In OPEN, for people: `1.5`. An amount beyond half of 128 bits, which no account can hold, is shown as that half.
    pub fn to_open(self) -> Decimal {
        Decimal::new(i128::try_from(self.0).unwrap_or(i128::MAX), OPEN_DECIMALS).normalized()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Amount, AmountError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AmountError);
        }
        text.parse().map(Amount).map_err(|_| AmountError)
    }
}

impl serde::Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
