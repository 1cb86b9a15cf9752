//! Errors that keep the engine from starting or end its task.

use std::net::SocketAddr;
use std::path::PathBuf;

use openmesh_ledger::{ExecuteError, RulesError, StateError};
use openmesh_primitives::{Digest, Height};
use openmesh_storage::StoreError;

/// Error that keeps the engine from starting, or that ended it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The state cannot be read.
    #[error("the state cannot be read")]
    State(#[from] StateError),
    /// A block of ours or a decided one cannot be executed.
    #[error("a block cannot be executed")]
    Execute(#[from] ExecuteError),
    /// This program does not have the rules of the next height: it must not take part in it.
    #[error(transparent)]
    Rules(RulesError),
    /// The network decided a block that does not fit this node's state: its state is wrong, or the network's majority.
    #[error("the decided block {height} does not fit this node's state: {reason}")]
    Diverged {
        /// Of the block.
        height: Height,
        /// The difference.
        reason: String,
    },
    /// A block was decided whose body this node never stored.
    #[error("block {hash} of height {height} was decided, but its body is not here")]
    UnknownDecision {
        /// Decided height.
        height: Height,
        /// Decided block.
        hash: Digest,
    },
    /// A file in the home directory cannot be read or written.
    #[error("{path} cannot be used")]
    Home {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The operating system gave no randomness for the peer-to-peer key.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// A peer's address is malformed.
    #[error("{address:?} is not a peer's multiaddress (/ip4/<address>/tcp/<port>): {reason}")]
    Peer {
        /// As given.
        address: String,
        /// The fault in it.
        reason: String,
    },
    /// The listening address cannot be used.
    #[error("consensus cannot listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A part of the consensus engine did not start.
    #[error("the {what} of consensus did not start: {reason}")]
    Start {
        /// The part.
        what: &'static str,
        /// The cause.
        reason: String,
    },
    /// A task of the engine ended or panicked.
    #[error("the {what} has ended; the log says why")]
    TaskEnded {
        /// The task.
        what: &'static str,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The chain's thread panicked: a bug.
    #[error("the thread that writes the chain has stopped; the log says why")]
    ChainStopped,
    /// The write-ahead log could not be written or read: look at the disk before starting again.
    #[error("the write-ahead log of consensus failed; check the disk before this validator is started again")]
    Safety,
    /// An actor of consensus stopped: the process can be started again.
    #[error("consensus stopped unexpectedly; the log says why")]
    Liveness,
}

impl From<RulesError> for EngineError {
    fn from(error: RulesError) -> EngineError {
        match error {
            RulesError::State(error) => EngineError::State(error),
            other => EngineError::Rules(other),
        }
    }
}
