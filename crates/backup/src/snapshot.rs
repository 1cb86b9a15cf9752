//! Snapshots (B-19).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Timestamp;

use crate::cut::CHUNK_BYTES_MAX;
use crate::pack::ChunkId;

/// Labels of a snapshot, and bytes of a name or a value: what a person reads in a list.
pub const LABELS_MAX: usize = 64;
/// Largest name or value of a label, bytes.
pub const LABEL_BYTES_MAX: usize = 1024;
/// Largest manifest that is read, bytes: it is held while a tree is restored. Some eight million files.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// A chunk of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ManifestChunk {
    /// Its id.
    pub id: ChunkId,
    /// Its bytes.
    pub bytes: u32,
}

/// A backup that can be restored.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Snapshot {
    /// Moment at which it began, by the writer's clock.
    pub time: Timestamp,
    /// Texts of the caller by their name: application, generation, node.
    pub labels: BTreeMap<String, String>,
    /// Entries of the tree, the root with them.
    pub entries: u64,
    /// Bytes of its files, without holes.
    pub bytes: u64,
    pub(crate) chunks: Vec<ManifestChunk>,
}

impl Snapshot {
    /// The fault of a snapshot beyond the limits, in words.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let bytes: u64 = self.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        let long = self.labels.iter().any(|(name, value)| name.len().max(value.len()) > LABEL_BYTES_MAX);
        let chunk = self.chunks.iter().any(|chunk| chunk.bytes == 0 || chunk.bytes as usize > CHUNK_BYTES_MAX);
        if bytes > MANIFEST_BYTES_MAX || chunk {
            return Some("its manifest is longer than any");
        }
        (long || self.labels.len() > LABELS_MAX).then_some("it has more labels, or longer ones, than any")
    }
}
