//! Mounting, unmounting and growing of a volume.

use std::path::Path;

use crate::door::{Door, effect};
use crate::durable;
use crate::error::VolumeError;
use crate::id::{Id, Kind, VOLUME_BYTES_MAX};
use crate::image;
use crate::loops::{self, HeldDevice, LoopDevice};
use crate::mounts;
use crate::record::{FORM_VERSION, Marker, Record};
use crate::superblock;
use crate::volumes::{Place, Volumes, read, write};

/// Errors of the kernel for a file system that it takes for damaged (EUCLEAN, EBADMSG), or for none of the kind (EINVAL), or whose blocks it cannot
/// read (EIO).
const DAMAGE_ERRORS: [i32; 4] = [117, 74, 22, 5];
/// Looks at mounts and devices before a mount counts as somebody else's: the two are not read at one moment, and whoever only observes takes no lock.
const LOOKS_MAX: usize = 3;

impl Volumes {
    /// Mounts a volume. Done already: nothing changes. It is mounted only with its own image, its own file system and its marker, and with
    /// all of its room reserved.
    ///
    /// # Errors
    /// Whatever is missing or wrong; then it is not mounted, and nothing was changed.
    pub fn mount(&self, id: Id, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        mount_place(&place, door)
    }

    /// Unmounts a volume. Done already: nothing changes.
    ///
    /// # Errors
    /// Somebody uses it, here or in another mount namespace; then it stays mounted.
    pub fn unmount(&self, id: Id, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        unmount_place(&place, door)
    }

    /// Makes a volume larger: a mounted one while it is used, an ext4 also unmounted. Done already: nothing changes.
    ///
    /// # Errors
    /// The size is smaller, or the host has no room, then the volume is as before; or the kernel refuses: then its image is larger, and a later call
    /// goes on.
    pub fn grow(&self, id: Id, bytes: u64, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        let mut record = place.record()?;
        if bytes < record.bytes {
            return Err(VolumeError::Shrinks { id, have: record.bytes, want: bytes });
        }
        if bytes == record.bytes {
            return Ok(());
        }
        if bytes > VOLUME_BYTES_MAX {
            return Err(VolumeError::BadSize { want: bytes, least: record.bytes, most: VOLUME_BYTES_MAX });
        }
        match own_mount(&place)? {
            Some(_) => grow_mounted(&place, record.kind, bytes, door)?,
            None if record.kind == Kind::Ext4 => grow_unmounted(&place, &record, bytes, door)?,
            None => return Err(VolumeError::NotMounted { id }),
        }
        // What the kernel zeroed meanwhile, it zeroed by holes.
        effect(door, "reserve again", || image::reserve(&place.image, bytes))?;
        record.bytes = bytes;
        effect(door, "record size", || write(&place.record_file(), &record))
    }
}

fn grow_mounted(place: &Place, kind: Kind, bytes: u64, door: Door<'_>) -> Result<(), VolumeError> {
    let held = loops::hold(&mounted_device(place)?)?.ok_or(VolumeError::NotMounted { id: place.id })?;
    let device = &held.device;
    effect(door, "reserve more", || image::enlarge(&place.image, bytes))?;
    effect(door, "enlarge device", || loops::resize(device))?;
    effect(door, "grow file system", || {
        image::grow(kind, &device.node, &place.mount).map_err(|error| match error {
            VolumeError::Program { words, .. } if kind == Kind::Ext4 && words.contains("Permission denied") => {
                VolumeError::GrowsUnmounted { id: place.id }
            }
            other => other,
        })
    })
}

fn grow_unmounted(place: &Place, record: &Record, bytes: u64, door: Door<'_>) -> Result<(), VolumeError> {
    check_image(place, record)?;
    effect(door, "reserve more", || image::enlarge(&place.image, bytes))?;
    let held = effect(door, "attach", || attach(place))?;
    let device = &held.device;
    let holders = mounts::holders(&device.number);
    if !holders.is_empty() {
        let _ = loops::release(device);
        return Err(VolumeError::Busy { id: place.id, holders });
    }
    let grown = effect(door, "grow file system", || {
        // One that was taken from an earlier call has the old size.
        loops::resize(device)?;
        let damage = image::preen(&device.node, true)?;
        damage.map_or(Ok(()), |words| Err(VolumeError::Damaged { id: place.id, image: place.image.clone(), words }))?;
        image::grow(Kind::Ext4, &device.node, &place.mount)
    });
    let released = effect(door, "release device", || loops::release(device));
    grown.and(released)
}

/// Returns the device of a volume that is mounted, with its marker, and takes writes.
pub(crate) fn mounted_device(place: &Place) -> Result<LoopDevice, VolumeError> {
    let device = own_mount(place)?.ok_or(VolumeError::NotMounted { id: place.id })?;
    check_marker(place)?;
    Ok(device)
}

/// The device of a volume's mount; none where nothing is mounted. What somebody else mounted there is an error, and so is an image that is there no more.
pub(crate) fn own_mount(place: &Place) -> Result<Option<LoopDevice>, VolumeError> {
    let mut by = String::new();
    for _ in 0..LOOKS_MAX {
        let Some(mount) = mounts::at(&place.mount)? else { return Ok(None) };
        let is_its = |device: &LoopDevice| device.number == mount.device && mount.root == Path::new("/");
        match loops::list()?.into_iter().find(is_its) {
            Some(device) if device.file == place.image => return Ok(Some(device)),
            Some(device) if loops::has_removed(&device, &place.image) => {
                let (path, node, mount) = (place.image.clone(), device.node, place.mount.clone());
                return Err(VolumeError::ImageRemoved { path, node, mount });
            }
            Some(device) => by = format!("{} ({}, of {})", mount.source, mount.kind, device.file.display()),
            None => by = format!("{} ({})", mount.source, mount.kind),
        }
    }
    Err(VolumeError::Occupied { path: place.mount.clone(), by })
}

/// Fails where the mounted file system does not carry the volume's marker, or cannot be read.
pub(crate) fn check_marker(place: &Place) -> Result<(), VolumeError> {
    let unmarked = |found: String| VolumeError::Unmarked { id: place.id, mount: place.mount.clone(), found };
    match read::<Marker>(&place.marker()) {
        Ok(Some(marker)) if marker.id == place.id && marker.version == FORM_VERSION => Ok(()),
        Ok(Some(marker)) => Err(unmarked(format!("its marker is that of {}", marker.id))),
        Ok(None) => Err(unmarked("it has no marker".to_string())),
        Err(VolumeError::MarkDamaged { words, .. }) => Err(unmarked(format!("its marker is damaged: {words}"))),
        Err(error) if error.system_error() == Some(5) => Err(VolumeError::Failed { id: place.id }),
        Err(error) => Err(error),
    }
}

pub(crate) fn mount_place(place: &Place, door: Door<'_>) -> Result<(), VolumeError> {
    if place.removal()?.is_some() {
        return Err(VolumeError::Removed { id: place.id });
    }
    mount_anyway(place, door)
}

/// Mounts a volume, removed or not.
pub(crate) fn mount_anyway(place: &Place, door: Door<'_>) -> Result<(), VolumeError> {
    let record = place.record()?;
    let own = own_mount(place)?;
    check_image(place, &record)?;
    if let Some(device) = own {
        check_marker(place)?;
        return effect(door, "release device", || loops::release(&device));
    }
    effect(door, "reserve", || image::reserve(&place.image, record.bytes))?;
    attach_and_mount(place, &record, door)?;
    let device = own_mount(place)?.ok_or(VolumeError::NotMounted { id: place.id })?;
    if let Err(error) = check_marker(place) {
        // The word about the marker counts more than one about the unmount.
        let _ = unmount_place(place, door);
        return Err(error);
    }
    effect(door, "release device", || loops::release(&device))
}

fn attach(place: &Place) -> Result<HeldDevice, VolumeError> {
    loops::attach(&place.image)?.ok_or_else(|| {
        let devices = loops::of(&place.image).unwrap_or_default();
        let holders = devices.iter().flat_map(|device| mounts::holders(&device.number)).collect();
        VolumeError::Busy { id: place.id, holders }
    })
}

/// Attaches the image and mounts its file system. Where that fails the device is detached again.
pub(crate) fn attach_and_mount(place: &Place, record: &Record, door: Door<'_>) -> Result<(), VolumeError> {
    // Held until it is mounted, so that it is not another's by then.
    let held = effect(door, "attach", || attach(place))?;
    let mounted = mend_and_mount(place, record, &held.device, door);
    if mounted.is_err() && !matches!(mounts::at(&place.mount), Ok(Some(_))) {
        let _ = loops::release(&held.device);
    }
    mounted
}

fn mend_and_mount(place: &Place, record: &Record, device: &LoopDevice, door: Door<'_>) -> Result<(), VolumeError> {
    let damaged = |words: String| VolumeError::Damaged { id: place.id, image: place.image.clone(), words };
    // Replays the journal; where the file system says of itself that it met an error, all of it is checked. Clean, it takes milliseconds. XFS does
    // the same when it is mounted.
    // One that somebody has mounted elsewhere is not for a checker.
    if record.kind == Kind::Ext4 && mounts::holders(&device.number).is_empty() {
        let left = effect(door, "check", || image::preen(&device.node, false))?;
        left.map_or(Ok(()), |words| Err(damaged(words)))?;
    }
    durable::make_folder(&place.mount, 0o711)?;
    effect(door, "mount", || {
        mounts::mount(&device.node, &place.mount, record.kind).map_err(|cause| match cause.raw_os_error() {
            Some(error) if DAMAGE_ERRORS.contains(&error) => damaged(cause.to_string()),
            _ => VolumeError::io("mounting", &place.image)(cause),
        })
    })
}

/// Fails where the image is missing, short, or holds another file system than the volume's.
pub(crate) fn check_image(place: &Place, record: &Record) -> Result<(), VolumeError> {
    let have = image::length(&place.image)?;
    if have < record.bytes {
        return Err(VolumeError::ImageShort { path: place.image.clone(), have, want: record.bytes });
    }
    let found = superblock::read(&place.image).map_err(VolumeError::io("reading", &place.image))?;
    let words = |kind: Kind, id: Id| format!("{} of {id}", kind.word());
    match found {
        Some(found) if found.kind == record.kind && found.id == record.id => Ok(()),
        other => Err(VolumeError::WrongFileSystem {
            path: place.image.clone(),
            found: other.map_or("no file system that is known".to_string(), |found| words(found.kind, found.id)),
            want: words(record.kind, record.id),
        }),
    }
}

pub(crate) fn unmount_place(place: &Place, door: Door<'_>) -> Result<(), VolumeError> {
    if let Some(device) = own_mount(place)? {
        loops::release(&device)?;
        let unmount = || loops::wait_for_others(|| mounts::unmount(&place.mount), |is_done| *is_done);
        if !effect(door, "unmount", unmount)? {
            return Err(VolumeError::Busy { id: place.id, holders: mounts::users(&place.mount) });
        }
    }
    let Some(left) = let_go(place, door)?.into_iter().next() else { return Ok(()) };
    // Another mount namespace has it: what was unmounted here only hid it from us.
    let Some(held) = loops::hold(&left)? else { return Ok(()) };
    if let Ok(record) = place.record() {
        let mounted = mounts::mount(&held.device.node, &place.mount, record.kind);
        mounted.map_err(VolumeError::io("mounting", &place.image))?;
    }
    Err(VolumeError::Busy { id: place.id, holders: mounts::holders(&left.number) })
}

/// Detaches the devices of an image that is not mounted here; returns those that others keep.
pub(crate) fn let_go(place: &Place, door: Door<'_>) -> Result<Vec<LoopDevice>, VolumeError> {
    for device in loops::of(&place.image)? {
        effect(door, "detach", || loops::release(&device))?;
    }
    loops::settle(&place.image)
}
