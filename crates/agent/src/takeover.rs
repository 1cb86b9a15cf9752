//! One agent takes the place of another one: a new version of the program, without an application that stops.
//!
//! The new one asks at a socket of the old one, which ends its present step, gives up its locks and sockets, and says so with the steps that were left to do.
//! The new one opens the same folders and looks. If it finds nothing to do beyond those steps it serves and says so, and the old one ends. If it does find
//! something, fails, ends, or is not there within 30 s, the old one goes on as if nothing had been. What runs is adopted by whoever serves.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::error::AgentError;
use crate::service::Service;
use crate::settings::Settings;

/// Time for the new agent to get there.
const GET_THERE: Duration = Duration::from_secs(30);
/// Time for the old one to end its present step: it may stop an application within the application's own grace.
const END_MAX: Duration = Duration::from_secs(120);
/// Time for a word on the socket: both ends are on this machine.
const WORD: Duration = Duration::from_secs(5);
/// Longest line, bytes: the steps of a plan of hundreds of applications.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Word of the new agent at the beginning.
const ASKS: &str = "hand over 1";
/// Word of the new agent at the end.
const SERVES: &str = "serves";

/// Word of the old agent: it has gone, and these steps were left to do.
#[derive(Debug, Serialize, Deserialize)]
struct Gone {
    steps: BTreeSet<String>,
}

fn socket(settings: &Settings) -> PathBuf {
    settings.run.join("hand-over")
}

fn failed(words: impl Into<String>) -> AgentError {
    AgentError::TakeOver { words: words.into() }
}

/// One line; none where the other end is gone, or has said more than a line may have.
async fn line(stream: &mut UnixStream, limit: Duration) -> Option<String> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream).take(LINE_BYTES_MAX);
    let read = tokio::time::timeout(limit, reader.read_line(&mut line)).await;
    match read {
        Ok(Ok(bytes)) if bytes > 0 => line.strip_suffix('\n').map(str::to_string),
        _ => None,
    }
}

async fn say(stream: &mut UnixStream, word: &str) -> bool {
    let said = async {
        stream.write_all(word.as_bytes()).await?;
        stream.write_all(b"\n").await
    };
    matches!(tokio::time::timeout(WORD, said).await, Ok(Ok(())))
}

/// The socket at which an agent is asked to hand over.
pub(crate) struct Listener(UnixListener);

impl Listener {
    /// Binds it. The agent's lock is held: one that is there is a dead agent's.
    ///
    /// # Errors
    /// It cannot be bound.
    pub fn bind(settings: &Settings) -> Result<Listener, AgentError> {
        let path = socket(settings);
        if let Err(cause) = std::fs::remove_file(&path)
            && cause.kind() != ErrorKind::NotFound
        {
            return Err(AgentError::file("removing", &path)(cause));
        }
        let listener = UnixListener::bind(&path).map_err(AgentError::file("binding", &path))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).map_err(AgentError::file("protecting", &path))?;
        Ok(Listener(listener))
    }

    /// Waits until root asks.
    pub async fn asked(&self) -> Handed {
        loop {
            // Nobody but root opens the socket; a failed accept is tried again with the next one.
            let Ok((mut stream, _)) = self.0.accept().await else {
                tokio::time::sleep(WORD).await;
                continue;
            };
            let pid = stream.peer_cred().ok().filter(|peer| peer.uid() == 0).and_then(|peer| peer.pid());
            if pid.is_some() && line(&mut stream, WORD).await.as_deref() == Some(ASKS) {
                return Handed { stream, pid };
            }
        }
    }
}

/// A hand-over, held by the agent that goes.
pub(crate) struct Handed {
    stream: UnixStream,
    pid: Option<i32>,
}

impl Handed {
    /// Says that everything was given up, and waits for the new agent. False where this one has to go on; then the new one is gone.
    pub async fn give_way(mut self, steps: BTreeSet<String>) -> bool {
        let gone = serde_json::to_string(&Gone { steps }).unwrap_or_default();
        let said = say(&mut self.stream, &gone).await;
        if said && line(&mut self.stream, GET_THERE).await.as_deref() == Some(SERVES) {
            return true;
        }
        // It has ended, or is ended: it is this one's turn again, and there are never two.
        let own = rustix::process::getpid();
        if let Some(pid) = self.pid.and_then(Pid::from_raw).filter(|pid| *pid != own)
            && self.is_there().await
        {
            let _ = kill_process(pid, Signal::KILL);
        }
        false
    }

    /// Returns true while the other end holds the stream: its number is not given to another process.
    async fn is_there(&mut self) -> bool {
        let mut byte = [0];
        match tokio::time::timeout(Duration::from_millis(1), self.stream.read(&mut byte)).await {
            Ok(Ok(bytes)) => bytes > 0,
            Ok(Err(_)) => false,
            Err(_) => true,
        }
    }
}

/// A hand-over, held by the agent that comes.
pub struct Taking {
    stream: UnixStream,
    steps: BTreeSet<String>,
}

impl Taking {
    /// Asks the agent with these settings to hand over, and waits until it has.
    ///
    /// # Errors
    /// None runs, or it does not.
    pub async fn ask(settings: &Settings) -> Result<Taking, AgentError> {
        let path = socket(settings);
        let mut stream = UnixStream::connect(&path)
            .await
            .map_err(|cause| failed(format!("no agent hands over at {}: {cause}", path.display())))?;
        if !say(&mut stream, ASKS).await {
            return Err(failed("the agent that runs does not listen"));
        }
        let gone = line(&mut stream, END_MAX).await.and_then(|line| serde_json::from_str::<Gone>(&line).ok());
        let gone = gone.ok_or_else(|| failed("the agent that runs did not end its present step, and goes on"))?;
        Ok(Taking { stream, steps: gone.steps })
    }

    /// Sees that there is nothing to do beyond what was left to do.
    ///
    /// # Errors
    /// There is something, or the machine cannot be looked at: the one before goes on when this one ends.
    pub(crate) fn check(&self, service: &Service) -> Result<(), AgentError> {
        let steps = steps(service)?;
        let more: Vec<&str> = steps.difference(&self.steps).map(String::as_str).collect();
        match more.is_empty() {
            true => Ok(()),
            false => Err(failed(format!(
                "this version would change what runs, so the one before goes on: {}",
                more.join("; ")
            ))),
        }
    }

    /// Says that this agent serves.
    ///
    /// # Errors
    /// The one before is no longer there to hear it, and may be back.
    pub(crate) async fn serves(mut self) -> Result<(), AgentError> {
        match say(&mut self.stream, SERVES).await {
            true => Ok(()),
            false => Err(failed("the agent before does not hear that this one serves")),
        }
    }
}

/// Steps that are left to do, as a person reads them; none before the first generation. Blocks.
///
/// # Errors
/// The machine cannot be looked at.
pub(crate) fn steps(service: &Service) -> Result<BTreeSet<String>, AgentError> {
    let look = service.agent().look()?;
    let plan = look.plan.and_then(Result::ok);
    Ok(plan.into_iter().flat_map(|plan| plan.steps).map(|planned| planned.step.to_string()).collect())
}
