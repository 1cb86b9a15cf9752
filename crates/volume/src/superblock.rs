//! Kind and id of a file system, read from its first bytes without mounting it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::id::{Id, Kind};

/// Bytes from the beginning that hold both superblocks.
const HEAD_BYTES: usize = 2048;
/// Begin of the superblock of ext4.
const EXT4_OFFSET: usize = 1024;

/// A file system as its superblock describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Its kind.
    pub kind: Kind,
    /// Its UUID.
    pub id: Id,
}

/// Reads the superblock of an image; none where its bytes are neither XFS nor ext4.
///
/// # Errors
/// The image cannot be read.
pub fn read(image: &Path) -> io::Result<Option<Superblock>> {
    let mut head = Vec::new();
    File::open(image)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(parse(&head))
}

/// Finds the superblock in the first bytes of an image (XFS Algorithms & Data Structures, section 13; ext4, `struct ext4_super_block`).
pub fn parse(head: &[u8]) -> Option<Superblock> {
    let array = |offset: usize| head.get(offset..offset + 16)?.try_into().ok();
    if head.starts_with(b"XFSB") {
        return Some(Superblock { kind: Kind::Xfs, id: Id::new(array(32)?) });
    }
    let short = |offset: usize| {
        let bytes = head.get(EXT4_OFFSET + offset..EXT4_OFFSET + offset + 2)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?))
    };
    let is_ext = short(0x38)? == 0xEF53;
    is_ext.then_some(Superblock { kind: Kind::Ext4, id: Id::new(array(EXT4_OFFSET + 0x68)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_kinds_are_known_by_their_magic_numbers() {
        let mut xfs = vec![0; HEAD_BYTES];
        xfs[..4].copy_from_slice(b"XFSB");
        xfs[32..48].copy_from_slice(&[7; 16]);
        let found = parse(&xfs).unwrap();
        assert_eq!((found.kind, found.id), (Kind::Xfs, Id::new([7; 16])));
        let mut ext4 = vec![0; HEAD_BYTES];
        ext4[1024 + 0x38..1024 + 0x3C].copy_from_slice(&[0x53, 0xEF, 3, 0]);
        ext4[1024 + 0x68..1024 + 0x78].copy_from_slice(&[8; 16]);
        assert_eq!(parse(&ext4), Some(Superblock { kind: Kind::Ext4, id: Id::new([8; 16]) }));
        assert_eq!(parse(&[0; HEAD_BYTES]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..HEAD_BYTES)) {
            let _ = parse(&bytes);
        }
    }
}
