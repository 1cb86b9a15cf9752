//! The secret of a repository and what is derived from it (B-1, B-9).

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use chacha20poly1305::aead::{AeadInPlace as _, KeyInit as _};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

use crate::error::BackupError;
use crate::name::RepositoryId;

/// Bytes of a nonce of XChaCha20.
const NONCE_BYTES: usize = 24;
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
    seal: XChaCha20Poly1305,
    chunks: [u8; 32],
}

impl Keys {
    /// The keys of a secret.
    pub(crate) fn new(secret: Secret) -> Keys {
        let derive = |context: &str| blake3::derive_key(context, &secret.0);
        Keys {
            id: secret.id(),
            cut: derive("openmesh backup 1 cut"),
            seal: XChaCha20Poly1305::new(&derive("openmesh backup 1 seal").into()),
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

    /// Nonce, ciphertext and tag of bytes, with others authenticated beside them.
    pub(crate) fn seal(&self, beside: &[u8], mut plain: Vec<u8>) -> Result<Vec<u8>, BackupError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        // It fails for more than 256 GB only.
        let tag = self.seal.encrypt_in_place_detached(&nonce.into(), beside, &mut plain);
        let tag = tag.map_err(|_| BackupError::Key { what: "more bytes than one seal holds".to_string() })?;
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_BYTES);
        sealed.extend(nonce);
        sealed.extend(plain);
        sealed.extend(tag);
        Ok(sealed)
    }

    /// The content of nonce, ciphertext and tag; none where they do not belong together.
    pub(crate) fn unseal(&self, beside: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (cipher, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut plain = cipher.to_vec();
        let opened =
            self.seal.decrypt_in_place_detached(XNonce::from_slice(nonce), beside, &mut plain, Tag::from_slice(tag));
        opened.is_ok().then_some(plain)
    }
}
