//! Prices of a machine's operator: of an hour of what applications are given of it.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::text::{record, scalar};

/// Places of a price behind the point.
const PLACES: usize = 9;
/// Digits of a price before the point.
const DIGITS_MAX: usize = 9;
/// A unit of the currency, in billionths.
const UNIT: u64 = 1_000_000_000;

/// Price of an hour, in billionths of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Price(pub u64);

/// Word for a currency or another unit of account, such as `EUR`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Currency(String);

/// Error of parsing a price or a currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Not a decimal number.
    #[error(
        "is `{0}`, but a price such as 0.012 is expected: at most nine digits before the point, and nine behind it"
    )]
    Price(String),
    /// Not the word of a currency.
    #[error("is `{0}`, but the word of a currency is expected, as EUR: three to eight capital letters")]
    Currency(String),
}

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Price, PriceError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str, max: usize| {
            (1..=max).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit())
        };
        let read = || -> Option<u64> {
            let digits = format!("{whole}{part:0<PLACES$}");
            (is_digits(whole, DIGITS_MAX) && is_digits(part, PLACES)).then(|| digits.parse().ok())?
        };
        read().map(Price).ok_or_else(|| PriceError::Price(text.to_string()))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % UNIT {
            0 => write!(f, "{}", self.0 / UNIT),
            part => write!(f, "{}.{}", self.0 / UNIT, format!("{part:09}").trim_end_matches('0')),
        }
    }
}

impl Currency {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Currency {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Currency, PriceError> {
        let is_word = (3..=8).contains(&text.len()) && text.bytes().all(|sign| sign.is_ascii_uppercase());
        if is_word { Ok(Currency(text.to_string())) } else { Err(PriceError::Currency(text.to_string())) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

scalar! {
    Price: "a price of an hour, as 0.012", "^[0-9]{1,9}(\\.[0-9]{1,9})?$";
    Currency: "the word of a currency, as EUR", "^[A-Z]{3,8}$";
}

record! {
    /// Prices of an hour of what applications are given, by which their costs are shown. Nothing is paid.
    Prices {
        /// Currency or another unit of account.
        currency: Currency,
        /// A processor.
        processor: Price = Price(0),
        /// A GiB of memory.
        memory: Price = Price(0),
        /// A GiB of disk.
        disk: Price = Price(0),
        /// A GPU.
        gpu: Price = Price(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn prices_are_exact_and_print_in_one_way() {
        for (text, billionths, printed) in [
            ("0.012", 12_000_000, "0.012"),
            ("1", 1_000_000_000, "1"),
            ("1.0", 1_000_000_000, "1"),
            ("0.000000001", 1, "0.000000001"),
            ("999999999.999999999", 999_999_999_999_999_999, "999999999.999999999"),
            ("007.50", 7_500_000_000, "7.5"),
        ] {
            let price: Price = text.parse().unwrap();
            assert_eq!((price, price.to_string().as_str()), (Price(billionths), printed), "{text}");
            assert_eq!(printed.parse::<Price>().unwrap(), price);
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000000001", "1000000000", "1 ", "１"] {
            assert!(text.parse::<Price>().is_err(), "{text:?}");
        }
        for text in ["", "EU", "eur", "E R", "EURO-CENT", "€UR"] {
            assert!(text.parse::<Currency>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_document_may_name_prices() {
        let with = |prices: &str| {
            let text = format!("version: 1\nmachine: {{prices: {prices}}}\napplications: {{}}\n");
            Document::parse(&text).map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())
        };
        let document = with("{currency: EUR, processor: 0.01, memory: \"0.004\", disk: 0.0001}").unwrap();
        let prices = document.machine.prices.as_ref().unwrap();
        assert_eq!((prices.processor, prices.memory), (Price(10_000_000), Price(4_000_000)));
        assert_eq!((prices.disk, prices.gpu), (Price(100_000), Price(0)));
        assert_eq!(Document::parse(&document.to_yaml()).unwrap(), document);
        assert_eq!(Document::parse(&document.to_json()).unwrap(), document);
        assert_eq!(with("null").unwrap().machine.prices, None);
        for (wrong, words) in [
            ("{processor: 0.01}", "lacks `currency`"),
            ("{currency: eur}", "capital letters"),
            ("{currency: EUR, processor: -1}", "a price such as"),
            ("{currency: EUR, procesor: 1}", "did you mean `processor`"),
        ] {
            let problems = with(wrong).unwrap_err();
            assert!(problems.contains(words), "{wrong}: {problems}");
        }
    }
}
