//! Loop devices, found by the file behind them.
//!
//! A device of ours cleans itself up: once its file system is mounted it is set to detach with the last mount (`autoclear`), in whatever mount
//! namespace that is. Before that moment a death can leave one without a mount; it is found by its file and taken again.
//!
//! Between two looks at a device it can have gone and be another file's, by a hand of this machine or by another agent's. Whoever mounts, checks or resizes
//! one therefore holds its node open, looks again, and lets go when it is done.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::VolumeError;
use crate::program::{Tool, run};

/// End of the name of a file that was removed, as the kernel tells it.
const REMOVED_SUFFIX: &str = " (deleted)";
/// Error of the kernel for a node whose device is just going (ENXIO).
const NO_DEVICE: i32 = 6;
/// Folder of the kernel's block devices.
const BLOCK_FOLDER: &str = "/sys/block";
/// Time for which a volume is waited for that others keep, milliseconds: whoever makes a mount namespace has every mount of the host in it until it
/// changes its root; a program that lists devices has each open for a moment, and one that is being started has what its parent had open. All of these
/// are over within milliseconds, on a machine that is loaded tenfold within seconds.
const OTHERS_MS_MAX: u64 = 10_000;
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

/// Returns true where a device's file was removed, and was this one.
pub(crate) fn has_removed(device: &LoopDevice, image: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let name = device.file.as_os_str().as_bytes();
    name.strip_suffix(REMOVED_SUFFIX.as_bytes()).is_some_and(|name| name == image.as_os_str().as_bytes())
}

/// Asks until the answer is the end, or others have been waited for long enough; then it is the last answer.
pub(crate) fn wait_for_others<T>(
    mut ask: impl FnMut() -> Result<T, VolumeError>,
    is_end: impl Fn(&T) -> bool,
) -> Result<T, VolumeError> {
    let begun = Instant::now();
    loop {
        let answer = ask()?;
        if is_end(&answer) || begun.elapsed() > Duration::from_millis(OTHERS_MS_MAX) {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
}

/// Waits for devices that are about to detach, and returns those that are left. One with `autoclear` among them is held by others.
pub(crate) fn settle(image: &Path) -> Result<Vec<LoopDevice>, VolumeError> {
    wait_for_others(|| of(image), |found| !found.iter().any(|device| device.autoclear))
}

/// A device whose node is open here: as long as this value lives it has no other file.
#[derive(Debug)]
pub(crate) struct HeldDevice {
    /// The device as it was found once its node was open.
    pub device: LoopDevice,
    _node: fs::File,
}

/// Holds a device. None where it has no file or another one by now.
pub(crate) fn hold(device: &LoopDevice) -> Result<Option<HeldDevice>, VolumeError> {
    let name = device.node.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let node = match fs::File::open(&device.node) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(NO_DEVICE) => {
            return Ok(None);
        }
        other => other.map_err(VolumeError::io("opening", &device.node))?,
    };
    let now = describe(&name).filter(|now| now.file == device.file && now.number == device.number);
    Ok(now.map(|device| HeldDevice { device, _node: node }))
}

/// Attaches a file to a device, or takes one that stays attached. Never one that detaches with its last user: between two calls it can be another
/// file's. None where others hold such a one.
pub(crate) fn attach(image: &Path) -> Result<Option<HeldDevice>, VolumeError> {
    let left = settle(image)?;
    if left.iter().any(|device| device.autoclear) {
        return Ok(None);
    }
    if left.is_empty() {
        let direct = OsStr::new("--direct-io=on");
        run(Tool::Losetup, &["--find".as_ref(), "--nooverlap".as_ref(), direct, image.as_ref()])?;
    }
    let device = of(image)?.into_iter().next();
    let held = device.map(|device| hold(&device)).transpose()?.flatten();
    let held =
        held.ok_or_else(|| VolumeError::io("finding the loop device of", image)(io::ErrorKind::NotFound.into()))?;
    forbid_discard(&held.device)?;
    Ok(Some(held))
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
