//! Numbers, names and identifiers: `primitives`, and what else has one text form.
//!
//! A decimal's input begins with a letter: `t` a text to be read, `p` two texts with a space between for arithmetic, `b`
//! canonical bytes.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use openmesh_market::{Exchange, Feed};
use openmesh_primitives::{
    AccountSignature, Address, Amount, ContentId, Decimal, Digest, Symbol, Timestamp, ValidatorPublicKey,
    ValidatorSignature, canonical,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wide::Wide;

/// Decimals: reading, printing, canonical bytes and arithmetic.
pub fn decimal(data: &[u8]) {
    match data.split_first() {
        Some((b't', text)) => decimal_text(text),
        Some((b'p', pair)) => {
            let mut parts = pair.splitn(2, |b| *b == b' ').map(Decimal::parse);
            if let (Some(Ok(a)), Some(Ok(b))) = (parts.next(), parts.next()) {
                arithmetic(a, b);
            }
        }
        Some((b'b', bytes)) => {
            let (first, rest) = bytes.split_at(bytes.len().min(17));
            if let Ok(a) = canonical::decode::<Decimal>(first) {
                assert_eq!(canonical::encode(&a), first, "two encodings of one decimal");
                printed(a);
                if let Ok(b) = canonical::decode::<Decimal>(&rest[..rest.len().min(17)]) {
                    arithmetic(a, b);
                }
            }
        }
        _ => {}
    }
}

fn decimal_text(text: &[u8]) {
    let Ok(value) = Decimal::parse(text) else { return };
    let text = std::str::from_utf8(text).expect("only digits, signs and points are accepted");
    let again = printed(value);
    assert_eq!(plain(text), plain(&again), "{text:?} is not {again:?}");
}

/// The value's text, which must lead back to it.
fn printed(value: Decimal) -> String {
    let text = value.to_string();
    let again: Decimal = text.parse().unwrap_or_else(|e| panic!("{text:?} was printed but is refused: {e}"));
    assert_eq!((again.mantissa(), again.scale()), (value.mantissa(), value.scale()), "{text:?} is another number");
    let json = serde_json::to_string(&value).expect("a decimal is a string");
    assert_eq!(serde_json::from_str::<Decimal>(&json).expect("a string"), value);
    let short = value.normalized();
    assert_eq!(short, value);
    assert!(short.scale() == 0 || short.mantissa() % 10 != 0, "{short} is not its shortest form");
    text
}

/// Sign, digits without zeros at either end, and the power of ten of the last: by the text alone.
fn plain(text: &str) -> (bool, String, i64) {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i64>().expect("an accepted exponent")),
        None => (text, 0),
    };
    let negative = number.starts_with('-');
    let number = number.trim_start_matches(['-', '+']);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = (digits.len() - significant.len()) as i64;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return (false, String::new(), 0);
    }
    (negative, significant.to_owned(), exponent - fraction.len() as i64 + dropped)
}

fn arithmetic(a: Decimal, b: Decimal) {
    let scale = a.scale().max(b.scale());
    let at = |d: Decimal, scale: u8| Wide::from(d.mantissa()).shifted(scale - d.scale());
    let (wa, wb) = (at(a, scale), at(b, scale));
    assert_eq!(a.cmp(&b), wa.compare(wb), "{a} against {b}");
    assert_eq!(b.cmp(&a), wb.compare(wa), "{b} against {a}");
    let held = wa.fits_i128() && wb.fits_i128();
    for (result, expected, name) in
        [(a.checked_add(b), wa.plus(wb), '+'), (a.checked_sub(b), wa.plus(wb.negated()), '-')]
    {
        match result {
            Some(sum) => assert_eq!(at(sum, scale), expected, "{a} {name} {b} is not {sum}"),
            // What is at the common scale is all that is promised.
            None => assert!(!held || !expected.fits_i128() || b.mantissa() == i128::MIN, "{a} {name} {b} has a result"),
        }
    }
    let (na, nb) = (a.normalized(), b.normalized());
    let product = Wide::from(na.mantissa()).times(Wide::from(nb.mantissa()));
    let places = u16::from(na.scale()) + u16::from(nb.scale());
    match a.checked_mul(b) {
        Some(p) => {
            assert_eq!(u16::from(p.scale()), places);
            assert_eq!(Wide::from(p.mantissa()), product, "{a} * {b} is not {p}");
        }
        None => assert!(places > 36 || !product.fits_i128(), "{a} * {b} has a product"),
    }
}

/// Every other value that has a text: what is accepted prints, is accepted again, and is the same.
pub fn text(data: &[u8]) {
    if let Ok(time) = Timestamp::parse_rfc3339(data) {
        let again = time.to_rfc3339();
        assert_eq!(Timestamp::parse_rfc3339(again.as_bytes()), Ok(time), "{again}");
        let leap = data.get(17..19) == Some(b"60");
        assert!(leap || again.as_bytes()[..10] == data[..10], "{again} is another day than was written");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    both_ways::<Symbol>(text);
    both_ways::<Address>(text);
    both_ways::<Amount>(text);
    both_ways::<ContentId>(text);
    both_ways::<Digest>(text);
    both_ways::<Timestamp>(text);
    both_ways::<ValidatorPublicKey>(text);
    both_ways::<ValidatorSignature>(text);
    both_ways::<AccountSignature>(text);
    if let Ok(symbol) = text.parse::<Symbol>() {
        let shown = symbol.to_string();
        let harmless = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        assert!(shown.bytes().all(harmless), "{shown:?} is used in names of files and in SQL");
        let bytes = canonical::encode(&symbol);
        assert_eq!(canonical::decode::<Symbol>(&bytes).expect("own bytes"), symbol);
    }
    if let Ok(cid) = text.parse::<ContentId>() {
        let shown = cid.to_string();
        assert!(shown.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{shown:?} names a file");
        // One name for one block: another spelling would pass by whoever compares texts.
        assert_eq!(shown, text, "two spellings of one CID");
    }
    if let Ok(exchange) = text.parse::<Exchange>() {
        assert_eq!(exchange.name(), text);
    }
    if let Ok(feed) = text.parse::<Feed>() {
        assert_eq!(feed.name(), text);
    }
    if let Ok(symbol) = canonical::decode::<Symbol>(data) {
        assert_eq!(canonical::encode(&symbol), data);
        // Two symbols that are shown alike would be two streams under one name.
        assert_eq!(symbol.to_string().parse().as_ref(), Ok(&symbol), "a symbol that is not what it is shown as");
    }
}

fn both_ways<T>(text: &str)
where
    T: FromStr + Display + PartialEq + Debug + Serialize + DeserializeOwned,
    T::Err: Debug,
{
    let Ok(value) = text.parse::<T>() else { return };
    let shown = value.to_string();
    assert_eq!(shown.parse::<T>().expect("what was printed is accepted"), value);
    let json = serde_json::to_string(&value).expect("a string");
    assert_eq!(serde_json::from_str::<T>(&json).expect("what was written is read"), value);
}

/// Seeds of [`decimal`].
pub fn decimal_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "t0",
        "t-0.00",
        "t1.50",
        "t.5",
        "t5.",
        "t1e-8",
        "t2.5E3",
        "t-123456789012345678901234.5",
        "t0e64",
        "t+1e+3",
        "t170141183460469231731687303715884105727",
        "t0.000000000000000000000000000000000001",
        "p1.5 2.25",
        "p-0.1 0",
        "p170141183460469231731687303715884105727 0.000000000000000000000000000000000001",
        "p1e20 -1e-20",
        "p99999999999999999999 0.00000000000000000001",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    for (a, b) in [(150, 2u8), (-1, 36), (i128::MAX, 0), (i128::MIN + 1, 36)].map(|(m, s)| (m, s)) {
        let mut bytes = vec![b'b'];
        for value in [Decimal::new(a, b), Decimal::new(7, 3)] {
            bytes.extend(canonical::encode(&value));
        }
        seeds.push(bytes);
    }
    seeds
}

/// Seeds of [`text`].
pub fn text_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "BTC.USDT",
        "BTC.USDT-PERP",
        "BTC.USD-220527",
        "BTC.USD-220514-22000.5-C",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "1500000000000000000",
        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "1618678142.557535",
        "2026-08-09T21:05:48.228568804Z",
        "2024-02-29 23:59:60+00:00",
        "binance_futures",
        "open_interest",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    for symbol in ["BTC.USDT", "BTC.USD-220514-22000-C"] {
        seeds.push(canonical::encode(&symbol.parse::<Symbol>().expect("a symbol")));
    }
    seeds.push("11".repeat(64).into_bytes());
    seeds.push("1b".repeat(65).into_bytes());
    seeds
}
