//! The files of the audit log.
//!
//! A folder of files with numbers in their names, each of bounded size, the oldest of which go; and `head`, the mark of the last record. A record is written down before
//! its mark, and both before the change that it is about: a line that a power cut tore has no mark and no change after it, and that tells it from one that somebody cut.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use openmesh_primitives::{Timestamp, sha256};
use serde::{Deserialize, Serialize};

use super::record::{Head, Kind, Record};
use super::verify::{Check, Report};
use crate::count::Count;
use crate::error::AccessError;
use crate::file::{read, sync_folder};
use crate::moment::Moment;
use crate::role::Role;

/// Size at which a new file begins, bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files that are kept: with their size more than 100,000 records, years of a machine that people change a hundred times a day.
const FILES_KEPT: u64 = 16;
/// Longest name and path in a record, bytes: real ones are shorter.
const TEXT_BYTES_MAX: usize = 512;
/// Longest place and method in a record, bytes: two addresses of IPv6 with a word between them are shorter.
const WORD_BYTES_MAX: usize = 96;
/// Refused requests of strangers that are recorded in a minute. More are counted: whoever knocks all day must not push out the records of what was done.
const STRANGERS_PER_MINUTE_MAX: u64 = 30;
/// Refused requests of members that are recorded in a minute, for the same reason.
const MEMBERS_PER_MINUTE_MAX: u64 = 120;
/// Refused requests of strangers that are recorded in a day: a year of them, every day the most and each as long as can be, does not fill the files that are kept.
const STRANGERS_PER_DAY_MAX: u64 = 150;
/// Refused requests of members that are recorded in a day: two months of them fill the files.
const MEMBERS_PER_DAY_MAX: u64 = 1_000;
/// Most records of one answer.
pub const LIST_MAX: usize = 1_000;

/// A request, as the log names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whoever asks; none for nobody who is signed in.
    pub who: Option<String>,
    /// Their role.
    pub role: Option<Role>,
    /// Place from which they ask.
    pub from: String,
    /// Method of HTTP.
    pub method: String,
    /// Path, without its query: values and secrets are in bodies, and reasons in queries.
    pub path: String,
}

/// Wish for records, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Text in the name of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Beginning of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Earliest moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Moment before which they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Number before which they are: that of the last one of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most of them; [`LIST_MAX`] where it is not given, and at most that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        let has = |wanted: &Option<String>, found: &Option<String>, fits: fn(&str, &str) -> bool| match (wanted, found)
        {
            (None, _) => true,
            (Some(wanted), Some(found)) => fits(&found.to_lowercase(), &wanted.to_lowercase()),
            (Some(_), None) => false,
        };
        has(&self.who, &record.who, |found, wanted| found.contains(wanted))
            && has(&self.method, &record.method, |found, wanted| found == wanted)
            && has(&self.path, &record.path, |found, wanted| found.starts_with(wanted))
            && self.kind.is_none_or(|kind| kind == record.kind)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
            && self.before.is_none_or(|before| record.sequence < before)
    }
}

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

/// The newest file with its content, and the last record of all.
struct Found {
    number: u64,
    content: Vec<u8>,
    head: Head,
}

fn find(folder: &Path) -> Result<Found, AccessError> {
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

fn open_head(path: &Path) -> Result<File, AccessError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    file.map_err(AccessError::file("opening", path))
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

fn fill(record: &mut Record, request: &Request) {
    record.who = request.who.as_deref().map(|who| cut(who, TEXT_BYTES_MAX));
    record.role = request.role;
    record.from = Some(cut(&request.from, WORD_BYTES_MAX));
    record.method = Some(cut(&request.method, WORD_BYTES_MAX));
    record.path = Some(cut(&visible(&request.path), TEXT_BYTES_MAX));
}

fn cut(text: &str, bytes_max: usize) -> String {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text).to_string()
}

/// A path in visible ASCII: anybody writes it, and it is printed at a terminal, which must obey nothing of it. Other bytes are percent-encoded, as a client would have had to.
fn visible(path: &str) -> String {
    let mut text = String::with_capacity(path.len().min(TEXT_BYTES_MAX));
    for byte in path.bytes().take(TEXT_BYTES_MAX) {
        match byte {
            // A record is not longer as JSON than as text.
            b'"' | b'\\' => text.push_str(&format!("%{byte:02X}")),
            byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.jsonl"))
}

/// Files of a log by their numbers.
fn numbers(folder: &Path) -> Result<BTreeMap<u64, PathBuf>, AccessError> {
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

fn append(path: &Path) -> Result<File, AccessError> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(AccessError::file("opening", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{DAY_MS, MINUTE_MS};

    fn at(ran_ms: u64) -> Moment {
        Moment { wall: Timestamp::from_millis(1_000_000), ran_ms }
    }

    fn request(path: &str) -> Request {
        Request {
            who: Some("0xf39F".into()),
            role: Some(Role::Operator),
            from: "127.0.0.1:4000".into(),
            method: "POST".into(),
            path: path.into(),
        }
    }

    fn filled(folder: &Path, changes: u64) {
        let log = Log::open(folder, Timestamp::now()).unwrap();
        for n in 0..changes {
            let request = request(&format!("/v1/xnode/applications/{n}"));
            let of = log.begin(&request, &at(n)).unwrap();
            log.end(of, &request, 200, &at(n)).unwrap();
        }
    }

    fn newest(folder: &Path) -> PathBuf {
        numbers(folder).unwrap().pop_last().unwrap().1
    }

    #[test]
    fn records_follow_each_other_and_are_found() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 3);
        filled(folder.path(), 2);
        let log = Log::open(folder.path(), Timestamp::now()).unwrap();
        let report = log.verify(None).unwrap();
        assert_eq!((report.files, report.records, report.first, report.head.sequence), (1, 11, 1, 11));
        assert_eq!((report.broken, report.torn_bytes, report.cuts), (None, None, 0));
        let all = log.list(&Filter::default()).unwrap();
        assert!(all.windows(2).all(|pair| pair[0].sequence == pair[1].sequence + 1));
        let filter =
            Filter { path: Some("/v1/xnode/applications/1".into()), kind: Some(Kind::Ended), ..Filter::default() };
        let found = log.list(&filter).unwrap();
        assert_eq!(found.iter().map(|record| record.of).collect::<Vec<_>>(), [Some(10), Some(4)]);
        let page = log.list(&Filter { before: Some(10), limit: Some(2), ..Filter::default() }).unwrap();
        assert_eq!(page.iter().map(|record| record.sequence).collect::<Vec<_>>(), [9, 8]);
        assert_eq!(log.list(&Filter { who: Some("nobody".into()), ..Filter::default() }).unwrap(), []);
    }

    /// Each byte of a file changed in turn, each line taken out, doubled or swapped: found at its line or the next one.
    #[test]
    fn whatever_is_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 3);
        let (path, head) = (newest(folder.path()), verify_folder(folder.path(), None).unwrap().head);
        let good = fs::read(&path).unwrap();
        let broken = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let report = verify_folder(folder.path(), None).unwrap();
            report.broken.map(|broken| broken.line)
        };
        assert_eq!(broken(&good), None);
        let mut line = 1;
        for (at, byte) in good.iter().enumerate() {
            let mut changed = good.clone();
            changed[at] ^= 0x11;
            let found = broken(&changed).unwrap();
            assert!(found == line || found == line + 1 || at + 1 == good.len(), "byte {at}: {found}, not {line}");
            line += u64::from(*byte == b'\n');
        }
        let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            assert!(broken(&without.concat()).is_some(), "line {} taken out", at + 1);
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            assert_eq!(broken(&doubled.concat()), Some(at as u64 + 2), "line {} doubled", at + 1);
            if at > 0 {
                let mut swapped = lines.clone();
                swapped.swap(at - 1, at);
                assert_eq!(broken(&swapped.concat()), Some(at as u64), "line {} swapped", at + 1);
            }
        }
        // Whoever writes the whole log anew, with good hashes, is found by a head that was noted elsewhere.
        fs::write(&path, &good).unwrap();
        assert_eq!(verify_folder(folder.path(), Some(head)).unwrap().broken, None);
        fs::remove_file(&path).unwrap();
        fs::remove_file(folder.path().join("head")).unwrap();
        filled(folder.path(), 4);
        assert_eq!(verify_folder(folder.path(), None).unwrap().broken, None);
        assert!(verify_folder(folder.path(), Some(head)).unwrap().broken.is_some());
    }

    /// A power cut at each byte of the last line: torn, and named by the next run. The same cut by somebody is a break.
    #[test]
    fn a_torn_line_is_told_apart_from_tampering() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 2);
        let path = newest(folder.path());
        let mark = fs::read(folder.path().join("head")).unwrap();
        let before = fs::read(&path).unwrap().len();
        filled(folder.path(), 1);
        let good = fs::read(&path).unwrap();
        let line = before + good[before..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in before..line {
            fs::write(&path, &good[..cut]).unwrap();
            let tampered = verify_folder(folder.path(), None).unwrap();
            assert!(tampered.broken.is_some() && tampered.torn_bytes.is_none(), "{cut}");
            // The mark that the cut left behind is the one of the record before.
            fs::write(folder.path().join("head"), &mark).unwrap();
            let torn = verify_folder(folder.path(), None).unwrap();
            // A record that lacks its line break alone is whole.
            let bytes = Some((cut - before) as u64).filter(|bytes| *bytes > 0 && cut + 1 < line);
            assert_eq!((torn.broken, torn.torn_bytes), (None, bytes), "{cut}");
            filled(folder.path(), 1);
            let healed = verify_folder(folder.path(), None).unwrap();
            assert_eq!(
                (healed.broken, healed.torn_bytes, healed.cuts),
                (None, None, u64::from(bytes.is_some())),
                "{cut}"
            );
        }
    }

    #[test]
    fn records_that_are_gone_stay_gone() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 3);
        let path = newest(folder.path());
        let good = fs::read(&path).unwrap();
        let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        fs::write(&path, lines[..4].concat()).unwrap();
        assert!(verify_folder(folder.path(), None).unwrap().broken.is_some());
        // A new run does not make it good.
        filled(folder.path(), 1);
        assert_eq!(verify_folder(folder.path(), None).unwrap().broken.unwrap().line, 5);
    }

    #[test]
    fn files_are_turned_kept_and_checked_across() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Timestamp::now()).unwrap();
        // A file counts as full at once, so that each record turns it.
        log.lock().bytes_max = 1;
        for n in 0..FILES_KEPT + 3 {
            log.begin(&request(&format!("/{n}")), &at(0)).unwrap();
        }
        let report = log.verify(None).unwrap();
        assert_eq!((report.files, report.broken.clone()), (FILES_KEPT, None), "{report:?}");
        assert!(report.first > 1);
        let oldest = numbers(folder.path()).unwrap().pop_first().unwrap().1;
        let middle = numbers(folder.path()).unwrap().into_values().nth(5).unwrap();
        let bytes = fs::read(&middle).unwrap();
        fs::remove_file(&middle).unwrap();
        assert!(log.verify(None).unwrap().broken.unwrap().reason.contains("missing"));
        fs::write(&middle, &bytes).unwrap();
        fs::remove_file(oldest).unwrap();
        assert!(log.verify(None).unwrap().broken.unwrap().reason.contains("missing"));
    }

    #[test]
    fn whoever_has_it_open_writes_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let logs = [0, 1, 2].map(|_| Log::open(folder.path(), Timestamp::now()).unwrap());
        logs[1].lock().bytes_max = 3_000;
        std::thread::scope(|scope| {
            for log in &logs {
                scope.spawn(move || {
                    for n in 0..15 {
                        let request = request(&format!("/{n}"));
                        let of = log.begin(&request, &at(n)).unwrap();
                        log.end(of, &request, 200, &at(n)).unwrap();
                    }
                });
            }
        });
        // One who has not written for long finds the file that is the newest by now.
        logs[0].begin(&request("/late"), &at(20)).unwrap();
        let report = logs[2].verify(None).unwrap();
        assert_eq!((report.broken, report.torn_bytes, report.cuts), (None, None, 0));
        assert!(report.files > 1);
        let all = logs[0].list(&Filter::default()).unwrap();
        assert_eq!(all.iter().filter(|record| record.kind == Kind::Ended).count(), 45);
        assert_eq!(all[0].path.as_deref(), Some("/late"));
    }

    #[test]
    fn whoever_knocks_all_day_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Timestamp::now()).unwrap();
        let stranger = Request { who: None, role: None, ..request("/v1/xnode/applications") };
        for _ in 0..STRANGERS_PER_MINUTE_MAX + 70 {
            log.refuse(&stranger, 401, "not_signed_in", &at(5)).unwrap();
        }
        log.refuse(&request("/v1/xnode/secrets/a"), 403, "role", &at(6)).unwrap();
        let all = log.list(&Filter { kind: Some(Kind::Refused), ..Filter::default() }).unwrap();
        assert_eq!(all.len() as u64, STRANGERS_PER_MINUTE_MAX + 1);
        assert_eq!((all[0].unrecorded, all[1].unrecorded), (Some(70), None));
        log.refuse(&stranger, 401, "not_signed_in", &at(5 + MINUTE_MS)).unwrap();
        assert_eq!(log.list(&Filter::default()).unwrap()[0].unrecorded, None);
    }

    #[test]
    fn whoever_knocks_for_a_year_pushes_nothing_out() {
        let mut count = Count::default();
        let days: u64 = 3;
        let knocks = (0..days * DAY_MS).step_by(1_000);
        let recorded = knocks.filter(|ms| count.takes(&at(*ms), 30, STRANGERS_PER_DAY_MAX)).count();
        assert_eq!(recorded as u64, days * STRANGERS_PER_DAY_MAX);
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Timestamp::now()).unwrap();
        let before = fs::read(newest(folder.path())).unwrap().len();
        let long = |char: &str| char.repeat(2 * TEXT_BYTES_MAX);
        let request = Request { who: None, role: None, from: long("f"), method: long("M"), path: long("\"") };
        log.refuse(&request, 401, "unknown_credential", &at(0)).unwrap();
        let bytes = (fs::read(newest(folder.path())).unwrap().len() - before) as u64;
        assert!(365 * STRANGERS_PER_DAY_MAX * bytes < FILE_BYTES_MAX * FILES_KEPT, "{bytes} bytes each");
    }

    #[test]
    fn a_path_gives_a_terminal_no_orders() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Timestamp::now()).unwrap();
        log.begin(&request("/v1/xnode/\u{9b}2J\u{1b}[31m\u{202e}a%2Fb"), &at(0)).unwrap();
        let found = log.list(&Filter::default()).unwrap().remove(0).path.unwrap();
        assert_eq!(found, "/v1/xnode/%C2%9B2J%1B[31m%E2%80%AEa%2Fb");
    }

    #[test]
    fn what_cannot_be_written_is_told_and_leaves_no_break() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Timestamp::now()).unwrap();
        log.begin(&request("/a"), &at(0)).unwrap();
        let path = newest(folder.path());
        let good = std::mem::replace(&mut log.lock().file, File::open(&path).unwrap());
        assert!(log.begin(&request("/b"), &at(1)).is_err(), "a file that cannot be written");
        log.lock().file = good;
        // What a write left that was broken off, by a full disk for instance.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"hash\":\"01").unwrap();
        log.begin(&request("/c"), &at(2)).unwrap();
        let report = log.verify(None).unwrap();
        assert_eq!((report.broken, report.torn_bytes, report.cuts, report.records), (None, None, 0, 3));
    }

    #[test]
    fn long_texts_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), Timestamp::now()).unwrap();
        log.begin(&request(&"ü".repeat(10_000)), &at(0)).unwrap();
        assert!(fs::read(newest(folder.path())).unwrap().len() < 2_000);
        assert_eq!(log.verify(None).unwrap().broken, None);
    }
}
