//! Records of incidents.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Height};
use serde::{Deserialize, Serialize};

use super::keys;
use crate::state::{StateError, StateRead, decode, read};

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// A validator named another chunk than more than two thirds of the power, or one where those saw none, or none
    /// where those named one.
    Differing,
    /// An assigned validator sent nothing before the window closed, and was not there at all: it neither proposed, attested
    /// nor signed in the last hundred heights. Without validator: nobody attested the window, or (with a stream) a stream
    /// that was agreed on in the window before has no chunk.
    Missing,
    /// The window closed with conflicting words about a stream and no quorum.
    Disputed,
    /// The window closed without agreement about a stream because too few covered it; named where the hole begins. Without
    /// stream: no more than a third of the power spoke about the window.
    Uncovered,
    /// A validator signed two conflicting messages of consensus. The source is `consensus`, the window the height, and
    /// the stream the step: `proposal`, `prevote` or `precommit`.
    Equivocation,
    /// A validator committed to a window under another one's seal, which only that one can open, as it has shown.
    Copied,
}

/// An incident, named and kept in the state.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct LedgerIncident {
    /// Its kind.
    pub kind: IncidentKind,
    /// The source's id.
    pub source: String,
    /// Number of the window (the first of several, where the detail says so).
    pub window: u64,
    /// `<symbol>/<feed>`, if it is about one stream.
    pub stream: Option<String>,
    /// The validator that it names, if any.
    pub validator: Option<Address>,
    /// A sentence for people.
    pub detail: String,
    /// Of the block.
    pub height: Height,
    /// Number within the block.
    pub number: u32,
}

impl IncidentKind {
    /// `differing`, `missing`, `disputed`, `uncovered`, `equivocation` or `copied`, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            IncidentKind::Differing => "differing",
            IncidentKind::Missing => "missing",
            IncidentKind::Disputed => "disputed",
            IncidentKind::Uncovered => "uncovered",
            IncidentKind::Equivocation => "equivocation",
            IncidentKind::Copied => "copied",
        }
    }
}

impl LedgerIncident {
    /// `<height>-<number>`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.height, self.number)
    }
}

/// One incident. Fails if the store does.
pub fn incident(state: &dyn StateRead, height: Height, number: u32) -> Result<Option<LedgerIncident>, StateError> {
    read(state, &keys::incident(height, number))
}

/// At most `limit` incidents from a height on, oldest first. Fails if the store does.
pub fn incidents(state: &dyn StateRead, from: Height, limit: usize) -> Result<Vec<LedgerIncident>, StateError> {
    let found = state.scan(keys::INCIDENTS, Some(&keys::incidents_at(from)), limit)?;
    found.iter().map(|(key, value)| decode(key, value)).collect()
}
