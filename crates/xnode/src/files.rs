//! Folders with an application's files, and the users that they belong to: where a person's look at them begins.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::IDS_OF_APPLICATION;
use openmesh_blueprint::inventory::InstanceId;

use crate::agent::Agent;
use crate::applications;
use crate::error::XnodeError;
use crate::instance::{Wanted, volume_id};
use crate::marks::{self, DoorMark};
use crate::paths::instance_name;

/// Files of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Number of the generation by which it is at present.
    pub generation: u64,
    /// Another generation is wanted: data is about to be cloned, or another line to be used.
    pub is_switching: bool,
    /// First of its users and groups on the host.
    pub first_id: u32,
    /// Their number.
    pub ids: u32,
    /// User of its first process, as inside.
    pub user: u32,
    /// Group of its first process, as inside.
    pub group: u32,
    /// Volumes by name.
    pub volumes: BTreeMap<Name, VolumeFiles>,
    /// Root of an instance that is there: one with traffic before others.
    pub root: Option<(InstanceId, PathBuf)>,
}

/// Files of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFiles {
    /// Line in use.
    pub line: u32,
    /// Folder of that line; the reason where it is not there.
    pub folder: Result<PathBuf, String>,
    /// Bytes that the volume has and those of them that are free; none where that is not known.
    pub room: Option<(u64, u64)>,
}

impl Agent {
    /// The files of an application as it is now. None where there is no such application.
    ///
    /// # Errors
    /// A generation, a mark or the image's user cannot be read.
    pub fn files(&self, name: &Name) -> Result<Option<Files>, XnodeError> {
        let Some((wanted, serving)) = self.generations()? else { return Ok(None) };
        let is_switching = serving.as_ref().is_some_and(|serving| serving.number != wanted.number);
        // One that is new is in the wanted generation alone.
        let has = |generation: &&Generation| generation.placement.applications.contains_key(name);
        let Some(present) = serving.iter().chain([&wanted]).find(has) else { return Ok(None) };
        let Some(placed) = present.placement.applications.get(name) else { return Ok(None) };
        let (user, group) = self.first_user(present, name)?;
        let volumes = placed
            .volumes
            .iter()
            .map(|(volume, placed)| (volume.clone(), self.volume_files(&placed.id.to_string(), placed.line)));
        Ok(Some(Files {
            generation: present.number,
            is_switching,
            first_id: placed.first_id,
            ids: IDS_OF_APPLICATION,
            user,
            group,
            volumes: volumes.collect(),
            root: self.root(name)?,
        }))
    }

    fn first_user(&self, generation: &Generation, name: &Name) -> Result<(u32, u32), XnodeError> {
        let missing =
            || XnodeError::Instance { application: name.clone(), words: "it is not in the generation".into() };
        let id = InstanceId { revision: generation.revision(name).ok_or_else(missing)?, index: 0 };
        let wanted = Wanted::of(self.machine(), generation, name, &id)?;
        let identity = match wanted.named_user() {
            Some(identity) => identity,
            None => wanted.identity(&wanted.image()?)?,
        };
        Ok((identity.user, identity.group))
    }

    fn volume_files(&self, id: &str, line: u32) -> VolumeFiles {
        let without = |words: &str| VolumeFiles { line, folder: Err(words.into()), room: None };
        let Some(id) = volume_id(id) else { return without("its id cannot be read") };
        let volumes = &self.machine().volumes;
        let found = volumes.observe_one(id);
        let room = found.usage.map(|usage| (usage.bytes, usage.bytes_free));
        // Without its own file system and its marker there is a folder of the host, and not the data.
        if !found.mounted || !found.marked {
            let words = found.findings.first().map_or("it is not mounted".into(), ToString::to_string);
            return without(&words);
        }
        // While another generation is on its way, the line with the traffic may be that of the new one.
        let line = found.in_use.unwrap_or(line);
        if !found.lines.contains_key(&line) {
            return without("the line in use is not there");
        }
        VolumeFiles { line, folder: Ok(volumes.line_folder(id, line)), room }
    }

    fn root(&self, name: &Name) -> Result<Option<(InstanceId, PathBuf)>, XnodeError> {
        let paths = &self.machine().paths;
        let found = applications::read(paths)?.instances.remove(name).unwrap_or_default();
        let mut there: Vec<InstanceId> =
            found.into_iter().filter(|(_, made)| made.is_some()).map(|(id, _)| id).collect();
        let door: DoorMark = marks::read(&paths.application(name).join("door.json"))?;
        let serves =
            |id: &InstanceId| matches!(&door, DoorMark::Open { revision, .. } if *revision == id.revision.to_string());
        there.sort_by_key(|id| (!serves(id), id.index));
        let mut mounted = there.into_iter().map(|id| {
            let root = paths.root(&instance_name(name, &id));
            (id, root)
        });
        Ok(mounted.find(|(_, root)| is_mounted(root)))
    }
}

/// Something is mounted at a folder: it lies on another device than the folder above.
fn is_mounted(folder: &Path) -> bool {
    let device = |path: &Path| std::fs::symlink_metadata(path).ok().map(|about| about.dev());
    match (device(folder), folder.parent().and_then(device)) {
        (Some(own), Some(above)) => own != above,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mount_is_a_root() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_mounted(folder.path()));
        assert!(!is_mounted(&folder.path().join("missing")));
        assert!(is_mounted(Path::new("/proc")));
    }
}
