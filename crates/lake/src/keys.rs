//! The keys of everything whose rows are durable, on disk.
//!
//! Keys are 32 bytes each and evenly spread, as hashes are. They lie sorted in segments, immutable objects that the manifest
//! names. In memory is the first half of every [`FENCE_KEYS`]-th key: a look-up finds its place among these and reads one block
//! of 4 KiB. Memory is 8 bytes for 128 keys, 0.3 MB for five million.
//!
//! A checkpoint writes its new keys as a segment and merges it with those that are not much larger, so there are only as many
//! segments as the number of keys has doublings ([`SEGMENTS_MAX`] is never reached by far), and each key is written as often.
//! Merging reads and writes block by block.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::LakeError;

/// Identity of a unit of rows that is appended once: the SHA-256 in a chunk's CID, or a chain block's hash.
pub(crate) type Key = [u8; KEY_BYTES];

const KEY_BYTES: usize = 32;
/// Keys between two that are known in memory: a block of 4 KiB, which a disk reads at once.
const FENCE_KEYS: usize = 128;
/// Bytes that a merge reads or writes at once of each segment.
const MERGE_BUFFER_BYTES: usize = 64 << 10;
/// A segment is merged with a new one that is at least so many times smaller.
const MERGE_RATIO: u64 = 2;
/// Segments beyond which everything is merged into one: two for each doubling of more keys than a disk holds.
const SEGMENTS_MAX: usize = 64;

/// A sorted, immutable object of keys.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Path in the lake.
    pub path: String,
    file: File,
    keys: u64,
    /// First half of each [`FENCE_KEYS`]-th key, from the first one on.
    fences: Vec<u64>,
}

/// All segments at one moment.
pub(crate) type Segments = Arc<[Arc<Segment>]>;

fn fence(key: &[u8]) -> u64 {
    key.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

impl Segment {
    /// Opens a segment. Fails where it can not be read or is no sorted list of keys as far as the blocks' first keys tell.
    pub(crate) fn open(root: &Path, path: &str) -> Result<Segment, LakeError> {
        let fail = |e: std::io::Error| LakeError::storage("read", path, e);
        let file = File::open(root.join(path)).map_err(fail)?;
        let bytes = file.metadata().map_err(fail)?.len();
        if bytes % KEY_BYTES as u64 != 0 {
            return Err(LakeError::corrupt(path, "its length is no multiple of 32"));
        }
        let block = (FENCE_KEYS * KEY_BYTES) as u64;
        let mut fences = Vec::with_capacity((bytes / block + 1) as usize);
        let mut first = [0; size_of::<u64>()];
        for at in (0..bytes).step_by(FENCE_KEYS * KEY_BYTES) {
            file.read_exact_at(&mut first, at).map_err(fail)?;
            fences.push(u64::from_be_bytes(first));
        }
        if !fences.is_sorted() {
            return Err(LakeError::corrupt(path, "its keys are not in order"));
        }
        Ok(Segment { path: path.to_string(), file, keys: bytes / KEY_BYTES as u64, fences })
    }

    /// Number of keys.
    pub(crate) const fn len(&self) -> u64 {
        self.keys
    }

    /// Returns true if it holds a key. Fails where the disk does.
    fn has(&self, key: &Key) -> Result<bool, LakeError> {
        let wanted = fence(key);
        // Blocks whose first key begins alike: almost always one, the last whose first key is not larger.
        let first = self.fences.partition_point(|f| *f < wanted).saturating_sub(1);
        let last = self.fences.partition_point(|f| *f <= wanted);
        let mut block = [0; FENCE_KEYS * KEY_BYTES];
        for at in first..last {
            let start = (at * FENCE_KEYS) as u64;
            let keys = (self.keys - start).min(FENCE_KEYS as u64) as usize;
            let block = &mut block[..keys * KEY_BYTES];
            let read = self.file.read_exact_at(block, start * KEY_BYTES as u64);
            read.map_err(|e| LakeError::storage("read", &self.path, e))?;
            let (keys, _) = block.as_chunks::<KEY_BYTES>();
            if keys.binary_search(key).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_all(&self) -> Result<Cursor, LakeError> {
        let fail = |e: std::io::Error| LakeError::storage("read", &self.path, e);
        let mut file = self.file.try_clone().map_err(fail)?;
        // Look-ups name their place; only merges, one at a time, use the file's own.
        std::io::Seek::rewind(&mut file).map_err(fail)?;
        Ok(Cursor { source: Source::File(BufReader::with_capacity(MERGE_BUFFER_BYTES, file)), left: self.keys })
    }
}

/// Returns true if any segment holds a key. Fails where the disk does.
pub(crate) fn has(segments: &[Arc<Segment>], key: &Key) -> Result<bool, LakeError> {
    for segment in segments {
        if segment.has(key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keys one after another, ascending.
struct Cursor {
    source: Source,
    left: u64,
}

enum Source {
    File(BufReader<File>),
    Memory(std::vec::IntoIter<Key>),
}

impl Cursor {
    fn next(&mut self) -> std::io::Result<Option<Key>> {
        match &mut self.source {
            Source::Memory(keys) => Ok(keys.next()),
            Source::File(_) if self.left == 0 => Ok(None),
            Source::File(file) => {
                let mut key = [0; KEY_BYTES];
                file.read_exact(&mut key)?;
                self.left -= 1;
                Ok(Some(key))
            }
        }
    }
}

/// Writing of new keys as a segment, together with the segments that it takes the place of.
pub(crate) struct Merge {
    /// Path of the segment to be.
    pub path: String,
    added: Vec<Key>,
    merged: Vec<Arc<Segment>>,
    kept: Vec<Arc<Segment>>,
}

impl Merge {
    /// Decides which segments the new keys are merged with: from the smallest on, each that is less than [`MERGE_RATIO`] times
    /// what is merged already.
    pub(crate) fn plan(segments: &Segments, path: String, added: Vec<Key>) -> Merge {
        let mut kept: Vec<Arc<Segment>> = segments.to_vec();
        kept.sort_by_key(|segment| Reverse(segment.len()));
        let mut merged = Vec::new();
        let mut total = added.len() as u64;
        while kept.last().is_some_and(|s| s.len() < MERGE_RATIO * total || kept.len() >= SEGMENTS_MAX) {
            if let Some(segment) = kept.pop() {
                total += segment.len();
                merged.push(segment);
            }
        }
        Merge { path, added, merged, kept }
    }

    /// Paths of the segments that are no longer needed once the new one counts.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = &str> {
        self.merged.iter().map(|segment| segment.path.as_str())
    }

    /// Paths of all segments as they will be.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.kept.iter().map(|segment| segment.path.clone()).chain([self.path.clone()]).collect()
    }

    /// Writes the keys in order, each once. Fails where a segment can not be read or the output not be written.
    pub(crate) fn write(&self, out: File) -> Result<(), LakeError> {
        let fail = |e: std::io::Error| LakeError::storage("merge", &self.path, e);
        let mut added = self.added.clone();
        added.sort_unstable();
        let mut cursors = vec![Cursor { left: added.len() as u64, source: Source::Memory(added.into_iter()) }];
        for segment in &self.merged {
            cursors.push(segment.read_all()?);
        }
        let mut heap = BinaryHeap::new();
        for (at, cursor) in cursors.iter_mut().enumerate() {
            heap.extend(cursor.next().map_err(fail)?.map(|key| Reverse((key, at))));
        }
        let mut out = BufWriter::with_capacity(MERGE_BUFFER_BYTES, out);
        let mut last: Option<Key> = None;
        while let Some(Reverse((key, at))) = heap.pop() {
            if last != Some(key) {
                out.write_all(&key).map_err(fail)?;
                last = Some(key);
            }
            heap.extend(cursors[at].next().map_err(fail)?.map(|key| Reverse((key, at))));
        }
        out.flush().map_err(fail)
    }

    /// The segments after the merge. Fails where the new one can not be opened.
    pub(crate) fn done(&self, root: &Path) -> Result<Segments, LakeError> {
        let written = Segment::open(root, &self.path)?;
        Ok(self.kept.iter().cloned().chain([Arc::new(written)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that begin alike are rare among hashes; here some do, so that they reach over blocks.
    fn key(n: u64) -> Key {
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&(n / 300).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[8..16].copy_from_slice(&n.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
        key
    }

    fn merged(root: &Path, segments: &Segments, name: &str, keys: Vec<Key>) -> (Segments, usize) {
        let merge = Merge::plan(segments, name.to_string(), keys);
        merge.write(File::create(root.join(name)).unwrap()).unwrap();
        (merge.done(root).unwrap(), merge.replaced().count())
    }

    #[test]
    fn every_key_is_found_and_no_other_through_merges() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments: Segments = Arc::new([]);
        let (mut next, mut written) = (0u64, 0u64);
        for round in 0..40u64 {
            let count = 1 + round * 37 % 500;
            let keys: Vec<Key> = (next..next + count).map(key).collect();
            let (after, _) = merged(dir.path(), &segments, &format!("{round}.bin"), keys);
            segments = after;
            next += count;
            written += segments.last().unwrap().len();
        }
        assert_eq!(segments.iter().map(|s| s.len()).sum::<u64>(), next);
        assert!(segments.len() < 10, "{} segments of {next} keys", segments.len());
        assert!(written < next * 12, "{written} keys were written for {next}");
        for n in 0..next {
            assert!(has(&segments, &key(n)).unwrap(), "{n}");
        }
        for n in next..next + 2_000 {
            assert!(!has(&segments, &key(n)).unwrap(), "{n}");
        }
        assert!(!has(&segments, &[0xff; KEY_BYTES]).unwrap());
    }

    /// Memory that the process holds, in KiB, where the system tells.
    fn resident_kib() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
    }

    /// Memory is that of the fences. With `OPENMESH_LAKE_KEYS=5000000` it says how much that is for so many.
    #[test]
    fn memory_is_eight_bytes_for_a_block_of_keys() {
        let wanted: u64 = std::env::var("OPENMESH_LAKE_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::default();
        let step = wanted / 40;
        for round in 0..40 {
            let keys = (round * step..(round + 1) * step).map(key).collect();
            segments = merged(dir.path(), &segments, &format!("{round}.bin"), keys).0;
        }
        let paths: Vec<String> = segments.iter().map(|segment| segment.path.clone()).collect();
        drop(segments);
        let before = resident_kib();
        let segments: Segments = paths.iter().map(|path| Arc::new(Segment::open(dir.path(), path).unwrap())).collect();
        let after = resident_kib();
        let fences: u64 = segments.iter().map(|segment| segment.fences.capacity() as u64 * 8).sum();
        assert_eq!(segments.iter().map(|s| s.len()).sum::<u64>(), step * 40);
        assert!(fences <= wanted / FENCE_KEYS as u64 * 8 + 16 * segments.len() as u64, "{fences} bytes");
        let began = std::time::Instant::now();
        let looks = 2_000;
        for n in 0..looks {
            assert!(!has(&segments, &key(step * 40 + n)).unwrap());
        }
        let look = began.elapsed() / looks as u32;
        eprintln!(
            "{wanted} keys: {} segments, {fences} bytes, {before:?} KiB before and {after:?} after, {look:?} a look",
            segments.len()
        );
    }

    #[test]
    fn a_key_that_comes_twice_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let (segments, _) = merged(dir.path(), &Segments::default(), "a", (0..10).map(key).collect());
        let (segments, replaced) = merged(dir.path(), &segments, "b", (5..15).chain(5..15).map(key).collect());
        assert_eq!((segments.len(), segments[0].len(), replaced), (1, 15, 1));
    }

    #[test]
    fn what_is_not_sorted_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys: Vec<Key> = (0..1_000).map(|n| [(n / 4) as u8; KEY_BYTES]).collect();
        keys.reverse();
        std::fs::write(dir.path().join("x"), keys.concat()).unwrap();
        assert!(matches!(Segment::open(dir.path(), "x"), Err(LakeError::Corrupt { .. })));
        std::fs::write(dir.path().join("x"), [0; 33]).unwrap();
        assert!(matches!(Segment::open(dir.path(), "x"), Err(LakeError::Corrupt { .. })));
    }
}
