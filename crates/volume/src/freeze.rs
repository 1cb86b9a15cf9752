//! A frozen moment of a mounted volume, and a copy of its whole image taken in it.
//!
//! A process that freezes a file system and dies leaves everybody who writes it waiting. So a watchdog of its own freezes and thaws: a shell whose
//! standard input is a pipe of the holder's. It thaws when a byte comes, when the holder is gone, and when the time is over; signals that end others
//! do not end it. Should it be killed itself, the mark beside the image says so, and [`Volumes::repair`](crate::Volumes::repair) thaws.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::io::Errno;

use crate::door::{Door, effect};
use crate::durable;
use crate::error::VolumeError;
use crate::id::Id;
use crate::mounting::{check_image, mounted_device, own_mount};
use crate::program::{Tool, run_any};
use crate::tree::copy_file;
use crate::volumes::{Lock, Place, Volumes};

/// Longest freeze, seconds: applications wait in `write` for as long, and a health check of theirs should outlast it.
pub const FREEZE_S_MAX: u64 = 10;
/// The watchdog. Arguments: program that freezes, mount point, seconds. `head` ends by KILL, since it inherits the ignored signals.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM PIPE
"$1" --freeze "$2" || exit 3
echo frozen
timeout -s KILL "$3" head -c 1 >/dev/null
ended=$?
"$1" --unfreeze "$2" || exit 4
case $ended in 0) echo thawed ;; *) echo late ;; esac
"#;

/// A frozen file system, until it is thawed or dropped, or its time is over.
#[derive(Debug)]
pub struct Frozen {
    place: Place,
    watchdog: Child,
    words: BufReader<ChildStdout>,
    _lock: Lock,
}

impl Volumes {
    /// Freezes a mounted volume: all that was written is on its image, and whoever writes waits. At most [`FREEZE_S_MAX`].
    ///
    /// # Errors
    /// The volume is not mounted, or a program failed; then it is not frozen.
    pub fn freeze(&self, id: Id, door: Door<'_>) -> Result<Frozen, VolumeError> {
        let (lock, place) = self.lock(id)?;
        freeze(place, lock, door)
    }

    /// Copies the image of a volume to a new file, as of one moment: shared with the original where the host can, else without its holes. It is a
    /// whole file system that mounts elsewhere. A copy that takes longer than a freeze may last fails; unmount such a volume first.
    ///
    /// # Errors
    /// The image is wrong, the file is there already, there is no room, or the time was over; then there is no such file.
    pub fn copy_image(&self, id: Id, to: &Path, door: Door<'_>) -> Result<(), VolumeError> {
        let (lock, place) = self.lock(id)?;
        check_image(&place, &place.record()?)?;
        let image = place.image.clone();
        let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to);
        let target = made.map_err(VolumeError::io("making", to))?;
        let copied = (|| {
            let source = File::open(&image).map_err(VolumeError::io("opening", &image))?;
            let frozen = own_mount(&place)?.map(|_| freeze(place, lock, door)).transpose()?;
            let copied = effect(door, "copy image", || copy_whole(&source, &target, to));
            frozen.map_or(Ok(()), Frozen::thaw)?;
            copied?;
            target.sync_all().map_err(VolumeError::io("syncing", to))
        })();
        match copied {
            Ok(()) => to.parent().map_or(Ok(()), durable::sync_folder),
            Err(error) => {
                let _ = std::fs::remove_file(to);
                Err(error)
            }
        }
    }
}

fn copy_whole(source: &File, target: &File, to: &Path) -> Result<(), VolumeError> {
    let copied = match rustix::fs::ioctl_ficlone(target, source) {
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY) => copy_file(source, target),
        other => other,
    };
    copied.map_err(|cause| VolumeError::io("copying to", to)(cause.into()))
}

fn freeze(place: Place, lock: Lock, door: Door<'_>) -> Result<Frozen, VolumeError> {
    mounted_device(&place)?;
    let program = Tool::Fsfreeze.path()?;
    effect(door, "mark freeze", || durable::write(&place.freezing(), b""))?;
    let started = effect(door, "freeze", || {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG, "volume-watchdog"]).arg(&program).arg(&place.mount).arg(FREEZE_S_MAX.to_string());
        // A group of its own: what ends the holder from a terminal does not reach it. Nothing of it lies on the frozen file system.
        command.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watchdog = command.spawn().map_err(VolumeError::io("starting", "/bin/sh"))?;
        let words = watchdog.stdout.take().map(BufReader::new);
        let mut words = words.ok_or_else(|| failed(&place))?;
        match word(&mut words).as_str() {
            "frozen" => Ok((watchdog, words)),
            _ => {
                let _ = watchdog.wait();
                Err(failed(&place))
            }
        }
    });
    let (watchdog, words) = match started {
        Ok(started) => started,
        Err(error) => {
            let _ = thaw(&place);
            return Err(error);
        }
    };
    Ok(Frozen { place, watchdog, words, _lock: lock })
}

fn failed(place: &Place) -> VolumeError {
    let status = "no word from the watchdog".to_string();
    VolumeError::Program { program: "fsfreeze".to_string(), status, words: place.mount.display().to_string() }
}

fn word(words: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    let _ = words.read_line(&mut line);
    line.trim().to_string()
}

impl Frozen {
    /// Ends the freeze.
    ///
    /// # Errors
    /// The watchdog had ended it before: whatever was read meanwhile is of more than one moment.
    pub fn thaw(mut self) -> Result<(), VolumeError> {
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            let _ = pipe.write_all(b".");
        }
        let last = word(&mut self.words);
        let _ = self.watchdog.wait();
        if last != "thawed" {
            return Err(VolumeError::Thawed { id: self.place.id, ms: FREEZE_S_MAX * 1_000 });
        }
        durable::remove(&self.place.freezing())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        if self.place.freezing().exists() {
            let _ = thaw(&self.place);
        }
    }
}

/// Thaws what may be frozen, and takes the mark away. One that is not frozen stays as it is.
pub(crate) fn thaw(place: &Place) -> Result<(), VolumeError> {
    if own_mount(place)?.is_some() {
        // Not frozen is a failure for the program, and none for us; whether it is, the kernel does not say otherwise.
        let _ended = run_any(Tool::Fsfreeze, &["--unfreeze".as_ref(), place.mount.as_ref()])?;
    }
    durable::remove(&place.freezing())
}
