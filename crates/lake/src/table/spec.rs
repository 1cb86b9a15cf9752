//! Definition of a table: columns, their types, order of rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Digits of a decimal column, and how many of them stand after the point.
pub const DECIMAL_PRECISION: u8 = 38;
/// Digits after the point of a decimal column: what Ethereum's tokens use, and more than any venue writes.
pub const DECIMAL_SCALE: u8 = 18;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// `Decimal128(38, 18)`.
    Decimal,
    /// `Timestamp(Nanosecond, "UTC")`.
    Time,
    /// `Int64`.
    Integer,
    /// `Boolean`.
    Boolean,
}

impl ColumnType {
    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Text => DataType::Utf8View,
            ColumnType::Decimal => DataType::Decimal128(DECIMAL_PRECISION, DECIMAL_SCALE as i8),
            ColumnType::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            ColumnType::Integer => DataType::Int64,
            ColumnType::Boolean => DataType::Boolean,
        }
    }

    /// The word for it in the catalogue.
    pub const fn name(self) -> &'static str {
        match self {
            ColumnType::Text => "text",
            ColumnType::Decimal => "decimal(38,18)",
            ColumnType::Time => "timestamp",
            ColumnType::Integer => "bigint",
            ColumnType::Boolean => "boolean",
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in SQL.
    pub name: &'static str,
    /// Type.
    pub kind: ColumnType,
    /// True if it can be null.
    pub nullable: bool,
    /// Meaning, unit, and when it is null.
    pub about: &'static str,
}

/// Everything that is known about a table beforehand.
pub struct TableSpec {
    /// Name in SQL and folder of its files.
    pub name: &'static str,
    /// Meaning of a row.
    pub about: &'static str,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// The column whose smallest and largest value the manifest keeps for each file, so that queries over a span of
    /// time open few files.
    pub time_column: &'static str,
    /// Columns by which a file's rows are ordered, so that a query about one of them skips most row groups.
    pub sort_columns: &'static [&'static str],
    /// A query that shows what the table is good for.
    pub example: &'static str,
    pub(super) schema: SchemaRef,
}

/// Constructors of columns, for the tables' definitions.
pub(super) mod define {
    use super::*;

    const fn column(name: &'static str, kind: ColumnType, nullable: bool, about: &'static str) -> Column {
        Column { name, kind, nullable, about }
    }

    pub(in crate::table) const fn text(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Text, false, about)
    }
    pub(in crate::table) const fn decimal(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Decimal, false, about)
    }
    pub(in crate::table) const fn time(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Time, false, about)
    }
    pub(in crate::table) const fn integer(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Integer, false, about)
    }
    pub(in crate::table) const fn boolean(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Boolean, false, about)
    }
    /// The same column, but it can be null.
    pub(in crate::table) const fn or_null(column: Column) -> Column {
        Column { nullable: true, ..column }
    }

    pub(in crate::table) fn spec(
        name: &'static str,
        about: &'static str,
        columns: Vec<Column>,
        time_column: &'static str,
        sort_columns: &'static [&'static str],
        example: &'static str,
    ) -> TableSpec {
        let fields: Vec<Field> = columns.iter().map(|c| Field::new(c.name, c.kind.arrow(), c.nullable)).collect();
        let schema = Arc::new(Schema::new(fields));
        TableSpec { name, about, columns, time_column, sort_columns, example, schema }
    }
}
