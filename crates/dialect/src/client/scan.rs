//! Reading the messages that come most in one pass over their bytes.
//!
//! `serde_json` reads any JSON, which costs it several visits to each byte of a level. Venues write a message of one kind
//! always in the same way, without spaces and escapes; what is written so is read here, anything else answers `None` and
//! is left to `serde_json`, which also has the better words for what is wrong. Nothing is accepted here that it would
//! refuse, but for keys that stand twice and what lies in strings that nobody looks at.

use openmesh_market::event::Level;
use openmesh_primitives::{Decimal, Timestamp};

/// Digits of a number that surely fit in 64 bits.
const DIGITS_MAX: usize = 18;

/// Bytes that a level takes at least, `["1","1"]`: by which room is reserved.
const LEVEL_BYTES_MIN: usize = 32;

/// Levels for which room is reserved ahead at most.
const LEVELS_RESERVED_MAX: usize = 1_024;

/// A place in a message.
#[derive(Clone, Copy)]
pub(crate) struct Scan<'a> {
    /// Text that was not read yet.
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// At the beginning.
    pub(crate) fn new(text: &'a [u8]) -> Scan<'a> {
        Scan { rest: text }
    }

    /// The next byte.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Goes past a byte, if it is the next.
    #[inline]
    pub(crate) fn next_is(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Goes past a byte that has to be the next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then_some(())
    }

    /// Goes past bytes that have to be the next.
    #[inline]
    pub(crate) fn literal(&mut self, bytes: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(bytes)?;
        Some(())
    }

    /// True at the end.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// A string without escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The bytes of a string without escapes, which need not be text.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let length = self.rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        self.take(b'"')?;
        Some(bytes)
    }

    /// A whole number without sign, bare.
    #[inline]
    pub(crate) fn whole(&mut self) -> Option<u64> {
        let from = self.rest;
        let (value, length) = self.digits(0);
        ((1..=DIGITS_MAX).contains(&length) && (length == 1 || from.first() != Some(&b'0'))).then_some(value)
    }

    /// The text of a whole number without sign, bare.
    #[inline]
    pub(crate) fn digits_text(&mut self) -> Option<&'a str> {
        let from = self.rest;
        self.whole()?;
        std::str::from_utf8(from.get(..from.len() - self.rest.len())?).ok()
    }

    /// `true` or `false`.
    #[inline]
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        let (value, rest) = match self.rest.strip_prefix(b"true") {
            Some(rest) => (true, rest),
            None => (false, self.rest.strip_prefix(b"false")?),
        };
        self.rest = rest;
        Some(value)
    }

    /// Goes past a plain value: a string, a number or a boolean.
    #[inline]
    pub(crate) fn pass(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.bytes().map(|_| ()),
            b't' | b'f' => self.boolean().map(|_| ()),
            _ => self.decimal().map(|_| ()),
        }
    }

    /// A whole number without sign, in quotes.
    #[inline]
    pub(crate) fn quoted_whole(&mut self) -> Option<u64> {
        self.take(b'"')?;
        let (value, length) = self.digits(0);
        self.take(b'"')?;
        (1..=DIGITS_MAX).contains(&length).then_some(value)
    }

    /// A decimal, bare or in quotes.
    #[inline]
    pub(crate) fn decimal(&mut self) -> Option<Decimal> {
        let quoted = self.next_is(b'"');
        let negative = self.next_is(b'-');
        let from = self.rest;
        let (mut value, whole) = self.digits(0);
        let mut scale = 0;
        let mut count = whole;
        if self.next_is(b'.') {
            (value, scale) = self.digits(value);
            count += scale;
            if scale == 0 {
                return None;
            }
        }
        // A number that JSON does not know, as 01 or .5, is left to others, quoted or not.
        if whole == 0 || (whole > 1 && from.first() == Some(&b'0')) || count > DIGITS_MAX {
            return None;
        }
        if quoted {
            self.take(b'"')?;
        } else if !matches!(self.peek()?, b',' | b']' | b'}') {
            return None;
        }
        let mantissa = i128::from(value);
        Some(Decimal::new(if negative { -mantissa } else { mantissa }, scale as u8))
    }

    /// A time in decimal seconds, in quotes.
    #[inline]
    pub(crate) fn quoted_seconds(&mut self) -> Option<Timestamp> {
        self.take(b'"')?;
        let (seconds, whole) = self.digits(0);
        if !(1..=10).contains(&whole) {
            return None;
        }
        let mut nanos = 0;
        if self.next_is(b'.') {
            let (fraction, places) = self.digits(0);
            nanos = fraction;
            if !(1..=9).contains(&places) {
                return None;
            }
            nanos *= 10u64.pow(9 - places as u32);
        }
        self.take(b'"')?;
        // Ten digits of seconds can pass what 64 bits of nanoseconds hold.
        let seconds = i64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?;
        seconds.checked_add(nanos as i64).map(Timestamp)
    }

    /// Levels `[[price, size], ...]`; what follows the size of each is read by `rest`, up to its bracket.
    #[inline]
    pub(crate) fn levels(&mut self, mut rest: impl FnMut(&mut Scan<'a>) -> Option<()>) -> Option<Vec<Level>> {
        self.take(b'[')?;
        let mut levels = Vec::new();
        if self.next_is(b']') {
            return Some(levels);
        }
        loop {
            self.take(b'[')?;
            let price = self.decimal()?;
            self.take(b',')?;
            let size = self.decimal()?;
            rest(self)?;
            self.take(b']')?;
            if levels.len() == levels.capacity() {
                // Four for a change, which has a level or two; a whole book at once.
                let left = self.rest.len() / LEVEL_BYTES_MIN;
                levels.reserve(if levels.is_empty() { 4 } else { left.clamp(4, LEVELS_RESERVED_MAX) });
            }
            levels.push((price, size));
            if !self.next_is(b',') {
                break;
            }
        }
        self.take(b']')?;
        Some(levels)
    }

    /// Digits joined to those before, and how many there were.
    #[inline]
    fn digits(&mut self, before: u64) -> (u64, usize) {
        let mut value = before;
        let mut rest = self.rest;
        // Sizes and times have a run of eight or more.
        while let Some((eight, more)) = rest.split_first_chunk::<8>()
            && let Some(number) = eight_digits(*eight)
        {
            value = value.wrapping_mul(100_000_000).wrapping_add(number);
            rest = more;
        }
        while let Some((digit, more)) = rest.split_first().map(|(b, more)| (b.wrapping_sub(b'0'), more))
            && digit < 10
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            rest = more;
        }
        let count = self.rest.len() - rest.len();
        self.rest = rest;
        (value, count)
    }
}

/// The number that eight digits write, where they are eight digits: joined by twos, by fours, then all, in the lanes of
/// one word.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // A byte above 9 gets its highest bit set, or had it set.
    if (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let twos = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100) + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff)
}

/// Levels of a whole text; of each, what follows the size is not looked at.
pub(crate) fn levels(text: &str) -> Option<Vec<Level>> {
    let mut scan = Scan::new(text.as_bytes());
    let levels = scan.levels(|scan| {
        while scan.next_is(b',') {
            scan.pass()?;
        }
        Some(())
    })?;
    scan.is_done().then_some(levels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Option<Decimal> {
        // A bare number ends with what stands behind it.
        let closed = if text.starts_with('"') { text.to_owned() } else { format!("{text}]") };
        let mut scan = Scan::new(closed.as_bytes());
        let value = scan.decimal()?;
        (scan.rest.len() == closed.len() - text.len()).then_some(value)
    }

    #[test]
    fn numbers_as_json_has_them() {
        for (text, expected) in [("\"12.30\"", "12.30"), ("0.00001", "0.00001"), ("-5", "-5"), ("\"0\"", "0")] {
            assert_eq!(decimal(text).map(|d| d.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "\"\"", "\"", ".5", "5.", "01", "1e5", "\"1e5\"", "-", "\"1", "1.2.3", "NaN", "1234567890123456789"]
        {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn times_to_the_nanosecond() {
        let seconds = |text: &str| Scan::new(text.as_bytes()).quoted_seconds();
        assert_eq!(seconds("\"1618678133.365913\""), Some(Timestamp(1_618_678_133_365_913_000)));
        assert_eq!(seconds("\"1\""), Some(Timestamp(1_000_000_000)));
        for text in ["", "1", "\"1", "\"1.\"", "\".5\"", "\"1.0123456789\"", "\"9999999999\"", "\"12345678901\""] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn strings_without_escapes() {
        let string = |text: &'static str| Scan::new(text.as_bytes()).string();
        assert_eq!(string("\"XBT/USD\"]"), Some("XBT/USD"));
        assert_eq!(string("\"\""), Some(""));
        for text in ["", "a", "\"a", "\"a\\\"b\"", "\"a\nb\""] {
            assert_eq!(string(text), None, "{text:?}");
        }
        assert_eq!(Scan::new(b"\"\xff\"").string(), None);
    }

    proptest! {
        #[test]
        fn eight_digits_or_none(text in prop_oneof!["[0-9]{8}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 8)]) {
            let careful = std::str::from_utf8(&text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
            prop_assert_eq!(eight_digits(text[..].try_into().unwrap()), careful.map(|t| t.parse().unwrap()));
        }

        /// The scanner reads what the careful reader reads.
        #[test]
        fn decimals_as_the_careful_reader(text in "-?[0-9]{0,20}(\\.[0-9]{0,10})?") {
            if let Some(value) = decimal(&format!("\"{text}\"")) {
                let careful = Decimal::parse(text.as_bytes()).unwrap();
                prop_assert_eq!((value.mantissa(), value.scale()), (careful.mantissa(), careful.scale()));
            }
        }

        #[test]
        fn seconds_as_the_careful_reader(text in "[0-9]{0,12}(\\.[0-9]{0,10})?") {
            if let Some(time) = Scan::new(format!("\"{text}\"").as_bytes()).quoted_seconds() {
                prop_assert_eq!(Ok(time), Timestamp::parse_seconds(text.as_bytes()));
            }
        }

        #[test]
        fn levels_of_any_text(text in "(\\[|\\]|,|\"|[0-9]|\\.|-| ){0,40}") {
            if let Some(levels) = levels(&text) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{} is no JSON: {:?}", text, levels);
            }
        }
    }
}
