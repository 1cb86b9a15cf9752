//! Snapshots: consistent looks at the lake.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use openmesh_primitives::Timestamp;

use crate::lake::Lake;
use crate::manifest::{FileEntry, Format, Manifest};
use crate::table::Table;
use crate::tail::Tail;

/// The Parquet files of each table, as one commit left them.
#[derive(Debug)]
pub(crate) struct FileLists(Vec<Arc<[DataFile]>>);

impl Default for FileLists {
    fn default() -> FileLists {
        FileLists::of([].iter())
    }
}

impl FileLists {
    pub(crate) fn of<'a>(files: impl Iterator<Item = &'a Arc<FileEntry>>) -> FileLists {
        let mut lists: Vec<Vec<DataFile>> = Table::ALL.iter().map(|_| Vec::new()).collect();
        for file in files.filter(|f| f.format == Format::Parquet) {
            if let Ok(table) = file.table() {
                lists[table as usize].push(DataFile { entry: Arc::clone(file) });
            }
        }
        FileLists(lists.into_iter().map(Arc::from).collect())
    }
}

/// A consistent look at all tables.
#[derive(Clone)]
pub struct Snapshot {
    version: u64,
    tables: Vec<TableSnapshot>,
    /// Keeps the folder's lock while its files are read.
    _lake: Lake,
}

impl Snapshot {
    /// Joins what is durable and what is in memory, which share no row.
    pub(crate) fn of<'a>(manifest: &Manifest, tails: impl Iterator<Item = &'a Tail>, lake: Lake) -> Snapshot {
        let lists = manifest.lists();
        let mut tables: Vec<TableSnapshot> =
            lists.0.iter().map(|files| TableSnapshot { files: Arc::clone(files), tail: Vec::new() }).collect();
        for tail in tails {
            for table in Table::ALL {
                tables[table as usize].tail.extend(tail.batches(table));
            }
        }
        Snapshot { version: manifest.version(), tables, _lake: lake }
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

/// A Parquet file of a table. It is not deleted while this lives.
#[derive(Clone, Debug)]
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
