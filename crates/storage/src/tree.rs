//! The authenticated tree: reading its nodes from the database, and computing its next version.
//!
//! Source: Gao, Hu, Wu, "Jellyfish Merkle Tree", Diem Association, 2021; hashes as in the crate `jmt` with SHA-256.
//!
//! Versions of the tree are counted apart from heights, because one block may make two of them: the crate inserts a
//! sorted batch hashing every touched node once, but deletes key by key. Inserts make the first version, deletions
//! the second; the root does not depend on the way. Nodes that only the version between needed are never written.
//!
//! A leaf's row in the database carries key and value beside the node, so a value is written once more and not twice, and
//! needs no index of its own. Leaves move when others come and go beside them; a leaf that moves has been read before, so
//! its key and value are at hand.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use borsh::BorshDeserialize;
use jmt::storage::{LeafNode, Node, NodeBatch, NodeKey, TreeReader, TreeUpdateBatch};
use jmt::{KeyHash, OwnedValue, RootHash, Sha256Jmt, Version};
use openmesh_primitives::{Digest, canonical};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableTable};

use crate::StoreError;
use crate::proof::{StateProof, key_hash};
use crate::tables::{META, NODES, STATE, get_meta};

/// Rows of the tree or of the state.
pub type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
type Inserts = Vec<(KeyHash, OwnedValue)>;
type Deletes = Vec<(KeyHash, Option<OwnedValue>)>;

/// The tree in one snapshot of the database.
pub struct Tree {
    nodes: Rows,
    state: Rows,
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

/// The key of the row of a node at a path of nibbles.
pub fn row_key_at(version: Version, nibbles: &[u8]) -> Vec<u8> {
    let mut key = [version.to_be_bytes().as_slice(), &[u8::try_from(nibbles.len()).unwrap_or(u8::MAX)]].concat();
    key.extend(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)));
    key
}

/// Version (8 bytes, big-endian), length of the path in nibbles (1 byte), path.
fn row_key(key: &NodeKey) -> anyhow::Result<Vec<u8>> {
    let path = borsh::to_vec(key.nibble_path())?;
    // Borsh writes the number of nibbles in 8 bytes, the number of bytes in 4, then the bytes.
    let (length, bytes) = (path.first(), path.get(12..));
    let (Some(length), Some(bytes)) = (length, bytes) else { anyhow::bail!("unknown form of a path") };
    Ok([key.version().to_be_bytes().as_slice(), &[*length], bytes].concat())
}

/// First byte of a leaf's row that carries its key; jmt's own tags are small numbers. Rows of stores from before there were
/// snapshots begin with such a tag.
const KEYED: u8 = 0x80;

/// A leaf's row with its key: mark, length of the key (4 bytes, little-endian), key, node, value.
pub fn keyed_row(key: &[u8], node: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&[KEYED], length.as_slice(), key, node, value].concat()
}

/// A row of the database: the key of a leaf that carries one, the node, and the value of a leaf.
pub struct Row<'a> {
    pub key: Option<&'a [u8]>,
    pub node: Node,
    pub value: &'a [u8],
}

impl<'a> Row<'a> {
    pub fn decode(row: &'a [u8]) -> anyhow::Result<Row<'a>> {
        let (key, mut rest) = match row.split_first() {
            Some((&KEYED, rest)) => {
                let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| anyhow::anyhow!("no length"))?;
                let length = usize::try_from(u32::from_le_bytes(*length))?;
                let (key, rest) = rest.split_at_checked(length).ok_or_else(|| anyhow::anyhow!("no key"))?;
                (Some(key), rest)
            }
            _ => (None, row),
        };
        let node = Node::deserialize(&mut rest)?;
        Ok(Row { key, node, value: rest })
    }
}

/// Key of META: the leaves carry their keys.
pub const KEYS_DONE: &str = "leaf-keys";

/// Gives the leaves of a store that was made before rows carried keys the keys of the state.
pub fn complete_keys(database: &Database) -> Result<(), StoreError> {
    let write = database.begin_write()?;
    if get_meta::<bool>(&write.open_table(META)?, KEYS_DONE)?.is_some() {
        return Ok(());
    }
    {
        let state = write.open_table(STATE)?;
        let mut keys: HashMap<[u8; 32], Vec<u8>> = HashMap::new();
        for entry in state.iter()? {
            let key = entry?.0.value().to_vec();
            keys.insert(key_hash(&key).0, key);
        }
        let mut nodes = write.open_table(NODES)?;
        let mut rows = Vec::new();
        for entry in nodes.iter()? {
            let (at, row) = entry?;
            let decoded = Row::decode(row.value()).map_err(damaged)?;
            if let (None, Node::Leaf(leaf)) = (decoded.key, &decoded.node)
                && let Some(key) = keys.get(&leaf.key_hash().0)
            {
                let node = borsh::to_vec(&decoded.node).map_err(|e| StoreError::damaged("tree node", e))?;
                rows.push((at.value().to_vec(), keyed_row(key, &node, decoded.value)));
            }
        }
        for (at, row) in rows {
            nodes.insert(at.as_slice(), row.as_slice())?;
        }
        write.open_table(META)?.insert(KEYS_DONE, canonical::encode(&true).as_slice())?;
    }
    write.commit()?;
    Ok(())
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
        let mut reader = Reader { nodes: &self.nodes, added: NodeBatch::default(), leaves: RefCell::default() };
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
        let leaves = reader.leaves.into_inner();
        Ok((root, collect(version, batches, &leaves, writes)?))
    }

    /// Inserts and deletions that change something.
    fn split(&self, writes: &Writes) -> Result<(Inserts, Deletes), StoreError> {
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
        let reader = Reader { nodes: &self.nodes, added: NodeBatch::default(), leaves: RefCell::default() };
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
    moved: &HashMap<[u8; 32], Leaf>,
    writes: &Writes,
) -> Result<TreeChange, StoreError> {
    let written: HashMap<[u8; 32], (&Vec<u8>, &Vec<u8>)> =
        writes.iter().filter_map(|(key, value)| Some((key_hash(key).0, (key, value.as_ref()?)))).collect();
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
            let encoded = borsh::to_vec(node).map_err(|e| StoreError::damaged("tree node", e))?;
            let row = match node {
                Node::Leaf(leaf) => {
                    let hash = leaf.key_hash().0;
                    match (written.get(&hash), moved.get(&hash)) {
                        (Some((key, value)), _) => keyed_row(key, &encoded, value),
                        (None, Some(Leaf { key: Some(key), value })) => keyed_row(key, &encoded, value),
                        (None, Some(Leaf { key: None, value })) => [encoded.as_slice(), value].concat(),
                        (None, None) => return Err(StoreError::damaged("state tree", "a leaf lost its value")),
                    }
                }
                _ => encoded,
            };
            nodes.insert(row_key(key).map_err(damaged)?, row);
        }
    }
    change.nodes = nodes.into_iter().collect();
    Ok(change)
}

/// Reads nodes from the database, and those that an earlier batch of the same block has added.
struct Reader<'a> {
    nodes: &'a Rows,
    added: NodeBatch,
    /// The leaves that were read.
    leaves: RefCell<HashMap<[u8; 32], Leaf>>,
}

/// Key and value of a leaf.
struct Leaf {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

impl TreeReader for Reader<'_> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        if let Some(node) = self.added.get_node(key) {
            return Ok(Some(node.clone()));
        }
        let Some(stored) = self.nodes.get(row_key(key)?.as_slice())? else { return Ok(None) };
        let row = Row::decode(stored.value())?;
        if let Node::Leaf(leaf) = &row.node {
            let content = Leaf { key: row.key.map(<[u8]>::to_vec), value: row.value.to_vec() };
            self.leaves.borrow_mut().insert(leaf.key_hash().0, content);
        }
        Ok(Some(row.node))
    }

    /// The tree asks for a value right after it has read the leaf of that version.
    fn get_value_option(&self, _: Version, key_hash: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(self.leaves.borrow().get(&key_hash.0).map(|leaf| leaf.value.clone()))
    }

    /// Only jmt's own restore asks for it, which this store does not use.
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Err(anyhow::anyhow!("restoring a tree from parts is not supported"))
    }
}
