//! Errors of joining.

use openmesh_ledger::HEADER_VERSIONS;
use openmesh_ledger::light::LightError;
use openmesh_primitives::{Digest, Height};
use openmesh_storage::{ChunkError, RestoreError};

/// A reason for which a peer gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not have it.
    Missing,
    /// It is busy.
    Busy,
    /// It went away, or did not answer in time.
    Silent,
}

/// A proof that a peer has lied, or is of another network.
#[derive(Debug, thiserror::Error)]
pub enum Lie {
    /// Bytes that are no answer.
    #[error("its answer cannot be read: {0}")]
    Form(String),
    /// A header or a change of validators that is not certified.
    #[error("its way to the snapshot is not certified")]
    Light(#[from] LightError),
    /// Parts that do not belong together.
    #[error("{0}")]
    Parts(&'static str),
    /// A chunk that does not belong to the state.
    #[error("chunk {index} of the snapshot at height {height} is wrong")]
    Chunk {
        /// Of the snapshot.
        height: Height,
        /// Its number.
        index: u32,
        /// Error of checking it.
        #[source]
        source: ChunkError,
    },
}

/// Errors that end a join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The disk, or the store on it.
    #[error("the snapshot cannot be restored")]
    Restore(#[from] RestoreError),
    /// The trusted block is too old to skip from.
    #[error(
        "the trusted block of height {height} is {age_hours} hours old, more than the trust period of {period_hours} hours"
    )]
    Expired {
        /// Of the block.
        height: Height,
        /// Its age.
        age_hours: u64,
        /// Longest age.
        period_hours: u64,
    },
    /// The trusted block is not of the network's chain.
    #[error(
        "sync.trust names block {height} with the hash {expected}, and the peers' block of that height has the hash {got}: \
         correct sync.trust in node.toml"
    )]
    OtherTrusted {
        /// Of the trusted block.
        height: Height,
        /// As a person said.
        expected: Digest,
        /// Of what peers have.
        got: Digest,
    },
    /// No peer has had a snapshot for a node that can also go on with its own store.
    #[error("no peer gives a snapshot above height {0}")]
    NoSnapshot(Height),
    /// A worker has panicked.
    #[error("a worker of the join has ended")]
    Worker,
}

/// A reason for which an attempt with a peer came to nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It gave no answer.
    Refused(Refusal),
    /// It lied.
    Lie(Box<Lie>),
    /// It shows a header of this version, which is newer than this program.
    Newer(u16),
    /// It has another block at the trusted height.
    OtherTrusted {
        /// Of the trusted block.
        height: Height,
        /// Hash of the peer's block.
        got: Digest,
        /// Signed by the genesis' validators, so that it is surely of this network.
        certified: bool,
    },
    /// The trusted block is not below its snapshot.
    TooNew {
        /// Of the trusted block.
        trusted: Height,
        /// Of the snapshot.
        snapshot: Height,
    },
    /// This node cannot go on.
    Fatal(JoinError),
}

impl From<Lie> for Fault {
    fn from(lie: Lie) -> Fault {
        Fault::Lie(Box::new(lie))
    }
}

/// True for a version that comes after all that this program reads.
pub(crate) fn is_newer(version: u16) -> bool {
    HEADER_VERSIONS.iter().all(|known| *known < version)
}

impl From<LightError> for Fault {
    fn from(error: LightError) -> Fault {
        match error {
            LightError::Version(version) if is_newer(version) => Fault::Newer(version),
            error => Lie::from(error).into(),
        }
    }
}

impl From<JoinError> for Fault {
    fn from(error: JoinError) -> Fault {
        Fault::Fatal(error)
    }
}
