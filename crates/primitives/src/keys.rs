//! Keys and signatures: ed25519 for validators, secp256k1 for accounts.
//!
//! Validator signatures are verified by the rules of ZIP-215, so that every verifier, single or batched, accepts the
//! same set. Account signatures are Ethereum's: recoverable, over a 32-byte hash, with a low `s` (EIP-2).

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use k256::ecdsa::{Signature, SigningKey as K256SigningKey, VerifyingKey};
use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::ops::{Invert as _, LinearCombination as _, Reduce};
use k256::elliptic_curve::point::DecompressPoint as _;
use k256::{AffinePoint, ProjectivePoint, Scalar, U256};

use crate::vrf::{self, VrfOutput, VrfProof};
use crate::{Address, Digest, keccak256, sha256};

/// Error of reading a key, or of making or checking a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Bytes that are no key.
    #[error("not a valid key")]
    Key,
    /// Bytes that are no signature, or one with a high `s` (which anybody could derive from another).
    #[error("not a valid signature")]
    Signature,
    /// A signature, but not of this key over these bytes.
    #[error("the signature does not belong to this key and these bytes")]
    Mismatch,
    /// The operating system gave no randomness.
    #[error("no randomness to be had from the operating system")]
    Randomness,
}

/// A validator's secret key (ed25519).
#[derive(Clone)]
pub struct ValidatorKey(ed25519_consensus::SigningKey);

/// A validator's public key (ed25519, 32 bytes). Prints as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct ValidatorPublicKey(pub [u8; 32]);

/// A validator's signature (ed25519, 64 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct ValidatorSignature(pub [u8; 64]);

impl ValidatorKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<ValidatorKey, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| KeyError::Randomness)?;
        Ok(ValidatorKey::from_seed(seed))
    }

    /// The key of a 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> ValidatorKey {
        ValidatorKey(ed25519_consensus::SigningKey::from(seed))
    }

    /// The seed, for storing.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> ValidatorPublicKey {
        ValidatorPublicKey(self.0.verification_key().to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> ValidatorSignature {
        ValidatorSignature(self.0.sign(message).to_bytes())
    }

    /// Proves the output of the verifiable random function for an input (RFC 9381): always the same one, which nobody else can make.
    ///
    /// # Errors
    /// [`KeyError::Key`] for one input in 2^256, which leads to no point.
    pub fn vrf_prove(&self, input: &[u8]) -> Result<VrfProof, KeyError> {
        vrf::prove(&self.seed(), &self.public().0, input).ok_or(KeyError::Key)
    }
}

impl fmt::Debug for ValidatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValidatorKey({})", self.public())
    }
}

impl ValidatorPublicKey {
    /// The validator's address: the first 20 bytes of the SHA-256 of its key (as in CometBFT).
    pub fn address(&self) -> Address {
        let mut address = [0; 20];
        address.copy_from_slice(&sha256(&[&self.0]).0[..20]);
        Address(address)
    }

    /// Checks a signature by the rules of ZIP-215.
    pub fn verify(&self, message: &[u8], signature: &ValidatorSignature) -> Result<(), KeyError> {
        let key = ed25519_consensus::VerificationKey::try_from(self.0).map_err(|_| KeyError::Key)?;
        key.verify(&ed25519_consensus::Signature::from(signature.0), message).map_err(|_| KeyError::Mismatch)
    }

    /// Returns true for a key that has a verifiable random function, as every key that was made of a seed: a point that is not of small order.
    pub fn has_vrf(&self) -> bool {
        vrf::is_key(&self.0)
    }

    /// Returns the output of this key's verifiable random function for an input, if the proof shows it.
    ///
    /// # Errors
    /// [`KeyError::Mismatch`] if it does not, or if the key is of small order, which has no function of its own.
    pub fn vrf_verify(&self, input: &[u8], proof: &VrfProof) -> Result<VrfOutput, KeyError> {
        vrf::verify(&self.0, input, proof).ok_or(KeyError::Mismatch)
    }
}

macro_rules! hex_text {
    ($type:ty, $bytes:literal, $error:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $type {
            type Err = KeyError;
            fn from_str(text: &str) -> Result<Self, KeyError> {
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).map_err(|_| $error)?;
                Ok(Self(bytes))
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_text!(ValidatorPublicKey, 32, KeyError::Key);
hex_text!(ValidatorSignature, 64, KeyError::Signature);
hex_text!(AccountSignature, 65, KeyError::Signature);
hex_text!(VrfProof, 80, KeyError::Signature);

/// An account's secret key (secp256k1).
#[derive(Clone)]
pub struct AccountKey(K256SigningKey);

/// A recoverable secp256k1 signature: `r` (32 bytes), `s` (32), `v` (27 or 28), as wallets return it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct AccountSignature(pub [u8; 65]);

impl AccountKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<AccountKey, KeyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| KeyError::Randomness)?;
        AccountKey::from_bytes(bytes)
    }

    /// The key of 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<AccountKey, KeyError> {
        K256SigningKey::from_slice(&bytes).map(AccountKey).map_err(|_| KeyError::Key)
    }

    /// The key's 32 bytes, for storing.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        address_of(self.0.verifying_key())
    }

    /// Signs a 32-byte hash (of EIP-712 typed data or an EIP-191 message).
    pub fn sign_hash(&self, hash: &Digest) -> Result<AccountSignature, KeyError> {
        let (signature, recovery) = self.0.sign_prehash_recoverable(&hash.0).map_err(|_| KeyError::Signature)?;
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + recovery.to_byte();
        Ok(AccountSignature(bytes))
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({})", self.address())
    }
}

impl AccountSignature {
    /// The address whose key signed this hash. `v` may be 27/28 or 0/1.
    pub fn recover(&self, hash: &Digest) -> Result<Address, KeyError> {
        let signature = Signature::from_slice(&self.0[..64]).map_err(|_| KeyError::Signature)?;
        if signature.normalize_s().is_some() {
            return Err(KeyError::Signature);
        }
        let v = match self.0[64] {
            v @ (0 | 1) => v,
            v @ (27 | 28) => v - 27,
            _ => return Err(KeyError::Signature),
        };
        recover_key(hash, &signature, v == 1).map(|key| address_of(&key))
    }
}

/// The key that made a signature: `Q = (s R - z G) / r`, where `R` is the point with abscissa `r` and the given parity.
/// Source: SEC 1 v2, 4.1.6. Half the work of [`VerifyingKey::recover_from_prehash`], which verifies the signature with the
/// recovered key afterwards: that holds by construction, since `(z G + r Q) / s = R`.
fn recover_key(hash: &Digest, signature: &Signature, odd: bool) -> Result<VerifyingKey, KeyError> {
    let (r, s) = signature.split_scalars();
    let z = <Scalar as Reduce<U256>>::reduce_bytes(&hash.0.into());
    let point: Option<AffinePoint> = AffinePoint::decompress(&r.to_repr(), u8::from(odd).into()).into();
    let point = ProjectivePoint::from(point.ok_or(KeyError::Mismatch)?);
    let inverse = *r.invert();
    let key = ProjectivePoint::lincomb(&ProjectivePoint::GENERATOR, &-(inverse * z), &point, &(inverse * *s));
    VerifyingKey::from_affine(key.into()).map_err(|_| KeyError::Mismatch)
}

fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    let mut address = [0; 20];
    address.copy_from_slice(&keccak256(&[&point.as_bytes()[1..]]).0[12..]);
    Address(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validator_signatures() {
        let key = ValidatorKey::from_seed([7; 32]);
        let signature = key.sign(b"vote");
        assert_eq!(key.public().verify(b"vote", &signature), Ok(()));
        assert_eq!(key.public().verify(b"veto", &signature), Err(KeyError::Mismatch));
    }

    #[test]
    fn account_signatures_recover_their_address() {
        // The first account of the well-known test mnemonic ("test test ... junk").
        let secret = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let mut bytes = [0; 32];
        hex::decode_to_slice(secret, &mut bytes).unwrap();
        let key = AccountKey::from_bytes(bytes).unwrap();
        assert_eq!(key.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        let hash = keccak256(&[b"hello"]);
        let signature = key.sign_hash(&hash).unwrap();
        assert_eq!(signature.recover(&hash), Ok(key.address()));
        let mut high = signature;
        high.0[64] = 99;
        assert_eq!(high.recover(&hash), Err(KeyError::Signature));
        assert_ne!(signature.recover(&keccak256(&[b"hullo"])), Ok(key.address()));
    }

    #[test]
    fn recovery_agrees_with_the_library() {
        for n in 1u8..40 {
            let key = AccountKey::from_bytes([n; 32]).unwrap();
            let hash = keccak256(&[&[n]]);
            let mut signature = key.sign_hash(&hash).unwrap();
            // The other parity and another hash give another key, and the same one as the library.
            for (v, hash) in [(0, hash), (1, hash), (0, keccak256(&[b"other"]))] {
                signature.0[64] = v;
                let parsed = Signature::from_slice(&signature.0[..64]).unwrap();
                let id = k256::ecdsa::RecoveryId::from_byte(v).unwrap();
                let theirs = VerifyingKey::recover_from_prehash(&hash.0, &parsed, id).unwrap();
                assert_eq!(signature.recover(&hash), Ok(address_of(&theirs)));
            }
        }
    }
}
