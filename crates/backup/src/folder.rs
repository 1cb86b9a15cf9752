//! A store in a folder of a local file system.
//!
//! An object is written under `tmp/` with a lock on it, synced, and linked to its name, which fails where the name is taken; then the folder is synced. So an
//! object is whole or absent, also after a power cut. Files under `tmp/` that nobody locks were left by the dead, and go when the store is opened.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use openmesh_primitives::Timestamp;
use rustix::fs::{Advice, CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::name::{Id, Kind, Name};
use crate::pack::PACK_BYTES_MAX;
use crate::secret::random;
use crate::store::{Listed, Store};

/// Folder of files that are being written.
const NEW_FOLDER: &str = "tmp";
/// Bytes that the kernel is asked to read ahead at a time: it cuts a longer wish to the window of the disk, which is this where nobody set another one.
const WINDOW_BYTES: u64 = 128 << 10;
/// Objects put at the same time: while one waits for the disk's word that it is durable, the other's bytes are written.
const PUTS_MAX: usize = 2;

/// A store in a folder. Its files are for its owner alone.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens a folder as a store; makes it where it is not there, but not its parents.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(root: impl Into<PathBuf>) -> Result<Folder, StoreError> {
        let folder = Folder { root: root.into() };
        make(&folder.root).map_err(failed("making", "."))?;
        for name in Kind::ALL.map(Kind::folder).into_iter().chain([NEW_FOLDER]) {
            make(&folder.root.join(name)).map_err(failed("making", name))?;
        }
        folder.tidy().map_err(failed("tidying", NEW_FOLDER))?;
        Ok(folder)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn tidy(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(NEW_FOLDER))? {
            let path = entry?.path();
            let gone = |cause: &io::Error| cause.kind() == io::ErrorKind::NotFound;
            let file = match File::open(&path) {
                Err(cause) if gone(&cause) => continue,
                file => file?,
            };
            // Locked: somebody is writing it.
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                fs::remove_file(&path).or_else(|cause| if gone(&cause) { Ok(()) } else { Err(cause) })?;
            }
        }
        Ok(())
    }

    fn path(&self, name: Name) -> PathBuf {
        self.root.join(name.to_string())
    }

    fn begin(&self) -> io::Result<Begun> {
        loop {
            let random: [u8; 16] = random().map_err(io::Error::other)?;
            let path = self.root.join(NEW_FOLDER).join(hex::encode(random));
            let file = OpenOptions::new().create_new(true).write(true).mode(0o400).open(&path)?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            // Somebody may have tidied it away before it was locked; not after.
            if file.metadata()?.nlink() > 0 {
                return Ok(Begun { path, file });
            }
        }
    }

    /// Begins an object whose bytes come in pieces. Until it is placed nobody sees it, and one that is not goes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn writer(&self, name: Name) -> Result<Writer<'_>, StoreError> {
        let begun = self.begin().map_err(failed("writing", name))?;
        Ok(Writer { folder: self, name, begun })
    }

    fn place(&self, name: Name, begun: &Begun) -> io::Result<bool> {
        begun.file.sync_all()?;
        let target = self.path(name);
        let new = self.link(&begun.path, &target);
        let removed = match fs::remove_file(&begun.path) {
            // Renamed.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        // Also where it was there: whoever put it may have died before it was durable.
        let synced = target.parent().map_or(Ok(()), sync);
        new.and_then(|new| removed.and(synced).map(|()| new))
    }

    /// Hands an object over to another folder of the same file system, where none of its name is there; else it goes from here alone. None where it is not
    /// here. Only one caller at a time may hand over from a folder: of two that do, each believes that it has.
    ///
    /// # Errors
    /// The system refuses; the object is in one of the two, or in both.
    pub fn hand_over(&self, name: Name, to: &Folder) -> Result<Option<Handed>, StoreError> {
        let (from, target) = (self.path(name), to.path(name));
        let handed = (|| -> io::Result<Option<Handed>> {
            if !from.try_exists()? {
                return Ok(None);
            }
            let handed = if to.link(&from, &target)? { Handed::Moved } else { Handed::WasThere };
            target.parent().map_or(Ok(()), sync)?;
            match fs::remove_file(&from) {
                // Renamed.
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            from.parent().map_or(Ok(()), sync)?;
            Ok(Some(handed))
        })();
        handed.map_err(failed("handing over", name))
    }

    /// Bytes of an object and the moment it was stored; none where it is not there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stat(&self, name: Name) -> Result<Option<(u64, Timestamp)>, StoreError> {
        match fs::symlink_metadata(self.path(name)) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            about => about.map(|about| Some((about.len(), stored(&about)))).map_err(failed("looking at", name)),
        }
    }

    fn link(&self, beside: &Path, target: &Path) -> io::Result<bool> {
        let parent = target.parent().unwrap_or(&self.root);
        if !parent.exists() {
            make(parent)?;
        }
        match fs::hard_link(beside, target) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            // A disk with a file system of a camera has no hard links (vfat, exfat).
            Err(cause)
                if matches!(
                    cause.raw_os_error().map(Errno::from_raw_os_error),
                    Some(Errno::PERM | Errno::OPNOTSUPP)
                ) =>
            {
                rename_new(beside, target)
            }
            linked => linked.map(|()| true),
        }
    }
}

impl Store for Folder {
    fn put_new(&self, name: Name, bytes: &[u8]) -> Result<bool, StoreError> {
        let mut writer = self.writer(name)?;
        writer.write(bytes)?;
        writer.place()
    }

    fn read(&self, name: Name, from: u64, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.read_into(name, from, bytes_max, &mut bytes).map(|()| bytes)
    }

    fn read_into(&self, name: Name, from: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let file = File::open(self.path(name)).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { name },
            _ => failed("opening", name)(cause),
        })?;
        read_some(&file, from, bytes_max, buffer).map_err(failed("reading", name))
    }

    fn expect(&self, name: Name) {
        let Ok(file) = File::open(self.path(name)) else { return };
        let length = file.metadata().map_or(0, |about| about.len()).min(PACK_BYTES_MAX as u64);
        for from in (0..length).step_by(WINDOW_BYTES as usize) {
            if rustix::fs::fadvise(&file, from, NonZeroU64::new(WINDOW_BYTES), Advice::WillNeed).is_err() {
                return;
            }
        }
    }

    fn puts_max(&self) -> usize {
        PUTS_MAX
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, StoreError> {
        let folder = self.root.join(kind.folder());
        let mut found = Vec::new();
        let listed = (|| {
            if kind != Kind::Pack {
                return list_into(&folder, &mut found);
            }
            for part in fs::read_dir(&folder)? {
                let part = part?.path();
                if part.is_dir() {
                    list_into(&part, &mut found)?;
                }
            }
            Ok(())
        })();
        listed.map(|()| found).map_err(failed("listing", kind.folder()))
    }

    fn delete(&self, name: Name) -> Result<bool, StoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => {
                let synced = removed.and_then(|()| path.parent().map_or(Ok(()), sync));
                synced.map(|()| true).map_err(failed("removing", name))
            }
        }
    }
}

/// Outcome of handing an object over to another folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It is there now.
    Moved,
    /// One of its name was there, and stays; this one is gone.
    WasThere,
}

/// A file that is being written, locked, under a name that nobody looks for.
#[derive(Debug)]
struct Begun {
    path: PathBuf,
    file: File,
}

/// An object whose bytes come in pieces.
#[derive(Debug)]
pub struct Writer<'f> {
    folder: &'f Folder,
    name: Name,
    begun: Begun,
}

impl Writer<'_> {
    /// Writes its next bytes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.begun.file.write_all(bytes).map_err(failed("writing", self.name))
    }

    /// Makes it durable and gives it its name; false where an object has it already. Then that one stays.
    ///
    /// # Errors
    /// The system refuses; the object may be there or not.
    pub fn place(self) -> Result<bool, StoreError> {
        self.folder.place(self.name, &self.begun).map_err(failed("placing", self.name))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // Placed, it has no such name any more.
        let _ = fs::remove_file(&self.begun.path);
    }
}

/// The moment a file was stored.
fn stored(about: &fs::Metadata) -> Timestamp {
    let seconds = about.mtime().saturating_mul(1_000_000_000);
    Timestamp(seconds.saturating_add(about.mtime_nsec()))
}

/// Renames a file to a name that is not taken; false where it is.
fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Ok(false),
        renamed => renamed.map(|()| true).map_err(io::Error::from),
    }
}

/// Reads at most so many bytes of a file from a place on, in one call where the kernel has them.
fn read_some(file: &File, from: u64, bytes_max: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    let length = file.metadata()?.len().saturating_sub(from);
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes_max);
    if length as u64 > WINDOW_BYTES {
        // Only advice: reading is right without it.
        let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
    }
    buffer.resize(length, 0);
    let mut got = 0;
    while got < length {
        match file.read_at(&mut buffer[got..], from + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    buffer.truncate(got);
    Ok(())
}

fn failed<N: ToString>(doing: &'static str, name: N) -> impl FnOnce(io::Error) -> StoreError {
    move |cause| StoreError::Io { doing, name: name.to_string(), cause }
}

fn list_into(folder: &Path, found: &mut Vec<Listed>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<Id>().ok()) else { continue };
        match entry.metadata() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Ok(about) if about.is_file() => {
                found.push(Listed { id, bytes: about.len(), stored: stored(&about) });
            }
            Ok(_) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(cause) => Err(cause),
        Ok(()) => folder.parent().map_or(Ok(()), sync),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    // A path of one part has an empty parent.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_put_once_read_in_part_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::open(folder.path().join("store")).unwrap();
        let name = Name::Object(Kind::Pack, Id::of(b"content"));
        assert!(matches!(store.read(name, 0, 9), Err(StoreError::Missing { .. })));
        assert!(store.put_new(name, b"content").unwrap());
        assert!(!store.put_new(name, b"other").unwrap());
        assert_eq!(store.read(name, 0, 100).unwrap(), b"content");
        assert_eq!(store.read(name, 3, 2).unwrap(), b"te");
        assert_eq!(store.read(name, 99, 2).unwrap(), b"");
        let mut buffer = vec![1; 5000];
        for (from, most, want) in [(0, 100, "content"), (3, 2, "te"), (99, 2, ""), (1, 9, "ontent")] {
            store.read_into(name, from, most, &mut buffer).unwrap();
            assert_eq!(buffer, want.as_bytes());
        }
        // Advice has no answer, and none is needed for what is not there.
        store.expect(name);
        store.expect(Name::Object(Kind::Pack, Id::of(b"absent")));
        fs::write(store.root().join("packs/note.txt"), "of a person").unwrap();
        let listed = store.list(Kind::Pack).unwrap();
        assert_eq!((listed.len(), listed[0].id, listed[0].bytes), (1, Id::of(b"content"), 7));
        assert!(store.delete(name).unwrap() && !store.delete(name).unwrap());
        assert_eq!(store.list(Kind::Pack).unwrap(), vec![]);
        assert_eq!(fs::read_dir(store.root().join(NEW_FOLDER)).unwrap().count(), 0);
    }

    #[test]
    fn without_hard_links_a_name_is_taken_once_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("new"), "first").unwrap();
        assert!(rename_new(&path("new"), &path("name")).unwrap());
        fs::write(path("new"), "second").unwrap();
        assert!(!rename_new(&path("new"), &path("name")).unwrap());
        assert_eq!((fs::read(path("name")).unwrap(), path("new").exists()), (b"first".to_vec(), true));
    }

    #[test]
    fn what_the_dead_left_goes_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::open(folder.path()).unwrap();
        fs::write(store.root().join("tmp/left"), "half").unwrap();
        let mut writer = store.writer(Name::Format).unwrap();
        writer.write(b"being written").unwrap();
        let path = writer.begun.path.clone();
        Folder::open(folder.path()).unwrap();
        assert!(path.exists() && !store.root().join("tmp/left").exists());
        drop(writer);
        assert!(!path.exists() && matches!(store.read(Name::Format, 0, 1), Err(StoreError::Missing { .. })));
    }

    #[test]
    fn an_object_in_pieces_is_seen_once_it_is_placed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::open(folder.path()).unwrap();
        let name = Name::Object(Kind::Pack, Id::of(b"two pieces"));
        let mut writer = store.writer(name).unwrap();
        writer.write(b"two ").unwrap();
        assert_eq!(store.stat(name).unwrap(), None);
        writer.write(b"pieces").unwrap();
        assert!(writer.place().unwrap());
        assert_eq!(store.stat(name).unwrap().map(|(bytes, _)| bytes), Some(10));
        assert_eq!(fs::read_dir(store.root().join(NEW_FOLDER)).unwrap().count(), 0);
    }

    #[test]
    fn an_object_is_handed_over_and_never_in_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) =
            (Folder::open(folder.path().join("one")).unwrap(), Folder::open(folder.path().join("two")).unwrap());
        let name = Name::Object(Kind::Pack, Id::of(b"content"));
        assert_eq!(one.hand_over(name, &two).unwrap(), None);
        one.put_new(name, b"content").unwrap();
        let stored = one.stat(name).unwrap();
        assert_eq!(one.hand_over(name, &two).unwrap(), Some(Handed::Moved));
        assert_eq!((one.stat(name).unwrap(), two.stat(name).unwrap()), (None, stored));
        one.put_new(name, b"another").unwrap();
        assert_eq!(one.hand_over(name, &two).unwrap(), Some(Handed::WasThere));
        assert_eq!((one.stat(name).unwrap(), two.read(name, 0, 9).unwrap()), (None, b"content".to_vec()));
    }
}
