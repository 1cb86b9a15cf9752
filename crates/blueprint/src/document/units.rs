//! Quantities with their units: exact, and printed in one way.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::text::{Definitions, Node, Out, Problems, Scalar, Shape, read_scalar, scalar};

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Size(pub u64);

/// Length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Period(pub u64);

/// Bits in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Rate(pub u64);

/// Thousandths of a processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Processors(pub u32);

/// Most processors that one application is given: no machine has more.
const PROCESSORS_MAX: u32 = 4096;

/// Units of a size, largest first; of two that divide a size the binary one is printed.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];
const PERIODS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const RATES: [(&str, u64); 4] = [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1_000), ("bit/s", 1)];

/// Error of parsing a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No unit behind the number.
    #[error("`{text}` lacks its unit; write for example `{text} {example}`")]
    NoUnit {
        /// The text.
        text: String,
        /// A unit that would do.
        example: &'static str,
    },
    /// A unit that is not known.
    #[error("`{text}` has the unit `{unit}`, but one of {known} is expected")]
    Unit {
        /// The text.
        text: String,
        /// The unknown unit.
        unit: String,
        /// Units that are known.
        known: String,
    },
    /// No number before the unit.
    #[error("`{0}` does not begin with a number such as 5 or 1.5")]
    Number(String),
    /// More decimal places than the unit has.
    #[error("`{0}` is finer than the smallest unit")]
    TooFine(String),
    /// Beyond what can be held.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Digits before and behind the decimal point as one number, with how many are behind it.
fn decimal(number: &str) -> Option<(u128, u32)> {
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) if !part.is_empty() => (whole, part),
        Some(_) => return None,
        None => (number, ""),
    };
    // Twenty digits hold every number of 64 bits; twelve places every size in TB.
    let digits = |text: &str, max: usize| text.len() <= max && text.bytes().all(|b| b.is_ascii_digit());
    let places = u32::try_from(part.len()).ok()?;
    (!whole.is_empty() && digits(whole, 20) && digits(part, 12))
        .then(|| format!("{whole}{part}").parse().ok().map(|mantissa| (mantissa, places)))?
}

fn quantity(text: &str, units: &[(&'static str, u64)], example: &'static str) -> Result<u64, QuantityError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start_matches(' '));
    let (mantissa, places) = decimal(number).ok_or_else(|| QuantityError::Number(text.to_string()))?;
    if unit.is_empty() {
        return Err(QuantityError::NoUnit { text: text.to_string(), example });
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        return Err(QuantityError::Unit { text: text.to_string(), unit: unit.to_string(), known: known.join(", ") });
    };
    let scaled = mantissa.checked_mul(u128::from(*factor)).ok_or_else(|| QuantityError::TooLarge(text.to_string()))?;
    let divisor = 10u128.pow(places);
    if scaled % divisor != 0 {
        return Err(QuantityError::TooFine(text.to_string()));
    }
    u64::try_from(scaled / divisor).map_err(|_| QuantityError::TooLarge(text.to_string()))
}

fn print(value: u64, units: &[(&'static str, u64)], blank: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = units.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
    // Nothing of something is printed in the unit that a person expects: the last one is always there.
    let (unit, factor) = fits.or(units.last()).copied().unwrap_or(("", 1));
    write!(f, "{}{blank}{unit}", value / factor)
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Size, QuantityError> {
        quantity(text, &SIZES, "MiB").map(Size)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, &SIZES, " ", f)
    }
}

impl Size {
    /// The size for people: at most one decimal place, in binary units, rounded down.
    pub fn human(self) -> String {
        let (unit, factor) = SIZES[..4].iter().copied().find(|(_, factor)| self.0 >= *factor).unwrap_or(("B", 1));
        let tenths = u128::from(self.0) * 10 / u128::from(factor);
        match tenths % 10 {
            0 => format!("{} {unit}", tenths / 10),
            part => format!("{}.{part} {unit}", tenths / 10),
        }
    }
}

impl FromStr for Period {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Period, QuantityError> {
        quantity(text, &PERIODS, "s").map(Period)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, &PERIODS, "", f)
    }
}

impl FromStr for Rate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Rate, QuantityError> {
        let short = text.strip_suffix("/s").unwrap_or(text);
        match short.ends_with("bit") {
            true => quantity(&format!("{short}/s"), &RATES, "Mbit/s").map(Rate),
            false => quantity(text, &RATES, "Mbit/s").map(Rate),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, &RATES, " ", f)
    }
}

impl FromStr for Processors {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Processors, QuantityError> {
        let (mantissa, places) = decimal(text).ok_or_else(|| QuantityError::Number(text.to_string()))?;
        let scaled = mantissa * 1000;
        let divisor = 10u128.pow(places);
        if scaled % divisor != 0 {
            return Err(QuantityError::TooFine(text.to_string()));
        }
        match u32::try_from(scaled / divisor) {
            Ok(thousandths) if thousandths <= PROCESSORS_MAX * 1000 => Ok(Processors(thousandths)),
            _ => Err(QuantityError::TooLarge(text.to_string())),
        }
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1000 {
            0 => write!(f, "{}", self.0 / 1000),
            part => write!(f, "{}.{}", self.0 / 1000, format!("{part:03}").trim_end_matches('0')),
        }
    }
}

scalar! {
    Size: "a size with its unit, as 512 MiB", "^[0-9]+(\\.[0-9]+)? *(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$";
    Period: "a length of time with its unit, as 30s", "^[0-9]+(\\.[0-9]+)? *(ms|s|m|h|d)$";
    Rate: "a rate with its unit, as 100 Mbit/s", "^[0-9]+(\\.[0-9]+)? *[kMG]?bit(/s)?$";
}

impl Scalar for Processors {
    const EXPECTED: &'static str = "processors with at most three decimal places, as 0.5";
    const PATTERN: &'static str = "^[0-9]+(\\.[0-9]{1,3})?$";
}

impl Shape for Processors {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        read_scalar(node, problems)
    }
    fn write(&self) -> Out {
        Out::Decimal(self.to_string())
    }
    fn schema(_: &mut Definitions) -> Out {
        Out::map([
            ("type", Out::text("number")),
            ("minimum", Out::Number(0)),
            ("maximum", Out::Number(u64::from(PROCESSORS_MAX))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_and_print_in_one_way() {
        for (text, bytes, printed) in [
            ("5GiB", 5 << 30, "5 GiB"),
            ("1.5 GiB", 3 << 29, "1536 MiB"),
            ("1024 KiB", 1 << 20, "1 MiB"),
            ("500 MB", 500_000_000, "500 MB"),
            ("0 MiB", 0, "0 B"),
            ("16777215.999999999999 TB", 16_777_215_999_999_999_999, "16777215999999999999 B"),
        ] {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes), "{text}");
            assert_eq!(Size(bytes).to_string(), printed);
            assert_eq!(printed.parse::<Size>().unwrap(), Size(bytes));
        }
        assert_eq!("90s".parse::<Period>().unwrap().to_string(), "90s");
        assert_eq!("1.5m".parse::<Period>().unwrap().to_string(), "90s");
        assert_eq!("48h".parse::<Period>().unwrap().to_string(), "2d");
        assert_eq!("100Mbit".parse::<Rate>().unwrap().to_string(), "100 Mbit/s");
        assert_eq!("8 bit/s".parse::<Rate>().unwrap(), Rate(8));
        assert_eq!("0.25".parse::<Processors>().unwrap().to_string(), "0.25");
        assert_eq!("2.000".parse::<Processors>().unwrap().to_string(), "2");
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_a_reason() {
        let size = |text: &str| text.parse::<Size>().unwrap_err().to_string();
        assert_eq!(size("512"), "`512` lacks its unit; write for example `512 MiB`");
        assert_eq!(
            size("512 mb"),
            "`512 mb` has the unit `mb`, but one of TiB, GiB, MiB, KiB, TB, GB, MB, kB, B is expected"
        );
        assert_eq!(size("MiB"), "`MiB` does not begin with a number such as 5 or 1.5");
        assert_eq!(size("0.5 B"), "`0.5 B` is finer than the smallest unit");
        assert_eq!(size("99999999999999999999 TiB"), "`99999999999999999999 TiB` is too large");
        for text in ["", "-1 B", "1. GiB", ".5 GiB", "1e3 B", "5 GiB ", "1..5 GiB", "５ GiB", "1\u{a0}GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
        assert!("0.0005".parse::<Processors>().is_err());
        assert!("5000".parse::<Processors>().is_err());
        assert!("10 Gbits".parse::<Rate>().is_err());
        assert_eq!(Size(1_610_612_736).human(), "1.5 GiB");
    }
}
