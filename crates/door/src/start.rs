//! The start of a door, from its own file to its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::control;
use crate::door::{ApplyError, Door};
use crate::effects::free;
use crate::keep;
use crate::limits::{DRAIN_MS_DEFAULT, FILES_MIN};
use crate::privileges::{User, become_user, keep_only_binding};
use crate::takeover;
use crate::tls::CertificateError;

/// The file of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Socket for the agent, in a folder of the door's user.
    pub socket: PathBuf,
    /// File in which the document is kept for the next start, in a folder of the door's user.
    pub document: PathBuf,
    /// User that the door becomes. Without it, it stays what it is; root is refused.
    #[serde(default)]
    pub user: Option<User>,
    /// It begins a session of its own: it outlives the terminal and the process group of whoever starts it.
    #[serde(default)]
    pub session: bool,
}

/// Error of a start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file of the start.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Rights that cannot be given away.
    #[error("cannot give rights away: {0}")]
    Privileges(io::Error),
    /// Open files.
    #[error("cannot have {FILES_MIN} open files: {0}")]
    Files(io::Error),
    /// The agent's socket.
    #[error("cannot have the socket {path}: {source}")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The door before.
    #[error("the door before does not hand over: {0}")]
    Predecessor(io::Error),
    /// A document that cannot be served.
    #[error("the kept document is not served: {0}")]
    Apply(#[from] ApplyError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] CertificateError),
    /// The runtime.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

/// Reads the file of a start.
///
/// # Errors
/// [`StartError::File`].
pub fn read(path: &Path) -> Result<Start, StartError> {
    let failed = |source| StartError::File { path: path.to_path_buf(), source };
    let text = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}

/// Closes what whoever started this program has left open beyond the three standard streams: it would be held as long as this process lives, as a lock of
/// a script, or a pipe whose reader waits for its end. For the beginning of a program, before anything of its own is open.
///
/// # Errors
/// The list of what is open cannot be read.
pub fn close_inherited() -> io::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd")?.flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // That of the list itself is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Runs a door until it has left. The process has one thread before this.
///
/// # Errors
/// [`StartError`], all before anything is served.
pub fn run(start: &Start) -> Result<(), StartError> {
    if start.session {
        // Refused where the process leads a group already, which then is its own.
        let _ = rustix::process::setsid();
    }
    take_files().map_err(StartError::Files)?;
    match start.user {
        Some(user) => become_user(user),
        None if rustix::process::geteuid().is_root() => {
            Err(io::Error::other("`user` is missing, and the door does not run as root"))
        }
        None => keep_only_binding(),
    }
    .map_err(StartError::Privileges)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::Runtime)?;
    runtime.block_on(serve(start))
}

/// Takes as many open files as the process may have; as root, at least [`FILES_MIN`]. A door with fewer serves fewer clients, and says so.
fn take_files() -> io::Result<()> {
    let now = getrlimit(Resource::Nofile);
    let is_root = rustix::process::geteuid().is_root();
    let maximum = now.maximum.map(|most| if is_root { most.max(FILES_MIN) } else { most });
    if let Some(most) = maximum.filter(|most| *most < FILES_MIN) {
        eprintln!(
            "openmesh-door: {most} open files are fewer than {FILES_MIN}; raise the hard limit (LimitNOFILE of systemd)"
        );
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

async fn serve(start: &Start) -> Result<(), StartError> {
    let door = Arc::new(Door::new(Some(start.document.clone()), free())?);
    // Codes of visitors: a door before may take them until it leaves.
    door.visits().rest();
    let mut stop = signal(SignalKind::terminate()).map_err(StartError::Runtime)?;
    let path = start.socket.clone();
    let before = tokio::task::spawn_blocking(move || takeover::take(&path)).await.map_err(io::Error::other);
    let predecessor = match before.and_then(|taken| taken).map_err(StartError::Predecessor)? {
        Some((predecessor, document, sockets)) => {
            // A door that was never told anything has nothing to pass on.
            if document.serial > 0 {
                door.apply_with(document, sockets).await?;
            }
            Some(predecessor)
        }
        None => {
            restore(&door, &start.document).await?;
            None
        }
    };
    let socket = |source| StartError::Socket { path: start.socket.clone(), source };
    let fresh = start.socket.with_extension("new");
    let listener = bind(&fresh).map_err(socket)?;
    if let Some(predecessor) = predecessor {
        let released = tokio::task::spawn_blocking(move || predecessor.release()).await.map_err(io::Error::other);
        released.and_then(|released| released).map_err(StartError::Predecessor)?;
    }
    // No other door takes any by now.
    door.visits().take_over();
    // At each moment somebody listens there. A door that serves on keeps its place.
    std::fs::rename(&fresh, &start.socket).map_err(socket)?;
    tokio::select! {
        () = control::serve(door.clone(), listener) => {}
        _ = stop.recv() => door.retire(Duration::from_millis(DRAIN_MS_DEFAULT)).await,
    }
    Ok(())
}

/// Serves the document of the last start. One that cannot be read is not a reason to keep the agent out, who has a better one.
async fn restore(door: &Arc<Door>, path: &Path) -> Result<(), StartError> {
    match keep::read(path) {
        Ok(Some(document)) => match door.apply(document).await {
            Err(error @ ApplyError::Keep(_)) => Err(error.into()),
            Err(error) => {
                eprintln!("openmesh-door: the kept document is not served: {error}");
                Ok(())
            }
            Ok(_) => Ok(()),
        },
        Ok(None) => Ok(()),
        Err(error) => {
            eprintln!("openmesh-door: {} is not served: {error}", path.display());
            Ok(())
        }
    }
}

/// Binds the agent's socket beside its place.
fn bind(fresh: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(fresh),
    }
}
