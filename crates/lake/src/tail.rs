//! Rows that are not in files yet.
//!
//! They are part of every query from the moment they are appended. Losing them in a crash loses nothing: each came with
//! a key, keys become durable only together with files, and what is missing is appended again from the content store.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use arrow::record_batch::RecordBatch;
use openmesh_primitives::Timestamp;

use crate::error::LakeError;
use crate::fill::Part;
use crate::keys::Key;
use crate::table::Table;

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// The partition of a time: hours since 1970 in UTC.
pub(crate) const fn hour_of(at: Timestamp) -> i64 {
    at.0.div_euclid(HOUR_NANOS)
}

/// `year=2026/month=08/day=09/hour=21`.
pub(crate) fn partition_path(hour: i64) -> String {
    let at = Timestamp(hour.saturating_mul(HOUR_NANOS));
    let (year, month, day) = at.date();
    format!("year={year:04}/month={month:02}/day={day:02}/hour={:02}", at.hour())
}

/// A piece of rows, and where it stands among the pieces of its file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub order: String,
    pub batch: RecordBatch,
}

/// Rows in memory, with what becomes durable together with them.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pieces: BTreeMap<(Table, i64), Vec<Piece>>,
    keys: HashSet<Key>,
    ledger_height: Option<u64>,
    rows: usize,
    bytes: usize,
    oldest: Option<Instant>,
}

/// Rows that are appended as one, with their identity.
pub(crate) struct Unit {
    pub parts: Vec<Part>,
    pub mark: Mark,
}

/// Identity of a unit, by which it is recognised when it comes again.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Key(Key),
    LedgerHeight(u64),
}

impl Tail {
    pub(crate) fn push(&mut self, unit: Unit) {
        for part in unit.parts {
            self.rows += part.batch.num_rows();
            self.bytes += part.batch.get_array_memory_size();
            let piece = Piece { order: part.order, batch: part.batch };
            self.pieces.entry((part.table, hour_of(part.at))).or_default().push(piece);
        }
        match unit.mark {
            Mark::Key(key) => {
                self.keys.insert(key);
            }
            Mark::LedgerHeight(height) => self.ledger_height = Some(height),
        }
        self.oldest.get_or_insert_with(Instant::now);
    }

    pub(crate) fn has_key(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.keys.iter().copied().collect()
    }

    pub(crate) const fn ledger_height(&self) -> Option<u64> {
        self.ledger_height
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns true if there is nothing to make durable. A unit without rows still has a key.
    pub(crate) const fn is_empty(&self) -> bool {
        self.oldest.is_none()
    }

    pub(crate) fn age_ms(&self) -> u128 {
        self.oldest.map_or(0, |at| at.elapsed().as_millis())
    }

    /// The rows of a table, for queries.
    pub(crate) fn batches(&self, table: Table) -> impl Iterator<Item = RecordBatch> {
        self.pieces.range((table, i64::MIN)..=(table, i64::MAX)).flat_map(|(_, p)| p.iter().map(|p| p.batch.clone()))
    }

    /// Every file to be: table, partition, and its pieces in order.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (Table, i64, Vec<&Piece>)> {
        self.pieces.iter().map(|((table, hour), pieces)| {
            let mut pieces: Vec<&Piece> = pieces.iter().filter(|p| p.batch.num_rows() > 0).collect();
            pieces.sort_by(|a, b| a.order.cmp(&b.order));
            (*table, *hour, pieces)
        })
    }
}

/// Smallest and largest value of the table's time column.
pub(crate) fn time_span(table: Table, batches: &[RecordBatch]) -> Result<(Timestamp, Timestamp), LakeError> {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampNanosecondType;
    let name = table.spec().time_column;
    let mut span: Option<(i64, i64)> = None;
    for batch in batches {
        let column = batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>());
        let column = column.ok_or_else(|| LakeError::Rows { table, reason: format!("no time column {name}") })?;
        let (low, high) = (arrow::compute::min(column), arrow::compute::max(column));
        if let (Some(low), Some(high)) = (low, high) {
            span = Some(span.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
        }
    }
    let (from, to) = span.unwrap_or_default();
    Ok((Timestamp(from), Timestamp(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_hours_of_utc() {
        let at = Timestamp::parse_rfc3339(b"2026-08-09T21:59:59.999999999Z").unwrap();
        assert_eq!(partition_path(hour_of(at)), "year=2026/month=08/day=09/hour=21");
        assert_eq!(partition_path(hour_of(Timestamp(at.0 + 1))), "year=2026/month=08/day=09/hour=22");
        assert_eq!(partition_path(hour_of(Timestamp(-1))), "year=1969/month=12/day=31/hour=23");
    }
}
