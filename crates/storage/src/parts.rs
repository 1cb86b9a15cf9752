//! A chunk that is too large for one answer, put together from its parts.
//!
//! Keys are hashed, but whoever chooses them can choose those of which the hashes begin alike, and rows may be long: no depth
//! makes every chunk small. So a chunk is fetched in sixteen parts where it is too large, and each of those again. A part is a
//! chunk of a greater depth and is proved alone, so none of them can be a lie.

use openmesh_primitives::{Digest, canonical};

use crate::chunk::{Branch, CHUNK_BYTES_MAX, ChunkError, PART_DEPTH_MAX, SnapshotChunk, bytes_of, verify_chunk};

/// The parts of a chunk.
#[derive(Debug)]
pub struct ChunkParts {
    root: Digest,
    depth: u8,
    /// Depth and number of those that are missing; the next one last.
    todo: Vec<(u8, u32)>,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    proof: Vec<Branch>,
    bytes: usize,
    /// Parts that were too large themselves, and the chunk.
    splits: usize,
}

impl ChunkParts {
    /// The sixteen parts of a chunk of the state with this root; `None` at the greatest depth.
    pub fn of(root: Digest, depth: u8, index: u32) -> Option<ChunkParts> {
        let mut parts = ChunkParts {
            root,
            depth,
            todo: vec![(depth, index)],
            rows: Vec::new(),
            proof: Vec::new(),
            bytes: 0,
            splits: 0,
        };
        parts.split().then_some(parts)
    }

    /// A part of a chunk that is never too large: whoever has the chunk has it.
    pub fn probe(depth: u8, index: u32) -> (u8, u32) {
        let digits = u32::from(PART_DEPTH_MAX.saturating_sub(depth));
        (depth.max(PART_DEPTH_MAX), index.checked_shl(4 * digits).unwrap_or(0))
    }

    /// Depth and number of the part that is wanted next; `None` when all are there.
    pub fn wanted(&self) -> Option<(u8, u32)> {
        self.todo.last().copied()
    }

    /// Adds the part that is wanted, in its canonical bytes.
    ///
    /// # Errors
    /// Where it does not belong there; nothing is kept then.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), ChunkError> {
        let Some((depth, index)) = self.wanted() else { return Ok(()) };
        let part: SnapshotChunk = canonical::decode(bytes).map_err(|_| ChunkError::Form)?;
        verify_chunk(&self.root, depth, index, &part)?;
        self.todo.pop();
        self.bytes += bytes_of(&part.rows);
        self.rows.extend(part.rows);
        // The way to the chunk is the beginning of the way to each of its parts.
        self.proof = part.proof;
        self.proof.truncate(usize::from(self.depth));
        Ok(())
    }

    /// Wants the next part in sixteen; false where it cannot be split, or where more were said to be too large than can be: each
    /// that is holds more bytes than one answer, and those of a depth have no byte in common.
    pub fn split(&mut self) -> bool {
        let splits_max = usize::from(PART_DEPTH_MAX) * (1 + self.bytes / CHUNK_BYTES_MAX);
        let Some((depth, index)) = self.wanted().filter(|(depth, _)| *depth < PART_DEPTH_MAX) else { return false };
        if self.splits >= splits_max {
            return false;
        }
        self.splits += 1;
        self.todo.pop();
        self.todo.extend((0..16).rev().map(|digit| (depth + 1, index << 4 | digit)));
        true
    }

    /// Bytes of keys and values that are there.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The whole chunk; `None` while parts are missing.
    pub fn into_chunk(self) -> Option<SnapshotChunk> {
        self.todo.is_empty().then_some(SnapshotChunk { rows: self.rows, proof: self.proof })
    }
}
