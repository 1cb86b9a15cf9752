//! Limits of stamps.

/// Longest topic of a stamp, bytes: a name with some levels (`xnode.drill`). It stands in three keys of the state.
pub const STAMP_TOPIC_BYTES_MAX: usize = 64;

/// Longest note of a stamp, bytes: a CID and a sentence. Whatever is longer is stamped by its hash.
pub const STAMP_NOTE_BYTES_MAX: usize = 256;

/// Most epochs for which stamps may stay in the state: a year of hours, beyond which an archive is the place to look.
pub const STAMPS_KEPT_EPOCHS_MAX: u64 = 8_784;

/// Keys of the state that go with a stamp: its record, its place, its entries for topic and account, and its deposit.
pub(crate) const STAMP_KEYS: usize = 5;
