//! Owner, extended attributes, mode and times, in the order in which none undoes another.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::VolumeError;
use crate::tree::walk::failed;

/// Largest list of names or value of an extended attribute, bytes: the kernel's own limit.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// Gives a file or folder the attributes of another. Owner first: a change of owner takes set-user-id bits and capabilities away. Extended
/// attributes before the mode: an access list sets bits of it. Times last.
pub(crate) fn copy_to_open(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    stat: &Stat,
    shown: &Path,
) -> Result<(), VolumeError> {
    let (owner, group) = owners(stat);
    rustix::fs::fchown(to, owner, group).map_err(failed("setting the owner of", shown))?;
    for name in names(|buffer| rustix::fs::flistxattr(from, buffer)).map_err(failed("reading attributes of", shown))? {
        let value = value(|buffer| rustix::fs::fgetxattr(from, name.as_c_str(), buffer));
        let set = value.and_then(|value| rustix::fs::fsetxattr(to, name.as_c_str(), &value, XattrFlags::empty()));
        set.map_err(failed("copying attributes of", shown))?;
    }
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode)).map_err(failed("setting the mode of", shown))?;
    rustix::fs::futimens(to, &times(stat)).map_err(failed("setting the times of", shown))
}

/// The same for an entry that cannot be opened: a link, a pipe, a socket.
pub(crate) fn copy_by_name(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
    shown: &Path,
) -> Result<(), VolumeError> {
    let (owner, group) = owners(stat);
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(to, name, owner, group, flags).map_err(failed("setting the owner of", shown))?;
    let path = |folder: BorrowedFd<'_>| {
        let name = crate::tree::walk::part(name);
        Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)
    };
    let (source, target) = (path(from), path(to));
    for attribute in
        names(|buffer| rustix::fs::llistxattr(&source, buffer)).map_err(failed("reading attributes of", shown))?
    {
        let value = value(|buffer| rustix::fs::lgetxattr(&source, attribute.as_c_str(), buffer));
        let set =
            value.and_then(|value| rustix::fs::lsetxattr(&target, attribute.as_c_str(), &value, XattrFlags::empty()));
        set.map_err(failed("copying attributes of", shown))?;
    }
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Symlink {
        let mode = Mode::from_raw_mode(stat.st_mode);
        rustix::fs::chmodat(to, name, mode, AtFlags::empty()).map_err(failed("setting the mode of", shown))?;
    }
    rustix::fs::utimensat(to, name, &times(stat), flags).map_err(failed("setting the times of", shown))
}

fn owners(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec.cast_signed() },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() },
    }
}

/// Names of extended attributes; none where the file system has no such thing.
fn names(list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<std::ffi::CString>, Errno> {
    let bytes = match value(list) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        other => other?,
    };
    let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    Ok(parts.filter_map(|part| std::ffi::CString::new(part).ok()).collect())
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
