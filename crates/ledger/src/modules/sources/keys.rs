//! Keys of the register of sources.

/// Key of the number of registered sources, `u32`.
pub const SOURCE_COUNT: &[u8] = b"source-count";
/// Prefix of [`source`].
pub const SOURCES: &[u8] = b"source/";

/// `source/<id>` -> [`crate::SourceRecord`].
pub fn source(id: &str) -> Vec<u8> {
    [SOURCES, id.as_bytes()].concat()
}

/// `retired-source/<id>` -> the last [`crate::SourceRecord`] of a source that has left the register, without its streams.
pub fn retired_source(id: &str) -> Vec<u8> {
    [b"retired-source/".as_slice(), id.as_bytes()].concat()
}
