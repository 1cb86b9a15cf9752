//! What the execution of a block gives: writes, receipts, events, incidents.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount, ContentId, Digest, Height};
use serde::{Deserialize, Serialize};

use crate::{Class, Origin, TransactionError};

/// The outcome of a block, to be stored by somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// State keys and their new values; `None` deletes.
    pub writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// One for each transaction, in the block's order.
    pub receipts: Vec<Receipt>,
    /// What happened, in order.
    pub events: Vec<LedgerEvent>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Receipt {
    /// SHA-256 of the transaction.
    pub hash: Digest,
    /// Position in the block.
    pub index: u32,
    /// Its class.
    pub class: Class,
    /// Account or validator; unknown where the signature does not verify.
    pub sender: Option<Address>,
    /// Of an account's transaction.
    pub nonce: Option<u64>,
    /// Paid; zero if refused.
    pub fee: Amount,
    /// Why it was refused; `None`: it took effect.
    pub error: Option<TransactionError>,
}

/// What happened in a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LedgerEvent {
    /// More than two thirds of the assigned power named the same chunk.
    ChunkAccepted {
        /// The source's id.
        source: String,
        /// Where the source's data comes from.
        origin: Origin,
        /// Number of the window.
        window: u64,
        /// `<symbol>/<feed>`.
        stream: String,
        /// The chunk.
        cid: ContentId,
        /// Its bytes.
        bytes: u64,
        /// Its events.
        events: u32,
        /// Validators that had named it when it was accepted.
        attesters: Vec<Address>,
        /// Of the block.
        height: Height,
    },
    /// A window takes no more attestations.
    WindowClosed {
        /// The source's id.
        source: String,
        /// Number of the window.
        window: u64,
        /// Epoch of its assignment.
        epoch: u64,
        /// How many chunks were accepted.
        accepted: u32,
        /// Streams without agreement.
        disputed: Vec<String>,
        /// Assigned validators that sent nothing.
        missing: Vec<Address>,
        /// Of the block.
        height: Height,
    },
    /// Something that a person may want to look at.
    Incident(LedgerIncident),
    /// A transfer took effect.
    Transferred {
        /// Sender.
        from: Address,
        /// Receiver.
        to: Address,
        /// In units of 10^-18 OPEN.
        amount: Amount,
        /// Hash of the transaction.
        transaction: Digest,
        /// Of the block.
        height: Height,
    },
    /// A source was registered.
    SourceRegistered {
        /// The source's id.
        id: String,
        /// Who registered it.
        owner: Address,
        /// From which epoch on it takes attestations.
        active_from_epoch: u64,
        /// Of the block.
        height: Height,
    },
    /// A validator's statement about a window took effect: it names what was accepted, but for the streams in which an
    /// incident before this says that it differs.
    Attested {
        /// The source's id.
        source: String,
        /// Number of the window.
        window: u64,
        /// Who said it.
        validator: Address,
        /// Of the block.
        height: Height,
    },
}

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// A validator named another chunk than more than two thirds of the power, or one where those saw none, or none
    /// where those named one.
    Differing,
    /// An assigned validator sent nothing before the window closed; without validator: nobody attested the window.
    Missing,
    /// The window closed without agreement about a stream; without stream: about the window.
    Disputed,
    /// A validator signed two conflicting messages of consensus. The source is `consensus`, the window the height, and
    /// the stream the step: `proposal`, `prevote` or `precommit`.
    Equivocation,
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
    /// Whom it names, if anybody.
    pub validator: Option<Address>,
    /// A sentence for people.
    pub detail: String,
    /// Of the block.
    pub height: Height,
    /// Number within the block.
    pub number: u32,
}

impl Receipt {
    /// Whether the transaction took effect.
    pub const fn ok(&self) -> bool {
        self.error.is_none()
    }
}

impl IncidentKind {
    /// `differing`, `missing`, `disputed` or `equivocation`, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            IncidentKind::Differing => "differing",
            IncidentKind::Missing => "missing",
            IncidentKind::Disputed => "disputed",
            IncidentKind::Equivocation => "equivocation",
        }
    }
}

impl LedgerIncident {
    /// `<height>-<number>`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.height, self.number)
    }
}
