//! Building the tree of a state at once, from rows in the order of their hashed keys.
//!
//! The crate `jmt` inserts into a tree that exists: it looks for each key's place, and writes what is above it again with every
//! batch. A restored state has no tree yet, and each chunk is the whole of one part of it, so its nodes are made from the
//! leaves up, each once. The state of a genesis is built in the same way. The form of the nodes is that of `jmt` (Borsh), which
//! reads them from then on.

use std::collections::BTreeMap;

use openmesh_primitives::Digest;

use crate::chunk::{self, Child};
use crate::tree::{TreeChange, keyed_row, row_key_at};

/// Version of every node of a tree that is built at once.
pub const VERSION: u64 = 0;

/// A row of the table of nodes: key and content.
pub type NodeRow = (Vec<u8>, Vec<u8>);

/// The uppermost node of a part of the tree.
#[derive(Clone, Debug)]
pub enum Top {
    /// A single row. It stands as high as it is alone, so its place is not known before its neighbours are.
    Leaf {
        /// The leaf.
        child: Child,
        /// Its row.
        row: Vec<u8>,
    },
    /// A branch, which is written already.
    Node {
        /// Its hash.
        hash: [u8; 32],
        /// Number of rows below it.
        leaves: u64,
    },
}

impl Top {
    /// Its hash.
    pub fn hash(&self) -> [u8; 32] {
        self.child().hash()
    }

    fn child(&self) -> Child {
        match self {
            Top::Leaf { child, .. } => *child,
            Top::Node { hash, .. } => Child::Node(*hash),
        }
    }
}

/// Builds the whole tree of a state; returns its root with the rows of its nodes, in the order of their table.
pub fn whole(state: &BTreeMap<Vec<u8>, Vec<u8>>) -> (Digest, TreeChange) {
    let mut leaves: Vec<_> = state.iter().map(|row| (Child::leaf(row.0, row.1), row)).collect();
    leaves.sort_unstable_by(|(one, _), (other, _)| chunk::key_hash(one).cmp(&chunk::key_hash(other)));
    let (leaves, rows): (Vec<_>, Vec<_>) =
        leaves.into_iter().map(|(leaf, (key, value))| (leaf, (key.clone(), value.clone()))).unzip();
    let mut nodes = Vec::with_capacity(rows.len() * 5 / 4);
    let top = part(&rows, &leaves, &mut Vec::new(), &mut nodes);
    top.iter().for_each(|top| root(top, &mut nodes));
    nodes.sort_unstable();
    (Digest(top.map_or(chunk::EMPTY, |top| top.hash())), TreeChange { version: VERSION, nodes, stale: Vec::new() })
}

/// Builds the part of the tree at a path from its leaves, which are in order; writes every node of it but the leaf of a single row.
pub fn part(rows: &[(Vec<u8>, Vec<u8>)], leaves: &[Child], path: &mut Vec<u8>, out: &mut Vec<NodeRow>) -> Option<Top> {
    match (rows, leaves) {
        ([], _) | (_, []) => None,
        ([(key, value)], [child]) => Some(Top::Leaf { child: *child, row: leaf_row(key, child, value) }),
        _ => {
            let mut children = [const { None }; 16];
            let mut from = 0;
            for (digit, place) in (0u8..).zip(&mut children) {
                let is_before =
                    |leaf: &Child| chunk::key_hash(leaf).is_some_and(|hash| chunk::digit(hash, path.len()) <= digit);
                let to = from + leaves[from..].partition_point(is_before);
                path.push(digit);
                *place = part(&rows[from..to], &leaves[from..to], path, out);
                path.pop();
                from = to;
            }
            branch(children, path, out)
        }
    }
}

/// Joins the parts of a depth, in order, to the tree above them. `path` is where they begin: empty for all of them.
pub fn above(tops: &mut [Option<Top>], path: &mut Vec<u8>, out: &mut Vec<NodeRow>) -> Option<Top> {
    if let [top] = tops {
        return top.take();
    }
    let mut children = [const { None }; 16];
    let each = (tops.len() / 16).max(1);
    for ((digit, place), tops) in (0u8..).zip(&mut children).zip(tops.chunks_mut(each)) {
        path.push(digit);
        *place = above(tops, path, out);
        path.pop();
    }
    branch(children, path, out)
}

/// Writes the leaf of a tree of one row.
pub fn root(top: &Top, out: &mut Vec<NodeRow>) {
    if let Top::Leaf { row, .. } = top {
        out.push((row_key_at(VERSION, &[]), row.clone()));
    }
}

/// The branch of these children; a row that is alone goes up instead.
fn branch(mut children: [Option<Top>; 16], path: &mut Vec<u8>, out: &mut Vec<NodeRow>) -> Option<Top> {
    let mut present = children.iter_mut().filter(|child| child.is_some());
    match (present.next(), present.next()) {
        (None, _) => return None,
        (Some(only @ Some(Top::Leaf { .. })), None) => return only.take(),
        _ => {}
    }
    let hash = chunk::merge(&children.each_ref().map(|child| child.as_ref().map(Top::child)))?.hash();
    let (node, leaves) = encoded(&children);
    out.push((row_key_at(VERSION, path), node));
    for (digit, child) in (0u8..).zip(children) {
        if let Some(Top::Leaf { row, .. }) = child {
            path.push(digit);
            out.push((row_key_at(VERSION, path), row));
            path.pop();
        }
    }
    Some(Top::Node { hash, leaves })
}

/// Borsh of `jmt`'s `Node::Internal`: tag 1; sixteen children, each 0 or 1, hash, version, and 0 for a leaf or 1 and the number
/// of leaves; the number of children; the number of leaves.
fn encoded(children: &[Option<Top>; 16]) -> (Vec<u8>, u64) {
    let mut bytes = vec![1];
    let (mut count, mut leaves) = (0u64, 0u64);
    for child in children {
        let Some(child) = child else {
            bytes.push(0);
            continue;
        };
        bytes.push(1);
        bytes.extend(child.hash());
        bytes.extend(VERSION.to_le_bytes());
        count += 1;
        match child {
            Top::Leaf { .. } => {
                bytes.push(0);
                leaves += 1;
            }
            Top::Node { leaves: below, .. } => {
                bytes.push(1);
                bytes.extend(below.to_le_bytes());
                leaves += below;
            }
        }
    }
    bytes.extend(count.to_le_bytes());
    bytes.extend(leaves.to_le_bytes());
    (bytes, leaves)
}

/// Row of a leaf with its key: Borsh of `jmt`'s `Node::Leaf` is tag 2 and the hashes of key and value.
fn leaf_row(key: &[u8], child: &Child, value: &[u8]) -> Vec<u8> {
    let node = match child {
        Child::Leaf { key_hash, value_hash } => [&[2], key_hash.as_slice(), value_hash].concat(),
        Child::Node(_) => Vec::new(),
    };
    keyed_row(key, &node, value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Store;
    use crate::tree::Tree;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The root and every row are those that the crate `jmt` makes of the same state.
        #[test]
        fn a_tree_built_at_once_is_the_one_that_insertions_make(
            state in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..20), prop::collection::vec(any::<u8>(), 0..20), 0..600)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let writes = state.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
            let (root, mut inserted) = Tree::open(&store.read().unwrap()).unwrap().update(&writes, None).unwrap();
            inserted.nodes.sort_unstable();
            let (found, built) = whole(&state);
            prop_assert_eq!(found, root);
            prop_assert_eq!(built.nodes, inserted.nodes);
        }
    }
}
