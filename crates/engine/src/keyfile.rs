//! Files of secrets: written whole, readable by their owner only, never in the place of another one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use crate::error::EngineError;

/// Returns the seed of the peer-to-peer identity in this directory. It is made once and kept, so that peers know the
/// node again; it is not the validator's key, which signs nothing but consensus and attestations.
///
/// Fails if the file exists and has not 32 bytes, if it cannot be read or written, or without randomness from the
/// operating system.
pub(crate) fn p2p_seed(home: &Path) -> Result<[u8; 32], EngineError> {
    let path = home.join("p2p.key");
    let failed = |source| EngineError::Home { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(bytes) => {
            bytes.try_into().map_err(|_| failed(io::Error::new(ErrorKind::InvalidData, "32 bytes are expected")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| EngineError::Randomness)?;
            std::fs::create_dir_all(home).map_err(failed)?;
            write_private(&path, &seed).map_err(failed)?;
            Ok(seed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a new file that only its owner may read (mode 600): beside its place first, synced, then moved there, and its
/// directory synced. So after a crash the file is whole or absent, never half a key.
///
/// Fails with [`ErrorKind::AlreadyExists`] if there is a file of this name, which then stays as it is; otherwise with
/// what the file system says. Two processes that write the same path at once may disturb each other's copy beside it,
/// but never replace a file that is in its place.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if std::fs::symlink_metadata(path).is_ok() {
        return Err(already_exists());
    }
    let beside = path.with_added_extension("new");
    match std::fs::remove_file(&beside) {
        // Of a run that ended in between.
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    let placed = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| place(&beside, path));
    if placed.is_err() {
        // A secret that found no place is not left lying about; if it cannot be removed, the first error counts.
        let _ = std::fs::remove_file(&beside);
    }
    placed?;
    sync_directory(path)
}

/// Moves a file to a free place. A link fails where something is, which renaming does not.
fn place(beside: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(beside, path) {
        Ok(()) => std::fs::remove_file(beside),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // A file system without links (FAT, some shared folders): look, then rename.
        Err(_) if std::fs::symlink_metadata(path).is_ok() => Err(already_exists()),
        Err(_) => std::fs::rename(beside, path),
    }
}

fn already_exists() -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, "there is a file of this name, and it is not replaced")
}

/// Makes the directory's new entry survive a power cut.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(parent)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
    }

    #[test]
    fn the_identity_is_whole_or_not_there() {
        let dir = TempDir::new().unwrap();
        let (key, beside) = (dir.path().join("p2p.key"), dir.path().join("p2p.key.new"));
        // Nothing can be written beside it: then nothing is written in its place.
        std::fs::create_dir(&beside).unwrap();
        assert!(matches!(p2p_seed(dir.path()), Err(EngineError::Home { .. })));
        assert!(!key.exists());
        std::fs::remove_dir(&beside).unwrap();
        // A run that ended while it wrote does not keep the next one from starting.
        std::fs::write(&beside, b"half").unwrap();
        let seed = p2p_seed(dir.path()).unwrap();
        assert_eq!(p2p_seed(dir.path()).unwrap(), seed);
        assert_eq!(std::fs::read(&key).unwrap(), seed);
        assert!(!beside.exists());
        #[cfg(unix)]
        assert_eq!(mode(&key), 0o600);
    }

    #[test]
    fn a_secret_that_exists_is_never_replaced() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("validator.key");
        write_private(&path, b"first").unwrap();
        assert_eq!(write_private(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        // Nor one that comes between the look and the move.
        let beside = dir.path().join("beside");
        std::fs::write(&beside, b"third").unwrap();
        assert_eq!(place(&beside, &path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        // Nor what a link that leads nowhere stands for.
        #[cfg(unix)]
        {
            let dangling = dir.path().join("dangling");
            std::os::unix::fs::symlink(dir.path().join("elsewhere"), &dangling).unwrap();
            assert_eq!(write_private(&dangling, b"x").unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert!(!dir.path().join("elsewhere").exists());
        }
    }
}
