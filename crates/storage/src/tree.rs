//! The authenticated tree: reading its nodes from the database, and computing its next version.
//!
//! Source: Gao, Hu, Wu, "Jellyfish Merkle Tree", Diem Association, 2021; hashes as in the crate `jmt` with SHA-256.
//!
//! Versions of the tree are counted apart from heights, because one block may make two of them: the crate inserts a
//! sorted batch hashing every touched node once, but deletes key by key. Inserts make the first version, deletions
//! the second; the root does not depend on the way. Nodes that only the version between needed are never written.
//!
//! A leaf's row in the database carries the value itself behind the node, so a value is written once more and not twice,
//! and needs no index of its own. Leaves move when others come and go beside them; a leaf that moves has been read
//! before, so its value is at hand.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use borsh::BorshDeserialize;
use jmt::storage::{LeafNode, Node, NodeBatch, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{KeyHash, OwnedValue, RootHash, Sha256Jmt, Version};
use openmesh_primitives::{Digest, sha256};
use redb::{ReadOnlyTable, ReadTransaction};

use crate::StoreError;
use crate::proof::StateProof;
use crate::tables::{NODES, STATE};

type Bytes = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The tree in one snapshot of the database.
pub struct Tree {
    nodes: Bytes,
    state: Bytes,
}

/// Changes of the tree by a block.
#[derive(Debug, Default)]
pub struct TreeChange {
    /// The newest version of the tree after it.
    pub version: Version,
    /// Rows that are new.
    pub nodes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Rows that the new version does not need.
    pub stale: Vec<Vec<u8>>,
}

/// The hash under which a key of the state stands in the tree.
pub fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(sha256(&[key]).0)
}

/// Version (8 bytes, big-endian), length of the path in nibbles (1 byte), path.
fn row_key(key: &NodeKey) -> anyhow::Result<Vec<u8>> {
    let path = borsh::to_vec(key.nibble_path())?;
    // Borsh writes the number of nibbles in 8 bytes, the number of bytes in 4, then the bytes.
    let (length, bytes) = (path.first(), path.get(12..));
    let (Some(length), Some(bytes)) = (length, bytes) else { anyhow::bail!("unknown form of a path") };
    Ok([key.version().to_be_bytes().as_slice(), &[*length], bytes].concat())
}

fn damaged(error: anyhow::Error) -> StoreError {
    StoreError::damaged("state tree", error)
}

impl Tree {
    pub fn open(read: &ReadTransaction) -> Result<Tree, StoreError> {
        Ok(Tree { nodes: read.open_table(NODES)?, state: read.open_table(STATE)? })
    }

    /// Computes what these writes make of the tree. Writes nothing. `version` and `root` are of the tree as it stands;
    /// `None` means that there is none yet.
    pub fn update(
        &self,
        writes: &Writes,
        current: Option<(Version, Digest)>,
    ) -> Result<(Digest, TreeChange), StoreError> {
        let (inserts, deletes) = self.split(writes)?;
        let mut version = current.map(|(version, _)| version);
        let mut root = current.map_or(Digest(Sha256Jmt::<Reader<'_>>::EMPTY_ROOT.0), |(_, root)| root);
        let mut next = || {
            let next = version.map_or(0, |version| version + 1);
            version = Some(next);
            next
        };
        let mut reader = Reader { nodes: &self.nodes, added: NodeBatch::default(), values: RefCell::default() };
        let mut batches = Vec::new();
        if !inserts.is_empty() {
            let tree = Sha256Jmt::new(&reader);
            let (roots, batch) = tree.batch_put_value_sets(vec![inserts], None, next()).map_err(damaged)?;
            root = last(&roots, root);
            reader.added = batch.node_batch.clone();
            batches.push(batch);
        }
        if !deletes.is_empty() {
            let (new, batch) = Sha256Jmt::new(&reader).put_value_set(deletes, next()).map_err(damaged)?;
            root = Digest(new.0);
            batches.push(batch);
        }
        let version = version.unwrap_or(0);
        let values = reader.values.into_inner();
        Ok((root, collect(version, batches, &values, writes)?))
    }

    /// Inserts and deletions that change something.
    #[allow(clippy::type_complexity)]
    fn split(
        &self,
        writes: &Writes,
    ) -> Result<(Vec<(KeyHash, OwnedValue)>, Vec<(KeyHash, Option<OwnedValue>)>), StoreError> {
        let (mut inserts, mut deletes) = (Vec::new(), Vec::new());
        for (key, value) in writes {
            let stored = self.state.get(key.as_slice())?;
            match (value, stored) {
                (Some(value), Some(stored)) if stored.value() == value.as_slice() => {}
                (Some(value), _) => inserts.push((key_hash(key), value.clone())),
                (None, Some(_)) => deletes.push((key_hash(key), None)),
                (None, None) => {}
            }
        }
        Ok((inserts, deletes))
    }

    /// A value at a version with its proof. The version must still be there.
    pub fn prove(&self, key: &[u8], version: Version) -> Result<(Option<Vec<u8>>, StateProof), StoreError> {
        let reader = Reader { nodes: &self.nodes, added: NodeBatch::default(), values: RefCell::default() };
        let (value, proof) = Sha256Jmt::new(&reader).get_with_proof(key_hash(key), version).map_err(damaged)?;
        Ok((value, StateProof::new(proof)))
    }
}

fn last(roots: &[RootHash], otherwise: Digest) -> Digest {
    roots.last().map_or(otherwise, |root| Digest(root.0))
}

/// Rows to add and rows that become stale. What a batch adds and a later one drops again is neither.
fn collect(
    version: Version,
    batches: Vec<TreeUpdateBatch>,
    moved: &HashMap<[u8; 32], Vec<u8>>,
    writes: &Writes,
) -> Result<TreeChange, StoreError> {
    let written: HashMap<[u8; 32], &Vec<u8>> =
        writes.iter().filter_map(|(key, value)| Some((key_hash(key).0, value.as_ref()?))).collect();
    let mut nodes: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut change = TreeChange { version, ..TreeChange::default() };
    for batch in batches {
        for stale in &batch.stale_node_index_batch {
            let key = row_key(&stale.node_key).map_err(damaged)?;
            if nodes.remove(&key).is_none() {
                change.stale.push(key);
            }
        }
        for (key, node) in batch.node_batch.nodes() {
            let mut row = borsh::to_vec(node).map_err(|e| StoreError::damaged("tree node", e))?;
            if let Node::Leaf(leaf) = node {
                let hash = leaf.key_hash().0;
                let value = written.get(&hash).copied().or_else(|| moved.get(&hash));
                let value = value.ok_or_else(|| StoreError::damaged("state tree", "a leaf lost its value"))?;
                row.extend_from_slice(value);
            }
            nodes.insert(row_key(key).map_err(damaged)?, row);
        }
    }
    change.nodes = nodes.into_iter().collect();
    Ok(change)
}

/// Reads nodes from the database, and those that an earlier batch of the same block has added.
struct Reader<'a> {
    nodes: &'a Bytes,
    added: NodeBatch,
    /// The values of the leaves that were read.
    values: RefCell<HashMap<[u8; 32], Vec<u8>>>,
}

impl TreeReader for Reader<'_> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        if let Some(node) = self.added.get_node(key) {
            return Ok(Some(node.clone()));
        }
        let Some(stored) = self.nodes.get(row_key(key)?.as_slice())? else { return Ok(None) };
        let mut row = stored.value();
        let node = Node::deserialize(&mut row)?;
        if let Node::Leaf(leaf) = &node {
            self.values.borrow_mut().insert(leaf.key_hash().0, row.to_vec());
        }
        Ok(Some(node))
    }

    /// The tree asks for a value right after it has read the leaf of that version.
    fn get_value_option(&self, _: Version, key_hash: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(self.values.borrow().get(&key_hash.0).cloned())
    }

    /// Only a restore of a tree from parts asks for it, which this store does not do.
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Err(anyhow::anyhow!("restoring a tree from parts is not supported"))
    }
}
