//! Keys of the beacon.

/// Key of the beacon after the last block: 32 bytes.
pub const BEACON: &[u8] = b"beacon";
