//! A folder that is held, and what is read of it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat, statat};
use rustix::io::Errno;

use super::names::{parts, show};
use super::{Answer, Entry, Fault, Ids, Kind, Range};
use crate::limits::{LISTED_MAX, NAMES_MAX, PATH_BYTES_MAX};

/// No link is followed, nothing outside is reached, no other file system is entered.
pub(super) const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
/// Attempts to open a path while folders above it are renamed: each loses against one rename.
const ATTEMPTS_MAX: u32 = 16;
/// Bytes of content that are copied at once.
pub(super) const BUFFER_BYTES: usize = 128 << 10;
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// A folder that is held.
pub(super) struct Tree {
    root: OwnedFd,
    pub ids: Ids,
}

/// A name in an open folder.
pub(super) struct Place {
    /// The folder.
    pub parent: OwnedFd,
    /// The name.
    pub name: Vec<u8>,
    /// The whole path as text.
    pub shown: String,
}

impl Tree {
    pub fn new(root: OwnedFd, ids: Ids) -> Tree {
        Tree { root, ids }
    }

    /// Opens something below the folder.
    pub fn open(&self, parts: &[Vec<u8>], flags: OFlags) -> Result<OwnedFd, Fault> {
        let path = if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS_MAX {
            match openat2(&self.root, &path[..], flags, Mode::empty(), BENEATH) {
                Err(Errno::AGAIN) => {}
                opened => return opened.map_err(|errno| failed(&show(&path), "opening", errno)),
            }
        }
        Err(Fault::Busy(show(&path)))
    }

    /// Opens a folder.
    pub fn folder(&self, parts: &[Vec<u8>]) -> Result<OwnedFd, Fault> {
        self.open(parts, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The place of a path, which is not the folder itself.
    pub fn place(&self, path: &str) -> Result<Place, Fault> {
        let parts = parts(path)?;
        let (name, above) = parts.split_last().ok_or(Fault::Root)?;
        Ok(Place { parent: self.folder(above)?, name: name.clone(), shown: show(&parts.join(&b'/')) })
    }

    /// An entry of a folder; none where there is none of this name.
    pub fn entry(&self, parent: &OwnedFd, name: &[u8]) -> Result<Option<Entry>, Fault> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(&show(name), "looking at", errno)),
            Ok(stat) => {
                let mut entry = self.entry_of(name, &stat);
                if entry.kind == Kind::Link {
                    // One that was replaced meanwhile has no target to show.
                    let target = readlinkat(parent, name, Vec::with_capacity(PATH_BYTES_MAX));
                    entry.target = target.ok().map(|target| show(target.to_bytes()));
                }
                Ok(Some(entry))
            }
        }
    }

    /// An entry from what the system says of it.
    pub fn entry_of(&self, name: &[u8], stat: &Stat) -> Entry {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        let inside = |id: u32| id.checked_sub(self.ids.first).filter(|id| *id < self.ids.count);
        Entry {
            name: show(name),
            kind,
            bytes: if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
            mode: stat.st_mode & 0o7777,
            user: inside(stat.st_uid),
            group: inside(stat.st_gid),
            modified_ns: modified_ns(stat),
            target: None,
            tag: tag(stat),
        }
    }

    /// Reads a folder.
    pub fn list(&self, path: &str) -> Result<Answer, Fault> {
        let parts = parts(path)?;
        let shown = show(&parts.join(&b'/'));
        let folder = self.folder(&parts)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(|errno| failed(&shown, "reading", errno))? {
            let entry = entry.map_err(|errno| failed(&shown, "reading", errno))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
            if names.len() >= NAMES_MAX {
                break;
            }
        }
        names.sort();
        let more = names.len() > LISTED_MAX;
        let mut entries = Vec::new();
        for name in names.into_iter().take(LISTED_MAX) {
            // One that has gone meanwhile is none.
            entries.extend(self.entry(&folder, &name)?);
        }
        Ok(Answer::Folder { entries, more })
    }

    /// Opens a file and finds the part that is wanted. The part is of the file with the tag `of`; all of another one is.
    pub fn read(&self, path: &str, range: Option<Range>, of: Option<&str>) -> Result<(Answer, File), Fault> {
        let place = self.place(path)?;
        let no_file = || Fault::Kind { name: place.shown.clone(), wanted: "file".into() };
        let seen = self.entry(&place.parent, &place.name)?.ok_or_else(|| Fault::Missing(place.shown.clone()))?;
        match seen.kind {
            Kind::File => {}
            Kind::Link => return Err(Fault::Link(place.shown)),
            Kind::Folder | Kind::Other => return Err(no_file()),
        }
        // What came into its place meanwhile is opened without waiting, and without becoming this process's terminal, and told below.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat2(&place.parent, &place.name[..], flags, Mode::empty(), BENEATH);
        let opened = opened.map_err(|errno| failed(&place.shown, "opening", errno))?;
        let stat = fstat(&opened).map_err(|errno| failed(&place.shown, "looking at", errno))?;
        let entry = self.entry_of(&place.name, &stat);
        if entry.kind != Kind::File {
            return Err(no_file());
        }
        let range = range.filter(|_| of.is_none_or(|of| entry.tag.as_deref() == Some(of)));
        let (first, bytes) = match range {
            None => (0, entry.bytes),
            Some(range) => range.within(entry.bytes).ok_or(Fault::Range { bytes: entry.bytes })?,
        };
        Ok((Answer::Content { entry, first, bytes }, File::from(opened)))
    }
}

/// Copies a part of a file. A file that has become shorter ends early.
pub(super) fn pour(file: &mut File, first: u64, bytes: u64, output: &mut impl Write) -> io::Result<()> {
    file.seek(SeekFrom::Start(first))?;
    let (mut buffer, mut left) = (vec![0; BUFFER_BYTES], bytes);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        let count = file.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        output.write_all(&buffer[..count])?;
        left -= count as u64;
    }
    output.flush()
}

fn modified_ns(stat: &Stat) -> i64 {
    stat.st_mtime.saturating_mul(SECOND_NS).saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// Tag of a file: its number, size and time of change. Its last status change is not in it, since a new name moves that.
pub(super) fn tag(stat: &Stat) -> Option<String> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_file.then(|| format!("{:x}-{:x}-{:x}", stat.st_ino, stat.st_size, modified_ns(stat)))
}

/// A failure of the system, by the cause that a person can do something about.
pub(super) fn failed(shown: &str, doing: &str, errno: Errno) -> Fault {
    let name = shown.to_string();
    match errno {
        Errno::NOENT => Fault::Missing(name),
        Errno::LOOP | Errno::NOTDIR => Fault::Link(name),
        Errno::XDEV => Fault::Elsewhere(name),
        Errno::EXIST => Fault::Taken(name),
        Errno::NOTEMPTY => Fault::Filled(name),
        Errno::NOSPC | Errno::DQUOT => Fault::Full(name),
        Errno::FBIG => Fault::Large,
        errno => Fault::System { name, doing: doing.into(), cause: errno.to_string() },
    }
}
