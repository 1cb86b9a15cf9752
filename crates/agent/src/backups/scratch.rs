//! Scratch folders in volumes, each with a mark on the disk of the host while it may be there: what a dead agent has left in an application's room goes when
//! the next one begins.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use openmesh_volume::Id as VolumeId;
use openmesh_xnode::marks;

use crate::error::AgentError;
use crate::service::Service;

fn folder(service: &Service) -> PathBuf {
    service.backups().folder().join("scratch")
}

fn file(service: &Service, id: VolumeId, name: &str) -> PathBuf {
    folder(service).join(format!("{id}.{name}"))
}

/// The volume and the name of a scratch folder that a mark is of; none for a file that is no mark.
fn of_mark(path: &Path) -> Option<(VolumeId, String)> {
    let (id, name) = path.file_name()?.to_str()?.split_once('.')?;
    // A mark that was being written has more dots.
    (!name.contains('.')).then_some((id.parse().ok()?, name.to_string()))
}

/// Notes that a scratch folder of a name is about to be made in a volume.
///
/// # Errors
/// The mark cannot be written.
pub(crate) fn mark(service: &Service, id: VolumeId, name: &str) -> Result<(), AgentError> {
    let path = file(service, id, name);
    marks::replace(&path, b"").map_err(AgentError::file("writing", &path))
}

/// Removes a scratch folder, and then its mark. Done already: nothing changes.
///
/// # Errors
/// A call failed; the next agent tries again.
pub(crate) fn clear(service: &Service, id: VolumeId, name: &str) -> Result<(), AgentError> {
    service.agent().machine().volumes.clear_scratch(id, name, &openmesh_volume::open)?;
    let path = file(service, id, name);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(AgentError::file("removing", &path)),
    }
}

/// Removes every scratch folder that has a mark. Called once when an agent begins, before any act.
///
/// # Errors
/// The first that cannot be removed; the others are.
pub(crate) fn recover(service: &Service) -> Result<(), AgentError> {
    let folder = folder(service);
    let entries = match fs::read_dir(&folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(AgentError::file("reading", &folder))?,
    };
    let mut result = Ok(());
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Some((id, name)) = of_mark(&path) {
            result = result.and(recover_one(service, id, &name));
        }
    }
    result
}

fn recover_one(service: &Service, id: VolumeId, name: &str) -> Result<(), AgentError> {
    let volumes = &service.agent().machine().volumes;
    let found = volumes.observe_one(id);
    if found.record.is_none() {
        // It went with its volume.
        let path = file(service, id, name);
        return fs::remove_file(&path).map_err(AgentError::file("removing", &path));
    }
    volumes.mount_for_backup(id, &openmesh_volume::open)?;
    clear(service, id, name)?;
    if found.removal.is_some() {
        // One that is set aside is not mounted; somebody who looks into it now holds up nothing.
        let _ = volumes.unmount(id, &openmesh_volume::open);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_name_a_volume_and_a_folder() {
        let id = VolumeId::new([7; 16]);
        let of = |name: String| of_mark(Path::new("/x").join(name).as_path());
        assert_eq!(of(format!("{id}.backup")), Some((id, "backup".into())));
        assert_eq!(of(format!("{id}.backup.12-3.new")), None);
        assert_eq!(of("other.backup".into()), None);
        assert_eq!(of(id.to_string()), None);
    }
}
