//! Keys and signatures: ed25519 for validators, secp256k1 for accounts.
//!
//! Validator signatures are verified by the rules of ZIP-215, so that every verifier, single or batched, accepts the
//! same set. Account signatures are Ethereum's: recoverable, over a 32-byte hash, with a low `s` (EIP-2). They are made by one
//! library and their signers recovered by another, since recovering is what a validator spends most of its time on; a property
//! test holds the two against each other.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use borsh::{BorshDeserialize, BorshSerialize};
use k256::ecdsa::{SigningKey as K256SigningKey, VerifyingKey};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, Secp256k1, VerifyOnly};

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

/// Half of the order of secp256k1's group, rounded down, big-endian: an `s` above it is high. Sources: SEC 2 v2, 2.4.1; EIP-2.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e,
    0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

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
    ///
    /// # Errors
    /// [`KeyError::Signature`] where a scalar is zero or not below the group's order, `s` is high, or `v` is another number;
    /// [`KeyError::Mismatch`] where no key can have made it.
    pub fn recover(&self, hash: &Digest) -> Result<Address, KeyError> {
        let (r, s) = (&self.0[..32], &self.0[32..64]);
        let is_zero = |scalar: &[u8]| scalar.iter().all(|byte| *byte == 0);
        // The library takes both signs of `s`, and finds a scalar of zero only later.
        if is_zero(r) || is_zero(s) || s > HALF_ORDER.as_slice() {
            return Err(KeyError::Signature);
        }
        let v = match self.0[64] {
            v @ (0 | 1) => v,
            v @ (27 | 28) => v - 27,
            _ => return Err(KeyError::Signature),
        };
        let signature = RecoverableSignature::from_compact(&self.0[..64], RecoveryId::from_u8_masked(v));
        let signature = signature.map_err(|_| KeyError::Signature)?;
        let key = context().recover_ecdsa(Message::from_digest(hash.0), &signature);
        key.map(|key| address_of_point(&key.serialize_uncompressed())).map_err(|_| KeyError::Mismatch)
    }
}

/// The library's tables, made once: they can be shared between threads.
fn context() -> &'static Secp256k1<VerifyOnly> {
    static CONTEXT: OnceLock<Secp256k1<VerifyOnly>> = OnceLock::new();
    CONTEXT.get_or_init(Secp256k1::verification_only)
}

fn address_of(key: &VerifyingKey) -> Address {
    address_of_point(key.to_encoded_point(false).as_bytes())
}

/// The address of a key in its uncompressed form: a tag of one byte and the two coordinates.
fn address_of_point(uncompressed: &[u8]) -> Address {
    let mut address = [0; 20];
    address.copy_from_slice(&keccak256(&[&uncompressed[1..]]).0[12..]);
    Address(address)
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::{RecoveryId, Signature};
    use proptest::prelude::*;

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

    /// The signer by k256 and by this crate's rules as they were written for it: what a change of the library must not change.
    fn oracle(signature: &AccountSignature, hash: &Digest) -> Result<Address, KeyError> {
        let parsed = Signature::from_slice(&signature.0[..64]).map_err(|_| KeyError::Signature)?;
        if parsed.normalize_s().is_some() {
            return Err(KeyError::Signature);
        }
        let v = match signature.0[64] {
            v @ (0 | 1) => v,
            v @ (27 | 28) => v - 27,
            _ => return Err(KeyError::Signature),
        };
        let id = RecoveryId::from_byte(v).ok_or(KeyError::Signature)?;
        let key = VerifyingKey::recover_from_prehash(&hash.0, &parsed, id).map_err(|_| KeyError::Mismatch)?;
        Ok(address_of(&key))
    }

    /// A number of 256 bits that lies so far from another one.
    fn near(number: [u8; 32], distance: i8) -> [u8; 32] {
        let mut near = number;
        let mut carry = i16::from(distance);
        for byte in near.iter_mut().rev() {
            let sum = i16::from(*byte) + carry;
            (*byte, carry) = (sum.rem_euclid(256) as u8, sum.div_euclid(256));
        }
        near
    }

    /// The order of the group. Source: SEC 2 v2, 2.4.1.
    fn order() -> [u8; 32] {
        let mut order = [0; 32];
        let text = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        hex::decode_to_slice(text, &mut order).unwrap();
        order
    }

    /// The order less a number below it.
    fn negated(number: &[u8]) -> [u8; 32] {
        let mut difference = order();
        let mut borrow = 0;
        for (byte, other) in difference.iter_mut().zip(number).rev() {
            let left = i16::from(*byte) - i16::from(*other) - borrow;
            (*byte, borrow) = (left.rem_euclid(256) as u8, i16::from(left < 0));
        }
        difference
    }

    /// Scalars, many of them where the rules change.
    fn scalar() -> impl Strategy<Value = [u8; 32]> {
        let edges = [[0; 32], HALF_ORDER, order()];
        let edges: Vec<[u8; 32]> = edges.iter().flat_map(|edge| [-1, 0, 1].map(|by| near(*edge, by))).collect();
        let low = any::<[u8; 32]>().prop_map(|mut bytes| {
            bytes[0] &= 0x7f;
            bytes
        });
        prop_oneof![2 => low, 1 => any::<[u8; 32]>(), 1 => prop::sample::select(edges)]
    }

    proptest! {
        /// Whatever the bytes are: the same signer, or the same error.
        #[test]
        fn recovery_agrees_with_another_library(
            r in scalar(),
            s in scalar(),
            v in prop::sample::select(vec![0u8, 1, 2, 26, 27, 28, 29, 255]),
            hash in scalar(),
        ) {
            let mut signature = AccountSignature([v; 65]);
            signature.0[..32].copy_from_slice(&r);
            signature.0[32..64].copy_from_slice(&s);
            prop_assert_eq!(signature.recover(&Digest(hash)), oracle(&signature, &Digest(hash)));
        }

        /// The signer of a signature as it is made, of the one with the other parity, and over another hash; its twin with a high
        /// `s` has none.
        #[test]
        fn signatures_that_were_made_agree_too(
            secret in any::<[u8; 32]>(),
            hash in any::<[u8; 32]>(),
            other in any::<[u8; 32]>(),
        ) {
            let Ok(key) = AccountKey::from_bytes(secret) else { return Ok(()) };
            let (hash, other) = (Digest(hash), Digest(other));
            let made = key.sign_hash(&hash).unwrap();
            prop_assert_eq!(made.recover(&hash), Ok(key.address()));
            prop_assert_eq!(made.recover(&other), oracle(&made, &other));
            let mut flipped = made;
            flipped.0[64] = 55 - made.0[64];
            prop_assert_eq!(flipped.recover(&hash), oracle(&flipped, &hash));
            flipped.0[32..64].copy_from_slice(&negated(&made.0[32..64]));
            prop_assert_eq!(flipped.recover(&hash), Err(KeyError::Signature));
        }
    }
}
