//! Incidents of this node's duties. They stand on no ledger: other nodes may have seen nothing of them.

use openmesh_primitives::Timestamp;

use crate::attester::Withdrawn;
use crate::window::{WindowName, Withdrawal};

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeIncidentKind {
    /// A chunk was taken back before its window was attested; it is not claimed.
    ChunkWithdrawn,
    /// A chunk was taken back after the attestation that claims it had been sent.
    AttestedChunkWithdrawn,
    /// Too many windows waited: one was given up and is not attested.
    WindowNotAttested,
}

impl NodeIncidentKind {
    /// The name in answers and tables.
    pub const fn name(self) -> &'static str {
        match self {
            NodeIncidentKind::ChunkWithdrawn => "chunk_withdrawn",
            NodeIncidentKind::AttestedChunkWithdrawn => "attested_chunk_withdrawn",
            NodeIncidentKind::WindowNotAttested => "window_not_attested",
        }
    }
}

/// An incident of a duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIncident {
    /// Time at which this node noticed it.
    pub time: Timestamp,
    /// Its kind.
    pub kind: NodeIncidentKind,
    /// The window concerned.
    pub window: WindowName,
    /// The stream concerned, where it is one: `BTC.USD/trades`.
    pub stream: Option<String>,
    /// A sentence for people.
    pub detail: String,
}

impl NodeIncident {
    /// The incident of a withdrawn chunk.
    pub fn of_withdrawal(withdrawal: &Withdrawal, outcome: Withdrawn, time: Timestamp) -> NodeIncident {
        let (kind, what) = match outcome {
            Withdrawn::Unsent => (NodeIncidentKind::ChunkWithdrawn, "it is not attested"),
            Withdrawn::Sent => (NodeIncidentKind::AttestedChunkWithdrawn, "its attestation was sent before"),
        };
        NodeIncident {
            time,
            kind,
            window: withdrawal.name.clone(),
            stream: Some(withdrawal.stream.clone()),
            detail: format!("withdrawn by the collector ({}); {what}", withdrawal.reason),
        }
    }

    /// The incident of a window that was given up.
    pub fn of_given_up(window: WindowName, time: Timestamp) -> NodeIncident {
        let detail = "too many windows waited to be attested: the ledger takes none, or this node is too slow".into();
        NodeIncident { time, kind: NodeIncidentKind::WindowNotAttested, window, stream: None, detail }
    }
}
