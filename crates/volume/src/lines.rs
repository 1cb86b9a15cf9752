//! Lines of data: clone, promote, return, drop.

use std::collections::BTreeSet;
use std::io;

use openmesh_primitives::Timestamp;

use crate::door::{Door, effect};
use crate::durable;
use crate::error::VolumeError;
use crate::id::{Id, Kind};
use crate::mounting::mounted_device;
use crate::record::{Keeper, Line, LineState};
use crate::rules::{Asker, protection};
use crate::tree::{self, Copied, How};
use crate::volumes::{LINES_MAX, Place, Volumes, check_text};

/// A line to make as a clone.
#[derive(Clone, Debug)]
pub struct NewLine<'a> {
    /// Line that is cloned.
    pub from: u32,
    /// Number of the new one.
    pub to: u32,
    /// The reason, a line for people.
    pub reason: &'a str,
    /// Wallet, key or part of the agent that asks for it.
    pub by: &'a str,
    /// The moment.
    pub at: Timestamp,
    /// Whoever may remove it.
    pub keeper: Keeper,
}

/// Way in which the writers of a line stand still while it is cloned.
///
/// Freezing the file system (FIFREEZE) is none: a frozen file system does not take the clone either, and whoever writes it waits for itself.
#[derive(Clone, Copy)]
pub enum Writers<'a> {
    /// No process has the line mounted.
    Stopped,
    /// They are paused for the moment of the clone, as by the freezer of their control group. The clone is what a crash of the application would
    /// leave.
    Paused {
        /// Pauses them; returns when all stand still.
        pause: &'a dyn Fn() -> io::Result<()>,
        /// Lets them go on; called also after a failure.
        resume: &'a dyn Fn() -> io::Result<()>,
    },
}

impl Volumes {
    /// Makes a line as a clone of another: by reflink on XFS, by copy on ext4. Done already: nothing changes. Writers are paused only while files
    /// are cloned; both before and after the file system is synced.
    ///
    /// # Errors
    /// A writer was not stopped, a device is in the data, there is no room, or a call failed; then there is no such line.
    pub fn snapshot(&self, id: Id, new: &NewLine<'_>, writers: Writers<'_>, door: Door<'_>) -> Result<(), VolumeError> {
        [new.reason, new.by].into_iter().try_for_each(check_text)?;
        let (_lock, place) = self.lock(id)?;
        mounted_device(&place)?;
        place.whole_line(new.from)?;
        let taken = || VolumeError::LineTaken { id, line: new.to, from: new.from };
        match place.read_line(new.to)? {
            Some(line) if line.state == LineState::Whole && line.parent == Some(new.from) => return Ok(()),
            Some(line) if line.state == LineState::Making => finish_line(&place, line, door)?,
            Some(_) => return Err(taken()),
            None if place.line(new.to).exists() => return Err(taken()),
            None => {}
        }
        // The clone that was being made may have been whole.
        if let Some(line) = place.read_line(new.to)? {
            return if line.parent == Some(new.from) { Ok(()) } else { Err(taken()) };
        }
        if place.read_lines()?.len() >= LINES_MAX {
            return Err(VolumeError::TooManyLines { id, most: LINES_MAX });
        }
        let how = how(place.record()?.kind);
        check_room(&place, new.from, how)?;
        let mut line = marked(new);
        effect(door, "mark line", || place.write_line(&line))?;
        let cloned = clone(&place, new, how, writers, door).and_then(|()| {
            effect(door, "place line", || durable::rename(&place.unfinished(new.to), &place.line(new.to)))?;
            line.state = LineState::Whole;
            effect(door, "line is whole", || place.write_line(&line))
        });
        if cloned.is_err() {
            // The room is the application's; what does not go now goes when somebody tidies.
            let _ = finish_line(&place, marked(new), &crate::door::open);
        }
        cloned
    }

    /// Points at a line that an instance with traffic from outside is about to use. The mark is written before, and never taken back: from
    /// here on no machine removes that line. Done already: nothing changes.
    ///
    /// # Errors
    /// The line is not there; then nothing was changed.
    pub fn promote(&self, id: Id, number: u32, at: Timestamp, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        let mut line = place.whole_line(number)?;
        if line.admitted.is_none() {
            line.admitted = Some(at);
            effect(door, "mark traffic", || place.write_line(&line))?;
        }
        point_at(&place, number, door)
    }

    /// Points back at a line, without a word about traffic. The line that was in use stays. Done already: nothing changes.
    ///
    /// # Errors
    /// The line is not there; then nothing was changed.
    pub fn restore(&self, id: Id, number: u32, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        place.whole_line(number)?;
        point_at(&place, number, door)
    }

    /// Removes a line with its data. `needed` has the lines that retention keeps ([`crate::rules::needed`]). Done already: nothing changes.
    ///
    /// # Errors
    /// The line is protected; or a call failed: then nobody sees it any more, and the next call or [`Volumes::tidy`] goes on.
    pub fn drop_line(
        &self,
        id: Id,
        number: u32,
        asker: Asker,
        needed: &BTreeSet<u32>,
        door: Door<'_>,
    ) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        let Some(mut line) = place.read_line(number)? else { return Ok(()) };
        if line.state == LineState::Making {
            // Its making was broken off: it goes, or is whole but for its mark.
            mounted_device(&place)?;
            finish_line(&place, line, door)?;
            let Some(whole) = place.read_line(number)? else { return Ok(()) };
            line = whole;
        }
        if line.state == LineState::Whole {
            if let Some(why) = protection(&line, place.in_use()?, needed, asker) {
                return Err(VolumeError::LineStays { id, line: number, why });
            }
            mounted_device(&place)?;
            line.state = LineState::Dropping;
            effect(door, "mark drop", || place.write_line(&line))?;
        }
        mounted_device(&place)?;
        finish_line(&place, line, door)
    }

    /// Changes who may remove a line. Done already: nothing changes.
    ///
    /// # Errors
    /// The line is not there.
    pub fn keep_line(&self, id: Id, number: u32, keeper: Keeper, door: Door<'_>) -> Result<(), VolumeError> {
        let (_lock, place) = self.lock(id)?;
        let line = place.whole_line(number)?;
        if line.keeper == keeper {
            return Ok(());
        }
        effect(door, "mark keeper", || place.write_line(&Line { keeper, ..line }))
    }
}

pub(crate) fn how(kind: Kind) -> How {
    match kind {
        Kind::Xfs => How::Reflink,
        Kind::Ext4 => How::Bytes,
    }
}

fn marked(new: &NewLine<'_>) -> Line {
    Line {
        number: new.to,
        parent: Some(new.from),
        reason: new.reason.to_string(),
        by: new.by.to_string(),
        at: new.at,
        keeper: new.keeper,
        state: LineState::Making,
        admitted: None,
    }
}

fn point_at(place: &Place, number: u32, door: Door<'_>) -> Result<(), VolumeError> {
    match place.in_use() {
        Ok(in_use) if in_use == number => Ok(()),
        Ok(_) | Err(VolumeError::MarkDamaged { .. }) => effect(door, "point at line", || place.use_line(number)),
        Err(error) => Err(error),
    }
}

/// Fails where the volume cannot hold a copy. A clone by reflink needs little more than its names.
pub(crate) fn check_room(place: &Place, from: u32, how: How) -> Result<(), VolumeError> {
    if how == How::Reflink {
        return Ok(());
    }
    let need = tree::measure(&place.line(from))?.bytes;
    let stat = rustix::fs::statvfs(&place.mount);
    let stat = stat.map_err(|cause| VolumeError::io("reading", &place.mount)(cause.into()))?;
    let have = stat.f_bavail.saturating_mul(stat.f_frsize);
    if need > have { Err(VolumeError::NoRoom { id: place.id, need, have }) } else { Ok(()) }
}

/// Clones a line into its unfinished folder, durable.
fn clone(place: &Place, new: &NewLine<'_>, how: How, writers: Writers<'_>, door: Door<'_>) -> Result<(), VolumeError> {
    let target = place.unfinished(new.to);
    effect(door, "begin clone", || {
        tree::remove(&target)?;
        durable::make_folder(&target, 0o700)?;
        // What the application wrote last goes to the disk now, and not while it stands still.
        durable::sync_file_system(&place.mount)
    })?;
    let from = place.line(new.from);
    effect(door, "clone", || while_still(writers, &from, || tree::copy(&from, &target, how)))?;
    effect(door, "sync clone", || durable::sync_file_system(&place.mount))
}

/// Does something while the writers stand still, and lets them go on whatever came of it.
pub(crate) fn while_still(
    writers: Writers<'_>,
    from: &std::path::Path,
    act: impl FnOnce() -> Result<Copied, VolumeError>,
) -> Result<Copied, VolumeError> {
    let Writers::Paused { pause, resume } = writers else { return act() };
    let result = pause().map_err(VolumeError::io("pausing the writers of", from)).and_then(|()| act());
    let resumed = resume().map_err(VolumeError::io("resuming the writers of", from));
    let result = result?;
    resumed.map(|()| result)
}

/// Brings a line to an end whose making or dropping was broken off: whole, or gone with its mark.
pub(crate) fn finish_line(place: &Place, mut line: Line, door: Door<'_>) -> Result<(), VolumeError> {
    let (folder, unfinished) = (place.line(line.number), place.unfinished(line.number));
    match line.state {
        LineState::Whole => return Ok(()),
        // Its folder took its place only after all of it was durable.
        LineState::Making if folder.exists() => {
            line.state = LineState::Whole;
            return effect(door, "line is whole", || place.write_line(&line));
        }
        LineState::Dropping if folder.exists() => {
            effect(door, "take line away", || {
                tree::remove(&unfinished)?;
                durable::rename(&folder, &unfinished)
            })?;
        }
        LineState::Making | LineState::Dropping => {}
    }
    effect(door, "remove data", || {
        tree::remove(&unfinished)?;
        durable::sync_folder(&place.lines())
    })?;
    effect(door, "forget line", || place.forget_line(line.number))
}
