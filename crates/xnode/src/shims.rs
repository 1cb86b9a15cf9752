//! Shims of instances, asked and started.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Restart;
use openmesh_shim::client::{Client, ClientError};
use openmesh_shim::log::{Filter, LogReader, Position, Stream};
use openmesh_shim::protocol::{Action, Cause, State, Status};
use openmesh_shim::restart::RestartPolicy;
use openmesh_shim::state::{Found, look};
use openmesh_shim::{Config, start};

use crate::error::XnodeError;
use crate::{Door, Machine, marks};

/// Patience with the answer of a shim that lives: it answers within a turn of its loop, but for a disk that hangs.
const ANSWER: Duration = Duration::from_secs(5);
/// The same where the whole machine is looked at: one that is stopped by a signal holds up the others for no longer.
const LOOK_ANSWER: Duration = Duration::from_secs(2);
/// Time between two looks at a shim that is about to end or has just begun: its lock says nothing to whoever waits.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Code of an end by a signal is this and its number, as in a shell.
const SIGNAL_CODE: i32 = 128;
/// Lines of an application in a verdict: what most programs say when they give up.
const WORDS_LINES_MAX: usize = 10;
/// Characters of such a line; the rest is in the log.
const WORDS_CHARS_MAX: usize = 200;
/// Records that are looked through for them, those of the shim among them.
const WORDS_LOOKED_AT: u64 = 64;

/// An instance's shim as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shim {
    /// There never was one since the machine has started.
    None,
    /// It lives, with this status.
    Living(Box<Status>),
    /// It has ended, and this is the last it said.
    Ended(Box<Status>),
}

/// File of a shim's configuration.
pub(crate) fn config_file(folder: &Path) -> PathBuf {
    folder.join("shim.json")
}

/// Configuration of an instance's shim; none where it was not written yet.
pub(crate) fn config(folder: &Path) -> Result<Option<Config>, XnodeError> {
    marks::find(&config_file(folder))
}

/// Looks for an instance's shim. One that is about to end, or has just begun, holds its lock and answers nobody: it is waited for as for an answer.
pub(crate) fn find(folder: &Path) -> Result<Shim, XnodeError> {
    let Some(config) = config(folder)? else { return Ok(Shim::None) };
    let begun = Instant::now();
    loop {
        match look(&config)? {
            Found::Nothing => return Ok(Shim::None),
            Found::Ended(status) => return Ok(Shim::Ended(status)),
            Found::Living => {}
        }
        match Client::connect(&config.socket, LOOK_ANSWER).and_then(|mut client| client.ask(Action::Status)) {
            Ok(status) => return Ok(Shim::Living(Box::new(status))),
            Err(error) if hangs_up(&error) && begun.elapsed() < LOOK_ANSWER => std::thread::sleep(LOOK_AGAIN),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns true where nobody listens, or whoever did has gone: otherwise than one that says nothing, that is known at once.
fn hangs_up(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { cause, .. } | ClientError::Broken(cause) => {
            !matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        }
        _ => false,
    }
}

/// Asks a living shim.
pub(crate) fn ask(config: &Config, action: Action) -> Result<Status, XnodeError> {
    Ok(Client::connect(&config.socket, ANSWER)?.ask(action)?)
}

/// Starts a shim, which begins the instance at once.
pub(crate) fn begin(machine: &Machine, folder: &Path, door: Door<'_>) -> Result<(), XnodeError> {
    let file = config_file(folder);
    let mut started = Ok(());
    let passed = marks::through(door, "shim.start", || {
        started = start::start(&machine.programs.shim, &file).map(drop);
        Ok(())
    });
    started?;
    passed.map_err(XnodeError::file("starting the shim of", file))
}

/// Waits for a state, watching; an error where the time is over before.
pub(crate) fn wait(config: &Config, limit: Duration, wanted: impl Fn(&Status) -> bool) -> Result<Status, XnodeError> {
    Ok(Client::connect(&config.socket, ANSWER)?.wait(limit, wanted)?)
}

/// Policy of a document in the words of a shim.
pub(crate) fn policy(restart: Restart) -> RestartPolicy {
    match restart {
        Restart::Always => RestartPolicy::Always,
        Restart::OnFailure => RestartPolicy::OnFailure,
        Restart::Never => RestartPolicy::Never,
    }
}

/// Code with which an instance has come to rest by its own policy; none where it runs, is started again, or was asked to end.
pub(crate) fn over(policy: RestartPolicy, status: &Status) -> Option<i32> {
    let rests = status.state == State::Stopped && !status.wanted;
    let end = status.ends.last().filter(|end| rests && !end.asked)?;
    let is_good = matches!(end.cause, Cause::Exited { code: 0 });
    let stays = match policy {
        RestartPolicy::Always => false,
        RestartPolicy::OnFailure => is_good,
        RestartPolicy::Never => true,
    };
    stays.then(|| code(&end.cause))
}

/// Code of an end, as a shell gives it.
pub(crate) fn code(cause: &Cause) -> i32 {
    match cause {
        Cause::Exited { code } => *code,
        Cause::Killed { signal, .. } => SIGNAL_CODE.saturating_add(*signal),
        _ => SIGNAL_CODE,
    }
}

/// Last lines that an application wrote before a place in its log, oldest first; those of its shim and helpers where it wrote none.
pub(crate) fn last_words(directory: &Path, first: u64, next: u64) -> Vec<String> {
    let from = next.saturating_sub(WORDS_LOOKED_AT).max(first);
    let read = |streams: Vec<Stream>| -> Vec<String> {
        let filter = Filter { streams, ..Filter::default() };
        let mut reader = LogReader::new(directory, Position::Sequence(from), filter);
        let mut lines = Vec::new();
        // A log that cannot be read says nothing; the verdict stands without it.
        while let Ok(batch) = reader.read() {
            lines.extend(batch.records.into_iter().filter(|record| record.sequence < next).map(|record| {
                String::from_utf8_lossy(&record.text).trim_end().chars().take(WORDS_CHARS_MAX).collect::<String>()
            }));
            if batch.at_end {
                break;
            }
        }
        lines.retain(|line| !line.is_empty());
        lines.split_off(lines.len().saturating_sub(WORDS_LINES_MAX))
    };
    let own = read(vec![Stream::Stdout, Stream::Stderr]);
    if own.is_empty() { read(vec![Stream::Shim]) } else { own }
}

/// Returns true where the instance of a status runs, or is brought to run by its shim.
pub(crate) fn is_up(status: &Status) -> bool {
    status.wanted && !matches!(status.state, State::Stopped)
}

#[cfg(test)]
mod tests {
    use openmesh_shim::log::LogWriter;
    use openmesh_shim::protocol::{End, LogStatus};

    use super::*;

    fn status(state: State, cause: Cause, asked: bool) -> Status {
        let end =
            End { run: 1, at_unix_ms: 1, lasted_ms: 1, cause, out_of_memory: false, asked, log_first: 1, log_next: 2 };
        Status {
            name: "test".into(),
            version: "0".into(),
            shim_pid: 1,
            boot: String::new(),
            state,
            wanted: state != State::Stopped,
            crash_loop: false,
            run: 1,
            restarts: 0,
            first: None,
            next_start_ms: None,
            paused: None,
            ends: vec![end],
            oom_kills: None,
            log: LogStatus::default(),
        }
    }

    #[test]
    fn an_instance_is_over_where_its_policy_leaves_it_so() {
        let exited = |code| status(State::Stopped, Cause::Exited { code }, false);
        let killed = status(State::Stopped, Cause::Killed { signal: 9, name: "SIGKILL".into() }, false);
        assert_eq!(over(RestartPolicy::Never, &exited(0)), Some(0));
        assert_eq!(over(RestartPolicy::Never, &exited(3)), Some(3));
        assert_eq!(over(RestartPolicy::Never, &killed), Some(137));
        assert_eq!(over(RestartPolicy::OnFailure, &exited(0)), Some(0));
        // Whoever was stopped while it waited for its next start was asked to end.
        assert_eq!(over(RestartPolicy::OnFailure, &exited(3)), None);
        assert_eq!(over(RestartPolicy::Always, &exited(0)), None);
        let asked = status(State::Stopped, Cause::Exited { code: 0 }, true);
        let waits = status(State::Waiting, Cause::Exited { code: 0 }, false);
        for status in [asked, waits] {
            assert_eq!(over(RestartPolicy::Never, &status), None);
        }
    }

    #[test]
    fn the_last_words_are_those_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(folder.path(), 1 << 20).unwrap();
        let first = log.next();
        for number in 0..30 {
            log.append(1_000, Stream::Stderr, false, format!("line {number}").as_bytes());
        }
        let next = log.next();
        log.append(1_000, Stream::Stdout, false, b"of the next run");
        log.flush();
        let words = last_words(folder.path(), first, next);
        assert_eq!((words.len(), words[0].as_str(), words[9].as_str()), (10, "line 20", "line 29"));
        assert!(last_words(&folder.path().join("none"), 1, 9).is_empty());
    }

    /// Its socket may be gone before its lock is.
    #[test]
    fn a_shim_that_is_about_to_end_is_no_silent_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = include_str!("../../shim/examples/shim.json");
        let mut config: Config = serde_json::from_str(text).unwrap();
        config.state_directory = folder.path().join("state");
        config.socket = folder.path().join("socket");
        std::fs::write(config_file(folder.path()), serde_json::to_vec(&config).unwrap()).unwrap();
        let held = openmesh_shim::state::lock(&config).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&config.socket).unwrap();
        let ends = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            drop(listener);
            drop(held);
        });
        assert_eq!(find(folder.path()).unwrap(), Shim::None);
        ends.join().unwrap();
    }

    #[test]
    fn one_that_says_nothing_is_not_asked_again() {
        let late = ClientError::Broken(ErrorKind::WouldBlock.into());
        assert!(!hangs_up(&late));
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused] {
            assert!(hangs_up(&ClientError::Broken(kind.into())));
        }
    }
}
