//! Files of the lake, as the manifest describes them.

use std::sync::Arc;

use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::LakeError;
use crate::table::Table;

/// Form of a file, and so its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Read by queries.
    Parquet,
    /// The same rows for readers of Avro.
    Avro,
}

/// A file of the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub path: String,
    pub table: String,
    pub format: Format,
    /// Its partition, in hours since 1970 (UTC).
    pub hour: i64,
    /// Number of times that its rows were merged: 0 as flushed.
    pub level: u8,
    pub rows: u64,
    pub bytes: u64,
    /// Smallest and largest value of the table's time column.
    pub from: Timestamp,
    /// See `from`.
    pub to: Timestamp,
}

impl FileEntry {
    pub(crate) fn table(&self) -> Result<Table, LakeError> {
        self.table.parse().map_err(|e| LakeError::corrupt(&self.path, e))
    }
}

/// The Parquet files of each table, as one commit left them.
#[derive(Debug)]
pub(crate) struct FileLists(pub(crate) Vec<Arc<[DataFile]>>);

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
