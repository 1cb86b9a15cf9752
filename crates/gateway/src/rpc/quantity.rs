//! Quantities and data as hexadecimal text, both ways. Source: EIP-1474, "Value encoding". Clause 8 of `docs/spec/rpc.md`.

use openmesh_primitives::{Address, Digest};

/// Digits of the largest quantity: 256 bits.
const WIDE_DIGITS_MAX: usize = 64;

/// A number as a quantity.
pub fn quantity(number: impl Into<u128>) -> String {
    let number: u128 = number.into();
    format!("{number:#x}")
}

/// Bytes, big-endian, as a quantity: without leading zeros.
pub fn bytes(number: &[u8]) -> String {
    let digits = hex::encode(number);
    let digits = digits.trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}

/// Bytes as data.
pub fn data(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// An address as data, in small letters.
pub fn address(address: &Address) -> String {
    data(&address.0)
}

/// A hash as data.
pub fn digest(digest: &Digest) -> String {
    data(&digest.0)
}

/// The digits of a quantity of at most so many; `None` where it is none.
fn digits(text: &str, most: usize) -> Option<&str> {
    let digits = text.strip_prefix("0x")?;
    let is_short = (1..=most).contains(&digits.len()) && (digits == "0" || !digits.starts_with('0'));
    (is_short && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(digits)
}

/// A quantity of at most 64 bits; `None` where it is none.
pub fn read_quantity(text: &str) -> Option<u64> {
    u64::from_str_radix(digits(text, 16)?, 16).ok()
}

/// True for a quantity of at most 256 bits.
pub fn read_wide_quantity(text: &str) -> bool {
    digits(text, WIDE_DIGITS_MAX).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_one_form() {
        for (number, text) in [(0u64, "0x0"), (1, "0x1"), (1_024, "0x400"), (u64::MAX, "0xffffffffffffffff")] {
            assert_eq!((quantity(number), read_quantity(text)), (text.to_string(), Some(number)));
            assert_eq!(bytes(&number.to_be_bytes()), text);
        }
        assert_eq!(read_quantity("0xFf"), Some(255));
        for none in ["", "0x", "0x00", "0x0400", "400", "ff", "0X1", "0xg", "-0x1", "0x-1", "0x+1", "0x1 ", "0x1_0"] {
            assert_eq!(read_quantity(none), None, "{none}");
        }
        assert_eq!(read_quantity("0x10000000000000000"), None, "65 bits");
        assert_eq!(quantity(u128::MAX), format!("0x{}", "f".repeat(32)));
        assert!(read_wide_quantity("0x10000000000000000") && read_wide_quantity("0x0"));
        assert!(!read_wide_quantity(&format!("0x1{}", "0".repeat(64))) && !read_wide_quantity("0x01"));
        assert_eq!((bytes(&[0; 32]), bytes(&[0, 0x0f, 0xa0])), ("0x0".into(), "0xfa0".into()));
    }

    #[test]
    fn data_keep_their_zeros() {
        assert_eq!((data(&[]), data(&[0, 15])), ("0x".into(), "0x000f".into()));
        assert_eq!(address(&Address([0xab; 20])), format!("0x{}", "ab".repeat(20)));
        assert_eq!(digest(&Digest([1; 32])), format!("0x{}", "01".repeat(32)));
    }
}
