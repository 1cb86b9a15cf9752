//! The audit log as it is written and read.
//!
//! A folder of files with numbers in their names, each of bounded size, the oldest of which go; and `head`, the mark of the last record. A record is written down before
//! its mark, and both before the change that it is about: a line that a power cut tore has no mark and no change after it, and that tells it from one that somebody cut.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use openmesh_primitives::{Timestamp, sha256};

use super::files::{append, find, numbers, open_head, path};
use super::filter::{Filter, LIST_MAX};
use super::record::{Head, Kind, Record};
use super::refusals::{MEMBERS_PER_DAY_MAX, MEMBERS_PER_MINUTE_MAX, STRANGERS_PER_DAY_MAX, STRANGERS_PER_MINUTE_MAX};
use super::request::{Request, fill};
use super::verify::{Check, Report};
use crate::count::Count;
use crate::error::AccessError;
use crate::file::{read, sync_folder};
use crate::moment::Moment;

/// Size at which a new file begins, bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files that are kept: with their size more than 100,000 records, years of a machine that people change a hundred times a day.
const FILES_KEPT: u64 = 16;

struct Inner {
    number: u64,
    file: File,
    bytes: u64,
    /// Size at which the next file begins.
    bytes_max: u64,
    /// The file is longer than that: a write has failed, and so has taking it back.
    is_torn: bool,
    head_file: File,
    head: Head,
    strangers: Count,
    members: Count,
    unrecorded: u64,
}

/// The audit log of an agent.
pub struct Log {
    folder: PathBuf,
    /// The mark's file, whose lock is the turn to write. Taken behind the other lock.
    turns: File,
    inner: Mutex<Inner>,
}

/// The turn to write.
struct Turn<'a>(&'a File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // It goes with the file in any case.
        let _ = self.0.unlock();
    }
}

impl Log {
    /// Opens the log in a folder. A last line that was cut is named by a record; a break is left as it is, and found by [`Log::verify`] for ever.
    ///
    /// # Errors
    /// A file cannot be read or made.
    pub fn open(folder: &Path, at: Timestamp) -> Result<Log, AccessError> {
        fs::create_dir_all(folder).map_err(AccessError::file("making", folder))?;
        let (found, head_path) = (find(folder)?, folder.join("head"));
        let inner = Inner {
            number: found.number,
            file: append(&path(folder, found.number))?,
            bytes: found.content.len() as u64,
            bytes_max: FILE_BYTES_MAX,
            is_torn: false,
            head_file: open_head(&head_path)?,
            head: found.head,
            strangers: Count::default(),
            members: Count::default(),
            unrecorded: 0,
        };
        let log = Log { folder: folder.into(), turns: open_head(&head_path)?, inner: Mutex::new(inner) };
        {
            let mut inner = log.lock();
            let _turn = log.turn()?;
            log.look_again(&mut inner, at)?;
        }
        Ok(log)
    }

    /// Waits for the turn to write, among all who have the log open: an agent that hands over ends a change while the next one has begun.
    fn turn(&self) -> Result<Turn<'_>, AccessError> {
        self.turns.lock().map_err(AccessError::file("locking", self.folder.join("head")))?;
        Ok(Turn(&self.turns))
    }

    /// True where somebody else has written since.
    fn is_elsewhere(&self, inner: &Inner) -> Result<bool, AccessError> {
        let about = inner.file.metadata().map_err(AccessError::file("reading", path(&self.folder, inner.number)))?;
        let is_gone = about.nlink() == 0;
        Ok(is_gone || about.len() != inner.bytes || path(&self.folder, inner.number + 1).exists())
    }

    /// Goes on with the files as they are.
    fn look_again(&self, inner: &mut Inner, at: Timestamp) -> Result<(), AccessError> {
        let found = find(&self.folder)?;
        inner.file = append(&path(&self.folder, found.number))?;
        (inner.number, inner.bytes, inner.head) = (found.number, found.content.len() as u64, found.head);
        self.begin_after(inner, &found.content, at)
    }

    /// Goes on after what is there: names a line that was cut, and begins a file that is empty.
    fn begin_after(&self, inner: &mut Inner, there: &[u8], at: Timestamp) -> Result<(), AccessError> {
        if there.is_empty() {
            return self.begin_file(inner, at);
        }
        let whole = there.strip_suffix(b"\n");
        let line = whole.unwrap_or(there).rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        // The break of a line that was cut is written with the record that names it.
        let line_break = if whole.is_some() { "" } else { "\n" };
        if Record::parse(line).is_some() {
            return self.write(inner, line_break, None);
        }
        let mut torn = Record::new(&inner.head, at, Kind::Torn);
        (torn.bytes, torn.cut) = (Some(line.len() as u64), Some(sha256(&[line])));
        self.write(inner, line_break, Some(&torn))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a record, with a text before it, and its mark down. After a failure the file is as long as before, or the next record finds it so.
    fn write(&self, inner: &mut Inner, before: &str, record: Option<&Record>) -> Result<(), AccessError> {
        let (line, head) = record.map_or((String::new(), inner.head), Record::line);
        let file = path(&self.folder, inner.number);
        // What a failed write left is taken away first.
        if inner.is_torn {
            inner.file.set_len(inner.bytes).map_err(AccessError::file("shortening", &file))?;
            inner.is_torn = false;
        }
        let text = format!("{before}{line}");
        let written = inner.file.write_all(text.as_bytes()).and_then(|()| inner.file.sync_data());
        if written.is_err() {
            // Tried again before the next record.
            inner.is_torn = inner.file.set_len(inner.bytes).is_err();
        }
        written.map_err(AccessError::file("writing", &file))?;
        inner.bytes += text.len() as u64;
        inner.head = head;
        let mark = inner.head_file.write_all_at(head.to_file().as_bytes(), 0);
        let mark = mark.and_then(|()| inner.head_file.sync_data());
        mark.map_err(AccessError::file("writing", self.folder.join("head")))
    }

    fn append(&self, now: &Moment, fill: impl FnOnce(&mut Record)) -> Result<u64, AccessError> {
        let mut inner = self.lock();
        let _turn = self.turn()?;
        if !inner.is_torn && self.is_elsewhere(&inner)? {
            self.look_again(&mut inner, now.wall)?;
        }
        if inner.bytes >= inner.bytes_max {
            let next = path(&self.folder, inner.number + 1);
            (inner.file, inner.bytes, inner.number) = (append(&next)?, 0, inner.number + 1);
        }
        if inner.bytes == 0 {
            self.begin_file(&mut inner, now.wall)?;
        }
        let mut record = Record::new(&inner.head, now.wall, Kind::Begun);
        fill(&mut record);
        record.unrecorded = Some(inner.unrecorded).filter(|number| *number > 0);
        self.write(&mut inner, "", Some(&record))?;
        inner.unrecorded = 0;
        Ok(record.sequence)
    }

    /// Begins a file that is empty, with a record that names the last hash of the one before, and lets the oldest go.
    fn begin_file(&self, inner: &mut Inner, at: Timestamp) -> Result<(), AccessError> {
        let mut first = Record::new(&inner.head, at, Kind::File);
        first.file = Some(inner.number);
        self.write(inner, "", Some(&first))?;
        sync_folder(&path(&self.folder, inner.number)).map_err(AccessError::file("writing", &self.folder))?;
        for (number, old) in numbers(&self.folder)? {
            if number + FILES_KEPT <= inner.number {
                fs::remove_file(&old).map_err(AccessError::file("removing", &old))?;
            }
        }
        Ok(())
    }

    /// Records that a change begins, and returns its number.
    ///
    /// # Errors
    /// It cannot be written; then the change must not be made.
    pub fn begin(&self, request: &Request, now: &Moment) -> Result<u64, AccessError> {
        self.append(now, |record| fill(record, request))
    }

    /// Records the end of a change.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&self, of: u64, request: &Request, status: u16, now: &Moment) -> Result<(), AccessError> {
        let ended = self.append(now, |record| {
            fill(record, request);
            (record.kind, record.of, record.status) = (Kind::Ended, Some(of), Some(status));
        });
        ended.map(drop)
    }

    /// Records a refusal, or counts it where there were too many within a minute or a day.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn refuse(&self, request: &Request, status: u16, code: &str, now: &Moment) -> Result<(), AccessError> {
        {
            let mut inner = self.lock();
            let takes = match request.who {
                None => inner.strangers.takes(now, STRANGERS_PER_MINUTE_MAX, STRANGERS_PER_DAY_MAX),
                Some(_) => inner.members.takes(now, MEMBERS_PER_MINUTE_MAX, MEMBERS_PER_DAY_MAX),
            };
            if !takes {
                inner.unrecorded += 1;
                return Ok(());
            }
        }
        let refused = self.append(now, |record| {
            fill(record, request);
            (record.kind, record.status, record.code) = (Kind::Refused, Some(status), Some(code.into()));
        });
        refused.map(drop)
    }

    /// Records that a filter takes, the newest first.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Record>, AccessError> {
        let limit = filter.limit.unwrap_or(LIST_MAX).min(LIST_MAX);
        let mut found = Vec::new();
        for (_, path) in numbers(&self.folder)?.into_iter().rev() {
            // A file that went meanwhile was the oldest.
            let bytes = read(&path).map_err(AccessError::file("reading", &path))?.unwrap_or_default();
            let records = bytes.split(|byte| *byte == b'\n').rev().filter_map(Record::parse).map(|(record, _)| record);
            found.extend(records.filter(|record| filter.takes(record)).take(limit - found.len()));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// Checks every record that is kept; `noted` is a head that somebody kept elsewhere.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn verify(&self, noted: Option<Head>) -> Result<Report, AccessError> {
        // By us: others are kept away by the lock of the mark.
        let _inner = self.lock();
        verify_folder(&self.folder, noted)
    }
}

/// Checks the log in a folder, also where no agent runs.
///
/// # Errors
/// A file cannot be read.
pub fn verify_folder(folder: &Path, noted: Option<Head>) -> Result<Report, AccessError> {
    let head_path = folder.join("head");
    // Whoever writes is waited for, so that the mark is that of the files.
    let turns = match File::open(&head_path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => None,
        turns => Some(turns.map_err(AccessError::file("opening", &head_path))?),
    };
    if let Some(turns) = &turns {
        turns.lock_shared().map_err(AccessError::file("locking", &head_path))?;
    }
    let mut check = Check::new(noted);
    for (number, path) in numbers(folder)? {
        let bytes = read(&path).map_err(AccessError::file("reading", &path))?.unwrap_or_default();
        if !check.file(number, &bytes) {
            break;
        }
    }
    let head = read(&head_path).map_err(AccessError::file("reading", &head_path))?;
    Ok(check.finish(head.and_then(|bytes| Head::of_file(&bytes)), FILES_KEPT))
}

#[cfg(test)]
mod tests;
