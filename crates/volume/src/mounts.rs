//! Mounts of this process's namespace, read from the kernel, and mounting by system call.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};

use crate::error::VolumeError;
use crate::id::Kind;

/// File of the kernel with the mounts of this process.
const MOUNTS_FILE: &str = "/proc/self/mountinfo";

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Number of its device, as `7:7`.
    pub device: String,
    /// Part of its file system that is mounted: `/` for the whole.
    pub root: PathBuf,
    /// Its place.
    pub point: PathBuf,
    /// Type of its file system.
    pub kind: String,
    /// Its source, for people.
    pub source: String,
    /// Options of the mount and of its file system.
    pub options: Vec<String>,
}

impl Mount {
    /// Returns true where an option is set.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }
}

/// Mounts of this process, in the kernel's order: of two at one place the later one is seen.
///
/// # Errors
/// The kernel's file cannot be read.
pub fn list() -> Result<Vec<Mount>, VolumeError> {
    let text = fs::read(MOUNTS_FILE).map_err(VolumeError::io("reading", MOUNTS_FILE))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Reads a line of `mountinfo` (proc(5)).
fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text = |index: usize| fields.get(index).map(|field| String::from_utf8_lossy(field).into_owned());
    let own = text(5)?;
    let of_file_system = text(dash + 3)?;
    Some(Mount {
        device: text(2)?,
        root: unescape(fields.get(3)?),
        point: unescape(fields.get(4)?),
        kind: text(dash + 1)?,
        source: text(dash + 2)?,
        options: own.split(',').chain(of_file_system.split(',')).map(str::to_string).collect(),
    })
}

/// Replaces `\040` and its like.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The mount that is seen at a place.
pub(crate) fn at(point: &Path) -> Result<Option<Mount>, VolumeError> {
    Ok(list()?.into_iter().rev().find(|mount| mount.point == point))
}

/// Mounts a file system of ours: without devices and set-user-id programs; ext4 turns read-only after an error, as XFS stops.
pub(crate) fn mount(node: &Path, point: &Path, kind: Kind) -> io::Result<()> {
    let data = match kind {
        Kind::Xfs => None,
        Kind::Ext4 => Some("errors=remount-ro"),
    };
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOATIME;
    Ok(nix::mount::mount(Some(node), point, Some(kind.word()), flags, data)?)
}

/// Unmounts what is seen at a place; false where somebody uses it.
pub(crate) fn unmount(point: &Path) -> Result<bool, VolumeError> {
    match nix::mount::umount2(point, MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(true),
        Err(nix::errno::Errno::EBUSY) => Ok(false),
        Err(cause) => Err(VolumeError::io("unmounting", point)(cause.into())),
    }
}

/// Processes that have something below a place open, mapped, or as their folder, their root or their program.
pub(crate) fn users(point: &Path) -> Vec<u32> {
    pids().into_iter().filter(|pid| uses(&Path::new("/proc").join(pid.to_string()), point)).collect()
}

fn uses(process: &Path, point: &Path) -> bool {
    let leads_below = |link: PathBuf| fs::read_link(link).is_ok_and(|to| to.starts_with(point));
    let below = |folder: &str| {
        let entries = fs::read_dir(process.join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(leads_below)
    };
    ["cwd", "root", "exe"].into_iter().any(|link| leads_below(process.join(link))) || below("fd") || below("map_files")
}

/// Ids of the processes of this machine, the lowest first.
fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Processes in other mount namespaces that have a device mounted, the lowest of each namespace.
pub(crate) fn holders(device: &str) -> Vec<u32> {
    let own = fs::read_link("/proc/self/ns/mnt").ok();
    let mut seen: Vec<Option<PathBuf>> = vec![own];
    let mut found = Vec::new();
    for pid in pids() {
        let namespace = fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        if namespace.is_none() || seen.contains(&namespace) {
            continue;
        }
        seen.push(namespace);
        let text = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        let mut mounts = text.split(|byte| *byte == b'\n').filter_map(parse);
        if mounts.any(|mount| mount.device == device) {
            found.push(pid);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_with_spaces_and_optional_fields_is_read() {
        let line = br"36 35 7:12 /lines/1 /srv/a\040b\134c rw,noatime shared:5 master:1 - ext4 /dev/loop12 ro,errors=remount-ro";
        let mount = parse(line).unwrap();
        assert_eq!(mount.point, Path::new(r"/srv/a b\c"));
        assert_eq!((mount.device.as_str(), mount.root.as_path()), ("7:12", Path::new("/lines/1")));
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("ext4", "/dev/loop12"));
        assert!(mount.has("ro") && mount.has("noatime") && !mount.has("errors"));
        assert!(list().unwrap().iter().any(|mount| mount.point == Path::new("/")));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }
    }
}
