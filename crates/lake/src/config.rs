//! Configuration of a lake.

/// Limits of a lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Rows in memory after which they are written out.
    pub flush_rows_max: usize,
    /// Bytes of rows in memory after which they are written out.
    pub flush_bytes_max: usize,
    /// Age of the oldest row in memory after which [`Lake::run`] writes it out. Rows in memory are found by queries and
    /// can be appended again after a crash, so this only bounds how much a start has to repeat.
    pub flush_age_ms: u64,
    /// Files of one partition and level that are merged into one.
    pub compact_files_min: usize,
    /// Rows of a merged file at most; a file with half as many stays as it is.
    pub compact_rows_max: u64,
    /// True if chain tables are also kept as Avro.
    pub avro: bool,
    /// Hours of data that a table keeps, back from its own newest hour; `None` keeps everything. Older files are removed whole.
    /// What was in them stays known by key, so that it is not appended again.
    pub retain_hours: Option<u32>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            flush_rows_max: 500_000,
            flush_bytes_max: 128 << 20,
            flush_age_ms: 60_000,
            compact_files_min: 8,
            compact_rows_max: 2_000_000,
            avro: true,
            retain_hours: None,
        }
    }
}
