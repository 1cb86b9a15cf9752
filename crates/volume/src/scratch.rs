//! Folders of a volume that are no lines: stills, which backups read, and restored data before they are a line.
//!
//! # Why not lines
//! A line is a choice of a person, with a mark, a number and rules about its removal. A still lives as long as a backup reads it, and restored data are
//! nothing until they are whole. Both lie in the volume's own file system, so that a clone shares its blocks and a restored tree becomes a line by one rename.
//!
//! # On failure
//! Nothing in here is worth anything after the death of whoever made it: it is removed by whoever takes the name next, and by [`Volumes::clear_scratch`]. A
//! file system that is full does not let a still be made; the application notices nothing of that.

use std::path::PathBuf;

use openmesh_primitives::Timestamp;

use crate::door::{Door, effect};
use crate::durable;
use crate::error::VolumeError;
use crate::id::Id;
use crate::lines::{check_room, finish_line, how, while_still};
use crate::mounting::{mount_anyway, mounted_device, own_mount, unmount_place};
use crate::record::{Keeper, Line, LineState};
use crate::removal::finish_collection;
use crate::tree::{self, Copied};
use crate::volumes::{GONE_PREFIX, LINES_MAX, Lock, Place, Volumes, check_text, write};
use crate::{Writers, observe};

/// Longest name of a scratch folder, bytes: words of the agent's own.
const NAME_BYTES_MAX: usize = 64;
/// Prefix of the name of a folder beside a scratch folder in which a restore works.
const HIDDEN: &str = ".";

/// A line of which a still is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillOf {
    /// The volume.
    pub volume: Id,
    /// Its line.
    pub line: u32,
}

/// A clone of a line that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Still {
    /// The volume.
    pub volume: Id,
    /// Line that it was made of.
    pub line: u32,
    /// Its folder.
    pub folder: PathBuf,
    /// Bytes of its files on the disk, roughly: what a backup has to read at most.
    pub bytes: u64,
}

/// A line that restored data become.
#[derive(Clone, Debug)]
pub struct RestoredLine<'a> {
    /// Its number, higher than that of any line before.
    pub number: u32,
    /// The reason, a line for people.
    pub reason: &'a str,
    /// Wallet, key or part of the agent that asks for it.
    pub by: &'a str,
    /// The moment.
    pub at: Timestamp,
    /// Whoever may remove it.
    pub keeper: Keeper,
}

impl Volumes {
    /// Makes stills of lines of one application, all of them within one pause of its writers, so that they are of one moment. Earlier stills of the name go
    /// first. Each volume is mounted and locked until all are there.
    ///
    /// # Errors
    /// A line is not whole, a writer was not stopped, a device is in the data, there is no room, or a call failed; then there is no still of that name.
    pub fn stills(
        &self,
        lines: &[StillOf],
        name: &str,
        writers: Writers<'_>,
        door: Door<'_>,
    ) -> Result<Vec<Still>, VolumeError> {
        let mut held = Vec::new();
        // By their ids, so that two who lock several never wait for each other.
        let mut lines = lines.to_vec();
        lines.sort_by_key(|still| still.volume);
        if lines.windows(2).any(|pair| pair[0].volume == pair[1].volume) {
            return Err(VolumeError::io("making two stills at once in", self.root())(
                std::io::ErrorKind::InvalidInput.into(),
            ));
        }
        for still in &lines {
            let (lock, place) = self.lock(still.volume)?;
            held.push((lock, place, *still));
        }
        let made = self.stills_of(&held, name, writers, door);
        if made.is_err() {
            for (_, place, _) in &held {
                // The room is the application's; what does not go now goes with the next still.
                let _ = remove_scratch(place, name, &crate::door::open);
            }
        }
        made
    }

    fn stills_of(
        &self,
        held: &[(Lock, Place, StillOf)],
        name: &str,
        writers: Writers<'_>,
        door: Door<'_>,
    ) -> Result<Vec<Still>, VolumeError> {
        for (_, place, still) in held {
            mounted_device(place)?;
            place.whole_line(still.line)?;
            remove_scratch(place, name, door)?;
            check_room(place, still.line, how(place.record()?.kind))?;
            effect(door, "begin still", || {
                durable::make_folder(&place.scratch(), 0o700)?;
                durable::make_folder(&scratch_folder(place, name)?, 0o700)?;
                // What the application wrote last goes to the disk now, and not while it stands still.
                durable::sync_file_system(&place.mount)
            })?;
        }
        let Some((_, first, still)) = held.first() else { return Ok(Vec::new()) };
        let shown = first.line(still.line);
        effect(door, "make stills", || while_still(writers, &shown, || copy_all(held, name)))?;
        let still = |(_, place, still): &(Lock, Place, StillOf)| -> Result<Still, VolumeError> {
            let folder = scratch_folder(place, name)?;
            let bytes = tree::measure(&folder)?.bytes;
            Ok(Still { volume: still.volume, line: still.line, folder, bytes })
        };
        held.iter().map(still).collect()
    }

    /// The place of a scratch folder of a mounted volume, which is absent: an earlier one of the name goes. Its parent is there.
    ///
    /// # Errors
    /// The volume is not mounted, or a call failed.
    pub fn scratch_place(&self, id: Id, name: &str, door: Door<'_>) -> Result<PathBuf, VolumeError> {
        let (_lock, place) = self.lock(id)?;
        mounted_device(&place)?;
        remove_scratch(&place, name, door)?;
        effect(door, "begin scratch", || durable::make_folder(&place.scratch(), 0o700))?;
        scratch_folder(&place, name)
    }

    /// Lets a scratch folder, whole and durable, be a new line. Done already: nothing changes.
    ///
    /// # Errors
    /// The number is taken, there are as many lines as there can be, or there is no such folder; then there is no such line.
    pub fn adopt(&self, id: Id, name: &str, new: &RestoredLine<'_>, door: Door<'_>) -> Result<(), VolumeError> {
        [new.reason, new.by].into_iter().try_for_each(check_text)?;
        let (_lock, place) = self.lock(id)?;
        mounted_device(&place)?;
        let folder = scratch_folder(&place, name)?;
        let taken = || VolumeError::NumberTaken { id, line: new.number };
        match place.read_line(new.number)? {
            Some(line) if line.state == LineState::Whole && line.parent.is_none() && !folder.exists() => return Ok(()),
            Some(line) if line.state == LineState::Making => finish_line(&place, line, door)?,
            Some(_) => return Err(taken()),
            None if place.line(new.number).exists() => return Err(taken()),
            None => {}
        }
        if place.read_line(new.number)?.is_some() {
            // Its folder had taken its place before a death.
            return Ok(());
        }
        if !folder.is_dir() {
            let missing = std::io::ErrorKind::NotFound.into();
            return Err(VolumeError::io("taking as a line", &folder)(missing));
        }
        if place.read_lines()?.len() >= LINES_MAX {
            return Err(VolumeError::TooManyLines { id, most: LINES_MAX });
        }
        let mut line = Line {
            number: new.number,
            parent: None,
            reason: new.reason.to_string(),
            by: new.by.to_string(),
            at: new.at,
            keeper: new.keeper,
            state: LineState::Making,
            admitted: None,
        };
        effect(door, "mark line", || place.write_line(&line))?;
        effect(door, "place line", || {
            durable::rename(&folder, &place.line(new.number))?;
            durable::sync_folder(&place.scratch())
        })?;
        line.state = LineState::Whole;
        effect(door, "line is whole", || place.write_line(&line))
    }

    /// Removes the scratch folder of a name, and what a restore beside it has left. Done already, or not mounted: nothing changes.
    ///
    /// # Errors
    /// A call failed; the next one goes on.
    pub fn clear_scratch(&self, id: Id, name: &str, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        if own_mount(&place)?.is_none() {
            return Ok(());
        }
        remove_scratch(&place, name, door)
    }

    /// Mounts a volume for a last backup, removed or not. Done already: nothing changes.
    ///
    /// # Errors
    /// As [`Volumes::mount`], but for a removal.
    pub fn mount_for_backup(&self, id: Id, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        mount_anyway(&place, door)
    }

    /// Notes that all of a volume is in a whole backup of this moment. A removal that wants a last backup goes by it. `removed` is the moment of the
    /// removal by whose mark the volume was set aside when its still was made: such a backup counts as one since then, whatever the clock says; one whose
    /// still is of before the present removal is not noted.
    ///
    /// # Errors
    /// The volume is not there, or the mark cannot be written.
    pub fn note_backup(
        &self,
        id: Id,
        at: Timestamp,
        removed: Option<Timestamp>,
        door: Door<'_>,
    ) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        let since = place.removal()?.map(|removal| removal.at);
        if since.is_some() && since != removed {
            return Ok(());
        }
        let at = since.map_or(at, |since| since.max(at));
        effect(door, "mark backup", || write(&place.backup_file(), &at))
    }

    /// Deletes a volume at once, with all that is in it. For volumes that were made to try something, in a folder of their own; those of applications go by
    /// [`Volumes::remove`] and [`Volumes::collect`].
    ///
    /// # Errors
    /// Somebody uses it, or a call failed: the next call goes on.
    pub fn erase(&self, id: Id, door: Door<'_>) -> Result<(), VolumeError> {
        let _all = self.lock_all()?;
        if self.place(id).folder.is_dir() {
            let (_lock, place) = self.lock(id)?;
            unmount_place(&place, door)?;
            let gone = self.root().join(format!("{GONE_PREFIX}{id}"));
            effect(door, "take volume away", || durable::rename(&place.folder, &gone))?;
        }
        finish_collection(self, id, door)
    }

    /// Ids of the volumes whose folders are there.
    ///
    /// # Errors
    /// The folder of all volumes cannot be read.
    pub fn ids(&self) -> Result<Vec<Id>, VolumeError> {
        Ok(observe::names(self.root())?.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

fn copy_all(held: &[(Lock, Place, StillOf)], name: &str) -> Result<Copied, VolumeError> {
    let mut all = Copied::default();
    for (_, place, still) in held {
        let copied = tree::copy(&place.line(still.line), &scratch_folder(place, name)?, how(place.record()?.kind))?;
        all.entries += copied.entries;
        all.folders += copied.folders;
    }
    Ok(all)
}

/// Folder of a name. Names are words of the agent: letters, digits and hyphens.
fn scratch_folder(place: &Place, name: &str) -> Result<PathBuf, VolumeError> {
    let fits = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let folder = place.scratch().join(name);
    match fits {
        true => Ok(folder),
        false => Err(VolumeError::io("naming", folder)(std::io::ErrorKind::InvalidInput.into())),
    }
}

fn remove_scratch(place: &Place, name: &str, door: Door<'_>) -> Result<(), VolumeError> {
    scratch_folder(place, name)?;
    if !place.scratch().is_dir() {
        return Ok(());
    }
    for entry in observe::names(&place.scratch())? {
        let beside = entry.strip_prefix(HIDDEN).and_then(|rest| rest.strip_suffix(".restoring"));
        if entry == name || beside == Some(name) {
            effect(door, "remove scratch", || tree::remove(&place.scratch().join(&entry)))?;
        }
    }
    Ok(())
}
