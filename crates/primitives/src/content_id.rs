//! Content identifiers (CIDs), as IPFS has them.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use cid::Cid;
use multihash::Multihash;

use crate::{Digest, sha256};

/// Multicodec `raw`: the block is the bytes themselves.
const CODEC_RAW: u64 = 0x55;
/// Multihash `sha2-256`.
const HASH_SHA2_256: u64 = 0x12;

/// The CID of a block of bytes: version 1, codec `raw`, SHA-256; what `ipfs block put --cid-codec raw` and
/// `ipfs add --cid-version 1 --raw-leaves` (of a file that fits one block) give. Prints in base32 (`bafkrei...`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct ContentId(Digest);

/// Error of parsing the CID of a raw block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentIdError {
    /// Not a CID at all.
    #[error("not a CID: {0}")]
    Syntax(String),
    /// A CID, but not version 1, `raw`, SHA-256, in lower-case base32.
    #[error("a CID of another kind: version 1, codec raw, SHA-256 and base32 are expected (bafkrei...)")]
    Kind,
}

impl ContentId {
    /// The CID of these bytes.
    pub fn of(bytes: &[u8]) -> ContentId {
        ContentId(sha256(&[bytes]))
    }

    /// The CID whose SHA-256 is known already.
    pub const fn from_digest(digest: Digest) -> ContentId {
        ContentId(digest)
    }

    /// The SHA-256 within.
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// Returns true when these bytes are the block that the CID names.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        ContentId::of(bytes) == *self
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = Multihash::<64>::wrap(HASH_SHA2_256, &self.0.0).map_err(|_| fmt::Error)?;
        fmt::Display::fmt(&Cid::new_v1(CODEC_RAW, hash), f)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentId {
    type Err = ContentIdError;
    fn from_str(text: &str) -> Result<ContentId, ContentIdError> {
        let cid = Cid::try_from(text).map_err(|e| ContentIdError::Syntax(e.to_string()))?;
        let digest: [u8; 32] = cid.hash().digest().try_into().map_err(|_| ContentIdError::Kind)?;
        if cid.codec() != CODEC_RAW || cid.hash().code() != HASH_SHA2_256 || cid.version() != cid::Version::V1 {
            return Err(ContentIdError::Kind);
        }
        let id = ContentId(Digest(digest));
        // The library also takes addresses that end in a CID, and other bases: one block would have many names.
        if id.to_string() != text {
            return Err(ContentIdError::Kind);
        }
        Ok(id)
    }
}

impl serde::Serialize for ContentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ContentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ContentId, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_as_kubo() {
        // `printf 'hello world' | ipfs add --cid-version 1 --raw-leaves -Q`
        let cid = ContentId::of(b"hello world");
        assert_eq!(cid.to_string(), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
        assert_eq!(cid.to_string().parse::<ContentId>(), Ok(cid));
        assert!(cid.matches(b"hello world") && !cid.matches(b"hello worle"));
    }

    #[test]
    fn refuses_other_kinds() {
        // The empty UnixFS directory, version 0.
        let other = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn".parse::<ContentId>();
        assert_eq!(other, Err(ContentIdError::Kind));
        let cid = ContentId::of(b"hello world").to_string();
        for other in [format!("/ipfs/{cid}"), format!("https://evil.example/ipfs/{cid}"), cid.to_uppercase()] {
            assert!(other.parse::<ContentId>().is_err(), "{other}");
        }
        assert!(matches!("../../etc/passwd".parse::<ContentId>(), Err(ContentIdError::Syntax(_))));
    }
}
