//! Removal of a volume with its application, its undo, and its end.

use std::time::Duration;

use openmesh_primitives::Timestamp;

use crate::door::{Door, effect};
use crate::durable;
use crate::error::VolumeError;
use crate::id::Id;
use crate::mounting::unmount_place;
use crate::record::{Fate, Removal};
use crate::rules::{TICK_MS_MAX, wait};
use crate::volumes::{GONE_PREFIX, Volumes, check_text, delete_folder, write};

impl Volumes {
    /// Removes a volume: it is unmounted, and kept as it is until its fate is due. Done already with this fate: nothing changes; with another: the fate
    /// is changed, and the time begins anew.
    ///
    /// # Errors
    /// Somebody still uses it.
    pub fn remove(&self, id: Id, fate: Fate, by: &str, at: Timestamp, door: Door<'_>) -> Result<(), VolumeError> {
        check_text(by)?;
        let (_lock, place) = self.lock(id)?;
        unmount_place(&place, door)?;
        if place.removal()?.is_some_and(|removal| removal.fate == fate) {
            return Ok(());
        }
        // A backup of before counts for nothing from here on, also one that was made by a clock which was ahead.
        effect(door, "forget backup", || durable::remove(&place.backup_file()))?;
        let removal = Removal { fate, by: by.to_string(), at, waited_ms: 0 };
        effect(door, "mark removal", || write(&place.removal_file(), &removal))
    }

    /// Takes a removal back: the volume is as before, and can be mounted. Done already: nothing changes.
    ///
    /// # Errors
    /// The volume is not there.
    pub fn undo_remove(&self, id: Id, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        effect(door, "take removal back", || durable::remove(&place.removal_file()))
    }

    /// Lets time pass for a removed volume: the time since the last tick by a clock that nobody sets, of which one tick adds at most
    /// [`TICK_MS_MAX`]. Called about once a minute, so that a day is one in which the machine was there to take an undo.
    ///
    /// # Errors
    /// The volume is not there, or the mark cannot be written.
    pub fn tick(&self, id: Id, passed: Duration, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        let Some(mut removal) = place.removal()? else { return Ok(()) };
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).min(TICK_MS_MAX);
        removal.waited_ms = removal.waited_ms.saturating_add(passed);
        effect(door, "mark time", || write(&place.removal_file(), &removal))
    }

    /// Deletes a removed volume whose fate is due. Done already: nothing changes. `backed_up` is the moment of a whole backup; the volume's own mark of one
    /// ([`Volumes::note_backup`]) counts where none is given.
    ///
    /// # Errors
    /// It may not go yet, with the reason; or a call failed: then it is gone already, and the next call or [`Volumes::tidy`] gives its room back.
    pub fn collect(
        &self,
        id: Id,
        backed_up: Option<Timestamp>,
        now: Timestamp,
        door: Door<'_>,
    ) -> Result<(), VolumeError> {
        let _all = self.lock_all()?;
        if self.place(id).folder.is_dir() {
            let (_lock, place) = self.lock(id)?;
            if let Some(wait) = wait(place.removal()?.as_ref(), backed_up.or(place.backed_up()), now) {
                return Err(VolumeError::Waits { id, wait });
            }
            unmount_place(&place, door)?;
            let gone = self.root().join(format!("{GONE_PREFIX}{id}"));
            effect(door, "take volume away", || durable::rename(&place.folder, &gone))?;
        }
        finish_collection(self, id, door)
    }
}

/// Deletes a volume that was taken away. It is forgotten first: what is left then is only rubbish, and never a volume that is missed.
pub(crate) fn finish_collection(volumes: &Volumes, id: Id, door: Door<'_>) -> Result<(), VolumeError> {
    let gone = volumes.root().join(format!("{GONE_PREFIX}{id}"));
    if !gone.exists() {
        return Ok(());
    }
    effect(door, "forget volume", || durable::remove(&volumes.made(id)))?;
    effect(door, "delete", || delete_folder(&gone))
}
