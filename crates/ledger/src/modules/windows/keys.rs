//! Keys of windows.

use openmesh_primitives::{Address, Height};

/// Prefix of [`chunk`].
pub const CHUNKS: &[u8] = b"chunk/";
/// Prefix of [`window`].
pub const WINDOWS: &[u8] = b"window/";

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// `progress/<id>` -> [`crate::SourceProgress`].
pub fn progress(id: &str) -> Vec<u8> {
    join(&[b"progress/", id.as_bytes()])
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

/// Prefix of [`closed`].
pub const CLOSED: &[u8] = b"closed/";

/// `closed/<8 bytes>/<source>/<8 bytes>` -> nothing: a window that closed in an epoch, until its details leave the state.
pub fn closed(epoch: u64, source: &str, window: u64) -> Vec<u8> {
    join(&[CLOSED, &epoch.to_be_bytes(), b"/", source.as_bytes(), b"/", &window.to_be_bytes()])
}

/// End of the [`closed`] keys of the epochs before this one.
pub(crate) fn closed_before(epoch: u64) -> Vec<u8> {
    join(&[CLOSED, &epoch.to_be_bytes()])
}

/// Source and window of a [`closed`] key.
pub(crate) fn closed_parts(key: &[u8]) -> Option<(String, u64)> {
    let rest = key.get(CLOSED.len() + 9..)?;
    let source = rest.get(..rest.len().checked_sub(9)?)?;
    Some((String::from_utf8(source.to_vec()).ok()?, window_number(rest)?))
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
