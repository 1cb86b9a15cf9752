//! Root over a block's transactions: the Merkle tree hash of RFC 6962 (section 2.1) over the transactions' hashes, as in
//! CometBFT, so that a single transaction can be proven with a path of hashes.

use openmesh_primitives::{Digest, sha256};

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// The root; of no transactions it is the hash of nothing.
pub fn transactions_root<T: AsRef<[u8]>>(transactions: &[T]) -> Digest {
    let leaves: Vec<Digest> = transactions.iter().map(|bytes| sha256(&[LEAF, &sha256(&[bytes.as_ref()]).0])).collect();
    if leaves.is_empty() { sha256(&[]) } else { fold(&leaves) }
}

/// The left half is the largest power of two that is smaller than the number of leaves.
fn fold(leaves: &[Digest]) -> Digest {
    match leaves {
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256(&[NODE, &fold(left).0, &fold(right).0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_of_rfc_6962() {
        let of = |n: u8| sha256(&[LEAF, &sha256(&[&[n]]).0]);
        let node = |l: Digest, r: Digest| sha256(&[NODE, &l.0, &r.0]);
        let bytes: Vec<[u8; 1]> = (0..5).map(|n| [n]).collect();
        assert_eq!(transactions_root::<[u8; 1]>(&[]), sha256(&[]));
        assert_eq!(transactions_root(&bytes[..1]), of(0));
        assert_eq!(transactions_root(&bytes[..2]), node(of(0), of(1)));
        assert_eq!(transactions_root(&bytes[..3]), node(node(of(0), of(1)), of(2)));
        let four = node(node(of(0), of(1)), node(of(2), of(3)));
        assert_eq!(transactions_root(&bytes[..4]), four);
        assert_eq!(transactions_root(&bytes), node(four, of(4)));
    }
}
