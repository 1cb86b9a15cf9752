//! Exporting the state at a height in chunks. Nothing is prepared and nothing is held between two chunks: any height for
//! which proofs can be made is read from the tree as it stands.

use jmt::Version;
use jmt::storage::Node;
use openmesh_primitives::Height;

use crate::StoreError;
use crate::chunk::{self, Branch, CHUNK_BYTES_MAX, Child, DEPTH_MAX, SnapshotChunk, is_number};
use crate::store::Store;
use crate::tree::{Row, Rows, row_key_at};

/// Most rows of a usual chunk: half a megabyte with rows of a hundred bytes, and an eighth of what is refused. Fewer would
/// make more durable transactions of a restore, which is what it waits for.
const CHUNK_ROWS_MAX: usize = 5_000;

impl Store {
    /// Returns the depth at which the state after a height is exported: chunks have some thousand rows each on the average. It
    /// follows from the number of rows alone: keys that were chosen so that their hashes begin alike make one chunk large,
    /// which is fetched in parts, and not a great many small.
    ///
    /// # Errors
    /// [`StoreError::Pruned`] or [`StoreError::Beyond`] for a height for which no proofs can be made.
    pub fn snapshot_depth(&self, height: Height) -> Result<u8, StoreError> {
        let (nodes, version) = self.tree_at(height)?;
        let rows = match row(&nodes, version, &[])?.node()? {
            Node::Internal(root) => root.leaf_count(),
            Node::Leaf(_) => 1,
            Node::Null => 0,
        };
        let fits = |depth: &u8| rows / chunk::count(*depth) as usize <= CHUNK_ROWS_MAX;
        Ok((0..DEPTH_MAX).find(fits).unwrap_or(DEPTH_MAX))
    }

    /// Returns a chunk of the state after a height, or with a depth of up to eight digits a part of one.
    ///
    /// # Errors
    /// [`StoreError::Pruned`] or [`StoreError::Beyond`] for a height for which no proofs can be made, and
    /// [`StoreError::NoChunk`] for a number that does not exist or a part that is too large at this depth.
    pub fn snapshot_chunk(&self, height: Height, depth: u8, index: u32) -> Result<SnapshotChunk, StoreError> {
        let (nodes, version) = self.tree_at(height)?;
        if !is_number(depth, index) {
            return Err(StoreError::NoChunk { index, depth });
        }
        let digits = chunk::digits(depth, index);
        let mut walk = Walk { nodes: &nodes, rows: Vec::new(), bytes: 0 };
        let mut proof = Vec::new();
        let mut version = version;
        for (level, digit) in digits.iter().enumerate() {
            let node = row(&nodes, version, &digits[..level])?.node()?;
            proof.push(branch(&nodes, &node, &digits[..level])?);
            let Some((below, is_leaf)) = child(&node, *digit) else {
                return Ok(SnapshotChunk { rows: Vec::new(), proof });
            };
            version = below;
            if is_leaf {
                walk.leaf(version, &digits[..=level], &digits)?;
                return Ok(SnapshotChunk { rows: walk.rows, proof });
            }
        }
        walk.all(version, &mut digits.clone())?;
        match walk.bytes > CHUNK_BYTES_MAX {
            true => Err(StoreError::NoChunk { index, depth }),
            false => Ok(SnapshotChunk { rows: walk.rows, proof }),
        }
    }
}

/// A row of the database, copied out of it.
struct Stored(Vec<u8>);

impl Stored {
    fn decode(&self) -> Result<Row<'_>, StoreError> {
        Row::decode(&self.0).map_err(|e| StoreError::damaged("state tree", e))
    }

    fn node(&self) -> Result<Node, StoreError> {
        Ok(self.decode()?.node)
    }
}

fn row(nodes: &Rows, version: Version, path: &[u8]) -> Result<Stored, StoreError> {
    let stored = nodes.get(row_key_at(version, path).as_slice())?;
    let stored = stored.ok_or_else(|| StoreError::damaged("state tree", "a node is missing"))?;
    Ok(Stored(stored.value().to_vec()))
}

/// Version of a branch's child, and true for a leaf.
fn child(node: &Node, digit: u8) -> Option<(Version, bool)> {
    let Node::Internal(node) = node else { return None };
    let (_, child) = node.children_unsorted().find(|(place, _)| u8::from(*place) == digit)?;
    Some((child.version, child.is_leaf()))
}

/// The children of a branch as a proof states them.
fn branch(nodes: &Rows, node: &Node, path: &[u8]) -> Result<Branch, StoreError> {
    let Node::Internal(node) = node else {
        return Err(StoreError::damaged("state tree", "no branch where one is expected"));
    };
    let mut children: Branch = [None; 16];
    for (place, child) in node.children_unsorted() {
        let place = u8::from(place);
        children[usize::from(place)] = Some(match child.is_leaf() {
            false => Child::Node(child.hash),
            true => {
                let stored = row(nodes, child.version, &[path, &[place]].concat())?;
                let leaf = stored.decode()?;
                let Node::Leaf(node) = &leaf.node else {
                    return Err(StoreError::damaged("state tree", "no leaf where one is expected"));
                };
                let value_hash = openmesh_primitives::sha256(&[leaf.value]).0;
                Child::Leaf { key_hash: node.key_hash().0, value_hash }
            }
        });
    }
    Ok(children)
}

/// Collects the rows of a part of the tree in order.
struct Walk<'a> {
    nodes: &'a Rows,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Walk<'_> {
    /// Everything below a node. Stops reading where it has become too much.
    fn all(&mut self, version: Version, path: &mut Vec<u8>) -> Result<(), StoreError> {
        if self.bytes > CHUNK_BYTES_MAX {
            return Ok(());
        }
        let stored = row(self.nodes, version, path)?;
        match stored.node()? {
            Node::Null => Ok(()),
            Node::Leaf(_) => self.push(&stored.decode()?),
            Node::Internal(node) => {
                for (place, child) in node.children_sorted() {
                    path.push(u8::from(place));
                    self.all(child.version, path)?;
                    path.pop();
                }
                Ok(())
            }
        }
    }

    /// A single leaf, where it is of this chunk.
    fn leaf(&mut self, version: Version, path: &[u8], chunk: &[u8]) -> Result<(), StoreError> {
        let stored = row(self.nodes, version, path)?;
        let row = stored.decode()?;
        match &row.node {
            Node::Leaf(leaf) if chunk::begins_with(&leaf.key_hash().0, chunk) => self.push(&row),
            _ => Ok(()),
        }
    }

    fn push(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        let key = row.key.ok_or_else(|| StoreError::damaged("state tree", "a leaf of an older version has no key"))?;
        self.bytes += key.len() + row.value.len();
        self.rows.push((key.to_vec(), row.value.to_vec()));
        Ok(())
    }
}
