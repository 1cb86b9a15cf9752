//! A tree read into chunks and a manifest (B-11, B-20 to B-24). Runs in a thread of its own beside those that seal.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use rustix::fs::{Advice, AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use crate::cut::Cutter;
use crate::error::{BackupError, failed};
use crate::manifest::{Attributes, Counts, DEPTH_MAX, PIECES_MAX, Piece, RECORD_BYTES_MAX, Record};
use crate::meter::Meter;
use crate::pack::BlobKind;
use crate::pipeline::{Job, Shared};
use crate::snapshot::ManifestChunk;
use crate::stage::Stage;
use crate::tree::{attributes_of, attributes_of_link, open_root, part, word};

/// Bytes read ahead of the cut: some of the largest chunks, so that little is moved for each.
const BUFFER_BYTES: usize = 8 << 20;
/// Records and chunks that wait for ids: some hundred kilobytes. Half of them are waited for at a time.
const PENDING_MAX: usize = 4096;
/// Paths in the report of what was left out; beyond, they are counted.
pub const LEFT_OUT_MAX: usize = 1000;

/// Treatment of devices, pipes, sockets and other file systems (B-23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// The backup fails and names the first.
    Refuse,
    /// They are left out and listed in the report.
    LeaveOut,
}

/// Ends of reading before its time.
pub(crate) enum Halt {
    /// Another thread failed.
    Stopped,
    /// This one did.
    Failed(BackupError),
}

impl From<BackupError> for Halt {
    fn from(error: BackupError) -> Halt {
        Halt::Failed(error)
    }
}

/// A tree that was read.
pub(crate) struct Read {
    /// Counts of its manifest.
    pub counts: Counts,
    /// Chunks of its manifest.
    pub chunks: Vec<ManifestChunk>,
    /// The first paths that were left out.
    pub left_out: Vec<PathBuf>,
    /// Number of all that were left out.
    pub left_out_count: u64,
    /// Chunks that were cut.
    pub cut: u64,
}

enum Pending {
    Record(Vec<u8>),
    Chunk { number: u64, bytes: u32 },
    Hole(u64),
}

struct Level {
    folder: OwnedFd,
    path: PathBuf,
    stat: Stat,
    names: std::vec::IntoIter<CString>,
}

/// A reader of one tree.
pub(crate) struct Reading<'a> {
    root: &'a Path,
    special: Special,
    shared: &'a Shared<'a>,
    jobs: SyncSender<Job>,
    meter: &'a Meter,
    data: Cutter,
    manifest: Cutter,
    device: u64,
    next: u64,
    pending: VecDeque<Pending>,
    run: Vec<Piece>,
    stream: Vec<u8>,
    manifest_chunks: Vec<(u64, u32)>,
    /// Paths of files with several names, and what they were when they were read, by inode.
    named: HashMap<u64, (Vec<u8>, Stamp)>,
    buffer: Vec<u8>,
    read: Read,
}

impl<'a> Reading<'a> {
    /// For a tree; chunks go to `jobs`, and their bytes to the meter.
    pub(crate) fn new(
        root: &'a Path,
        special: Special,
        cut: &[u8; 32],
        shared: &'a Shared<'a>,
        jobs: SyncSender<Job>,
        meter: &'a Meter,
    ) -> Reading<'a> {
        let read = Read { counts: Counts::default(), chunks: vec![], left_out: vec![], left_out_count: 0, cut: 0 };
        Reading {
            root,
            special,
            shared,
            jobs,
            meter,
            data: Cutter::data(cut),
            manifest: Cutter::manifest(cut),
            device: 0,
            next: 0,
            pending: VecDeque::new(),
            run: Vec::new(),
            stream: Vec::new(),
            manifest_chunks: Vec::new(),
            named: HashMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            read,
        }
    }

    /// Reads the tree.
    pub(crate) fn run(mut self) -> Result<Read, Halt> {
        let folder = open_root(self.root)?;
        let stat = rustix::fs::fstat(&folder).map_err(failed("reading", self.root))?;
        self.device = stat.st_dev;
        let mut levels = vec![self.enter(folder, PathBuf::new(), stat)?];
        loop {
            let depth = levels.len();
            let Some(level) = levels.last_mut() else { break };
            let Some(name) = level.names.next() else {
                let shown = self.root.join(&level.path);
                let now = rustix::fs::fstat(&level.folder).map_err(failed("reading", &shown))?;
                unchanged(&level.stat, &now, shown)?;
                self.record(&Record::Leave, Path::new(""))?;
                levels.pop();
                continue;
            };
            let path = level.path.join(part(&name));
            let stat = rustix::fs::statat(&level.folder, &name, AtFlags::SYMLINK_NOFOLLOW);
            let shown = self.root.join(&path);
            let stat = stat.map_err(gone(&shown))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                if stat.st_dev != self.device {
                    self.refuse(shown, None)?;
                    continue;
                }
                if depth >= DEPTH_MAX {
                    let limit = format!("{DEPTH_MAX} levels of folders");
                    return Err(BackupError::Limit { path: shown, limit }.into());
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = rustix::fs::openat(&level.folder, &name, flags, Mode::empty()).map_err(gone(&shown))?;
                let level = self.enter(folder, path, stat)?;
                levels.push(level);
            } else {
                let folder = level.folder.try_clone().map_err(BackupError::io("opening", &shown))?;
                self.entry(&folder, &name, &path, &stat)?;
            }
        }
        self.finish()
    }

    fn enter(&mut self, folder: OwnedFd, path: PathBuf, seen: Stat) -> Result<Level, Halt> {
        let shown = self.root.join(&path);
        let stat = rustix::fs::fstat(&folder).map_err(failed("reading", &shown))?;
        unchanged(&seen, &stat, shown.clone())?;
        let attributes = attributes_of(folder.as_fd(), &stat).map_err(failed("reading attributes of", &shown))?;
        let name = path.file_name().map_or(vec![], |name| name.as_bytes().to_vec());
        self.record(&Record::Folder { name, attributes }, &path)?;
        self.read.counts.entries += 1;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(failed("listing", &shown))? {
            let entry = entry.map_err(failed("listing", &shown))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable();
        Ok(Level { folder, path, stat, names: names.into_iter() })
    }

    fn entry(&mut self, folder: &OwnedFd, name: &CString, path: &Path, stat: &Stat) -> Result<(), Halt> {
        let shown = self.root.join(path);
        let bytes = name.as_bytes().to_vec();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                // Of a file that is mounted on its own, only the number of the file system tells.
                if stat.st_dev != self.device {
                    return self.refuse(shown, None);
                }
                if let Some((to, seen)) = self.named.get(&stat.st_ino).filter(|_| stat.st_nlink > 1) {
                    // Written to since, or another file with the number of one that was removed.
                    if *seen != stamp(stat) {
                        return Err(BackupError::Torn { path: shown }.into());
                    }
                    let record = Record::HardLink { name: bytes, to: to.clone() };
                    self.record(&record, path)?;
                } else {
                    self.file(folder, name, path, stat)?;
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new()).map_err(gone(&shown))?.into_bytes();
                let attributes = attributes_of_link(folder.as_fd(), part(name), stat);
                let attributes = attributes.map_err(failed("reading attributes of", &shown))?;
                self.record(&Record::Link { name: bytes, attributes, target }, path)?;
            }
            kind => return self.refuse(shown, Some(word(kind))),
        }
        self.read.counts.entries += 1;
        Ok(())
    }

    fn refuse(&mut self, path: PathBuf, kind: Option<&'static str>) -> Result<(), Halt> {
        if self.special == Special::Refuse {
            let error = match kind {
                Some(kind) => BackupError::Special { path, kind },
                None => BackupError::OtherFileSystem { path },
            };
            return Err(error.into());
        }
        self.read.left_out_count += 1;
        if self.read.left_out.len() < LEFT_OUT_MAX {
            self.read.left_out.push(path);
        }
        Ok(())
    }

    fn file(&mut self, folder: &OwnedFd, name: &CString, path: &Path, seen: &Stat) -> Result<(), Halt> {
        let shown = self.root.join(path);
        // Without waiting: somebody may have put a pipe in its place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(gone(&shown))?;
        let stat = rustix::fs::fstat(&file).map_err(failed("reading", &shown))?;
        unchanged(seen, &stat, shown.clone())?;
        let attributes: Attributes =
            attributes_of(file.as_fd(), &stat).map_err(failed("reading attributes of", &shown))?;
        let bytes = stat.st_size.unsigned_abs();
        let linked = stat.st_nlink > 1;
        self.record(&Record::File { name: name.as_bytes().to_vec(), attributes, bytes, linked }, path)?;
        if linked {
            self.named.insert(stat.st_ino, (path.as_os_str().as_bytes().to_vec(), stamp(&stat)));
        }
        let file = File::from(file);
        self.contents(&file, &stat, &shown)?;
        let now = rustix::fs::fstat(&file).map_err(failed("reading", &shown))?;
        unchanged(&stat, &now, shown).map_err(Halt::from)
    }

    /// Reads the parts of a file that hold data, and notes its holes.
    fn contents(&mut self, file: &File, stat: &Stat, shown: &Path) -> Result<(), Halt> {
        let size = stat.st_size.unsigned_abs();
        if stat.st_blocks.unsigned_abs().saturating_mul(512) >= size {
            if size > self.data.bytes_max() as u64 {
                // Only advice: reading is right without it.
                let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
            }
            return self.segment(file, 0, size, shown);
        }
        let mut at = 0;
        while at < size {
            let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                Err(Errno::NXIO) => size,
                // A file system that cannot tell has no holes to tell of.
                Err(Errno::INVAL) => at,
                data => data.map_err(failed("reading", shown))?.min(size),
            };
            if data > at {
                self.pending.push_back(Pending::Hole(data - at));
            }
            let end = match rustix::fs::seek(file, SeekFrom::Hole(data)) {
                Err(Errno::NXIO | Errno::INVAL) => size,
                end => end.map_err(failed("reading", shown))?.min(size),
            };
            self.segment(file, data, end, shown)?;
            at = end;
        }
        Ok(())
    }

    fn segment(&mut self, file: &File, from: u64, until: u64, shown: &Path) -> Result<(), Halt> {
        let (mut at, mut start, mut end) = (from, 0, 0);
        let clock = self.shared.clock;
        loop {
            if end - start < self.data.bytes_max() && at < until {
                self.buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                while end < self.buffer.len() && at < until {
                    let most = usize::try_from(until - at).unwrap_or(usize::MAX).min(self.buffer.len() - end);
                    let begun = clock.begin();
                    let got = file.read_at(&mut self.buffer[end..end + most], at);
                    let got = got.map_err(BackupError::io("reading", shown))?;
                    clock.end(Stage::ReadTree, begun, got);
                    if got == 0 {
                        return Err(BackupError::Torn { path: shown.to_path_buf() }.into());
                    }
                    end += got;
                    at += got as u64;
                }
            }
            if start == end {
                return Ok(());
            }
            let begun = clock.begin();
            let length = self.data.first(&self.buffer[start..end]);
            clock.end(Stage::Cut, begun, length);
            let mut content = self.shared.chunks.take();
            content.extend_from_slice(&self.buffer[start..start + length]);
            start += length;
            self.read.counts.bytes += length as u64;
            self.meter.add(length as u64)?;
            let number = self.send(BlobKind::Data, content)?;
            self.pending.push_back(Pending::Chunk { number, bytes: length as u32 });
            self.drain(PENDING_MAX)?;
        }
    }

    fn send(&mut self, kind: BlobKind, content: Vec<u8>) -> Result<u64, Halt> {
        let number = self.next;
        self.next += 1;
        self.jobs.send(Job { number, kind, content }).map_err(|_| Halt::Stopped)?;
        Ok(number)
    }

    fn record(&mut self, record: &Record, path: &Path) -> Result<(), Halt> {
        let Some(frame) = record.frame() else {
            let limit = format!("{RECORD_BYTES_MAX} bytes of extended attributes");
            return Err(BackupError::Limit { path: self.root.join(path), limit }.into());
        };
        self.pending.push_back(Pending::Record(frame));
        self.drain(PENDING_MAX)
    }

    /// Moves what waits into the manifest, once more than `most` do: down to half of it.
    fn drain(&mut self, most: usize) -> Result<(), Halt> {
        if self.pending.len() <= most {
            return Ok(());
        }
        while self.pending.len() > most / 2 {
            match self.pending.pop_front() {
                Some(Pending::Record(frame)) => {
                    self.flush_run()?;
                    self.stream.extend(frame);
                }
                Some(Pending::Chunk { number, bytes }) => {
                    let id = self.shared.wait(number).ok_or(Halt::Stopped)?;
                    self.run.push(Piece::Chunk { id, bytes });
                }
                Some(Pending::Hole(bytes)) => self.run.push(Piece::Hole { bytes }),
                None => break,
            }
            if self.run.len() >= PIECES_MAX {
                self.flush_run()?;
            }
            while self.stream.len() >= self.manifest.bytes_max() {
                self.cut_manifest()?;
            }
        }
        Ok(())
    }

    fn flush_run(&mut self) -> Result<(), Halt> {
        let run = std::mem::take(&mut self.run);
        if !run.is_empty() {
            // Far below the limit of a record.
            self.stream.extend(Record::Contents(run).frame().unwrap_or_default());
        }
        Ok(())
    }

    fn cut_manifest(&mut self) -> Result<(), Halt> {
        let length = self.manifest.first(&self.stream);
        let content: Vec<u8> = self.stream.drain(..length).collect();
        let number = self.send(BlobKind::Manifest, content)?;
        self.manifest_chunks.push((number, length as u32));
        Ok(())
    }

    fn finish(mut self) -> Result<Read, Halt> {
        self.drain(0)?;
        self.flush_run()?;
        while !self.stream.is_empty() {
            self.cut_manifest()?;
        }
        for (number, bytes) in std::mem::take(&mut self.manifest_chunks) {
            let id = self.shared.wait(number).ok_or(Halt::Stopped)?;
            self.read.chunks.push(ManifestChunk { id, bytes });
        }
        self.read.cut = self.next;
        Ok(self.read)
    }
}

/// Makes the error of an entry that was listed and is not there any more, or cannot be opened.
fn gone(path: &Path) -> impl FnOnce(Errno) -> BackupError + '_ {
    move |cause| match cause {
        Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO => BackupError::Torn { path: path.to_path_buf() },
        cause => failed("reading", path)(cause),
    }
}

/// Marks of a change of an entry: file system, number, kind, length, times of change and of modification.
type Stamp = (u64, u64, FileType, i64, [i64; 4]);

fn stamp(stat: &Stat) -> Stamp {
    let times = [stat.st_ctime, nanos(stat.st_ctime_nsec), stat.st_mtime, nanos(stat.st_mtime_nsec)];
    (stat.st_dev, stat.st_ino, FileType::from_raw_mode(stat.st_mode), stat.st_size, times)
}

fn nanos<N: TryInto<i64>>(nanos: N) -> i64 {
    nanos.try_into().unwrap_or_default()
}

/// Holds an entry against what it was (B-24).
fn unchanged(before: &Stat, now: &Stat, path: PathBuf) -> Result<(), BackupError> {
    if stamp(before) == stamp(now) { Ok(()) } else { Err(BackupError::Torn { path }) }
}
