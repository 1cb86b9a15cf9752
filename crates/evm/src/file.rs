//! Files that may be packed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::DOCUMENT_BYTES_MAX;

/// Reason that a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system's word.
    #[error("{} could not be read: {reason}", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// Cause.
        reason: std::io::Error,
    },
    /// Longer than [`DOCUMENT_BYTES_MAX`], unpacked.
    #[error("{} is longer than {DOCUMENT_BYTES_MAX} bytes (unpacked), too long for one block", path.display())]
    TooLarge {
        /// File.
        path: PathBuf,
    },
}

/// A file's bytes, unpacked where it is gzip. Its first two bytes decide, not its name.
pub fn read_maybe_gz(path: impl AsRef<Path>) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    let io = |reason| FileError::Io { path: path.to_owned(), reason };
    let packed = read_limited(File::open(path).map_err(io)?).map_err(io)?;
    let bytes = if packed.starts_with(&[0x1f, 0x8b]) {
        read_limited(MultiGzDecoder::new(packed.as_slice())).map_err(io)?
    } else {
        packed
    };
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// At most one byte more than is allowed, so that the caller sees the excess.
fn read_limited(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The recordings for tests, said where they are absent.
#[cfg(test)]
pub(crate) fn recordings() -> Option<PathBuf> {
    let named = std::env::var_os("OPENMESH_RECORDINGS").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let found = [named, Some(beside)].into_iter().flatten().find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: no recordings (OPENMESH_RECORDINGS, ../shared/data)");
    }
    found
}
