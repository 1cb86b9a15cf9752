//! A tree removed with two descriptors, however deep it is: folders in the depth are moved up before they are emptied.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::VolumeError;
use crate::tree::walk::{failed, open_root, part};

/// Removes a folder with everything below it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), VolumeError> {
    match std::fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        _ => empty(path)?,
    }
    std::fs::remove_dir(path).map_err(VolumeError::io("removing", path))
}

/// Removes everything below a folder.
fn empty(path: &Path) -> Result<(), VolumeError> {
    let top = open_root(path)?;
    let mut moved = 0u64;
    loop {
        let names = names(&top, path)?;
        if names.is_empty() {
            return Ok(());
        }
        for (name, kind) in names {
            if unlink(&top, &name, kind, path)? {
                continue;
            }
            let shown = path.join(part(&name));
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(&top, &name, flags, Mode::empty()).map_err(failed("opening", &shown))?;
            flatten(&folder, &top, &shown, &mut moved)?;
            rustix::fs::unlinkat(&top, &name, AtFlags::REMOVEDIR).map_err(failed("removing", &shown))?;
        }
    }
}

/// Empties a folder: its folders with content move to the top.
fn flatten(folder: &OwnedFd, top: &OwnedFd, shown: &Path, moved: &mut u64) -> Result<(), VolumeError> {
    loop {
        let names = names(folder, shown)?;
        if names.is_empty() {
            return Ok(());
        }
        for (name, kind) in names {
            while !unlink(folder, &name, kind, shown)? {
                *moved += 1;
                let up = CString::new(format!(".moved-up-{moved}")).unwrap_or_default();
                match rustix::fs::renameat(folder, &name, top, &up) {
                    Ok(()) => break,
                    // The application has the name already.
                    Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                    Err(cause) => return Err(failed("moving", &shown.join(part(&name)))(cause)),
                }
            }
        }
    }
}

/// Unlinks an entry; false for a folder with content.
fn unlink(folder: &OwnedFd, name: &CString, kind: FileType, shown: &Path) -> Result<bool, VolumeError> {
    let flags = if kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match rustix::fs::unlinkat(folder, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) if kind == FileType::Directory => Ok(false),
        Err(cause) => Err(failed("removing", &shown.join(part(name)))(cause)),
    }
}

/// Some names of a folder with their kinds: not all of a large one at once.
fn names(folder: &OwnedFd, shown: &Path) -> Result<Vec<(CString, FileType)>, VolumeError> {
    const NAMES_AT_ONCE: usize = 4096;
    let mut entries = Dir::read_from(folder).map_err(failed("listing", shown))?;
    let mut names = Vec::new();
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(failed("listing", shown))?;
        let name = entry.file_name().to_owned();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW);
                stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
            }
            known => known,
        };
        names.push((name, kind));
        if names.len() == NAMES_AT_ONCE {
            break;
        }
    }
    Ok(names)
}
