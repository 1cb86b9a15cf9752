//! The authenticated tree: reading its nodes from the database, and computing its next version.
//!
//! Source: Gao, Hu, Wu, "Jellyfish Merkle Tree", Diem Association, 2021; hashes as in the crate `jmt` with SHA-256.

use std::collections::BTreeMap;

use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Sha256Jmt, Version};
use openmesh_primitives::{Digest, Height, sha256};
use redb::{ReadOnlyTable, ReadTransaction};

use crate::StoreError;
use crate::proof::StateProof;
use crate::tables::{self, NODES, STATE, VALUES, stale_key, state_parts, value_key};

type Bytes = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The tree in one snapshot of the database.
pub struct Tree {
    nodes: Bytes,
    values: Bytes,
    state: Bytes,
}

/// What a new version of the tree adds to the database.
#[derive(Debug, Default)]
pub struct TreeChange {
    pub nodes: Vec<(Vec<u8>, Vec<u8>)>,
    pub values: Vec<(Vec<u8>, Vec<u8>)>,
    pub stale: Vec<Vec<u8>>,
}

/// The hash under which a key of the state stands in the tree.
pub fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash(sha256(&[key]).0)
}

fn node_key(key: &NodeKey) -> anyhow::Result<Vec<u8>> {
    let mut bytes = key.version().to_be_bytes().to_vec();
    borsh::to_writer(&mut bytes, key.nibble_path())?;
    Ok(bytes)
}

fn damaged(error: anyhow::Error) -> StoreError {
    StoreError::damaged("state tree", error)
}

impl Tree {
    pub fn open(read: &ReadTransaction) -> Result<Tree, StoreError> {
        Ok(Tree { nodes: read.open_table(NODES)?, values: read.open_table(VALUES)?, state: read.open_table(STATE)? })
    }

    /// Computes the version that these writes make, on top of the one before. Writes nothing.
    pub fn update(
        &self,
        writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
        version: Height,
    ) -> Result<(Digest, TreeChange), StoreError> {
        let hashed: Vec<(KeyHash, Option<OwnedValue>)> =
            writes.iter().map(|(key, value)| (key_hash(key), value.clone())).collect();
        let mut change = TreeChange::default();
        for ((key, value), (hash, _)) in writes.iter().zip(&hashed) {
            self.value_change(&mut change, key, value.as_deref(), hash, version)?;
        }
        let (root, update) = Sha256Jmt::new(self).put_value_set(hashed, version).map_err(damaged)?;
        for (key, node) in update.node_batch.nodes() {
            let bytes = borsh::to_vec(node).map_err(|e| StoreError::damaged("tree node", e))?;
            change.nodes.push((node_key(key).map_err(damaged)?, bytes));
        }
        for stale in &update.stale_node_index_batch {
            let key = node_key(&stale.node_key).map_err(damaged)?;
            change.stale.push(stale_key(stale.stale_since_version, tables::STALE_NODE, &key));
        }
        Ok((Digest(root.0), change))
    }

    /// The value's new version; the one before becomes stale, and a deletion is stale from the beginning.
    fn value_change(
        &self,
        change: &mut TreeChange,
        key: &[u8],
        value: Option<&[u8]>,
        hash: &KeyHash,
        version: Height,
    ) -> Result<(), StoreError> {
        let new = value_key(&hash.0, version);
        if let Some(stored) = self.state.get(key)? {
            let (before, _) = state_parts(stored.value()).ok_or_else(|| StoreError::damaged("state", "short value"))?;
            change.stale.push(stale_key(version, tables::STALE_VALUE, &value_key(&hash.0, before)));
        }
        let bytes = match value {
            Some(value) => [&[1], value].concat(),
            None => {
                change.stale.push(stale_key(version, tables::STALE_VALUE, &new));
                vec![0]
            }
        };
        change.values.push((new, bytes));
        Ok(())
    }

    /// A value at a version with its proof. The version's root must still be there.
    pub fn prove(&self, key: &[u8], version: Height) -> Result<(Option<Vec<u8>>, StateProof), StoreError> {
        let (value, proof) = Sha256Jmt::new(self).get_with_proof(key_hash(key), version).map_err(damaged)?;
        Ok((value, StateProof::new(proof)))
    }

    /// Whether the root of a version is still there.
    pub fn has_version(&self, version: Height) -> Result<bool, StoreError> {
        Ok(Sha256Jmt::new(self).get_root_hash_option(version).map_err(damaged)?.is_some())
    }
}

impl TreeReader for Tree {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let Some(stored) = self.nodes.get(node_key(key)?.as_slice())? else { return Ok(None) };
        Ok(Some(borsh::from_slice(stored.value())?))
    }

    fn get_value_option(&self, max_version: Version, key_hash: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        let (first, last) = (value_key(&key_hash.0, 0), value_key(&key_hash.0, max_version));
        let Some(newest) = self.values.range(first.as_slice()..=last.as_slice())?.next_back() else { return Ok(None) };
        let (_, stored) = newest?;
        match stored.value().split_first() {
            Some((1, value)) => Ok(Some(value.to_vec())),
            Some((0, [])) => Ok(None),
            _ => Err(anyhow::anyhow!("a value has an unknown form")),
        }
    }

    /// Only a restore of a tree from parts asks for it, which this store does not do.
    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Err(anyhow::anyhow!("restoring a tree from parts is not supported"))
    }
}
