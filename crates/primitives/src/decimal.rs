//! Exact decimal numbers, as venues write them.
//!
//! A price or size is never a float on the way through the product. The scale the venue wrote is kept ("1.50" stays
//! "1.50") because checksums such as Kraken's run over the text; comparison and hashing go by value.

use std::cmp::Ordering;
use std::fmt;
use std::io::{Error, ErrorKind, Read};
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

/// Largest number of digits after the point that is accepted; no venue writes more than 18 today.
pub const SCALE_MAX: u8 = 36;

/// An exact decimal: `mantissa / 10^scale`.
#[derive(Clone, Copy, Default, BorshSerialize)]
pub struct Decimal {
    mantissa: i128,
    scale: u8,
}

impl BorshDeserialize for Decimal {
    /// Refuses more than [`SCALE_MAX`] places: whoever prints or compares such a number relies on the limit.
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Decimal> {
        let (mantissa, scale) = <(i128, u8)>::deserialize_reader(reader)?;
        if scale > SCALE_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "a decimal of more places than are allowed"));
        }
        Ok(Decimal { mantissa, scale })
    }
}

/// Error of parsing a decimal, or of calculating with one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Something other than an optional sign, digits, one point and an exponent.
    #[error("not a decimal number")]
    Syntax,
    /// More digits than 128 bits or [`SCALE_MAX`] places hold.
    #[error("more digits than an exact decimal holds")]
    Range,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Decimal = Decimal { mantissa: 0, scale: 0 };

    /// `mantissa / 10^scale`.
    #[inline]
    pub const fn new(mantissa: i128, scale: u8) -> Decimal {
        Decimal { mantissa, scale }
    }

    /// The integer above the power of ten.
    #[inline]
    pub const fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// Digits after the point, as written.
    #[inline]
    pub const fn scale(self) -> u8 {
        self.scale
    }

    /// True for 0, 0.0, -0 and so on.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Parses plain (`12.30`) and scientific (`1e-8`, as JSON numbers may be written) notation.
    pub fn parse(text: &[u8]) -> Result<Decimal, DecimalError> {
        let (negative, digits) = match text.first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let mut mantissa: u64 = 0;
        let mut wide: i128 = 0;
        let mut count = 0usize;
        let mut scale: i32 = 0;
        let mut point = false;
        let mut exponent: i32 = 0;
        for (at, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    let digit = byte - b'0';
                    count += 1;
                    // Eighteen digits fit in 64 bits, where arithmetic is several times cheaper.
                    if count <= 18 {
                        mantissa = mantissa * 10 + u64::from(digit);
                    } else {
                        // With its sign, because one negative number has no positive that 128 bits hold.
                        if count == 19 {
                            wide = if negative { -i128::from(mantissa) } else { i128::from(mantissa) };
                        }
                        let digit = if negative { -i128::from(digit) } else { i128::from(digit) };
                        wide = wide.checked_mul(10).and_then(|w| w.checked_add(digit)).ok_or(DecimalError::Range)?;
                    }
                    scale += i32::from(point);
                }
                b'.' if !point => point = true,
                b'e' | b'E' if count > 0 => {
                    exponent = parse_exponent(&digits[at + 1..])?;
                    break;
                }
                _ => return Err(DecimalError::Syntax),
            }
        }
        if count == 0 {
            return Err(DecimalError::Syntax);
        }
        let mut value = match (count > 18, negative) {
            (true, _) => wide,
            (false, true) => -i128::from(mantissa),
            (false, false) => i128::from(mantissa),
        };
        scale -= exponent;
        while scale < 0 {
            value = value.checked_mul(10).ok_or(DecimalError::Range)?;
            scale += 1;
        }
        let scale = u8::try_from(scale).ok().filter(|s| *s <= SCALE_MAX).ok_or(DecimalError::Range)?;
        Ok(Decimal { mantissa: value, scale })
    }

    /// The same value with no zeros at the end: the only form that goes into canonical bytes.
    #[must_use]
    pub fn normalized(self) -> Decimal {
        let Decimal { mut mantissa, mut scale } = self;
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Decimal { mantissa, scale }
    }

    /// The mantissa at another scale, where no digit is lost.
    pub fn mantissa_at(self, scale: u8) -> Option<i128> {
        if scale >= self.scale {
            pow10(scale - self.scale).and_then(|p| self.mantissa.checked_mul(p))
        } else {
            let power = pow10(self.scale - scale)?;
            (self.mantissa % power == 0).then(|| self.mantissa / power)
        }
    }

    /// Sum; `None` where 128 bits do not hold it.
    pub fn checked_add(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        let sum = self.mantissa_at(scale)?.checked_add(other.mantissa_at(scale)?)?;
        Some(Decimal { mantissa: sum, scale })
    }

    /// Difference; `None` where 128 bits do not hold it.
    pub fn checked_sub(self, other: Decimal) -> Option<Decimal> {
        self.checked_add(Decimal { mantissa: other.mantissa.checked_neg()?, scale: other.scale })
    }

    /// Product, exact; `None` where 128 bits or [`SCALE_MAX`] places do not hold it.
    pub fn checked_mul(self, other: Decimal) -> Option<Decimal> {
        let (a, b) = (self.normalized(), other.normalized());
        let scale = a.scale.checked_add(b.scale).filter(|s| *s <= SCALE_MAX)?;
        Some(Decimal { mantissa: a.mantissa.checked_mul(b.mantissa)?, scale })
    }
}

fn parse_exponent(text: &[u8]) -> Result<i32, DecimalError> {
    let text = std::str::from_utf8(text).map_err(|_| DecimalError::Syntax)?;
    let value: i32 = text.parse().map_err(|_| DecimalError::Syntax)?;
    if value.unsigned_abs() > 64 { Err(DecimalError::Range) } else { Ok(value) }
}

fn pow10(exponent: u8) -> Option<i128> {
    10i128.checked_pow(u32::from(exponent))
}

impl Ord for Decimal {
    #[inline]
    fn cmp(&self, other: &Decimal) -> Ordering {
        if self.scale == other.scale {
            return self.mantissa.cmp(&other.mantissa);
        }
        let scale = self.scale.max(other.scale);
        match (self.mantissa_at(scale), other.mantissa_at(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // At least one side does not fit the common scale: compare whole parts, then what is left of each.
            _ => compare_parts(*self, *other),
        }
    }
}

fn compare_parts(a: Decimal, b: Decimal) -> Ordering {
    let split = |d: Decimal| {
        let power = pow10(d.scale).unwrap_or(i128::MAX);
        (d.mantissa.div_euclid(power), d.mantissa.rem_euclid(power), d.scale)
    };
    let ((aw, af, asc), (bw, bf, bsc)) = (split(a), split(b));
    aw.cmp(&bw).then_with(|| {
        let scale = asc.max(bsc);
        // A fraction is below 10^36, so it fits at any scale up to SCALE_MAX.
        let at = |f: i128, s: u8| f * pow10(scale - s).unwrap_or(1);
        at(af, asc).cmp(&at(bf, bsc))
    })
}

impl PartialOrd for Decimal {
    #[inline]
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    #[inline]
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl std::hash::Hash for Decimal {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let n = self.normalized();
        n.mantissa.hash(state);
        n.scale.hash(state);
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal { mantissa: i128::from(value), scale: 0 }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Decimal, DecimalError> {
        Decimal::parse(text.as_bytes())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [b'0'; 48];
        let mut at = buffer.len();
        let mut rest = self.mantissa.unsigned_abs();
        let mut places = 0u8;
        loop {
            if places == self.scale && self.scale > 0 {
                at -= 1;
                buffer[at] = b'.';
            }
            at -= 1;
            buffer[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            places += 1;
            if rest == 0 && places > self.scale {
                break;
            }
        }
        let digits = std::str::from_utf8(&buffer[at..]).map_err(|_| fmt::Error)?;
        if self.mantissa < 0 {
            f.write_str("-")?;
        }
        f.write_str(digits)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Decimal {
    /// From a string only: a JSON number would pass through a float on its way here.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number in a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Decimal, E> {
                Decimal::parse(text.as_bytes()).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn d(text: &str) -> Decimal {
        text.parse().expect(text)
    }

    #[test]
    fn keeps_the_text_the_venue_wrote() {
        for text in ["0", "0.00000000", "1.50", "-3.25", "0.042970", "123456789012345678901234.5", "100"] {
            assert_eq!(d(text).to_string(), text);
        }
        assert_eq!(d("1e-8").to_string(), "0.00000001");
        assert_eq!(d("2.5E3").to_string(), "2500");
        assert_eq!(d(".5").to_string(), "0.5");
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", "-", ".", "1.2.3", "1e", "abc", "1 ", "0x10", "NaN", "1e999", "1e-2147483648"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        assert_eq!("9".repeat(60).parse::<Decimal>(), Err(DecimalError::Range));
    }

    /// Found by the fuzzer: such a number broke whoever printed it.
    #[test]
    fn bytes_of_too_many_places_are_refused() {
        let of = |scale: u8| crate::canonical::encode(&(5i128, scale));
        assert_eq!(crate::canonical::decode::<Decimal>(&of(SCALE_MAX)).unwrap(), Decimal::new(5, SCALE_MAX));
        for scale in [SCALE_MAX + 1, 48, u8::MAX] {
            assert!(crate::canonical::decode::<Decimal>(&of(scale)).is_err(), "{scale}");
        }
    }

    /// Found by reading for the fuzzer: the least number was printed and then refused.
    #[test]
    fn the_ends_of_the_range_are_read_as_printed() {
        for mantissa in [i128::MIN, i128::MIN + 1, -1, i128::MAX] {
            for scale in [0, 7, SCALE_MAX] {
                let again = d(&Decimal::new(mantissa, scale).to_string());
                assert_eq!((again.mantissa(), again.scale()), (mantissa, scale));
            }
        }
        assert_eq!("-170141183460469231731687303715884105729".parse::<Decimal>(), Err(DecimalError::Range));
        assert_eq!("170141183460469231731687303715884105728".parse::<Decimal>(), Err(DecimalError::Range));
    }

    #[test]
    fn value_decides_equality() {
        assert_eq!(d("1.50"), d("1.5"));
        assert!(d("-0.1") < d("0"));
        assert!(d("170141183460469231731687303715884105727") > d("0.000000000000000000000000000000000001"));
    }

    proptest! {
        #[test]
        fn text_round_trip(mantissa in any::<i64>(), scale in 0u8..20) {
            let value = Decimal::new(i128::from(mantissa), scale);
            let again: Decimal = value.to_string().parse().unwrap();
            prop_assert_eq!(again.mantissa(), value.mantissa());
            prop_assert_eq!(again.scale(), value.scale());
            prop_assert_eq!(value.normalized(), value);
        }

        #[test]
        fn order_agrees_with_common_scale(a in any::<i32>(), b in any::<i32>(), s in 0u8..9, t in 0u8..9) {
            let (x, y) = (Decimal::new(i128::from(a), s), Decimal::new(i128::from(b), t));
            let (xw, yw) = (i128::from(a) * 10i128.pow(u32::from(t)), i128::from(b) * 10i128.pow(u32::from(s)));
            prop_assert_eq!(x.cmp(&y), xw.cmp(&yw));
        }
    }
}
