//! Start of a shim that outlives whoever starts it.
//!
//! `openmesh-shim CONFIG` starts `openmesh-shim serve CONFIG` in a session of its own, waits for the word that it serves, and ends: so the shim
//! has no parent that could take it along, no terminal, and none of the agent's standard streams.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use crate::process::wait_ready;

/// Longest word of a starting shim, bytes: an error with paths.
const WORD_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read of it at once.
const READ_BYTES: usize = 4 << 10;
/// Time for a shim to serve, milliseconds: an earlier one's orphan has ten seconds to end, and the log is looked through, on a busy machine.
const START_MS_MAX: u64 = 60_000;
/// Time that a process may take to end after its word, or after the one that it has waited for, milliseconds.
const END_MS_MAX: u64 = 10_000;

/// First and only line that a starting shim writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It serves.
    Ready {
        /// Number of its process.
        pid: u32,
        /// Its socket.
        socket: PathBuf,
    },
    /// It cannot.
    Failed {
        /// Reason.
        text: String,
        /// Another shim serves the instance.
        held: bool,
    },
}

/// Shim that did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be run.
    #[error("the shim {program} cannot be run: {cause}")]
    Program {
        /// Its path.
        program: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// It said nothing for too long and was killed.
    #[error("the shim {program} did not serve within {ms} ms and was killed")]
    Late {
        /// Its path.
        program: PathBuf,
        /// Time given, milliseconds.
        ms: u64,
    },
    /// It ended without a word.
    #[error("the shim ended before it served, without a word")]
    Silent,
    /// It said why.
    #[error("{text}")]
    Failed {
        /// Reason.
        text: String,
        /// Another shim serves the instance: connect to that one.
        held: bool,
    },
}

/// Writes the program into a folder under a name with its version, whole or not at all, and returns its path. Shims that run keep the file that
/// they were started from.
///
/// # Errors
/// The system's word.
pub fn install(program: &[u8], folder: &Path) -> std::io::Result<PathBuf> {
    let path = folder.join(format!("openmesh-shim-{}", env!("CARGO_PKG_VERSION")));
    if std::fs::read(&path).is_ok_and(|present| present == program) {
        return Ok(path);
    }
    std::fs::create_dir_all(folder)?;
    // Versions have dots: an extension that is replaced would be shared by some of them.
    let beside = folder.join(format!("openmesh-shim-{}.new", env!("CARGO_PKG_VERSION")));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o755).open(&beside)?;
    file.write_all(program)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, &path)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(path)
}

/// Closes what whoever started this program has left open beyond the three standard streams: it would be held as long as this process lives, as a lock of
/// a script, or a pipe whose reader waits for its end. For the beginning of a program, before anything of its own is open.
///
/// # Errors
/// The list of what is open cannot be read.
pub fn close_inherited() -> std::io::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd")?.flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // That of the list itself is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Starts a shim, as an agent does, and returns its process number and socket once it serves.
///
/// # Errors
/// It cannot be run, or it said why it cannot serve.
pub fn start(program: &Path, config: &Path) -> Result<(u32, PathBuf), StartError> {
    listen(program, &[config.as_os_str()], true, START_MS_MAX + END_MS_MAX)
}

/// Starts the serving process, as the short-lived one does.
///
/// # Errors
/// As [`start`].
pub fn serve_apart(program: &Path, config: &Path) -> Result<(u32, PathBuf), StartError> {
    listen(program, &["serve".as_ref(), config.as_os_str()], false, START_MS_MAX)
}

/// Runs a program and takes its word; a short-lived one is waited for.
fn listen(
    program: &Path,
    arguments: &[&std::ffi::OsStr],
    wait: bool,
    ms_max: u64,
) -> Result<(u32, PathBuf), StartError> {
    let failed = |cause| StartError::Program { program: program.into(), cause };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let Some(line) = first_line(&mut child, ms_max).map_err(failed)? else {
        child.kill().and_then(|()| child.wait()).map_err(failed)?;
        return Err(StartError::Late { program: program.into(), ms: ms_max });
    };
    let word = serde_json::from_slice(&line);
    if wait || !matches!(word, Ok(Word::Ready { .. })) {
        end(&mut child).map_err(failed)?;
    }
    match word {
        Ok(Word::Ready { pid, socket }) => Ok((pid, socket)),
        Ok(Word::Failed { text, held }) => Err(StartError::Failed { text, held }),
        Err(_) => Err(StartError::Silent),
    }
}

/// Reads the first line of a program, or what it says before its end; none where the time is over before.
fn first_line(child: &mut Child, ms_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let until = Instant::now() + Duration::from_millis(ms_max);
    let mut line = Vec::new();
    let Some(mut output) = child.stdout.take() else { return Ok(Some(line)) };
    let mut piece = [0; READ_BYTES];
    while !line.ends_with(b"\n") && line.len() < WORD_BYTES_MAX {
        let left = until.saturating_duration_since(Instant::now());
        if !wait_ready(&output, u64::try_from(left.as_millis()).unwrap_or(ms_max))? {
            return Ok(None);
        }
        match output.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => line.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(line))
}

/// Waits for a program that has said its word; one that does not end is killed.
fn end(child: &mut Child) -> std::io::Result<()> {
    let handle = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    if !wait_ready(&handle, END_MS_MAX)? {
        child.kill()?;
    }
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_that_says_nothing_is_killed_and_named() {
        let silent = listen(Path::new("/bin/sleep"), &["1000".as_ref()], false, 50).unwrap_err();
        assert_eq!(silent.to_string(), "the shim /bin/sleep did not serve within 50 ms and was killed");
        let word = listen(Path::new("/bin/echo"), &["no word".as_ref()], true, 60_000).unwrap_err();
        assert!(matches!(word, StartError::Silent), "{word}");
    }
}
