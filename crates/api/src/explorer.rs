//! Records that an explorer looks up beside lists: epochs, windows, parameters, details of a transaction, and the one search field.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An epoch in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpochInfo {
    /// Number, from 0.
    pub number: u64,
    /// Height of its first block; 0 before the first block of all.
    pub first_height: u64,
    /// Height of its last block; `null` of the current one.
    pub last_height: Option<u64>,
    /// Time of its first block; `null` where this node does not hold that block any more.
    pub started: Option<String>,
    /// Number of its facts, so far.
    pub facts: u64,
    /// Merkle root over its facts, which stays in the state for ever; `null` of the current one.
    pub root: Option<String>,
}

/// An epoch with its draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpochDetail {
    /// As in the list.
    #[serde(flatten)]
    pub summary: EpochInfo,
    /// Seed of the draw; `null` where the draw has left the state.
    pub seed: Option<String>,
    /// Height of the block with which the draw was made.
    pub drawn_height: Option<u64>,
    /// Validators that were drawn for each source that is registered now; empty where the draw has left the state.
    pub assignments: Vec<EpochAssignment>,
}

/// Validators that collect a source in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EpochAssignment {
    /// Source.
    pub source: String,
    /// Validators, by address.
    pub validators: Vec<String>,
}

/// A parameter of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParameterInfo {
    /// Subject and name: `windows.open_windows_max`.
    pub name: String,
    /// Value, as text.
    pub value: String,
    /// Unit, where it has one.
    pub unit: Option<String>,
    /// Its rule, for people; empty where this version of the API does not know it.
    pub meaning: String,
}

/// A window of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WindowInfo {
    /// Source.
    pub source: String,
    /// Number of the window.
    pub window: u64,
    /// First moment by the venue's clock; empty of a chain, whose windows are block numbers.
    pub window_start: String,
    /// First moment after it.
    pub window_end: String,
    /// Epoch that its first commitment or attestation pinned.
    pub epoch: u64,
    /// Validator that opened it.
    pub opened_by: String,
    /// Height of the block that opened it.
    pub opened_height: u64,
    /// Height at whose end it closes.
    pub closes_at: u64,
    /// True once it has closed.
    pub closed: bool,
    /// Number of chunks that were agreed on.
    pub accepted: u32,
    /// Streams of which more than two thirds of the power said that there is no chunk.
    pub absent: Vec<String>,
    /// Streams with conflicting words and no quorum.
    pub disputed: Vec<String>,
    /// Streams that too few covered.
    pub uncovered: Vec<String>,
    /// The assigned validators, by address.
    pub validators: Vec<WindowValidator>,
}

/// A validator that was assigned to a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WindowValidator {
    /// Validator.
    pub validator: String,
    /// Its voting power.
    pub power: u64,
    /// True where it has committed to what it will say; once the window has closed, where it never opened that.
    pub committed: bool,
    /// True where it attested the window.
    pub attested: bool,
    /// Streams that it abstained from.
    pub abstained: Vec<String>,
    /// Streams in which it differs from what was decided.
    pub differing: Vec<String>,
}

/// A transaction with what it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionDetail {
    /// As in lists.
    #[serde(flatten)]
    pub summary: crate::TransactionSummary,
    /// Fields of the action of an account, of a ballot or of a commitment, in the order in which they were signed.
    pub fields: Vec<ActionValue>,
    /// Content of an attestation.
    pub attestation: Option<AttestationInfo>,
    /// Content of evidence.
    pub evidence: Option<EvidenceInfo>,
}

/// A field of an action with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionValue {
    /// Name in requests.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: crate::FieldType,
    /// Label.
    pub label: String,
    /// Unit of a number or an amount.
    pub unit: Option<String>,
    /// Value: one text, or several of a list.
    pub values: Vec<String>,
}

/// Content of an attestation: a validator's word about a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttestationInfo {
    /// Source.
    pub source: String,
    /// Number of the window.
    pub window: u64,
    /// Epoch under which the validator acted.
    pub epoch: u64,
    /// Chunks that it claims.
    pub claims: Vec<ClaimInfo>,
    /// Streams that it did not cover.
    pub abstained: Vec<String>,
}

/// A validator's claim of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClaimInfo {
    /// Stream: `BTC.USDT/trades`.
    pub stream: String,
    /// CID of the chunk.
    pub cid: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of its events.
    pub events: u32,
}

/// Content of evidence: two messages of one validator for one step of consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceInfo {
    /// The validator that signed both.
    pub validator: String,
    /// Height that both are about.
    pub height: u64,
    /// Round that both are about.
    pub round: i64,
    /// `proposal`, `prevote` or `precommit`.
    pub step: String,
    /// Hash of the block that the first one names; `null` is a vote for none.
    pub first: Option<String>,
    /// Hash of the block that the second one names.
    pub second: Option<String>,
}

/// Something that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchHit {
    /// Kind.
    pub kind: SearchKind,
    /// By what it is looked up: height, hash, address, id, CID, name; of stamps the hash.
    pub key: String,
    /// Name, for people.
    pub label: String,
    /// A word more about it; may be empty.
    pub detail: String,
}

/// Kind of what a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchKind {
    /// A block, by height.
    Block,
    /// A transaction, by hash.
    Transaction,
    /// An account, by address.
    Account,
    /// A validator, by address.
    Validator,
    /// A source, by id.
    Source,
    /// A chunk, by CID.
    Chunk,
    /// An epoch, by number.
    Epoch,
    /// An incident, by id.
    Incident,
    /// Stamps of a hash.
    Stamp,
    /// Stamps under a topic.
    Topic,
    /// A kind of action.
    Action,
    /// A parameter of the network, by name.
    Parameter,
    /// A pool of the supply, by name.
    Pool,
}
