//! Keys by which machines know each other (B-70): Ed25519, in the DER that TLS carries.

use std::fmt;
use std::str::FromStr;

use openmesh_primitives::ValidatorKey;

use crate::age::Identity;
use crate::error::BackupError;
use crate::secret::random;

/// DER of a PKCS #8 key of Ed25519 before its seed. Source: RFC 8410, section 7.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// DER of a SubjectPublicKeyInfo of Ed25519 before the key. Source: RFC 8410, section 4.
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Purpose of the key that is derived from an owner's identity (B-83).
const READING: &[u8] = b"openmesh lend 1 owner's reading key";

/// Text that is no key of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a machine: 64 lower-case hexadecimal digits are wanted")]
pub struct BadKey;

/// Public key of a machine. Its text has 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePublicKey(pub [u8; 32]);

/// Secret key of a machine.
#[derive(Clone)]
pub struct NodeKey {
    seed: [u8; 32],
    public: NodePublicKey,
}

impl NodeKey {
    /// A new one from the operating system's randomness.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn generate() -> Result<NodeKey, BackupError> {
        Ok(NodeKey::from_seed(random()?))
    }

    /// The key of a seed.
    pub fn from_seed(seed: [u8; 32]) -> NodeKey {
        NodeKey { seed, public: NodePublicKey(ValidatorKey::from_seed(seed).public().0) }
    }

    /// The reading key of an owner of backups (B-83): whoever has the identity has it, on any machine, and nobody who has it learns the identity.
    pub fn of_owner(owner: &Identity) -> NodeKey {
        NodeKey::from_seed(owner.derived(READING))
    }

    /// The public half.
    pub fn public(&self) -> NodePublicKey {
        self.public
    }

    /// The seed as hexadecimal digits, for a file that its owner alone can read.
    pub fn secret_text(&self) -> String {
        hex::encode(self.seed)
    }

    /// The key as TLS libraries read it.
    pub(super) fn to_pkcs8(&self) -> Vec<u8> {
        [&PKCS8_HEAD[..], &self.seed[..]].concat()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public)
    }
}

impl FromStr for NodeKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<NodeKey, BadKey> {
        bytes(text).map(NodeKey::from_seed)
    }
}

impl NodePublicKey {
    /// The key as it stands in a greeting of TLS.
    pub(super) fn to_spki(self) -> Vec<u8> {
        [&SPKI_HEAD[..], &self.0[..]].concat()
    }

    /// The key of a greeting; none where it is of another kind.
    pub(super) fn of_spki(der: &[u8]) -> Option<NodePublicKey> {
        der.strip_prefix(&SPKI_HEAD)?.try_into().ok().map(NodePublicKey)
    }
}

impl fmt::Display for NodePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for NodePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodePublicKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<NodePublicKey, BadKey> {
        bytes(text).map(NodePublicKey)
    }
}

/// 32 bytes as a key's text has them: one text for each.
fn bytes(text: &str) -> Result<[u8; 32], BadKey> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| BadKey)?;
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Err(BadKey) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_written_and_secrets_are_not_shown() {
        let key = NodeKey::from_seed([7; 32]);
        assert_eq!(key.secret_text().parse::<NodeKey>().map(|key| key.public()), Ok(key.public()));
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert!(!format!("{key:?}").contains(&key.secret_text()));
        for wrong in ["", "ab", "xy", &key.public().to_string().to_uppercase(), &format!("{}0", key.public())] {
            assert_eq!(wrong.parse::<NodePublicKey>(), Err(BadKey), "{wrong}");
        }
    }

    /// A change of it would shut owners out of what their machines have stored. The values were computed by other programs from RFC 5869 and RFC 8032.
    #[test]
    fn the_reading_key_of_an_owner_is_always_the_same() {
        let text = "AGE-SECRET-KEY-1SVAHTJM63C7XUGMK2RSCNC7CNQE8C3HCU9CWG2JRW3AT28RG7KEQD6KV4Y";
        let (owner, other): (Identity, Identity) = (text.parse().unwrap(), Identity::generate().unwrap());
        let key = NodeKey::of_owner(&owner);
        assert_eq!(key.secret_text(), "8eb2300f8b1412a68c8c9bd940a87623e491af05cb672daac06cd2e9f0420090");
        assert_eq!(key.public().to_string(), "e902f5200af6a94f07d4c1a5eb0a2064b49e4d4b40a24888cd2849b49c81f035");
        assert_ne!(NodeKey::of_owner(&other).public(), key.public());
    }

    /// Source: RFC 8032, section 7.1, TEST 1.
    #[test]
    fn the_public_half_is_that_of_the_standard() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key: NodeKey = seed.parse().unwrap();
        assert_eq!(key.public().to_string(), public);
        assert_eq!(NodePublicKey::of_spki(&key.public().to_spki()), Some(key.public()));
        assert_eq!(NodePublicKey::of_spki(&key.to_pkcs8()), None);
        assert_eq!((key.to_pkcs8().len(), key.public().to_spki().len()), (48, 44));
    }
}
