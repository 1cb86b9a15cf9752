//! SQL.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Origin;

/// A query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SqlRequest {
    /// One read-only statement in the PostgreSQL dialect.
    pub sql: String,
    /// Most rows to return; the node's own limit applies besides.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Most milliseconds to run; the node's own limit applies besides.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Id for cancelling it while it runs; the node makes one otherwise.
    #[serde(default)]
    pub query_id: Option<String>,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlResponse {
    /// Id of the query.
    pub query_id: String,
    /// Where the data comes from.
    pub origin: Origin,
    /// Columns.
    pub columns: Vec<SqlColumn>,
    /// Rows; decimals, 64-bit integers and times are strings.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub rows: Vec<Vec<serde_json::Value>>,
    /// Whether rows were left off because of a limit.
    pub truncated: bool,
    /// Time it took in milliseconds.
    pub elapsed_ms: u64,
}

/// A column of a result or a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SqlColumn {
    /// Name.
    pub name: String,
    /// Type in SQL's words: `DECIMAL(38,18)`, `TIMESTAMP`, `TEXT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A table that can be queried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableInfo {
    /// Name.
    pub name: String,
    /// What it holds.
    pub description: String,
    /// Columns.
    pub columns: Vec<SqlColumn>,
    /// A query to begin with.
    pub example: String,
}

/// All tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Catalogue {
    /// Where the data comes from.
    pub origin: Origin,
    /// Tables by name.
    pub tables: Vec<TableInfo>,
}
