//! Loop devices, found by the file behind them.
//!
//! A device of ours cleans itself up: once its file system is mounted it is set to detach with the last mount (`autoclear`), in whatever mount
//! namespace that is. Before that moment a death can leave one without a mount; it is found by its file and taken again.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::VolumeError;
use crate::mounts;
use crate::program::{Tool, run};

/// Folder of the kernel's block devices.
const BLOCK_FOLDER: &str = "/sys/block";
/// Time for which a volume is waited for that others keep, milliseconds: whoever makes a mount namespace has every mount of the host in it until it
/// changes its root, and a container is made in less; a program that lists devices has each open for a moment, and one that is being started has
/// what its parent had open.
const OTHERS_MS_MAX: u64 = 2_000;
/// The same where nobody is found who keeps it: then it is gone in a moment, on a busy machine too.
const NOBODY_MS_MAX: u64 = 10_000;
/// Time between two looks, milliseconds: the kernel tells nobody of a last user.
const LOOK_MS: u64 = 10;

/// A loop device with a file behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopDevice {
    /// Its node, as `/dev/loop7`.
    pub node: PathBuf,
    /// Its number, as `7:7`.
    pub number: String,
    /// The file behind it, as the kernel names it now: a removed one ends with ` (deleted)`.
    pub file: PathBuf,
    /// It detaches with its last user.
    pub autoclear: bool,
}

/// Loop devices of this machine that have a file.
///
/// # Errors
/// The kernel's folder cannot be read.
pub fn list() -> Result<Vec<LoopDevice>, VolumeError> {
    let entries = fs::read_dir(BLOCK_FOLDER).map_err(VolumeError::io("listing", BLOCK_FOLDER))?;
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(VolumeError::io("listing", BLOCK_FOLDER))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("loop") {
            found.extend(describe(&name));
        }
    }
    Ok(found)
}

/// Describes a device; none where it has no file (any more).
fn describe(name: &str) -> Option<LoopDevice> {
    let folder = Path::new(BLOCK_FOLDER).join(name);
    let word = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let file = word("loop/backing_file")?;
    Some(LoopDevice {
        node: Path::new("/dev").join(name),
        number: word("dev")?.trim().to_string(),
        file: PathBuf::from(file.strip_suffix('\n').unwrap_or(&file)),
        autoclear: word("loop/autoclear")?.trim() == "1",
    })
}

/// Devices of a file.
pub(crate) fn of(image: &Path) -> Result<Vec<LoopDevice>, VolumeError> {
    Ok(list()?.into_iter().filter(|device| device.file == image).collect())
}

/// Asks until the answer is the end, or others have been waited for long enough; then it is the last answer.
pub(crate) fn wait_for_others<T>(
    mut ask: impl FnMut() -> Result<T, VolumeError>,
    is_end: impl Fn(&T) -> bool,
    holders: impl Fn(&T) -> Vec<u32>,
) -> Result<T, VolumeError> {
    let begun = Instant::now();
    loop {
        let answer = ask()?;
        let waited = begun.elapsed();
        let is_long = waited > Duration::from_millis(OTHERS_MS_MAX);
        if is_end(&answer) || is_long && (waited > Duration::from_millis(NOBODY_MS_MAX) || !holders(&answer).is_empty())
        {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
}

/// Waits for devices that are about to detach, and returns those that are left. One with `autoclear` among them is held by others.
pub(crate) fn settle(image: &Path) -> Result<Vec<LoopDevice>, VolumeError> {
    let is_leaving = |device: &&LoopDevice| device.autoclear;
    wait_for_others(
        || of(image),
        |found| !found.iter().any(|device| is_leaving(&device)),
        |found| found.iter().filter(is_leaving).flat_map(|device| mounts::holders(&device.number)).collect(),
    )
}

/// Attaches a file to a device, or takes one that stays attached. Never one that detaches with its last user: between two calls it can be another
/// file's. None where others hold such a one.
pub(crate) fn attach(image: &Path) -> Result<Option<LoopDevice>, VolumeError> {
    let left = settle(image)?;
    if left.iter().any(|device| device.autoclear) {
        return Ok(None);
    }
    if left.is_empty() {
        let direct = OsStr::new("--direct-io=on");
        run(Tool::Losetup, &["--find".as_ref(), "--nooverlap".as_ref(), direct, image.as_ref()])?;
    }
    let device = of(image)?.into_iter().next();
    let device =
        device.ok_or_else(|| VolumeError::io("finding the loop device of", image)(io::ErrorKind::NotFound.into()))?;
    forbid_discard(&device)?;
    Ok(Some(device))
}

/// Makes a device refuse to give blocks back: `fstrim`, which many systems run weekly on every mount, would punch holes into the image, and the
/// room that was reserved for the application would be anybody's.
fn forbid_discard(device: &LoopDevice) -> Result<(), VolumeError> {
    let name = device.node.file_name().unwrap_or_default();
    let file = Path::new(BLOCK_FOLDER).join(name).join("queue/discard_max_bytes");
    fs::write(&file, "0").map_err(VolumeError::io("writing", file))
}

/// Sets a device to detach with its last user, or detaches it now where it has none. One that has gone meanwhile, and may have another file by now,
/// is left alone.
///
/// # Errors
/// The device stays attached for ever: the kernel refused.
pub fn release(device: &LoopDevice) -> Result<(), VolumeError> {
    let name = device.node.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_still_ours = || describe(&name).filter(|now| now.file == device.file);
    // While the device is open here it keeps its file, so that what is looked at is what is detached.
    let held = fs::File::open(&device.node);
    if is_still_ours().is_none() {
        return Ok(());
    }
    let result = run(Tool::Losetup, &["--detach".as_ref(), device.node.as_ref()]);
    drop(held);
    match is_still_ours() {
        Some(now) if !now.autoclear => result.map(drop),
        _ => Ok(()),
    }
}

/// Makes a device as large as its file.
pub(crate) fn resize(device: &LoopDevice) -> Result<(), VolumeError> {
    run(Tool::Losetup, &["--set-capacity".as_ref(), device.node.as_ref()]).map(drop)
}
