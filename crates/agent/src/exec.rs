//! Processes in applications beside their first ones: begun, spoken to, and ended with whoever asked for them.
//!
//! The helper below the agent ends its process when its input ends, so everything that can happen to an asker (it goes, its session is revoked, the agent leaves or
//! is killed) comes to the same: the pipe is closed. A task of its own writes input, so that a process that reads slowly holds up none of its output.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_xnode::inside::{ExecError, Hearing, Inside, Request, Said, Word};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::api::blocking;
use crate::error::AgentError;
use crate::service::Service;

/// Processes beside the first one of an instance at once: people and their scripts; each is one of the instance's own processes as well.
pub const PROCESSES_MAX: usize = 16;
/// Words that wait for a process that reads slowly; then its asker waits.
const WORDS_WAITING_MAX: usize = 8;
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

/// Counts of processes beside the first ones by instance, and of terminals that are served.
#[derive(Clone, Debug)]
pub struct Processes {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    served: Arc<watch::Sender<usize>>,
}

impl Default for Processes {
    fn default() -> Processes {
        Processes { counts: Arc::default(), served: Arc::new(watch::Sender::new(0)) }
    }
}

/// A terminal that is served, for as long as this value lives.
pub(crate) struct Served(Arc<watch::Sender<usize>>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Processes {
    /// Counts a terminal. Its task is nobody's, so whoever leaves asks for all of them ([`Processes::idle`]).
    pub(crate) fn serve(&self) -> Served {
        self.served.send_modify(|count| *count += 1);
        Served(self.served.clone())
    }

    /// Ready once no terminal is served.
    pub(crate) async fn idle(&self) {
        let mut served = self.served.subscribe();
        // The sender lives as long as this value.
        let _ = served.wait_for(|count| *count == 0).await;
    }

    /// Takes a seat; none where the instance has no more.
    fn take(&self, instance: &str) -> Option<Seat> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(instance.to_string()).or_default();
        if *count >= PROCESSES_MAX {
            return None;
        }
        *count += 1;
        Some(Seat { counts: self.counts.clone(), instance: instance.to_string() })
    }
}

/// Seat of one process, given back when its helper has ended.
struct Seat {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    instance: String,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.instance) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.instance);
            }
        }
    }
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
        let found = blocking(service, move |service| Ok(service.agent().inside(&asked, wanted.as_ref())?)).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_by_instance_and_given_back() {
        let processes = Processes::default();
        let seats: Vec<Seat> = (0..PROCESSES_MAX).map(|_| processes.take("web 1").unwrap()).collect();
        assert!(processes.take("web 1").is_none());
        assert!(processes.take("web 2").is_some(), "another instance has its own");
        drop(seats);
        assert!(processes.take("web 1").is_some());
        assert!(processes.counts.lock().unwrap().is_empty());
    }
}
