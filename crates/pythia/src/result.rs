//! Answers.

use serde::Serialize;
use serde_json::Value;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// `text`, `bigint`, `decimal(38,18)`, `timestamp`, `double`, `boolean`, `date`, `interval`, `list`, ...
    #[serde(rename = "type")]
    pub kind: String,
}

/// Rows, and what it took to find them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueryResult {
    /// Columns in order.
    pub columns: Vec<ColumnInfo>,
    /// Rows; a cell is null, a boolean, a number (up to 32 bits, floats) or a string (all else).
    pub rows: Vec<Vec<Value>>,
    /// True if there were more rows than the limits of rows and bytes let through.
    pub truncated: bool,
    /// From the question to the last row, waiting included.
    pub elapsed_ms: u64,
    /// Rows read from files and memory.
    pub rows_scanned: u64,
}
