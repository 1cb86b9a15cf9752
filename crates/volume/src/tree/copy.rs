//! A tree cloned into another: by reflink, which shares the blocks, or byte by byte without the holes.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use crate::error::VolumeError;
use crate::tree::walk::{Entry, Part, Stamp, check_unchanged, failed, open_below, open_root, part, walk};
use crate::tree::{attributes, remove};

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
    /// Folder in the target with one name for each file that has several, by the inode of the original. It is on the disk, since there can be millions.
    links: OwnedFd,
    shown: &'a Path,
    how: How,
    entries: AtomicU64,
}

/// Copies everything below a folder into another, which is empty, with owners, modes, times, extended attributes, access lists, hard
/// links and holes; the attributes of the folder itself as well. Fails where something changes meanwhile.
pub(crate) fn copy(from: &Path, to: &Path, how: How) -> Result<Copied, VolumeError> {
    let (source, target) = (open_root(from)?, open_root(to)?);
    // A change of the target now has the stamp of this moment: whatever changes in the source has a later one.
    rustix::fs::fchmod(&target, Mode::RWXU).map_err(failed("setting the mode of", to))?;
    let begun = Stamp::of(&rustix::fs::fstat(&target).map_err(failed("reading", to))?);
    let name = free_name(&source, from)?;
    let links = to.join(part(&name));
    rustix::fs::mkdirat(&target, &name, Mode::RWXU).map_err(failed("making", &links))?;
    let copy = Copy {
        from: source.as_fd(),
        to: target.as_fd(),
        links: open_root(&links)?,
        shown: from,
        how,
        entries: AtomicU64::new(0),
    };
    walk(source.as_fd(), from, &|part| copy.part(part))?;
    remove(&links)?;
    let folders = copy.finish_folders()?;
    check_unchanged(from, begun)?;
    Ok(Copied { entries: copy.entries.into_inner(), folders })
}

/// A name that is not in a folder.
fn free_name(folder: &OwnedFd, shown: &Path) -> Result<CString, VolumeError> {
    for number in 0_u64.. {
        let name = CString::new(format!(".copied-links-{number}")).unwrap_or_default();
        match rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(name),
            Err(cause) => return Err(failed("reading", shown)(cause)),
            Ok(_) => {}
        }
    }
    Err(VolumeError::io("reading", shown)(std::io::ErrorKind::AlreadyExists.into()))
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
        let shown = self.shown.join(visited.path).join(part(&entry.name));
        match entry.kind() {
            FileType::Directory => {
                rustix::fs::mkdirat(target, &entry.name, Mode::RWXU).map_err(failed("making a copy of", &shown))?;
                return Ok(());
            }
            FileType::RegularFile if entry.stat.st_nlink > 1 => self.linked(visited, entry, target, &shown)?,
            FileType::RegularFile => {
                let made = self.file(visited.folder, target.as_fd(), entry, &entry.name, &shown)?;
                if !made {
                    return Err(failed("making a copy of", &shown)(Errno::EXIST));
                }
            }
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

    /// Copies a file to a name in an open folder; false where that name is there.
    fn file(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        entry: &Entry,
        name: &CStr,
        shown: &Path,
    ) -> Result<bool, VolumeError> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Without waiting: somebody may have put a pipe in its place.
        let source = rustix::fs::openat(from, &entry.name, flags | OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        let source = source.map_err(failed("opening", shown))?;
        let stat = rustix::fs::fstat(&source).map_err(failed("reading", shown))?;
        if stat.st_ino != entry.stat.st_ino || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(VolumeError::Torn { path: shown.to_path_buf() });
        }
        let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let target = match rustix::fs::openat(to, name, new, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => return Ok(false),
            other => other.map_err(failed("making a copy of", shown))?,
        };
        let copied = match self.how {
            _ if stat.st_size == 0 => Ok(()),
            How::Reflink => rustix::fs::ioctl_ficlone(&target, &source),
            How::Bytes => copy_bytes(source.as_fd(), target.as_fd(), &stat),
        };
        copied.map_err(failed("copying", shown))?;
        attributes::copy_to_open(source.as_fd(), target.as_fd(), &stat, shown)?;
        Ok(true)
    }

    /// Makes one name of a file that has several. Whoever comes first copies it under its number; every name is a link to that.
    fn linked(&self, visited: &Part<'_>, entry: &Entry, target: &OwnedFd, shown: &Path) -> Result<(), VolumeError> {
        let number = CString::new(entry.stat.st_ino.to_string()).unwrap_or_default();
        let link = || rustix::fs::linkat(&self.links, &number, target, &entry.name, AtFlags::empty());
        let mut linked = link();
        if linked == Err(Errno::NOENT) {
            // Another thread may be at it already; then the link is to what that one makes.
            let _made = self.file(visited.folder, self.links.as_fd(), entry, &number, shown)?;
            linked = link();
        }
        if linked == Err(Errno::MLINK) {
            // It has as many names as a file can have, so this is the last.
            linked = rustix::fs::renameat(&self.links, &number, target, &entry.name);
        }
        linked.map_err(failed("linking", shown))
    }

    /// Gives every folder the attributes of its original, once all entries are there: each new one changes the times of its folder.
    fn finish_folders(&self) -> Result<u64, VolumeError> {
        let folders = AtomicU64::new(0);
        walk(self.from, self.shown, &|visited| {
            for entry in visited.entries.iter().filter(|entry| entry.kind() == FileType::Directory) {
                self.finish_folder(&visited.path.join(part(&entry.name)))?;
                folders.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })?;
        self.finish_folder(Path::new(""))?;
        Ok(folders.into_inner())
    }

    fn finish_folder(&self, path: &Path) -> Result<(), VolumeError> {
        let shown = self.shown.join(path);
        let (from, to) = (open_below(self.from, path, self.shown)?, open_below(self.to, path, self.shown)?);
        let stat = rustix::fs::fstat(&from).map_err(failed("reading", &shown))?;
        attributes::copy_to_open(from.as_fd(), to.as_fd(), &stat, &shown)
    }
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
