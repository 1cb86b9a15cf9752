//! Merging small files of a partition.
//!
//! Files have a level: flushed ones 0, a merge of level n gives n + 1, so a row is rewritten a few times at most. What
//! is left of an hour is merged once the table has gone on by two hours. Nothing here depends on a clock: the same
//! files lead to the same merge.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use crate::config::Config;
use crate::encode;
use crate::error::LakeError;
use crate::files::{FileEntry, Format};
use crate::parquet_file;
use crate::table::Table;

/// Hours after which an hour gets no more rows in the normal course of things.
const CLOSED_AFTER_HOURS: i64 = 2;

/// Level of a file that holds all of a closed hour.
const LEVEL_CLOSED: u8 = 9;

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

/// The merged file.
pub(crate) fn merge(job: &Job, files: Vec<Bytes>, version: u64) -> Result<(FileEntry, (String, Vec<u8>)), LakeError> {
    let schema = job.table.schema();
    let mut batches = Vec::new();
    for bytes in files {
        batches.extend(parquet_file::read(bytes, &schema)?);
    }
    let rows = concat_batches(&schema, &batches).map_err(|e| LakeError::encoding(job.table, e))?;
    let expected: u64 = job.files.iter().map(|f| f.rows).sum();
    if rows.num_rows() as u64 != expected {
        let reason = format!("its files hold {} rows, the manifest says {expected}", rows.num_rows());
        return Err(LakeError::corrupt(job.table, reason));
    }
    drop(batches);
    encode::parquet(job.table, job.hour, job.level, version, &sorted(job.table, &rows)?)
}

fn sorted(table: Table, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let fail = |e: arrow::error::ArrowError| LakeError::encoding(table, e);
    let columns = table.spec().sort_columns.iter().filter_map(|name| rows.column_by_name(name));
    let columns: Vec<SortColumn> = columns.map(|c| SortColumn { values: Arc::clone(c), options: None }).collect();
    let order = lexsort_to_indices(&columns, None).map_err(fail)?;
    take_record_batch(rows, &order).map_err(fail)
}
