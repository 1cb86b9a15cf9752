//! Keys of stamps. Topics hold no `/`.

use openmesh_primitives::{Address, Digest, Height};

/// Prefix of [`stamp`].
pub const STAMPS: &[u8] = b"stamp/";
/// Prefix of [`stamp_place`].
pub const STAMP_PLACES: &[u8] = b"stamp-place/";
/// Prefix of [`stamp_of_topic`].
pub const STAMP_TOPICS: &[u8] = b"stamp-topic/";
/// Prefix of [`stamp_of_account`].
pub const STAMP_ACCOUNTS: &[u8] = b"stamp-account/";
/// Prefix of [`stamp_count`].
pub const STAMP_COUNTS: &[u8] = b"stamp-count/";

/// Bytes of a place at the end of a key: height, `/`, number.
const PLACE_BYTES: usize = 8 + 1 + 4;

fn placed(prefix: &[u8], height: Height, number: u32) -> Vec<u8> {
    [prefix, &height.to_be_bytes(), b"/", &number.to_be_bytes()].concat()
}

/// `stamp/<32 bytes>/`: the stamps of a hash.
pub fn stamps_of_hash(hash: &Digest) -> Vec<u8> {
    [STAMPS, &hash.0, b"/"].concat()
}

/// `stamp/<32 bytes>/<topic>/`: the stamps of a hash under a topic.
pub fn stamps_of(hash: &Digest, topic: &str) -> Vec<u8> {
    [STAMPS, &hash.0, b"/", topic.as_bytes(), b"/"].concat()
}

/// `stamp/<32 bytes>/<topic>/<20 bytes>` -> [`crate::StampRecord`].
pub fn stamp(hash: &Digest, topic: &str, account: &Address) -> Vec<u8> {
    [stamps_of(hash, topic).as_slice(), &account.0].concat()
}

/// `stamp-place/<8 bytes>/`: the stamps of a height.
pub fn stamp_places_at(height: Height) -> Vec<u8> {
    [STAMP_PLACES, &height.to_be_bytes(), b"/"].concat()
}

/// `stamp-place/<8 bytes>/<4 bytes>` -> [`crate::StampName`].
pub fn stamp_place(height: Height, number: u32) -> Vec<u8> {
    placed(STAMP_PLACES, height, number)
}

/// `stamp-topic/<topic>/`: the stamps under a topic.
pub fn stamps_of_topic(topic: &str) -> Vec<u8> {
    [STAMP_TOPICS, topic.as_bytes(), b"/"].concat()
}

/// `stamp-topic/<topic>/<8 bytes>/<4 bytes>` -> nothing.
pub fn stamp_of_topic(topic: &str, height: Height, number: u32) -> Vec<u8> {
    placed(&stamps_of_topic(topic), height, number)
}

/// `stamp-account/<20 bytes>/`: the stamps of an account.
pub fn stamps_of_account(account: &Address) -> Vec<u8> {
    [STAMP_ACCOUNTS, &account.0, b"/"].concat()
}

/// `stamp-account/<20 bytes>/<8 bytes>/<4 bytes>` -> nothing.
pub fn stamp_of_account(account: &Address, height: Height, number: u32) -> Vec<u8> {
    placed(&stamps_of_account(account), height, number)
}

/// `stamp-count/<20 bytes>` -> [`crate::StampCount`], from an account's first stamp on.
pub fn stamp_count(account: &Address) -> Vec<u8> {
    [STAMP_COUNTS, &account.0].concat()
}

/// Height and number at the end of a key of [`stamp_place`], [`stamp_of_topic`] or [`stamp_of_account`].
pub fn stamp_place_of(key: &[u8]) -> Option<(Height, u32)> {
    let (_, place) = key.split_at_checked(key.len().checked_sub(PLACE_BYTES)?)?;
    let (height, rest) = place.split_at_checked(8)?;
    let number = rest.get(1..)?;
    Some((Height::from_be_bytes(height.try_into().ok()?), u32::from_be_bytes(number.try_into().ok()?)))
}
