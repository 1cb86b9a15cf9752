//! Volumes as they are found: a typed inventory, and for each finding whether a machine may mend it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use openmesh_blueprint::document::Size;
use openmesh_blueprint::inventory::{ObservedLine, ObservedVolume};
use openmesh_primitives::Timestamp;

use crate::error::VolumeError;
use crate::id::{Id, Kind};
use crate::image;
use crate::mounting::{check_image, check_marker, own_mount};
use crate::mounts::{self, Mount};
use crate::record::{Keeper, Line, LineState, Record, Removal};
use crate::surroundings::Surroundings;
use crate::tree::measure;
use crate::volumes::{GONE_PREFIX, MADE_FOLDER, MAKING_PREFIX, Place, Volumes, last_part};

/// Share of a volume, in hundredths, that is left when it counts as full: an application that writes then has seconds.
const FULL_PERCENT_LEFT: u64 = 2;

/// All volumes as they are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Volumes that are there, sound or not.
    pub volumes: BTreeMap<Id, FoundVolume>,
    /// Volumes that were made here and whose folder is gone.
    pub lost: BTreeSet<Id>,
    /// Folders of makings and collections that were broken off: [`Volumes::tidy`] removes them.
    pub unfinished: Vec<PathBuf>,
}

/// A volume as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVolume {
    /// Its record; none where it cannot be read.
    pub record: Option<Record>,
    /// Its own file system is mounted.
    pub mounted: bool,
    /// Its marker was read. Known only while it is mounted.
    pub marked: bool,
    /// Marks of its lines by number.
    pub lines: BTreeMap<u32, Line>,
    /// The line in use; none where the pointer cannot be read.
    pub in_use: Option<u32>,
    /// Room and its use. Known only while it is mounted.
    pub usage: Option<Usage>,
    /// Mark of its removal.
    pub removal: Option<Removal>,
    /// Moment of the last whole backup.
    pub backed_up: Option<Timestamp>,
    /// Everything that is not as it should be.
    pub findings: Vec<Finding>,
}

/// Room of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes for data.
    pub bytes: u64,
    /// Bytes of them that are free.
    pub bytes_free: u64,
    /// Files, folders and links that it can hold; XFS makes more as long as there is room.
    pub inodes: u64,
    /// Those of them that are free.
    pub inodes_free: u64,
}

impl Usage {
    /// Returns true where an application soon cannot write.
    pub fn is_full(&self) -> bool {
        let short = |free: u64, all: u64| all > 0 && free.saturating_mul(100) < all.saturating_mul(FULL_PERCENT_LEFT);
        short(self.bytes_free, self.bytes) || short(self.inodes_free, self.inodes)
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The image is not there.
    ImageMissing,
    /// The image is shorter than the volume.
    ImageShort {
        /// Its bytes.
        have: u64,
        /// Bytes of the volume.
        want: u64,
    },
    /// The image was removed, and is there only as long as it is mounted.
    ImageRemoved {
        /// Path that it had.
        image: PathBuf,
        /// The device that still has it.
        node: PathBuf,
    },
    /// The image holds something else.
    WrongFileSystem {
        /// Its content, in words.
        found: String,
    },
    /// The file system is not mounted.
    NotMounted,
    /// Something of somebody else is on the mount point.
    Occupied {
        /// Its source and type.
        by: String,
    },
    /// The marker is missing, damaged, or that of another volume.
    Unmarked {
        /// The content, in words.
        found: String,
    },
    /// The file system takes no writes any more: after an error of the disk it turned read-only, or stopped.
    Stopped,
    /// A freeze was begun, and is not over or was broken off.
    Frozen,
    /// Blocks of the image are missing on the host, so that a full host would lose what applications write.
    Unreserved {
        /// Bytes.
        missing: u64,
    },
    /// Hardly any room is left.
    Full(Usage),
    /// The making or dropping of a line was broken off.
    LineUnfinished {
        /// Its number.
        line: u32,
    },
    /// A line has its mark and no data.
    LineGone {
        /// Its number.
        line: u32,
    },
    /// A folder among the lines has no mark. It may be a person's.
    LineUnknown {
        /// Its name.
        name: String,
    },
    /// The line in use is none that is whole.
    PointerAstray {
        /// The number.
        line: u32,
    },
    /// A mark or record cannot be read, or a call failed.
    Unreadable {
        /// The error, in words.
        words: String,
    },
}

/// Consequence of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// It is shown, and the application goes on.
    Show,
    /// [`Volumes::repair`] mends it without risk to the data.
    Repair,
    /// The application is held until a person has looked: going on could lose data, or start it empty.
    Hold,
}

impl Finding {
    /// The consequence.
    pub fn remedy(&self) -> Remedy {
        match self {
            Finding::Full(_) | Finding::LineUnknown { .. } => Remedy::Show,
            Finding::NotMounted
            | Finding::Stopped
            | Finding::Frozen
            | Finding::Unreserved { .. }
            | Finding::LineUnfinished { .. } => Remedy::Repair,
            Finding::ImageMissing
            | Finding::ImageShort { .. }
            | Finding::ImageRemoved { .. }
            | Finding::WrongFileSystem { .. }
            | Finding::Occupied { .. }
            | Finding::Unmarked { .. }
            | Finding::LineGone { .. }
            | Finding::PointerAstray { .. }
            | Finding::Unreadable { .. } => Remedy::Hold,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let human = |bytes: u64| Size(bytes).human();
        match self {
            Finding::ImageMissing => f.write_str("its image is missing; bring it back or restore a backup"),
            Finding::ImageShort { have, want } => {
                write!(f, "its image has {} of {}; restore a backup", human(*have), human(*want))
            }
            Finding::ImageRemoved { image, node } => write!(
                f,
                "its image was removed while in use; stop its application, copy {} to {}, and do not unmount it before",
                node.display(),
                image.display()
            ),
            Finding::WrongFileSystem { found } => write!(f, "its image holds {found}; another file is in its place"),
            Finding::NotMounted => f.write_str("it is not mounted"),
            Finding::Occupied { by } => write!(f, "{by} is mounted in its place; unmount that"),
            Finding::Unmarked { found } => write!(f, "its file system does not carry its marker: {found}"),
            Finding::Stopped => f.write_str("its file system takes no writes after an error of the disk"),
            Finding::Frozen => f.write_str("its file system is frozen, or was when a process died"),
            Finding::Unreserved { missing } => {
                write!(f, "{} of it are not reserved on the host; free that much there", human(*missing))
            }
            Finding::Full(usage) => write!(
                f,
                "it is full: {} of {} and {} of {} files are free; grow it, or remove something",
                human(usage.bytes_free),
                human(usage.bytes),
                usage.inodes_free,
                usage.inodes
            ),
            Finding::LineUnfinished { line } => write!(f, "line {line} is half made or half removed"),
            Finding::LineGone { line } => write!(f, "the data of line {line} are gone; restore a backup"),
            Finding::LineUnknown { name } => write!(f, "a folder {name} among its lines is none of them"),
            Finding::PointerAstray { line } => write!(f, "line {line} is to be used and is not whole; choose another"),
            Finding::Unreadable { words } => f.write_str(words),
        }
    }
}

impl FoundVolume {
    /// The strongest consequence of all findings; none where there is no finding.
    pub fn remedy(&self) -> Option<Remedy> {
        self.findings.iter().map(Finding::remedy).max()
    }

    /// The volume as a planner reads it. One with a finding that holds it carries that finding's text, mounted or not. A line that a person keeps, as
    /// restored data, is none that a plan may take away, and so is read as one that had traffic. `backed_up` is a later moment than the volume's own mark.
    pub fn as_blueprint(&self, backed_up: Option<Timestamp>) -> ObservedVolume {
        let whole = self.lines.values().filter(|line| line.state == LineState::Whole);
        let stays = |line: &Line| line.admitted.is_some() || line.keeper == Keeper::Person;
        let lines = whole.map(|line| {
            let admitted = stays(line);
            (line.number, ObservedLine { parent: line.parent, admitted, removable: !admitted })
        });
        let held = self.findings.iter().find(|finding| finding.remedy() == Remedy::Hold);
        ObservedVolume {
            size: Size(self.record.as_ref().map_or(0, |record| record.bytes)),
            mounted: self.mounted,
            marked: self.marked,
            lines: lines.collect(),
            in_use: self.in_use.unwrap_or(0),
            backed_up: backed_up.or(self.backed_up),
            held: held.map(ToString::to_string),
            removal: None,
            mends: None,
        }
    }
}

impl Volumes {
    /// Looks at all volumes. It takes no lock and changes nothing: what is under work at the moment is seen as unfinished.
    ///
    /// # Errors
    /// The folder of all volumes cannot be read; what is wrong with one volume is a finding.
    pub fn observe(&self) -> Result<Found, VolumeError> {
        let mut found = Found::default();
        let (ids, unfinished) = self.folders()?;
        found.unfinished = unfinished;
        let seen = if ids.is_empty() { None } else { Surroundings::read().ok() };
        for id in ids {
            found.volumes.insert(id, self.observe_among(id, seen.as_ref()));
        }
        for name in names(&self.root().join(MADE_FOLDER))? {
            let id = name.parse().ok().filter(|id| !found.volumes.contains_key(id));
            found.lost.extend(id);
        }
        Ok(found)
    }

    /// Ids of the volumes that have a folder, and folders of what was broken off.
    fn folders(&self) -> Result<(Vec<Id>, Vec<PathBuf>), VolumeError> {
        let (mut ids, mut unfinished) = (Vec::new(), Vec::new());
        for name in names(self.root())? {
            if name.starts_with(MAKING_PREFIX) || name.starts_with(GONE_PREFIX) {
                unfinished.push(self.root().join(name));
            } else {
                ids.extend(name.parse::<Id>());
            }
        }
        Ok((ids, unfinished))
    }

    /// Room of each volume whose own file system is mounted, with its record. Those that were removed are not among them, nor those of which either is not
    /// known. It is a part of a look, for whoever counts bytes alone.
    ///
    /// # Errors
    /// The folder of all volumes, or the kernel's lists, cannot be read.
    pub fn rooms(&self) -> Result<Vec<(Record, Usage)>, VolumeError> {
        let (ids, _) = self.folders()?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let seen = Surroundings::read()?;
        let room = |id: Id| {
            let place = self.place(id);
            let record = place.record().ok()?;
            let is_there = place.removal().ok()?.is_none() && seen.own_mount(&place).ok()?.is_some();
            is_there.then(|| usage(&place.mount).ok()).flatten().map(|usage| (record, usage))
        };
        Ok(ids.into_iter().filter_map(room).collect())
    }

    /// Looks at one volume beside others. One that is not as it should be is looked at again by itself: what was read for all of them is of a moment before.
    fn observe_among(&self, id: Id, seen: Option<&Surroundings>) -> FoundVolume {
        let found = self.look_at(id, seen);
        if found.findings.is_empty() || seen.is_none() { found } else { self.observe_one(id) }
    }

    /// Looks at one volume whose folder is there.
    pub fn observe_one(&self, id: Id) -> FoundVolume {
        self.look_at(id, None)
    }

    fn look_at(&self, id: Id, seen: Option<&Surroundings>) -> FoundVolume {
        let place = self.place(id);
        let mut findings = Vec::new();
        let _ = noted(&mut findings, place.must_be_no_link());
        let record = noted(&mut findings, place.record());
        let lines = noted(&mut findings, place.read_lines()).unwrap_or_default();
        let lines: BTreeMap<u32, Line> = lines.into_iter().map(|line| (line.number, line)).collect();
        let in_use = noted(&mut findings, place.in_use());
        let removal = noted(&mut findings, place.removal()).flatten();
        if let Some(record) = &record {
            look_at_image(&place, record, &mut findings);
        }
        let device = seen.map_or_else(|| own_mount(&place), |seen| seen.own_mount(&place));
        let device = noted(&mut findings, device).flatten();
        if findings.iter().any(|finding| matches!(finding, Finding::ImageRemoved { .. })) {
            // It can still be brought back, from where it is.
            findings.retain(|finding| *finding != Finding::ImageMissing);
        }
        let mounted = device.is_some();
        let marked = mounted && noted(&mut findings, check_marker(&place)).is_some();
        if !mounted && removal.is_none() && !findings.iter().any(|finding| finding.remedy() == Remedy::Hold) {
            findings.push(Finding::NotMounted);
        }
        if place.freezing().exists() {
            findings.push(Finding::Frozen);
        }
        let usage = mounted.then(|| noted(&mut findings, usage(&place.mount))).flatten();
        if let Some(kind) = record.as_ref().map(|record| record.kind).filter(|_| mounted) {
            let known = seen.and_then(|seen| seen.mount_at(&place.mount)).cloned();
            let mount = known.or_else(|| mounts::at(&place.mount).ok().flatten());
            look_at_mount(mount.as_ref(), kind, usage, &mut findings);
        }
        look_at_lines(&place, &lines, in_use, marked, &mut findings);
        let backed_up = place.backed_up();
        FoundVolume { record, mounted, marked, lines, in_use, usage, removal, backed_up, findings }
    }

    /// Bytes that the lines of a mounted volume hold, by line, and those that they share, roughly: what they hold together less what is used.
    ///
    /// # Errors
    /// The volume is not there, or cannot be read.
    pub fn line_bytes(&self, id: Id) -> Result<(BTreeMap<u32, u64>, u64), VolumeError> {
        let place = self.place(id);
        crate::mounting::mounted_device(&place)?;
        let mut bytes = BTreeMap::new();
        for line in place.read_lines()?.iter().filter(|line| line.state == LineState::Whole) {
            bytes.insert(line.number, measure(&place.line(line.number))?.bytes);
        }
        let usage = usage(&place.mount)?;
        let shared = bytes.values().sum::<u64>().saturating_sub(usage.bytes - usage.bytes_free);
        Ok((bytes, shared))
    }
}

/// Takes a value, or notes why there is none.
fn noted<T>(findings: &mut Vec<Finding>, result: Result<T, VolumeError>) -> Option<T> {
    result.map_err(|error| findings.push(finding(error))).ok()
}

fn finding(error: VolumeError) -> Finding {
    match error {
        VolumeError::ImageShort { have: 0, .. } => Finding::ImageMissing,
        VolumeError::ImageShort { have, want, .. } => Finding::ImageShort { have, want },
        VolumeError::ImageRemoved { path, node, .. } => Finding::ImageRemoved { image: path, node },
        VolumeError::WrongFileSystem { found, .. } => Finding::WrongFileSystem { found },
        VolumeError::Occupied { by, .. } => Finding::Occupied { by },
        VolumeError::Unmarked { found, .. } => Finding::Unmarked { found },
        VolumeError::Failed { .. } => Finding::Stopped,
        other => Finding::Unreadable { words: other.to_string() },
    }
}

fn look_at_image(place: &Place, record: &Record, findings: &mut Vec<Finding>) {
    if noted(findings, check_image(place, record)).is_none() {
        return;
    }
    if let Some(missing @ 1..) = noted(findings, image::missing(&place.image, record.bytes)) {
        findings.push(Finding::Unreserved { missing });
    }
}

fn look_at_mount(mount: Option<&Mount>, kind: Kind, usage: Option<Usage>, findings: &mut Vec<Finding>) {
    // Kernels before 6.14 do not say `emergency_ro`, but count.
    let counted = mount.filter(|_| kind == Kind::Ext4).and_then(|mount| {
        let device = Path::new(&mount.source).file_name()?;
        let file = Path::new("/sys/fs/ext4").join(device).join("errors_count");
        fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    });
    let stopped = ["ro", "emergency_ro", "shutdown"];
    let says = mount.is_some_and(|mount| stopped.into_iter().any(|option| mount.has(option)));
    if (says || counted.is_some_and(|count| count > 0)) && !findings.contains(&Finding::Stopped) {
        findings.push(Finding::Stopped);
    }
    if let Some(usage) = usage.filter(Usage::is_full) {
        findings.push(Finding::Full(usage));
    }
}

fn look_at_lines(
    place: &Place,
    lines: &BTreeMap<u32, Line>,
    in_use: Option<u32>,
    marked: bool,
    findings: &mut Vec<Finding>,
) {
    let whole = |number: &u32| lines.get(number).is_some_and(|line| line.state == LineState::Whole);
    if let Some(line) = in_use.filter(|number| !whole(number)) {
        findings.push(Finding::PointerAstray { line });
    }
    let unfinished = lines.values().filter(|line| line.state != LineState::Whole);
    findings.extend(unfinished.map(|line| Finding::LineUnfinished { line: line.number }));
    if !marked {
        return;
    }
    let gone = lines.keys().filter(|number| whole(number) && !place.line(**number).is_dir());
    findings.extend(gone.map(|line| Finding::LineGone { line: *line }));
    let Some(there) = noted(findings, names(&place.lines())) else { return };
    let known: BTreeSet<String> = lines
        .keys()
        .flat_map(|line| [place.line(*line), place.unfinished(*line)])
        .filter_map(|folder| folder.file_name().map(last_part))
        .collect();
    findings.extend(there.into_iter().filter(|name| !known.contains(name)).map(|name| Finding::LineUnknown { name }));
}

/// Room of a mounted file system.
pub(crate) fn usage(mount: &Path) -> Result<Usage, VolumeError> {
    let stat = rustix::fs::statvfs(mount).map_err(|cause| VolumeError::io("reading", mount)(cause.into()))?;
    Ok(Usage {
        bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        inodes_free: stat.f_ffree,
    })
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Result<BTreeSet<String>, VolumeError> {
    let entries = fs::read_dir(folder).map_err(VolumeError::io("listing", folder))?;
    let names = entries.map(|entry| entry.map(|entry| last_part(&entry.file_name())));
    names.collect::<Result<_, _>>().map_err(VolumeError::io("listing", folder))
}
