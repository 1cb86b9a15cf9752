//! A tree cloned into another: by reflink, which shares the blocks, or byte by byte without the holes.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use crate::error::VolumeError;
use crate::tree::attributes;
use crate::tree::walk::{Entry, Part, Stamp, check_unchanged, failed, open_below, open_root, part, walk};

/// Bytes that one call copies at most: the kernel returns in between, so that a thread can see a failure of another.
const COPY_BYTES_MAX: usize = 64 << 20;

/// Ways to copy the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Both files share the blocks until one writes.
    Reflink,
    /// The bytes are copied.
    Bytes,
}

/// Copied things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Files, links, pipes and sockets, by name.
    pub entries: u64,
    /// Folders.
    pub folders: u64,
}

struct Copy<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    shown: &'a Path,
    how: How,
    /// Folders below the root: their attributes come last, since each new entry changes the times.
    folders: Mutex<Vec<PathBuf>>,
    /// Files with several names, by inode.
    linked: Mutex<BTreeMap<u64, Vec<PathBuf>>>,
    entries: AtomicU64,
}

/// Copies everything below a folder into another, which is empty, with owners, modes, times, extended attributes, access lists, hard
/// links and holes; the attributes of the folder itself as well. Fails where something changes meanwhile.
pub(crate) fn copy(from: &Path, to: &Path, how: How) -> Result<Copied, VolumeError> {
    let (source, target) = (open_root(from)?, open_root(to)?);
    // A change of the target now has the stamp of this moment: whatever changes in the source has a later one.
    rustix::fs::fchmod(&target, Mode::RWXU).map_err(failed("setting the mode of", to))?;
    let begun = Stamp::of(&rustix::fs::fstat(&target).map_err(failed("reading", to))?);
    let copy = Copy {
        from: source.as_fd(),
        to: target.as_fd(),
        shown: from,
        how,
        folders: Mutex::default(),
        linked: Mutex::default(),
        entries: AtomicU64::new(0),
    };
    walk(source.as_fd(), from, &|part| copy.part(part))?;
    copy.hard_links()?;
    let folders = copy.finish_folders()?;
    check_unchanged(from, begun)?;
    Ok(Copied { entries: copy.entries.into_inner(), folders })
}

impl Copy<'_> {
    fn part(&self, visited: &Part<'_>) -> Result<(), VolumeError> {
        let target = open_below(self.to, visited.path, self.shown)?;
        for entry in &visited.entries {
            self.entry(visited, entry, &target)?;
        }
        Ok(())
    }

    fn entry(&self, visited: &Part<'_>, entry: &Entry, target: &OwnedFd) -> Result<(), VolumeError> {
        let path = visited.path.join(part(&entry.name));
        let shown = self.shown.join(&path);
        match entry.kind() {
            FileType::Directory => {
                rustix::fs::mkdirat(target, &entry.name, Mode::RWXU).map_err(failed("making a copy of", &shown))?;
                self.folders.lock().unwrap_or_else(PoisonError::into_inner).push(path);
                return Ok(());
            }
            FileType::RegularFile if entry.stat.st_nlink > 1 => {
                let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
                linked.entry(entry.stat.st_ino).or_default().push(path);
                return Ok(());
            }
            FileType::RegularFile => self.file(visited.folder, target.as_fd(), entry, &shown)?,
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(visited.folder, &entry.name, Vec::new());
                let made = link.and_then(|link| rustix::fs::symlinkat(&link, target, &entry.name));
                made.map_err(failed("copying", &shown))?;
                attributes::copy_by_name(visited.folder, target.as_fd(), &entry.name, &entry.stat, &shown)?;
            }
            kind => self.special(visited.folder, target.as_fd(), entry, kind, &shown)?,
        }
        self.entries.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Copies a pipe, a socket or the whiteout of an overlay (device 0:0, which no driver answers); refuses real devices.
    fn special(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        entry: &Entry,
        kind: FileType,
        shown: &Path,
    ) -> Result<(), VolumeError> {
        let inert = matches!(kind, FileType::Fifo | FileType::Socket)
            || (kind == FileType::CharacterDevice && entry.stat.st_rdev == 0);
        if !inert {
            return Err(VolumeError::Device { path: shown.to_path_buf() });
        }
        let mode = Mode::from_raw_mode(entry.stat.st_mode);
        rustix::fs::mknodat(to, &entry.name, kind, mode, 0).map_err(failed("copying", shown))?;
        attributes::copy_by_name(from, to, &entry.name, &entry.stat, shown)
    }

    fn file(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, entry: &Entry, shown: &Path) -> Result<(), VolumeError> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Without waiting: somebody may have put a pipe in its place.
        let source = rustix::fs::openat(from, &entry.name, flags | OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        let source = source.map_err(failed("opening", shown))?;
        let stat = rustix::fs::fstat(&source).map_err(failed("reading", shown))?;
        if stat.st_ino != entry.stat.st_ino || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(VolumeError::Torn { path: shown.to_path_buf() });
        }
        let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let target = rustix::fs::openat(to, &entry.name, new, Mode::RUSR | Mode::WUSR);
        let target = target.map_err(failed("making a copy of", shown))?;
        let copied = match self.how {
            _ if stat.st_size == 0 => Ok(()),
            How::Reflink => rustix::fs::ioctl_ficlone(&target, &source),
            How::Bytes => copy_bytes(source.as_fd(), target.as_fd(), &stat),
        };
        copied.map_err(failed("copying", shown))?;
        attributes::copy_to_open(source.as_fd(), target.as_fd(), &stat, shown)
    }

    /// Makes files with several names: the first by path is a copy, the others are links to it.
    fn hard_links(&self) -> Result<(), VolumeError> {
        let linked = std::mem::take(&mut *self.linked.lock().unwrap_or_else(PoisonError::into_inner));
        for mut paths in linked.into_values() {
            paths.sort();
            let Some((first, others)) = paths.split_first() else { continue };
            let (folder, name) = split(first)?;
            let from = open_below(self.from, folder, self.shown)?;
            let shown = self.shown.join(first);
            let stat =
                rustix::fs::statat(&from, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("reading", &shown))?;
            let to = open_below(self.to, folder, self.shown)?;
            let entry = Entry { name, stat };
            self.file(from.as_fd(), to.as_fd(), &entry, &shown)?;
            for other in others {
                let (folder, name) = split(other)?;
                let folder = open_below(self.to, folder, self.shown)?;
                let linked = rustix::fs::linkat(&to, &entry.name, &folder, &name, AtFlags::empty());
                linked.map_err(failed("linking", &self.shown.join(other)))?;
            }
            self.entries.fetch_add(paths.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn finish_folders(&self) -> Result<u64, VolumeError> {
        let folders = std::mem::take(&mut *self.folders.lock().unwrap_or_else(PoisonError::into_inner));
        for path in folders.iter().map(PathBuf::as_path).chain([Path::new("")]) {
            let shown = self.shown.join(path);
            let (from, to) = (open_below(self.from, path, self.shown)?, open_below(self.to, path, self.shown)?);
            let stat = rustix::fs::fstat(&from).map_err(failed("reading", &shown))?;
            attributes::copy_to_open(from.as_fd(), to.as_fd(), &stat, &shown)?;
        }
        Ok(folders.len() as u64)
    }
}

/// A path below the root as folder and name.
fn split(path: &Path) -> Result<(&Path, std::ffi::CString), VolumeError> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = path.file_name().and_then(|name| std::ffi::CString::new(name.as_bytes()).ok());
    let folder = path.parent().zip(name);
    folder.ok_or_else(|| VolumeError::PathLong { path: path.to_path_buf() })
}

/// Copies a whole file into an empty one, without its holes.
pub(crate) fn copy_file(from: &std::fs::File, to: &std::fs::File) -> Result<(), Errno> {
    copy_bytes(from.as_fd(), to.as_fd(), &rustix::fs::fstat(from)?)
}

/// Copies the parts of a file that hold data, and leaves its holes.
fn copy_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    let size = stat.st_size.unsigned_abs();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(data))?.min(size);
        let (mut read, mut written) = (data, data);
        while read < end {
            let length = usize::try_from(end - read).unwrap_or(COPY_BYTES_MAX).min(COPY_BYTES_MAX);
            if rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length)? == 0 {
                // Cut off since: the check for changes says so.
                return Ok(());
            }
        }
        at = end.max(at + 1);
    }
    rustix::fs::ftruncate(to, size)
}
