//! The catalogue of tables.

use openmesh_lake::{Snapshot, Table};
use serde::Serialize;

/// A table, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogueTable {
    /// Name in SQL.
    pub name: String,
    /// Meaning of a row.
    pub about: String,
    /// The column that queries over a span of time should restrict.
    pub time_column: String,
    /// Columns in order.
    pub columns: Vec<CatalogueColumn>,
    /// A query that shows what it is good for.
    pub example: String,
    /// Rows now.
    pub rows: u64,
    /// Parquet files now.
    pub files: u64,
}

/// A column, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogueColumn {
    /// Name in SQL.
    pub name: String,
    /// `text`, `decimal(38,18)`, `timestamp`, `bigint`, `boolean`.
    #[serde(rename = "type")]
    pub kind: String,
    /// True if it can be null.
    pub nullable: bool,
    /// Meaning, unit, and when it is null.
    pub about: String,
}

pub(crate) fn catalogue(snapshot: &Snapshot) -> Vec<CatalogueTable> {
    Table::ALL.into_iter().map(|table| describe(table, snapshot)).collect()
}

fn describe(table: Table, snapshot: &Snapshot) -> CatalogueTable {
    let spec = table.spec();
    let columns = spec.columns.iter().map(|c| CatalogueColumn {
        name: c.name.to_string(),
        kind: c.kind.name().to_string(),
        nullable: c.nullable,
        about: c.about.to_string(),
    });
    let now = snapshot.table(table);
    CatalogueTable {
        name: spec.name.to_string(),
        about: spec.about.to_string(),
        time_column: spec.time_column.to_string(),
        columns: columns.collect(),
        example: spec.example.to_string(),
        rows: now.rows(),
        files: now.files().len() as u64,
    }
}
