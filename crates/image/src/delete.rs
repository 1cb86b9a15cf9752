//! A folder deleted with all that is below it, and with nothing of another mount: what a broken program left mounted there is the machine's own.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, openat2, renameat, unlinkat};
use rustix::io::Errno;

/// Names of a folder that are read at once: not all of a large one.
const NAMES_AT_ONCE: usize = 4_096;

/// Deletes a folder. Two descriptors are enough however deep it is: folders in the depth are moved up before they are emptied.
///
/// # Errors
/// Something is mounted below it, which then stays as it is; or a call failed.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    let (parent, name) = path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags, Mode::empty())?;
    let name = CString::new(name.as_bytes())?;
    empty(&open(&parent, &name)?)?;
    Ok(unlinkat(&parent, &name, AtFlags::REMOVEDIR)?)
}

/// Deletes a folder, if it is there.
///
/// # Errors
/// Those of [`folder`].
pub(crate) fn folder_if_there(path: &Path) -> io::Result<()> {
    match folder(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn empty(top: &OwnedFd) -> io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let names = names(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if !unlink(top, &name)? {
                flatten(&open(top, &name)?, top, &mut moved)?;
                unlinkat(top, &name, AtFlags::REMOVEDIR).map_err(|errno| named(&name, errno))?;
            }
        }
    }
}

/// Empties a folder: its folders with content move to the top.
fn flatten(folder: &OwnedFd, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        let names = names(folder)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            while !unlink(folder, &name)? {
                *moved += 1;
                match renameat(folder, &name, top, format!(".moved-up-{moved}")) {
                    Ok(()) => break,
                    // The name is taken.
                    Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                    Err(errno) => return Err(named(&name, errno)),
                }
            }
        }
    }
}

/// Unlinks an entry; false for a folder with content.
fn unlink(folder: &OwnedFd, name: &CString) -> io::Result<bool> {
    let unlinked = match unlinkat(folder, name, AtFlags::empty()) {
        // A file system that is not Linux's own says EPERM.
        Err(Errno::ISDIR | Errno::PERM) => unlinkat(folder, name, AtFlags::REMOVEDIR),
        other => other,
    };
    match unlinked {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(named(name, errno)),
    }
}

fn open(folder: &OwnedFd, name: &CString) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(folder, name, flags, Mode::empty(), resolve).map_err(|errno| named(name, errno))
}

/// The error with the name, where a mount is in the way; others as they are.
fn named(name: &CString, errno: Errno) -> io::Error {
    match errno {
        Errno::XDEV | Errno::BUSY => {
            let name = OsStr::from_bytes(name.to_bytes()).display();
            io::Error::new(io::ErrorKind::ResourceBusy, format!("something is mounted on `{name}` in it; unmount that"))
        }
        other => other.into(),
    }
}

fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut entries = Dir::read_from(folder)?;
    let mut names = Vec::new();
    while let Some(entry) = entries.read() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
        if names.len() == NAMES_AT_ONCE {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_tree_goes_and_links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("treasure"), "gold").unwrap();
        let root = outside.path().join("root");
        let mut deep = root.clone();
        // Deeper than a process has descriptors.
        for _ in 0..1_500 {
            deep.push("a");
        }
        std::fs::create_dir_all(&deep).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::fs::create_dir_all(root.join(".moved-up-1/x")).unwrap();
        folder(&root).unwrap();
        assert!(!root.exists());
        assert!(outside.path().join("treasure").exists());
        folder_if_there(&root).unwrap();
    }

    /// A mount is made in a namespace of its own, so the deletion runs there too.
    #[test]
    fn what_is_mounted_below_stays_whole() {
        const ORDER: &str = "OPENMESH_IMAGE_TEST_DELETE";
        if let Ok(root) = std::env::var(ORDER) {
            let error = folder(Path::new(&root)).unwrap_err();
            assert_eq!(error.to_string(), "something is mounted on `shm` in it; unmount that");
            return;
        }
        let outside = tempfile::tempdir().unwrap();
        let (root, shared) = (outside.path().join("root"), outside.path().join("shared"));
        std::fs::create_dir_all(root.join("dev/shm")).unwrap();
        std::fs::create_dir_all(&shared).unwrap();
        std::fs::write(shared.join("treasure"), "gold").unwrap();
        let script = "mount --bind \"$1\" \"$2\" || exit 9; shift 2; \"$@\"";
        let output = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .args([&shared, &root.join("dev/shm")])
            .arg(std::env::current_exe().unwrap())
            .args(["delete::tests::what_is_mounted_below_stays_whole", "--exact"])
            .env(ORDER, &root)
            .output()
            .unwrap();
        if matches!(output.status.code(), Some(1 | 9)) && !rustix::process::geteuid().is_root() {
            println!("skipped: this test needs root (mount)");
            return;
        }
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(std::fs::read_to_string(shared.join("treasure")).unwrap(), "gold");
    }
}
