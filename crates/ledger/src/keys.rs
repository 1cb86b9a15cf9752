//! Keys of the state: a readable prefix, then parts of fixed length or without `/`. Numbers are big-endian, so that a
//! scan of a prefix comes in their order. The layout is written down in `docs/spec/state.md`, and a golden test holds it.

use openmesh_primitives::{Address, Height};

/// The network's [`crate::Params`].
pub const PARAMS: &[u8] = b"params";
/// The network's number, `u64`.
pub const CHAIN_ID: &[u8] = b"chain-id";
/// [`crate::BlockMeta`] of the last block.
pub const BLOCK: &[u8] = b"block";
/// Sum of all balances.
pub const SUPPLY: &[u8] = b"supply";
/// Number of registered sources, `u32`.
pub const SOURCE_COUNT: &[u8] = b"source-count";
/// [`crate::ValidatorSet`] of the next block.
pub const VALIDATORS_CURRENT: &[u8] = b"validators/current";
/// [`crate::ValidatorSet`] of the block after that: who changes it in block H changes the set of H + 2.
pub const VALIDATORS_NEXT: &[u8] = b"validators/next";
/// The set that decided the last block, whose signatures stand in the next one.
pub const VALIDATORS_LAST: &[u8] = b"validators/last";
/// Prefix of [`account`].
pub const ACCOUNTS: &[u8] = b"account/";
/// Prefix of [`validator`].
pub const VALIDATORS: &[u8] = b"validator/";
/// Prefix of [`source`].
pub const SOURCES: &[u8] = b"source/";
/// Prefix of [`incident`].
pub const INCIDENTS: &[u8] = b"incident/";
/// Prefix of [`chunk`].
pub const CHUNKS: &[u8] = b"chunk/";
/// Prefix of [`window`].
pub const WINDOWS: &[u8] = b"window/";

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// `account/<20 bytes>` -> [`crate::Account`].
pub fn account(address: &Address) -> Vec<u8> {
    join(&[ACCOUNTS, &address.0])
}

/// `validator/<20 bytes>` -> [`crate::ValidatorRecord`].
pub fn validator(address: &Address) -> Vec<u8> {
    join(&[VALIDATORS, &address.0])
}

/// Hash of the transaction that showed that a validator equivocated at a height.
pub fn evidence(validator: &Address, height: Height) -> Vec<u8> {
    join(&[b"evidence/", &validator.0, b"/", &height.to_be_bytes()])
}

/// `source/<id>` -> [`crate::SourceRecord`].
pub fn source(id: &str) -> Vec<u8> {
    join(&[SOURCES, id.as_bytes()])
}

/// `progress/<id>` -> [`crate::SourceProgress`].
pub fn progress(id: &str) -> Vec<u8> {
    join(&[b"progress/", id.as_bytes()])
}

/// `epoch/<8 bytes>` -> [`crate::EpochRecord`].
pub fn epoch(number: u64) -> Vec<u8> {
    join(&[b"epoch/", &number.to_be_bytes()])
}

/// `window/<source>/`.
pub fn windows_of(source: &str) -> Vec<u8> {
    join(&[WINDOWS, source.as_bytes(), b"/"])
}

/// `window/<source>/<8 bytes>` -> [`crate::WindowRecord`].
pub fn window(source: &str, number: u64) -> Vec<u8> {
    join(&[WINDOWS, source.as_bytes(), b"/", &number.to_be_bytes()])
}

/// The number at the end of a [`window`] key.
pub fn window_number(key: &[u8]) -> Option<u64> {
    let (_, number) = key.split_at_checked(key.len().checked_sub(8)?)?;
    number.try_into().ok().map(u64::from_be_bytes)
}

/// `chunk/<source>/<8 bytes>/`.
pub fn chunks_of(source: &str, window: u64) -> Vec<u8> {
    join(&[CHUNKS, source.as_bytes(), b"/", &window.to_be_bytes(), b"/"])
}

/// `chunk/<source>/<8 bytes>/<stream>` -> [`crate::AcceptedChunk`].
pub fn chunk(source: &str, window: u64, stream: &str) -> Vec<u8> {
    join(&[CHUNKS, source.as_bytes(), b"/", &window.to_be_bytes(), b"/", stream.as_bytes()])
}

/// `attestation/<source>/<8 bytes>/<20 bytes>` -> the validator's claims, until the window closes.
pub fn attestation(source: &str, window: u64, validator: &Address) -> Vec<u8> {
    join(&[b"attestation/", source.as_bytes(), b"/", &window.to_be_bytes(), b"/", &validator.0])
}

/// `closing/<8 bytes>/`: the windows that close at a height.
pub fn closing_at(height: Height) -> Vec<u8> {
    join(&[b"closing/", &height.to_be_bytes(), b"/"])
}

/// `closing/<8 bytes>/<source>/<8 bytes>` -> nothing.
pub fn closing(height: Height, source: &str, window: u64) -> Vec<u8> {
    join(&[&closing_at(height), source.as_bytes(), b"/", &window.to_be_bytes()])
}

/// Source and window of a [`closing`] key.
pub(crate) fn closing_parts(key: &[u8]) -> Option<(String, u64)> {
    let rest = key.get(closing_at(0).len()..)?;
    let source = rest.get(..rest.len().checked_sub(9)?)?;
    Some((String::from_utf8(source.to_vec()).ok()?, window_number(rest)?))
}

/// `incident/<8 bytes>/`: the incidents of a height.
pub fn incidents_at(height: Height) -> Vec<u8> {
    join(&[INCIDENTS, &height.to_be_bytes(), b"/"])
}

/// `incident/<8 bytes>/<4 bytes>` -> [`crate::LedgerIncident`].
pub fn incident(height: Height, number: u32) -> Vec<u8> {
    join(&[&incidents_at(height), &number.to_be_bytes()])
}
