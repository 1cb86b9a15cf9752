//! The folder of all volumes, and the places of one.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use openmesh_primitives::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable;
use crate::error::VolumeError;
use crate::id::Id;
use crate::record::{FORM_VERSION, Line, LineState, Record, Removal};

/// Begin of the name of a folder in which a volume is being made.
pub(crate) const MAKING_PREFIX: &str = ".making-";
/// Begin of the name of a folder that is being deleted.
pub(crate) const GONE_PREFIX: &str = ".gone-";
/// Folder of the ids that were made here.
pub(crate) const MADE_FOLDER: &str = "made";
/// Lines of a volume at most: each is a whole set of data, and a list of more is no choice for a person.
pub const LINES_MAX: usize = 256;
/// Longest reason, name or author in a mark, bytes: a line of text.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Volumes of one agent.
///
/// All of it is on the disk and in the kernel: two values for one folder are the same, and each act holds a lock of the file system, so that
/// agents, helpers and tests do not meet.
#[derive(Clone, Debug)]
pub struct Volumes {
    root: PathBuf,
    instance: String,
}

/// Lock of a folder, until it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

/// Places of one volume.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The id that it is for.
    pub id: Id,
    /// Folder on the host.
    pub folder: PathBuf,
    /// The image.
    pub image: PathBuf,
    /// The mount point.
    pub mount: PathBuf,
}

impl Volumes {
    /// Opens the folder of an agent's volumes, and makes it where it is not there. The instance is the agent's name, which every image carries.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(root: &Path, instance: &str) -> Result<Volumes, VolumeError> {
        fs::create_dir_all(root).map_err(VolumeError::io("making folder", root))?;
        let root = fs::canonicalize(root).map_err(VolumeError::io("resolving", root))?;
        durable::make_folder(&root.join(MADE_FOLDER), 0o700)?;
        Ok(Volumes { root, instance: instance.to_string() })
    }

    /// Folder of all volumes.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of a line's data, for mounting it into an instance. It is there while the volume is mounted.
    pub fn line_folder(&self, id: Id, line: u32) -> PathBuf {
        self.place(id).line(line)
    }

    /// Places of a volume.
    pub(crate) fn place(&self, id: Id) -> Place {
        self.place_in(id, &id.to_string())
    }

    /// Places of a volume that is being made.
    pub(crate) fn making(&self, id: Id) -> Place {
        self.place_in(id, &format!("{MAKING_PREFIX}{id}"))
    }

    fn place_in(&self, id: Id, folder: &str) -> Place {
        let folder = self.root.join(folder);
        let image = folder.join(format!("openmesh-{}-{id}.img", self.instance));
        Place { id, mount: folder.join("mount"), image, folder }
    }

    /// File that says that a volume was made here.
    pub(crate) fn made(&self, id: Id) -> PathBuf {
        self.root.join(MADE_FOLDER).join(id.to_string())
    }

    /// Holds off everybody who makes, tidies or deletes volumes.
    pub(crate) fn lock_all(&self) -> Result<Lock, VolumeError> {
        lock(&self.root.join("lock"))
    }

    /// Holds off everybody who changes a volume that is there.
    pub(crate) fn lock(&self, id: Id) -> Result<(Lock, Place), VolumeError> {
        let place = self.place(id);
        self.must_be_there(&place)?;
        let held = lock(&place.folder.join("lock"))?;
        // Deleted by whoever had the lock before.
        self.must_be_there(&place)?;
        Ok((held, place))
    }

    fn must_be_there(&self, place: &Place) -> Result<(), VolumeError> {
        place.must_be_no_link()?;
        match place.folder.is_dir() {
            true => Ok(()),
            false if self.made(place.id).exists() => {
                Err(VolumeError::Lost { id: place.id, folder: place.folder.clone() })
            }
            false => Err(VolumeError::Unknown { id: place.id, root: self.root.clone() }),
        }
    }
}

fn lock(path: &Path) -> Result<Lock, VolumeError> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = opened.map_err(VolumeError::io("opening", path))?;
    file.lock().map_err(VolumeError::io("locking", path))?;
    Ok(Lock(file))
}

impl Place {
    /// Fails where the folder is a link: the device of an image behind it has another name than the image.
    pub(crate) fn must_be_no_link(&self) -> Result<(), VolumeError> {
        match self.folder.is_symlink() {
            true => Err(VolumeError::FolderLinked { folder: self.folder.clone() }),
            false => Ok(()),
        }
    }

    /// Folder of the marks of lines.
    pub(crate) fn marks(&self) -> PathBuf {
        self.folder.join("lines")
    }

    fn mark(&self, line: u32) -> PathBuf {
        self.marks().join(format!("{line}.json"))
    }

    /// Record of the volume.
    pub(crate) fn record_file(&self) -> PathBuf {
        self.folder.join("volume.json")
    }

    /// Pointer to the line in use.
    pub(crate) fn pointer(&self) -> PathBuf {
        self.folder.join("in-use")
    }

    /// Mark of a removal.
    pub(crate) fn removal_file(&self) -> PathBuf {
        self.folder.join("removed.json")
    }

    /// Mark of a freeze.
    pub(crate) fn freezing(&self) -> PathBuf {
        self.folder.join("freezing")
    }

    /// Mark of the last whole backup.
    pub(crate) fn backup_file(&self) -> PathBuf {
        self.folder.join("backed-up.json")
    }

    /// Folder of what is in the file system and no line.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.mount.join("scratch")
    }

    /// Marker in the file system.
    pub(crate) fn marker(&self) -> PathBuf {
        self.mount.join("volume.json")
    }

    /// Folder of all lines in the file system.
    pub(crate) fn lines(&self) -> PathBuf {
        self.mount.join("lines")
    }

    /// Folder of a line.
    pub(crate) fn line(&self, line: u32) -> PathBuf {
        self.lines().join(line.to_string())
    }

    /// Folder in which a line is made or deleted: nobody mounts it.
    pub(crate) fn unfinished(&self, line: u32) -> PathBuf {
        self.lines().join(format!(".unfinished-{line}"))
    }

    /// The record.
    pub(crate) fn record(&self) -> Result<Record, VolumeError> {
        let path = self.record_file();
        let missing = || VolumeError::MarkDamaged { path: path.clone(), words: "it is missing".to_string() };
        let record: Record = read(&path)?.ok_or_else(missing)?;
        check(record.version == FORM_VERSION && record.id == self.id, &path, "it is of another volume or version")?;
        Ok(record)
    }

    /// Marks of all lines, lowest first.
    pub(crate) fn read_lines(&self) -> Result<Vec<Line>, VolumeError> {
        let marks = self.marks();
        let mut lines: Vec<Line> = Vec::new();
        for entry in fs::read_dir(&marks).map_err(VolumeError::io("listing", &marks))? {
            let name = entry.map_err(VolumeError::io("listing", &marks))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|name| name.parse().ok());
            // A file that was being written when the power went is none of them.
            let Some(number) = number else { continue };
            lines.extend(self.read_line(number)?);
            if lines.len() > LINES_MAX {
                return Err(VolumeError::TooManyLines { id: self.id, most: LINES_MAX });
            }
        }
        lines.sort_by_key(|line| line.number);
        Ok(lines)
    }

    /// Mark of a line; none where there is none.
    pub(crate) fn read_line(&self, number: u32) -> Result<Option<Line>, VolumeError> {
        let path = self.mark(number);
        let Some(line) = read::<Line>(&path)? else { return Ok(None) };
        check(line.number == number, &path, "it is of another line")?;
        Ok(Some(line))
    }

    /// Mark of a line that is whole.
    pub(crate) fn whole_line(&self, number: u32) -> Result<Line, VolumeError> {
        match self.read_line(number)? {
            Some(line) if line.state == LineState::Whole => Ok(line),
            _ => {
                let lines = self.read_lines()?;
                let whole = lines.iter().filter(|line| line.state == LineState::Whole);
                let there: Vec<String> = whole.map(|line| line.number.to_string()).collect();
                Err(VolumeError::LineMissing { id: self.id, line: number, there: there.join(", ") })
            }
        }
    }

    /// Writes the mark of a line.
    pub(crate) fn write_line(&self, line: &Line) -> Result<(), VolumeError> {
        write(&self.mark(line.number), line)
    }

    /// Removes the mark of a line.
    pub(crate) fn forget_line(&self, number: u32) -> Result<(), VolumeError> {
        durable::remove(&self.mark(number))
    }

    /// Number of the line in use.
    pub(crate) fn in_use(&self) -> Result<u32, VolumeError> {
        let path = self.pointer();
        let missing = || VolumeError::MarkDamaged { path: path.clone(), words: "it names no line".to_string() };
        read(&path)?.ok_or_else(missing)
    }

    /// Points at another line, at once for whoever reads.
    pub(crate) fn use_line(&self, number: u32) -> Result<(), VolumeError> {
        write(&self.pointer(), &number)
    }

    /// Moment of the last whole backup; none where none is known. A mark that cannot be read says nothing.
    pub(crate) fn backed_up(&self) -> Option<Timestamp> {
        read(&self.backup_file()).ok().flatten()
    }

    /// Mark of the removal; none where the volume was not removed.
    pub(crate) fn removal(&self) -> Result<Option<Removal>, VolumeError> {
        read(&self.removal_file())
    }
}

fn check(right: bool, path: &Path, words: &str) -> Result<(), VolumeError> {
    if right { Ok(()) } else { Err(VolumeError::MarkDamaged { path: path.to_path_buf(), words: words.to_string() }) }
}

/// Refuses texts that do not fit a mark.
pub(crate) fn check_text(text: &str) -> Result<(), VolumeError> {
    match text.len() {
        ..=TEXT_BYTES_MAX => Ok(()),
        bytes => Err(VolumeError::TextLong { bytes, most: TEXT_BYTES_MAX }),
    }
}

/// Reads a mark; none where there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, VolumeError> {
    let Some(bytes) = durable::read(path)? else { return Ok(None) };
    let damaged = |cause: serde_json::Error| VolumeError::MarkDamaged { path: path.into(), words: cause.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Writes a mark.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<(), VolumeError> {
    let bytes = serde_json::to_vec(value).map_err(|cause| VolumeError::io("writing", path)(cause.into()))?;
    durable::write(path, &bytes)
}

/// Deletes a file tree of ours on the host: marks and an image, nothing of an application.
pub(crate) fn delete_folder(folder: &Path) -> Result<(), VolumeError> {
    match fs::remove_dir_all(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), durable::sync_folder),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(VolumeError::io("deleting", folder)(cause)),
    }
}

/// The text of a path's last part.
pub(crate) fn last_part(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
