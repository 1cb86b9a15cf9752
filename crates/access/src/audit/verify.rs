//! The check of a log: its first broken record, and the line that a power cut has torn told apart from it. Pure.

use openmesh_primitives::{Digest, sha256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::{Head, Kind, Record};

/// Result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditReport)]
pub struct Report {
    /// Files.
    pub files: u64,
    /// Records that hold.
    pub records: u64,
    /// Number of the first record that is kept; 0 where there is none.
    pub first: u64,
    /// Last record that holds: noted elsewhere, it shows later that nothing before it was changed.
    pub head: Head,
    /// Bytes of a last line that was cut before it was whole, which no change has followed.
    pub torn_bytes: Option<u64>,
    /// Lines that were cut earlier, each named by the record after it.
    pub cuts: u64,
    /// First break; none where everything holds.
    pub broken: Option<Broken>,
}

/// A break in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditBroken)]
pub struct Broken {
    /// Number of the file.
    pub file: u64,
    /// Line in it, from 1; 0 for the file as a whole.
    pub line: u64,
    /// Reason.
    pub reason: String,
}

/// A line that is no record, until the next one says whether it was cut.
struct Odd {
    line: u64,
    bytes: u64,
    hash: Digest,
}

/// A check that goes from file to file.
pub struct Check {
    report: Report,
    file: u64,
    /// Lines of the present file.
    lines: u64,
    odd: Option<Odd>,
    /// Record that somebody has noted, and is looked for.
    wanted: Option<Head>,
}

impl Check {
    /// A check of files from this number on; `noted` is a head that somebody kept elsewhere.
    pub fn new(noted: Option<Head>) -> Check {
        Check { report: Report::default(), file: 0, lines: 0, odd: None, wanted: noted }
    }

    /// Takes the next file, in the order of their numbers. Returns false once something is broken.
    pub fn file(&mut self, number: u64, bytes: &[u8]) -> bool {
        if self.report.files > 0 && self.file.checked_add(1) != Some(number) {
            return self.broken(number, 0, format!("the files between {} and this one are missing", self.file));
        }
        if self.report.files > 0 && self.lines == 0 {
            return self.broken(self.file, 0, "the file is empty, and another one follows".into());
        }
        if self.odd.is_some() {
            return self.broken(self.file, 0, "the file ends within a line, and another one follows".into());
        }
        self.report.files += 1;
        (self.file, self.lines) = (number, 0);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            let line = self.lines;
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let good = match Record::parse(text) {
                Some((record, head)) => self.record(line, &record, head),
                None => self.odd(line, text),
            };
            if !good {
                return false;
            }
        }
        true
    }

    fn odd(&mut self, line: u64, bytes: &[u8]) -> bool {
        if let Some(odd) = &self.odd {
            let at = odd.line;
            return self.broken(self.file, at, "this is no record, or its hash is not its own".into());
        }
        self.odd = Some(Odd { line, bytes: bytes.len() as u64, hash: sha256(&[bytes]) });
        true
    }

    fn record(&mut self, line: u64, record: &Record, head: Head) -> bool {
        if let Some(odd) = self.odd.take() {
            let named = record.kind == Kind::Torn && record.bytes == Some(odd.bytes) && record.cut == Some(odd.hash);
            if !named {
                return self.broken(self.file, odd.line, "this is no record, or its hash is not its own".into());
            }
            self.report.cuts += 1;
        } else if record.kind == Kind::Torn {
            return self.broken(self.file, line, "it names a line that was cut, and there is none".into());
        }
        let is_first = self.report.records == 0;
        if (line == 1) != (record.kind == Kind::File) || (line == 1 && record.file != Some(self.file)) {
            return self.broken(
                self.file,
                line,
                "a file begins with a record that names it, and has no other such record".into(),
            );
        }
        // Of the oldest file that is kept nothing before is here; that of the first has nothing before it.
        let before = if is_first && self.file > 1 {
            Head { sequence: record.sequence.saturating_sub(1), hash: record.previous }
        } else {
            self.report.head
        };
        if record.previous != before.hash || before.sequence.checked_add(1) != Some(record.sequence) {
            return self.broken(
                self.file,
                line,
                format!("it does not follow record {}: one was changed, added or taken out", before.sequence),
            );
        }
        if self.wanted.is_some_and(|noted| noted.sequence == head.sequence && noted.hash != head.hash) {
            return self.broken(self.file, line, "its hash is not the one that was noted".into());
        }
        if is_first {
            self.report.first = record.sequence;
        }
        self.report.records += 1;
        self.report.head = head;
        true
    }

    fn broken(&mut self, file: u64, line: u64, reason: String) -> bool {
        self.report.broken = Some(Broken { file, line, reason });
        false
    }

    /// The result. `head` is the mark of the last record that was written, and `files_kept` the number of files that a log has once it has been turned often enough.
    pub fn finish(mut self, head: Option<Head>, files_kept: u64) -> Report {
        if self.report.broken.is_some() {
            return self.report;
        }
        let oldest = self.file.saturating_sub(self.report.files.saturating_sub(1));
        let last = self.report.head;
        // A record is written down before its mark: the mark is that of the last record, or of the one before it.
        let agrees = match head {
            Some(head) => head == last || (head.sequence.checked_add(1) == Some(last.sequence) && self.odd.is_none()),
            None => last.sequence <= 1,
        };
        if self.report.files > 0 && oldest > 1 && self.report.files < files_kept {
            self.broken(oldest, 0, "files before this one are missing".into());
        } else if !agrees {
            let written = head.map_or(0, |head| head.sequence);
            let line = self.odd.as_ref().map_or(0, |odd| odd.line);
            self.broken(
                self.file,
                line,
                format!("the log ends with record {}, and the mark of the last one names {written}", last.sequence),
            );
        } else if self.wanted.is_some_and(|noted| noted.sequence > last.sequence) {
            self.broken(self.file, 0, format!("the log ends with record {}, and a later one was noted", last.sequence));
        } else if self.wanted.is_some_and(|noted| noted.sequence < self.report.first) {
            self.broken(
                self.file,
                0,
                format!(
                    "the log begins with record {}, and an earlier one was noted: it is too old to be checked",
                    self.report.first
                ),
            );
        }
        self.report.torn_bytes = self.odd.take().filter(|_| self.report.broken.is_none()).map(|odd| odd.bytes);
        self.report
    }
}
