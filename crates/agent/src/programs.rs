//! Programs of an agent, kept in its own folder: replacing or removing the installed ones disturbs nothing that runs.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openmesh_primitives::sha256;
use openmesh_xnode::Programs;

use crate::error::AgentError;

/// Copies the programs from a folder into another one, under names with their hashes, and returns their paths. Shims that run keep the file they were started
/// from: nothing is overwritten.
///
/// # Errors
/// One is missing, or cannot be written.
pub fn install(from: &Path, to: &Path, runc: Option<PathBuf>) -> Result<Programs, AgentError> {
    fs::create_dir_all(to).map_err(AgentError::file("making", to))?;
    let place = |name: &str| -> Result<PathBuf, AgentError> {
        let source = from.join(name);
        let bytes = match fs::read(&source) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(AgentError::Program { path: source }),
            bytes => bytes.map_err(AgentError::file("reading", &source))?,
        };
        let hash = sha256(&[&bytes]).to_string();
        let target = to.join(format!("{name}-{}", hash.get(..16).unwrap_or(&hash)));
        write(&target, &bytes).map_err(AgentError::file("writing", &target))?;
        Ok(target)
    };
    Ok(Programs {
        shim: place("openmesh-shim")?,
        cage: place("openmesh-cage-helper")?,
        unpack: place("openmesh-unpack")?,
        runc,
    })
}

/// Writes a program, whole or not at all. One that is there and whole stays.
fn write(target: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(target).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let mut beside = target.as_os_str().to_os_string();
    beside.push(".new");
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o755).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, target)?;
    target.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}
