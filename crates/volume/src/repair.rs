//! Repair of what a machine may repair, and the end of what was broken off.

use std::fs;

use crate::door::{Door, effect};
use crate::durable::{self, NEW_SUFFIX};
use crate::error::VolumeError;
use crate::freeze::thaw;
use crate::id::Id;
use crate::image;
use crate::lines::finish_line;
use crate::make::discard;
use crate::mounting::{mount_place, mounted_device, own_mount, unmount_place};
use crate::observe::{Finding, FoundVolume, Remedy, names};
use crate::record::LineState;
use crate::removal::finish_collection;
use crate::volumes::{GONE_PREFIX, MAKING_PREFIX, Place, Volumes};

impl Volumes {
    /// Mends a volume where that is safe: thaws, takes missing room, mounts, mounts again what stopped, ends what was broken off. Returns the volume
    /// as it is found afterwards. What must be held is left alone, all of it.
    ///
    /// # Errors
    /// The volume is not there, a process still uses it, or a call failed.
    pub fn repair(&self, id: Id, door: Door<'_>) -> Result<FoundVolume, VolumeError> {
        let (_lock, place) = self.lock(id)?;
        let found = self.observe_one(id);
        if found.remedy() == Some(Remedy::Hold) {
            return Ok(found);
        }
        remove_torn_files(&place)?;
        if found.findings.contains(&Finding::Frozen) {
            effect(door, "thaw", || thaw(&place))?;
        }
        if found.findings.contains(&Finding::Stopped) {
            unmount_place(&place, door)?;
        }
        if let (Some(record), true) = (&found.record, found.mounted) {
            effect(door, "reserve", || image::reserve(&place.image, record.bytes))?;
        }
        if found.removal.is_none() {
            mount_place(&place, door)?;
        }
        if own_mount(&place)?.is_some() {
            mounted_device(&place)?;
            for line in place.read_lines()?.into_iter().filter(|line| line.state != LineState::Whole) {
                finish_line(&place, line, door)?;
            }
        }
        Ok(self.observe_one(id))
    }

    /// Ends what was broken off beside the volumes: removes half made and half collected ones, with their mounts and devices. Called once after a start,
    /// and after an error.
    ///
    /// # Errors
    /// A call failed; the next call goes on.
    pub fn tidy(&self, door: Door<'_>) -> Result<(), VolumeError> {
        let _all = self.lock_all()?;
        for name in names(self.root())? {
            if let Some(id) = name.strip_prefix(MAKING_PREFIX).and_then(|id| id.parse().ok()) {
                discard(&self.making(id), door)?;
            } else if let Some(id) = name.strip_prefix(GONE_PREFIX).and_then(|id| id.parse().ok()) {
                finish_collection(self, id, door)?;
            } else if let Ok(id) = name.parse::<Id>()
                && !self.made(id).exists()
            {
                effect(door, "remember", || durable::write(&self.made(id), b""))?;
            }
        }
        Ok(())
    }
}

/// Removes files that were being written when a process died: nobody reads them.
fn remove_torn_files(place: &Place) -> Result<(), VolumeError> {
    for folder in [place.folder.clone(), place.marks()] {
        for name in names(&folder)?.into_iter().filter(|name| name.ends_with(NEW_SUFFIX)) {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(VolumeError::io("removing", &path))?;
        }
    }
    Ok(())
}
