//! Merging small files of a partition.
//!
//! Files have a level: flushed ones 0, a merge of level n gives n + 1, so a row is rewritten a few times at most. What
//! is left of an hour is merged once the table has gone on by two hours. Nothing here depends on a clock: the same
//! files lead to the same merge. Files of level 1 and above are read in step, a batch of each at a time; flushed ones are in no order and are read whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{SortColumn, concat_batches, interleave_record_batch, lexsort_to_indices, take_record_batch};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use bytes::Bytes;
use openmesh_primitives::Timestamp;

use crate::config::Config;
use crate::encode;
use crate::error::LakeError;
use crate::files::{FileEntry, Format};
use crate::parquet_file;
use crate::table::Table;
use crate::tail::time_span;

/// Hours after which an hour gets no more rows in the normal course of things.
const CLOSED_AFTER_HOURS: i64 = 2;

/// Level of a file that holds all of a closed hour.
const LEVEL_CLOSED: u8 = 9;

/// Level of flushed files, whose rows are as they came.
const FLUSHED: u8 = 0;

/// Rows of a batch on its way into a merged file: what readers of Parquet give at a time.
const BATCH_ROWS: usize = 8_192;

/// Files to be made into one.
pub(crate) struct Job {
    pub table: Table,
    pub hour: i64,
    pub level: u8,
    pub files: Vec<Arc<FileEntry>>,
}

/// The next merge that is due.
pub(crate) fn pick<'a>(files: impl Iterator<Item = &'a Arc<FileEntry>>, config: &Config) -> Option<Job> {
    let mut partitions: BTreeMap<(Table, i64), Vec<&Arc<FileEntry>>> = BTreeMap::new();
    let mut newest: BTreeMap<Table, i64> = BTreeMap::new();
    for file in files.filter(|f| f.format == Format::Parquet) {
        let Ok(table) = file.table() else { continue };
        partitions.entry((table, file.hour)).or_default().push(file);
        let newest = newest.entry(table).or_insert(file.hour);
        *newest = file.hour.max(*newest);
    }
    partitions.into_iter().find_map(|((table, hour), files)| {
        let closed = newest.get(&table).is_some_and(|n| hour + CLOSED_AFTER_HOURS <= *n);
        let (level, files) = if closed {
            (LEVEL_CLOSED, within_limit(files.into_iter(), config))
        } else {
            (0..LEVEL_CLOSED - 1).find_map(|level| {
                let same = within_limit(files.iter().copied().filter(|f| f.level == level), config);
                (same.len() >= config.compact_files_min).then_some((level + 1, same))
            })?
        };
        (files.len() > 1).then(|| Job { table, hour, level, files: files.into_iter().cloned().collect() })
    })
}

/// Paths of the files that are older than their tables keep, in all formats.
pub(crate) fn expired<'a>(files: impl Iterator<Item = &'a Arc<FileEntry>> + Clone, config: &Config) -> Vec<String> {
    let Some(hours) = config.retain_hours.map(i64::from) else { return Vec::new() };
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for file in files.clone() {
        let newest = newest.entry(&file.table).or_insert(file.hour);
        *newest = file.hour.max(*newest);
    }
    let old = |file: &&Arc<FileEntry>| newest.get(file.table.as_str()).is_some_and(|n| file.hour < n - hours);
    files.filter(old).map(|file| file.path.clone()).collect()
}

/// As many of the files, oldest first, as one merge may hold.
fn within_limit<'a>(files: impl Iterator<Item = &'a Arc<FileEntry>>, config: &Config) -> Vec<&'a Arc<FileEntry>> {
    let mut files: Vec<_> = files.filter(|f| f.rows < config.compact_rows_max / 2).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut rows = 0;
    files
        .into_iter()
        .take_while(|f| {
            rows += f.rows;
            rows <= config.compact_rows_max
        })
        .collect()
}

/// The merged file. One batch of each file is in memory at a time, and a whole file only where its rows are in no order yet.
pub(crate) fn merge(job: &Job, files: Vec<Bytes>, version: u64) -> Result<(FileEntry, (String, Vec<u8>)), LakeError> {
    let mut runs = Vec::with_capacity(files.len());
    for (entry, bytes) in job.files.iter().zip(files) {
        runs.push(if entry.level == FLUSHED { unordered(job.table, bytes)? } else { ordered(job.table, bytes)? });
    }
    let mut merging = Merging::new(job.table, runs)?;
    let mut file = parquet_file::Written::of_table(job.table.schema())?;
    let (mut rows, mut span) = (0, None::<(Timestamp, Timestamp)>);
    while let Some(batch) = merging.next()? {
        file.add(&batch)?;
        rows += batch.num_rows() as u64;
        let (from, to) = time_span(job.table, std::slice::from_ref(&batch))?;
        span = Some(span.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
    }
    let expected: u64 = job.files.iter().map(|f| f.rows).sum();
    if rows != expected {
        let reason = format!("its files hold {rows} rows, the manifest says {expected}");
        return Err(LakeError::corrupt(job.table, reason));
    }
    let span = span.unwrap_or((Timestamp(0), Timestamp(0)));
    Ok(encode::entry(job.table, (job.hour, job.level, version), rows, span, file.finish()?))
}

/// Rows of a file in their order, a batch at a time.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, LakeError>>>;

fn ordered(table: Table, bytes: Bytes) -> Result<Batches, LakeError> {
    Ok(Box::new(parquet_file::Batches::of(bytes, &table.schema())?))
}

fn unordered(table: Table, bytes: Bytes) -> Result<Batches, LakeError> {
    let schema = table.schema();
    let batches = parquet_file::read(bytes, &schema)?;
    let rows = concat_batches(&schema, &batches).map_err(|e| LakeError::encoding(table, e))?;
    drop(batches);
    Ok(Box::new(std::iter::once(sorted(table, &rows))))
}

fn sorted(table: Table, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let fail = |e: arrow::error::ArrowError| LakeError::encoding(table, e);
    let columns = sort_columns(table, rows);
    let columns: Vec<SortColumn> = columns.into_iter().map(|values| SortColumn { values, options: None }).collect();
    let order = lexsort_to_indices(&columns, None).map_err(fail)?;
    take_record_batch(rows, &order).map_err(fail)
}

fn sort_columns(table: Table, rows: &RecordBatch) -> Vec<ArrayRef> {
    table.spec().sort_columns.iter().filter_map(|name| rows.column_by_name(name)).cloned().collect()
}

/// A file on its way into the merged one.
struct Run {
    left: Batches,
    batch: RecordBatch,
    /// Keys of the batch's rows, comparable as bytes.
    keys: Rows,
    /// The first row of the batch that is not merged yet.
    at: usize,
}

/// Files that are merged in the order of their table's sort columns; rows with equal keys keep the order of their files.
struct Merging {
    table: Table,
    converter: RowConverter,
    runs: Vec<Run>,
}

impl Merging {
    fn new(table: Table, files: Vec<Batches>) -> Result<Merging, LakeError> {
        let fail = |e: arrow::error::ArrowError| LakeError::encoding(table, e);
        let schema = table.schema();
        let columns = table.spec().sort_columns.iter().filter_map(|name| schema.column_with_name(name));
        let fields = columns.map(|(_, field)| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(fail)?;
        let mut merging = Merging { table, converter, runs: Vec::with_capacity(files.len()) };
        for left in files {
            if let Some(run) = merging.run(left)? {
                merging.runs.push(run);
            }
        }
        Ok(merging)
    }

    /// The next batch of a file that has rows; none at its end.
    fn run(&self, mut left: Batches) -> Result<Option<Run>, LakeError> {
        for batch in left.by_ref() {
            let batch = batch?;
            if batch.num_rows() > 0 {
                let keys = self.converter.convert_columns(&sort_columns(self.table, &batch));
                let keys = keys.map_err(|e| LakeError::encoding(self.table, e))?;
                return Ok(Some(Run { left, batch, keys, at: 0 }));
            }
        }
        Ok(None)
    }

    /// Returns true where a row of a run comes before the first one of another run that is left.
    fn is_before(&self, run: usize, row: usize, other: usize) -> bool {
        let (one, two) = (self.runs[run].keys.row(row), self.runs[other].keys.row(self.runs[other].at));
        one.cmp(&two).then(run.cmp(&other)).is_lt()
    }

    /// The run whose row is next, and the one whose row comes then.
    fn lowest(&self) -> Option<(usize, Option<usize>)> {
        let mut runs = 0..self.runs.len();
        let (mut first, mut second) = (runs.next()?, None);
        for run in runs {
            if self.is_before(run, self.runs[run].at, first) {
                (first, second) = (run, Some(first));
            } else if second.is_none_or(|second| self.is_before(run, self.runs[run].at, second)) {
                second = Some(run);
            }
        }
        Some((first, second))
    }

    /// The next rows; none at the end.
    fn next(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        let mut picked: Vec<(usize, usize)> = Vec::with_capacity(BATCH_ROWS);
        let mut used_up = None;
        while picked.len() < BATCH_ROWS
            && used_up.is_none()
            && let Some((first, second)) = self.lowest()
        {
            let (mut at, rows) = (self.runs[first].at, self.runs[first].batch.num_rows());
            while picked.len() < BATCH_ROWS
                && at < rows
                && second.is_none_or(|second| self.is_before(first, at, second))
            {
                picked.push((first, at));
                at += 1;
            }
            self.runs[first].at = at;
            used_up = (at == rows).then_some(first);
        }
        if picked.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.runs.iter().map(|run| &run.batch).collect();
        let merged = interleave_record_batch(&batches, &picked).map_err(|e| LakeError::encoding(self.table, e))?;
        if let Some(run) = used_up {
            let Run { left, .. } = self.runs.remove(run);
            if let Some(next) = self.run(left)? {
                self.runs.insert(run, next);
            }
        }
        Ok(Some(merged))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::*;

    const TABLE: Table = Table::NodeIncidents;

    /// Rows of a table without a type of their own, whose sort columns have these values.
    fn batch(keys: &[u8]) -> RecordBatch {
        use arrow::array::{Int64Array, StringViewArray, TimestampNanosecondArray, new_null_array};
        let schema = TABLE.schema();
        let columns = schema.fields().iter().enumerate().map(|(place, field)| -> ArrayRef {
            let sorted = TABLE.spec().sort_columns.contains(&field.name().as_str());
            let value = |index: usize| if sorted { i64::from(keys[index] >> place.min(6)) } else { index as i64 };
            let values = 0..keys.len();
            match field.data_type() {
                DataType::Utf8View => {
                    Arc::new(StringViewArray::from_iter_values(values.map(|i| format!("{:03}", value(i)))))
                }
                DataType::Int64 => Arc::new(Int64Array::from_iter_values(values.map(value))),
                DataType::Timestamp(..) => {
                    Arc::new(TimestampNanosecondArray::from_iter_values(values.map(value)).with_timezone("UTC"))
                }
                kind => new_null_array(kind, keys.len()),
            }
        });
        RecordBatch::try_new(TABLE.schema(), columns.collect()).unwrap()
    }

    fn keys(rows: &RecordBatch) -> Vec<String> {
        let columns = sort_columns(TABLE, rows);
        let text = |row: usize| {
            let cells = columns.iter().map(|column| arrow::util::display::array_value_to_string(column, row).unwrap());
            cells.collect::<Vec<_>>().join("|")
        };
        (0..rows.num_rows()).map(text).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A merge has the rows of its files in the order in which sorting all of them at once brings them.
        #[test]
        fn a_merge_has_all_rows_in_order(files in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<u8>(), 0..400)), 1..9)
        ) {
            let mut entries = Vec::new();
            let mut bytes = Vec::new();
            let mut all = Vec::new();
            for (number, (is_sorted, rows)) in files.iter().enumerate() {
                let rows = batch(rows);
                all.push(rows.clone());
                let (level, rows) = if *is_sorted { (1, sorted(TABLE, &rows).unwrap()) } else { (FLUSHED, rows) };
                let file = parquet_file::write(TABLE.schema(), std::slice::from_ref(&rows), &[]).unwrap();
                let count = rows.num_rows() as u64;
                let span = (Timestamp(0), Timestamp(0));
                entries.push(Arc::new(encode::entry(TABLE, (5, level, number as u64), count, span, file.clone()).0));
                bytes.push(Bytes::from(file));
            }
            let job = Job { table: TABLE, hour: 5, level: 2, files: entries };
            let (entry, (_, file)) = merge(&job, bytes, 99).unwrap();
            let merged = concat_batches(&TABLE.schema(), &parquet_file::read(file.into(), &TABLE.schema()).unwrap()).unwrap();
            let expected = sorted(TABLE, &concat_batches(&TABLE.schema(), &all).unwrap()).unwrap();
            prop_assert_eq!(keys(&merged), keys(&expected));
            prop_assert_eq!(entry.rows, expected.num_rows() as u64);
            prop_assert_eq!((entry.from, entry.to), if entry.rows == 0 { (Timestamp(0), Timestamp(0)) } else { time_span(TABLE, &[expected]).unwrap() });
        }
    }

    /// Files of several batches each, whose ends do not fall together.
    #[test]
    fn a_merge_goes_on_over_the_ends_of_batches() {
        let (mut entries, mut bytes, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (number, count) in [20_000_usize, 8_192, 30_001].into_iter().enumerate() {
            let values: Vec<u8> = (0..count).map(|row| (row * (number + 7) % 251) as u8).collect();
            let rows = sorted(TABLE, &batch(&values)).unwrap();
            let file = parquet_file::write(TABLE.schema(), std::slice::from_ref(&rows), &[]).unwrap();
            let span = (Timestamp(0), Timestamp(0));
            let (entry, (_, file)) = encode::entry(TABLE, (5, 1, number as u64), count as u64, span, file);
            entries.push(Arc::new(entry));
            bytes.push(Bytes::from(file));
            all.push(rows);
        }
        let job = Job { table: TABLE, hour: 5, level: 2, files: entries };
        let (_, (_, file)) = merge(&job, bytes, 99).unwrap();
        let merged =
            concat_batches(&TABLE.schema(), &parquet_file::read(file.into(), &TABLE.schema()).unwrap()).unwrap();
        let expected = sorted(TABLE, &concat_batches(&TABLE.schema(), &all).unwrap()).unwrap();
        assert!(keys(&merged) == keys(&expected));
    }

    /// Rows of book levels.
    fn levels(seed: usize, count: usize) -> RecordBatch {
        use arrow::array::{
            BooleanArray, Decimal128Array, Int64Array, StringViewArray, TimestampNanosecondArray, new_null_array,
        };
        let schema = Table::BookLevels.schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let rows = 0..count;
            match field.data_type() {
                DataType::Utf8View => Arc::new(StringViewArray::from_iter_values(
                    rows.map(|row| format!("value-{:012}", (row * 7_919 + seed) % 50)),
                )),
                DataType::Int64 => Arc::new(Int64Array::from_iter_values(rows.map(|row| (row + seed) as i64))),
                DataType::Timestamp(..) => {
                    let times = rows.map(|row| (seed * 1_000_000 + row) as i64);
                    Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"))
                }
                DataType::Decimal128(precision, scale) => {
                    let values = rows.map(|row| row as i128 * 1_000_000_000_000_007);
                    let array = Decimal128Array::from_iter_values(values);
                    Arc::new(array.with_precision_and_scale(*precision, *scale).unwrap())
                }
                DataType::Boolean => Arc::new(rows.map(|row| Some(row % 2 == 0)).collect::<BooleanArray>()),
                kind => new_null_array(kind, count),
            }
        });
        RecordBatch::try_new(Table::BookLevels.schema(), columns.collect()).unwrap()
    }

    /// High-water mark of this process' memory, KiB.
    fn high_water() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// All rows in memory, as a merge would be without keeping step.
    fn at_once(table: Table, files: Vec<Bytes>) -> usize {
        let batches = files.into_iter().flat_map(|file| parquet_file::read(file, &table.schema()).unwrap());
        let rows = concat_batches(&table.schema(), &batches.collect::<Vec<_>>()).unwrap();
        let rows = sorted(table, &rows).unwrap();
        parquet_file::write(table.schema(), &[rows], &[]).unwrap().len()
    }

    #[test]
    #[ignore = "a measurement: run it by name, alone"]
    fn memory_of_a_merge() {
        const ROWS: usize = 250_000;
        let table = Table::BookLevels;
        let (mut entries, mut files) = (Vec::new(), Vec::new());
        for number in 0..8 {
            let rows = sorted(table, &levels(number, ROWS)).unwrap();
            let file = parquet_file::write(table.schema(), &[rows], &[]).unwrap();
            let span = (Timestamp(0), Timestamp(0));
            let (entry, (_, bytes)) = encode::entry(table, (5, 1, number as u64), ROWS as u64, span, file);
            entries.push(Arc::new(entry));
            files.push(Bytes::from(bytes));
        }
        let job = Job { table, hour: 5, level: 2, files: entries };
        let (before, begun) = (high_water(), std::time::Instant::now());
        let (way, bytes) = match std::env::var_os("OPENMESH_AT_ONCE") {
            Some(_) => ("at once", at_once(table, files)),
            None => ("in step", merge(&job, files, 7).unwrap().1.1.len()),
        };
        println!("{way}: {} KiB more, {:?}, {bytes} bytes", high_water() - before, begun.elapsed());
    }
}
