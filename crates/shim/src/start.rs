//! Start of a shim that outlives whoever starts it.
//!
//! `openmesh-shim CONFIG` starts `openmesh-shim serve CONFIG` in a session of its own, waits for the word that it serves, and ends: so the shim
//! has no parent that could take it along, no terminal, and none of the agent's standard streams.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// Longest word of a starting shim, bytes: an error with paths.
const WORD_BYTES_MAX: u64 = 64 << 10;

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
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o755).open(&beside)?;
    file.write_all(program)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, &path)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(path)
}

/// Starts a shim, as an agent does, and returns its process number and socket once it serves.
///
/// # Errors
/// It cannot be run, or it said why it cannot serve.
pub fn start(program: &Path, config: &Path) -> Result<(u32, PathBuf), StartError> {
    listen(program, &[config.as_os_str()], true)
}

/// Starts the serving process, as the short-lived one does.
///
/// # Errors
/// As [`start`].
pub fn serve_apart(program: &Path, config: &Path) -> Result<(u32, PathBuf), StartError> {
    listen(program, &["serve".as_ref(), config.as_os_str()], false)
}

/// Runs a program and takes its word; a short-lived one is waited for.
fn listen(program: &Path, arguments: &[&std::ffi::OsStr], wait: bool) -> Result<(u32, PathBuf), StartError> {
    let failed = |cause| StartError::Program { program: program.into(), cause };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    let mut line = Vec::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output.take(WORD_BYTES_MAX)).read_until(b'\n', &mut line).map_err(failed)?;
    }
    let word = serde_json::from_slice(&line);
    if wait || !matches!(word, Ok(Word::Ready { .. })) {
        child.wait().map_err(failed)?;
    }
    match word {
        Ok(Word::Ready { pid, socket }) => Ok((pid, socket)),
        Ok(Word::Failed { text, held }) => Err(StartError::Failed { text, held }),
        Err(_) => Err(StartError::Silent),
    }
}
