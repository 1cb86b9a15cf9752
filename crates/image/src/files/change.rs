//! Changes of a held folder.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, fchmod, fchown, fstat, fsync, mkdirat, openat2,
    renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::names::show;
use super::tree::{BENEATH, BUFFER_BYTES, Place, Tree, failed, tag};
use super::{Answer, Expect, Fault};
use crate::limits::{DEPTH_MAX, FILE_BYTES_MAX, REMOVED_MAX};

/// Beginning of the names of files that take their places when they are whole.
const UPLOAD: &str = ".openmesh-upload-";
/// Age after which such a file has no writer any more: one that is being written changes all the time.
const UPLOAD_STALE: Duration = Duration::from_secs(3_600);
/// Permissions of a new file and of a new folder: as most programs make them.
const NEW_FILE: u32 = 0o644;
const NEW_FOLDER: u32 = 0o755;
/// Permission bits that a replaced file keeps: not set-user-id, set-group-id and sticky.
const KEPT_BITS: u32 = 0o777;
/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// State of a name at present; none where nothing is there.
type Present = Option<Stat>;

impl Tree {
    fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        let on_host = |id: u32| self.ids.first.saturating_add(id.min(self.ids.count.saturating_sub(1)));
        (Some(Uid::from_raw(on_host(self.ids.user))), Some(Gid::from_raw(on_host(self.ids.group))))
    }

    fn written(&self, place: &Place) -> Result<Answer, Fault> {
        self.entry(&place.parent, &place.name)?.map(Answer::Entry).ok_or_else(|| Fault::Missing(place.shown.clone()))
    }

    /// Writes a file as a whole, with content in frames.
    pub fn write(&self, path: &str, expect: &Expect, input: &mut impl Read) -> Result<Answer, Fault> {
        let place = self.place(path)?;
        let present = present(&place.parent, &place.name, &place.shown)?;
        check(&place, present.as_ref(), expect)?;
        remove_stale(&place.parent);
        let upload = Upload::make(&place)?;
        match self.fill(&place, present.as_ref(), &upload, input).and_then(|()| upload.settle(&place, expect)) {
            Err(fault @ Fault::Kept { .. }) => Err(fault),
            Err(fault) => {
                let _ = unlinkat(&place.parent, &upload.name[..], AtFlags::empty());
                Err(fault)
            }
            Ok(()) => {
                // The content is on the disk already; the name may be a moment behind.
                fsync(&place.parent).map_err(|errno| failed(&place.shown, "syncing the folder of", errno))?;
                self.written(&place)
            }
        }
    }

    fn fill(&self, place: &Place, present: Option<&Stat>, upload: &Upload, input: &mut impl Read) -> Result<(), Fault> {
        receive(&upload.file, &place.shown, input)?;
        let wrong = |errno| failed(&place.shown, "protecting", errno);
        let (user, group) = match present {
            Some(stat) => (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))),
            None => self.owner(),
        };
        fchown(&upload.file, user, group).map_err(wrong)?;
        let mode = present.map_or(NEW_FILE, |stat| stat.st_mode & KEPT_BITS);
        fchmod(&upload.file, Mode::from_raw_mode(mode)).map_err(wrong)?;
        fsync(&upload.file).map_err(|errno| failed(&place.shown, "syncing", errno))
    }

    /// Makes a folder of the application's user.
    pub fn make_folder(&self, path: &str) -> Result<Answer, Fault> {
        let place = self.place(path)?;
        let wrong = |errno| failed(&place.shown, "making", errno);
        mkdirat(&place.parent, &place.name[..], Mode::from_raw_mode(NEW_FOLDER)).map_err(wrong)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat2(&place.parent, &place.name[..], flags, Mode::empty(), BENEATH).map_err(wrong)?;
        let (user, group) = self.owner();
        fchown(&folder, user, group).map_err(wrong)?;
        // The bits again: the mask of this process is no concern of the application.
        fchmod(&folder, Mode::from_raw_mode(NEW_FOLDER)).map_err(wrong)?;
        self.written(&place)
    }

    /// Gives an entry another name, which is free.
    pub fn rename(&self, from: &str, to: &str) -> Result<Answer, Fault> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let flags = RenameFlags::NOREPLACE;
        match renameat_with(&from.parent, &from.name[..], &to.parent, &to.name[..], flags) {
            Ok(()) => self.written(&to),
            Err(Errno::EXIST) => Err(Fault::Taken(to.shown)),
            Err(Errno::INVAL) => Err(Fault::Name { name: to.shown, words: format!("lies in `{}` itself", from.shown) }),
            Err(errno) => Err(failed(&from.shown, "renaming", errno)),
        }
    }

    /// Removes a file, a link, or a folder; one with something in it where `all` is asked for.
    pub fn remove(&self, path: &str, all: bool, expect: Option<&str>) -> Result<Answer, Fault> {
        let place = self.place(path)?;
        let found = present(&place.parent, &place.name, &place.shown)?;
        let found = found.ok_or_else(|| Fault::Missing(place.shown.clone()))?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            let mut entries = 0;
            if all {
                empty(&place.parent, &place.name, &place.shown, 0, &mut entries)?;
            }
            let removed = unlinkat(&place.parent, &place.name[..], AtFlags::REMOVEDIR);
            removed.map_err(|errno| failed(&place.shown, "removing", errno))?;
            return Ok(Answer::Removed { entries: entries + 1 });
        }
        match expect {
            Some(expect) => remove_expected(&place, expect)?,
            None => {
                let removed = unlinkat(&place.parent, &place.name[..], AtFlags::empty());
                removed.map_err(|errno| failed(&place.shown, "removing", errno))?;
            }
        }
        Ok(Answer::Removed { entries: 1 })
    }
}

/// A file that is being written beside the place that it takes.
struct Upload {
    name: Vec<u8>,
    file: OwnedFd,
    /// Its number, by which it is known again.
    number: u64,
}

impl Upload {
    fn make(place: &Place) -> Result<Upload, Fault> {
        let wrong = |errno| failed(&place.shown, "making a file beside", errno);
        let name = aside()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat2(&place.parent, &name[..], flags, mode, BENEATH).map_err(wrong)?;
        let number = fstat(&file).map_err(wrong)?.st_ino;
        Ok(Upload { name, file, number })
    }

    /// Takes its place, if there is what was expected.
    fn settle(&self, place: &Place, expect: &Expect) -> Result<(), Fault> {
        let rename = |flags| renameat_with(&place.parent, &self.name[..], &place.parent, &place.name[..], flags);
        let wrong = |errno| failed(&place.shown, "replacing", errno);
        match expect {
            Expect::New => rename(RenameFlags::NOREPLACE).map_err(wrong),
            Expect::Any => match rename(RenameFlags::empty()) {
                Err(Errno::ISDIR) => Err(Fault::Kind { name: place.shown.clone(), wanted: "file".into() }),
                renamed => renamed.map_err(wrong),
            },
            Expect::Tag(wanted) => {
                match rename(RenameFlags::EXCHANGE) {
                    Err(Errno::NOENT) => return Err(Fault::Changed(place.shown.clone())),
                    swapped => swapped.map_err(wrong)?,
                }
                let old = statat(&place.parent, &self.name[..], AtFlags::SYMLINK_NOFOLLOW).map_err(wrong)?;
                if tag(&old).as_deref() == Some(wanted) {
                    return unlinkat(&place.parent, &self.name[..], AtFlags::empty()).map_err(wrong);
                }
                rename(RenameFlags::EXCHANGE).map_err(wrong)?;
                Err(self.was_another(place))
            }
        }
    }

    /// The fault of a file that was another one, after the two have changed back. Somebody who wrote in between keeps what was written: only this file's
    /// content goes.
    fn was_another(&self, place: &Place) -> Fault {
        let aside = statat(&place.parent, &self.name[..], AtFlags::SYMLINK_NOFOLLOW);
        if aside.is_ok_and(|aside| aside.st_ino == self.number) {
            return Fault::Changed(place.shown.clone());
        }
        Fault::Kept { name: place.shown.clone(), kept: show(&self.name) }
    }
}

/// A name that nobody has.
fn aside() -> Result<Vec<u8>, Fault> {
    let mut bytes = [0; 16];
    let wrong = |cause: Errno| Fault::System {
        name: UPLOAD.into(),
        doing: "choosing a name for".into(),
        cause: cause.to_string(),
    };
    let count = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(wrong)?;
    if count != bytes.len() {
        return Err(wrong(Errno::AGAIN));
    }
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{UPLOAD}{digits}").into_bytes())
}

fn present(parent: &OwnedFd, name: &[u8], shown: &str) -> Result<Present, Fault> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(shown, "looking at", errno)),
    }
}

/// Refuses what would be refused at the end, before the content is received.
fn check(place: &Place, present: Option<&Stat>, expect: &Expect) -> Result<(), Fault> {
    let shown = || place.shown.clone();
    let kind = present.map(|stat| FileType::from_raw_mode(stat.st_mode));
    match (kind, expect) {
        (Some(FileType::Symlink), _) => Err(Fault::Link(shown())),
        (Some(kind), _) if kind != FileType::RegularFile => Err(Fault::Kind { name: shown(), wanted: "file".into() }),
        (Some(_), Expect::New) => Err(Fault::Taken(shown())),
        (_, Expect::Tag(wanted)) if present.and_then(tag).as_ref() != Some(wanted) => Err(Fault::Changed(shown())),
        _ => Ok(()),
    }
}

/// Receives a content in frames.
fn receive(file: &OwnedFd, shown: &str, input: &mut impl Read) -> Result<(), Fault> {
    let broken = |_| Fault::Broken(shown.into());
    let (mut buffer, mut all) = (vec![0; BUFFER_BYTES], 0_u64);
    loop {
        let mut length = [0; LENGTH_BYTES];
        input.read_exact(&mut length).map_err(broken)?;
        let mut left = u32::from_le_bytes(length);
        if left == 0 {
            return Ok(());
        }
        all += u64::from(left);
        if all > FILE_BYTES_MAX {
            return Err(Fault::Large);
        }
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
            input.read_exact(&mut buffer[..most]).map_err(broken)?;
            write_all(file, &buffer[..most]).map_err(|errno| failed(shown, "writing", errno))?;
            left -= u32::try_from(most).unwrap_or(left);
        }
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes a file if it is the expected one: it is set aside first, so that nobody writes to it by name while it is looked at.
fn remove_expected(place: &Place, expect: &str) -> Result<(), Fault> {
    let aside = aside()?;
    let wrong = |errno| failed(&place.shown, "removing", errno);
    let flags = RenameFlags::NOREPLACE;
    renameat_with(&place.parent, &place.name[..], &place.parent, &aside[..], flags).map_err(wrong)?;
    let found = statat(&place.parent, &aside[..], AtFlags::SYMLINK_NOFOLLOW).map_err(wrong)?;
    if tag(&found).as_deref() == Some(expect) {
        return unlinkat(&place.parent, &aside[..], AtFlags::empty()).map_err(wrong);
    }
    match renameat_with(&place.parent, &aside[..], &place.parent, &place.name[..], flags) {
        Ok(()) => Err(Fault::Changed(place.shown.clone())),
        Err(_) => Err(Fault::Kept { name: place.shown.clone(), kept: show(&aside) }),
    }
}

/// Removes everything in a folder. Links are removed and not followed, and other file systems are not entered.
fn empty(parent: &OwnedFd, name: &[u8], shown: &str, depth: usize, removed: &mut u64) -> Result<(), Fault> {
    if depth > DEPTH_MAX {
        return Err(Fault::Name { name: shown.into(), words: format!("lies below more than {DEPTH_MAX} folders") });
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat2(parent, name, flags, Mode::empty(), BENEATH);
    let folder = folder.map_err(|errno| failed(shown, "opening", errno))?;
    for entry in Dir::read_from(&folder).map_err(|errno| failed(shown, "reading", errno))? {
        let entry = entry.map_err(|errno| failed(shown, "reading", errno))?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if *removed >= REMOVED_MAX {
            return Err(Fault::Many(shown.into()));
        }
        let inner = format!("{shown}/{}", show(name));
        let Some(stat) = present(&folder, name, &inner)? else { continue };
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_folder {
            empty(&folder, name, &inner, depth + 1, removed)?;
        }
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match unlinkat(&folder, name, flags) {
            Ok(()) => *removed += 1,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(&inner, "removing", errno)),
        }
    }
    Ok(())
}

/// Removes uploads of a folder that were broken off. What does not go is tried again by the next one.
fn remove_stale(parent: &OwnedFd) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let Ok(entries) = Dir::read_from(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        let is_upload = name.strip_prefix(UPLOAD.as_bytes()).is_some_and(|rest| rest.len() == 32);
        let stat = is_upload.then(|| statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()).flatten();
        let age = stat.and_then(|stat| now.checked_sub(u64::try_from(stat.st_mtime).unwrap_or(0)));
        if age.is_some_and(|age| age > UPLOAD_STALE.as_secs()) {
            let _ = unlinkat(parent, name, AtFlags::empty());
        }
    }
}
