//! Keys of accounts.

use openmesh_primitives::Address;

/// Key of the sum of all balances.
pub const SUPPLY: &[u8] = b"supply";
/// Prefix of [`account`].
pub const ACCOUNTS: &[u8] = b"account/";

/// `account/<20 bytes>` -> [`crate::Account`].
pub fn account(address: &Address) -> Vec<u8> {
    [ACCOUNTS, &address.0].concat()
}
