//! Symbols: `<base>.<quote>`, and what kind of contract is traded.

use std::fmt;
use std::io::{Error, ErrorKind, Read};
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

/// Longest text of one part of a symbol that is accepted, in bytes.
const PART_BYTES_MAX: usize = 24;

/// Kind of instrument that a symbol names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Contract {
    /// The asset itself: `BTC.USDT`.
    Spot,
    /// A perpetual future: `BTC.USDT-PERP`.
    Perpetual,
    /// A future with a date of expiry, `yymmdd`: `BTC.USD-220527`.
    Future {
        /// `yymmdd`.
        expiry: u32,
    },
    /// An option: `BTC.USD-220514-22000-C`.
    Option {
        /// `yymmdd`.
        expiry: u32,
        /// Strike price as written, no zeros at the end.
        strike: String,
        /// Call, or else put.
        call: bool,
    },
}

/// The product's own name of an instrument, the same at every venue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Symbol {
    /// Base asset, upper case.
    pub base: String,
    /// Quote asset, upper case.
    pub quote: String,
    /// Kind of instrument.
    pub contract: Contract,
}

impl BorshDeserialize for Symbol {
    /// Refuses what is not the symbol that it is shown as: two streams must not go under one name, and names stand in paths.
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Symbol> {
        let (base, quote, contract) = <(String, String, Contract)>::deserialize_reader(reader)?;
        let symbol = Symbol { base, quote, contract };
        match symbol.to_string().parse() {
            Ok(shown) if symbol == shown => Ok(symbol),
            _ => Err(Error::new(ErrorKind::InvalidData, "not a symbol")),
        }
    }
}

/// Error of parsing a symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a symbol: <base>.<quote>, <base>.<quote>-PERP, -yymmdd or -yymmdd-<strike>-C is expected, as in BTC.USDT or BTC.USDT-PERP"
)]
pub struct SymbolError(String);

impl Symbol {
    /// A spot pair; the parts are made upper case.
    pub fn spot(base: &str, quote: &str) -> Symbol {
        Symbol::of(base, quote, Contract::Spot)
    }

    /// A perpetual; the parts are made upper case.
    pub fn perpetual(base: &str, quote: &str) -> Symbol {
        Symbol::of(base, quote, Contract::Perpetual)
    }

    /// Any contract; the parts are made upper case.
    pub fn of(base: &str, quote: &str, contract: Contract) -> Symbol {
        Symbol { base: base.to_ascii_uppercase(), quote: quote.to_ascii_uppercase(), contract }
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.base, self.quote)?;
        match &self.contract {
            Contract::Spot => Ok(()),
            Contract::Perpetual => f.write_str("-PERP"),
            Contract::Future { expiry } => write!(f, "-{expiry:06}"),
            Contract::Option { expiry, strike, call } => {
                write!(f, "-{expiry:06}-{strike}-{}", if *call { "C" } else { "P" })
            }
        }
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;
    fn from_str(text: &str) -> Result<Symbol, SymbolError> {
        let refuse = || SymbolError(text.chars().take(80).collect());
        let (base, rest) = text.split_once('.').ok_or_else(refuse)?;
        let mut parts = rest.split('-');
        let quote = parts.next().ok_or_else(refuse)?;
        let asset = |s: &str| {
            !s.is_empty() && s.len() <= PART_BYTES_MAX && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !asset(base) || !asset(quote) {
            return Err(refuse());
        }
        let date = |s: &str| {
            (s.len() == 6 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse().ok()).flatten().ok_or_else(refuse)
        };
        let contract = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (None, ..) => Contract::Spot,
            (Some("PERP"), None, ..) => Contract::Perpetual,
            (Some(expiry), None, ..) => Contract::Future { expiry: date(expiry)? },
            (Some(expiry), Some(strike), Some(kind @ ("C" | "P")), None)
                if strike.bytes().all(|b| b.is_ascii_digit() || b == b'.')
                    && !strike.is_empty()
                    && strike.len() <= PART_BYTES_MAX =>
            {
                Contract::Option { expiry: date(expiry)?, strike: strike.to_string(), call: kind == "C" }
            }
            _ => return Err(refuse()),
        };
        Ok(Symbol::of(base, quote, contract))
    }
}

impl serde::Serialize for Symbol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Symbol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Symbol, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the fuzzer: bytes made symbols that no text makes, and two of them were shown alike.
    #[test]
    fn bytes_are_held_to_the_same_form() {
        use crate::canonical;
        let sound: Symbol = "BTC.USD-220514-22000-C".parse().unwrap();
        assert_eq!(canonical::decode::<Symbol>(&canonical::encode(&sound)).unwrap(), sound);
        let of = |base: &str, quote: &str| Symbol { base: base.into(), quote: quote.into(), contract: Contract::Spot };
        for symbol in [of("btc", "USD"), of("BTC", "USD-PERP"), of("../x", "USD"), of("", "USD"), of("A.B", "USD")] {
            assert!(canonical::decode::<Symbol>(&canonical::encode(&symbol)).is_err(), "{symbol}");
        }
    }

    #[test]
    fn both_ways() {
        for text in ["BTC.USDT", "BTC.USDT-PERP", "BTC.USD-220527", "BTC.USD-220514-22000-C", "1000PEPE.USDT-PERP"] {
            assert_eq!(text.parse::<Symbol>().unwrap().to_string(), text);
        }
        assert_eq!("btc.usdt".parse::<Symbol>().unwrap().to_string(), "BTC.USDT");
        for text in [
            "",
            "BTC",
            "BTC.",
            ".USD",
            "BTC.USD-",
            "BTC.USD-PERP-1",
            "../etc.passwd",
            "BTC.USD-22052",
            "A.B-220514-1-X",
        ] {
            assert!(text.parse::<Symbol>().is_err(), "{text}");
        }
    }
}
