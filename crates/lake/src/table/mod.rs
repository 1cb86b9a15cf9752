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
mod spec;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use arrow::datatypes::SchemaRef;

pub use spec::{Column, ColumnType, DECIMAL_PRECISION, DECIMAL_SCALE, TableSpec};

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
    /// Chunks it accepted, or saw disputed or uncovered.
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
