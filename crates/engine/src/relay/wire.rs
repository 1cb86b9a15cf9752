//! The bytes of announcements and wants: canonical, and refused where they are longer than an honest node makes them.

use bytes::Bytes;
use openmesh_primitives::{Digest, canonical};

use super::{ANNOUNCED_MAX, ASKED_MAX};

/// Longest name of a node, bytes: that of a host is shorter.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest announcement or want, bytes: a list of hashes with its length, and who says it.
pub const BYTES_MAX: usize = 32 * ANNOUNCED_MAX + NAME_BYTES_MAX + 16;

/// The bytes of an announcement. `announcer`: the name of the node that makes it, since a network carries the same bytes once,
/// whoever brings them: a peer that repeats them sooner than they come from the announcer must not be taken for it. `number`: one that
/// no other announcement of this node has, so that two that name the same are two.
pub fn announcement(announcer: &[u8], number: u64, hashes: &[Digest]) -> Bytes {
    canonical::encode(&(announcer.to_vec(), number, hashes.to_vec())).into()
}

/// The announcer's name and the hashes of an announcement; `None` where it is none.
pub fn announced(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Digest>)> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let (announcer, _, hashes) = canonical::decode::<(Vec<u8>, u64, Vec<Digest>)>(bytes).ok()?;
    let fits = announcer.len() <= NAME_BYTES_MAX && !hashes.is_empty() && hashes.len() <= ANNOUNCED_MAX;
    fits.then_some((announcer, hashes))
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
        let said = |hashes: &[Digest]| announced(&announcement(b"name", 1, hashes));
        assert_eq!(said(&hashes), Some((b"name".to_vec(), hashes.clone())));
        assert_ne!(announcement(b"name", 1, &hashes), announcement(b"name", 2, &hashes));
        assert_ne!(announcement(b"name", 1, &hashes), announcement(b"other", 1, &hashes));
        assert_eq!(wanted(&want(&hashes)), Some(hashes.clone()));
        let most = vec![Digest([7; 32]); ANNOUNCED_MAX];
        assert!(announced(&announcement(&[7; NAME_BYTES_MAX], 1, &most)).is_some() && wanted(&want(&most)).is_some());
        let more = vec![Digest([7; 32]); ANNOUNCED_MAX + 1];
        assert!(said(&more).is_none() && wanted(&want(&more)).is_none());
        assert!(said(&[]).is_none() && wanted(&want(&[])).is_none());
        assert!(announced(&announcement(&[7; NAME_BYTES_MAX + 1], 1, &hashes)).is_none());
        assert!(announced(b"").is_none() && wanted(&[255, 255, 255, 255, 0]).is_none());
    }
}
