//! From rows in memory to the bytes of files.

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use openmesh_primitives::Timestamp;

use crate::error::LakeError;
use crate::files::{FileEntry, Format};
use crate::table::Table;
use crate::tail::{Tail, partition_path, time_span};
use crate::{avro, parquet_file};

/// Files to write, and what the manifest says about them.
#[derive(Default)]
pub(crate) struct Encoded {
    pub entries: Vec<FileEntry>,
    pub objects: Vec<(String, Vec<u8>)>,
}

/// A file for every table and partition of a tail.
pub(crate) fn tail(tail: &Tail, version: u64, with_avro: bool) -> Result<Encoded, LakeError> {
    let mut encoded = Encoded::default();
    for (table, hour, pieces) in tail.partitions() {
        if pieces.is_empty() {
            continue;
        }
        let batches = pieces.iter().map(|p| &p.batch);
        let rows = concat_batches(&table.schema(), batches).map_err(|e| LakeError::encoding(table, e))?;
        let (entry, object) = parquet(table, hour, 0, version, &rows)?;
        if with_avro && table.is_chain() {
            let bytes = avro::write(table, &rows)?;
            let path = entry.path.replace(".parquet", ".avro");
            let path = format!("avro/{path}");
            encoded.entries.push(FileEntry {
                path: path.clone(),
                format: Format::Avro,
                bytes: bytes.len() as u64,
                ..entry.clone()
            });
            encoded.objects.push((path, bytes));
        }
        encoded.entries.push(entry);
        encoded.objects.push(object);
    }
    Ok(encoded)
}

/// One Parquet file.
fn parquet(
    table: Table,
    hour: i64,
    level: u8,
    version: u64,
    rows: &RecordBatch,
) -> Result<(FileEntry, (String, Vec<u8>)), LakeError> {
    let bytes = parquet_file::write(table.schema(), std::slice::from_ref(rows), &[])?;
    let span = time_span(table, std::slice::from_ref(rows))?;
    Ok(entry(table, (hour, level, version), rows.num_rows() as u64, span, bytes))
}

/// The manifest's entry for a Parquet file, by hour, level and version, with its path and bytes. The version in its name makes it unique: a version is used by
/// one commit only.
pub(crate) fn entry(
    table: Table,
    (hour, level, version): (i64, u8, u64),
    rows: u64,
    (from, to): (Timestamp, Timestamp),
    bytes: Vec<u8>,
) -> (FileEntry, (String, Vec<u8>)) {
    let path = format!("{table}/{}/{version:012}-{level}.parquet", partition_path(hour));
    let entry = FileEntry {
        path: path.clone(),
        table: table.name().to_string(),
        format: Format::Parquet,
        hour,
        level,
        rows,
        bytes: bytes.len() as u64,
        from,
        to,
    };
    (entry, (path, bytes))
}
