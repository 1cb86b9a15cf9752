//! SQL.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Origin, TablesStatus};

/// A query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One read-only statement in the PostgreSQL dialect.
    pub sql: String,
    /// Most rows to return; the node's own limit applies besides.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Most milliseconds to run; the node's own limit applies besides.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Id for cancelling it while it runs, 1 to 64 bytes; the node makes one otherwise.
    #[schema(pattern = "^[!-~]{1,64}$")]
    #[serde(default)]
    pub query_id: Option<String>,
}

/// Form of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SqlFormat {
    /// One JSON object ([`SqlResponse`]).
    #[default]
    Json,
    /// RFC 4180, header first, null as nothing.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Parquet, with the types as calculated.
    Parquet,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlResponse {
    /// Id of the query.
    pub query_id: String,
    /// Provenance of the data.
    pub origin: Origin,
    /// Columns.
    pub columns: Vec<SqlColumn>,
    /// Rows; decimals, 64-bit integers and times are strings.
    #[schema(value_type = Vec<Vec<SqlValue>>)]
    pub rows: Vec<Vec<serde_json::Value>>,
    /// True where rows were left off because of a limit.
    pub truncated: bool,
    /// Progress of ingestion when the query began.
    pub tables: TablesStatus,
    /// Time it took in milliseconds.
    pub elapsed_ms: u64,
}

/// A value of a result as JSON. Decimals, 64-bit integers and times are texts, so that no digit is lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SqlValue {
    /// Nothing: `null`.
    Null,
    /// True or false.
    Flag(bool),
    /// A number of at most 53 bits.
    Number(f64),
    /// Text, and whatever is exact only as text.
    Text(String),
    /// A list.
    List(Vec<serde_json::Value>),
    /// A structure.
    #[schema(value_type = Object)]
    Fields(serde_json::Map<String, serde_json::Value>),
}

/// A column of a result or a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SqlColumn {
    /// Name.
    pub name: String,
    /// Type in SQL's words: `DECIMAL(38,18)`, `TIMESTAMP`, `TEXT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Content, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A table that can be queried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableInfo {
    /// Name.
    pub name: String,
    /// Content, for people.
    pub description: String,
    /// Columns.
    pub columns: Vec<SqlColumn>,
    /// A query to begin with.
    pub example: String,
}

/// All tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Catalogue {
    /// Provenance of the data.
    pub origin: Origin,
    /// Tables by name.
    pub tables: Vec<TableInfo>,
}
