//! Clones of trees that hold everything a file system can hold.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use openmesh_volume::{VolumeError, Writers, open};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::world::{LARGE, SMALL, World, new_line};

/// An access list: owner rw, user 165600 r, group r, mask r, others nothing (`struct posix_acl_xattr_entry`).
const ACCESS_LIST: [u8; 44] = {
    let entries: [(u8, u8, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 165_600), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let mut bytes = [0; 44];
    bytes[0] = 2;
    let mut index = 0;
    while index < 5 {
        let (tag, rights, id) = entries[index];
        let at = 4 + index * 8;
        (bytes[at], bytes[at + 2]) = (tag, rights);
        let id = id.to_le_bytes();
        (bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]) = (id[0], id[1], id[2], id[3]);
        index += 1;
    }
    bytes
};

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn all_sorts(root: &Path, long: usize) {
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("empty file"), "").unwrap();
    fs::write(root.join("deep/file"), "content").unwrap();
    fs::hard_link(root.join("deep/file"), root.join("deep/er/same")).unwrap();
    fs::hard_link(root.join("deep/file"), root.join("another")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"middle", 32 << 20).unwrap();
    symlink("/etc/passwd", root.join("link out")).unwrap();
    symlink("nowhere", root.join("deep/broken")).unwrap();
    drop(UnixListener::bind(root.join("s")).unwrap());
    let pipe = Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, pipe, 0).unwrap();
    rustix::fs::mknodat(CWD, root.join("whiteout"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    fs::write(root.join("program"), "#!").unwrap();
    std::os::unix::fs::chown(root.join("program"), Some(165_600), Some(165_601)).unwrap();
    std::os::unix::fs::lchown(root.join("link out"), Some(165_602), Some(165_603)).unwrap();
    set(&root.join("program"), "user.note", b"\0binary\xff");
    set(&root.join("program"), "user.long", &vec![b'x'; long]);
    // cap_net_bind_service, as a file has it (`struct vfs_cap_data`, revision 2).
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set(&root.join("program"), "security.capability", &capability);
    fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o6751)).unwrap();
    fs::write(root.join("shared"), "listed").unwrap();
    set(&root.join("shared"), "system.posix_acl_access", &ACCESS_LIST);
    set(&root.join("deep"), "system.posix_acl_default", &ACCESS_LIST);
    fs::set_permissions(root.join("deep"), fs::Permissions::from_mode(0o2770)).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
    set(root, "user.root", b"1");
    for (index, name) in ["deep/er", "deep", "sparse", "link out", "program", ""].into_iter().enumerate() {
        let at = Timespec { tv_sec: 1_000_000 + index as i64, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: at, last_modification: at };
        rustix::fs::utimensat(CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Look {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    size: u64,
    modified: (i64, i64),
    device: u64,
    content: Vec<u8>,
    attributes: BTreeMap<String, Vec<u8>>,
}

/// Everything below a folder as it looks, by path, with the groups of files that are one.
fn look(root: &Path) -> (BTreeMap<OsString, Look>, Vec<Vec<OsString>>) {
    let (mut looks, mut same) = (BTreeMap::new(), BTreeMap::<u64, Vec<OsString>>::new());
    let mut waiting = vec![root.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.nlink() > 1 {
            same.entry(meta.ino()).or_default().push(name.clone());
        }
        let mut list = vec![0; 65_536];
        let length = rustix::fs::llistxattr(&path, &mut list[..]).unwrap();
        let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let attributes = names.map(|name| {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(&path, name.as_str(), &mut value[..]).unwrap();
            (name, value[..length].to_vec())
        });
        let content = match FileType::from_raw_mode(meta.mode()) {
            FileType::RegularFile => fs::read(&path).unwrap(),
            FileType::Symlink => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            _ => Vec::new(),
        };
        let found = Look {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: if meta.is_dir() { 0 } else { meta.nlink() },
            size: if meta.is_dir() { 0 } else { meta.size() },
            modified: (meta.mtime(), meta.mtime_nsec()),
            device: meta.rdev(),
            content,
            attributes: attributes.collect(),
        };
        looks.insert(name, found);
    }
    let mut same: Vec<Vec<OsString>> = same.into_values().collect();
    same.iter_mut().for_each(|names| names.sort());
    same.sort();
    (looks, same)
}

#[test]
fn a_clone_is_equal_in_everything_on_both_kinds() {
    let Some(world) = World::new() else { return };
    // A small ext4 holds attributes of a block of 1 KiB.
    for (bytes, long) in [(SMALL * 2, 600), (LARGE, 20_000)] {
        let id = world.make(bytes);
        let line = world.volumes.line_folder(id, 1);
        all_sorts(&line, long);
        let before = look(&line);
        world.snapshot(id, 1, 2);
        let clone = world.volumes.line_folder(id, 2);
        let after = look(&clone);
        assert_eq!(before.1, after.1, "files with several names");
        for (name, found) in &before.0 {
            assert_eq!(Some(found), after.0.get(name), "{name:?}");
        }
        assert_eq!(before.0.len(), after.0.len());
        assert_eq!(look(&line), before, "the original is untouched");
        assert!(fs::metadata(clone.join("sparse")).unwrap().blocks() * 512 < 1 << 20, "holes stay holes");
        assert!(after.0[&OsString::from("program")].attributes.contains_key("security.capability"));
        world.volumes.drop_line(id, 2, openmesh_volume::Asker::Machine, &[].into(), &open).unwrap();
        assert_eq!(look(&line), before);
        world.volumes.unmount(id, &open).unwrap();
    }
}

#[test]
fn a_tree_of_thousands_is_cloned_and_one_of_any_depth_removed() {
    let Some(world) = World::new() else { return };
    let id = world.make(LARGE);
    let line = world.volumes.line_folder(id, 1);
    for index in 0..3_000 {
        let folder = line.join((index % 7).to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(index.to_string()), index.to_string()).unwrap();
    }
    for index in 0..1_500 {
        fs::write(line.join(format!("flat {index}")), "x").unwrap();
    }
    world.snapshot(id, 1, 2);
    assert_eq!(look(&line), look(&world.volumes.line_folder(id, 2)));

    // Deeper than a path can say: made step by step, as an application can.
    let mut folder = fs::File::open(world.volumes.line_folder(id, 2)).unwrap();
    let name = "d".repeat(100);
    for depth in 0..300 {
        rustix::fs::mkdirat(&folder, name.as_str(), Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY;
        folder = rustix::fs::openat(&folder, name.as_str(), flags, Mode::empty()).unwrap().into();
        if depth % 50 == 0 {
            rustix::fs::mkdirat(&folder, ".moved-up-1", Mode::RWXU).unwrap();
        }
    }
    drop(folder);
    let refused = world.volumes.snapshot(id, &new_line(2, 3), Writers::Stopped, &open).unwrap_err();
    assert!(matches!(refused, VolumeError::PathLong { .. }), "{refused}");
    assert_eq!(world.findings(id), vec![]);
    world.volumes.drop_line(id, 2, openmesh_volume::Asker::Machine, &[].into(), &open).unwrap();
    assert_eq!(world.findings(id), vec![]);
}

#[test]
fn a_writer_that_was_not_stopped_is_noticed() {
    let Some(world) = World::new() else { return };
    let id = world.make(LARGE);
    let line = world.volumes.line_folder(id, 1);
    (0..2_000).for_each(|index| fs::write(line.join(index.to_string()), "x").unwrap());
    let (begun, over) = (std::sync::Barrier::new(2), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            let file = fs::File::create(line.join("busy")).unwrap();
            while !over.load(Ordering::Relaxed) {
                file.write_all_at(b"again", 0).unwrap();
            }
        });
        begun.wait();
        let result = world.volumes.snapshot(id, &new_line(1, 2), Writers::Stopped, &open);
        over.store(true, Ordering::Relaxed);
        result
    });
    assert!(matches!(result, Err(VolumeError::Torn { .. })), "{result:?}");
    assert_eq!(world.findings(id), vec![]);
    world.snapshot(id, 1, 2);
}

/// As many names as ext4 gives a file, in two folders, beside many files with two names each.
#[test]
fn files_with_many_names_keep_all_of_them() {
    let Some(world) = World::new() else { return };
    let id = world.make(64 << 20);
    let line = world.volumes.line_folder(id, 1);
    let (one, two) = (line.join("one"), line.join("two"));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&two).unwrap();
    fs::create_dir(line.join(".copied-links-0")).unwrap();
    fs::write(one.join("0"), "most").unwrap();
    let names = (1..).find(|name: &u32| fs::hard_link(one.join("0"), two.join(name.to_string())).is_err()).unwrap();
    assert_eq!(names, 65_000, "the last one was refused");
    for name in 0..1_000 {
        fs::write(one.join(format!("pair {name}")), name.to_string()).unwrap();
        fs::hard_link(one.join(format!("pair {name}")), two.join(format!("pair {name}"))).unwrap();
    }
    world.snapshot(id, 1, 2);
    let copy = world.volumes.line_folder(id, 2);
    let seen = |path: &Path| fs::metadata(path).map(|meta| (meta.ino(), meta.nlink())).unwrap();
    let (inode, links) = seen(&copy.join("one/0"));
    assert_eq!(links, 65_000);
    for name in [1, 2, 40_000, 64_999] {
        assert_eq!(seen(&copy.join("two").join(name.to_string())), (inode, 65_000));
    }
    for name in 0..1_000 {
        let pair = format!("pair {name}");
        assert_eq!(seen(&copy.join("one").join(&pair)), seen(&copy.join("two").join(&pair)));
        assert_eq!(fs::read_to_string(copy.join("two").join(&pair)).unwrap(), name.to_string());
    }
    let names: Vec<OsString> = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "nothing of the copying itself: {names:?}");
}
