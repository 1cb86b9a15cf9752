//! Agreement of the validators: windows of sources as a matrix.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Origin;

/// The last windows of each source, and how each validator stood to them. Read from the ledger's state, so it has no
/// horizon but the network's beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreementMatrix {
    /// Height of the state that was read.
    pub height: u64,
    /// The validators that `votes` speaks of, in that order.
    pub validators: Vec<AgreementValidator>,
    /// One for each source.
    pub sources: Vec<AgreementRow>,
}

/// A validator of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreementValidator {
    /// Address.
    pub address: String,
    /// Name from the genesis file.
    pub name: String,
}

/// The windows of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreementRow {
    /// The source.
    pub source: String,
    /// Provenance of its data.
    pub origin: Origin,
    /// Kind of data.
    pub kind: SourceKind,
    /// Length of a window in milliseconds of the venue's clock.
    pub window_ms: u64,
    /// Oldest first, without gaps: a window between two others that nobody attested is `missing`.
    pub windows: Vec<AgreementCell>,
    /// Pass as `before` for the windows before these; `null` at the beginning.
    pub next: Option<u64>,
}

/// One window of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreementCell {
    /// Window index.
    pub window: u64,
    /// First moment of the window by the venue's clock; empty for a chain's, which are block numbers.
    pub window_start: String,
    /// Agreement of the validators.
    pub status: WindowStatus,
    /// True where it takes no more attestations.
    pub closed: bool,
    /// Streams with an accepted chunk.
    pub accepted: u32,
    /// Streams without quorum when it closed, on which those who covered them differ.
    pub disputed: u32,
    /// Streams without a decision when it closed, because too few covered them.
    pub uncovered: u32,
    /// Streams in which somebody differed from what was agreed.
    pub differing: u32,
    /// One for each of the matrix's validators, in their order.
    pub votes: Vec<Vote>,
}

/// Agreement of the validators on a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowStatus {
    /// A quorum agreed on every stream, and nobody differed.
    Agreed,
    /// A stream has no quorum, or somebody differed.
    Partly,
    /// No stream has a quorum, and validators contradict each other.
    Disputed,
    /// No stream has a quorum because too few covered them; accuses nobody.
    Uncovered,
    /// Nobody attested it.
    Missing,
    /// Attestations are still coming.
    Open,
}

/// Vote of a validator on a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// It attested, and nothing that it said differs from what was agreed.
    Agreed,
    /// It attested something else in some stream.
    Differing,
    /// It attested, and said of some stream that it did not cover it.
    Abstained,
    /// It was assigned and sent nothing before the window closed.
    Missing,
    /// It was assigned and may still send.
    Waiting,
    /// It was not assigned.
    NotAssigned,
}

/// Kind of data that a source collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A venue: its windows are times.
    Market,
    /// A chain: its windows are block numbers.
    Chain,
}
