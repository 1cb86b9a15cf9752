//! Limits of sources.

/// Most symbols of one source; a venue with more is registered as several sources, which spreads it over validators.
pub const SOURCE_SYMBOLS_MAX: usize = 64;

/// Most feeds of one source: there are twelve types of event today.
pub const SOURCE_FEEDS_MAX: usize = 16;

/// Longest window of a source, milliseconds: an hour is one Parquet partition.
pub const WINDOW_MS_MAX: u64 = 3_600_000;

/// Shortest window of a source, milliseconds: below this, attestations would outweigh the data.
pub const WINDOW_MS_MIN: u64 = 100;
