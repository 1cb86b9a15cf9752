//! Kraken's checksum of a book.
//!
//! CRC32 over the ten best asks, then the ten best bids: of each level the digits of price and of size, without the
//! point and without zeros in front ("Book checksum", guides to WebSocket v1 and v2). A decimal keeps the digits that
//! the venue wrote, so those digits are simply its mantissa.
//!
//! Most messages change levels deeper than the tenth. The digits of a side are therefore kept and written anew only
//! when one of its first ten levels may have changed; what is compared with the venue's number is the same either way.

use openmesh_market::OrderBook;
use openmesh_market::event::{Level, Side};

/// Levels a side that the checksum runs over.
const LEVELS: usize = 10;

/// Digits after the point of prices and of sizes, where numbers have to be written out to them.
pub(super) type Precision = (u8, u8);

/// The checksum of a book, by the digits as the venue wrote them.
pub fn checksum(book: &OrderBook) -> u32 {
    let (mut asks, mut bids) = (Digits::default(), Digits::default());
    asks.write_side(None, book, Side::Sell, None);
    bids.write_side(None, book, Side::Buy, None);
    let mut whole = crc32fast::Hasher::new();
    whole.update(asks.bytes());
    whole.update(bids.bytes());
    whole.finalize()
}

/// The checksum of one book, kept up to date at little cost.
#[derive(Default)]
pub(super) struct Checksum {
    /// Write numbers to this precision instead of as they came.
    pub precision: Option<Precision>,
    /// Of the asks alone, with which the sum begins.
    asks: crc32fast::Hasher,
    ask_digits: Turns,
    bid_digits: Turns,
    value: u32,
    known: bool,
}

impl Checksum {
    /// Of a book whose numbers have to be written out to a precision.
    pub(super) fn at(precision: Option<Precision>) -> Checksum {
        Checksum { precision, ..Checksum::default() }
    }

    /// The book was replaced, or is read in another way from now on.
    pub(super) fn forget(&mut self) {
        self.known = false;
    }

    /// The checksum after `bids` and `asks` were set in `book`.
    pub(super) fn after(&mut self, book: &OrderBook, bids: &[Level], asks: &[Level]) -> u32 {
        let asks_changed = !self.known || reaches_top(book, Side::Sell, asks);
        let bids_changed = !self.known || reaches_top(book, Side::Buy, bids);
        if asks_changed {
            self.ask_digits.write(book, Side::Sell, self.precision);
            self.asks.reset();
            self.asks.update(self.ask_digits.now().bytes());
        }
        if bids_changed {
            self.bid_digits.write(book, Side::Buy, self.precision);
        }
        if asks_changed || bids_changed {
            let mut whole = self.asks.clone();
            whole.update(self.bid_digits.now().bytes());
            self.value = whole.finalize();
            self.known = true;
        }
        self.value
    }
}

/// The digits of a side as it is now, and as it was before, of which they are made.
#[derive(Default)]
struct Turns {
    even: Digits,
    odd: Digits,
    is_odd: bool,
}

impl Turns {
    fn now(&self) -> &Digits {
        if self.is_odd { &self.odd } else { &self.even }
    }

    fn write(&mut self, book: &OrderBook, side: Side, precision: Option<Precision>) {
        self.is_odd = !self.is_odd;
        let (now, before) = if self.is_odd { (&mut self.odd, &self.even) } else { (&mut self.even, &self.odd) };
        now.write_side(Some(before), book, side, precision);
    }
}

/// Returns true where one of the changed prices may lie in the first ten levels, or lay there before the change: any
/// level that left them was better than, or is, the level that is the tenth now.
fn reaches_top(book: &OrderBook, side: Side, changes: &[Level]) -> bool {
    match book.levels(side).nth(LEVELS - 1) {
        None => !changes.is_empty(),
        Some((tenth, _)) => changes.iter().any(|(price, _)| match side {
            Side::Buy => price >= tenth,
            Side::Sell => price <= tenth,
        }),
    }
}

/// Bytes of the digits of a level: two numbers of at most 39 digits.
const LEVEL_DIGITS_MAX: usize = 2 * 39;

/// Bytes of the digits of a side, and room for the last whole copy.
const DIGITS_MAX: usize = LEVELS * LEVEL_DIGITS_MAX + GROUP + COPY;

/// Digits that are written at once.
const GROUP: usize = 8;

/// Digits that are copied at once: nearly every level has no more.
const COPY: usize = 32;

/// A level as far as its digits go, and where they end.
#[derive(Clone, Copy, Default)]
struct Written {
    price: i128,
    size: i128,
    end: u16,
}

/// The digits of a side. Of fixed size, so that a group of eight digits is one store, of which the next number
/// overwrites what is too much.
struct Digits {
    bytes: [u8; DIGITS_MAX],
    length: usize,
    /// The levels in it; beyond their number, what no level is.
    levels: [Written; LEVELS],
}

impl Default for Digits {
    fn default() -> Digits {
        Digits { bytes: [0; DIGITS_MAX], length: 0, levels: [Written::default(); LEVELS] }
    }
}

impl Digits {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Writes a side. A message changes a level or two of ten, so what `before` has of the others is copied: a level that
    /// stays stands where it was, or one further up or down.
    fn write_side(&mut self, before: Option<&Digits>, book: &OrderBook, side: Side, precision: Option<Precision>) {
        self.length = 0;
        self.levels = [Written::default(); LEVELS];
        for (at, (price, size)) in book.levels(side).take(LEVELS).enumerate() {
            let (price, size) = match precision {
                None => (price.mantissa(), size.mantissa()),
                Some((places, size_places)) => (
                    price.mantissa_at(places).unwrap_or(price.mantissa()),
                    size.mantissa_at(size_places).unwrap_or(size.mantissa()),
                ),
            };
            if !before.is_some_and(|before| self.copy(before, at, price, size)) {
                self.write(price);
                self.write(size);
            }
            if let Some(level) = self.levels.get_mut(at) {
                *level = Written { price, size, end: self.length as u16 };
            }
        }
    }

    /// Copies a level from those that were written before, if it is there.
    #[inline]
    fn copy(&mut self, before: &Digits, at: usize, price: i128, size: i128) -> bool {
        let same =
            |near: usize| before.levels.get(near).is_some_and(|l| l.price == price && l.size == size && l.end > 0);
        let Some(near) = [at, at + 1, at.wrapping_sub(1)].into_iter().find(|near| same(*near)) else { return false };
        let start = if near == 0 { 0 } else { usize::from(before.levels[near - 1].end) };
        let length = usize::from(before.levels[near].end) - start;
        let to = self.length..self.length + COPY;
        match (self.bytes.get_mut(to), before.bytes.get(start..start + COPY)) {
            (Some(room), Some(digits)) if length <= COPY => room.copy_from_slice(digits),
            _ => return false,
        }
        self.length += length;
        true
    }

    #[inline]
    fn write(&mut self, mantissa: i128) {
        const GROUP_END: u64 = 100_000_000;
        // Nearly every number has at most sixteen digits: two groups of eight, each made without a loop.
        match u64::try_from(mantissa) {
            Ok(value) if value < GROUP_END => self.put_first(value),
            Ok(value) if value / GROUP_END < GROUP_END => {
                self.put_first(value / GROUP_END);
                self.put(eight_digits(value % GROUP_END), GROUP);
            }
            _ => {
                for digit in mantissa.unsigned_abs().to_string().bytes() {
                    self.put(u64::from(digit - b'0'), 1);
                }
            }
        }
    }

    /// The first group of a number: zeros in front are left out.
    #[inline]
    fn put_first(&mut self, number: u64) {
        let digits = eight_digits(number);
        let zeros = digits.trailing_zeros() / 8;
        if zeros < 8 {
            self.put(digits >> (zeros * 8), GROUP - zeros as usize);
        }
    }

    #[inline]
    fn put(&mut self, digits: u64, count: usize) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + GROUP) {
            room.copy_from_slice(&(digits | 0x3030_3030_3030_3030).to_le_bytes());
            self.length += count;
        }
    }
}

/// The eight digits of a number below 10^8, one in each byte, the first in the lowest: halves, quarters and digits are
/// divided all at once in the lanes of one word.
#[inline]
fn eight_digits(number: u64) -> u64 {
    let (high, low) = (number / 10_000, number % 10_000);
    let fours = high | low << 32;
    // x * 10486 >> 20 is x / 100 for x below 10^4; x * 103 >> 10 is x / 10 for x below 100.
    let hundreds = (fours.wrapping_mul(10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | fours.wrapping_sub(hundreds * 100) << 16;
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000f_000f_000f_000f;
    tens | pairs.wrapping_sub(tens * 10) << 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::Decimal;
    use proptest::prelude::*;

    fn book(asks: &[(&str, &str)], bids: &[(&str, &str)]) -> OrderBook {
        let mut book = OrderBook::new();
        for (side, levels) in [(Side::Sell, asks), (Side::Buy, bids)] {
            for (price, size) in levels {
                book.set(side, price.parse().unwrap(), size.parse().unwrap());
            }
        }
        book
    }

    /// The worked example of the guide to v1.
    #[test]
    fn the_example_of_the_guide() {
        let asks = ["05", "10", "15", "20", "25", "30", "35", "40", "45", "50"].map(|p| format!("0.050{p}"));
        let bids =
            ["5000", "4995", "4990", "4980", "4975", "4970", "4965", "4960", "4955", "4950"].map(|p| format!("0.0{p}"));
        let of = |prices: &[String]| prices.iter().map(|p| (p.clone(), "0.00000500")).collect::<Vec<_>>();
        let (asks, bids) = (of(&asks), of(&bids));
        let text = |levels: &'static [(String, &'static str)]| {
            levels.iter().map(|(p, s)| (p.as_str(), *s)).collect::<Vec<_>>()
        };
        let (asks, bids) = (text(asks.leak()), text(bids.leak()));
        assert_eq!(checksum(&book(&asks, &bids)), 974_947_235);
    }

    #[test]
    fn numbers_are_written_to_the_precision_where_it_is_known() {
        let as_printed = book(&[("45285.2", "0.00100000")], &[("45283.0", "0.10000000")]);
        let shortened = book(&[("45285.2", "0.001")], &[("45283", "0.1")]);
        let mut sum = Checksum::at(Some((1, 8)));
        assert_eq!(sum.after(&shortened, &[], &[]), checksum(&as_printed));
        assert_ne!(checksum(&shortened), checksum(&as_printed));
    }

    fn digits_of(text: &str) -> String {
        let mut digits = Digits::default();
        digits.write(text.parse::<Decimal>().unwrap().mantissa());
        String::from_utf8(digits.bytes().to_vec()).unwrap()
    }

    #[test]
    fn digits_without_point_and_zeros_in_front() {
        for (text, expected) in [
            ("0.05005", "5005"),
            ("45283.50", "4528350"),
            ("0.00", ""),
            ("99999999", "99999999"),
            ("100000000", "100000000"),
            ("9999999999999999", "9999999999999999"),
            ("10000000000000000", "10000000000000000"),
            ("123456789012345678901.5", "1234567890123456789015"),
        ] {
            assert_eq!(digits_of(text), expected, "{text}");
        }
    }

    /// The longest numbers that there are do not pass the room.
    #[test]
    fn ten_levels_of_the_longest_numbers() {
        let mut longest = OrderBook::new();
        for at in 0..LEVELS as i128 {
            longest.set(Side::Sell, Decimal::new(i128::MAX - at, 0), Decimal::new(i128::MAX, 0));
        }
        let text: String = longest.levels(Side::Sell).map(|(p, s)| format!("{p}{s}")).collect();
        assert_eq!(text.len(), LEVELS * 2 * 39);
        assert_eq!(checksum(&longest), crc32fast::hash(text.as_bytes()));
    }

    proptest! {
        #[test]
        fn digits_as_printed(mantissa in 1u64..) {
            for mantissa in [mantissa, mantissa % 100_000_000, mantissa % 10_000_000_000] {
                let text = mantissa.to_string();
                prop_assert_eq!(digits_of(&text), if mantissa == 0 { "" } else { &text });
            }
        }

        /// The sums kept from message to message are what would be computed anew.
        #[test]
        fn kept_is_computed(messages in proptest::collection::vec(proptest::collection::vec((any::<bool>(), 0i64..40, 0i64..3), 0..4), 1..80)) {
            let (mut book, mut sum) = (OrderBook::new(), Checksum::default());
            for message in messages {
                let (mut bids, mut asks) = (Vec::new(), Vec::new());
                for (bid, price, size) in message {
                    let level = (Decimal::from(price), Decimal::from(size));
                    if bid { bids.push(level) } else { asks.push(level) }
                    book.set(if bid { Side::Buy } else { Side::Sell }, level.0, level.1);
                }
                book.truncate(25);
                prop_assert_eq!(sum.after(&book, &bids, &asks), checksum(&book));
            }
        }
    }
}
