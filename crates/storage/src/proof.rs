//! Proofs that a key has a value, or none, in the state with a given root. Checked without any store.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use jmt::proof::SparseMerkleProof;
use jmt::{KeyHash, RootHash};
use openmesh_ledger::keys;
use openmesh_primitives::{Digest, canonical, sha256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

/// Largest proof that is read from text, bytes: 256 siblings of at most 70 bytes, and the leaf.
const PROOF_BYTES_MAX: usize = 20_000;

/// A path of hashes from a key's place in the tree to the root. As text: hexadecimal of its canonical bytes.
#[derive(Clone, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct StateProof(SparseMerkleProof<Sha256>);

/// Errors of checking a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not the form of a proof.
    #[error("not a proof: {0}")]
    Syntax(String),
    /// A proof, but not of this.
    #[error("the proof does not lead from this key and value to this root: {0}")]
    Mismatch(String),
}

impl StateProof {
    pub(crate) fn new(proof: SparseMerkleProof<Sha256>) -> StateProof {
        StateProof(proof)
    }
}

/// First byte of the places of closed epochs.
const CLOSED_EPOCHS_BYTE: u8 = 0;

/// The place of a key of the state in the tree: its hash, but for closed epochs, which have the first byte in common. One of them comes each hour and
/// stays for ever. Among all other keys they would lengthen every path, of which the store keeps thousands of versions, a little with each; in a part of
/// the tree of their own they lengthen only theirs. One byte, so that a join can still fetch that part in pieces.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    let mut place = sha256(&[key]).0;
    if key.starts_with(keys::CLOSED_EPOCHS) {
        place[0] = CLOSED_EPOCHS_BYTE;
    }
    KeyHash(place)
}

/// Checks that `key` has `value` (`None`: no value) in the state with this root.
pub fn verify_proof(root: &Digest, key: &[u8], value: Option<&[u8]>, proof: &StateProof) -> Result<(), ProofError> {
    proof.0.verify(RootHash(root.0), key_hash(key), value).map_err(|e| ProofError::Mismatch(e.to_string()))
}

impl fmt::Display for StateProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(canonical::encode(self)))
    }
}

impl fmt::Debug for StateProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateProof({self})")
    }
}

impl FromStr for StateProof {
    type Err = ProofError;
    fn from_str(text: &str) -> Result<StateProof, ProofError> {
        if text.len() > 2 * PROOF_BYTES_MAX {
            return Err(ProofError::Syntax(format!("longer than {PROOF_BYTES_MAX} bytes")));
        }
        let bytes = hex::decode(text).map_err(|e| ProofError::Syntax(e.to_string()))?;
        canonical::decode(&bytes).map_err(|e| ProofError::Syntax(e.to_string()))
    }
}

impl Serialize for StateProof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StateProof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StateProof, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
