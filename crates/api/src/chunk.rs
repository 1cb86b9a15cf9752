//! Sources, chunks and their proofs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Origin;

/// A registered source and how it is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceInfo {
    /// Id: `kraken`.
    pub id: String,
    /// Exchange or chain.
    pub exchange: String,
    /// Kind of data.
    pub kind: crate::SourceKind,
    /// Provenance of its data.
    pub origin: Origin,
    /// Instruments.
    pub symbols: Vec<String>,
    /// Feeds.
    pub feeds: Vec<String>,
    /// Length of a window in milliseconds of the venue's clock.
    pub window_ms: u64,
    /// Validators assigned in the current epoch.
    pub assigned: Vec<String>,
    /// The current epoch.
    pub epoch: u64,
    /// Newest window with an accepted chunk.
    pub last_window: Option<u64>,
    /// The venue's time of the newest event at this site; of a chain, when its newest block was agreed on.
    pub last_event_time: Option<String>,
    /// Milliseconds since this site last heard from the source; of a chain, since a block of it was agreed on.
    pub silent_ms: Option<u64>,
    /// True where the source has been silent for longer than its watchdog allows: what is shown may be old.
    pub stale: bool,
    /// Events a second at this site, over the last ten seconds.
    pub events_per_second: f64,
    /// Incidents at this site since it started.
    pub incidents: u64,
    /// Collection at this site; `null` where this node does not collect the source.
    #[serde(default)]
    pub collection: Option<SourceCollection>,
}

/// Collection of a source at one site, since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceCollection {
    /// Connections to the venue.
    pub connections: u32,
    /// Connections that are open.
    pub connections_open: u32,
    /// Books in step with the venue.
    pub books_in_step: u32,
    /// Time of the last frame.
    pub last_frame: Option<String>,
    /// Capture time less the venue's time of the last trade or book change, in milliseconds.
    pub lag_ms: i64,
    /// Chunks of closed windows that this site vouched for.
    pub chunks_covered: u64,
    /// Streams' windows that it could not vouch for.
    pub chunks_not_covered: u64,
    /// Chunks that it withdrew after it had vouched for them.
    pub chunks_withdrawn: u64,
    /// Lines of raw frames that could not be archived.
    pub lines_lost: u64,
    /// Last incident, for people.
    pub last_incident: Option<String>,
    /// Troubles now.
    pub troubles: Vec<SourceTrouble>,
}

/// Trouble of a source at a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceTrouble {
    /// Source.
    pub source: String,
    /// Kind.
    pub kind: TroubleKind,
    /// Details, for people.
    pub detail: String,
}

/// Kind of a source's trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// Nothing was heard for longer than the watchdog allows.
    Silent,
    /// The venue makes this address wait.
    Banned,
    /// The archive or the disk does not take what was collected.
    Archive,
    /// A reader of the collector's outputs takes nothing.
    Outputs,
}

/// A chunk: one stream in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChunkInfo {
    /// CID; `null` unless accepted.
    pub cid: Option<String>,
    /// Source.
    pub source: String,
    /// Provenance of its data.
    pub origin: Origin,
    /// Window index.
    pub window: u64,
    /// First moment of the window by the venue's clock.
    pub window_start: String,
    /// First moment after it.
    pub window_end: String,
    /// Stream: `BTC.USDT/trades`.
    pub stream: String,
    /// Agreement on it.
    pub status: ChunkStatus,
    /// Number of events.
    pub events: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// Height at which it was accepted (or closed without quorum).
    pub height: u64,
    /// Validators that attested this CID.
    pub attesters: Vec<String>,
    /// Validators that attested a different CID.
    pub differing: Vec<String>,
    /// True where this node holds the bytes.
    pub held: bool,
}

/// Agreement on a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChunkStatus {
    /// More than two thirds of the assigned power named the same CID.
    Accepted,
    /// The window closed without quorum, and those who covered the stream differ.
    Disputed,
    /// The window closed without a decision because too few covered the stream; accuses nobody.
    Uncovered,
}

/// Version of [`ProofBundle`] that is written and read.
pub const PROOF_BUNDLE_VERSION: u16 = 2;

/// Proof of an agreed chunk that can be checked offline against the validators of the genesis: see `openmesh verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofBundle {
    /// Format version: [`PROOF_BUNDLE_VERSION`].
    pub version: u16,
    /// Chain id that the votes carry.
    pub chain_id: u64,
    /// CID of the chunk's canonical bytes.
    pub cid: String,
    /// Source.
    pub source: String,
    /// Number of the window.
    pub window: u64,
    /// Stream: `BTC.USDT/trades`.
    pub stream: String,
    /// Key in the ledger's state, hexadecimal.
    pub state_key: String,
    /// Canonical bytes of the value at the key, hexadecimal.
    pub state_value: String,
    /// Canonical bytes of the Merkle proof, hexadecimal.
    pub state_proof: String,
    /// Canonical bytes of the header that carries the state root, hexadecimal.
    pub header: String,
    /// Canonical bytes of the certificate of that header, hexadecimal.
    pub certificate: String,
    /// Canonical bytes of the agreement as a fact with its path to the root of its epoch, hexadecimal. Given where the chunk's entry has
    /// left the state: key, value and proof are then of the closed epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<String>,
    /// Changes of the validator set from the genesis up to the header, ascending; empty where there was none.
    pub changes: Vec<ProvenValidatorChange>,
}

/// Change of the validator set, certified by the set before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvenValidatorChange {
    /// Canonical bytes of the last header that the old set decided, hexadecimal.
    pub header: String,
    /// Canonical bytes of the old set's certificate of that header, hexadecimal.
    pub certificate: String,
    /// Canonical bytes of the new set, hexadecimal.
    pub validators: String,
}
