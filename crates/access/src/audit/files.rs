//! The files of a log, by their numbers, and the mark of its last record.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::record::{Head, Record};
use crate::error::AccessError;
use crate::file::read;

/// The newest file with its content, and the last record of all.
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) content: Vec<u8>,
    pub(super) head: Head,
}

/// Looks at a log as it is.
pub(super) fn find(folder: &Path) -> Result<Found, AccessError> {
    let files = numbers(folder)?;
    let number = files.last_key_value().map_or(1, |(number, _)| *number);
    let newest = path(folder, number);
    let content = read(&newest).map_err(AccessError::file("reading", &newest))?.unwrap_or_default();
    let head_path = folder.join("head");
    let marked = read(&head_path).map_err(AccessError::file("reading", &head_path))?;
    let marked = marked.and_then(|bytes| Head::of_file(&bytes)).unwrap_or_default();
    let last = last(&files)?;
    // Where records are gone the log goes on after them, so that it never fits together again.
    Ok(Found { number, content, head: if marked.sequence > last.sequence { marked } else { last } })
}

/// Opens the mark's file.
pub(super) fn open_head(path: &Path) -> Result<File, AccessError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    file.map_err(AccessError::file("opening", path))
}

/// Path of a file by its number.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.jsonl"))
}

/// Files of a log by their numbers.
pub(super) fn numbers(folder: &Path) -> Result<BTreeMap<u64, PathBuf>, AccessError> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(AccessError::file("listing", folder))? {
        let path = entry.map_err(AccessError::file("listing", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jsonl"));
        // Eight digits, so that no number overflows.
        if let Some(number) = name.filter(|name| name.len() == 8).and_then(|name| name.parse().ok()) {
            found.insert(number, path);
        }
    }
    Ok(found)
}

/// The last record that is whole.
fn last(files: &BTreeMap<u64, PathBuf>) -> Result<Head, AccessError> {
    for path in files.values().rev() {
        let bytes = read(path).map_err(AccessError::file("reading", path))?.unwrap_or_default();
        if let Some((_, head)) = bytes.rsplit(|byte| *byte == b'\n').find_map(Record::parse) {
            return Ok(head);
        }
    }
    Ok(Head::default())
}

/// Opens a file at its end.
pub(super) fn append(path: &Path) -> Result<File, AccessError> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(AccessError::file("opening", path))
}
