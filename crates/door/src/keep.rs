//! The last document on disk, so that a door that was started anew serves at once, with or without an agent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::document::Document;
use crate::effects::Effects;
use crate::limits::DOCUMENT_BYTES_MAX;

/// Writes a document as a whole: beside its place, then there by a rename. It has keys of passes in it, so nobody else reads it.
///
/// # Errors
/// Those of the system, and of the effects.
pub fn write(effects: &Effects, path: &Path, document: &Document) -> io::Result<()> {
    let fresh = path.with_extension("new");
    effects("write document")?;
    // One of an older door may be there, with other permissions.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec(document)?)?;
    file.sync_all()?;
    effects("write document done")?;
    effects("rename document")?;
    fs::rename(&fresh, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    effects("rename document done")
}

/// Reads the document of the last start; `None` where there is none.
///
/// # Errors
/// Those of the system, and a document that is too large or cannot be understood.
pub fn read(path: &Path) -> io::Result<Option<Document>> {
    match bytes(path)? {
        Some(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        None => Ok(None),
    }
}

/// Reads the bytes of the document that is kept; `None` where there is none.
///
/// # Errors
/// Those of the system, and a document that is too large.
pub fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {DOCUMENT_BYTES_MAX} bytes")));
    }
    Ok(Some(bytes))
}
