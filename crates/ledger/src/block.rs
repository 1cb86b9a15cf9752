//! Blocks, headers and the certificates that decide them. Clause B of `docs/spec/transactions.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, Height, Timestamp, ValidatorSignature, VrfProof, canonical, sha256};
use serde::{Deserialize, Serialize};

use crate::modules::evidence::EVIDENCE_PER_BLOCK_MAX;
use crate::params::Params;

/// Version of the header under the first rule set; 1, without the last commit, and 2, without the beacon, were never released. The two
/// bytes of the version stand first in a header, and with it in a block, and those of the chain id after them, so that every later form can be told
/// from this one.
pub const HEADER_VERSION: u16 = 3;

/// Versions of headers that this program reads, of whatever age the block is.
pub const HEADER_VERSIONS: &[u16] = &[HEADER_VERSION];

/// The header of a block: everything but its transactions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Header {
    /// Version of its form: that of the rule set in force ([`HEADER_VERSION`] for the first).
    pub version: u16,
    /// The network's number.
    pub chain_id: u64,
    /// First block: 1.
    pub height: Height,
    /// The proposer's time, later than the parent's.
    pub time: Timestamp,
    /// Hash of the parent's header; for height 1 the hash of the genesis.
    pub parent: Digest,
    /// Root of the state after the parent, as in CometBFT (app hash).
    pub state_root: Digest,
    /// [`transactions_root`].
    pub transactions_root: Digest,
    /// Hash of [`Block::last_commit`]'s canonical bytes; zero at height 1.
    pub last_commit_hash: Digest,
    /// The validator that proposed it, and that earns its fees.
    pub proposer: Address,
    /// [`crate::ValidatorSet::hash`] of the set that decides this height.
    pub validators_hash: Digest,
    /// The same for the next height.
    pub next_validators_hash: Digest,
    /// Proof of the proposer's output for [`crate::beacon_input`]: the block's part in the beacon.
    pub beacon_proof: VrfProof,
}

/// A header and its transactions' canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Precommits that decided the parent, as far as the proposer had heard when it proposed: more than two thirds, and with them
    /// the precommits that came later, as in CometBFT. `None` at height 1.
    pub last_commit: Option<Certificate>,
    /// Evidence first, then attestations, then account transactions.
    pub transactions: Vec<Vec<u8>>,
}

/// Precommits of more than two thirds of the power for one block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Certificate {
    /// Height decided.
    pub height: Height,
    /// Round in which it was.
    pub round: i64,
    /// Hash of the block's header.
    pub block_hash: Digest,
    /// Signatures by validator, each once.
    pub signatures: Vec<(Address, ValidatorSignature)>,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Tip {
    /// Of the last block; 0 after genesis.
    pub height: Height,
    /// Its hash; after genesis that of the genesis.
    pub block_hash: Digest,
    /// Root of the state after it.
    pub state_root: Digest,
    /// Its time.
    pub time: Timestamp,
}

/// Room in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Most bytes of transactions.
    pub bytes_max: u64,
    /// Of these, room that account transactions may not take.
    pub attestation_bytes_reserved: u64,
    /// Most transactions, each counted with its weight.
    pub transactions_max: u64,
}

/// A fault of a block, whatever the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Another version of the header than that of the rule set in force.
    #[error("header version {got}: {expected} is expected")]
    Version {
        /// That of the rule set.
        expected: u16,
        /// In the header.
        got: u16,
    },
    /// The header names another set of transactions.
    #[error("the header's transactions root does not belong to the block's transactions")]
    TransactionsRoot,
    /// Too many bytes in transactions.
    #[error("the transactions are {bytes} bytes, {bytes_max} are allowed")]
    Bytes {
        /// As they are.
        bytes: u64,
        /// As allowed.
        bytes_max: u64,
    },
    /// Account transactions in the room that belongs to attestations.
    #[error(
        "the account transactions are {bytes} bytes, {bytes_max} are allowed beside the room reserved for attestations"
    )]
    ReservedRoom {
        /// As they are.
        bytes: u64,
        /// As allowed.
        bytes_max: u64,
    },
    /// Too many transactions.
    #[error("{count} transactions, {count_max} are allowed")]
    Count {
        /// As they are.
        count: u64,
        /// As allowed.
        count_max: u64,
    },
    /// Bytes that are no transaction.
    #[error("transaction {index} cannot be decoded: {reason}")]
    Undecodable {
        /// Position in the block.
        index: usize,
        /// The reason as the decoder gives it.
        reason: String,
    },
    /// An action that the rule set in force does not have.
    #[error("transaction {index} has an action with tag {tag}, which is not one of rule set {version}")]
    Action {
        /// Position in the block.
        index: usize,
        /// Of the action.
        tag: u8,
        /// The rule set.
        version: u32,
    },
    /// Evidence after an attestation, or either after an account transaction.
    #[error("transaction {0} stands after one of a later class: evidence, attestations, account transactions")]
    Order(usize),
    /// Too much evidence.
    #[error("{0} pieces of evidence, {EVIDENCE_PER_BLOCK_MAX} are allowed")]
    Evidence(usize),
    /// The header names another commit of the parent.
    #[error("the header's hash of the last commit does not belong to the block's last commit")]
    LastCommit,
    /// The same transaction twice.
    #[error("transaction {0} stands twice in the block")]
    Twice(usize),
    /// The proposer is no validator.
    #[error("the proposer {0} is not a validator of this height")]
    Proposer(Address),
    /// The header's part in the beacon is no proof at all.
    #[error("the header's beacon proof is not one of a verifiable random function")]
    BeaconProof,
}

impl BlockLimits {
    /// The network's.
    pub const fn of(params: &Params) -> BlockLimits {
        BlockLimits {
            bytes_max: params.blocks.block_bytes_max,
            attestation_bytes_reserved: params.blocks.attestation_bytes_reserved,
            transactions_max: params.blocks.block_transactions_max,
        }
    }

    /// Most bytes of account transactions.
    pub const fn account_bytes_max(&self) -> u64 {
        self.bytes_max.saturating_sub(self.attestation_bytes_reserved)
    }
}

impl Header {
    /// SHA-256 of the canonical bytes.
    pub fn hash(&self) -> Digest {
        sha256(&[&canonical::encode(self)])
    }
}

impl Block {
    /// The header's hash: the header names the transactions.
    pub fn hash(&self) -> Digest {
        self.header.hash()
    }

    /// Sum of the transactions' bytes.
    pub fn transaction_bytes(&self) -> u64 {
        self.transactions.iter().map(|t| t.len() as u64).sum()
    }
}

/// The hash in a header of its block's last commit; zero without one.
pub fn commit_hash(last_commit: Option<&Certificate>) -> Digest {
    last_commit.map_or(Digest::ZERO, |commit| sha256(&[&canonical::encode(commit)]))
}
