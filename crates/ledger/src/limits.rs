//! Limits that are part of the format, not of a network's parameters.

/// Evidence may be so many blocks old: about a day of blocks each second, as CometBFT's default in blocks.
pub const EVIDENCE_AGE_BLOCKS_MAX: u64 = 100_000;

/// Evidence in one block: it has no fee, and more waits for the next block.
pub const EVIDENCE_PER_BLOCK_MAX: usize = 16;

/// Largest transaction that is even decoded, bytes; [`crate::Params::transaction_bytes_max`] may only be smaller.
/// An attestation of [`CHUNK_CLAIMS_MAX`] claims is about 90 KiB.
pub const TRANSACTION_BYTES_HARD_MAX: u64 = 256 * 1024;

/// Largest block that any network may allow, bytes: what fits a p2p message and a slow link in a few seconds.
pub const BLOCK_BYTES_HARD_MAX: u64 = 16 * 1024 * 1024;

/// Most chunks that one attestation may claim: 64 symbols times 16 feeds.
pub const CHUNK_CLAIMS_MAX: usize = SOURCE_SYMBOLS_MAX * SOURCE_FEEDS_MAX;

/// Longest name of a source, an exchange, a feed or a validator, bytes. Names stand in state keys.
pub const NAME_BYTES_MAX: usize = 32;

/// Most symbols of one source; a venue with more is registered as several sources, which spreads it over validators.
pub const SOURCE_SYMBOLS_MAX: usize = 64;

/// Most feeds of one source: there are twelve types of event today.
pub const SOURCE_FEEDS_MAX: usize = 16;

/// Longest window of a source, milliseconds: an hour is one Parquet partition.
pub const WINDOW_MS_MAX: u64 = 3_600_000;

/// Shortest window of a source, milliseconds: below this, attestations would outweigh the data.
pub const WINDOW_MS_MIN: u64 = 100;

/// Highest number of a chain's window, which is a block's: what a number in JSON and a column of a table hold exactly.
pub const WINDOW_NUMBER_MAX: u64 = (1 << 53) - 1;

/// How far the end of a market's window may lie after the block's time, milliseconds: the clocks' tolerance.
pub const WINDOW_AHEAD_MS_MAX: i64 = 5_000;

/// The same before inclusion, where the only known time is that of the last block, which may be some rounds old.
pub const WINDOW_AHEAD_MEMPOOL_MS_MAX: i64 = 120_000;

/// Most blocks that a window may stay open: eleven days of blocks each second, after which nobody waits any more.
pub const WINDOW_CLOSE_BLOCKS_MAX: u64 = 1_000_000;

/// How many epochs' records stay in the state: enough to look up who was assigned some time ago.
pub const EPOCHS_KEPT: u64 = 256;

/// Most validators of a set: every one signs every block, and signatures are not aggregated.
pub const VALIDATORS_MAX: usize = 256;

/// Most text in an incident's detail, bytes.
pub const INCIDENT_DETAIL_BYTES_MAX: usize = 512;
