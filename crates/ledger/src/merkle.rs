//! Merkle trees of RFC 6962 (section 2.1) with SHA-256: the root over a block's transactions, and the append-only tree over
//! an epoch's facts.
//!
//! The second one is kept as its peaks, the roots of the full subtrees from left to right, which are as many as the number
//! of leaves has ones in binary: appending needs no more, and the root follows from them. A path from a leaf to the root
//! is made by the node that keeps the leaves, and checked by anybody.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, sha256};
use serde::{Deserialize, Serialize};

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

/// Most hashes in a path: the number of leaves fits in 64 bits.
const PATH_HASHES_MAX: usize = 64;

/// The root over a block's transactions, leaves being their hashes, as in CometBFT; of none it is the hash of nothing.
pub fn transactions_root<T: AsRef<[u8]>>(transactions: &[T]) -> Digest {
    let hashes: Vec<Digest> = transactions.iter().map(|bytes| sha256(&[bytes.as_ref()])).collect();
    root_over_hashes(&hashes)
}

/// The same where the transactions' hashes are known.
pub(crate) fn root_over_hashes(hashes: &[Digest]) -> Digest {
    let leaves: Vec<Digest> = hashes.iter().map(|hash| leaf_hash(&hash.0)).collect();
    root_of(&leaves)
}

/// Hash of a leaf.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    sha256(&[LEAF, bytes])
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    sha256(&[NODE, &left.0, &right.0])
}

/// The left half is the largest power of two that is smaller than the number of leaves.
fn halves(leaves: &[Digest]) -> (&[Digest], &[Digest]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}

fn root_of(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => sha256(&[]),
        [only] => *only,
        _ => {
            let (left, right) = halves(leaves);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// An append-only tree, as its peaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MerklePeaks {
    size: u64,
    /// Roots of the full subtrees, the largest first.
    peaks: Vec<Digest>,
}

/// A path from a leaf to the root of a tree.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct MerklePath {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Number of leaves of the tree.
    pub size: u64,
    /// Siblings, from the leaf up.
    pub siblings: Vec<Digest>,
}

impl MerklePeaks {
    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of a leaf ([`leaf_hash`]).
    pub fn append(&mut self, leaf: Digest) {
        let mut node = leaf;
        let mut full = self.size;
        while full & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            node = node_hash(&left, &node);
            full >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root; of no leaves it is the hash of nothing.
    pub fn root(&self) -> Digest {
        let folded = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(|| sha256(&[]))
    }
}

impl MerklePath {
    /// Makes the path of a leaf from the hashes of all leaves; `None` if there is no such leaf.
    pub fn of(leaves: &[Digest], index: u64) -> Option<MerklePath> {
        let mut at = usize::try_from(index).ok().filter(|at| *at < leaves.len())?;
        let (mut siblings, mut rest) = (Vec::new(), leaves);
        while rest.len() > 1 {
            let (left, right) = halves(rest);
            if at < left.len() {
                siblings.push(root_of(right));
                rest = left;
            } else {
                siblings.push(root_of(left));
                at -= left.len();
                rest = right;
            }
        }
        siblings.reverse();
        Some(MerklePath { index, size: leaves.len() as u64, siblings })
    }

    /// The root that follows from a leaf's hash; `None` if the path has not the shape of one of its index and size.
    /// Source: RFC 9162, section 2.1.3.2.
    pub fn root(&self, leaf: Digest) -> Option<Digest> {
        if self.index >= self.size || self.siblings.len() > PATH_HASHES_MAX {
            return None;
        }
        let (mut at, mut last, mut node) = (self.index, self.size - 1, leaf);
        for sibling in &self.siblings {
            if last == 0 {
                return None;
            }
            if at & 1 == 1 || at == last {
                node = node_hash(sibling, &node);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                node = node_hash(&node, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u64) -> Digest {
        leaf_hash(&n.to_be_bytes())
    }

    #[test]
    fn shape_of_rfc_6962() {
        let of = |n: u8| leaf_hash(&sha256(&[&[n]]).0);
        let bytes: Vec<[u8; 1]> = (0..5).map(|n| [n]).collect();
        let node = |l: Digest, r: Digest| node_hash(&l, &r);
        assert_eq!(transactions_root::<[u8; 1]>(&[]), sha256(&[]));
        assert_eq!(transactions_root(&bytes[..1]), of(0));
        assert_eq!(transactions_root(&bytes[..2]), node(of(0), of(1)));
        assert_eq!(transactions_root(&bytes[..3]), node(node(of(0), of(1)), of(2)));
        let four = node(node(of(0), of(1)), node(of(2), of(3)));
        assert_eq!(transactions_root(&bytes[..4]), four);
        assert_eq!(transactions_root(&bytes), node(four, of(4)));
    }

    #[test]
    fn peaks_and_paths_give_the_root_of_the_whole_tree() {
        let leaves: Vec<Digest> = (0..130).map(leaf).collect();
        let mut peaks = MerklePeaks::default();
        for size in 0..leaves.len() {
            let root = root_of(&leaves[..size]);
            assert_eq!((peaks.size(), peaks.root()), (size as u64, root));
            assert!(peaks.peaks.len() <= 8);
            for index in 0..size as u64 {
                let path = MerklePath::of(&leaves[..size], index).unwrap();
                assert_eq!(path.root(leaves[index as usize]), Some(root), "{index} of {size}");
            }
            assert_eq!(MerklePath::of(&leaves[..size], size as u64), None);
            peaks.append(leaves[size]);
        }
    }

    #[test]
    fn a_path_holds_for_its_leaf_only() {
        let leaves: Vec<Digest> = (0..21).map(leaf).collect();
        let root = root_of(&leaves);
        for index in 0..21 {
            let path = MerklePath::of(&leaves, index).unwrap();
            let own = leaves[index as usize];
            let holds = |path: &MerklePath, leaf| path.root(leaf) == Some(root);
            assert!(holds(&path, own) && !holds(&path, leaf(99)));
            for other in (0..22).filter(|other| *other != index) {
                assert!(!holds(&MerklePath { index: other, ..path.clone() }, own), "{index} as {other}");
            }
            for at in 0..path.siblings.len() {
                let mut bent = path.clone();
                bent.siblings[at].0[0] ^= 1;
                assert!(!holds(&bent, own));
                bent.siblings.remove(at);
                assert!(!holds(&bent, own));
            }
            let longer = MerklePath { siblings: [path.siblings.clone(), vec![leaf(0)]].concat(), ..path.clone() };
            assert_eq!(longer.root(own), None);
            assert_eq!(MerklePath { size: 0, ..path }.root(own), None);
        }
    }
}
