//! The form of commitments: a validator's word on a window, sealed until it is too late to copy it.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Digest, KeyError, ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical};
use serde::{Deserialize, Serialize};

use super::attestation::Attestation;

/// Sets these bytes apart from everything else that a validator's key signs.
const DOMAIN: &str = "openmesh/commitment/1";

/// A validator's seal on what it will say of a window: nobody can tell what is under it, and nobody else can open it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Commitment {
    /// The network's number.
    pub chain_id: u64,
    /// The validator's key.
    pub public_key: ValidatorPublicKey,
    /// The source's id.
    pub source: String,
    /// Number of the window.
    pub window: u64,
    /// The epoch whose assignment the validator acts under.
    pub epoch: u64,
    /// [`Attestation::seal`] of the attestation that will open it.
    pub seal: Digest,
    /// Over everything above.
    pub signature: ValidatorSignature,
}

impl Commitment {
    /// Signs a seal.
    pub fn sign(key: &ValidatorKey, chain_id: u64, source: &str, window: u64, epoch: u64, seal: Digest) -> Commitment {
        let (source, signature) = (source.to_string(), ValidatorSignature([0; 64]));
        let mut commitment = Commitment { chain_id, public_key: key.public(), source, window, epoch, seal, signature };
        commitment.signature = key.sign(&commitment.sign_bytes());
        commitment
    }

    /// Commits to an attestation, under the same epoch.
    pub fn to(key: &ValidatorKey, attestation: &Attestation) -> Commitment {
        let Attestation { chain_id, source, window, epoch, .. } = attestation;
        Commitment::sign(key, *chain_id, source, *window, *epoch, attestation.seal())
    }

    /// The validator's address.
    pub fn validator(&self) -> Address {
        self.public_key.address()
    }

    /// The bytes that are signed.
    pub fn sign_bytes(&self) -> Vec<u8> {
        let Commitment { chain_id, public_key, source, window, epoch, seal, .. } = self;
        canonical::encode(&(DOMAIN, chain_id, public_key, source, window, epoch, seal))
    }

    /// Checks the signature.
    pub fn verify(&self) -> Result<(), KeyError> {
        self.public_key.verify(&self.sign_bytes(), &self.signature)
    }
}
