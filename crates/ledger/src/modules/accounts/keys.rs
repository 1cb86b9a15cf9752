//! Keys of accounts.

use openmesh_primitives::Address;

/// Prefix of [`account`].
pub const ACCOUNTS: &[u8] = b"account/";

/// `account/<20 bytes>` -> [`crate::Account`].
pub fn account(address: &Address) -> Vec<u8> {
    [ACCOUNTS, &address.0].concat()
}
