//! One test as a process, which ends in any case.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::clean;

/// Word before the reason for which a test does nothing.
const SKIPPED: &str = "skipped: ";
/// Beginning of the last line of a test program.
const SUMMARY: &str = "test result: ";

/// Outcome of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It found nothing wrong.
    Passed,
    /// It did nothing, for this reason.
    Skipped(String),
    /// It found something.
    Failed,
    /// The program ended without a word on it.
    Crashed(String),
    /// The program has no such test.
    Absent,
    /// It did not end in its time.
    TimedOut,
}

/// A test that was run.
pub struct Ran {
    /// Its outcome.
    pub outcome: Outcome,
    /// Everything that it said.
    pub output: String,
    /// Its time.
    pub took: Duration,
    /// Things that it left behind, in words; they are gone.
    pub left: Vec<String>,
}

/// A folder for what a test makes, as short as that of the system: sockets lie below it, whose paths have 108 bytes.
struct Room(PathBuf);

impl Room {
    fn make() -> io::Result<Room> {
        use std::os::unix::fs::PermissionsExt as _;
        let room = Room(std::env::temp_dir().join(format!("mutants-{}", std::process::id())));
        std::fs::create_dir_all(&room.0)?;
        // Users of instances pass through it, as through the system's.
        std::fs::set_permissions(&room.0, std::fs::Permissions::from_mode(0o1777))?;
        Ok(room)
    }
}

/// Runs one test of a program, in the folder of its crate, and takes away what it has left. `command` is the program with its variables.
///
/// # Errors
/// The system's word; not that of the test.
pub fn run(mut command: Command, folder: &Path, name: &str, limit: Duration) -> io::Result<Ran> {
    let room = Room::make()?;
    let said = room.0.join("output");
    let output = File::create(&said)?;
    let begun = Instant::now();
    command
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .current_dir(folder)
        .env("CARGO_MANIFEST_DIR", folder)
        .env("TMPDIR", &room.0)
        .env(clean::MARK, clean::mark())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let mut child = command.spawn()?;
    // The command holds the file open.
    drop(command);
    let pid = child.id();
    let (ended, ends) = mpsc::channel();
    let waits = std::thread::spawn(move || drop(ended.send(child.wait())));
    let status = ends.recv_timeout(limit).ok();
    let took = begun.elapsed();
    let left = clean::clean(&room.0, pid);
    // By now it has ended, by itself or not.
    drop(waits.join());
    let output = String::from_utf8_lossy(&std::fs::read(&said)?).into_owned();
    clean::remove(&room.0)?;
    let outcome = match status {
        Some(status) => outcome(status?, &output),
        None => Outcome::TimedOut,
    };
    Ok(Ran { outcome, output, took, left })
}

fn outcome(status: ExitStatus, output: &str) -> Outcome {
    match summary(output) {
        Some((1, 0)) if status.success() => match output.split(SKIPPED).nth(1) {
            Some(rest) => Outcome::Skipped(rest.lines().next().unwrap_or_default().to_string()),
            None => Outcome::Passed,
        },
        Some((0, 1)) if !status.success() => Outcome::Failed,
        Some((0, 0)) if status.success() => Outcome::Absent,
        _ => Outcome::Crashed(status.to_string()),
    }
}

/// Numbers of the tests that passed and that failed, in the last words of a test program.
pub fn summary(output: &str) -> Option<(u32, u32)> {
    let line = output.lines().rev().find_map(|line| line.strip_prefix(SUMMARY))?;
    let number = |word: &str| line.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word)?.parse().ok());
    Some((number(" passed")?, number(" failed")?))
}
