//! The secret of a repository and what is derived from it (B-1, B-9).
//!
//! # Why XChaCha20-Poly1305 out of two parts
//! It is ChaCha20-Poly1305 under a key that HChaCha20 makes of the key and of most of the nonce. The first does all the work, and `ring`, which the
//! product has for TLS, does it in one pass by instructions for vectors, whatever the profile that the rest is built with.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use chacha20::cipher::consts::U10;
use chacha20::cipher::zeroize::Zeroize as _;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::error::BackupError;
use crate::name::RepositoryId;

/// Bytes of a nonce of XChaCha20, which come before what is sealed.
pub(crate) const NONCE_BYTES: usize = 24;
/// Bytes of it that go into the key.
const NONCE_OF_KEY_BYTES: usize = 16;
/// Bytes of a nonce of ChaCha20: zeros, and the others.
const SHORT_NONCE_BYTES: usize = 12;
/// Bytes of a tag of Poly1305.
const TAG_BYTES: usize = 16;
/// Bytes that a seal adds.
pub(crate) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// The secret of a repository.
#[derive(Clone, BorshSerialize, BorshDeserialize)]
pub(crate) struct Secret(pub [u8; 32]);

impl Secret {
    /// A new one from the operating system's randomness.
    pub(crate) fn generate() -> Result<Secret, BackupError> {
        random().map(Secret)
    }

    /// The id of its repository.
    pub(crate) fn id(&self) -> RepositoryId {
        RepositoryId(blake3::derive_key("openmesh backup 1 repository id", &self.0))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], BackupError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| BackupError::Randomness)?;
    Ok(bytes)
}

/// Keys derived from a secret.
pub(crate) struct Keys {
    /// Id of the repository.
    pub id: RepositoryId,
    /// Key of the cut.
    pub cut: [u8; 32],
    secret: Secret,
    seal: [u8; 32],
    chunks: [u8; 32],
}

impl Keys {
    /// The keys of a secret.
    pub(crate) fn new(secret: Secret) -> Keys {
        let derive = |context: &str| blake3::derive_key(context, &secret.0);
        Keys {
            id: secret.id(),
            cut: derive("openmesh backup 1 cut"),
            seal: derive("openmesh backup 1 seal"),
            chunks: derive("openmesh backup 1 chunk id"),
            secret,
        }
    }

    /// The secret, for another key file.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The keyed hash of bytes and a last byte (B-12).
    pub(crate) fn hash(&self, bytes: &[u8], last: u8) -> [u8; 32] {
        *blake3::Hasher::new_keyed(&self.chunks).update(bytes).update(&[last]).finalize().as_bytes()
    }

    /// Key and nonce of ChaCha20-Poly1305 for a nonce of XChaCha20-Poly1305. Source: draft-irtf-cfrg-xchacha-03, section 2.3.
    fn short(&self, nonce: &[u8; NONCE_BYTES]) -> Option<(LessSafeKey, Nonce)> {
        let (of_key, rest) = nonce.split_first_chunk::<NONCE_OF_KEY_BYTES>()?;
        let mut derived: [u8; 32] = chacha20::hchacha::<U10>((&self.seal).into(), of_key.into()).into();
        let key = UnboundKey::new(&CHACHA20_POLY1305, &derived).ok();
        derived.zeroize();
        let key = key?;
        let mut short = [0; SHORT_NONCE_BYTES];
        short[SHORT_NONCE_BYTES - rest.len()..].copy_from_slice(rest);
        Some((LessSafeKey::new(key), Nonce::assume_unique_for_key(short)))
    }

    /// Nonce, ciphertext and tag of bytes, with others authenticated beside them.
    pub(crate) fn seal(&self, beside: &[u8], plain: &[u8]) -> Result<Vec<u8>, BackupError> {
        let mut sealed = vec![0; plain.len() + SEAL_BYTES];
        sealed[NONCE_BYTES..NONCE_BYTES + plain.len()].copy_from_slice(plain);
        self.seal_in_place(beside, &mut sealed)?;
        Ok(sealed)
    }

    /// Seals bytes where they are: before them is room for the nonce, and after them for the tag.
    pub(crate) fn seal_in_place(&self, beside: &[u8], bytes: &mut [u8]) -> Result<(), BackupError> {
        // It fails for more than 256 GB only.
        let beyond = || BackupError::Key { what: "more bytes than one seal holds".to_string() };
        let nonce: [u8; NONCE_BYTES] = random()?;
        let (before, rest) = bytes.split_first_chunk_mut::<NONCE_BYTES>().ok_or_else(beyond)?;
        let (content, after) = rest.split_last_chunk_mut::<TAG_BYTES>().ok_or_else(beyond)?;
        let (key, short) = self.short(&nonce).ok_or_else(beyond)?;
        let tag = key.seal_in_place_separate_tag(short, Aad::from(beside), content).map_err(|_| beyond())?;
        *before = nonce;
        after.copy_from_slice(tag.as_ref());
        Ok(())
    }

    /// The content of nonce, ciphertext and tag; none where they do not belong together.
    pub(crate) fn unseal(&self, beside: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut copy = sealed.to_vec();
        self.unseal_in_place(beside, &mut copy).map(|plain| plain.to_vec())
    }

    /// The same where the bytes are; those of a seal that does not fit are lost.
    pub(crate) fn unseal_in_place<'b>(&self, beside: &[u8], sealed: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_BYTES>()?;
        let (key, short) = self.short(nonce)?;
        key.open_in_place(short, Aad::from(beside), rest).ok()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        [&mut self.cut, &mut self.seal, &mut self.chunks].into_iter().for_each(|key| key.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::XChaCha20Poly1305;
    use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::new(Secret([7; 32]))
    }

    /// The same algorithm by another implementation, which sealed what is in older repositories.
    fn other(keys: &Keys) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&keys.seal).into())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn seals_are_those_of_xchacha20_poly1305(
            plain in proptest::collection::vec(any::<u8>(), 0..3000),
            beside in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let keys = keys();
            let sealed = keys.seal(&beside, &plain).unwrap();
            prop_assert_eq!(sealed.len(), plain.len() + SEAL_BYTES);
            let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().unwrap();
            let opened = other(&keys).decrypt(nonce.into(), Payload { msg: rest, aad: &beside });
            prop_assert_eq!(opened.ok(), Some(plain.clone()));
            let nonce = [9_u8; NONCE_BYTES];
            let theirs = other(&keys).encrypt((&nonce).into(), Payload { msg: &plain, aad: &beside }).unwrap();
            prop_assert_eq!(keys.unseal(&beside, &[&nonce[..], &theirs].concat()), Some(plain));
        }

        #[test]
        fn a_seal_that_was_touched_opens_nothing(
            plain in proptest::collection::vec(any::<u8>(), 0..300),
            place in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let keys = keys();
            let mut sealed = keys.seal(b"beside", &plain).unwrap();
            prop_assert_eq!(keys.unseal(b"besides", &sealed), None);
            let place = place.index(sealed.len());
            sealed[place] ^= 1 << bit;
            prop_assert_eq!(keys.unseal(b"beside", &sealed), None);
            prop_assert_eq!(keys.unseal(b"beside", &sealed[..SEAL_BYTES - 1]), None);
        }
    }
}
