//! Keys of deposits.

/// Prefix of [`deposit`].
pub const DEPOSITS: &[u8] = b"deposit/";

/// `deposit/<key of the record>` -> [`crate::Deposit`].
pub fn deposit(record: &[u8]) -> Vec<u8> {
    [DEPOSITS, record].concat()
}
