//! Entries become files below one folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write as _};

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::fault::Fault;
use super::job::{Dropped, Paths, Refused, show};
use crate::limits::{
    DEPTH_MAX, ENTRIES_MAX, IMPLIED_BYTES_MAX, IMPLIED_MAX, OVERFLOW_ID, OWNER_MAX, PART_BYTES_MAX,
    REMEMBERED_BYTES_MAX,
};
use crate::tar::{Entry, Kind};

/// Prefix of a whiteout's name (OCI image specification, `layer.md`).
const WHITEOUT: &[u8] = b".wh.";
/// Name of the mark of an opaque folder.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Attribute of an opaque folder in overlayfs.
pub(super) const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";
/// Bytes of content that are written at once.
const BUFFER_BYTES: usize = 128 << 10;

/// No link is followed, nothing outside is reached, no other file system is entered.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// A folder that grows entry by entry.
pub(super) struct Applier {
    root: OwnedFd,
    paths: Paths,
    entries: u64,
    /// Folders that were made because something lies in them.
    implied: BTreeSet<Vec<u8>>,
    implied_bytes: usize,
    /// Times of folders, set at the end: every file made in one moves its time.
    times: Vec<(Vec<u8>, u64)>,
    remembered: usize,
    /// The folder of the last entry, since neighbours follow one another.
    last: Option<(Vec<u8>, OwnedFd)>,
    dropped: Dropped,
    buffer: Vec<u8>,
}

type Finished = (OwnedFd, u64, BTreeSet<Vec<u8>>, Dropped);

impl Applier {
    pub fn new(root: OwnedFd, paths: Paths) -> Applier {
        Applier {
            root,
            paths,
            entries: 0,
            implied: BTreeSet::new(),
            implied_bytes: 0,
            times: Vec::new(),
            remembered: 0,
            last: None,
            dropped: Dropped::default(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Sets the folders' times and gives the folder back.
    pub fn finish(self) -> Result<Finished, Refused> {
        // A folder that was replaced by a file since has no time to set.
        for (path, time) in self.times.iter().rev() {
            if let Ok(folder) = self.open(&self.root, or_dot(path), OFlags::RDONLY | OFlags::DIRECTORY) {
                set_time(&folder, b"", *time).map_err(|errno| Refused::system(path, "setting the time", errno))?;
            }
        }
        Ok((self.root, self.entries, self.implied, self.dropped))
    }

    /// Makes what an entry names.
    pub fn apply(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Fault> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(Refused::Entries.into());
        }
        let (above, name) = self.split(&entry.name)?;
        let Some(name) = name else { return self.root_folder(entry).map_err(Into::into) };
        if above.split(|b| *b == b'/').any(|part| part.starts_with(WHITEOUT)) {
            return Err(Refused::Whiteout(show(&entry.name)).into());
        }
        if name.starts_with(WHITEOUT) {
            return self.whiteout(entry, &above, &name).map_err(Into::into);
        }
        if matches!(entry.kind, Kind::Character | Kind::Block) {
            return Err(Refused::Device(show(&entry.name)).into());
        }
        for (attribute, _) in &entry.xattrs {
            if attribute.starts_with(b"trusted.overlay.") || attribute.starts_with(b"user.overlay.") {
                return Err(Refused::Attribute { name: show(&entry.name), attribute: show(attribute) }.into());
            }
        }
        self.make(entry, &above, &name, content)
    }

    fn make(&mut self, entry: &Entry, above: &[u8], name: &[u8], content: &mut dyn Read) -> Result<(), Fault> {
        let parent = self.parent(above, &entry.name)?;
        match entry.kind {
            Kind::Directory => self.directory(entry, &parent, above, name)?,
            Kind::HardLink => self.hard_link(entry, &parent, name)?,
            Kind::Symlink => {
                self.clear(entry, &parent, name)?;
                symlinkat(entry.link.as_slice(), &parent, name).map_err(failed(entry, "making the link"))?;
                let (uid, gid) = self.owner(entry);
                chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(failed(entry, "setting the owner"))?;
                self.dropped.attributes += entry.xattrs.len() as u64;
                set_time(&parent, name, entry.mtime).map_err(failed(entry, "setting the time"))?;
            }
            Kind::Fifo => {
                self.clear(entry, &parent, name)?;
                mknodat(&parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                    .map_err(failed(entry, "making the pipe"))?;
                let (uid, gid) = self.owner(entry);
                chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(failed(entry, "setting the owner"))?;
                set_time(&parent, name, entry.mtime).map_err(failed(entry, "setting the time"))?;
            }
            _ => self.file(entry, &parent, name, content)?,
        }
        self.last = Some((above.to_vec(), parent));
        Ok(())
    }

    /// Takes a name apart: the path of its folder and its last part; `None` for the root itself.
    fn split(&self, name: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), Refused> {
        if self.paths == Paths::Unchecked {
            let at = name.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
            return Ok((name[..at].to_vec(), Some(name[at..].to_vec())));
        }
        let parts = parts(name)?;
        let Some((last, above)) = parts.split_last() else { return Ok((Vec::new(), None)) };
        Ok((above.join(&b'/'), Some(last.to_vec())))
    }

    fn open(&self, folder: &OwnedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match self.paths {
            Paths::Checked => openat2(folder, path, flags | OFlags::NOFOLLOW, Mode::empty(), BENEATH),
            Paths::Unchecked => openat(folder, path, flags, Mode::empty()),
        }
    }

    /// The folder of an entry, made where the archive did not name it.
    fn parent(&mut self, above: &[u8], name: &[u8]) -> Result<OwnedFd, Refused> {
        if let Some((path, folder)) = self.last.take()
            && path == above
        {
            return Ok(folder);
        }
        match self.open(&self.root, or_dot(above), OFlags::PATH | OFlags::DIRECTORY) {
            Ok(folder) => Ok(folder),
            Err(Errno::NOENT) if self.paths == Paths::Checked => self.imply(above, name),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(Refused::ThroughLink(show(name))),
            Err(errno) => Err(Refused::system(name, "opening its folder", errno)),
        }
    }

    /// Makes the folders of a path that are missing; overlayfs sees their owner and permissions until [`crate::store`] corrects them.
    fn imply(&mut self, above: &[u8], name: &[u8]) -> Result<OwnedFd, Refused> {
        let failed = |errno| match errno {
            Errno::LOOP | Errno::NOTDIR => Refused::ThroughLink(show(name)),
            errno => Refused::system(name, "making its folder", errno),
        };
        let mut path = Vec::new();
        let mut folder = self.open(&self.root, b".", OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
        for part in above.split(|b| *b == b'/') {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
            let hidden = is_whiteout(&folder, part);
            if hidden {
                unlinkat(&folder, part, AtFlags::empty()).map_err(failed)?;
            }
            match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    self.remember(path.len())?;
                    self.implied.insert(path.clone());
                    self.implied_bytes += path.len();
                    if self.implied.len() > IMPLIED_MAX || self.implied_bytes > IMPLIED_BYTES_MAX {
                        return Err(Refused::Implied);
                    }
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            folder = self.open(&folder, part, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            if hidden {
                opaque(&folder).map_err(failed)?;
            }
        }
        Ok(folder)
    }

    fn remember(&mut self, bytes: usize) -> Result<(), Refused> {
        // An allocation has a cost of its own.
        self.remembered += bytes + 64;
        if self.remembered > REMEMBERED_BYTES_MAX { Err(Refused::Remembered) } else { Ok(()) }
    }

    /// Takes away what has the name of an entry; contents of another name of the same file stay as they are.
    fn clear(&self, entry: &Entry, parent: &OwnedFd, name: &[u8]) -> Result<(), Refused> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) => Ok(()),
                Err(Errno::NOTEMPTY) => Err(Refused::Clash(show(&entry.name))),
                Err(errno) => Err(Refused::system(&entry.name, "removing a folder", errno)),
            },
            Err(errno) => Err(Refused::system(&entry.name, "removing a file", errno)),
        }
    }

    fn file(&mut self, entry: &Entry, parent: &OwnedFd, name: &[u8], content: &mut dyn Read) -> Result<(), Fault> {
        self.clear(entry, parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed(entry, "making the file"))?;
        let mut file = File::from(file);
        let mut left = entry.size;
        while left > 0 {
            let want = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = content.read(&mut self.buffer[..want]).map_err(Fault::Input)?;
            if count == 0 {
                return Err(Fault::Input(std::io::ErrorKind::UnexpectedEof.into()));
            }
            file.write_all(&self.buffer[..count]).map_err(|cause| {
                let errno = Errno::from_io_error(&cause).unwrap_or(Errno::IO);
                Refused::system(&entry.name, "writing", errno)
            })?;
            left -= count as u64;
        }
        if entry.mode & 0o6000 != 0 {
            self.dropped.set_id += 1;
        }
        self.finish_node(entry, &OwnedFd::from(file), entry.mode & 0o1777)?;
        Ok(())
    }

    fn directory(&mut self, entry: &Entry, parent: &OwnedFd, above: &[u8], name: &[u8]) -> Result<(), Refused> {
        let hidden = is_whiteout(parent, name);
        let there = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        if !there.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()) {
            self.clear(entry, parent, name)?;
            mkdirat(parent, name, Mode::RWXU).map_err(failed(entry, "making the folder"))?;
        }
        let folder =
            self.open(parent, name, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed(entry, "opening the folder"))?;
        if hidden {
            opaque(&folder).map_err(failed(entry, "marking the folder"))?;
        }
        self.finish_node(entry, &folder, entry.mode & 0o7777)?;
        let path = if above.is_empty() { name.to_vec() } else { [above, name].join(&b'/') };
        if self.implied.remove(&path) {
            self.implied_bytes -= path.len();
        }
        self.remember(path.len())?;
        self.times.push((path, entry.mtime));
        Ok(())
    }

    fn root_folder(&mut self, entry: &Entry) -> Result<(), Refused> {
        if entry.kind != Kind::Directory {
            return Err(Refused::Clash(show(&entry.name)));
        }
        let root = self.open(&self.root, b".", OFlags::RDONLY | OFlags::DIRECTORY);
        let root = root.map_err(failed(entry, "opening the folder"))?;
        self.finish_node(entry, &root, entry.mode & 0o7777)?;
        self.times.push((Vec::new(), entry.mtime));
        Ok(())
    }

    /// Owner, permissions, attributes and time, in this order: a change of owner takes permissions away.
    fn finish_node(&mut self, entry: &Entry, node: &OwnedFd, mode: u32) -> Result<(), Refused> {
        let (uid, gid) = self.owner(entry);
        fchown(node, Some(uid), Some(gid)).map_err(failed(entry, "setting the owner"))?;
        fchmod(node, Mode::from_raw_mode(mode)).map_err(failed(entry, "setting the permissions"))?;
        for (name, value) in &entry.xattrs {
            if name.starts_with(b"user.") {
                fsetxattr(node, name.as_slice(), value, XattrFlags::empty())
                    .map_err(failed(entry, "setting an attribute"))?;
            } else {
                self.dropped.attributes += 1;
            }
        }
        set_time(node, b"", entry.mtime).map_err(failed(entry, "setting the time"))
    }

    fn owner(&mut self, entry: &Entry) -> (Uid, Gid) {
        let mut kept = |id: u64| {
            if id > OWNER_MAX {
                self.dropped.owners += 1;
                return OVERFLOW_ID;
            }
            id as u32
        };
        (Uid::from_raw(kept(entry.uid)), Gid::from_raw(kept(entry.gid)))
    }

    fn hard_link(&mut self, entry: &Entry, parent: &OwnedFd, name: &[u8]) -> Result<(), Refused> {
        let wrong = || Refused::LinkTarget { name: show(&entry.name), target: show(&entry.link) };
        let (above, target) = self.split(&entry.link)?;
        let target = target.ok_or_else(wrong)?;
        let folder = self.open(&self.root, or_dot(&above), OFlags::PATH | OFlags::DIRECTORY).map_err(|_| wrong())?;
        let there = statat(&folder, target.as_slice(), AtFlags::SYMLINK_NOFOLLOW).map_err(|_| wrong())?;
        let kind = FileType::from_raw_mode(there.st_mode);
        if !(kind.is_file() || kind.is_symlink()) {
            return Err(wrong());
        }
        // A link to itself would be removed first.
        if statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|own| own.st_ino == there.st_ino) {
            return Ok(());
        }
        self.clear(entry, parent, name)?;
        linkat(&folder, target.as_slice(), parent, name, AtFlags::empty())
            .map_err(failed(entry, "making the hard link"))
    }

    fn whiteout(&mut self, entry: &Entry, above: &[u8], name: &[u8]) -> Result<(), Refused> {
        let wrong = || Refused::Whiteout(show(&entry.name));
        let hidden = &name[WHITEOUT.len()..];
        if entry.kind != Kind::File {
            return Err(wrong());
        }
        if name == OPAQUE {
            // overlayfs does not look for the mark at the root of a layer.
            if above.is_empty() {
                return Err(wrong());
            }
            drop(self.parent(above, &entry.name)?);
            let folder = self.open(&self.root, above, OFlags::RDONLY | OFlags::DIRECTORY);
            let folder = folder.map_err(failed(entry, "opening the folder"))?;
            return opaque(&folder).map_err(failed(entry, "marking the folder"));
        }
        if matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT) {
            return Err(wrong());
        }
        let parent = self.parent(above, &entry.name)?;
        match statat(&parent, hidden, AtFlags::SYMLINK_NOFOLLOW) {
            // What this layer itself brings stays; only what is below is hidden.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                let folder = self.open(&parent, hidden, OFlags::RDONLY | OFlags::DIRECTORY);
                folder.and_then(|folder| opaque(&folder)).map_err(failed(entry, "marking the folder"))
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => mknodat(&parent, hidden, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(failed(entry, "making the whiteout")),
            Err(errno) => Err(Refused::system(&entry.name, "looking at what it hides", errno)),
        }
    }
}

/// Parts of a name that leads nowhere but down.
fn parts(name: &[u8]) -> Result<Vec<&[u8]>, Refused> {
    let parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(Refused::Upwards(show(name)));
    }
    if parts.iter().any(|part| part.len() > PART_BYTES_MAX) {
        return Err(Refused::Part(show(name)));
    }
    if parts.len() > DEPTH_MAX {
        return Err(Refused::Depth(show(name)));
    }
    Ok(parts)
}

fn or_dot(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

fn failed(entry: &Entry, doing: &'static str) -> impl Fn(Errno) -> Refused {
    move |errno| Refused::system(&entry.name, doing, errno)
}

fn opaque(folder: &OwnedFd) -> rustix::io::Result<()> {
    fsetxattr(folder, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())
}

fn is_whiteout(folder: &OwnedFd, name: &[u8]) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice)
}

/// Sets the time of a name below a folder, or of the descriptor itself for an empty name.
fn set_time(folder: &OwnedFd, name: &[u8], seconds: u64) -> rustix::io::Result<()> {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    if name.is_empty() {
        return rustix::fs::futimens(folder.as_fd(), &times);
    }
    utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}
