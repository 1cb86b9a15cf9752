//! Snapshots: consistent looks at the lake.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use crate::disk::Disk;
use crate::files::{DataFile, FileLists};
use crate::table::Table;
use crate::tail::Tail;

/// A consistent look at all tables.
#[derive(Clone)]
pub struct Snapshot {
    version: u64,
    tables: Vec<TableSnapshot>,
    /// Keeps the folder's lock while its files are read.
    _disk: Arc<Disk>,
}

impl Snapshot {
    /// Joins what is durable and what is in memory, which share no row.
    pub(crate) fn of<'a>(
        version: u64,
        files: &FileLists,
        tails: impl Iterator<Item = &'a Tail>,
        disk: &Arc<Disk>,
    ) -> Snapshot {
        let mut tables: Vec<TableSnapshot> =
            files.0.iter().map(|files| TableSnapshot { files: Arc::clone(files), tail: Vec::new() }).collect();
        for tail in tails {
            for table in Table::ALL {
                tables[table as usize].tail.extend(tail.batches(table));
            }
        }
        Snapshot { version, tables, _disk: Arc::clone(disk) }
    }

    /// Returns one table.
    pub fn table(&self, table: Table) -> &TableSnapshot {
        &self.tables[table as usize]
    }

    /// Version of the manifest that it shows, apart from rows in memory.
    pub const fn version(&self) -> u64 {
        self.version
    }
}

/// A table in a snapshot: no row is in two of its files and batches.
#[derive(Clone)]
pub struct TableSnapshot {
    files: Arc<[DataFile]>,
    tail: Vec<RecordBatch>,
}

impl TableSnapshot {
    /// Parquet files.
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// Rows in memory.
    pub fn tail(&self) -> &[RecordBatch] {
        &self.tail
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        let files: u64 = self.files.iter().map(DataFile::rows).sum();
        files + self.tail.iter().map(|b| b.num_rows() as u64).sum::<u64>()
    }
}
