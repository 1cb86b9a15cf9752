//! The tables: names, columns, types, and what each is for.
//!
//! One list serves everything that must agree: the Arrow schema of the rows in memory and in Parquet, the Avro schema,
//! the catalogue that people read, and `docs/spec/tables.md` (a test compares). Types are few on purpose:
//!
//! - prices, sizes, rates: `Decimal128(38, 18)`, exact; a value that does not fit is an error, never rounded;
//! - times: `Timestamp(Nanosecond, "UTC")`;
//! - counts, heights, sequence numbers: `Int64`, because unsigned 64-bit columns turn into decimals as soon as SQL
//!   subtracts them; a value above 2^63 is an error;
//! - 256-bit integers of a chain: decimal text, exact in every reader;
//! - names, hashes, addresses: text (`Utf8View`: a repeated CID costs 16 bytes a row in memory).

mod chain;
mod ledger;
mod market;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

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
    schema: SchemaRef,
}

/// A table of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Trades.
    Trades,
    /// Order books, a row a level.
    BookLevels,
    /// Best bid and ask.
    Tickers,
    /// Candles as venues make them.
    Candles,
    /// Funding rates.
    Funding,
    /// Open interest.
    OpenInterest,
    /// Liquidations.
    Liquidations,
    /// Mark prices.
    MarkPrices,
    /// Index prices.
    IndexPrices,
    /// Ethereum blocks.
    EthBlocks,
    /// Ethereum transactions with their receipts.
    EthTransactions,
    /// Ethereum logs.
    EthLogs,
    /// ERC-20 and ERC-721 transfers.
    EthTokenTransfers,
    /// Uniswap v2 and v3 swaps.
    EthSwaps,
    /// Our own ledger's blocks.
    LedgerBlocks,
    /// Its transactions.
    LedgerTransactions,
    /// Chunks it accepted or saw disputed.
    LedgerChunks,
    /// Incidents it recorded.
    LedgerIncidents,
    /// The archive of raw frames.
    RawSegments,
    /// Incidents that this node noticed.
    NodeIncidents,
}

impl Table {
    /// Every table, in the order of the catalogue.
    pub const ALL: [Table; 20] = [
        Table::Trades,
        Table::BookLevels,
        Table::Tickers,
        Table::Candles,
        Table::Funding,
        Table::OpenInterest,
        Table::Liquidations,
        Table::MarkPrices,
        Table::IndexPrices,
        Table::EthBlocks,
        Table::EthTransactions,
        Table::EthLogs,
        Table::EthTokenTransfers,
        Table::EthSwaps,
        Table::LedgerBlocks,
        Table::LedgerTransactions,
        Table::LedgerChunks,
        Table::LedgerIncidents,
        Table::RawSegments,
        Table::NodeIncidents,
    ];

    /// Definition of the table.
    pub fn spec(self) -> &'static TableSpec {
        static SPECS: LazyLock<Vec<TableSpec>> = LazyLock::new(|| Table::ALL.into_iter().map(Table::define).collect());
        &SPECS[self as usize]
    }

    /// Name in SQL and folder of its files.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Arrow schema of its rows.
    pub fn schema(self) -> SchemaRef {
        self.spec().schema.clone()
    }

    /// Columns in order.
    pub fn columns(self) -> &'static [Column] {
        &self.spec().columns
    }

    /// Returns true if its rows are also kept as Avro.
    pub fn is_chain(self) -> bool {
        matches!(
            self,
            Table::EthBlocks | Table::EthTransactions | Table::EthLogs | Table::EthTokenTransfers | Table::EthSwaps
        )
    }

    fn define(self) -> TableSpec {
        match self {
            Table::Trades => market::trades(),
            Table::BookLevels => market::book_levels(),
            Table::Tickers => market::tickers(),
            Table::Candles => market::candles(),
            Table::Funding => market::funding(),
            Table::OpenInterest => market::open_interest(),
            Table::Liquidations => market::liquidations(),
            Table::MarkPrices => market::mark_prices(),
            Table::IndexPrices => market::index_prices(),
            Table::EthBlocks => chain::blocks(),
            Table::EthTransactions => chain::transactions(),
            Table::EthLogs => chain::logs(),
            Table::EthTokenTransfers => chain::token_transfers(),
            Table::EthSwaps => chain::swaps(),
            Table::LedgerBlocks => ledger::blocks(),
            Table::LedgerTransactions => ledger::transactions(),
            Table::LedgerChunks => ledger::chunks(),
            Table::LedgerIncidents => ledger::incidents(),
            Table::RawSegments => ledger::raw_segments(),
            Table::NodeIncidents => ledger::node_incidents(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no table's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lake has no table {0:?}")]
pub struct UnknownTable(pub String);

impl FromStr for Table {
    type Err = UnknownTable;
    fn from_str(text: &str) -> Result<Table, UnknownTable> {
        Table::ALL.into_iter().find(|t| t.name() == text).ok_or_else(|| UnknownTable(text.chars().take(80).collect()))
    }
}

/// Constructors of columns, for the tables' definitions.
mod define {
    use super::*;

    const fn column(name: &'static str, kind: ColumnType, nullable: bool, about: &'static str) -> Column {
        Column { name, kind, nullable, about }
    }

    pub(super) const fn text(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Text, false, about)
    }
    pub(super) const fn decimal(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Decimal, false, about)
    }
    pub(super) const fn time(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Time, false, about)
    }
    pub(super) const fn integer(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Integer, false, about)
    }
    pub(super) const fn boolean(name: &'static str, about: &'static str) -> Column {
        column(name, ColumnType::Boolean, false, about)
    }
    /// The same column, but it can be null.
    pub(super) const fn or_null(column: Column) -> Column {
        Column { nullable: true, ..column }
    }

    pub(super) fn spec(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_step() {
        for (at, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, at);
            let spec = table.spec();
            assert_eq!(spec.name.parse(), Ok(table));
            let has = |name: &str| spec.columns.iter().any(|c| c.name == name);
            assert!(has(spec.time_column), "{table}");
            for column in spec.sort_columns {
                assert!(has(column), "{table}.{column}");
            }
            let mut names: Vec<_> = spec.columns.iter().map(|c| c.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), spec.columns.len(), "{table}: a name twice");
            assert!(spec.example.contains(spec.name), "{table}: its example asks something else");
        }
        assert_eq!("../trades".parse::<Table>(), Err(UnknownTable("../trades".into())));
    }
}
