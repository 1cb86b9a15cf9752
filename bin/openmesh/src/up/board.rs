//! The supervisor's board: how it goes with each process of a network, for `down`, `doctor` and a second `up`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use openmesh_primitives::Timestamp;
use openmesh_storage::files::write_whole;
use serde::{Deserialize, Serialize};

use crate::presence::Identity;

/// Content of `supervisor.json`: who supervises, and how it goes with each process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Board {
    /// The supervisor.
    pub process: Identity,
    /// By name.
    pub parts: BTreeMap<String, Part>,
}

/// State of one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Its number while it runs.
    pub pid: Option<u32>,
    /// Number of ends that nobody asked for, since the supervisor started.
    pub ends: u32,
    /// Time (RFC 3339) and manner of the last of them.
    pub last_end: Option<(String, String)>,
    /// Reason for which it could not be started again; none while it runs.
    pub trouble: Option<String>,
    /// Its log.
    pub log: PathBuf,
}

impl Board {
    /// The file that holds a network's board.
    pub fn file(root: &Path) -> PathBuf {
        root.join("supervisor.json")
    }

    /// The board of a network as it was last written.
    pub fn read(root: &Path) -> Option<Board> {
        serde_json::from_slice(&std::fs::read(Board::file(root)).ok()?).ok()
    }
}

impl Part {
    /// Counts an end that nobody asked for.
    pub fn end(&mut self, how: &str) {
        self.pid = None;
        self.ends += 1;
        self.last_end = Some((Timestamp::now().to_rfc3339(), how.to_owned()));
    }
}

/// The board of this supervisor, as its tasks write it.
#[derive(Clone)]
pub struct SharedBoard {
    file: PathBuf,
    board: Arc<Mutex<Board>>,
}

impl SharedBoard {
    /// An empty board, written.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn new(root: &Path) -> std::io::Result<SharedBoard> {
        let board = Board { process: Identity::of(std::process::id())?, parts: BTreeMap::new() };
        let board = SharedBoard { file: Board::file(root), board: Arc::new(Mutex::new(board)) };
        board.write()?;
        Ok(board)
    }

    /// Forgets it: a network that does not run has no supervisor.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.file);
    }

    /// Changes what stands about one process. A disk that does not take it is no reason to stop anything.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Part)) {
        change(self.board.lock().unwrap_or_else(PoisonError::into_inner).parts.entry(name.to_owned()).or_default());
        if let Err(error) = self.write() {
            tracing::warn!(%error, "the supervisor's board is not written");
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        write_whole(&self.file, &serde_json::to_vec_pretty(&*board)?)
    }
}
