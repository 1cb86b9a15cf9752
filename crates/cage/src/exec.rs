//! Processes beside the first one of a running instance (X-90 to X-92): the command that makes one, and the frames that go between it and whoever asks.
//!
//! The process is made by `openmesh-cage-helper exec`, which stays beside it on the host and ends it when its own standard input ends: so no process
//! outlives whoever asked for it, however that one ended. A caller with a runtime of its own runs [`command`] and speaks [`Word`]s and [`Said`]s; [`run`] does
//! it for one that waits.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;

use crate::cgroup::Group;
use crate::driver::{Container, Driver, PATH, limited};

/// Longest payload of a frame, bytes: what a pipe holds. The helper has the same number.
pub const FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes before a payload: a kind, and a length in network order.
const HEAD_BYTES: usize = 5;
/// Most that [`run`] keeps of what a process says, bytes: its last words.
pub const SAID_BYTES_MAX: usize = 8 << 10;

/// A process that was not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The helper's program cannot be run.
    #[error("{program} cannot be run: {cause}")]
    Program {
        /// Its path.
        program: String,
        /// The system's word.
        cause: io::Error,
    },
    /// The request cannot be passed to a program.
    #[error("{0}")]
    Request(String),
    /// It was not started.
    #[error("nothing was run: {0}")]
    Refused(String),
    /// It has not ended in time, and was killed.
    #[error("it has not ended within {ms} ms, and was killed")]
    Late {
        /// Time given, milliseconds.
        ms: u128,
    },
    /// The helper has ended without telling how the process did.
    #[error("the helper ended without a word on how the process did")]
    Broken,
}

/// Size of a terminal, characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A process that is asked for. User, capabilities, filter and limits are those of the bundle and cannot be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables beside those of the bundle.
    pub variables: BTreeMap<String, String>,
    /// Working directory; the bundle's without one.
    pub folder: Option<String>,
    /// Its terminal; none without one.
    pub terminal: Option<Window>,
}

/// The request as the helper reads it.
#[derive(Serialize)]
struct Written<'a> {
    command: &'a [String],
    environment: Vec<String>,
    folder: Option<&'a str>,
    terminal: Option<[u16; 2]>,
}

impl Request {
    fn written(&self) -> Vec<u8> {
        let written = Written {
            command: &self.command,
            environment: self.variables.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            folder: self.folder.as_deref(),
            terminal: self.terminal.map(|window| [window.columns, window.rows]),
        };
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Checks it.
    ///
    /// # Errors
    /// It holds what cannot be passed to a program, or is too long.
    pub fn check(&self) -> Result<(), ExecError> {
        let wrong = |words: &str| Err(ExecError::Request(words.into()));
        if self.command.first().is_none_or(String::is_empty) {
            return wrong("the command is empty: name a program of the application");
        }
        let texts = self.command.iter().chain(self.variables.values()).chain(&self.folder);
        if texts.chain(self.variables.keys()).any(|text| text.contains('\0')) {
            return wrong("a NUL byte cannot be passed to a program");
        }
        if self.variables.keys().any(|name| name.is_empty() || name.contains('=')) {
            return wrong("the name of a variable is not empty and has no `=`");
        }
        if self.folder.as_ref().is_some_and(|folder| !folder.starts_with('/')) {
            return wrong("the working directory has to begin with /");
        }
        if self.written().len() > FRAME_BYTES_MAX {
            return wrong("command and variables are too long: 64 KiB are passed on; put more into a file");
        }
        Ok(())
    }
}

/// A word to a process' helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The first word.
    Begin(Request),
    /// Input.
    Input(Vec<u8>),
    /// No more input.
    EndOfInput,
    /// The terminal has another size.
    Window(Window),
    /// A signal by its number.
    Signal(u8),
}

impl Word {
    /// Its frames. Input that is longer than a frame becomes several.
    pub fn frames(&self) -> Vec<u8> {
        match self {
            Word::Begin(request) => frame(0, &request.written()),
            Word::Input(bytes) => bytes.chunks(FRAME_BYTES_MAX).flat_map(|part| frame(1, part)).collect(),
            Word::EndOfInput => frame(2, &[]),
            Word::Window(window) => {
                let ([a, b], [c, d]) = (window.columns.to_be_bytes(), window.rows.to_be_bytes());
                frame(3, &[a, b, c, d])
            }
            Word::Signal(number) => frame(4, &[*number]),
        }
    }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let head = [kind].into_iter().chain(length.to_be_bytes());
    head.chain(payload.iter().copied()).collect()
}

/// A word of a process' helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has started; its number on the host.
    Started(u32),
    /// Output; all of it where there is a terminal.
    Output(Vec<u8>),
    /// Error output.
    Error(Vec<u8>),
    /// It has ended, with its code: 128 and the signal's number where one ended it, 127 where there is no such program, 126 where it cannot be run, 125 where
    /// the process could not be made.
    Ended(i32),
    /// It was not started, with the reason.
    Refused(String),
}

/// Bytes of a helper, of which words are taken as they become whole.
#[derive(Debug, Default)]
pub struct Hearing {
    bytes: Vec<u8>,
}

impl Hearing {
    /// Adds bytes that have come.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole word; none where more has to come. Words of unknown kinds are passed over.
    ///
    /// # Errors
    /// A length beyond [`FRAME_BYTES_MAX`]: these are no frames.
    pub fn take(&mut self) -> io::Result<Option<Said>> {
        loop {
            let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
            let [kind, a, b, c, d] = *head;
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            if length > FRAME_BYTES_MAX {
                return Err(io::Error::other(format!(
                    "a frame of {length} bytes, at most {FRAME_BYTES_MAX} are taken"
                )));
            }
            let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
            self.bytes.drain(..HEAD_BYTES + length);
            let four = || <[u8; 4]>::try_from(payload.as_slice()).unwrap_or_default();
            match kind {
                0x11 => return Ok(Some(Said::Output(payload))),
                0x12 => return Ok(Some(Said::Error(payload))),
                0x13 => return Ok(Some(Said::Ended(i32::from_be_bytes(four())))),
                0x14 => return Ok(Some(Said::Refused(String::from_utf8_lossy(&payload).into_owned()))),
                0x15 => return Ok(Some(Said::Started(u32::from_be_bytes(four())))),
                _ => {}
            }
        }
    }
}

/// First process of an instance, as its shim tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Its number.
    pub pid: u32,
    /// Its start in clock ticks, which tells it from another one with its number.
    pub start_ticks: u64,
}

/// Command of the helper for a process in a running instance: it reads [`Word`]s from its standard input and says [`Said`]s on its standard output.
pub fn command(helper: &Path, driver: &dyn Driver, container: &Container, group: &Group, first: First) -> Vec<String> {
    let mut command = vec![helper.display().to_string(), "exec".into()];
    command.extend(["--bundle".into(), container.bundle.display().to_string()]);
    command.extend(["--pid".into(), first.pid.to_string(), "--start".into(), first.start_ticks.to_string()]);
    for file in group.member_files() {
        command.extend(["--group".into(), file.display().to_string()]);
    }
    command.extend(driver.beside(container));
    limited(command)
}

/// A process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its code (see [`Said::Ended`]).
    pub code: i32,
    /// The last that it said, both outputs together.
    pub said: String,
}

/// Runs a process without input to its end, within one deadline for everything.
///
/// # Errors
/// See [`ExecError`]; the process has ended or is being ended then.
pub fn run(command: &[String], request: &Request, limit: Duration) -> Result<Finished, ExecError> {
    request.check()?;
    let until = Instant::now() + limit;
    let program = command.first().cloned().unwrap_or_default();
    let failed = |cause| ExecError::Program { program: program.clone(), cause };
    let mut child = Command::new(&program)
        .args(command.iter().skip(1))
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut words = Word::Begin(request.clone()).frames();
    words.extend(Word::EndOfInput.frames());
    // The pipe stays open as long as the process is wanted.
    let mut input = child.stdin.take();
    let asked = input.as_mut().map_or(Ok(()), |pipe| pipe.write_all(&words)).map_err(failed);
    let finished = match (asked, child.stdout.take()) {
        (Ok(()), Some(output)) => hear(output, until, limit),
        (Err(error), _) => Err(error),
        (Ok(()), None) => Err(ExecError::Broken),
    };
    drop(input);
    match &finished {
        // It ends the process first, which can take a moment longer than whoever waits here has.
        Err(ExecError::Late { .. }) => reap_apart(child),
        _ => drop(child.wait()),
    }
    finished
}

fn reap_apart(mut child: Child) {
    std::thread::spawn(move || drop(child.wait()));
}

/// Hears until the process has ended, or the deadline has passed.
fn hear(mut output: ChildStdout, until: Instant, limit: Duration) -> Result<Finished, ExecError> {
    let (mut hearing, mut said, mut part) = (Hearing::default(), Vec::new(), vec![0; FRAME_BYTES_MAX]);
    loop {
        while let Some(word) = hearing.take().map_err(|_| ExecError::Broken)? {
            match word {
                Said::Output(bytes) | Said::Error(bytes) => {
                    said.extend(bytes);
                    said.drain(..said.len().saturating_sub(SAID_BYTES_MAX));
                }
                Said::Ended(code) => {
                    return Ok(Finished { code, said: String::from_utf8_lossy(&said).into_owned() });
                }
                Said::Refused(words) => return Err(ExecError::Refused(words)),
                Said::Started(_) => {}
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ExecError::Late { ms: limit.as_millis() });
        }
        let time = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        let mut found = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
        match poll(&mut found, Some(&time)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return Err(ExecError::Broken),
        }
        match output.read(&mut part) {
            Ok(0) => return Err(ExecError::Broken),
            Ok(count) => hearing.add(part.get(..count).unwrap_or_default()),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(ExecError::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_checked_before_it_is_sent() {
        let good = Request { command: vec!["ls".into()], ..Request::default() };
        good.check().unwrap();
        let wrong: [fn(&mut Request); 6] = [
            |request| request.command.clear(),
            |request| request.command = vec![String::new()],
            |request| request.command.push("a\0b".into()),
            |request| request.folder = Some("tmp".into()),
            |request| drop(request.variables.insert("A=B".into(), "c".into())),
            |request| request.command.push("x".repeat(FRAME_BYTES_MAX)),
        ];
        for spoil in wrong {
            let mut request = good.clone();
            spoil(&mut request);
            assert!(matches!(request.check(), Err(ExecError::Request(_))), "{request:?}");
        }
    }

    #[test]
    fn words_have_the_form_that_the_helper_reads() {
        let window = Window { columns: 80, rows: 24 };
        assert_eq!(Word::Window(window).frames(), [3, 0, 0, 0, 4, 0, 80, 0, 24]);
        assert_eq!(Word::Signal(15).frames(), [4, 0, 0, 0, 1, 15]);
        assert_eq!(Word::EndOfInput.frames(), [2, 0, 0, 0, 0]);
        let request = Request { command: vec!["ls".into()], terminal: Some(window), ..Request::default() };
        let bytes = Word::Begin(request).frames();
        let text = String::from_utf8_lossy(&bytes[HEAD_BYTES..]).into_owned();
        assert_eq!(text, r#"{"command":["ls"],"environment":[],"folder":null,"terminal":[80,24]}"#);
        assert_eq!(Word::Input(vec![0; FRAME_BYTES_MAX + 1]).frames().len(), FRAME_BYTES_MAX + 1 + 2 * HEAD_BYTES);
    }

    proptest! {
        #[test]
        fn words_come_whole_whatever_the_pieces(
            said in prop::collection::vec((0x11_u8..=0x12, prop::collection::vec(any::<u8>(), 0..100)), 0..10),
            size in 1_usize..40,
        ) {
            let bytes: Vec<u8> = said.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
            let (mut hearing, mut found) = (Hearing::default(), Vec::new());
            for piece in bytes.chunks(size) {
                hearing.add(piece);
                while let Some(word) = hearing.take().unwrap() {
                    found.push(word);
                }
            }
            let wanted: Vec<Said> = said
                .into_iter()
                .map(|(kind, payload)| if kind == 0x11 { Said::Output(payload) } else { Said::Error(payload) })
                .collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn no_bytes_make_hearing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut hearing = Hearing::default();
            hearing.add(&bytes);
            while let Ok(Some(_)) = hearing.take() {}
        }
    }
}
