//! Errors of volumes: each says what was wrong, where, and what helps.

use std::io;
use std::path::PathBuf;

use openmesh_blueprint::document::Size;

use crate::id::Id;
use crate::rules::{Protection, Wait};

/// An act on a volume that was not done. Nothing is half done for whoever looks later: the same call goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A system call failed.
    #[error("{doing} {}: {cause}", path.display())]
    Io {
        /// The act, as a verb in -ing form.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// The caller's door did not let an effect pass.
    #[error("effect \"{effect}\" was stopped: {cause}")]
    Door {
        /// Name of the effect.
        effect: String,
        /// The door's word.
        cause: io::Error,
    },
    /// A program is not installed.
    #[error("the program {program} is not installed; on Debian: apt-get install {package}")]
    ProgramMissing {
        /// Its name.
        program: &'static str,
        /// Package of Debian that has it.
        package: &'static str,
    },
    /// A program ended with a failure.
    #[error("{program} failed ({status}): {words}")]
    Program {
        /// Its name.
        program: String,
        /// Its end.
        status: String,
        /// The end of what it said.
        words: String,
    },
    /// A volume that never was made, or was collected.
    #[error("there is no volume {id} below {}", root.display())]
    Unknown {
        /// Its id.
        id: Id,
        /// Folder of all volumes.
        root: PathBuf,
    },
    /// A volume that was made and is not there.
    #[error("volume {id} was made here and its folder {} is gone; mount its disk or restore a backup. It is never made anew", folder.display())]
    Lost {
        /// Its id.
        id: Id,
        /// Its folder.
        folder: PathBuf,
    },
    /// The image file is not there, or shorter than it was.
    #[error("the image {} has {} of {}; bring it back or restore a backup. The volume is never started empty", path.display(), Size(*have).human(), Size(*want).human())]
    ImageShort {
        /// Its path.
        path: PathBuf,
        /// Its bytes, 0 where it is missing.
        have: u64,
        /// Bytes of the volume.
        want: u64,
    },
    /// The image was removed, and is there only as long as it is mounted.
    #[error(
        "the image {} was removed while it is mounted: its data are lost with the mount. Stop its application, copy {} to {}, and only then unmount {}",
        path.display(), node.display(), path.display(), mount.display()
    )]
    ImageRemoved {
        /// Path that it had.
        path: PathBuf,
        /// The device that still has it.
        node: PathBuf,
        /// The mount point.
        mount: PathBuf,
    },
    /// The folder of a volume is a link.
    #[error("the folder {} is a link, and the kernel names files by their real place; mount the other disk on a folder of this name instead", folder.display())]
    FolderLinked {
        /// The folder.
        folder: PathBuf,
    },
    /// The image holds something else.
    #[error("the image {} holds {found}, and not the {want}; another file is in its place", path.display())]
    WrongFileSystem {
        /// Its path.
        path: PathBuf,
        /// Kind and id found, in words.
        found: String,
        /// Kind and id wanted, in words.
        want: String,
    },
    /// The file system does not carry the marker.
    #[error("the file system at {} does not carry the marker of volume {id} ({found}); it is not used", mount.display())]
    Unmarked {
        /// Id of the volume.
        id: Id,
        /// The mount point.
        mount: PathBuf,
        /// The thing that is there instead, in words.
        found: String,
    },
    /// Something of somebody else is mounted on the mount point.
    #[error("{} has {by} mounted on it, which is not this volume; unmount it", path.display())]
    Occupied {
        /// The mount point.
        path: PathBuf,
        /// Source and type.
        by: String,
    },
    /// The kernel or the checker refuses the file system.
    #[error("the file system of volume {id} is damaged: {words}; nothing was changed. Restore a backup, or repair a copy of {}", image.display())]
    Damaged {
        /// Id of the volume.
        id: Id,
        /// Its image.
        image: PathBuf,
        /// The words of kernel or checker.
        words: String,
    },
    /// The host's disk cannot hold the whole image.
    #[error("the host's disk is short of {} for {}, so that a full disk would lose what applications wrote; free that much", Size(*missing).human(), path.display())]
    HostFull {
        /// The image.
        path: PathBuf,
        /// Bytes that could not be reserved.
        missing: u64,
    },
    /// The volume has no room for a copy.
    #[error("volume {id} has {} free and a copy of the line needs {}; grow the volume", Size(*have).human(), Size(*need).human())]
    NoRoom {
        /// Id of the volume.
        id: Id,
        /// Bytes needed.
        need: u64,
        /// Bytes free.
        have: u64,
    },
    /// A volume cannot become smaller.
    #[error("volume {id} has {} and cannot shrink to {}; make a new volume and copy", Size(*have).human(), Size(*want).human())]
    Shrinks {
        /// Id of the volume.
        id: Id,
        /// Its bytes.
        have: u64,
        /// Bytes wanted.
        want: u64,
    },
    /// The kernel refuses to enlarge a mounted ext4.
    #[error(
        "volume {id} does not grow while it is mounted: its ext4 needs CAP_SYS_RESOURCE for that, which this process lacks. Stop its application, unmount it, grow it, mount it"
    )]
    GrowsUnmounted {
        /// Its id.
        id: Id,
    },
    /// A size that no file system has.
    #[error("a volume of {} is not possible; between {} and {} are", Size(*want).human(), Size(*least).human(), Size(*most).human())]
    BadSize {
        /// Bytes wanted.
        want: u64,
        /// Smallest volume, bytes.
        least: u64,
        /// Largest volume, bytes.
        most: u64,
    },
    /// Somebody still uses the volume.
    #[error("volume {id} is in use{}; stop its application first", by_words(holders))]
    Busy {
        /// Id of the volume.
        id: Id,
        /// Processes that have it mounted, or something in it open, as far as they are known.
        holders: Vec<u32>,
    },
    /// The volume is not mounted.
    #[error("volume {id} is not mounted; mount it first")]
    NotMounted {
        /// Its id.
        id: Id,
    },
    /// The file system takes no writes any more.
    #[error("the file system of volume {id} has failed or is read-only; repair it first")]
    Failed {
        /// Id of the volume.
        id: Id,
    },
    /// The volume was removed, and waits.
    #[error("volume {id} was removed; undo the removal first")]
    Removed {
        /// Its id.
        id: Id,
    },
    /// A removed volume may not be collected yet.
    #[error("volume {id} is not collected: {wait}")]
    Waits {
        /// Its id.
        id: Id,
        /// The reason.
        wait: Wait,
    },
    /// A line that is not there.
    #[error("line {line} of volume {id} is not there; there are {there}")]
    LineMissing {
        /// Id of the volume.
        id: Id,
        /// The line.
        line: u32,
        /// Lines that are there, in words.
        there: String,
    },
    /// The number of a new line is taken.
    #[error("line {line} of volume {id} is there already, and not a clone of line {from}; take another number")]
    LineTaken {
        /// Id of the volume.
        id: Id,
        /// The number.
        line: u32,
        /// Line that was to be cloned.
        from: u32,
    },
    /// The number of a line that restored data were to be is taken.
    #[error("line {line} of volume {id} is there already; take another number")]
    NumberTaken {
        /// Id of the volume.
        id: Id,
        /// The number.
        line: u32,
    },
    /// A line may not be removed.
    #[error("line {line} of volume {id} stays: {why}")]
    LineStays {
        /// Id of the volume.
        id: Id,
        /// The line.
        line: u32,
        /// The reason.
        why: Protection,
    },
    /// Too many lines.
    #[error("volume {id} has {most} lines, the most that are kept; remove some")]
    TooManyLines {
        /// Id of the volume.
        id: Id,
        /// The limit.
        most: usize,
    },
    /// The data changed while it was cloned.
    #[error("{} was written while it was cloned: a writer was not stopped. The clone was dropped", path.display())]
    Torn {
        /// A file that changed.
        path: PathBuf,
    },
    /// A device in the data.
    #[error("{} is a device, which no application can make: it is not copied. Remove it", path.display())]
    Device {
        /// Its path.
        path: PathBuf,
    },
    /// More folders in one folder than are remembered.
    #[error("the folders in {} have names of more than {most} bytes together, too many to remember; spread them over several folders", path.display())]
    TooManyFolders {
        /// The folder in which the last ones were found.
        path: PathBuf,
        /// The limit.
        most: usize,
    },
    /// A path of more than 4,095 bytes.
    #[error("a path below {} is longer than the system takes; make its folders fewer", path.display())]
    PathLong {
        /// The last part that can be named.
        path: PathBuf,
    },
    /// A mark or record that cannot be read as one.
    #[error("{} is not what was written there: {words}; the volume is held", path.display())]
    MarkDamaged {
        /// Its path.
        path: PathBuf,
        /// The difference.
        words: String,
    },
    /// A text that is too long for a mark.
    #[error("a reason or name of {bytes} bytes is too long; at most {most} are kept")]
    TextLong {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The file system was thawed before the holder was done.
    #[error(
        "volume {id} was thawed by its watchdog after {ms} ms; what was taken meanwhile is not consistent, and was dropped"
    )]
    Thawed {
        /// Id of the volume.
        id: Id,
        /// The limit, milliseconds.
        ms: u64,
    },
}

fn by_words(holders: &[u32]) -> String {
    let words: Vec<String> = holders.iter().map(|pid| format!("process {pid}")).collect();
    if words.is_empty() { String::new() } else { format!(" by {}", words.join(", ")) }
}

impl VolumeError {
    /// Makes the error of a system call.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> VolumeError {
        let path = path.into();
        move |cause| VolumeError::Io { doing, path, cause }
    }

    /// Number of the system's error below it; none where it is no error of the system.
    pub fn system_error(&self) -> Option<i32> {
        match self {
            VolumeError::Io { cause, .. } | VolumeError::Door { cause, .. } => cause.raw_os_error(),
            _ => None,
        }
    }
}
