//! The shim's one loop: pipes first, then children, then agents.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use crate::config::{Config, ConfigError};
use crate::instance::Instance;
use crate::log::{LogError, LogWriter};
use crate::peers::Peers;
use crate::protocol::State;
use crate::pump::Pump;
use crate::state::{self, StateError};

/// Pause before a state that could not be written is written again, milliseconds.
const STATE_RETRY_MS: u64 = 1_000;

/// Shim that cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another shim serves the instance, or the state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The socket cannot be made.
    #[error("the socket {path} cannot be made: {cause}")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The kernel refuses something that a shim needs.
    #[error("the kernel refuses {what}: {cause}")]
    Kernel {
        /// The thing.
        what: &'static str,
        /// The system's word.
        cause: std::io::Error,
    },
}

/// Sources of wake-ups: signals write into a socket that the loop polls.
struct Bell {
    wakes: UnixStream,
    terminated: Arc<AtomicBool>,
}

impl Bell {
    fn new() -> std::io::Result<Bell> {
        let (wakes, ringer) = UnixStream::pair()?;
        wakes.set_nonblocking(true)?;
        let terminated = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&terminated))?;
        }
        // A hang-up means nothing to a process without a terminal, and does not end it.
        for signal in [SIGCHLD, SIGTERM, SIGINT, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, ringer.try_clone()?)?;
        }
        Ok(Bell { wakes, terminated })
    }

    /// Silences the bell; returns true where the shim was asked to end.
    fn take(&mut self) -> bool {
        let mut sink = [0; 256];
        while matches!(self.wakes.read(&mut sink), Ok(count) if count == sink.len()) {}
        self.terminated.swap(false, Ordering::SeqCst)
    }
}

/// Serves one instance until it is told to leave. `ready` is called once agents can connect.
///
/// # Errors
/// The shim cannot begin; nothing was started then.
pub fn serve(path: &Path, ready: impl FnOnce(&Config)) -> Result<(), ServeError> {
    let config = Config::read(path)?;
    let kernel = |what| move |cause: std::io::Error| ServeError::Kernel { what, cause };
    let _lock = state::lock(&config)?;
    let earlier = state::read(&config.state_file());
    if let Some(status) = &earlier {
        state::end_orphan(status)?;
    }
    std::env::set_current_dir("/").map_err(kernel("the folder /"))?;
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(|e| kernel("adopting orphans")(e.into()))?;
    let mut bell = Bell::new().map_err(kernel("signals"))?;
    let mut log = LogWriter::open(&config.logs.directory, config.logs.bytes_max)?;
    if let Some(status) = &earlier {
        log.go_on(status.log.next, status.log.dropping.as_deref());
    }
    let listener = listen(&config.socket)?;
    let mut peers = Peers::new(listener, &config.name);
    let begun = Instant::now();
    let mut shim = Shim { instance: Instance::new(config, Pump::new(log), earlier.as_ref()), begun, state_due: None };
    let left_over = earlier.as_ref().is_some_and(|status| status.state != State::Stopped);
    shim.instance.begin(left_over, shim.now());
    shim.save();
    ready(shim.instance.config());
    while !shim.instance.left() {
        shim.turn(&mut bell, &mut peers).map_err(kernel("poll"))?;
    }
    shim.save();
    peers.close();
    let _ = std::fs::remove_file(&shim.instance.config().socket);
    Ok(())
}

/// Makes the socket beside its place, closes it to others, and puts it there: the lock says that nobody else serves it.
fn listen(path: &Path) -> Result<UnixListener, ServeError> {
    let fail = |cause| ServeError::Socket { path: path.into(), cause };
    // A name of its own for each socket of a folder. By the folder's descriptor, so that a path of the longest length has room for it.
    let folder = std::fs::File::open(path.parent().unwrap_or(Path::new("/"))).map_err(fail)?;
    let mut name = DefaultHasher::new();
    path.file_name().hash(&mut name);
    let beside = PathBuf::from(format!("/proc/self/fd/{}/~{:016x}", folder.as_raw_fd(), name.finish()));
    let _ = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside).map_err(fail)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    std::fs::rename(&beside, path).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

struct Shim {
    instance: Instance,
    begun: Instant,
    /// Time at which the state has to be written, where it could not be.
    state_due: Option<u64>,
}

impl Shim {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn save(&mut self) {
        let now = self.now();
        let status = self.instance.status(now);
        let written = state::write(&self.instance.config().state_file(), &status);
        self.state_due = written.err().map(|_| now + STATE_RETRY_MS);
    }

    /// Waits for something to happen, and does everything about it.
    fn turn(&mut self, bell: &mut Bell, peers: &mut Peers) -> std::io::Result<()> {
        let ready = self.wait(bell, peers)?;
        let now = self.now();
        let (rung, rest) = ready.split_first().map_or((false, &ready[..]), |(first, rest)| (*first, rest));
        let (pipes, connections) = rest.split_at(self.instance.pump().pipes().count().min(rest.len()));
        self.instance.pump_mut().read(pipes, now);
        if rung && bell.take() {
            self.instance.leave(now);
        }
        self.instance.reap(now);
        self.instance.tick(now);
        peers.read(connections);
        while let Some((index, request)) = peers.next_request() {
            let outcome = self.instance.act(&request.action, now);
            peers.answer(index, request, outcome, &self.instance.config().logs.directory);
        }
        if self.instance.take_changed() {
            self.save();
            peers.changed();
        } else if self.state_due.is_some_and(|due| due <= now) {
            self.save();
        }
        let written = self.instance.pump().log().written();
        peers.send(written, now, || self.instance.status(now));
        Ok(())
    }

    /// Polls the bell, the pipes and the connections; returns which of them are ready, in this order.
    fn wait(&self, bell: &Bell, peers: &Peers) -> std::io::Result<Vec<bool>> {
        let now = self.now();
        let written = self.instance.pump().log().written();
        let due = [self.instance.deadline(now), peers.deadline(written, now), self.state_due];
        let due = due.into_iter().flatten().min();
        let timeout = due.map(|due| {
            let wait = due.saturating_sub(now);
            let seconds = i64::try_from(wait / 1_000).unwrap_or(i64::MAX);
            Timespec { tv_sec: seconds, tv_nsec: i64::try_from(wait % 1_000).unwrap_or(0) * 1_000_000 }
        });
        let mut fds = vec![PollFd::from_borrowed_fd(bell.wakes.as_fd(), PollFlags::IN)];
        fds.extend(self.instance.pump().pipes().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
        fds.extend(peers.descriptors().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
            Err(rustix::io::Errno::INTR) => Ok(vec![false; fds.len()]),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longest path of a socket, bytes: `sun_path` of Linux without its final NUL.
    const PATH_BYTES_MAX: usize = 107;

    #[test]
    fn sockets_of_one_folder_and_of_the_longest_path_do_not_get_into_each_others_way() {
        let directory = tempfile::tempdir().unwrap();
        let room = PATH_BYTES_MAX - directory.path().as_os_str().len() - 1;
        let paths = ["a", "b", &"x".repeat(room)].map(|name| directory.path().join(name));
        let listeners: Vec<UnixListener> = paths.iter().map(|path| listen(path).unwrap()).collect();
        // Once more, as after a death.
        drop(listen(&paths[0]).unwrap());
        for path in &paths[1..] {
            UnixStream::connect(path).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), paths.len());
        drop(listeners);
    }
}
