//! Names of objects and repositories (B-1, B-6, B-7).

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

/// BLAKE3-256 of an object's stored bytes: its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Id(pub [u8; 32]);

impl Id {
    /// The id of stored bytes.
    pub fn of(bytes: &[u8]) -> Id {
        Id(*blake3::hash(bytes).as_bytes())
    }
}

/// The id of bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct IdHasher(blake3::Hasher);

impl IdHasher {
    /// Of no bytes yet.
    pub fn new() -> IdHasher {
        IdHasher::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The id of all of them.
    pub fn id(&self) -> Id {
        Id(*self.0.finalize().as_bytes())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 64 lower-case hexadecimal digits are wanted")]
pub struct BadId;

impl FromStr for Id {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Id, BadId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadId)?;
        // One text for each id: an object with two names would be two objects for a list.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Err(BadId) } else { Ok(Id(bytes)) }
    }
}

/// Kinds of objects (B-6), in the order in which they are numbered between a guest and its lender (B-73).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Kind {
    /// The secret for some recipients.
    Key,
    /// Blobs.
    Pack,
    /// Copies of packs' headers.
    Index,
    /// A snapshot.
    Snapshot,
    /// A backup that is going on.
    Session,
    /// Packs that are to go.
    Mark,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] = [Kind::Key, Kind::Pack, Kind::Index, Kind::Snapshot, Kind::Session, Kind::Mark];

    /// The folder of its objects.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Key => "keys",
            Kind::Pack => "packs",
            Kind::Index => "index",
            Kind::Snapshot => "snapshots",
            Kind::Session => "sessions",
            Kind::Mark => "marks",
        }
    }
}

/// Name of an object in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Name {
    /// The marker of a repository.
    Format,
    /// An object.
    Object(Kind, Id),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Format => f.write_str("format"),
            Name::Object(Kind::Pack, id) => write!(f, "packs/{}/{id}", hex::encode(&id.0[..1])),
            Name::Object(kind, id) => write!(f, "{}/{id}", kind.folder()),
        }
    }
}

/// Public id of a repository: derived from its secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct RepositoryId(pub [u8; 32]);

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RepositoryId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<RepositoryId, BadId> {
        text.parse::<Id>().map(|id| RepositoryId(id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        let id = Id::of(b"x");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<Id>(), Err(BadId));
        assert_eq!("..".parse::<Id>(), Err(BadId));
        let mut pieces = IdHasher::new();
        pieces.update(b"");
        pieces.update(b"x");
        assert_eq!(pieces.id(), id);
    }
}
