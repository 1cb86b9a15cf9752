//! Entries of a file system: opened below a folder, their attributes read, given and compared (B-22, B-34).

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::{BackupError, failed};
use crate::manifest::Attributes;

/// Largest list of names or value of an extended attribute, bytes: the kernel's own limit.
const XATTR_BYTES_MAX: usize = 64 << 10;
/// Bytes of a path that are opened in one step: half of what Linux takes (`PATH_MAX`), and more than any name.
const STEP_BYTES_MAX: usize = 2048;
/// Bits of a mode that are kept.
const MODE_BITS: u32 = 0o7777;

/// Opens a folder, which may be reached by links: the root of a tree.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, BackupError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(failed("opening", path))
}

/// Opens an entry below a folder without following any link. A path longer than the kernel takes is walked in steps.
pub(crate) fn open_below(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let open = |folder: BorrowedFd<'_>, path: &Path, flags, mode| {
        rustix::fs::openat2(folder, path, flags | OFlags::CLOEXEC, mode, resolve)
    };
    let bytes = path.as_os_str().as_bytes();
    let cut = bytes.get(..STEP_BYTES_MAX).and_then(|step| step.iter().rposition(|byte| *byte == b'/'));
    let Some(cut) = cut else { return open(root, path, flags, mode) };
    let step =
        open(root, Path::new(OsStr::from_bytes(&bytes[..cut])), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    open_below(step.as_fd(), Path::new(OsStr::from_bytes(&bytes[cut + 1..])), flags, mode)
}

/// Opens the folder that holds an entry, and the entry's name.
pub(crate) fn open_parent<'p>(root: BorrowedFd<'_>, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let parent = path.parent().unwrap_or(Path::new(""));
    Ok((open_below(root, parent, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?, name))
}

/// A path by which the kernel reaches an entry that cannot be opened, such as a link: extended attributes have no call with a folder's handle.
fn by_handle(folder: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)
}

/// Attributes of an open file or folder.
pub(crate) fn attributes_of(file: BorrowedFd<'_>, stat: &Stat) -> Result<Attributes, Errno> {
    let names = names(|buffer| rustix::fs::flistxattr(file, buffer))?;
    let values = names.into_iter().map(|name| {
        let value = value(|buffer| rustix::fs::fgetxattr(file, name.as_c_str(), buffer))?;
        Ok((name.into_bytes(), value))
    });
    Ok(with_extended(stat, values.collect::<Result<_, Errno>>()?))
}

/// Attributes of a link.
pub(crate) fn attributes_of_link(folder: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<Attributes, Errno> {
    let path = by_handle(folder, name);
    let names = names(|buffer| rustix::fs::llistxattr(&path, buffer))?;
    let values = names.into_iter().map(|name| {
        let value = value(|buffer| rustix::fs::lgetxattr(&path, name.as_c_str(), buffer))?;
        Ok((name.into_bytes(), value))
    });
    Ok(with_extended(stat, values.collect::<Result<_, Errno>>()?))
}

fn with_extended(stat: &Stat, mut extended: Vec<(Vec<u8>, Vec<u8>)>) -> Attributes {
    extended.sort();
    Attributes {
        user: stat.st_uid,
        group: stat.st_gid,
        mode: stat.st_mode & MODE_BITS,
        modified_s: stat.st_mtime,
        // Some file systems know no fractions, and none more than a second.
        modified_ns: u32::try_from(stat.st_mtime_nsec).unwrap_or(0).min(999_999_999),
        extended,
    }
}

/// Gives an open file or folder its attributes. Owner first: a change of owner takes set-user-id bits and capabilities away. Extended
/// attributes before the mode: an access list sets bits of it. Times last.
pub(crate) fn give(file: BorrowedFd<'_>, attributes: &Attributes, owner: Option<(u32, u32)>) -> Result<(), Errno> {
    if let Some((user, group)) = owner {
        rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    }
    for (name, value) in &attributes.extended {
        rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty())?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode))?;
    rustix::fs::futimens(file, &times(attributes))
}

/// Gives a link its attributes. Links have no mode of their own.
pub(crate) fn give_link(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    attributes: &Attributes,
    owner: Option<(u32, u32)>,
) -> Result<(), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if let Some((user, group)) = owner {
        rustix::fs::chownat(folder, name, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), flags)?;
    }
    let path = by_handle(folder, name);
    for (name, value) in &attributes.extended {
        rustix::fs::lsetxattr(&path, name.as_slice(), value, XattrFlags::empty())?;
    }
    rustix::fs::utimensat(folder, name, &times(attributes), flags)
}

/// The first difference of attributes, in words. Owners are compared with those that were to be given.
pub(crate) fn difference(
    found: &Attributes,
    want: &Attributes,
    owner: Option<(u32, u32)>,
    kind: FileType,
) -> Option<&'static str> {
    if owner.is_some_and(|owner| owner != (found.user, found.group)) {
        return Some("its owner is another");
    }
    if found.mode != want.mode && kind != FileType::Symlink {
        return Some("its mode is another");
    }
    if (found.modified_s, found.modified_ns) != (want.modified_s, want.modified_ns) {
        return Some("its time of modification is another");
    }
    (found.extended != want.extended).then_some("its extended attributes are others")
}

fn times(attributes: &Attributes) -> Timestamps {
    let time = Timespec { tv_sec: attributes.modified_s, tv_nsec: attributes.modified_ns.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Names of extended attributes; none where the file system has no such thing.
fn names(list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<CString>, Errno> {
    let bytes = match value(list) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        other => other?,
    };
    let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    Ok(parts.filter_map(|part| CString::new(part).ok()).collect())
}

/// A value, read into a small buffer first.
fn value(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 1024];
    let length = match read(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer.resize(XATTR_BYTES_MAX, 0);
            read(&mut buffer)?
        }
        other => other?,
    };
    buffer.truncate(length);
    Ok(buffer)
}

/// Word for a kind of entry.
pub(crate) fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "folder",
        FileType::RegularFile => "file",
        FileType::Symlink => "link",
        FileType::Fifo => "pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Unknown => "thing of unknown kind",
    }
}

/// Makes everything of the file system that holds a folder durable.
pub(crate) fn sync_file_system(folder: impl AsFd) -> Result<(), Errno> {
    rustix::fs::syncfs(folder)
}

/// A name as a part of a path.
pub(crate) fn part(name: &std::ffi::CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}
