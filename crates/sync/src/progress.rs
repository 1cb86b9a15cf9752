//! Progress of a join, for people.

use std::fmt;

use openmesh_primitives::Height;

/// A step of joining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Asking peers what they have.
    #[default]
    Asking,
    /// Walking the light client to a snapshot's header.
    Walking,
    /// Fetching chunks.
    Fetching,
    /// Building the store from them.
    Building,
}

/// Progress of a join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The step it is at.
    pub step: Step,
    /// Height of the snapshot; 0 before one is chosen.
    pub height: Height,
    /// Chunks that are here.
    pub chunks: u32,
    /// All chunks of the snapshot.
    pub chunks_all: u32,
    /// Names of peers that lied, and how.
    pub liars: Vec<(String, String)>,
    /// Reason for waiting, where a person may have to do something.
    pub note: Option<String>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Asking => write!(f, "asking peers for blocks and snapshots"),
            Step::Walking => write!(f, "walking from the trusted validators to the snapshot of height {}", self.height),
            Step::Fetching => {
                write!(
                    f,
                    "fetching the snapshot of height {}: {} of {} chunks",
                    self.height, self.chunks, self.chunks_all
                )
            }
            Step::Building => write!(f, "building the state of height {} from {} chunks", self.height, self.chunks_all),
        }?;
        if let Some(note) = &self.note {
            write!(f, "; {note}")?;
        }
        match self.liars.len() {
            0 => Ok(()),
            1 => write!(f, "; one peer lied"),
            many => write!(f, "; {many} peers lied"),
        }
    }
}
