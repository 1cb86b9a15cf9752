//! Reading side: pure over the files, beside the writer or after it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{RECORD_BYTES_MAX, Record, Stream};
use super::{file_name, files};

/// Bytes that are read at once: several of the longest records.
const BUFFER_BYTES: usize = 64 << 10;
/// Times that a file which was removed meanwhile is looked for again: rotations are far slower than a listing.
const ATTEMPTS_MAX: usize = 8;
/// Most sequences that can be missing in one place; more are a number that a disk has spoilt.
const JUMP_MAX: u64 = 1 << 40;

/// Log that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the log {path} cannot be read: {cause}")]
pub struct ReadError {
    /// Folder or file.
    pub path: PathBuf,
    /// The system's word.
    pub cause: std::io::Error,
}

/// Place at which a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The oldest record that is there.
    Oldest,
    /// After the newest one.
    Newest,
    /// A sequence; the next one that is there, where it is gone.
    Sequence(u64),
}

/// Records that a reader wants. All conditions hold at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Earliest time, microseconds since 1970.
    pub since_us: Option<u64>,
    /// Time before which it was, microseconds since 1970.
    pub until_us: Option<u64>,
    /// Streams; all where the list is empty.
    pub streams: Vec<Stream>,
    /// Text within a record, byte by byte.
    pub contains: Option<String>,
}

impl Filter {
    /// Returns true where a record is wanted.
    pub fn accepts(&self, record: &Record<'_>) -> bool {
        self.since_us.is_none_or(|since| record.time_us >= since)
            && self.until_us.is_none_or(|until| record.time_us < until)
            && (self.streams.is_empty() || self.streams.contains(&record.stream))
            && self.contains.as_ref().is_none_or(|text| contains(record.text, text.as_bytes()))
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    let starts = text.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.map(|(at, _)| &text[at..]).any(|rest| rest.starts_with(part))
}

/// Record with a text of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Number in the instance's log.
    pub sequence: u64,
    /// Microseconds since 1970.
    pub time_us: u64,
    /// Origin.
    pub stream: Stream,
    /// The line goes on in the next record of its stream.
    pub goes_on: bool,
    /// Text.
    pub text: Vec<u8>,
}

impl From<&Record<'_>> for Owned {
    fn from(record: &Record<'_>) -> Self {
        let Record { sequence, time_us, stream, goes_on, text } = *record;
        Owned { sequence, time_us, stream, goes_on, text: text.to_vec() }
    }
}

/// Yield of one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Wanted records.
    pub records: Vec<Owned>,
    /// First and last sequences that are missing: dropped while a disk was full, or removed by rotation before they were read.
    pub missing: Vec<(u64, u64)>,
    /// Pieces that are no records.
    pub damaged: u64,
    /// There is nothing more for now.
    pub at_end: bool,
}

/// Present file of a reader.
#[derive(Debug)]
struct Place {
    first: u64,
    file: File,
    /// Start of the next record.
    offset: u64,
}

/// Reader of an instance's log. It holds its place by sequence, so that it goes on over rotations.
#[derive(Debug)]
pub struct LogReader {
    directory: PathBuf,
    filter: Filter,
    position: Position,
    /// Next sequence, once it is known.
    expected: Option<u64>,
    place: Option<Place>,
    buffer: Vec<u8>,
}

impl LogReader {
    /// A reader of a folder. Nothing is opened before the first reading; a folder without files is an empty log.
    pub fn new(directory: &Path, position: Position, filter: Filter) -> Self {
        let expected = match position {
            Position::Sequence(sequence) => Some(sequence),
            Position::Oldest | Position::Newest => None,
        };
        Self { directory: directory.into(), filter, position, expected, place: None, buffer: Vec::new() }
    }

    /// Sequence at which a later reader goes on, once a record was read.
    pub fn next(&self) -> Option<u64> {
        self.expected
    }

    fn fail(&self, cause: std::io::Error) -> ReadError {
        ReadError { path: self.directory.clone(), cause }
    }

    /// Reads on: at most 64 KiB of the files, and nothing is kept in memory afterwards.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn read(&mut self) -> Result<Batch, ReadError> {
        let mut batch = Batch::default();
        let result = self.advance(&mut batch);
        self.buffer = Vec::new();
        result.map_err(|cause| self.fail(cause))?;
        Ok(batch)
    }

    fn advance(&mut self, batch: &mut Batch) -> std::io::Result<()> {
        if self.place.is_none() && !self.find()? {
            batch.at_end = true;
            return Ok(());
        }
        if self.consume(batch)? {
            return Ok(());
        }
        let Some(place) = &self.place else { return Ok(()) };
        let later = files(&self.directory)?.into_iter().find(|first| *first > place.first);
        let Some(later) = later else {
            batch.at_end = true;
            return Ok(());
        };
        // The writer ends a file before it begins the next one: after one more look at it nothing can come.
        if self.consume(batch)? {
            return Ok(());
        }
        let Some(place) = &self.place else { return Ok(()) };
        if place.file.metadata()?.len() > place.offset {
            batch.damaged += 1;
        }
        self.place = None;
        self.open(later, 0).map(|_| ())
    }

    /// Finds the place to begin; false where there are no files.
    fn find(&mut self) -> std::io::Result<bool> {
        for attempt in 1..=ATTEMPTS_MAX {
            let found = match files(&self.directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                other => other?,
            };
            let (Some(oldest), Some(newest)) = (found.first(), found.last()) else { break };
            let opened = match (self.position, self.expected) {
                (Position::Newest, None) => self.open(*newest, u64::MAX)?,
                (_, Some(sequence)) => {
                    let first = found.iter().rev().find(|first| **first <= sequence).unwrap_or(oldest);
                    self.open(*first, sequence)?
                }
                (_, None) => self.open(*oldest, 0)?,
            };
            if opened {
                return Ok(true);
            }
            if attempt == ATTEMPTS_MAX {
                return Err(std::io::Error::other("its files are removed faster than they can be opened"));
            }
        }
        // Whatever comes into an empty log is newer than this moment.
        self.position = Position::Oldest;
        Ok(false)
    }

    /// Opens a file before the record with a sequence; false where it was removed meanwhile.
    fn open(&mut self, first: u64, sequence: u64) -> std::io::Result<bool> {
        let file = match File::open(self.directory.join(file_name(first))) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let offset = match sequence {
            u64::MAX => end(&file)?,
            _ if sequence <= first => 0,
            _ => bisect(&file, sequence)?,
        };
        self.place = Some(Place { first, file, offset });
        Ok(true)
    }

    /// Hands out the whole records of the next piece; false at the end of the file.
    fn consume(&mut self, batch: &mut Batch) -> std::io::Result<bool> {
        let Some(place) = &mut self.place else { return Ok(false) };
        self.buffer.resize(BUFFER_BYTES, 0);
        let count = read_at(&place.file, &mut self.buffer, place.offset)?;
        let piece = &self.buffer[..count];
        let Some(last) = piece.iter().rposition(|byte| *byte == b'\n') else {
            // No record is as long as the buffer.
            let damaged = count == BUFFER_BYTES;
            if damaged {
                batch.damaged += 1;
                place.offset += count as u64;
            }
            return Ok(damaged);
        };
        place.offset += last as u64 + 1;
        for line in piece[..last].split(|byte| *byte == b'\n') {
            let Some(record) = Record::decode(line) else {
                batch.damaged += 1;
                continue;
            };
            match self.expected {
                Some(expected) if record.sequence < expected => continue,
                Some(expected) if record.sequence - expected > JUMP_MAX => {
                    batch.damaged += 1;
                    continue;
                }
                Some(expected) if record.sequence > expected => batch.missing.push((expected, record.sequence - 1)),
                _ => {}
            }
            self.expected = Some(record.sequence.saturating_add(1));
            if self.filter.accepts(&record) {
                batch.records.push(Owned::from(&record));
            }
        }
        Ok(true)
    }
}

/// Reads as much as there is for a buffer.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read_at(&mut buffer[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Offset after the last whole record.
fn end(file: &File) -> std::io::Result<u64> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(BUFFER_BYTES as u64);
    let mut tail = vec![0; BUFFER_BYTES];
    let count = read_at(file, &mut tail, start)?;
    let newline = tail[..count].iter().rposition(|byte| *byte == b'\n');
    Ok(newline.map_or(start, |at| start + at as u64 + 1))
}

/// Offset of a record at or before a sequence, near it.
fn bisect(file: &File, sequence: u64) -> std::io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    let mut piece = vec![0; 2 * RECORD_BYTES_MAX];
    while high.saturating_sub(low) > BUFFER_BYTES as u64 {
        let middle = low + (high - low) / 2;
        let count = read_at(file, &mut piece, middle)?;
        match first_record(&piece[..count]) {
            Some((offset, found)) if found < sequence => low = middle + offset,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Offset and sequence of the first whole record after a newline.
fn first_record(piece: &[u8]) -> Option<(u64, u64)> {
    let mut start = piece.iter().position(|byte| *byte == b'\n')? + 1;
    while let Some(length) = piece[start..].iter().position(|byte| *byte == b'\n') {
        if let Some(record) = Record::decode(&piece[start..start + length]) {
            return Some((start as u64, record.sequence));
        }
        start += length + 1;
    }
    None
}

/// Last records that a filter accepts, oldest first.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn tail(directory: &Path, filter: Filter, records_max: usize) -> Result<Vec<Owned>, ReadError> {
    let mut reader = LogReader::new(directory, Position::Oldest, filter);
    let mut kept = VecDeque::new();
    loop {
        let batch = reader.read()?;
        for record in batch.records {
            if kept.len() >= records_max {
                kept.pop_front();
            }
            if records_max > 0 {
                kept.push_back(record);
            }
        }
        if batch.at_end {
            return Ok(kept.into());
        }
    }
}
