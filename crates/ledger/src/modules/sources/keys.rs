//! Keys of the register of sources.

/// Key of the number of registered sources, `u32`.
pub const SOURCE_COUNT: &[u8] = b"source-count";
/// Prefix of [`source`].
pub const SOURCES: &[u8] = b"source/";

/// `source/<id>` -> [`crate::SourceRecord`].
pub fn source(id: &str) -> Vec<u8> {
    [SOURCES, id.as_bytes()].concat()
}
