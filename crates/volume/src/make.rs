//! Making of a volume: beside its place, and there at once when all of it is durable.

use std::os::unix::fs::PermissionsExt as _;

use openmesh_primitives::Timestamp;

use crate::door::{Door, effect};
use crate::durable;
use crate::error::VolumeError;
use crate::id::{Id, Kind, VOLUME_BYTES_MAX, VOLUME_BYTES_MIN};
use crate::image;
use crate::loops;
use crate::mounting::{attach_and_mount, mount_place, own_mount, unmount_place};
use crate::mounts;
use crate::program::Tool;
use crate::record::{FORM_VERSION, Keeper, Line, LineState, Marker, Record};
use crate::volumes::{Place, Volumes, check_text, delete_folder, write};

/// A volume to make.
#[derive(Clone, Debug)]
pub struct NewVolume<'a> {
    /// Its id.
    pub id: Id,
    /// Application that it is for, for people.
    pub application: &'a str,
    /// Its name there, for people.
    pub name: &'a str,
    /// Its size on the host, bytes.
    pub bytes: u64,
    /// Owner of its first line on the host: user, group, and permission bits.
    pub owner: Owner,
    /// Wallet, key or part of the agent that asks for it.
    pub by: &'a str,
    /// The moment.
    pub at: Timestamp,
}

/// Owner of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User on the host.
    pub user: u32,
    /// Group on the host.
    pub group: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Volumes {
    /// Makes a volume with an empty first line, and mounts it. Done already: it is mounted, and nothing else changes. A volume that was made before and
    /// is gone is never made anew.
    ///
    /// # Errors
    /// The host has no room, a program is missing, or a call failed; then there is no such volume, and nothing of it is left but a folder that
    /// the next call or [`Volumes::tidy`] removes.
    pub fn make(&self, new: &NewVolume<'_>, door: Door<'_>) -> Result<(), VolumeError> {
        let all = self.lock_all()?;
        let place = self.place(new.id);
        place.must_be_no_link()?;
        if !place.folder.is_dir() {
            self.make_beside(new, door)?;
        }
        effect(door, "remember", || durable::write(&self.made(new.id), b""))?;
        drop(all);
        let (_lock, place) = self.lock(new.id)?;
        mount_place(&place, door)
    }

    fn make_beside(&self, new: &NewVolume<'_>, door: Door<'_>) -> Result<(), VolumeError> {
        let id = new.id;
        let place = self.place(id);
        if self.made(id).exists() {
            return Err(VolumeError::Lost { id, folder: place.folder });
        }
        if !(VOLUME_BYTES_MIN..=VOLUME_BYTES_MAX).contains(&new.bytes) {
            return Err(VolumeError::BadSize { want: new.bytes, least: VOLUME_BYTES_MIN, most: VOLUME_BYTES_MAX });
        }
        [new.application, new.name, new.by].into_iter().try_for_each(check_text)?;
        let making = self.making(id);
        let kind = Kind::for_size(new.bytes, Tool::MkfsXfs.find().is_some());
        let record = Record {
            version: FORM_VERSION,
            id,
            application: new.application.to_string(),
            name: new.name.to_string(),
            kind,
            bytes: new.bytes,
            made: new.at,
        };
        let made = fill(&making, &record, new, door);
        if let Err(error) = made {
            // A full host needs the room now; what does not go now goes when somebody tidies.
            let _ = discard(&making, &crate::door::open);
            return Err(error);
        }
        effect(door, "place", || durable::rename(&making.folder, &place.folder))
    }
}

/// Makes all of a volume in a folder beside its place.
fn fill(making: &Place, record: &Record, new: &NewVolume<'_>, door: Door<'_>) -> Result<(), VolumeError> {
    discard(making, door)?;
    effect(door, "begin", || durable::make_folder(&making.folder, 0o711))?;
    effect(door, "reserve", || image::create(&making.image, record.bytes))?;
    effect(door, "format", || image::format(&making.image, record.id, record.kind))?;
    attach_and_mount(making, record, door)?;
    effect(door, "mark", || fill_file_system(making, record, new))?;
    unmount_place(making, door)?;
    effect(door, "describe", || {
        durable::make_folder(&making.marks(), 0o700)?;
        making.write_line(&Line {
            number: 1,
            parent: None,
            reason: "the first line, empty".to_string(),
            by: new.by.to_string(),
            at: new.at,
            keeper: Keeper::Machine,
            state: LineState::Whole,
            admitted: None,
        })?;
        making.use_line(1)?;
        write(&making.record_file(), record)
    })
}

/// Writes the marker and the first line into an empty file system.
fn fill_file_system(making: &Place, record: &Record, new: &NewVolume<'_>) -> Result<(), VolumeError> {
    let root = &making.mount;
    // Whoever mounts a line into an instance walks here with the instance's user ids.
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(root, open).map_err(VolumeError::io("setting the mode of", root))?;
    write(&making.marker(), &Marker { version: FORM_VERSION, id: record.id })?;
    durable::make_folder(&making.lines(), 0o711)?;
    let line = making.line(1);
    durable::make_folder(&line, 0o700)?;
    let failed = |cause| VolumeError::io("setting the owner of", &line)(cause);
    std::os::unix::fs::chown(&line, Some(new.owner.user), Some(new.owner.group)).map_err(failed)?;
    std::fs::set_permissions(&line, std::fs::Permissions::from_mode(new.owner.mode & 0o7777)).map_err(failed)?;
    durable::sync_file_system(root)
}

/// Removes what a making that did not come to its end has left, with mount and device.
pub(crate) fn discard(making: &Place, door: Door<'_>) -> Result<(), VolumeError> {
    if !making.folder.exists() {
        return Ok(());
    }
    if own_mount(making)?.is_some() && !effect(door, "unmount left", || mounts::unmount(&making.mount))? {
        return Err(VolumeError::Busy { id: making.id, holders: Vec::new() });
    }
    for device in loops::of(&making.image)? {
        effect(door, "detach left", || loops::release(&device))?;
    }
    effect(door, "delete left", || delete_folder(&making.folder))
}
