//! `openmesh app exec`.

use std::io::{IsTerminal as _, Read as _, Write as _};

use openmesh_agent::terminal::{Heard, Sender, connect};
use openmesh_agent::views::{Exec, ExecEvent, TerminalWord};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::super::agent::{client, failure, settings};
use crate::cli::beside::ExecArgs;
use crate::failure::{Failure, unless_broken_pipe};

/// Bytes that are read of standard input at once.
const READ_BYTES: usize = 16 << 10;
/// Pieces of standard input that wait for a process that reads slowly.
const PIECES_MAX: usize = 4;
/// Size of a terminal that does not tell it.
const SIZE: (u16, u16) = (80, 24);
/// Numbers of the signals that are passed on or taken as the end (signal(7)).
const SIGINT: u8 = 2;
/// Exit code of a program that SIGTERM ended, as a shell tells it.
const TERMINATED_CODE: i32 = 143;

/// The terminal of this process in raw mode: what a person types goes on as it is. It is as before once this value is gone, however that comes.
struct Raw {
    before: Termios,
}

impl Raw {
    fn begin() -> Result<Raw, Failure> {
        let failed = |cause: rustix::io::Errno| Failure::from_display("the terminal", &cause);
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What is still to be written is written before. A terminal that has gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Columns and rows of this process' terminal.
fn size() -> (u16, u16) {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SIZE,
    }
}

/// Runs a program in an application; this process ends with its exit code.
pub(super) async fn run(asked: ExecArgs) -> Result<(), Failure> {
    match serve(&asked).await? {
        0 => Ok(()),
        code => std::process::exit(code),
    }
}

fn request(asked: &ExecArgs) -> Result<Exec, Failure> {
    if asked.command.is_empty() && !asked.terminal {
        return Err(Failure::usage("no program is named").hint("openmesh app exec NAME -- COMMAND, or -it for a shell"));
    }
    if asked.terminal && !std::io::stdin().is_terminal() {
        return Err(Failure::usage("standard input is no terminal").hint("leave out -t where this runs in a script"));
    }
    let mut exec = Exec {
        command: asked.command.clone(),
        variables: asked.variables.iter().cloned().collect(),
        folder: asked.workdir.clone(),
        instance: asked.instance.clone(),
        stdin: None,
        terminal: asked.terminal.then(size),
    };
    if asked.terminal
        && let Ok(term) = std::env::var("TERM")
    {
        exec.variables.entry("TERM".into()).or_insert(term);
    }
    Ok(exec)
}

/// Signals of this process.
struct Signals {
    window: Signal,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let of = |kind| signal(kind).map_err(|error| Failure::from_display("signals", &error));
        Ok(Signals {
            window: of(SignalKind::window_change())?,
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hang_up: of(SignalKind::hangup())?,
        })
    }
}

/// Serves a process until it has ended, and returns its code.
async fn serve(asked: &ExecArgs) -> Result<i32, Failure> {
    let exec = request(asked)?;
    let (client, socket) = (client(&asked.agent)?, settings(&asked.agent)?.socket());
    let connected = connect(&client, &socket, asked.name.as_str(), &exec).await;
    let (sender, mut receiver) = connected.map_err(failure)?;
    let mut signals = Signals::new()?;
    // From here on every way out goes through its end.
    let _raw = if asked.terminal { Some(Raw::begin()?) } else { None };
    let (words, control) = mpsc::unbounded_channel();
    // A task of its own: what the process does not read holds up none of what it says.
    let sending = tokio::spawn(send(sender, control, read_input(asked.interactive || asked.terminal)));
    let code = loop {
        // The receiver of words lives as long as the task; what is not sent any more is not missed.
        tokio::select! {
            heard = receiver.next() => match heard.map_err(failure)? {
                Some(heard) => if let Some(code) = follow(heard)? {
                    break code;
                },
                None => return Err(lost()),
            },
            _ = signals.window.recv(), if asked.terminal => {
                let (columns, rows) = size();
                let _ = words.send(TerminalWord::Window(columns, rows));
            }
            _ = signals.interrupt.recv() => {
                let _ = words.send(TerminalWord::Signal(SIGINT));
            }
            // The process ends, since whoever asked for it goes.
            _ = signals.terminate.recv() => break TERMINATED_CODE,
            _ = signals.hang_up.recv() => break TERMINATED_CODE,
        }
    };
    sending.abort();
    Ok(code)
}

/// Sends input and words until there is nobody to take them. Words go first: a signal does not wait behind what was typed.
async fn send(
    mut sender: Sender,
    mut control: mpsc::UnboundedReceiver<TerminalWord>,
    mut input: mpsc::Receiver<Vec<u8>>,
) {
    let mut is_open = true;
    loop {
        let goes_on = tokio::select! {
            biased;
            word = control.recv() => match word {
                Some(word) => sender.word(word).await,
                None => return,
            },
            piece = input.recv(), if is_open => match piece {
                Some(piece) => sender.input(piece).await,
                None => {
                    is_open = false;
                    sender.word(TerminalWord::EndOfInput).await
                }
            },
        };
        if !goes_on {
            // The other way tells how it ended.
            return;
        }
    }
}

fn lost() -> Failure {
    Failure::new("the agent closed the connection before it told how the process ended")
        .hint("its session may be over, or the agent leaves: openmesh xnode status")
}

/// Writes what is heard, and returns the code once the process has ended.
fn follow(heard: Heard) -> Result<Option<i32>, Failure> {
    match heard {
        Heard::Output(bytes) => {
            let mut output = std::io::stdout().lock();
            output.write_all(&bytes).and_then(|()| output.flush()).or_else(unless_broken_pipe)?;
        }
        Heard::Error(bytes) => {
            let mut output = std::io::stderr().lock();
            output.write_all(&bytes).and_then(|()| output.flush()).or_else(unless_broken_pipe)?;
        }
        Heard::Event(ExecEvent::Ended { code }) => return Ok(Some(code)),
        Heard::Event(ExecEvent::Refused { reason }) => return Err(Failure::new(reason)),
        Heard::Event(ExecEvent::Started { .. } | ExecEvent::Line { .. }) => {}
    }
    Ok(None)
}

/// Reads standard input on a thread of its own, which nothing waits for: a read of a terminal cannot be broken off.
fn read_input(is_wanted: bool) -> mpsc::Receiver<Vec<u8>> {
    let (pieces, input) = mpsc::channel(PIECES_MAX);
    if !is_wanted {
        return input;
    }
    std::thread::spawn(move || {
        let mut part = vec![0; READ_BYTES];
        let mut standard = std::io::stdin().lock();
        loop {
            match standard.read(&mut part) {
                Ok(0) => return,
                Ok(count) => {
                    if pieces.blocking_send(part.get(..count).unwrap_or_default().to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    input
}
