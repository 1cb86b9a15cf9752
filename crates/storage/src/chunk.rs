//! Parts of the state, each with a proof against the state's root, checked without any store and in any order.
//!
//! A chunk holds every row whose hashed key begins with the chunk's number, written in `depth` hexadecimal digits. Its proof is
//! the branches of the tree on the way there, each with all its sixteen children: enough to compute the root again, from a
//! chunk with rows and from one without. jmt's own range proofs lean on the rows before them, so that a lie is found only
//! in order, and what was added before it has to be thrown away; these stand alone.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, sha256};

/// Most digits of a chunk's number: 65,536 chunks, of a state of some hundred million rows.
pub const DEPTH_MAX: u8 = 4;
/// Most digits of a part that is asked for by itself, where a chunk is too large: as many as fit a number of four bytes. Whoever
/// wants parts of that depth to be too large has to find forty thousand keys of which the hashes agree in 32 bits.
pub(crate) const PART_DEPTH_MAX: u8 = 8;
/// Largest chunk in one answer, bytes of keys and values. A usual one is an eighth of it; a larger one is fetched in parts.
pub const CHUNK_BYTES_MAX: usize = 4 << 20;
/// jmt's hash of an empty part of the tree.
pub const EMPTY: [u8; 32] = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// Rows of one part of the state, with the proof that they are all of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SnapshotChunk {
    /// Keys and values, in ascending order of the hashed key.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// The branches from the root to the chunk.
    pub proof: Vec<Branch>,
}

/// The children of a branch of the tree, by their digit.
pub type Branch = [Option<Child>; 16];

/// A child of a branch. A leaf says what it is of, so that it cannot be passed off as one elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Child {
    /// A branch: its hash.
    Node([u8; 32]),
    /// A single row.
    Leaf {
        /// Place of its key in the tree.
        key_hash: [u8; 32],
        /// SHA-256 of its value.
        value_hash: [u8; 32],
    },
}

/// Errors of checking a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// No such chunk.
    #[error("there is no chunk {index} of depth {depth}")]
    Number {
        /// Asked for.
        index: u32,
        /// Digits of its number.
        depth: u8,
    },
    /// Bytes that are no chunk.
    #[error("its bytes are not those of a chunk")]
    Form,
    /// Larger than one answer.
    #[error("more than {CHUNK_BYTES_MAX} bytes")]
    Large,
    /// A row that does not belong here, stands twice or in the wrong order.
    #[error("its rows are not in order, or not of this chunk")]
    Rows,
    /// The proof does not hold.
    #[error("its proof does not lead from these rows to the state's root")]
    Proof,
}

impl Child {
    pub(crate) fn leaf(key: &[u8], value: &[u8]) -> Child {
        Child::Leaf { key_hash: crate::proof::key_hash(key).0, value_hash: sha256(&[value]).0 }
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        match self {
            Child::Node(hash) => *hash,
            Child::Leaf { key_hash, value_hash } => sha256(&[b"JMT::LeafNode", key_hash, value_hash]).0,
        }
    }
}

/// Number of chunks of a depth.
pub fn count(depth: u8) -> u32 {
    1 << (4 * u32::from(depth.min(DEPTH_MAX)))
}

/// Returns true for the number of a chunk, or of a part of one.
pub(crate) fn is_number(depth: u8, index: u32) -> bool {
    depth <= PART_DEPTH_MAX && u64::from(index) >> (4 * u32::from(depth)) == 0
}

/// Digits of a chunk's number.
pub(crate) fn digits(depth: u8, index: u32) -> Vec<u8> {
    (0..u32::from(depth)).rev().map(|place| ((index >> (4 * place)) & 0xf) as u8).collect()
}

pub(crate) fn digit(hash: &[u8; 32], place: usize) -> u8 {
    let byte = hash[place / 2];
    if place.is_multiple_of(2) { byte >> 4 } else { byte & 0xf }
}

pub(crate) fn begins_with(hash: &[u8; 32], digits: &[u8]) -> bool {
    digits.iter().enumerate().all(|(place, wanted)| digit(hash, place) == *wanted)
}

/// Checks that a chunk holds exactly the rows of its part of the state with this root.
///
/// # Errors
/// Where it does not; nothing of it may be used then.
pub fn verify_chunk(root: &Digest, depth: u8, index: u32, chunk: &SnapshotChunk) -> Result<(), ChunkError> {
    if bytes_of(&chunk.rows) > CHUNK_BYTES_MAX {
        return Err(ChunkError::Large);
    }
    verified(root, depth, index, chunk).map(drop)
}

/// Bytes of keys and values.
pub(crate) fn bytes_of(rows: &[(Vec<u8>, Vec<u8>)]) -> usize {
    rows.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// The same for a chunk of any size; returns the leaves of its rows.
pub(crate) fn verified(root: &Digest, depth: u8, index: u32, chunk: &SnapshotChunk) -> Result<Vec<Child>, ChunkError> {
    if !is_number(depth, index) {
        return Err(ChunkError::Number { index, depth });
    }
    let digits = digits(depth, index);
    let leaves: Vec<Child> = chunk.rows.iter().map(|(key, value)| Child::leaf(key, value)).collect();
    let hashes: Vec<&[u8; 32]> = leaves.iter().filter_map(key_hash).collect();
    if !hashes.is_sorted_by(|a, b| a < b) || !hashes.iter().all(|hash| begins_with(hash, &digits)) {
        return Err(ChunkError::Rows);
    }
    let found = subtree(&leaves, usize::from(depth) * 4);
    let computed = match chunk.proof.split_last() {
        None if depth == 0 => found,
        None => return Err(ChunkError::Proof),
        Some((last, above)) => climb(&digits, above, last, found)?,
    };
    match computed.map_or(EMPTY, |child| child.hash()) == root.0 {
        true => Ok(leaves),
        false => Err(ChunkError::Proof),
    }
}

pub(crate) fn key_hash(child: &Child) -> Option<&[u8; 32]> {
    match child {
        Child::Leaf { key_hash, .. } => Some(key_hash),
        Child::Node(_) => None,
    }
}

/// The root, from what was found in the chunk and the branches above it.
fn climb(digits: &[u8], above: &[Branch], last: &Branch, found: Option<Child>) -> Result<Option<Child>, ChunkError> {
    let level = above.len();
    let here = *digits.get(level).ok_or(ChunkError::Proof)?;
    let is_whole = level + 1 == digits.len();
    let stated = last[usize::from(here)];
    let holds = match &stated {
        stated if is_whole => *stated == found,
        // The tree ends above the chunk: with nothing, or with one row that is of this chunk or of another.
        None => found.is_none(),
        Some(Child::Leaf { key_hash, .. }) if begins_with(key_hash, digits) => stated == found,
        Some(Child::Leaf { .. }) => found.is_none(),
        Some(Child::Node(_)) => false,
    };
    if !holds {
        return Err(ChunkError::Proof);
    }
    let mut computed = branch(last, &digits[..level])?;
    for (level, parent) in above.iter().enumerate().rev() {
        if parent[usize::from(digits[level])] != Some(computed) {
            return Err(ChunkError::Proof);
        }
        computed = branch(parent, &digits[..level])?;
    }
    Ok(Some(computed))
}

/// A branch, from its children. Each leaf must be one of its place.
fn branch(children: &Branch, path: &[u8]) -> Result<Child, ChunkError> {
    for (place, child) in children.iter().enumerate() {
        if let Some(Child::Leaf { key_hash, .. }) = child
            && !(begins_with(key_hash, path) && usize::from(digit(key_hash, path.len())) == place)
        {
            return Err(ChunkError::Proof);
        }
    }
    match merge(children) {
        Some(node @ Child::Node(_)) => Ok(node),
        // A branch has two rows or more below it.
        _ => Err(ChunkError::Proof),
    }
}

pub(crate) fn merge(children: &[Option<Child>]) -> Option<Child> {
    match children {
        [child] => *child,
        _ => {
            let (left, right) = children.split_at(children.len() / 2);
            join(merge(left), merge(right))
        }
    }
}

/// The part of the tree above these leaves, which agree in so many bits.
fn subtree(leaves: &[Child], bits: usize) -> Option<Child> {
    match leaves {
        [] => None,
        [leaf] => Some(*leaf),
        _ => {
            let is_left =
                |child: &Child| key_hash(child).is_some_and(|hash| hash[bits / 8] & (0x80 >> (bits % 8)) == 0);
            let (left, right) = leaves.split_at(leaves.partition_point(is_left));
            join(subtree(left, bits + 1), subtree(right, bits + 1))
        }
    }
}

/// Two halves: a row that is alone stands for the whole, as in the tree.
fn join(left: Option<Child>, right: Option<Child>) -> Option<Child> {
    match (left, right) {
        (None, None) => None,
        (Some(leaf @ Child::Leaf { .. }), None) | (None, Some(leaf @ Child::Leaf { .. })) => Some(leaf),
        (left, right) => {
            let hash = |child: Option<Child>| child.map_or(EMPTY, |child| child.hash());
            Some(Child::Node(sha256(&[b"JMT::IntrnalNode", &hash(left), &hash(right)]).0))
        }
    }
}
