//! The bytes of announcements and wants: canonical, and refused where they are longer than an honest node makes them.

use bytes::Bytes;
use openmesh_primitives::{Digest, canonical};

use super::{ANNOUNCED_MAX, ASKED_MAX};

/// Longest announcement or want, bytes: a list of hashes with its length, and who says it.
pub const BYTES_MAX: usize = 32 * ANNOUNCED_MAX + 16;

/// The bytes of an announcement. `number`: one that no other announcement has, of this node or another, so that those who name the
/// same are not taken for each other's echo.
pub fn announcement(number: u64, hashes: &[Digest]) -> Bytes {
    canonical::encode(&(number, hashes.to_vec())).into()
}

/// The hashes of an announcement; `None` where it is none.
pub fn announced(bytes: &[u8]) -> Option<Vec<Digest>> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let (_, hashes) = canonical::decode::<(u64, Vec<Digest>)>(bytes).ok()?;
    (!hashes.is_empty() && hashes.len() <= ANNOUNCED_MAX).then_some(hashes)
}

/// The bytes of a want.
pub fn want(hashes: &[Digest]) -> Vec<u8> {
    canonical::encode(&hashes.to_vec())
}

/// The hashes of a want; `None` where it is none.
pub fn wanted(bytes: &[u8]) -> Option<Vec<Digest>> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let hashes = canonical::decode::<Vec<Digest>>(bytes).ok()?;
    (!hashes.is_empty() && hashes.len() <= ASKED_MAX).then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_survive_the_wire_and_long_ones_do_not() {
        let hashes: Vec<Digest> = (0..3).map(|n| Digest([n; 32])).collect();
        assert_eq!(announced(&announcement(1, &hashes)), Some(hashes.clone()));
        assert_ne!(announcement(1, &hashes), announcement(2, &hashes));
        assert_eq!(wanted(&want(&hashes)), Some(hashes));
        let most = vec![Digest([7; 32]); ANNOUNCED_MAX];
        assert!(announced(&announcement(1, &most)).is_some() && wanted(&want(&most)).is_some());
        let more = vec![Digest([7; 32]); ANNOUNCED_MAX + 1];
        assert!(announced(&announcement(1, &more)).is_none() && wanted(&want(&more)).is_none());
        assert!(announced(&announcement(1, &[])).is_none() && wanted(&want(&[])).is_none());
        assert!(announced(b"").is_none() && wanted(&[255, 255, 255, 255, 0]).is_none());
    }
}
