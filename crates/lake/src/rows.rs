//! Building rows of a table, column by column, exactly or not at all.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Int64Builder, StringViewBuilder, TimestampNanosecondBuilder,
};
use arrow::record_batch::RecordBatch;
use openmesh_primitives::{Decimal, Timestamp};

use crate::error::LakeError;
use crate::table::{Column, ColumnType, DECIMAL_PRECISION, DECIMAL_SCALE, Table};

/// Range of a decimal column, for errors.
const DECIMAL_LIMIT: &str = "at most 20 digits before and 18 after the point";
/// Range of an integer column, for errors.
const INTEGER_LIMIT: &str = "at most 2^63 - 1";
/// Longest value that an error repeats.
const ERROR_VALUE_CHARS_MAX: usize = 60;

enum Cells {
    Text(StringViewBuilder),
    Decimal(Decimal128Builder),
    Time(TimestampNanosecondBuilder),
    Integer(Int64Builder),
    Boolean(BooleanBuilder),
}

/// Collects rows. Cells are given in the order of the table's columns; the first mistake is kept and told by
/// [`Rows::finish`], so that the code that fills rows reads like the row.
pub struct Rows {
    table: Table,
    columns: &'static [Column],
    cells: Vec<Cells>,
    at: usize,
    rows: usize,
    error: Option<LakeError>,
}

impl Rows {
    /// No rows yet.
    pub fn new(table: Table) -> Rows {
        let columns = table.columns();
        let cells = columns
            .iter()
            .map(|c| match c.kind {
                ColumnType::Text => Cells::Text(StringViewBuilder::new().with_deduplicate_strings()),
                ColumnType::Decimal => Cells::Decimal(Decimal128Builder::new().with_data_type(c.kind.arrow())),
                ColumnType::Time => Cells::Time(TimestampNanosecondBuilder::new().with_data_type(c.kind.arrow())),
                ColumnType::Integer => Cells::Integer(Int64Builder::new()),
                ColumnType::Boolean => Cells::Boolean(BooleanBuilder::new()),
            })
            .collect();
        Rows { table, columns, cells, at: 0, rows: 0, error: None }
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// A text cell.
    pub fn text<'a>(&mut self, value: impl Into<Option<&'a str>>) -> &mut Rows {
        let value = value.into();
        match self.cell(value.is_none()) {
            Some(Cells::Text(cells)) => cells.append_option(value),
            _ => self.misplaced("text"),
        }
        self
    }

    /// A decimal cell.
    pub fn decimal(&mut self, value: impl Into<Option<Decimal>>) -> &mut Rows {
        let value = value.into();
        let exact = value.map(|v| (v, v.mantissa_at(DECIMAL_SCALE).filter(|m| fits(*m))));
        if let Some((value, None)) = exact {
            self.out_of_range(value.to_string(), DECIMAL_LIMIT);
        }
        match self.cell(value.is_none()) {
            Some(Cells::Decimal(cells)) => cells.append_option(exact.and_then(|(_, m)| m)),
            _ => self.misplaced("a decimal"),
        }
        self
    }

    /// A time cell.
    pub fn time(&mut self, value: impl Into<Option<Timestamp>>) -> &mut Rows {
        let value = value.into();
        match self.cell(value.is_none()) {
            Some(Cells::Time(cells)) => cells.append_option(value.map(Timestamp::nanos)),
            _ => self.misplaced("a time"),
        }
        self
    }

    /// An integer cell.
    pub fn integer(&mut self, value: impl Into<Option<i64>>) -> &mut Rows {
        let value = value.into();
        match self.cell(value.is_none()) {
            Some(Cells::Integer(cells)) => cells.append_option(value),
            _ => self.misplaced("an integer"),
        }
        self
    }

    /// An integer cell from an unsigned value.
    pub fn unsigned(&mut self, value: impl Into<Option<u64>>) -> &mut Rows {
        let value: Option<u64> = value.into();
        let signed = value.map(i64::try_from);
        if let (Some(value), Some(Err(_))) = (value, signed) {
            self.out_of_range(value.to_string(), INTEGER_LIMIT);
        }
        self.integer(signed.map(|s| s.unwrap_or_default()))
    }

    /// A boolean cell.
    pub fn boolean(&mut self, value: impl Into<Option<bool>>) -> &mut Rows {
        let value = value.into();
        match self.cell(value.is_none()) {
            Some(Cells::Boolean(cells)) => cells.append_option(value),
            _ => self.misplaced("a boolean"),
        }
        self
    }

    /// Ends the row.
    pub fn end(&mut self) {
        if self.at != self.columns.len() {
            self.fail(format!("a row ended after {} of {} cells", self.at, self.columns.len()));
        }
        self.at = 0;
        self.rows += 1;
    }

    /// The rows, or the first mistake made with them.
    pub fn finish(self) -> Result<RecordBatch, LakeError> {
        let Rows { table, cells, error, .. } = self;
        if let Some(error) = error {
            return Err(error);
        }
        let arrays = cells
            .into_iter()
            .map(|cells| -> ArrayRef {
                match cells {
                    Cells::Text(mut c) => Arc::new(c.finish()),
                    Cells::Decimal(mut c) => Arc::new(c.finish()),
                    Cells::Time(mut c) => Arc::new(c.finish()),
                    Cells::Integer(mut c) => Arc::new(c.finish()),
                    Cells::Boolean(mut c) => Arc::new(c.finish()),
                }
            })
            .collect();
        RecordBatch::try_new(table.schema(), arrays).map_err(|e| LakeError::Rows { table, reason: e.to_string() })
    }

    /// The cells of the column that comes next; also refuses a null where none may be.
    fn cell(&mut self, null: bool) -> Option<&mut Cells> {
        let at = self.at;
        self.at += 1;
        if let Some(column) = self.columns.get(at).filter(|c| null && !c.nullable) {
            self.fail(format!("{} must not be null", column.name));
        }
        self.cells.get_mut(at)
    }

    fn misplaced(&mut self, what: &str) {
        let column = self.columns.get(self.at - 1).map_or("no column", |c| c.name);
        self.fail(format!("{what} was given for {column}"));
    }

    fn out_of_range(&mut self, value: String, limit: &'static str) {
        let column = self.columns.get(self.at).map_or("", |c| c.name);
        let value = value.chars().take(ERROR_VALUE_CHARS_MAX).collect();
        self.error.get_or_insert(LakeError::OutOfRange { table: self.table, column, value, limit });
    }

    fn fail(&mut self, reason: String) {
        self.error.get_or_insert(LakeError::Rows { table: self.table, reason });
    }
}

/// Returns true if a mantissa has no more digits than a decimal column.
fn fits(mantissa: i128) -> bool {
    mantissa.unsigned_abs() < 10u128.pow(u32::from(DECIMAL_PRECISION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;
    use arrow::array::AsArray;
    use arrow::datatypes::Decimal128Type;

    fn price(text: &str) -> Result<RecordBatch, LakeError> {
        let mut rows = Rows::new(Table::MarkPrices);
        rows.text("kraken").text("BTC.USD").time(Timestamp(0)).decimal(text.parse::<Decimal>().unwrap());
        rows.text("kraken").text("live").text("bafk").time(Timestamp(0)).integer(0).end();
        rows.finish()
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let batch = price("12345678901234567890.123456789012345678").unwrap();
        let prices = batch.column(3).as_primitive::<Decimal128Type>();
        assert_eq!(prices.value_as_string(0), "12345678901234567890.123456789012345678");
        for text in ["0.0000000000000000001", "123456789012345678901", "-123456789012345678901"] {
            let error = price(text).unwrap_err();
            assert!(matches!(&error, LakeError::OutOfRange { table: Table::MarkPrices, column: "price", .. }));
            assert!(error.to_string().contains(text), "{error}");
        }
        // Zeros at the end are no digits.
        assert!(price("0.10000000000000000000000").is_ok());
    }

    #[test]
    fn rows_against_the_schema_are_refused() {
        let mut rows = Rows::new(Table::MarkPrices);
        rows.text("kraken").decimal(Decimal::ZERO);
        rows.end();
        assert!(matches!(rows.finish(), Err(LakeError::Rows { table: Table::MarkPrices, .. })));
        let mut rows = Rows::new(Table::MarkPrices);
        rows.text(None);
        assert!(rows.finish().unwrap_err().to_string().contains("exchange must not be null"));
        assert_eq!(Rows::new(Table::Trades).finish().unwrap().column(0).len(), 0);
    }

    #[test]
    fn counts_above_63_bits_are_refused() {
        let mut rows = Rows::new(Table::LedgerBlocks);
        rows.unsigned(u64::MAX);
        assert!(matches!(rows.finish(), Err(LakeError::OutOfRange { column: "height", .. })));
    }
}
