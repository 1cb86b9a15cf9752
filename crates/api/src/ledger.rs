//! The ledger: status, blocks, validators, transactions, incidents.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Origin;

/// Status of a node and its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of the binary.
    pub version: String,
    /// EIP-155 style chain id, as in the signing domain.
    pub chain_id: u64,
    /// Name of the network.
    pub network: String,
    /// Provenance of the market data.
    pub origin: Origin,
    /// Height of the newest block.
    pub height: u64,
    /// Its hash.
    pub block_hash: String,
    /// Root of the state after it.
    pub state_root: String,
    /// Its time.
    pub time: String,
    /// True where the node is behind its peers.
    pub syncing: bool,
    /// Height of the oldest block that this node holds; one that keeps all has 1. 0 where there is none yet.
    #[serde(default)]
    pub oldest_block: u64,
    /// Disk that the chunks which the network agreed on take at this node, in bytes.
    #[serde(default)]
    pub content_bytes: u64,
    /// The most that they may take, in bytes.
    #[serde(default)]
    pub content_bytes_max: u64,
    /// Number of validators.
    pub validators: u32,
    /// Number of connected consensus peers.
    pub peers: u32,
    /// Transactions waiting.
    pub mempool_transactions: u64,
    /// Market events a second that this node collects, over the last ten seconds.
    pub events_per_second: f64,
    /// Chunks that a quorum agreed on, since genesis.
    pub chunks_accepted: u64,
    /// Chunks on which validators differed without a quorum when their window closed, since genesis.
    pub chunks_disputed: u64,
    /// Chunks that too few validators covered to decide, since genesis.
    #[serde(default)]
    pub chunks_uncovered: u64,
    /// Incidents on the ledger, since genesis.
    pub incidents: u64,
    /// Incidents that this node noticed since it started, of its connections and its duties.
    #[serde(default)]
    pub node_incidents: u64,
    /// Progress of ingestion into this node's tables.
    pub tables: TablesStatus,
    /// Times that the task which follows blocks and events for the API failed and was started again: more than 0 is a bug.
    #[serde(default)]
    pub restarts: u64,
    /// Troubles of the sources that this node collects; empty where all is well.
    #[serde(default)]
    pub troubles: Vec<crate::SourceTrouble>,
    /// Disks of this node's data with too little room; empty where all is well. A node that cannot go on without one of them
    /// answers `disk_full` instead.
    #[serde(default)]
    pub disks: Vec<FullDisk>,
    /// This node.
    pub node: NodeInfo,
}

/// A disk of a node's data that has too little room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FullDisk {
    /// Folder of data that lies on it.
    pub folder: String,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Bytes that the node wants to be free.
    pub least_bytes: u64,
}

/// Progress of ingestion into a node's tables, from which SQL and candles are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TablesStatus {
    /// Height of the newest block whose rows they hold.
    pub height: u64,
    /// Height up to which the chunks that were agreed on are in the tables or counted here; less than `height` for a moment
    /// after a start, and where too many chunks are lacking to count them all.
    pub chunks_height: u64,
    /// Chunks that were agreed on and whose rows are late; a handful is usual.
    pub chunks_awaited: u64,
    /// Chunks that were agreed on and that no connected node holds; they are asked for again from time to time.
    pub chunks_unavailable: u64,
    /// Chunks that were agreed on and given up: their rows are missing for good.
    pub chunks_missing: u64,
}

/// Identity of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeInfo {
    /// Validator address.
    pub address: String,
    /// Name from the genesis file.
    pub name: String,
}

/// A block in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockSummary {
    /// Height.
    pub height: u64,
    /// Hash of the header.
    pub hash: String,
    /// The proposer's time.
    pub time: String,
    /// Address of the proposer.
    pub proposer: String,
    /// Number of transactions.
    pub transactions: u32,
    /// Size of the body in bytes.
    pub bytes: u64,
    /// Round in which it was decided; 0 is the first.
    pub round: i64,
    /// Number of signatures in the certificate.
    pub signatures: u32,
}

/// A whole block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockDetail {
    /// As in the list.
    #[serde(flatten)]
    pub summary: BlockSummary,
    /// Hash of the parent's header.
    pub parent: String,
    /// Root of the state after the parent.
    pub state_root: String,
    /// Merkle root of the transactions.
    pub transactions_root: String,
    /// Hash of the validator set that decides this block.
    pub validators_hash: String,
    /// Fees of the block; `null` where this node does not hold its receipts.
    pub fees: Option<BlockFeesInfo>,
    /// Transactions in order.
    pub transaction_list: Vec<TransactionSummary>,
    /// False where this node does not hold the block's receipts, so that its transactions are not listed: the block of the
    /// snapshot by which the node joined. An archive has them.
    pub has_receipts: bool,
    /// Signatures of the validators.
    pub certificate: Vec<CertificateSignature>,
}

/// Fees of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockFeesInfo {
    /// Base fee of a unit of weight, in 10^-18 OPEN.
    pub base_fee: String,
    /// Base fees that were burnt, in 10^-18 OPEN.
    pub burnt: String,
    /// Tips that the proposer got, in 10^-18 OPEN.
    pub tips: String,
    /// Share of the room for account transactions that was taken, in millionths.
    pub load: u64,
}

/// One validator's signature on a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateSignature {
    /// Validator.
    pub validator: String,
    /// ed25519 signature, hexadecimal.
    pub signature: String,
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionSummary {
    /// SHA-256 of its canonical bytes.
    pub hash: String,
    /// Height of its block; `null` while it waits.
    pub height: Option<u64>,
    /// Position in its block, from 0; `null` while it waits.
    #[serde(default)]
    pub index: Option<u32>,
    /// Time of its block; `null` while it waits.
    #[serde(default)]
    pub time: Option<String>,
    /// Its class.
    pub class: TransactionClass,
    /// Sender's address: the validator's, for an attestation; of evidence, the validator that it names.
    pub sender: String,
    /// The sender's nonce; `null` for attestations.
    #[serde(default)]
    pub nonce: Option<u64>,
    /// Kind of action: `transfer`, `register_source` and so on as the ledger's modules name them; `attestation`, `evidence`,
    /// `approve_upgrade`, `withdraw_upgrade`, `upgrade_ready`, `set_payout`, or `unknown` where it cannot be decoded.
    #[serde(default)]
    pub kind: String,
    /// Receiver of a transfer.
    #[serde(default)]
    pub to: Option<String>,
    /// Amount of a transfer, in 10^-18 OPEN.
    #[serde(default)]
    pub amount: Option<String>,
    /// Its effect in words.
    pub action: String,
    /// Fee in 10^-18 OPEN: the most that is offered while it waits, paid once it is committed (nothing where it was refused).
    pub fee: String,
    /// Tip in it: the most that is offered while it waits, then the proposer's; the rest of the fee was burnt. In 10^-18 OPEN.
    pub tip: String,
    /// Most that it offered for both, in 10^-18 OPEN; `null` for attestations and evidence.
    #[serde(default)]
    pub max_fee: Option<String>,
    /// Size in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// True where it took effect.
    pub ok: bool,
    /// Reason where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The ledger's word for that reason, such as `overdraft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Advice on what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_hint: Option<String>,
}

/// The class of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionClass {
    /// Of an account: signed by a wallet, pays a fee.
    Account,
    /// Of a validator.
    Attestation,
    /// About a validator: two messages of consensus that it must not both have signed.
    Evidence,
    /// Of a validator: a ballot about upgrades.
    Upgrade,
}

/// A validator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorInfo {
    /// Address.
    pub address: String,
    /// ed25519 key.
    pub public_key: String,
    /// Name from the genesis file.
    pub name: String,
    /// Voting power.
    pub power: u64,
    /// Share of the total power, 0 to 1.
    pub share: f64,
    /// Blocks proposed among the recent ones.
    pub proposed: u64,
    /// Signatures among the recent blocks.
    pub signed_recent: u64,
    /// Number of recent blocks looked at.
    pub recent: u64,
    /// Last height that it signed.
    pub last_signed_height: Option<u64>,
    /// Attestations included since genesis.
    pub attested: u64,
    /// Times its data differed from the agreed.
    pub differing: u64,
    /// Windows it was assigned and sent nothing.
    pub missing: u64,
    /// Windows that it committed to and never opened: it counted as abstaining.
    pub unopened: u64,
    /// Windows in which it repeated another validator's commitment.
    pub copied: u64,
}

/// Something that went wrong, on the ledger or at this site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IncidentInfo {
    /// Stable id.
    pub id: String,
    /// Time; empty where it is that of a block which this node does not hold any more.
    pub time: String,
    /// Kind of fault.
    pub kind: IncidentKind,
    /// Source.
    pub source: Option<String>,
    /// Window index.
    pub window: Option<u64>,
    /// Stream: `BTC.USDT/trades`.
    pub stream: Option<String>,
    /// Validator that is named.
    pub validator: Option<String>,
    /// For people.
    pub detail: String,
    /// Height, for incidents on the ledger.
    pub height: Option<u64>,
    /// Origin of the incident.
    pub site: IncidentSite,
}

/// Kind of an incident: the first ones are named by the ledger, the others seen by a site's collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// A validator attested another chunk than the quorum.
    Differing,
    /// An assigned validator attested nothing before the window closed.
    Missing,
    /// A window closed without agreement about a stream.
    Disputed,
    /// A window closed without agreement about a stream because too few covered it.
    Uncovered,
    /// A validator signed two conflicting messages of consensus.
    Equivocation,
    /// A validator repeated another one's commitment, which only that one could open.
    Copied,
    /// Sequence numbers jumped: something was missed.
    Gap,
    /// The venue's checksum is not that of the book here.
    Checksum,
    /// A frame that is not what the venue's documents say.
    Garbage,
    /// A connection ended.
    Disconnected,
    /// The venue refused something: a subscription, or too many requests.
    Refused,
    /// A book whose best bid is not below its best ask.
    Crossed,
    /// Nothing was heard for longer than the venue's heartbeat allows.
    Silence,
    /// The collector took a chunk back before it was attested.
    ChunkWithdrawn,
    /// The collector took a chunk back after it had been attested.
    AttestedChunkWithdrawn,
    /// Too many windows waited to be attested: this one was given up.
    WindowNotAttested,
}

impl IncidentKind {
    /// The word as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            IncidentKind::Differing => "differing",
            IncidentKind::Missing => "missing",
            IncidentKind::Disputed => "disputed",
            IncidentKind::Uncovered => "uncovered",
            IncidentKind::Equivocation => "equivocation",
            IncidentKind::Copied => "copied",
            IncidentKind::Gap => "gap",
            IncidentKind::Checksum => "checksum",
            IncidentKind::Garbage => "garbage",
            IncidentKind::Disconnected => "disconnected",
            IncidentKind::Refused => "refused",
            IncidentKind::Crossed => "crossed",
            IncidentKind::Silence => "silence",
            IncidentKind::ChunkWithdrawn => "chunk_withdrawn",
            IncidentKind::AttestedChunkWithdrawn => "attested_chunk_withdrawn",
            IncidentKind::WindowNotAttested => "window_not_attested",
        }
    }
}

impl std::fmt::Display for IncidentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Origin of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentSite {
    /// The ledger: agreed by all.
    Ledger,
    /// This site's collector.
    Collector,
    /// This site's duties as a validator.
    Duties,
}
