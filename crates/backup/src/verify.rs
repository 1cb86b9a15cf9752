//! A restored tree read back and held against its manifest (B-33, B-46).
//!
//! Several threads walk the same manifest. It is cut into parts of about the same work, and whoever comes to an end takes the next part: no thread
//! waits for another, nothing is handed over, and one large file is read by all of them.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::crew::{Brake, first, threads};
use crate::error::{BackupError, failed};
use crate::fetch::Stop;
use crate::manifest::{self, Attributes, Event, Piece};
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::restore::Restoration;
use crate::stage::Stage;
use crate::tree::{attributes_of, attributes_of_link, difference, open_below, open_parent};

/// Bytes read at once where a hole is to be.
const ZEROS_BYTES: usize = 256 << 10;
/// Work of one part, in bytes of contents: some chunks, which lie side by side.
const PART_BYTES: u64 = 4 << 20;
/// Work of an entry, or of a hole: opening it and reading its attributes takes about as long as reading so many bytes.
const ENTRY_BYTES: u64 = 64 << 10;
/// Flags with which files and folders are opened. Without waiting: nothing that is waited for was restored.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

impl Repository<'_> {
    /// Reads a tree back in several threads. It ends early where the brake is pulled, and pulls it where it fails.
    ///
    /// # Errors
    /// The first entry found that is not as the manifest says.
    pub(crate) fn verify(
        &self,
        root: &OwnedFd,
        manifest: &[u8],
        order: &Restoration<'_>,
        brake: &Brake,
    ) -> Result<(), BackupError> {
        let parts = AtomicU64::new(0);
        let walk = || {
            let (share, buffer) = (Share::new(&parts), Vec::new());
            let walk = ReadBack { repository: self, root, order, brake, share, file: None, buffer };
            let walked = walk.walk(manifest);
            if walked.is_err() {
                brake.pull();
            }
            walked
        };
        std::thread::scope(|scope| {
            let walks: Vec<_> = (0..threads()).map(|_| scope.spawn(walk)).collect();
            let results = walks.into_iter().map(|walk| walk.join());
            first(results.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
        })
    }
}

/// The part of the work that one thread does of what all of them see in the same order.
struct Share<'a> {
    /// Number of the next part that nobody has taken.
    parts: &'a AtomicU64,
    /// Number of the part that is taken.
    mine: u64,
    /// Work that was seen.
    seen: u64,
}

impl<'a> Share<'a> {
    fn new(parts: &'a AtomicU64) -> Share<'a> {
        Share { parts, mine: parts.fetch_add(1, Ordering::Relaxed), seen: 0 }
    }

    /// Returns true where the next piece of work, of so many bytes, is this thread's. A part is taken by one thread, and before that thread has come to it:
    /// it takes a new one only as it sees the end of its own.
    fn is_mine(&mut self, work: u64) -> bool {
        let part = self.seen / PART_BYTES;
        self.seen = self.seen.saturating_add(work);
        while self.mine < part {
            self.mine = self.parts.fetch_add(1, Ordering::Relaxed);
        }
        self.mine == part
    }
}

/// A walk of one thread.
struct ReadBack<'a> {
    repository: &'a Repository<'a>,
    root: &'a OwnedFd,
    order: &'a Restoration<'a>,
    brake: &'a Brake,
    share: Share<'a>,
    /// The file whose pieces come, once one of them is read.
    file: Option<File>,
    buffer: Vec<u8>,
}

impl ReadBack<'_> {
    fn walk(mut self, manifest: &[u8]) -> Result<(), BackupError> {
        let snapshot = self.order.snapshot;
        let counts = manifest::read::<Stop>(manifest, |path, event| self.event(path, event).map_err(Stop::Failed));
        counts.map(drop).map_err(|stop| stop.of(snapshot))
    }

    fn event(&mut self, path: &Path, event: Event<'_>) -> Result<(), BackupError> {
        if matches!(event, Event::File(..)) {
            self.file = None;
        }
        if !self.share.is_mine(work(&event)) {
            return Ok(());
        }
        self.brake.check()?;
        self.repository.meter.check()?;
        let (root, order) = (self.root, self.order);
        let differs = |what: &str| BackupError::Differs { path: path.to_path_buf(), what: what.to_string() };
        match event {
            Event::File(attributes, bytes) => {
                let opened = check_open(root, path, attributes, order, FileType::RegularFile)?;
                let length = opened.metadata().map_err(BackupError::io("reading", path))?.len();
                self.file = Some(opened);
                if length == bytes { Ok(()) } else { Err(differs("its length is another")) }
            }
            Event::Leave(attributes) => check_open(root, path, attributes, order, FileType::Directory).map(drop),
            Event::Piece(at, piece) => {
                let is_right = self.piece_is(path, at, piece)?;
                if is_right { Ok(()) } else { Err(differs("its content is another")) }
            }
            Event::Link(attributes, target) => check_link(root, path, attributes, target, order),
            Event::HardLink(to) => {
                let inode = |path| open_below(root.as_fd(), path, OFlags::PATH, Mode::empty());
                let same = inode(to).and_then(|to| {
                    let (to, this) = (rustix::fs::fstat(to)?, rustix::fs::fstat(inode(path)?)?);
                    Ok((to.st_dev, to.st_ino) == (this.st_dev, this.st_ino))
                });
                let is_right = same.map_err(failed("reading", path))?;
                if is_right { Ok(()) } else { Err(differs("it is not the file that it was linked to")) }
            }
            Event::Folder => Ok(()),
        }
    }

    /// Returns true where a piece of a file is as the manifest says. Whether it is a file, and of its length, is looked at by whoever has that part.
    fn piece_is(&mut self, path: &Path, at: u64, piece: Piece) -> Result<bool, BackupError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = open_below(self.root.as_fd(), path, READ, Mode::empty());
                file.map(File::from).map_err(failed("opening", path))?
            }
        };
        let is_right = match piece {
            Piece::Chunk { id, bytes } => {
                let (clock, length) = (self.repository.clock(), bytes as usize);
                if self.buffer.len() < length {
                    self.buffer.resize(length, 0);
                }
                let content = &mut self.buffer[..length];
                let begun = clock.begin();
                file.read_exact_at(content, at).map_err(BackupError::io("reading", path))?;
                clock.end(Stage::ReadBack, begun, length);
                let keys = &self.repository.keys;
                clock.time(Stage::CheckBack, length, || BlobKind::Data.chunk(keys, content) == id)
            }
            Piece::Hole { bytes } => {
                is_zero(&file, at, bytes, &mut self.buffer).map_err(BackupError::io("reading", path))?
            }
        };
        self.file = Some(file);
        Ok(is_right)
    }
}

/// Work of an event, in bytes of contents.
fn work(event: &Event<'_>) -> u64 {
    match event {
        Event::Piece(_, Piece::Chunk { bytes, .. }) => u64::from(*bytes),
        // The check of a folder is with its end.
        Event::Folder => 0,
        _ => ENTRY_BYTES,
    }
}

/// Returns true where so many bytes of a file are zeros. What the file system knows to be a hole is not read.
fn is_zero(file: &File, at: u64, bytes: u64, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    let end = at.saturating_add(bytes);
    let mut at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Err(Errno::NXIO) => end,
        Err(Errno::INVAL) => at,
        data => data?,
    };
    if buffer.len() < ZEROS_BYTES {
        buffer.resize(ZEROS_BYTES, 0);
    }
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS_BYTES);
        let content = &mut buffer[..length];
        file.read_exact_at(content, at)?;
        if content.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += length as u64;
    }
    Ok(true)
}

fn check_open(
    root: &OwnedFd,
    path: &Path,
    attributes: &Attributes,
    order: &Restoration<'_>,
    kind: FileType,
) -> Result<File, BackupError> {
    let file = open_below(root.as_fd(), path, READ, Mode::empty()).map_err(failed("opening", path))?;
    let stat = rustix::fs::fstat(&file).map_err(failed("reading", path))?;
    let found = attributes_of(file.as_fd(), &stat).map_err(failed("reading attributes of", path))?;
    let what = if FileType::from_raw_mode(stat.st_mode) == kind {
        let (owner, attributes) = order.owners.of(path, attributes)?;
        difference(&found, &attributes, owner, kind)
    } else {
        Some("it is of another kind")
    };
    match what {
        Some(what) => Err(BackupError::Differs { path: path.to_path_buf(), what: what.to_string() }),
        None => Ok(File::from(file)),
    }
}

fn check_link(
    root: &OwnedFd,
    path: &Path,
    attributes: &Attributes,
    target: &std::ffi::OsStr,
    order: &Restoration<'_>,
) -> Result<(), BackupError> {
    use std::os::unix::ffi::OsStrExt as _;
    let read = open_parent(root.as_fd(), path).and_then(|(folder, name)| {
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let found = attributes_of_link(folder.as_fd(), name, &stat)?;
        Ok((rustix::fs::readlinkat(&folder, name, Vec::new())?, found))
    });
    let (points, found) = read.map_err(failed("reading", path))?;
    let what = if points.as_bytes() == target.as_bytes() {
        let (owner, attributes) = order.owners.of(path, attributes)?;
        difference(&found, &attributes, owner, FileType::Symlink)
    } else {
        Some("its target is another")
    };
    what.map_or(Ok(()), |what| Err(BackupError::Differs { path: path.to_path_buf(), what: what.to_string() }))
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::SplitMix64;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// However threads get ahead of each other: each piece of work is done by exactly one of them.
        #[test]
        fn every_piece_of_work_is_of_one_thread(
            works in proptest::collection::vec(
                prop_oneof![Just(0_u64), Just(ENTRY_BYTES), 1..(2_u64 << 20), Just(PART_BYTES), Just(9 * PART_BYTES)],
                0..80,
            ),
            threads in 1_usize..6,
            seed in any::<u64>(),
        ) {
            let (parts, mut numbers) = (AtomicU64::new(0), SplitMix64::new(seed));
            let mut done = vec![0; works.len()];
            // The place of each thread that goes on.
            let mut walks: Vec<(Share<'_>, usize)> = Vec::new();
            let mut to_begin = threads;
            while to_begin > 0 || !walks.is_empty() {
                let chosen = numbers.index(walks.len() + usize::from(to_begin > 0));
                let Some((share, at)) = walks.get_mut(chosen) else {
                    walks.push((Share::new(&parts), 0));
                    to_begin -= 1;
                    continue;
                };
                match works.get(*at) {
                    Some(work) => {
                        done[*at] += u32::from(share.is_mine(*work));
                        *at += 1;
                    }
                    None => drop(walks.swap_remove(chosen)),
                }
            }
            prop_assert!(done.iter().all(|times| *times == 1), "{done:?}");
        }
    }
}
