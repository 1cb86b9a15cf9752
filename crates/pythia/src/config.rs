//! Limits of queries.

use tokio_util::sync::CancellationToken;

/// Limits of the service, and of each query unless it asks for less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest time of a query in milliseconds, waiting in the queue included.
    pub time_ms_max: u64,
    /// Most memory of all queries together in bytes, and so of each; nothing is spilled to disk.
    pub memory_bytes_max: usize,
    /// Most rows of an answer; what is beyond is left out and told ([`crate::QueryResult::truncated`]).
    pub rows_max: usize,
    /// Most bytes of an answer as JSON; what is beyond is left out and told.
    pub result_bytes_max: usize,
    /// Most rows of a file ([`crate::Handle::export`]). Files go out as rows are found, so that they take no memory: a million is
    /// what a spreadsheet and a minute's download hold.
    pub export_rows_max: usize,
    /// Most bytes of a file, for the same reason.
    pub export_bytes_max: usize,
    /// Queries that run at once.
    pub concurrency: usize,
    /// Queries that wait for their turn; more are refused.
    pub queue_max: usize,
    /// Threads that run queries, and partitions into which a query is divided.
    pub threads: usize,
    /// Longest text of a query in bytes.
    pub sql_bytes_max: usize,
    /// Most words and signs of a query: planning takes longer than linearly in them.
    pub sql_tokens_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            time_ms_max: 30_000,
            memory_bytes_max: 512 << 20,
            rows_max: 10_000,
            result_bytes_max: 16 << 20,
            export_rows_max: 1_000_000,
            export_bytes_max: 256 << 20,
            concurrency: 4,
            queue_max: 32,
            threads: std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 16)),
            sql_bytes_max: 64 << 10,
            sql_tokens_max: 5_000,
        }
    }
}

/// Limits of one query; unset means the service's own limit, which no query can raise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds.
    pub time_ms_max: Option<u64>,
    /// Rows.
    pub rows_max: Option<usize>,
    /// Bytes of the answer.
    pub result_bytes_max: Option<usize>,
}

/// A question.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// One SQL statement.
    pub sql: String,
    /// Limits of its own.
    pub limits: Limits,
    /// Cancels it from elsewhere. (Dropping the future cancels it as well.)
    pub cancel: CancellationToken,
}

impl Query {
    /// With the service's limits.
    pub fn new(sql: impl Into<String>) -> Query {
        Query { sql: sql.into(), ..Query::default() }
    }
}

impl Config {
    pub(crate) fn time_ms(&self, limits: &Limits) -> u64 {
        limits.time_ms_max.unwrap_or(self.time_ms_max).min(self.time_ms_max)
    }

    pub(crate) fn rows(&self, limits: &Limits) -> usize {
        limits.rows_max.unwrap_or(self.rows_max).min(self.rows_max)
    }

    pub(crate) fn export_rows(&self, limits: &Limits) -> usize {
        limits.rows_max.unwrap_or(self.export_rows_max).min(self.export_rows_max)
    }

    pub(crate) fn export_bytes(&self, limits: &Limits) -> usize {
        limits.result_bytes_max.unwrap_or(self.export_bytes_max).min(self.export_bytes_max)
    }

    pub(crate) fn result_bytes(&self, limits: &Limits) -> usize {
        limits.result_bytes_max.unwrap_or(self.result_bytes_max).min(self.result_bytes_max)
    }
}
