//! The signature scheme of consensus: ed25519 under the rules of ZIP-215, through the keys of `primitives`.

use malachite_app::types::core::SigningScheme;
use openmesh_primitives::{KeyError, ValidatorKey, ValidatorPublicKey, ValidatorSignature};

/// The signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ed25519;

impl SigningScheme for Ed25519 {
    type DecodingError = KeyError;
    type Signature = ValidatorSignature;
    type PublicKey = ValidatorPublicKey;
    type PrivateKey = ValidatorKey;

    fn decode_signature(bytes: &[u8]) -> Result<ValidatorSignature, KeyError> {
        bytes.try_into().map(ValidatorSignature).map_err(|_| KeyError::Signature)
    }

    fn encode_signature(signature: &ValidatorSignature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<ValidatorPublicKey, KeyError> {
        bytes.try_into().map(ValidatorPublicKey).map_err(|_| KeyError::Key)
    }

    fn encode_public_key(key: &ValidatorPublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}
