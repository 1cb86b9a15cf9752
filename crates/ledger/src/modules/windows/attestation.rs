//! The form of attestations: a validator's statement about a window.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{
    Address, ContentId, Digest, KeyError, ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical, sha256,
};
use serde::{Deserialize, Serialize};

use super::limits::CHUNK_CLAIMS_MAX;

/// Sets these bytes apart from everything else that a validator's key signs.
const DOMAIN: &str = "openmesh/attestation/3";
/// In front of what a commitment is the hash of.
const SEAL_DOMAIN: &str = "openmesh/seal/1";
/// In front of what is signed for a salt. Such a signature is never shown.
const SALT_DOMAIN: &str = "openmesh/salt/1";

/// One stream's chunk as one validator computed it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ChunkClaim {
    /// `<symbol>/<feed>`: `BTC.USDT/trades`.
    pub stream: String,
    /// CID of the canonical bytes.
    pub cid: ContentId,
    /// Their number.
    pub bytes: u64,
    /// Number of events in the chunk.
    pub events: u32,
}

/// A validator's statement about all streams of one window of one source. Of a stream that is neither claimed nor
/// abstained from it says that there is no chunk.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Attestation {
    /// The network's number.
    pub chain_id: u64,
    /// The validator's key; its address follows from it, so the signature can be checked without any state.
    pub public_key: ValidatorPublicKey,
    /// The source's id.
    pub source: String,
    /// Number of the window on the source's own clock: it begins at `window * window_ms` since 1970.
    pub window: u64,
    /// The epoch whose assignment the validator acts under.
    pub epoch: u64,
    /// Claims in ascending order of stream, each stream once.
    pub chunks: Vec<ChunkClaim>,
    /// Streams that the validator did not cover, in ascending order, none of them claimed. This accuses nobody.
    pub abstained: Vec<String>,
    /// Random to everybody else, so that nobody can guess what is under the seal; shown only now.
    pub salt: Digest,
    /// Over everything above.
    pub signature: ValidatorSignature,
}

impl Attestation {
    /// Signs a statement; claims and abstentions are put in order.
    pub fn sign(
        key: &ValidatorKey,
        chain_id: u64,
        source: &str,
        window: u64,
        epoch: u64,
        mut chunks: Vec<ChunkClaim>,
        mut abstained: Vec<String>,
    ) -> Attestation {
        chunks.sort();
        abstained.sort();
        let mut attestation = Attestation {
            chain_id,
            public_key: key.public(),
            source: source.to_string(),
            window,
            epoch,
            chunks,
            abstained,
            salt: salt(key, chain_id, source, window),
            signature: ValidatorSignature([0; 64]),
        };
        attestation.signature = key.sign(&attestation.sign_bytes());
        attestation
    }

    /// The validator's address.
    pub fn validator(&self) -> Address {
        self.public_key.address()
    }

    /// The bytes under the signature: the domain, then all fields but the signature, canonical.
    pub fn sign_bytes(&self) -> Vec<u8> {
        canonical::encode(&(
            DOMAIN,
            self.chain_id,
            self.public_key,
            &self.source,
            self.window,
            self.epoch,
            &self.chunks,
            &self.abstained,
            &self.salt,
        ))
    }

    /// The seal under which the validator commits to this statement: a hash that holds its address, so that it is of no use to anybody else.
    pub fn seal(&self) -> Digest {
        let of = (&self.source, self.window, self.validator(), &self.salt);
        sha256(&[&canonical::encode(&(SEAL_DOMAIN, self.chain_id, of, &self.chunks, &self.abstained))])
    }

    /// Returns true if it claims nothing and abstains from something: then it abstains from every stream.
    pub fn abstains_from_all(&self) -> bool {
        self.chunks.is_empty() && !self.abstained.is_empty()
    }

    /// Checks the signature.
    pub fn verify(&self) -> Result<(), KeyError> {
        self.public_key.verify(&self.sign_bytes(), &self.signature)
    }

    /// The fault of the lists of claims and abstentions, if there is one.
    pub(crate) fn claims_fault(&self) -> Option<&'static str> {
        if self.chunks.len() + self.abstained.len() > CHUNK_CLAIMS_MAX {
            return Some("too many claims and abstentions");
        }
        if !self.chunks.is_sorted_by(|a, b| a.stream < b.stream) {
            return Some("claims must be in ascending order of stream, each stream once");
        }
        if !self.abstained.is_sorted_by(|a, b| a < b) {
            return Some("abstentions must be in ascending order, each stream once");
        }
        let claimed = |stream: &String| self.chunks.binary_search_by(|claim| claim.stream.cmp(stream)).is_ok();
        self.abstained.iter().any(claimed).then_some("a stream is claimed and abstained from")
    }

    /// All streams that it names.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &String> {
        self.chunks.iter().map(|claim| &claim.stream).chain(&self.abstained)
    }
}

/// The salt of a validator's statement about a window. It follows from the key, so that a crash loses none, and from nothing that
/// anybody else knows: ed25519 signatures of a key are the same each time (RFC 8032), and this one stays here.
fn salt(key: &ValidatorKey, chain_id: u64, source: &str, window: u64) -> Digest {
    sha256(&[&key.sign(&canonical::encode(&(SALT_DOMAIN, chain_id, source, window))).0])
}
