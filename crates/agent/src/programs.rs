//! Programs of an agent, kept in its own folder: replacing or removing the installed ones disturbs nothing that runs.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openmesh_primitives::sha256;
use openmesh_xnode::Programs;

use crate::carried::Carried;
use crate::error::AgentError;

/// The door's program.
pub const DOOR: &str = "openmesh-door";
/// The lender's program.
pub const LENDER: &str = "openmesh-lender";
/// All programs of an agent.
pub const PROGRAMS: [&str; 5] = ["openmesh-shim", "openmesh-cage-helper", "openmesh-unpack", DOOR, LENDER];

/// Copies the programs from a folder into another one, under names with their hashes, and returns their paths. Shims that run keep the file they were started
/// from: nothing is overwritten.
///
/// # Errors
/// One is missing, or cannot be written.
pub fn install(from: &Path, to: &Path, runc: Option<PathBuf>) -> Result<Programs, AgentError> {
    let one = |name: &str| -> Result<PathBuf, AgentError> {
        place(from, to, name)?.ok_or_else(|| AgentError::Program { path: from.join(name) })
    };
    Ok(Programs {
        shim: one("openmesh-shim")?,
        cage: one("openmesh-cage-helper")?,
        unpack: one("openmesh-unpack")?,
        runc,
    })
}

/// The same for the door's program. An agent without one does without a door: none then.
///
/// # Errors
/// It cannot be read or written.
pub fn install_door(from: &Path, to: &Path) -> Result<Option<PathBuf>, AgentError> {
    place(from, to, DOOR)
}

/// The same for the lender's program. An agent without one lends nothing: none then.
///
/// # Errors
/// It cannot be read or written.
pub fn install_lender(from: &Path, to: &Path) -> Result<Option<PathBuf>, AgentError> {
    place(from, to, LENDER)
}

/// Copies one program, from the folder or where it is not there from what the present binary carries; none where neither has it.
fn place(from: &Path, to: &Path, name: &str) -> Result<Option<PathBuf>, AgentError> {
    fs::create_dir_all(to).map_err(AgentError::file("making", to))?;
    let source = from.join(name);
    let bytes = match fs::read(&source) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => carried(name)?,
        bytes => Some(bytes.map_err(AgentError::file("reading", &source))?),
    };
    let Some(bytes) = bytes else { return Ok(None) };
    let hash = sha256(&[&bytes]).to_string();
    let target = to.join(format!("{name}-{}", hash.get(..16).unwrap_or(&hash)));
    write(&target, &bytes).map_err(AgentError::file("writing", &target))?;
    Ok(Some(target))
}

/// A program that the present binary carries; none where it carries none of this name.
fn carried(name: &str) -> Result<Option<Vec<u8>>, AgentError> {
    let binary = std::env::current_exe().map_err(AgentError::file("finding", "the present program"))?;
    let read = AgentError::file("reading", &binary);
    let found = Carried::of(&binary).and_then(|carried| carried.map_or(Ok(None), |mut carried| carried.program(name)));
    found.map_err(read)
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
