//! Processes in applications beside their first ones: begun, spoken to, and ended with whoever asked for them.
//!
//! The helper below the agent ends its process when its input ends, so everything that can happen to an asker (it goes, its session is revoked, the agent leaves or
//! is killed) comes to the same: the pipe is closed. A task of its own writes input, so that a process that reads slowly holds up none of its output.

mod counts;

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_xnode::inside::{ExecError, Hearing, Inside, Request, Said, Word};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use counts::{PROCESSES_MAX, Processes};

use crate::api::blocking;
use crate::error::AgentError;
use crate::service::Service;

/// Words that wait for a process that reads slowly; then its asker waits.
const WORDS_WAITING_MAX: usize = 2;
/// Bytes that are read of a helper at once.
const READ_BYTES: usize = 64 << 10;
/// Search path of the helper, which names its programs absolutely.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process that was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The agent's word.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The request cannot be passed to a program.
    #[error(transparent)]
    Request(#[from] ExecError),
    /// Too many are there.
    #[error("{PROCESSES_MAX} processes run beside the first one of {instance} already; end one of them")]
    Busy {
        /// The instance.
        instance: String,
    },
    /// The helper cannot be run.
    #[error("{program} cannot be run: {cause}")]
    Program {
        /// Its path.
        program: String,
        /// The system's word.
        cause: io::Error,
    },
}

/// Input of a process. The process ends when this value is dropped.
pub struct Input {
    words: mpsc::Sender<Vec<u8>>,
    feeder: JoinHandle<()>,
}

impl Input {
    /// Passes a word on, and waits where the process reads slowly. False where it has ended.
    pub async fn tell(&self, word: &Word) -> bool {
        self.words.send(word.frames()).await.is_ok()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // It holds the pipe, also while it waits in a write.
        self.feeder.abort();
    }
}

/// Output of a process.
pub struct Output {
    pipe: ChildStdout,
    hearing: Hearing,
    part: Vec<u8>,
}

impl Output {
    /// The next word of the process; none where its helper ended without telling how it did. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    /// The pipe breaks, or what comes is no word.
    pub async fn next(&mut self) -> io::Result<Option<Said>> {
        loop {
            if let Some(said) = self.hearing.take()? {
                return Ok(Some(said));
            }
            match self.pipe.read(&mut self.part).await? {
                0 => return Ok(None),
                count => self.hearing.add(self.part.get(..count).unwrap_or_default()),
            }
        }
    }
}

/// A process beside the first one.
pub struct Beside {
    /// Its instance.
    pub instance: InstanceId,
    /// Its input, by which it lives.
    pub input: Input,
    /// Its output.
    pub output: Output,
}

impl Beside {
    /// Begins a process in an application: in the instance that is named, else in the first running one.
    ///
    /// # Errors
    /// See [`BeginError`]; a program that cannot be run is no error, but an end with a code.
    pub async fn begin(
        service: &Arc<Service>,
        name: &Name,
        wanted: Option<InstanceId>,
        request: Request,
    ) -> Result<Beside, BeginError> {
        request.check()?;
        let asked = name.clone();
        let found = blocking(service, move |service| {
            service.agent().inside(&asked, wanted.as_ref()).or_else(|error| {
                // An application without an instance is told from none.
                crate::files::of(service, &asked)?;
                Err(error.into())
            })
        })
        .await?;
        let Inside { instance, command } = found;
        let key = format!("{name} {instance}");
        let seat = service.processes().take(&key).ok_or(BeginError::Busy { instance: key })?;
        let program = command.first().cloned().unwrap_or_default();
        let failed = |cause| BeginError::Program { program: program.clone(), cause };
        let mut child = Command::new(&program)
            .args(command.iter().skip(1))
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            // A signal to the agent's terminal is none to the process.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let missing = || failed(io::ErrorKind::BrokenPipe.into());
        let (input, output) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        tokio::spawn(async move {
            let _ = child.wait().await;
            drop(seat);
        });
        let (words, waiting) = mpsc::channel(WORDS_WAITING_MAX);
        let feeder = tokio::spawn(feed(input, waiting));
        let input = Input { words, feeder };
        input.tell(&Word::Begin(request)).await;
        let output = Output { pipe: output, hearing: Hearing::default(), part: vec![0; READ_BYTES] };
        Ok(Beside { instance, input, output })
    }
}

/// Writes words to a helper until there are no more, or it takes no more.
async fn feed(mut pipe: ChildStdin, mut words: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = words.recv().await {
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Ready once the agent leaves.
pub(crate) async fn leaving(service: &Service) {
    let mut news = service.history().follow();
    // The history tells of it; the last event comes after the flag.
    while !service.is_leaving() {
        if news.changed().await.is_err() {
            return;
        }
    }
}
