//! The file that holds what of the queue has to survive a crash.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::awaited::Memory;

/// Reads the file; `None` where there is none. Fails where it cannot be read or is damaged.
pub(crate) fn read(path: &Path) -> io::Result<Option<Memory>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the file as a whole: after a crash it is the old one or the new one.
pub(crate) fn write(path: &Path, memory: &Memory) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(memory)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}
