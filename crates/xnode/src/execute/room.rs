//! Room of a writable root: a file system in a file of the instance's folder, which bounds what an application writes outside of its volumes.
//!
//! All of its blocks are reserved on the host when it is made, as a volume's are and for the same reason: a full host is told to a person who deploys, and not
//! to an application that believes its write done. A full room is ENOSPC inside, and nobody else's trouble. It stays over restarts of the instance and of
//! the machine, and goes with the instance's folder.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openmesh_cage::system;
use openmesh_volume::mounts;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::error::XnodeError;
use crate::{Door, Machine, machine, marks};

/// Options of the mount: no devices, no set-id programs, read-only after an error of the disk, no tables zeroed later by a hole in the file.
const OPTIONS: &str = "loop,nodev,nosuid,noatime,errors=remount-ro,noinit_itable";
/// Most that is told of what a program said, characters.
const SAID_MAX: usize = 500;

/// Room of one file system of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes for data.
    pub bytes: u64,
    /// Bytes of them that are free.
    pub bytes_free: u64,
}

/// Folders for what is written and for work.
pub(super) type Folders = (PathBuf, PathBuf);

/// Image of an instance's room, with the agent's name in its own.
fn image(machine: &Machine, instance: &str, folder: &Path) -> PathBuf {
    folder.join(format!("openmesh-{}-{instance}.root.img", machine.agent))
}

/// Place at which it is mounted.
fn place(machine: &Machine, instance: &str) -> PathBuf {
    machine.paths.run().join("rooms").join(instance)
}

/// Makes the room of an instance, or mounts the one that is there, and returns its folders for the overlay. Done already: nothing changes.
///
/// # Errors
/// The host has no room, or a program of the system is missing or refuses.
pub(super) fn make(
    machine: &Machine,
    instance: &str,
    folder: &Path,
    bytes: u64,
    door: Door<'_>,
) -> Result<Folders, XnodeError> {
    let (image, place) = (image(machine, instance, folder), place(machine, instance));
    if !image.exists() {
        marks::through(door, "room.make", || fill(&image, bytes)).map_err(XnodeError::file("making", &image))?;
    }
    machine::make_folder(&place).map_err(XnodeError::file("making", &place))?;
    if mounted(&place)?.is_none() {
        let words: [&OsStr; 6] =
            ["-t".as_ref(), "ext4".as_ref(), "-o".as_ref(), OPTIONS.as_ref(), image.as_os_str(), place.as_os_str()];
        marks::through(door, "room.mount", || run("mount", &words)).map_err(XnodeError::file("mounting", &image))?;
    }
    if let Some(device) = mounted(&place)? {
        keep_reserved(&device).map_err(XnodeError::file("keeping the blocks of", &image))?;
    }
    let folders = (place.join("upper"), place.join("work"));
    for folder in [&folders.0, &folders.1] {
        fs::create_dir_all(folder).map_err(XnodeError::file("making", folder))?;
    }
    Ok(folders)
}

/// Unmounts the room of an instance, whose overlay is gone; its image goes with the instance's folder. Done already: nothing changes.
///
/// # Errors
/// Somebody uses it.
pub(super) fn remove(machine: &Machine, instance: &str, door: Door<'_>) -> Result<(), XnodeError> {
    let place = place(machine, instance);
    while mounted(&place)?.is_some() {
        marks::through(door, "room.unmount", || run("umount", &["--".as_ref(), place.as_os_str()]))
            .map_err(XnodeError::file("unmounting", &place))?;
    }
    match fs::remove_dir(&place) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(XnodeError::file("removing", &place)(cause)),
        _ => Ok(()),
    }
}

/// Room of an instance's writable root; none where it has none.
pub(crate) fn usage(machine: &Machine, instance: &str) -> Option<Room> {
    let place = place(machine, instance);
    // An empty folder is the host's own file system.
    place.join("upper").is_dir().then_some(())?;
    let about = rustix::fs::statvfs(&place).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
    Some(Room { bytes: bytes(about.f_blocks), bytes_free: bytes(about.f_bfree) })
}

/// Number of the device that is mounted at a place, as `7:7`.
fn mounted(place: &Path) -> Result<Option<String>, XnodeError> {
    let found = mounts::list()?.into_iter().rev().find(|mount| mount.point == place);
    Ok(found.map(|mount| mount.device))
}

/// Makes an image with all of its blocks and an empty file system; under its name it is there as a whole or not at all.
fn fill(image: &Path, bytes: u64) -> io::Result<()> {
    let beside = image.with_extension("img.new");
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&beside)?;
    let made = reserve(&file, bytes).and_then(|()| {
        let options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        // No share is kept for root, which no application is.
        run(
            "mkfs.ext4",
            &[
                "-q".as_ref(),
                "-F".as_ref(),
                "-m".as_ref(),
                "0".as_ref(),
                "-E".as_ref(),
                options.as_ref(),
                beside.as_os_str(),
            ],
        )?;
        file.sync_all()?;
        fs::rename(&beside, image)?;
        image.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    });
    if made.is_err() {
        // A full host needs the blocks now.
        let _ = fs::remove_file(&beside);
    }
    made
}

fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC | Errno::DQUOT) => {
                let words = format!(
                    "the host has no {bytes} bytes left for a writable root; free some, or set `limits.disk` lower"
                );
                return Err(io::Error::other(words));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Lets the device refuse to give blocks back, which a weekly `fstrim` of the host would ask of it.
fn keep_reserved(device: &str) -> io::Result<()> {
    fs::write(format!("/sys/dev/block/{device}/queue/discard_max_bytes"), "0")
}

/// Runs a program of the system to its end.
fn run(name: &str, arguments: &[&OsStr]) -> io::Result<()> {
    let missing = || io::Error::other(format!("{name} is not installed (Debian packages e2fsprogs, mount)"));
    let program = system::program(name).ok_or_else(missing)?;
    let ended = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", system::FOLDERS.join(":"))
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    if ended.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&ended.stderr).trim().chars().take(SAID_MAX).collect();
    Err(io::Error::other(format!("{name} has failed ({}): {said}", ended.status)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn an_image_is_whole_with_all_of_its_blocks_or_not_there() {
        if system::program("mkfs.ext4").is_none() {
            println!("skipped: mkfs.ext4 is missing (Debian package e2fsprogs)");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("a.img");
        fill(&image, 16 << 20).unwrap();
        let about = fs::metadata(&image).unwrap();
        assert_eq!(about.len(), 16 << 20);
        assert!(about.blocks() * 512 >= 16 << 20, "{} blocks", about.blocks());
        let other = folder.path().join("b.img");
        // Less than a file system needs.
        assert!(fill(&other, 4 << 10).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half made is left");
    }
}
