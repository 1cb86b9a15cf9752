//! Programs of e2fsprogs, xfsprogs and util-linux, found once and run with a limit of time and output.
//!
//! The ioctls of loop devices and of freezing have no safe form in the crates at hand, and a file system is made and checked best by its
//! own tools, which every distribution has. Mounting needs none: it is a system call with a safe form.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use crate::error::VolumeError;

/// Longest run of a program that does the same work for a file system of any size.
const PROGRAM_TIME_MAX: Duration = Duration::from_secs(600);
/// Bytes of a program's output that are kept: the last lines of a checker say what matters.
const OUTPUT_BYTES_MAX: usize = 4 << 10;
/// Folders in which programs of a system are, also where `PATH` has only those of users.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    MkfsXfs,
    XfsGrow,
    MkfsExt4,
    Resize2fs,
    E2fsck,
    Losetup,
    Fsfreeze,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::MkfsXfs => "mkfs.xfs",
            Tool::XfsGrow => "xfs_growfs",
            Tool::MkfsExt4 => "mkfs.ext4",
            Tool::Resize2fs => "resize2fs",
            Tool::E2fsck => "e2fsck",
            Tool::Losetup => "losetup",
            Tool::Fsfreeze => "fsfreeze",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Tool::MkfsXfs | Tool::XfsGrow => "xfsprogs",
            Tool::MkfsExt4 | Tool::Resize2fs | Tool::E2fsck => "e2fsprogs",
            Tool::Losetup | Tool::Fsfreeze => "util-linux",
        }
    }

    /// Longest run. Those that read or write every table of a file system have none: 16 TiB take hours, and one that is killed in the middle has changed half.
    fn time_max(self) -> Option<Duration> {
        match self {
            Tool::E2fsck | Tool::Resize2fs | Tool::MkfsExt4 => None,
            Tool::MkfsXfs | Tool::XfsGrow | Tool::Losetup | Tool::Fsfreeze => Some(PROGRAM_TIME_MAX),
        }
    }

    /// Its path; none where it is not installed.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        let mut files = folders.chain(SYSTEM_FOLDERS.map(PathBuf::from)).map(|folder| folder.join(self.name()));
        files.find(|file| file.is_file())
    }

    /// Its path.
    pub(crate) fn path(self) -> Result<PathBuf, VolumeError> {
        self.find().ok_or(VolumeError::ProgramMissing { program: self.name(), package: self.package() })
    }
}

/// End of a program.
pub(crate) struct Ended {
    /// Its code; none after a signal.
    pub code: Option<i32>,
    /// The end of what it said on both streams.
    pub words: String,
}

/// Runs a program to its end and takes any code but 0 as a failure.
pub(crate) fn run(tool: Tool, arguments: &[&OsStr]) -> Result<Ended, VolumeError> {
    let ended = run_any(tool, arguments)?;
    match ended.code {
        Some(0) => Ok(ended),
        code => Err(failure(tool, code, ended.words)),
    }
}

/// Makes the error of a program that ended badly.
pub(crate) fn failure(tool: Tool, code: Option<i32>, words: String) -> VolumeError {
    let status = code.map_or("killed".to_string(), |code| format!("code {code}"));
    VolumeError::Program { program: tool.name().to_string(), status, words }
}

/// Runs a program to its end.
pub(crate) fn run_any(tool: Tool, arguments: &[&OsStr]) -> Result<Ended, VolumeError> {
    let path = tool.path()?;
    let mut command = Command::new(&path);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(VolumeError::io("starting", &path))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (in_time, output, errors) = std::thread::scope(|scope| {
        let output = scope.spawn(|| last_of(output));
        let errors = scope.spawn(|| last_of(errors));
        let in_time = ends_within(&mut child, tool.time_max(), &path);
        (in_time, output.join().unwrap_or_default(), errors.join().unwrap_or_default())
    });
    let status = child.wait().map_err(VolumeError::io("waiting for", &path))?;
    if !in_time? {
        let words = format!("not done within {} s, and killed", PROGRAM_TIME_MAX.as_secs());
        return Err(failure(tool, None, words));
    }
    let words = format!("{output}{errors}").split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Ended { code: status.code(), words })
}

/// Waits for the end of a child, and kills it where that does not come in time, if there is one. Returns true where it came by itself.
fn ends_within(child: &mut Child, limit: Option<Duration>, path: &Path) -> Result<bool, VolumeError> {
    let waited = (|| {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let limit = limit.map(|limit| Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: 0 });
        loop {
            match rustix::event::poll(&mut [PollFd::new(&handle, PollFlags::IN)], limit.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok::<bool, io::Error>(other? > 0),
            }
        }
    })();
    if !matches!(waited, Ok(true)) {
        let _ = child.kill();
    }
    waited.map_err(VolumeError::io("waiting for", path))
}

/// Reads a stream to its end and keeps its last bytes.
fn last_of(stream: Option<impl Read>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let mut part = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut part) {
        kept.extend_from_slice(&part[..read]);
        let over = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_program_code_and_words() {
        let error = run(Tool::MkfsExt4, &["/nowhere/image".as_ref()]).err().map(|error| error.to_string()).unwrap();
        assert!(error.starts_with("mkfs.ext4 failed (code 1): "), "{error}");
        assert!(error.contains("/nowhere/image"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        assert!(!ends_within(&mut child, Some(Duration::ZERO), Path::new("sleep")).unwrap());
        child.wait().unwrap();
        let mut child = Command::new("/bin/true").spawn().unwrap();
        assert!(ends_within(&mut child, None, Path::new("true")).unwrap());
        child.wait().unwrap();
        assert_eq!(Tool::E2fsck.time_max(), None, "a checker that is killed leaves half of its work");
    }

    #[test]
    fn only_the_end_of_an_endless_output_is_kept() {
        let kept = last_of(Some(io::repeat(b'x').take(1 << 20).chain(&b"the end"[..])));
        assert_eq!(kept.len(), OUTPUT_BYTES_MAX);
        assert!(kept.ends_with("the end"));
    }
}
