//! Volumes and their lines.

use openmesh_blueprint::document::Size;
use openmesh_blueprint::generation::Disposal;
use openmesh_blueprint::step::VolumeRef;
use openmesh_primitives::Timestamp;
use openmesh_volume::rules::needed;
use openmesh_volume::{Asker, Finding, Id, Keeper, NewLine, NewVolume, Owner, Remedy, Writers};

use super::Work;
use crate::error::XnodeError;
use crate::instance::volume_id;

/// The agent in marks.
const AGENT: &str = "agent";
/// Permission bits of a first line: the application's own user and group.
const LINE_MODE: u32 = 0o750;

impl Work<'_> {
    fn id(&self, volume: &VolumeRef) -> Result<Id, XnodeError> {
        let wrong = || XnodeError::Instance {
            application: volume.application.clone(),
            words: format!("{} is no id", volume.id),
        };
        volume_id(&volume.id.to_string()).ok_or_else(wrong)
    }

    /// Owner of a new volume: the user of the application's first process.
    fn owner(&self, volume: &VolumeRef) -> Result<Owner, XnodeError> {
        let name = &volume.application;
        let placed = self.generation.placement.applications.get(name);
        let id = openmesh_blueprint::inventory::InstanceId {
            revision: self.generation.revision(name).ok_or_else(|| self.not_there(name))?,
            index: 0,
        };
        let first = placed.ok_or_else(|| self.not_there(name))?.first_id;
        let wanted = crate::instance::Wanted::of(self.machine, self.generation, name, &id)?;
        // Where the document names the user, no image is needed for it.
        let identity = match wanted.named_user() {
            Some(identity) => identity,
            None => wanted.identity(&wanted.image()?)?,
        };
        Ok(Owner { user: first + identity.user, group: first + identity.group, mode: LINE_MODE })
    }

    fn not_there(&self, name: &openmesh_blueprint::document::Name) -> XnodeError {
        XnodeError::Instance { application: name.clone(), words: "it is not in the generation".into() }
    }

    pub(super) fn make_volume(&self, volume: &VolumeRef, size: Size) -> Result<(), XnodeError> {
        let new = NewVolume {
            id: self.id(volume)?,
            application: volume.application.as_str(),
            name: volume.name.as_str(),
            bytes: size.0,
            owner: self.owner(volume)?,
            by: AGENT,
            at: Timestamp::now(),
        };
        Ok(self.machine.volumes.make(&new, self.door)?)
    }

    pub(super) fn mount(&self, volume: &VolumeRef) -> Result<(), XnodeError> {
        Ok(self.machine.volumes.mount(self.id(volume)?, self.door)?)
    }

    pub(super) fn grow(&self, volume: &VolumeRef, size: Size) -> Result<(), XnodeError> {
        Ok(self.machine.volumes.grow(self.id(volume)?, size.0, self.door)?)
    }

    pub(super) fn snapshot(&self, volume: &VolumeRef, from: u32, to: u32) -> Result<(), XnodeError> {
        let reason = format!("switch to generation {}", self.generation.number);
        let line = NewLine { from, to, reason: &reason, by: AGENT, at: Timestamp::now(), keeper: Keeper::Machine };
        Ok(self.machine.volumes.snapshot(self.id(volume)?, &line, Writers::Stopped, self.door)?)
    }

    pub(super) fn restore(&self, volume: &VolumeRef, to: u32) -> Result<(), XnodeError> {
        Ok(self.machine.volumes.restore(self.id(volume)?, to, self.door)?)
    }

    /// Lets lines be those in use, with the mark that traffic comes to them.
    pub(super) fn promote(&self, volume: &VolumeRef, line: u32) -> Result<(), XnodeError> {
        Ok(self.machine.volumes.promote(self.id(volume)?, line, Timestamp::now(), self.door)?)
    }

    pub(super) fn drop_line(&self, volume: &VolumeRef, line: u32) -> Result<(), XnodeError> {
        let id = self.id(volume)?;
        // Lines of the other generation that is looked at are no lines that the plan asks for; the volume is told once more.
        let kept = self.seen.needed.get(&id).cloned().unwrap_or_default();
        let needed = needed([self.generation], id).into_iter().chain(kept).collect();
        Ok(self.machine.volumes.drop_line(id, line, Asker::Machine, &needed, self.door)?)
    }

    /// Sets a volume aside whose application is gone: it is unmounted, and the time for an undo begins.
    pub(super) fn retire(&self, volume: &VolumeRef, disposal: Disposal) -> Result<(), XnodeError> {
        let (id, by) = (self.id(volume)?, &self.generation.cause.by);
        Ok(self.machine.volumes.remove(id, disposal.into(), by, Timestamp::now(), self.door)?)
    }

    pub(super) fn revive(&self, volume: &VolumeRef) -> Result<(), XnodeError> {
        Ok(self.machine.volumes.undo_remove(self.id(volume)?, self.door)?)
    }

    /// Mends what can be mended without risk to the data. What is found afterwards all the same is an error, so that it is tried again later and said.
    pub(super) fn mend(&self, volume: &VolumeRef) -> Result<(), XnodeError> {
        let found = self.machine.volumes.repair(self.id(volume)?, self.door)?;
        let left = found.findings.iter().find(|finding| {
            finding.remedy() == Remedy::Hold || (finding.remedy() == Remedy::Repair && **finding != Finding::NotMounted)
        });
        match left {
            Some(finding) => Err(XnodeError::Instance {
                application: volume.application.clone(),
                words: format!("volume {}: {finding}", volume.name),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn collect_volume(&self, volume: &VolumeRef) -> Result<(), XnodeError> {
        Ok(self.machine.volumes.collect(self.id(volume)?, None, Timestamp::now(), self.door)?)
    }
}
