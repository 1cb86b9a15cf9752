//! A frozen moment of a mounted volume, and a copy of its whole image taken in it.
//!
//! A process that freezes a file system and dies leaves everybody who writes it waiting. So a watchdog of its own freezes and thaws: a shell whose
//! standard input is a pipe of the holder's. It thaws when a byte comes, when the holder is gone, and when the time is over; signals that end others
//! do not end it. Should it be killed itself, the mark beside the image says so, and [`Volumes::repair`](crate::Volumes::repair) thaws.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::door::{Door, effect};
use crate::durable;
use crate::error::VolumeError;
use crate::id::Id;
use crate::loops;
use crate::mounting::{check_image, let_go, mounted_device, own_mount};
use crate::mounts;
use crate::program::{Tool, run_any};
use crate::volumes::{Lock, Place, Volumes};

/// Longest freeze, seconds: applications wait in `write` for as long, and a health check of theirs should outlast it.
pub const FREEZE_S_MAX: u64 = 10;
/// Code of a watchdog that froze nothing.
const NOT_FROZEN_CODE: i32 = 3;
/// Bytes that are copied at once; in between a copy that is too late ends.
const PIECE_BYTES: usize = 4 << 20;
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

    /// Copies the image of a volume to a new file, as of one moment and without its holes: a whole file system that mounts elsewhere. The blocks are its own,
    /// also where the host could share them: a write to a shared block takes a new one of the host, which nobody has reserved (X-60). A copy that takes longer
    /// than a freeze may last ends with it; unmount such a volume first.
    ///
    /// # Errors
    /// The image is wrong, the file is there already, somebody uses the volume where this process does not see it, there is no room, or the time was over;
    /// then there is no such file.
    pub fn copy_image(&self, id: Id, to: &Path, door: Door<'_>) -> Result<(), VolumeError> {
        let (lock, place) = self.lock(id)?;
        let is_mounted = own_mount(&place)?.is_some();
        check_image(&place, &place.record()?)?;
        if !is_mounted && !let_go(&place, door)?.is_empty() {
            let devices = loops::of(&place.image)?;
            let holders = devices.iter().flat_map(|device| mounts::holders(&device.number)).collect();
            return Err(VolumeError::Busy { id, holders });
        }
        if to.symlink_metadata().is_ok() {
            return Err(VolumeError::io("making", to)(io::ErrorKind::AlreadyExists.into()));
        }
        let new = durable::beside(to);
        let copied = copy_to(place, lock, is_mounted, &new, door);
        let copied = copied.and_then(|()| effect(door, "name copy", || durable::rename(&new, to)));
        if copied.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        copied
    }
}

/// Copies an image to a file that nobody looks at yet, durable, while its file system is frozen, if it is mounted.
fn copy_to(place: Place, lock: Lock, is_mounted: bool, new: &Path, door: Door<'_>) -> Result<(), VolumeError> {
    let source = File::open(&place.image).map_err(VolumeError::io("opening", &place.image))?;
    let made = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(new);
    let target = made.map_err(VolumeError::io("making", new))?;
    let (mut frozen, _lock) = match is_mounted {
        true => (Some(freeze(place, lock, door)?), None),
        false => (None, Some(lock)),
    };
    let copied = effect(door, "copy image", || {
        let goes_on = || frozen.as_mut().is_none_or(|frozen| !frozen.is_over());
        copy_whole(&source, &target, goes_on).map_err(VolumeError::io("copying to", new))
    });
    // A copy that was too late is one of two moments: the watchdog's word counts.
    frozen.map_or(Ok(()), Frozen::thaw)?;
    copied?;
    target.sync_all().map_err(VolumeError::io("syncing", new))
}

/// Copies the parts of a file that hold data by reading and writing them, as long as it may go on. The kernel's own ways share blocks where they can.
fn copy_whole(source: &File, target: &File, mut goes_on: impl FnMut() -> bool) -> io::Result<()> {
    let size = source.metadata()?.len();
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < size {
        at = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(at))?.min(size);
        while at < end {
            if !goes_on() {
                return Ok(());
            }
            let length = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            source.read_exact_at(&mut piece[..length], at)?;
            target.write_all_at(&piece[..length], at)?;
            at += length as u64;
        }
    }
    target.set_len(size)
}

fn freeze(place: Place, lock: Lock, door: Door<'_>) -> Result<Frozen, VolumeError> {
    mounted_device(&place)?;
    let program = Tool::Fsfreeze.path()?;
    effect(door, "mark freeze", || durable::write(&place.freezing(), b""))?;
    let mut may_be_frozen = false;
    let started = effect(door, "freeze", || {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG, "volume-watchdog"]).arg(&program).arg(&place.mount).arg(FREEZE_S_MAX.to_string());
        // A group of its own: what ends the holder from a terminal does not reach it. Nothing of it lies on the frozen file system.
        command.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut watchdog = command.spawn().map_err(VolumeError::io("starting", "/bin/sh"))?;
        may_be_frozen = true;
        let words = watchdog.stdout.take().map(BufReader::new);
        let mut words = words.ok_or_else(|| failed(&place, "no word from the watchdog".to_string()))?;
        match word(&mut words).as_str() {
            "frozen" => Ok((watchdog, words)),
            _ => {
                let ended = watchdog.wait();
                may_be_frozen = !ended.is_ok_and(|ended| ended.code() == Some(NOT_FROZEN_CODE));
                let said = watchdog.stderr.take().and_then(|errors| io::read_to_string(errors).ok());
                Err(failed(&place, said.unwrap_or_default().trim().to_string()))
            }
        }
    });
    let (watchdog, words) = match started {
        Ok(started) => started,
        Err(error) => {
            // One that would not freeze may be frozen by somebody else, who thaws it.
            let _ = if may_be_frozen { thaw(&place) } else { durable::remove(&place.freezing()) };
            return Err(error);
        }
    };
    Ok(Frozen { place, watchdog, words, _lock: lock })
}

fn failed(place: &Place, words: String) -> VolumeError {
    let status = format!("{} was not frozen", place.mount.display());
    VolumeError::Program { program: "fsfreeze".to_string(), status, words }
}

fn word(words: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    let _ = words.read_line(&mut line);
    line.trim().to_string()
}

impl Frozen {
    /// Returns true where the watchdog has ended the freeze.
    fn is_over(&mut self) -> bool {
        !matches!(self.watchdog.try_wait(), Ok(None))
    }

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
