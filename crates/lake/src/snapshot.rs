//! Looking at the lake.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use openmesh_primitives::Timestamp;

use crate::lake::Lake;
use crate::manifest::{FileEntry, Format, Manifest};
use crate::table::Table;
use crate::tail::Tail;

/// A consistent look at all tables.
#[derive(Clone)]
pub struct Snapshot {
    version: u64,
    tables: Vec<TableSnapshot>,
    /// Keeps the folder's lock while its files are read.
    _lake: Lake,
}

impl Snapshot {
    /// What is durable and what is in memory, which share no row.
    pub(crate) fn of<'a>(manifest: &Manifest, tails: impl Iterator<Item = &'a Tail>, lake: Lake) -> Snapshot {
        let mut tables: Vec<TableSnapshot> = Table::ALL.iter().map(|_| TableSnapshot::default()).collect();
        for file in manifest.files().filter(|f| f.format == Format::Parquet) {
            if let Ok(table) = file.table() {
                tables[table as usize].files.push(DataFile { entry: Arc::clone(file) });
            }
        }
        for tail in tails {
            for table in Table::ALL {
                tables[table as usize].tail.extend(tail.batches(table));
            }
        }
        Snapshot { version: manifest.version(), tables, _lake: lake }
    }

    /// One table.
    pub fn table(&self, table: Table) -> &TableSnapshot {
        &self.tables[table as usize]
    }

    /// Version of the manifest that it shows, apart from rows in memory.
    pub const fn version(&self) -> u64 {
        self.version
    }
}

/// A table in a snapshot: no row is in two of its files and batches.
#[derive(Clone, Default)]
pub struct TableSnapshot {
    files: Vec<DataFile>,
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

/// A Parquet file of a table. It is not deleted while this lives.
#[derive(Clone)]
pub struct DataFile {
    entry: Arc<FileEntry>,
}

impl DataFile {
    /// Path in [`Lake::object_store`].
    pub fn path(&self) -> &str {
        &self.entry.path
    }

    /// Size.
    pub fn bytes(&self) -> u64 {
        self.entry.bytes
    }

    /// Rows.
    pub fn rows(&self) -> u64 {
        self.entry.rows
    }

    /// Smallest and largest value of the table's time column.
    pub fn time_span(&self) -> (Timestamp, Timestamp) {
        (self.entry.from, self.entry.to)
    }
}
