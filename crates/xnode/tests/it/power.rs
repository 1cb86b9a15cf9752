//! Cuts of the power: the file system of a host lies in a file, which is copied at that moment; the copy is mounted, as after the next start.
//!
//! Its journal is written only when somebody asks for it, so that whatever nobody has asked for is not in the copy.

use std::path::{Path, PathBuf};
use std::process::Command;

use openmesh_xnode::{marks, open};
use tempfile::TempDir;

/// Size of the file system, bytes: enough for a journal.
const DISK_BYTES: u64 = 32 << 20;

/// A file system that plays the host's disk.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A disk that is mounted; none, with a word, where the machine lacks something.
    fn new() -> Option<Disk> {
        let lacks = |what: &str| -> Option<Disk> {
            println!("skipped: {what}");
            None
        };
        if !rustix::process::geteuid().is_root() {
            return lacks("a disk is mounted by root");
        }
        if !Path::new("/dev/loop-control").exists() {
            return lacks("the kernel has no loop devices (module loop)");
        }
        if !["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"].iter().any(|path| Path::new(path).exists()) {
            return lacks("mkfs.ext4 is not installed (Debian package e2fsprogs)");
        }
        let disk = Disk { folder: tempfile::tempdir().unwrap() };
        std::fs::File::create(disk.image()).unwrap().set_len(DISK_BYTES).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(disk.image()));
        plug(&disk.image(), &disk.point());
        Some(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn point(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// Looks at the disk as it is when the power goes now.
    fn after_a_cut<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        // A file of its own each time: a device may keep the one before for a moment.
        let copy = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        std::fs::copy(self.image(), copy.path()).unwrap();
        let point = self.folder.path().join("after");
        plug(copy.path(), &point);
        let seen = look(&point);
        // A program that another test of this process starts has its open files, also those on this disk, until it begins: the disk goes when they are closed.
        run(Command::new("umount").arg("-l").arg(&point));
        seen
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for name in ["after", "host"] {
            // Where a test failed, or did not.
            let _ = Command::new("umount").arg("-l").arg(self.folder.path().join(name)).output();
        }
    }
}

/// Mounts a file system in a file, whose journal is written within ten minutes where nobody asks for it.
fn plug(image: &Path, point: &Path) {
    std::fs::create_dir_all(point).unwrap();
    run(Command::new("mount").args(["-t", "ext4", "-o", "loop,commit=600"]).args([image, point]));
}

/// Runs a program that must succeed.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A call that comes back has written or removed what it says: the name in the folder as well as the content.
#[test]
fn what_was_written_or_removed_is_so_after_a_cut() {
    let Some(disk) = Disk::new() else { return };
    let pointer = disk.point().join("target");
    let after_a_cut = || disk.after_a_cut(|folder| marks::pointer(&folder.join("target")).unwrap());
    for number in 1..=3 {
        marks::point(&pointer, number, "generation.target", &open).unwrap();
        assert_eq!(after_a_cut(), number, "the pointer after a cut");
    }
    marks::remove(&pointer, "generation.remove", &open).unwrap();
    assert_eq!(after_a_cut(), 0, "it is gone");
}
