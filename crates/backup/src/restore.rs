//! A snapshot restored into an empty folder (B-33 to B-35).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};

use crate::crew::{Brake, first};
use crate::door::{Door, effect};
use crate::error::{BackupError, failed};
use crate::fetch::Stop;
use crate::fill::lay_out;
use crate::index::Index;
use crate::manifest::{self, Attributes, Event};
use crate::name::Id;
use crate::repository::Repository;
use crate::stage::Stage;
use crate::tree::{give, give_link, open_below, open_parent, open_root, sync_file_system};

/// Owners of what is restored (B-35).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As they were. Needs root, or a tree of one's own.
    Kept,
    /// Users and groups of a range, moved to another of the same length.
    Shifted {
        /// Begin of the range in the snapshot.
        from: u32,
        /// Begin of the range here.
        to: u32,
        /// Length of both.
        count: u32,
    },
    /// The caller's.
    Callers,
}

impl Owners {
    /// The owner to give, none to give none, and the attributes to give, in which access lists and capabilities name owners as well.
    pub(crate) fn of<'a>(&self, path: &Path, attributes: &'a Attributes) -> Result<Given<'a>, BackupError> {
        let Owners::Shifted { from, to, count } = *self else {
            let owner = (*self == Owners::Kept).then_some((attributes.user, attributes.group));
            return Ok((owner, Cow::Borrowed(attributes)));
        };
        let shift = |number: u32| {
            let place = number.checked_sub(from).filter(|place| *place < count);
            let until = from.saturating_add(count);
            let outside = || BackupError::OwnerOutside { path: path.to_path_buf(), number, from, until };
            place.and_then(|place| to.checked_add(place)).ok_or_else(outside)
        };
        let mut given = attributes.clone();
        for (name, value) in &mut given.extended {
            for at in owners_in(name, value) {
                if let Some(number) = value.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
                    *number = shift(u32::from_le_bytes(*number))?.to_le_bytes();
                }
            }
        }
        Ok((Some((shift(attributes.user)?, shift(attributes.group)?)), Cow::Owned(given)))
    }
}

/// The owner of an entry and its attributes.
type Given<'a> = (Option<(u32, u32)>, Cow<'a, Attributes>);

/// Places of users' and groups' numbers in an extended attribute. Source: `linux/posix_acl_xattr.h`, `linux/capability.h`.
fn owners_in(name: &[u8], value: &[u8]) -> Vec<usize> {
    const ENTRY_BYTES: usize = 8;
    const NAMED_USER: [u8; 2] = [0x02, 0];
    const NAMED_GROUP: [u8; 2] = [0x08, 0];
    match name {
        b"system.posix_acl_access" | b"system.posix_acl_default" => {
            let entries = (4..value.len()).step_by(ENTRY_BYTES);
            let named = |at: &usize| {
                value.get(*at..*at + 2).is_some_and(|tag| tag == NAMED_USER.as_slice() || tag == NAMED_GROUP.as_slice())
            };
            entries.filter(named).map(|at| at + 4).collect()
        }
        // Of revision 3, with the number of a namespace's root.
        b"security.capability" if value.len() == 24 && value.get(3) == Some(&3) => vec![20],
        _ => vec![],
    }
}

/// An order to restore a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Restoration<'a> {
    /// The snapshot.
    pub snapshot: Id,
    /// The target: absent, or an empty folder. Its parent has to be there.
    pub target: &'a Path,
    /// Owners.
    pub owners: Owners,
    /// The restored tree is read back and held against the manifest.
    pub verify: bool,
}

/// A snapshot that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the tree.
    pub entries: u64,
    /// Bytes of its files, without holes.
    pub bytes: u64,
}

impl Repository<'_> {
    /// Restores a snapshot. Until it returns, nothing is at the target; what broke off is removed by the next restore to it.
    ///
    /// # Errors
    /// The snapshot, its manifest or a pack is damaged or missing; the target is taken; the system or the store fails.
    pub fn restore(&self, order: &Restoration<'_>, door: Door<'_>) -> Result<Restored, BackupError> {
        let target = order.target;
        check_target(target)?;
        let snapshot = self.snapshot(order.snapshot)?;
        let index = Index::load(self.store, &self.keys, &BTreeSet::new())?;
        let manifest = self.manifest(&index, order.snapshot, &snapshot)?;
        self.check_manifest(&index, order.snapshot, &snapshot, &manifest)?;
        check_owners(&order.owners, &manifest, order.snapshot)?;
        let beside = Beside::make(beside(target)?, door)?;
        let done = self.restore_beside(order, &index, &manifest, &beside, snapshot.bytes, door);
        if let Err(error) = done {
            // Nothing of it is wanted. After a death the next restore does the same.
            let _ = beside.check().and_then(|()| remove_tree(&beside.path, door));
            return Err(error);
        }
        Ok(Restored { entries: snapshot.entries, bytes: snapshot.bytes })
    }

    fn restore_beside(
        &self,
        order: &Restoration<'_>,
        index: &Index,
        manifest: &[u8],
        beside: &Beside,
        bytes: u64,
        door: Door<'_>,
    ) -> Result<(), BackupError> {
        let (root, path) = (&beside.root, beside.path.as_path());
        check_room(root, path, bytes)?;
        let plan = effect(door, "lay out", || lay_out(root, index, manifest, order.snapshot))?;
        self.fill((root, path), index, &plan, door)?;
        let attributes = || self.clock().time(Stage::Attributes, 0, || give_attributes(root, manifest, order));
        effect(door, "give attributes", attributes)?;
        effect(door, "sync", || self.sync_and_verify(beside, manifest, order))?;
        let place = || {
            beside.check()?;
            fs::rename(path, order.target).map_err(|cause| match cause.kind() {
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    BackupError::Occupied { path: order.target.to_path_buf() }
                }
                _ => BackupError::io("renaming", path)(cause),
            })?;
            let parent = parent(order.target);
            File::open(parent).and_then(|folder| folder.sync_all()).map_err(BackupError::io("syncing", parent))
        };
        effect(door, "place", place)
    }

    /// Makes the restored tree durable, and reads it back beside that, where the order wants it: nothing is written any more, and what fails of the two
    /// fails both.
    fn sync_and_verify(&self, beside: &Beside, manifest: &[u8], order: &Restoration<'_>) -> Result<(), BackupError> {
        let (root, brake) = (&beside.root, Brake::default());
        let sync = || {
            let synced = self.clock().time(Stage::Sync, 0, || sync_file_system(root));
            synced.map_err(failed("syncing", &beside.path))
        };
        if !order.verify {
            return sync();
        }
        std::thread::scope(|scope| {
            let verified = scope.spawn(|| self.verify(root, manifest, order, &brake));
            let synced = sync();
            if synced.is_err() {
                brake.pull();
            }
            let verified = verified.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            first([synced, verified])
        })
    }
}

/// The folder that is filled, locked for as long as it is: a second restore to the same target would take it away.
struct Beside {
    path: PathBuf,
    root: OwnedFd,
}

impl Beside {
    /// Makes it, in place of one that a dead restore left.
    fn make(path: PathBuf, door: Door<'_>) -> Result<Beside, BackupError> {
        let lock = |folder: &OwnedFd| {
            let locked = rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive);
            locked.map_err(|_| BackupError::Busy { path: path.clone() })
        };
        if fs::symlink_metadata(&path).is_ok() {
            let left = open_root(&path)?;
            lock(&left)?;
            remove_tree(&path, door)?;
        }
        let make = || DirBuilder::new().mode(0o700).create(&path).map_err(BackupError::io("making", &path));
        effect(door, "make folder", make)?;
        let root = open_root(&path)?;
        lock(&root)?;
        let beside = Beside { path, root };
        // Another may have taken it for a dead one's before it was locked; not after.
        beside.check().map(|()| beside)
    }

    /// Fails where it is not at its path any more.
    fn check(&self) -> Result<(), BackupError> {
        let (here, there) = (rustix::fs::fstat(&self.root), rustix::fs::lstat(&self.path));
        let same =
            here.is_ok_and(|here| there.is_ok_and(|there| (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)));
        if same { Ok(()) } else { Err(BackupError::Busy { path: self.path.clone() }) }
    }
}

fn parent(target: &Path) -> &Path {
    target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder in which a target is made.
fn beside(target: &Path) -> Result<PathBuf, BackupError> {
    let name = target.file_name().ok_or_else(|| BackupError::Occupied { path: target.to_path_buf() })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".restoring");
    Ok(parent(target).join(hidden))
}

fn check_target(target: &Path) -> Result<(), BackupError> {
    let occupied = || BackupError::Occupied { path: target.to_path_buf() };
    match fs::symlink_metadata(target) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(about) if about.is_dir() => {
            let mut entries = fs::read_dir(target).map_err(BackupError::io("listing", target))?;
            if entries.next().is_none() { Ok(()) } else { Err(occupied()) }
        }
        Ok(_) => Err(occupied()),
        Err(cause) => Err(BackupError::io("reading", target)(cause)),
    }
}

/// Removes a tree if it is there. Links in it are removed, not followed.
pub(crate) fn remove_tree(path: &Path, door: Door<'_>) -> Result<(), BackupError> {
    if fs::symlink_metadata(path).is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    effect(door, "remove folder", || fs::remove_dir_all(path).map_err(BackupError::io("removing", path)))
}

/// Finds owners outside the range before anything is made.
fn check_owners(owners: &Owners, manifest: &[u8], snapshot: Id) -> Result<(), BackupError> {
    let counts = manifest::read::<Stop>(manifest, |path, event| {
        if let Event::Leave(attributes) | Event::File(attributes, _) | Event::Link(attributes, _) = event {
            owners.of(path, attributes)?;
        }
        Ok(())
    });
    counts.map(drop).map_err(|stop| stop.of(snapshot))
}

fn check_room(root: &OwnedFd, beside: &Path, need_bytes: u64) -> Result<(), BackupError> {
    let about = rustix::fs::fstatvfs(root).map_err(failed("reading", beside))?;
    let have_bytes = about.f_bavail.saturating_mul(about.f_frsize);
    if have_bytes < need_bytes {
        return Err(BackupError::NoRoom { path: parent(beside).to_path_buf(), need_bytes, have_bytes });
    }
    Ok(())
}

/// Makes hard links and gives everything its attributes: a folder's come when all in it is done.
fn give_attributes(root: &OwnedFd, manifest: &[u8], order: &Restoration<'_>) -> Result<(), BackupError> {
    let counts = manifest::read::<Stop>(manifest, |path, event| {
        let root = root.as_fd();
        let given = match event {
            Event::Leave(attributes) | Event::File(attributes, _) => {
                let (owner, attributes) = order.owners.of(path, attributes)?;
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                open_below(root, path, flags, Mode::empty()).and_then(|file| give(file.as_fd(), &attributes, owner))
            }
            Event::Link(attributes, _) => {
                let (owner, attributes) = order.owners.of(path, attributes)?;
                open_parent(root, path).and_then(|(folder, name)| give_link(folder.as_fd(), name, &attributes, owner))
            }
            Event::HardLink(to) => link(root, to, path),
            Event::Folder | Event::Piece(..) => Ok(()),
        };
        given.map_err(|cause| Stop::Failed(failed("giving attributes to", path)(cause)))
    });
    counts.map(drop).map_err(|stop| stop.of(order.snapshot))
}

fn link(root: BorrowedFd<'_>, to: &Path, path: &Path) -> Result<(), rustix::io::Errno> {
    let (from, name) = open_parent(root, to)?;
    let (folder, new) = open_parent(root, path)?;
    rustix::fs::linkat(from, name.as_bytes(), folder, new.as_bytes(), AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(extended: Vec<(Vec<u8>, Vec<u8>)>) -> Attributes {
        Attributes { user: 100_001, group: 100_002, mode: 0o600, modified_s: 0, modified_ns: 0, extended }
    }

    #[test]
    fn owners_in_access_lists_and_capabilities_are_shifted_as_well() {
        let number = |number: u32| number.to_le_bytes().to_vec();
        let entry = |tag: u8, id: u32| [vec![tag, 0, 7, 0], number(id)].concat();
        let list = |user: u32, group: u32| {
            let entries =
                [entry(1, u32::MAX), entry(2, user), entry(4, u32::MAX), entry(8, group), entry(16, u32::MAX)];
            [number(2), entries.concat()].concat()
        };
        let capability = |root: u32| [vec![1, 0, 0, 3], vec![0; 16], number(root)].concat();
        let all = |shift: u32| {
            let with = |name: &str, value| (name.as_bytes().to_vec(), value);
            let capability = with("security.capability", capability(100_000 + shift));
            vec![
                capability,
                with("system.posix_acl_access", list(100_005 + shift, 100_006 + shift)),
                with("user.a", number(100_000)),
            ]
        };
        let owners = Owners::Shifted { from: 100_000, to: 300_000, count: 1000 };
        let before = attributes(all(0));
        let (owner, given) = owners.of(Path::new("a"), &before).unwrap();
        assert_eq!((owner, &given.extended), (Some((300_001, 300_002)), &all(200_000)));
        let outside = attributes(vec![(b"system.posix_acl_access".to_vec(), list(99_999, 100_000))]);
        let failed = owners.of(Path::new("a"), &outside).unwrap_err();
        assert!(matches!(failed, BackupError::OwnerOutside { number: 99_999, .. }), "{failed}");
        let odd = attributes(vec![(b"system.posix_acl_access".to_vec(), vec![2, 0, 0, 0, 2, 0, 7])]);
        owners.of(Path::new("a"), &odd).unwrap();
        assert_eq!(Owners::Callers.of(Path::new("a"), &before).unwrap().0, None);
    }
}
