//! Ids and kinds of volumes.

use std::fmt;
use std::str::FromStr;

use openmesh_blueprint::generation::VolumeId;

/// Smallest XFS, bytes: `mkfs.xfs` refuses less than 300 MiB.
pub const XFS_BYTES_MIN: u64 = 300 << 20;
/// Smallest volume, bytes: an ext4 with journal that still has room for data.
pub const VOLUME_BYTES_MIN: u64 = 8 << 20;
/// Largest volume, bytes: the largest file of an ext4 host with blocks of 4 KiB.
pub const VOLUME_BYTES_MAX: u64 = 16 << 40;

/// Id of a volume: 128 bits, which are also the UUID of its file system. Printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 16]);

/// A text that is no id of a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id of a volume has 32 hexadecimal digits in lower case, and {0:?} has not")]
pub struct BadId(String);

impl Id {
    /// The id with these bytes.
    pub const fn new(bytes: [u8; 16]) -> Id {
        Id(bytes)
    }

    /// The id in the groups of a UUID, as formatting programs want it.
    pub fn uuid(self) -> String {
        let text = self.to_string();
        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Id, BadId> {
        let bad = || BadId(text.chars().take(64).collect());
        let digits: Option<Vec<u8>> = text
            .bytes()
            .map(|byte| match byte {
                b'0'..=b'9' => Some(byte - b'0'),
                b'a'..=b'f' => Some(byte - b'a' + 10),
                _ => None,
            })
            .collect();
        let digits = digits.filter(|digits| digits.len() == 32).ok_or_else(bad)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        Ok(Id(bytes.try_into().map_err(|_| bad())?))
    }
}

impl TryFrom<&VolumeId> for Id {
    type Error = BadId;

    fn try_from(id: &VolumeId) -> Result<Id, BadId> {
        id.to_string().parse()
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Kind of a volume's file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// XFS with reflink: a snapshot shares its blocks.
    Xfs,
    /// ext4: a snapshot is a copy.
    Ext4,
}

impl Kind {
    /// The kind for a size. `xfs` says that this machine can make XFS.
    pub fn for_size(bytes: u64, xfs: bool) -> Kind {
        if xfs && bytes >= XFS_BYTES_MIN { Kind::Xfs } else { Kind::Ext4 }
    }

    /// Its name in the kernel.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Xfs => "xfs",
            Kind::Ext4 => "ext4",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_blueprint::document::Name;

    #[test]
    fn ids_are_those_of_generations_and_print_as_uuids() {
        let name: Name = "shop".parse().unwrap();
        let of_generation = VolumeId::of(&name, &name, &name, 3);
        let id = Id::try_from(&of_generation).unwrap();
        assert_eq!(id.to_string(), of_generation.to_string());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(Id::new([0x0f; 16]).uuid(), "0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f");
        for bad in ["", "0f", "../../../../../../../../etc/passwd", &"0F".repeat(16), &"é".repeat(16)] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }

    #[test]
    fn xfs_begins_at_300_mib_and_only_with_its_program() {
        assert_eq!(Kind::for_size(XFS_BYTES_MIN, true), Kind::Xfs);
        assert_eq!(Kind::for_size(XFS_BYTES_MIN - 1, true), Kind::Ext4);
        assert_eq!(Kind::for_size(XFS_BYTES_MIN, false), Kind::Ext4);
    }
}
