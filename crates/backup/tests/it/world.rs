//! A repository, trees and their descriptions, below a folder that goes with the test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use openmesh_backup::{
    BackupError, Door, Folder, Id, Identity, Order, Owners, Report, Repository, Restoration, Special, Store, open,
};
use openmesh_primitives::{SplitMix64, Timestamp, sha256};
use rustix::fs::{AtFlags, Timespec, Timestamps, XattrFlags};

/// Bytes at which packs end here, so that small trees have several.
pub const PACK_BYTES: usize = 128 << 10;

/// A moment of the tests' wall clock.
pub const NOW: Timestamp = Timestamp(1_790_000_000_000_000_000);

pub struct World {
    pub store: Folder,
    pub owner: Identity,
    pub folder: tempfile::TempDir,
}

impl World {
    /// A folder with a fresh repository.
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::open(folder.path().join("repository")).unwrap();
        let owner = Identity::generate().unwrap();
        Repository::create(&store, &[owner.recipient()], &open).unwrap();
        World { store, owner, folder }
    }

    /// Another world that is as this one is now.
    pub fn copied(&self) -> World {
        let folder = tempfile::tempdir().unwrap();
        copy(&self.folder.path().join("."), folder.path());
        let store = Folder::open(folder.path().join("repository")).unwrap();
        World { store, owner: self.owner.clone(), folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn repository(&self) -> Repository<'_> {
        let repository = Repository::open(&self.store, std::slice::from_ref(&self.owner), None).unwrap();
        repository.ending_packs_at(PACK_BYTES)
    }

    /// A tree of its own by name, from a seed.
    pub fn tree(&self, name: &str, seed: u64) -> PathBuf {
        let root = self.path(name);
        make_tree(&root, seed);
        root
    }

    /// One with everything but large files, for tests that do many things to it.
    pub fn small_tree(&self, name: &str, seed: u64) -> PathBuf {
        let root = self.path(name);
        make_tree_of(&root, seed, &[0, 1, 100, 5000]);
        root
    }

    pub fn back_up(&self, root: &Path) -> Report {
        back_up(&self.repository(), root, "writer", &open).unwrap()
    }

    /// Restores a snapshot to a fresh place, and describes it.
    pub fn restored(&self, snapshot: Id) -> Vec<String> {
        let target = self.path("restored");
        let _ = fs::remove_dir_all(&target);
        restore(&self.repository(), snapshot, &target, &open).unwrap();
        let found = describe(&target);
        fs::remove_dir_all(&target).unwrap();
        found
    }
}

pub fn order<'a>(root: &'a Path, writer: &'a str) -> Order<'a> {
    let labels = BTreeMap::from([("application".to_string(), "shop".to_string())]);
    Order { root, labels, time: NOW, writer, special: Special::Refuse }
}

pub fn back_up(repository: &Repository<'_>, root: &Path, writer: &str, door: Door<'_>) -> Result<Report, BackupError> {
    repository.backup(&order(root, writer), door)
}

pub fn restore(repository: &Repository<'_>, snapshot: Id, target: &Path, door: Door<'_>) -> Result<(), BackupError> {
    let owners = if rustix::process::geteuid().is_root() { Owners::Kept } else { Owners::Callers };
    repository.restore(&Restoration { snapshot, target, owners, verify: true }, door).map(drop)
}

pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut numbers = SplitMix64::new(seed);
    (0..length.div_ceil(8)).flat_map(|_| numbers.next().to_le_bytes()).take(length).collect()
}

/// A copy of a tree with all that belongs to it.
pub fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// Makes a tree with files of many sizes, twins, links, hard links, holes, modes, owners, times and attributes.
pub fn make_tree(root: &Path, seed: u64) {
    make_tree_of(root, seed, &[0, 1, 100, 5000, 20_000, 160_000]);
}

fn make_tree_of(root: &Path, seed: u64, lengths: &[usize]) {
    let mut numbers = SplitMix64::new(seed);
    fs::create_dir(root).unwrap();
    let mut folders = vec![root.to_path_buf()];
    for number in 0..6 {
        let folder = folders[numbers.index(folders.len())].join(format!("folder {number}"));
        fs::create_dir(&folder).unwrap();
        folders.push(folder);
    }
    for number in 0..14 {
        let path = folders[numbers.index(folders.len())].join(format!("file-{number}"));
        // Some have the content of another.
        let content = noise(seed * 100 + numbers.below(9), lengths[numbers.index(lengths.len())]);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode([0o600, 0o644, 0o4755, 0o400][numbers.index(4)]))
            .unwrap();
    }
    symlink("../../etc/passwd", root.join("link")).unwrap();
    symlink("file-0", folders[2].join("dangling")).unwrap();
    fs::write(root.join("twin"), b"one file with two names").unwrap();
    fs::hard_link(root.join("twin"), folders[1].join("other name")).unwrap();
    let mut sparse = File::create(root.join("sparse")).unwrap();
    sparse.seek(SeekFrom::Start(300 << 10)).unwrap();
    sparse.write_all(&noise(seed, 20_000)).unwrap();
    sparse.set_len(900 << 10).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"not \xff text \n");
    fs::write(root.join(odd), "odd").unwrap();
    let marked = root.join("marked");
    fs::write(&marked, "with attributes").unwrap();
    // Not every file system has them: then there are none to keep.
    let _ = rustix::fs::setxattr(&marked, "user.note", b"kept\0whole", XattrFlags::empty());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(root.join("marked"), Some(100_007), Some(100_008)).unwrap();
        std::os::unix::fs::lchown(root.join("link"), Some(100_001), Some(100_002)).unwrap();
    }
    for (number, folder) in folders.iter().enumerate() {
        let time = Timespec { tv_sec: 1_600_000_000 - number as i64, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, folder, &times, AtFlags::empty()).unwrap();
    }
}

/// Everything about a tree that a backup keeps, a line for each entry.
pub fn describe(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inodes: BTreeMap<u64, String> = BTreeMap::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        let name = format!("{:?}", path.strip_prefix(root).unwrap());
        let content = if about.is_dir() {
            let mut entries: Vec<PathBuf> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            waiting.extend(entries.into_iter().rev());
            "folder".to_string()
        } else if about.is_symlink() {
            format!("link to {:?}", fs::read_link(&path).unwrap())
        } else {
            let first = inodes.entry(about.ino()).or_insert_with(|| name.clone()).clone();
            let holes = about.blocks() * 512 + 4096 < about.size();
            format!("file {} {holes} {first} {}", about.size(), sha256(&[&fs::read(&path).unwrap()]))
        };
        let mut value = [0; 100];
        let note = rustix::fs::lgetxattr(&path, "user.note", &mut value[..]).unwrap_or(0);
        let note = String::from_utf8_lossy(&value[..note]).into_owned();
        let owner = (about.uid(), about.gid(), about.mode(), about.mtime(), about.mtime_nsec());
        lines.push(format!("{name} {owner:?} {note:?} {content}"));
    }
    lines.sort();
    lines
}

/// Paths of all objects of a store, and the marker.
pub fn objects(store: &Folder) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![store.root().to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A store whose clock is wrong by some nanoseconds.
#[derive(Debug)]
pub struct Skewed<'a> {
    pub inner: &'a Folder,
    pub nanos: std::sync::atomic::AtomicI64,
}

impl Store for Skewed<'_> {
    fn put_new(&self, name: openmesh_backup::Name, bytes: &[u8]) -> Result<bool, openmesh_backup::StoreError> {
        let new = self.inner.put_new(name, bytes)?;
        let path = self.inner.root().join(name.to_string());
        let at =
            fs::metadata(&path).unwrap().mtime() + self.nanos.load(std::sync::atomic::Ordering::SeqCst) / 1_000_000_000;
        let time = Timespec { tv_sec: at, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).unwrap();
        Ok(new)
    }
    fn read(
        &self,
        name: openmesh_backup::Name,
        from: u64,
        most: usize,
    ) -> Result<Vec<u8>, openmesh_backup::StoreError> {
        self.inner.read(name, from, most)
    }
    fn list(&self, kind: openmesh_backup::Kind) -> Result<Vec<openmesh_backup::Listed>, openmesh_backup::StoreError> {
        self.inner.list(kind)
    }
    fn delete(&self, name: openmesh_backup::Name) -> Result<bool, openmesh_backup::StoreError> {
        self.inner.delete(name)
    }
}
