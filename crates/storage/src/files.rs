//! Small files that must survive a crash: keys, configuration, records of what runs.
//!
//! Each is written beside its place, synced, moved there, and the directory synced: a crash at any moment leaves the old
//! file or the new one, never half of one, and a half-written file beside it is of no consequence.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Extension of a file while it is written.
const DRAFT: &str = "new";

/// Replaces a file, whole or not at all. Durable when it returns.
///
/// # Errors
/// The operating system's, where the folder cannot be written or the disk is full; the old file stays as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = draft(path, bytes, 0o666)?;
    std::fs::rename(&draft, path).inspect_err(|_| discard(&draft))?;
    sync_folder(path)
}

/// Writes a new file that only its owner may read or write, for keys. Durable when it returns.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if there is a file already, which is never replaced; else the operating system's.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_once(path, bytes, 0o600)
}

/// Writes a new file, whole or not at all, with the mode that the process gives to its files. Durable when it returns.
///
/// # Errors
/// As [`write_private`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    write_once(path, bytes, 0o666)
}

fn write_once(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let draft = draft(path, bytes, mode)?;
    // A link refuses to replace what exists, which a rename does not.
    let linked = match std::fs::hard_link(&draft, path) {
        Err(error) if has_no_links(&error) => match path.symlink_metadata() {
            Ok(_) => Err(Error::from(ErrorKind::AlreadyExists)),
            Err(_) => return std::fs::rename(&draft, path).and_then(|()| sync_folder(path)),
        },
        outcome => outcome,
    };
    discard(&draft);
    linked?;
    sync_folder(path)
}

/// Makes a rename or a new file in the folder of this path durable.
///
/// # Errors
/// The operating system's.
pub fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Returns true for the errors of a file system that has no hard links.
fn has_no_links(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied)
}

/// The bytes in a file beside the path, synced.
fn draft(path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf> {
    let draft = path.with_added_extension(DRAFT);
    match std::fs::remove_file(&draft) {
        // Of a process that ended in between.
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    match file.write_all(bytes).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(draft),
        Err(error) => {
            discard(&draft);
            Err(error)
        }
    }
}

/// A draft that is left behind does no harm: the next one replaces it.
fn discard(draft: &Path) {
    let _ = std::fs::remove_file(draft);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_private_whole_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("validator.key");
        std::fs::write(dir.path().join("validator.key.new"), "half of a k").unwrap();
        write_private(&path, b"first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_private(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_new_file_is_never_one_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        write_new(&path, b"first").unwrap();
        assert_eq!(write_new(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_link_to_nowhere_is_not_replaced_by_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("validator.key");
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        assert_eq!(write_private(&path, b"key").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(path.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn a_file_is_replaced_whole_and_kept_where_that_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        // Its draft cannot be written: a folder stands there.
        std::fs::create_dir(dir.path().join("run.toml.new")).unwrap();
        write_whole(&path, b"three").unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
    }
}
