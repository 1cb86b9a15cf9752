//! Drivers: programs that make containers of bundles. Two, behind one trait of what differs between them: words of their command lines.
//!
//! Both are used in one of two ways. Below a shim, [`commands`] are its helpers: it runs them, owns the first process and deletes after every run.
//! Directly, [`create`], [`start`], [`kill`], [`delete`] and [`state`] run them and wait; then the caller is the parent of the first process, if it is
//! a subreaper (runc) or always (libcontainer). It gets a second child from libcontainer, which has ended already and counts as a process of the group until
//! it is reaped.
//!
//! Every verb can be repeated: `delete` of what is not there succeeds, and a death in the middle of `create` leaves what `delete` removes.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde::Deserialize;

use crate::bundle::OPEN_FILES_MAX;
use crate::program::finish;
use crate::system::program;
use crate::{Door, through};

mod libcontainer;
mod runc;

pub use libcontainer::Libcontainer;
pub use runc::Runc;

/// Time for one verb, milliseconds: a cold disk and a busy machine, many times over.
pub const VERB_MS_MAX: u64 = 120_000;
/// Most that is read of what a driver says, bytes: one state or one error.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Program of util-linux that runs another one with limits.
const PRLIMIT: &str = "prlimit";
/// Its usual place, which is named where it is nowhere: the error says it.
const PRLIMIT_USUAL: &str = "/usr/bin/prlimit";
/// Search path of drivers, which name their own program absolutely.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container that is not as it was to become.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The driver's program cannot be run.
    #[error("{program} cannot be run: {cause}")]
    Program {
        /// Its path.
        program: String,
        /// The system's word.
        cause: io::Error,
    },
    /// The driver refused.
    #[error("{driver} {verb} {container} has failed ({status}): {text}")]
    Refused {
        /// Driver.
        driver: &'static str,
        /// Verb.
        verb: &'static str,
        /// Container.
        container: String,
        /// End of the program.
        status: ExitStatus,
        /// Its last words.
        text: String,
    },
    /// The driver took too long and was killed.
    #[error("{driver} {verb} {container} did not end within {ms} ms and was killed")]
    Late {
        /// Driver.
        driver: &'static str,
        /// Verb.
        verb: &'static str,
        /// Container.
        container: String,
        /// Time given, milliseconds.
        ms: u64,
    },
    /// A file is not there or not of its form.
    #[error("{path}: {text}")]
    File {
        /// Its path.
        path: PathBuf,
        /// The problem.
        text: String,
    },
}

/// Paths of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Name, with the agent's own in it.
    pub id: String,
    /// Folder of its bundle.
    pub bundle: PathBuf,
    /// File in which `create` leaves the number of the first process.
    pub pid_file: PathBuf,
    /// File in which a driver leaves its last error.
    pub log: PathBuf,
}

/// Something to do with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Make it: the first process is there and waits.
    Create,
    /// Let the first process run the application.
    Start,
    /// Send a signal to the first process.
    Kill(i32),
    /// End and remove it.
    Delete,
    /// Tell its state.
    State,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Start => "start",
            Verb::Kill(_) => "kill",
            Verb::Delete => "delete",
            Verb::State => "state",
        }
    }
}

/// A program that makes containers.
pub trait Driver {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// Its command for a verb.
    fn command(&self, verb: Verb, container: &Container) -> Vec<String>;

    /// Error in what it left in [`Container::log`].
    fn error(&self, log: &str) -> String;

    /// Returns true where it keeps a container of this name.
    fn keeps(&self, container: &Container) -> bool;

    /// Returns true where it loads the program by which a group of control groups v2 keeps devices away. With v1 that is done by files.
    fn filters_devices(&self) -> bool {
        true
    }

    /// Words by which `openmesh-cage-helper exec` lets this driver make a process beside the first one; none where the helper makes it itself.
    fn beside(&self, _container: &Container) -> Vec<String> {
        Vec::new()
    }
}

/// Commands of a container for its shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Makes it.
    pub create: Vec<String>,
    /// Starts it.
    pub start: Vec<String>,
    /// Removes it.
    pub delete: Vec<String>,
}

/// Commands of a container for its shim, which calls `delete` once more than needed.
pub fn commands(driver: &dyn Driver, container: &Container) -> Commands {
    Commands {
        create: limited(driver.command(Verb::Create, container)),
        start: driver.command(Verb::Start, container),
        delete: driver.command(Verb::Delete, container),
    }
}

/// The command that makes a container, run with the limits that its processes inherit: no core dumps, and so many open files. They are not in the bundle because
/// a driver sets those of a bundle from outside, which, in a user namespace of another owner, takes a capability that not every machine gives.
pub(crate) fn limited(command: Vec<String>) -> Vec<String> {
    let open_files = format!("--nofile={OPEN_FILES_MAX}:{OPEN_FILES_MAX}");
    let program = program(PRLIMIT).map_or_else(|| PRLIMIT_USUAL.into(), |path| path.display().to_string());
    [program, "--core=0:0".into(), open_files, "--".into()].into_iter().chain(command).collect()
}

/// State of a container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    /// Its being.
    pub status: Status,
    /// Number of its first process; 0 where it has ended.
    #[serde(default)]
    pub pid: u32,
}

/// Being of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made, or was when its maker died.
    Creating,
    /// Made and not started.
    Created,
    /// Started.
    Running,
    /// Frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

/// Makes a container and answers with the number of its first process, which gets the streams that are given.
///
/// # Errors
/// See [`DriverError`]; [`delete`] removes what is left.
pub fn create(
    driver: &dyn Driver,
    container: &Container,
    output: Stdio,
    error: Stdio,
    door: Door<'_>,
) -> Result<u32, DriverError> {
    run(driver, Verb::Create, container, (output, error), door)?;
    let path = &container.pid_file;
    let wrong = |text: String| DriverError::File { path: path.clone(), text };
    let text = std::fs::read_to_string(path).map_err(|cause| wrong(cause.to_string()))?;
    text.trim().parse().map_err(|_| wrong(format!("{text:?} is no process number")))
}

/// Lets the first process run the application.
///
/// # Errors
/// It is started already, or not there.
pub fn start(driver: &dyn Driver, container: &Container, door: Door<'_>) -> Result<(), DriverError> {
    run(driver, Verb::Start, container, silent(), door)
}

/// Sends a signal to the first process.
///
/// # Errors
/// It is not there.
pub fn kill(driver: &dyn Driver, container: &Container, signal: i32, door: Door<'_>) -> Result<(), DriverError> {
    run(driver, Verb::Kill(signal), container, silent(), door)
}

/// Ends and removes a container, or what is left of one; succeeds where there is nothing.
///
/// # Errors
/// See [`DriverError`].
pub fn delete(driver: &dyn Driver, container: &Container, door: Door<'_>) -> Result<(), DriverError> {
    run(driver, Verb::Delete, container, silent(), door)?;
    let path = &container.pid_file;
    // runc writes a draft beside the file, and refuses to write where one was left by a creation that was killed.
    let draft = path.file_name().map(|name| path.with_file_name(format!(".{}", name.to_string_lossy())));
    for path in [Some(path.clone()), draft].into_iter().flatten() {
        let removed = through(door, "container.pid_file", || match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        });
        removed.map_err(|cause| DriverError::File { path: path.clone(), text: cause.to_string() })?;
    }
    Ok(())
}

/// State of a container; none where there is no such container.
///
/// # Errors
/// See [`DriverError`].
pub fn state(driver: &dyn Driver, container: &Container) -> Result<Option<State>, DriverError> {
    if !driver.keeps(container) {
        return Ok(None);
    }
    let command = driver.command(Verb::State, container);
    let mut child = spawn(&command, container, (Stdio::piped(), Stdio::null()))?;
    let (status, text) = wait(&mut child, driver.name(), Verb::State, container)?;
    if !status.success() {
        return Err(refused(driver, Verb::State, container, status));
    }
    let wrong = |text: String| DriverError::File { path: command[0].clone().into(), text };
    serde_json::from_str(&text).map(Some).map_err(|cause| wrong(format!("{cause} in its state {text:?}")))
}

fn silent() -> (Stdio, Stdio) {
    (Stdio::null(), Stdio::null())
}

fn run(
    driver: &dyn Driver,
    verb: Verb,
    container: &Container,
    streams: (Stdio, Stdio),
    door: Door<'_>,
) -> Result<(), DriverError> {
    let effect = format!("container.{}", verb.word());
    let mut done = Ok(());
    // An old error is not taken for a new one.
    let _ = std::fs::remove_file(&container.log);
    let passed = through(door, &effect, || {
        done = attempt(driver, verb, container, streams);
        Ok(())
    });
    done?;
    passed.map_err(|cause| DriverError::Program { program: format!("{} {}", driver.name(), verb.word()), cause })
}

fn attempt(driver: &dyn Driver, verb: Verb, container: &Container, streams: (Stdio, Stdio)) -> Result<(), DriverError> {
    let command = driver.command(verb, container);
    let command = if verb == Verb::Create { limited(command) } else { command };
    let mut child = spawn(&command, container, streams)?;
    let (status, _) = wait(&mut child, driver.name(), verb, container)?;
    if status.success() { Ok(()) } else { Err(refused(driver, verb, container, status)) }
}

fn spawn(command: &[String], container: &Container, streams: (Stdio, Stdio)) -> Result<Child, DriverError> {
    let program = command.first().cloned().unwrap_or_default();
    let folder: &Path = if container.bundle.is_dir() { &container.bundle } else { Path::new("/") };
    Command::new(&program)
        .args(command.iter().skip(1))
        .current_dir(folder)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(streams.0)
        .stderr(streams.1)
        .spawn()
        .map_err(|cause| DriverError::Program { program, cause })
}

/// Waits for the end of a driver, which is killed after [`VERB_MS_MAX`], and takes what it says.
fn wait(
    child: &mut Child,
    driver: &'static str,
    verb: Verb,
    container: &Container,
) -> Result<(ExitStatus, String), DriverError> {
    let pipe = child.stdout.take();
    let ended = finish(child, pipe, ANSWER_BYTES_MAX, VERB_MS_MAX);
    match ended.map_err(|cause| DriverError::Program { program: driver.into(), cause })? {
        (Some(status), text) => Ok((status, text)),
        (None, _) => {
            Err(DriverError::Late { driver, verb: verb.word(), container: container.id.clone(), ms: VERB_MS_MAX })
        }
    }
}

fn refused(driver: &dyn Driver, verb: Verb, container: &Container, status: ExitStatus) -> DriverError {
    let mut log = String::new();
    match File::open(&container.log).and_then(|file| file.take(ANSWER_BYTES_MAX as u64).read_to_string(&mut log)) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => log = format!("its log cannot be read: {cause}"),
        _ => {}
    }
    let text = match driver.error(&log) {
        text if text.is_empty() => "it said nothing".into(),
        text => text,
    };
    DriverError::Refused { driver: driver.name(), verb: verb.word(), container: container.id.clone(), status, text }
}
