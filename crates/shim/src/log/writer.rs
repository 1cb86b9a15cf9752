//! Writing side: bounded files, and counted losses while a disk takes nothing.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::record::{LINE_BYTES_MAX, RECORD_BYTES_MAX, Record, Stream};
use super::{file_name, files};

/// Files that the bound is divided into: a rotation gives up an eighth of the history.
pub const FILES_MAX: u64 = 8;
/// Records that are gathered before one write, bytes: what a pipe gives at once.
const BUFFER_BYTES: usize = 64 << 10;
/// End of a file in which its last record is looked for, bytes: more than one longest record, whatever is torn.
const TAIL_BYTES: u64 = 64 << 10;

/// Log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the log folder {path} cannot be used: {cause}")]
pub struct LogError {
    /// The folder or file.
    pub path: PathBuf,
    /// The system's word.
    pub cause: std::io::Error,
}

/// Lines that were dropped because a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Records.
    pub lines: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Sequence of the first one.
    pub first: u64,
    /// Sequence of the last one.
    pub last: u64,
    /// The system's word.
    pub cause: String,
}

impl Dropped {
    fn merge(self, later: Dropped) -> Dropped {
        Dropped { lines: self.lines + later.lines, bytes: self.bytes + later.bytes, first: self.first, ..later }
    }

    fn text(&self) -> String {
        let Dropped { lines, bytes, first, last, cause } = self;
        let plural = if *lines == 1 { "line" } else { "lines" };
        format!("dropped {lines} {plural} ({bytes} bytes), sequences {first} to {last}: {cause}")
    }
}

/// Writer of an instance's log.
#[derive(Debug)]
pub struct LogWriter {
    directory: PathBuf,
    bytes_max: u64,
    file: Option<File>,
    first: u64,
    size: u64,
    /// First sequences and sizes of the older files.
    older: VecDeque<(u64, u64)>,
    next: u64,
    buffer: Vec<u8>,
    buffer_first: u64,
    /// Losses whose record stands at the beginning of the buffer.
    noted: Option<Dropped>,
    pending: Option<Dropped>,
    lines_dropped: u64,
    bytes_dropped: u64,
}

impl LogWriter {
    /// Opens a folder's log and goes on after its last whole record.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(directory: &Path, bytes_max: u64) -> Result<Self, LogError> {
        let fail = |cause| LogError { path: directory.into(), cause };
        std::fs::create_dir_all(directory).map_err(fail)?;
        let mut older = VecDeque::new();
        for first in files(directory).map_err(fail)? {
            let size = std::fs::metadata(directory.join(file_name(first))).map_err(fail)?.len();
            older.push_back((first, size));
        }
        let mut log = Self {
            directory: directory.into(),
            bytes_max,
            file: None,
            first: 0,
            size: 0,
            older,
            next: 1,
            buffer: Vec::new(),
            buffer_first: 0,
            noted: None,
            pending: None,
            lines_dropped: 0,
            bytes_dropped: 0,
        };
        log.recover().map_err(fail)?;
        Ok(log)
    }

    /// Cuts off a torn last record, and finds the next sequence and the file to go on with.
    fn recover(&mut self) -> std::io::Result<()> {
        let Some((first, size)) = self.older.pop_back() else { return Ok(()) };
        let file = OpenOptions::new().read(true).append(true).open(self.directory.join(file_name(first)))?;
        let start = size.saturating_sub(TAIL_BYTES);
        let mut tail = vec![0; usize::try_from(size - start).unwrap_or_default()];
        file.read_exact_at(&mut tail, start)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut records = tail[..whole].split(|byte| *byte == b'\n').filter_map(Record::decode);
        let last = records.next_back().map(|record| record.sequence);
        // Without a readable record: each one takes more than a byte, so no sequence of the file is above this.
        self.next = last.map_or(first.saturating_add(size), |last| last.saturating_add(1)).max(first).max(1);
        if last.is_none() && size > 0 {
            self.older.push_back((first, size));
            return Ok(());
        }
        let size = start + whole as u64;
        file.set_len(size)?;
        (self.file, self.first, self.size) = (Some(file), first, size);
        Ok(())
    }

    /// Goes on from a sequence that an earlier writer has given out. Those in between were never written, and no other record gets them: they count as dropped.
    pub fn go_on(&mut self, next: u64, cause: Option<&str>) {
        if next > self.next {
            let lines = next - self.next;
            let cause = cause.unwrap_or("they were not written before the last shim ended, or are removed").to_string();
            self.skip(Dropped { lines, bytes: 0, first: self.next, last: next - 1, cause });
        }
    }

    /// Drops text that is not to be written: its lines keep their sequences, and are counted.
    pub fn drop_text(&mut self, text: &[u8], cause: &str) {
        let newlines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        let rest = u64::from(!text.is_empty() && !text.ends_with(b"\n"));
        let (lines, bytes) = (newlines + rest, text.len() as u64 - newlines);
        if lines > 0 {
            // What came before stands before the word about it.
            self.flush();
            let (first, last) = (self.next, self.next + lines - 1);
            self.skip(Dropped { lines, bytes, first, last, cause: cause.to_string() });
        }
    }

    fn skip(&mut self, dropped: Dropped) {
        self.next = dropped.last + 1;
        self.lines_dropped += dropped.lines;
        self.bytes_dropped += dropped.bytes;
        self.pending = Some(match self.pending.take() {
            Some(earlier) => earlier.merge(dropped),
            None => dropped,
        });
    }

    /// Sequence of the oldest record that is there, or of the next one where none is.
    pub fn oldest(&self) -> u64 {
        let current = self.file.as_ref().map(|_| self.first);
        self.older.front().map(|(first, _)| *first).or(current).unwrap_or(self.next)
    }

    /// Sequence of the next record.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Sequence after the last record that the kernel has.
    pub fn written(&self) -> u64 {
        if self.buffer.is_empty() { self.next } else { self.buffer_first }
    }

    /// Size of all files, bytes.
    pub fn bytes(&self) -> u64 {
        self.older.iter().map(|(_, size)| size).sum::<u64>() + self.size
    }

    /// Lines and bytes of text dropped since the shim started.
    pub fn dropped(&self) -> (u64, u64) {
        (self.lines_dropped, self.bytes_dropped)
    }

    /// Losses that no record says yet: the last write has failed.
    pub fn pending(&self) -> Option<&Dropped> {
        self.pending.as_ref()
    }

    /// Adds a record. It is in the kernel's hands after [`LogWriter::flush`], or counted as dropped.
    pub fn append(&mut self, time_us: u64, stream: Stream, goes_on: bool, text: &[u8]) {
        if self.buffer.is_empty() {
            self.note(time_us);
        }
        self.encode(time_us, stream, goes_on, text);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// Adds words of the shim itself.
    pub fn say(&mut self, time_us: u64, text: &str) {
        for line in text.lines() {
            let end = line.floor_char_boundary(LINE_BYTES_MAX);
            self.append(time_us, Stream::Shim, false, &line.as_bytes()[..end]);
        }
    }

    /// Tries again to write down what was dropped.
    pub fn retry(&mut self, time_us: u64) {
        if self.buffer.is_empty() {
            self.note(time_us);
            self.flush();
        }
    }

    /// Begins a buffer with the record of what was dropped before it.
    fn note(&mut self, time_us: u64) {
        if let Some(dropped) = self.pending.take() {
            let text = dropped.text();
            self.noted = Some(dropped);
            self.encode(time_us, Stream::Shim, false, text.as_bytes());
        }
    }

    fn encode(&mut self, time_us: u64, stream: Stream, goes_on: bool, text: &[u8]) {
        let taken = self.size + self.buffer.len() as u64;
        if self.file.is_some()
            && taken + (RECORD_BYTES_MAX - LINE_BYTES_MAX + text.len()) as u64 > self.file_bytes_max()
        {
            self.flush();
            self.close();
        }
        if self.buffer.is_empty() {
            self.buffer_first = self.next;
        }
        Record { sequence: self.next, time_us, stream, goes_on, text }.encode(&mut self.buffer);
        self.next += 1;
    }

    fn file_bytes_max(&self) -> u64 {
        self.bytes_max / FILES_MAX
    }

    /// Gives the gathered records to the kernel; what it does not take is counted as dropped.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let mut taken = 0;
        let failure = self.write(&mut taken).err();
        if let Some(cause) = failure {
            let whole = self.buffer[..taken].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            self.cut(whole, taken);
            self.drop_from(whole, &cause);
        } else {
            self.size += taken as u64;
            self.noted = None;
        }
        self.buffer.clear();
    }

    fn write(&mut self, taken: &mut usize) -> std::io::Result<()> {
        if self.file.is_none() {
            self.make()?;
        }
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        while *taken < self.buffer.len() {
            match file.write(&self.buffer[*taken..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => *taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes back the part of a record that was written before an error.
    fn cut(&mut self, whole: usize, taken: usize) {
        let Some(file) = &self.file else { return };
        let size = self.size + whole as u64;
        if taken == whole || file.set_len(size).is_ok() {
            self.size = size;
        } else {
            // A torn record stays: nothing is written after it.
            self.size += taken as u64;
            self.close();
        }
    }

    /// Counts the records of the buffer from an offset as dropped.
    fn drop_from(&mut self, whole: usize, cause: &std::io::Error) {
        let noted = self.noted.take().filter(|_| whole == 0);
        let mut rest = self.buffer[whole..].split(|byte| *byte == b'\n').filter_map(Record::decode);
        // Nobody has seen these sequences: a note that was not written gives its own back, so that every gap is a line that was counted.
        let given_back = u64::from(noted.is_some());
        if noted.is_some() {
            rest.next();
            self.next -= 1;
        }
        let (mut lines, mut bytes, mut first, mut last) = (0, 0, None, 0);
        for record in rest {
            lines += 1;
            bytes += record.text.len() as u64;
            first.get_or_insert(record.sequence - given_back);
            last = record.sequence - given_back;
        }
        self.lines_dropped += lines;
        self.bytes_dropped += bytes;
        let cause = cause.to_string();
        let new = first.map(|first| Dropped { lines, bytes, first, last, cause });
        self.pending = match (noted, new) {
            (Some(noted), Some(new)) => Some(noted.merge(new)),
            (noted, new) => new.or(noted),
        };
    }

    fn close(&mut self) {
        if self.file.take().is_some() {
            self.older.push_back((self.first, self.size));
            self.size = 0;
        }
    }

    /// Makes room for a whole file and begins it.
    fn make(&mut self) -> std::io::Result<()> {
        while let Some((first, _)) = self.older.front().copied() {
            if self.bytes() + self.file_bytes_max() <= self.bytes_max {
                break;
            }
            match std::fs::remove_file(self.directory.join(file_name(first))) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => self.older.pop_front(),
            };
        }
        let path = self.directory.join(file_name(self.buffer_first));
        let open = || OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(&self.directory)?;
                open()?
            }
            other => other?,
        };
        self.size = file.metadata()?.len();
        (self.file, self.first) = (Some(file), self.buffer_first);
        Ok(())
    }
}
