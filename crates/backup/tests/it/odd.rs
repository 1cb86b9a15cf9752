//! Odd trees, odd stores, full disks and wrong clocks.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use openmesh_backup::{
    BackupError, Data, Folder, Id, Identity, Kind, Listed, Name, Owners, Repository, Restoration, Store, StoreError,
    open,
};
use openmesh_blueprint::document::Keep;
use openmesh_primitives::Timestamp;
use rustix::fs::{Mode, OFlags};

use crate::world::{NOW, World, back_up, describe, noise, objects, order, restore};

#[test]
fn a_path_longer_than_the_kernel_takes_and_a_folder_of_thousands_come_back() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..3000 {
        fs::write(tree.join(format!("file {number}")), []).unwrap();
    }
    let enter = |folder: &OwnedFd, name: &str| {
        rustix::fs::mkdirat(folder, name, Mode::RWXU).unwrap();
        rustix::fs::openat(folder, name, OFlags::DIRECTORY, Mode::empty()).unwrap()
    };
    let mut folder = rustix::fs::open(&tree, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for level in 0..30 {
        folder = enter(&folder, &format!("{level}{}", "n".repeat(240)));
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let deep: fs::File = rustix::fs::openat(&folder, "deep", flags, Mode::RUSR).unwrap().into();
    (&deep).write_all(b"found").unwrap();
    rustix::fs::linkat(&folder, "deep", &folder, "twin", rustix::fs::AtFlags::empty()).unwrap();
    rustix::fs::symlinkat("deep", &folder, "link").unwrap();
    let report = world.back_up(&tree);
    assert_eq!(report.entries, 1 + 3000 + 30 + 3);
    // Reading it back holds every entry against the manifest.
    let target = world.path("target");
    let order = Restoration { snapshot: report.snapshot, target: &target, owners: Owners::Callers, verify: true };
    assert_eq!(world.repository().restore(&order, &open).unwrap().entries, report.entries);
}

#[test]
fn a_file_written_to_between_two_of_its_names_fails_the_backup() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "before").unwrap();
    // Longer than what the queues hold: `z` is not reached before the first pack is stored.
    fs::write(tree.join("m"), noise(4, 48 << 20)).unwrap();
    fs::hard_link(tree.join("a"), tree.join("z")).unwrap();
    let door = |name: &str| match name {
        "put pack" => OpenOptions::new().append(true).open(tree.join("a"))?.write_all(b"more"),
        _ => Ok(()),
    };
    let failed = back_up(&world.repository(), &tree, "writer", &door).unwrap_err();
    assert!(matches!(&failed, BackupError::Torn { path } if *path == tree.join("z")), "{failed}");
}

#[test]
fn a_repository_of_a_newer_format_is_left_alone() {
    let world = World::new();
    let id = world.repository().id();
    let marker = world.store.root().join("format");
    fs::remove_file(&marker).unwrap();
    fs::write(&marker, format!("openmesh backup 2\n{id}\nand more\n")).unwrap();
    let opened = Repository::open(&world.store, std::slice::from_ref(&world.owner), None).unwrap_err();
    assert!(matches!(opened, BackupError::OtherVersion { found: 2 }), "{opened}");
    assert_eq!(
        opened.to_string(),
        "this repository is of version 2 of the format, and this program reads version 1; use a newer program. Nothing was changed"
    );
    let made = Repository::create(&world.store, &[world.owner.recipient()], &open).unwrap_err();
    assert!(matches!(made, BackupError::OtherVersion { found: 2 }), "{made}");
}

#[test]
fn a_damaged_mark_stops_backups_and_sweeps_until_it_is_mended() {
    let world = World::new();
    let tree = world.small_tree("tree", 41);
    let snapshot = world.back_up(&tree).snapshot;
    let repository = world.repository();
    repository.forget([snapshot], &open).unwrap();
    assert!(repository.mark(NOW, &open).unwrap().packs > 0);
    let mark = fs::read_dir(world.store.root().join("marks")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&mark).unwrap();
    fs::write(&mark, "damaged").unwrap();
    // Which packs are about to go cannot be told: a backup could count on them.
    let failed = back_up(&repository, &tree, "writer", &open).unwrap_err();
    assert!(matches!(failed, BackupError::DamagedMark { .. }), "{failed}");
    let failed = repository.sweep(Timestamp(NOW.nanos() + 1), 0, &open).unwrap_err();
    assert!(matches!(failed, BackupError::DamagedMark { .. }), "{failed}");
    assert_eq!(repository.mend(&open).unwrap().unreadable, 1);
    let snapshot = world.back_up(&tree).snapshot;
    repository.sweep(Timestamp(NOW.nanos() + 1), 0, &open).unwrap();
    assert_eq!(world.restored(snapshot), describe(&tree));
}

#[test]
fn mending_takes_no_pack_that_is_whole() {
    let world = World::new();
    let tree = world.small_tree("tree", 42);
    let snapshot = world.back_up(&tree).snapshot;
    // Of a program that is newer, or of a stranger: its name is right, and nobody here can read it.
    let foreign = noise(1, 5000);
    world.store.put_new(Name::Object(Kind::Pack, Id::of(&foreign)), &foreign).unwrap();
    let store = Odd { inner: &world.store, spoilt: Mutex::new(Some(BTreeSet::new())) };
    let repository = Repository::open(&store, std::slice::from_ref(&world.owner), None).unwrap();
    let before = objects(&world.store).len();
    let mended = repository.mend(&open).unwrap();
    assert_eq!(mended.packs, 0, "what a line spoilt on the way is good in its place");
    assert!(objects(&world.store).len() >= before);
    assert_eq!(world.store.read(Name::Object(Kind::Pack, Id::of(&foreign)), 0, 9000).unwrap(), foreign);
    assert_eq!(world.restored(snapshot), describe(&tree));
}

#[test]
fn a_request_that_is_sent_twice_makes_one_repository() {
    let folder = tempfile::tempdir().unwrap();
    let inner = Folder::open(folder.path()).unwrap();
    let store = Odd { inner: &inner, spoilt: Mutex::new(None) };
    let owner = Identity::generate().unwrap();
    let id = Repository::create(&store, &[owner.recipient()], &open).unwrap().id();
    assert_eq!(Repository::open(&inner, &[owner], None).unwrap().id(), id);
}

#[test]
fn a_clock_that_fell_back_costs_no_backup() {
    let world = World::new();
    let tree = world.small_tree("tree", 43);
    let repository = world.repository();
    let keep = Keep { last: 2, daily: 0, weekly: 0, monthly: 0 };
    let at = |time: Timestamp| {
        repository.backup(&openmesh_backup::Order { time, ..order(&tree, "writer") }, &open).unwrap().snapshot
    };
    let (first, second) = (at(NOW), at(Timestamp(NOW.nanos() + 1)));
    // The battery of the clock is empty.
    let last = at(Timestamp(5));
    assert_eq!(repository.kept(&keep, &BTreeSet::new()).unwrap(), BTreeSet::from([first, second, last]));
    let next = at(Timestamp(6));
    assert_eq!(repository.kept(&keep, &BTreeSet::new()).unwrap(), BTreeSet::from([first, second, next]));
    assert!(repository.kept(&keep, &BTreeSet::from([last])).unwrap().contains(&last));
}

/// A store that spoils each pack when it is read whole for the first time, or sends everything twice.
#[derive(Debug)]
struct Odd<'a> {
    inner: &'a Folder,
    spoilt: Mutex<Option<BTreeSet<Name>>>,
}

impl Store for Odd<'_> {
    fn put_new(&self, name: Name, bytes: &[u8]) -> Result<bool, StoreError> {
        if self.spoilt.lock().unwrap().is_none() {
            self.inner.put_new(name, bytes)?;
        }
        self.inner.put_new(name, bytes)
    }
    fn read(&self, name: Name, from: u64, most: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = self.inner.read(name, from, most)?;
        let whole_pack = from == 0 && most > 1 << 20 && matches!(name, Name::Object(Kind::Pack, _));
        let mut spoilt = self.spoilt.lock().unwrap();
        if spoilt.as_mut().is_some_and(|spoilt| whole_pack && spoilt.insert(name)) {
            bytes[0] ^= 1;
        }
        Ok(bytes)
    }
    fn list(&self, kind: Kind) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(kind)
    }
    fn delete(&self, name: Name) -> Result<bool, StoreError> {
        self.inner.delete(name)
    }
}

/// A file system in memory of some size, which is gone with the test.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, kib: u32) -> Option<Small> {
        fs::create_dir(&path).unwrap();
        let options = format!("size={kib}k,mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(&path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Small(path));
        }
        eprintln!("skipped: a small file system is mounted by root alone");
        None
    }

    fn resize(&self, kib: u32) {
        let options = format!("remount,size={kib}k");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a test that fails may hold files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn no_space(error: &BackupError) -> bool {
    let full = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::StorageFull;
    match error {
        BackupError::Store(StoreError::Io { cause, .. }) | BackupError::Io { cause, .. } => full(cause),
        BackupError::NoRoom { .. } => true,
        _ => false,
    }
}

#[test]
fn a_full_disk_leaves_what_was_and_room_makes_the_next_backup_whole() {
    let world = World::new();
    let tree = world.small_tree("tree", 44);
    let Some(disk) = Small::mount(world.path("disk"), 1024) else { return };
    let store = Folder::open(disk.0.join("repository")).unwrap();
    let owner = [world.owner.clone()];
    let repository = Repository::create(&store, &[owner[0].recipient()], &open).unwrap();
    let repository = repository.ending_packs_at(crate::world::PACK_BYTES);
    let first = back_up(&repository, &tree, "writer", &open).unwrap().snapshot;
    let before = describe(&tree);
    fs::write(tree.join("large"), noise(45, 3 << 20)).unwrap();
    let failed = back_up(&repository, &tree, "writer", &open).unwrap_err();
    assert!(no_space(&failed), "{failed}");
    let whole = |snapshots: u64| {
        let checked = repository.check(Data::All).unwrap();
        assert!(
            checked.findings.is_empty() && checked.broken.is_empty() && checked.snapshots == snapshots,
            "{checked:?}"
        );
    };
    whole(1);
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    let back = |snapshot: Id, place: &Path| restore(&repository, snapshot, place, &open);
    let target = world.path("back");
    back(first, &target).unwrap();
    assert_eq!(describe(&target), before);
    disk.resize(16 << 10);
    let second = back_up(&repository, &tree, "writer", &open).unwrap().snapshot;
    whole(2);
    // A target that is too small is said before a byte is written.
    let Some(small) = Small::mount(world.path("small"), 1024) else { return };
    let failed = back(second, &small.0.join("back")).unwrap_err();
    assert!(no_space(&failed), "{failed}");
    assert_eq!(fs::read_dir(&small.0).unwrap().count(), 0);
    small.resize(16 << 10);
    back(second, &small.0.join("back")).unwrap();
}
