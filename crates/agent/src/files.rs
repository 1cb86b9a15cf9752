//! Files of applications: acts of people, each in a process of its own that holds one folder (module `files` of the image's room).
//!
//! What is changed is the line in use of a volume. While another generation is on its way, lines are cloned and chosen, and what is written meanwhile could be lost
//! with the line that is left: changes are refused then. The root of an instance is read only.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt as _, stream};
use openmesh_blueprint::document::Name;
use openmesh_image::files::{Act, Answer, Fault, Ids, Task};
use openmesh_image::unpack::Job;
use openmesh_xnode::files::Files;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::AgentError;
use crate::moves::Writing;
use crate::service::{Service, names};

/// Acts at once: each is a process of about 2 MiB, and people look at few files at a time.
pub const ACTS_MAX: usize = 16;
/// Longest line of an answer, bytes: a full folder with names of 255 bytes, each of which is escaped.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a file that are passed on at once.
const PART_BYTES: usize = 64 << 10;
/// Silence after which a person who sends a file has gone.
const STALL: Duration = Duration::from_secs(60);

/// Acts that may begin now, in this process.
static ACTS: Semaphore = Semaphore::const_new(ACTS_MAX);

/// An act that was not done.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The agent's word.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The process's word.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// No volume of this name.
    #[error("{application} has no volume `{volume}`; it has {known}")]
    NoVolume {
        /// The application.
        application: Name,
        /// The name that was asked for.
        volume: String,
        /// The names that are there.
        known: String,
    },
    /// The volume is not usable now.
    #[error("the volume {volume} cannot be used now: {words}")]
    Volume {
        /// Its name.
        volume: Name,
        /// The reason.
        words: String,
    },
    /// No instance is there.
    #[error("{0} has no instance now, and so no root; its volumes can be looked at")]
    NoRoot(Name),
    /// Another generation is on its way.
    #[error(
        "generation {generation} serves and another one is on its way, so that a change could be lost with the data that is left behind; wait until it is done"
    )]
    Switching {
        /// Number of the generation that serves.
        generation: u64,
    },
    /// Nobody knows what is there.
    #[error(
        "say which file is replaced: If-Match with its tag, If-None-Match: * for a new one, or If-Match: * for any"
    )]
    Unseen,
    /// Too many acts.
    #[error("{ACTS_MAX} acts on files are under way; try again in a moment")]
    Busy,
    /// Whoever sends a file has gone.
    #[error("nothing came for {} s, or the connection broke; nothing was changed", STALL.as_secs())]
    Stalled,
    /// The process cannot be run.
    #[error("{program} cannot be run: {cause}")]
    Program {
        /// Its path.
        program: String,
        /// The system's word.
        cause: io::Error,
    },
    /// The process has ended without an answer.
    #[error("the process that acts on files has ended without an answer: {0}")]
    Silent(String),
}

impl FilesError {
    /// A stable word for programs, and the status of HTTP that goes with it; none where the agent's error has both.
    pub fn code(&self) -> Option<(&'static str, u16)> {
        Some(match self {
            FilesError::Agent(_) => return None,
            FilesError::NoVolume { .. } => ("no_volume", 404),
            FilesError::Volume { .. } => ("volume", 409),
            FilesError::NoRoot(_) => ("not_running", 409),
            FilesError::Switching { .. } => ("switching", 409),
            FilesError::Unseen => ("unseen", 428),
            FilesError::Busy => ("busy", 429),
            FilesError::Stalled => ("broken", 408),
            FilesError::Program { .. } | FilesError::Silent(_) => ("machine", 500),
            FilesError::Fault(fault) => match fault {
                Fault::Name { .. } | Fault::Root => ("value", 400),
                Fault::Missing(_) => ("no_file", 404),
                Fault::Link(_) | Fault::Elsewhere(_) | Fault::Kind { .. } => ("kind", 409),
                Fault::Taken(_) => ("taken", 412),
                Fault::Changed(_) | Fault::Kept { .. } => ("changed", 412),
                Fault::Filled(_) | Fault::Many(_) => ("filled", 409),
                Fault::Busy(_) => ("busy", 409),
                Fault::Range { .. } => ("range", 416),
                Fault::Large => ("large", 413),
                Fault::Full(_) => ("full", 507),
                Fault::Broken(_) => ("broken", 400),
                Fault::Cage(_) | Fault::System { .. } => ("machine", 500),
            },
        })
    }
}

/// The files of an application.
///
/// # Errors
/// There is no such application, or it cannot be looked at.
pub fn of(service: &Service, name: &Name) -> Result<Files, AgentError> {
    if let Some(files) = service.agent().files(name)? {
        return Ok(files);
    }
    let generations = service.agent().generations()?;
    let all: std::collections::BTreeSet<&Name> =
        generations.iter().flat_map(|(wanted, _)| wanted.portable.applications.keys()).collect();
    Err(AgentError::NoApplication { name: name.to_string(), known: names(all.into_iter()) })
}

/// Users and groups of an application's files.
pub fn ids(files: &Files) -> Ids {
    Ids { first: files.first_id, count: files.ids, user: files.user, group: files.group }
}

/// An act that has begun.
pub struct Begun {
    child: Child,
    output: BufReader<ChildStdout>,
    _writing: Option<Writing>,
    _permit: SemaphorePermit<'static>,
}

impl Begun {
    /// Begins an act in a folder. One that changes files holds `writing` until it has ended.
    ///
    /// # Errors
    /// Too many are under way, or the process cannot be run.
    pub(crate) fn new(
        service: &Service,
        folder: &Path,
        (act, ids): (Act, Ids),
        writing: Option<Writing>,
    ) -> Result<Begun, FilesError> {
        let permit = ACTS.try_acquire().map_err(|_| FilesError::Busy)?;
        let program = &service.agent().machine().programs.unpack;
        let failed = |cause: io::Error| FilesError::Program { program: program.display().to_string(), cause };
        let (reads, writes) = (act.only_reads(), matches!(act, Act::Write { .. }));
        let job = serde_json::to_string(&Job::Files(Task { act, ids })).map_err(|cause| failed(cause.into()))?;
        let mut child = Command::new(program)
            .arg(job)
            .env_clear()
            .current_dir(folder)
            .stdin(if writes { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // One that changes something comes to its end by itself: without its input it removes what it has.
            .kill_on_drop(reads)
            .spawn()
            .map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| FilesError::Silent("it has no output".into()))?;
        Ok(Begun { child, output: BufReader::with_capacity(PART_BYTES, output), _writing: writing, _permit: permit })
    }

    /// Sends the content of a file. Where the process refuses it the rest is not read.
    ///
    /// # Errors
    /// Nothing comes any more; then the process is told, and changes nothing.
    pub async fn feed(&mut self, body: Body) -> Result<(), FilesError> {
        let Some(mut input) = self.child.stdin.take() else { return Ok(()) };
        let mut parts = body.into_data_stream();
        loop {
            match tokio::time::timeout(STALL, parts.next()).await {
                Ok(Some(Ok(part))) => {
                    for frame in part.chunks(PART_BYTES) {
                        if send(&mut input, frame).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Ok(None) => {
                    let _ = input.write_all(&0_u32.to_le_bytes()).await;
                    return Ok(());
                }
                // Without the last frame the process removes what it has.
                Ok(Some(Err(_))) | Err(_) => {
                    drop(input);
                    let _ = self.answer().await;
                    return Err(FilesError::Stalled);
                }
            }
        }
    }

    /// The process's answer.
    ///
    /// # Errors
    /// Its fault, or there is none.
    pub async fn answer(&mut self) -> Result<Answer, FilesError> {
        let mut line = Vec::new();
        let read = (&mut self.output).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line).await;
        read.map_err(|cause| FilesError::Silent(cause.to_string()))?;
        if line.last() != Some(&b'\n') {
            let _ = self.child.start_kill();
            let status = self.child.wait().await;
            return Err(FilesError::Silent(status.map_or_else(|cause| cause.to_string(), |status| status.to_string())));
        }
        let answer = serde_json::from_slice::<Result<Answer, Fault>>(&line);
        Ok(answer.map_err(|cause| FilesError::Silent(cause.to_string()))??)
    }

    /// The bytes behind the answer: so many, or the stream ends with an error.
    pub fn content(self, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold((self, bytes), |(mut begun, left)| async move {
            if left == 0 {
                return None;
            }
            let most = usize::try_from(left).unwrap_or(PART_BYTES).min(PART_BYTES);
            let mut part = vec![0; most];
            match begun.output.read(&mut part).await {
                Ok(0) => Some((Err(io::ErrorKind::UnexpectedEof.into()), (begun, 0))),
                Err(cause) => Some((Err(cause), (begun, 0))),
                Ok(count) => {
                    part.truncate(count);
                    Some((Ok(Bytes::from(part)), (begun, left.saturating_sub(count as u64))))
                }
            }
        })
    }
}

async fn send(input: &mut ChildStdin, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    input.write_all(&length.to_le_bytes()).await?;
    input.write_all(frame).await
}
