//! Stamps: hashes with a topic on the ledger, and their proofs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A stamp: an account knew the bytes of a hash when a block was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StampInfo {
    /// SHA-256 of what is stamped.
    pub hash: String,
    /// The same hash as the CID of a raw block.
    pub cid: String,
    /// Topic: `xnode.drill`.
    pub topic: String,
    /// Address of the account that stamped it.
    pub account: String,
    /// The account's word about it, such as a CID; may be empty.
    pub note: String,
    /// Height of the block.
    pub height: u64,
    /// Number among the stamps of the block, from 0.
    pub number: u32,
    /// Time of the block.
    pub time: String,
    /// Hash of the transaction.
    pub transaction: String,
}

/// Version of [`StampProof`] that is written and read.
pub const STAMP_PROOF_VERSION: u16 = 1;

/// Proof of a stamp that can be checked offline against the validators of the genesis: see `openmesh stamp check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StampProof {
    /// Format version: [`STAMP_PROOF_VERSION`].
    pub version: u16,
    /// Chain id that the votes carry.
    pub chain_id: u64,
    /// The stamp, for people: what is proved is what stands in the entry or the fact.
    pub stamp: StampInfo,
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
    /// Canonical bytes of the stamp as a fact with its path to the root of its epoch, hexadecimal. Given where the stamp has left the
    /// state: key, value and proof are then of the closed epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<String>,
    /// Changes of the validator set from the genesis up to the header, ascending; empty where there was none.
    pub changes: Vec<crate::ProvenValidatorChange>,
}
