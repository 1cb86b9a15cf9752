//! The image of a volume: room on the host, reserved in full, and a file system in it.
//!
//! # Why reserved, and not sparse
//! A write into a hole takes a block of the host when the kernel writes the page back: long after the application's `write` returned. On a full host
//! that block is not there, and the write that the application believes done is lost; if it was the journal's, the file system stops. So
//! all blocks are taken when the volume is made or grows, where the shortage is an answer to a person, and nothing gives them back: the loop device
//! refuses to discard, and each look at the volume compares the blocks and fills what is missing.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, IFlags};
use rustix::io::Errno;

use crate::error::VolumeError;
use crate::id::{Id, Kind};
use crate::program::{Tool, failure, run, run_any};

/// Magic number of btrfs: there only a file without copy on write keeps its blocks.
const BTRFS_MAGIC: u64 = 0x9123_683e;
/// Bytes of a block in `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Makes an image with all of its room.
pub(crate) fn create(image: &Path, bytes: u64) -> Result<(), VolumeError> {
    let opened = OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(image);
    let file = opened.map_err(VolumeError::io("making", image))?;
    let stat = rustix::fs::fstatfs(&file).map_err(|cause| VolumeError::io("reading", image)(cause.into()))?;
    if u64::try_from(stat.f_type).is_ok_and(|magic| magic == BTRFS_MAGIC) {
        let set = rustix::fs::ioctl_getflags(&file)
            .and_then(|flags| rustix::fs::ioctl_setflags(&file, flags | IFlags::NOCOW));
        set.map_err(|cause| VolumeError::io("turning copy on write off for", image)(cause.into()))?;
    }
    extend(&file, image, bytes)
}

/// Makes an image longer, with all of its room. Its content stays.
pub(crate) fn enlarge(image: &Path, bytes: u64) -> Result<(), VolumeError> {
    let file = OpenOptions::new().read(true).write(true).open(image).map_err(VolumeError::io("opening", image))?;
    extend(&file, image, bytes)
}

/// Room first, length second: where the room is short the length stays, and what was taken is given back.
fn extend(file: &File, image: &Path, bytes: u64) -> Result<(), VolumeError> {
    let before = file.metadata().map_err(VolumeError::io("reading", image))?.len();
    if let Err(error) = allocate(file, image, bytes) {
        let _ = file.set_len(before);
        return Err(error);
    }
    if before < bytes {
        file.set_len(bytes).map_err(VolumeError::io("extending", image))?;
    }
    file.sync_all().map_err(VolumeError::io("syncing", image))
}

/// Takes the blocks that an image lacks below a length. Content is not touched, also while a file system in it is mounted.
pub(crate) fn reserve(image: &Path, bytes: u64) -> Result<(), VolumeError> {
    if missing(image, bytes)? == 0 {
        return Ok(());
    }
    let file = OpenOptions::new().read(true).write(true).open(image).map_err(VolumeError::io("opening", image))?;
    allocate(&file, image, bytes)
}

fn allocate(file: &File, image: &Path, bytes: u64) -> Result<(), VolumeError> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC | Errno::DQUOT) => {
                return Err(VolumeError::HostFull { path: image.to_path_buf(), missing: missing(image, bytes)? });
            }
            Err(cause) => return Err(VolumeError::io("reserving room for", image)(cause.into())),
        }
    }
}

/// Bytes below a length that have no block on the host.
pub(crate) fn missing(image: &Path, bytes: u64) -> Result<u64, VolumeError> {
    let found = std::fs::metadata(image).map_err(VolumeError::io("reading", image))?;
    Ok(bytes.saturating_sub(found.blocks() * BLOCK_BYTES))
}

/// Length of an image; 0 where there is none.
pub(crate) fn length(image: &Path) -> Result<u64, VolumeError> {
    match std::fs::symlink_metadata(image) {
        Ok(found) if found.is_file() => Ok(found.len()),
        Ok(_) => Ok(0),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(cause) => Err(VolumeError::io("reading", image)(cause)),
    }
}

/// Makes an empty file system whose UUID is the volume's id. Never with discard, which would give the reserved room back.
pub(crate) fn format(image: &Path, id: Id, kind: Kind) -> Result<(), VolumeError> {
    let uuid = id.uuid();
    let options = format!("crc=1,reflink=1,uuid={uuid}");
    let (tool, arguments): (Tool, Vec<&str>) = match kind {
        Kind::Xfs => (Tool::MkfsXfs, vec!["-q", "-K", "-f", "-m", &options]),
        // Tables written now and not by the kernel later; no share of the room kept for root, which no application is.
        Kind::Ext4 => {
            let later = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
            (Tool::MkfsExt4, vec!["-q", "-F", "-m", "0", "-E", later, "-U", &uuid])
        }
    };
    let mut arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
    arguments.push(image.as_ref());
    run(tool, &arguments)?;
    File::open(image).and_then(|file| file.sync_all()).map_err(VolumeError::io("syncing", image))
}

/// Lets the checker of ext4 mend what is safe to mend without a person (`-p`), all of it also where it is clean (`-f`). Words where it found more.
pub(crate) fn preen(node: &Path, all: bool) -> Result<Option<String>, VolumeError> {
    let ended = run_any(Tool::E2fsck, &[if all { "-fp" } else { "-p" }.as_ref(), node.as_ref()])?;
    match ended.code {
        // Bits: 1 mended, 2 restart wanted, 4 errors left, 8 and above the program's own trouble.
        Some(0..=3) => Ok(None),
        Some(4..=7) => Ok(Some(ended.words)),
        code => Err(failure(Tool::E2fsck, code, ended.words)),
    }
}

/// Makes a file system as large as its device: a mounted one, or an ext4 that was checked.
pub(crate) fn grow(kind: Kind, node: &Path, mount: &Path) -> Result<(), VolumeError> {
    match kind {
        Kind::Xfs => run(Tool::XfsGrow, &["-d".as_ref(), mount.as_ref()]),
        Kind::Ext4 => run(Tool::Resize2fs, &[node.as_ref()]),
    }
    .map(drop)
}
