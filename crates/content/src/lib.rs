//! Blocks of bytes by content id, on disk.
//!
//! # What it owns
//! A folder of files named by CID. Whoever asks for a CID gets bytes that hash to it, or an error: what a disk has made of
//! a file since it was written is never passed on.
//!
//! # Why files
//! A block is written once, read whole, and has a name that says what must be in it. The file system does all of that;
//! a database would add a second place for the same bytes and a compaction of its own. Files lie in folders by the last
//! two characters of the CID (the first are alike in all of them), as Kubo's flatfs has them.
//!
//! # On failure
//! A block is written beside its place, synced, and renamed into it: after a crash it is whole or absent. What a crash left
//! beside is removed on opening. A block whose bytes no longer match its name is moved to `quarantine/`, so that it can
//! be fetched again and somebody can look at what happened. A full disk is an error of its own, and nothing is lost.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use openmesh_primitives::ContentId;

/// Largest block, in bytes: what Bitswap peers accept.
pub const BLOCK_BYTES_MAX: u64 = 2 << 20;
/// Bytes of the store where no limit is given.
pub const STORE_BYTES_MAX: u64 = 20 << 30;

const INCOMING: &str = "incoming";
const QUARANTINE: &str = "quarantine";

/// What happens where there is no room for another block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused: every block counts.
    #[default]
    Refuse,
    /// The blocks that were kept longest ago go.
    RemoveOldest,
}

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest block, in bytes.
    pub block_bytes_max: u64,
    /// All blocks together, in bytes.
    pub store_bytes_max: u64,
    /// Beyond that.
    pub when_full: WhenFull,
}

impl Default for Limits {
    fn default() -> Limits {
        let (block_bytes_max, store_bytes_max) = (BLOCK_BYTES_MAX, STORE_BYTES_MAX);
        Limits { block_bytes_max, store_bytes_max, when_full: WhenFull::Refuse }
    }
}

/// Why content could not be kept or given.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The block is larger than any may be.
    #[error("a block of {bytes} bytes is larger than the {max} that one may have")]
    BlockTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The configured limit, or the disk, is reached.
    #[error(
        "no room for {bytes} more bytes of content ({held} are held): make room, or raise limits.content_bytes_max"
    )]
    Full {
        /// Size of what was to be kept.
        bytes: u64,
        /// What is held.
        held: u64,
    },
    /// The bytes on disk are no longer those of their name.
    #[error("the bytes of {0} were damaged on this disk; they are set aside, fetch them again from another node")]
    Damaged(ContentId),
    /// The file system refused.
    #[error("{path}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A folder of blocks. Blocking calls; from async code use `spawn_blocking`.
#[derive(Debug)]
pub struct BlockStore {
    root: PathBuf,
    limits: Limits,
    held: Mutex<BTreeMap<ContentId, u64>>,
    bytes: Mutex<u64>,
    /// Blocks in the order in which they were kept, where the oldest are to go first.
    order: Mutex<VecDeque<ContentId>>,
}

impl BlockStore {
    /// Opens (or makes) the folder and takes stock of what is there.
    pub fn open(root: &Path, limits: Limits) -> Result<BlockStore, ContentError> {
        let incoming = root.join(INCOMING);
        // Whatever a crash left here was never acknowledged.
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(|e| io_error(&incoming, e))?;
        }
        fs::create_dir_all(&incoming).map_err(|e| io_error(&incoming, e))?;
        let (mut held, mut order) = (BTreeMap::new(), Vec::new());
        for folder in entries(root)? {
            let named = folder.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.len() == 2);
            if !named || !folder.is_dir() {
                continue;
            }
            for file in entries(&folder)? {
                let Some(cid) = file.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()) else {
                    continue;
                };
                let about = fs::metadata(&file).map_err(|e| io_error(&file, e))?;
                held.insert(cid, about.len());
                if limits.when_full == WhenFull::RemoveOldest {
                    order.push((about.modified().map_err(|e| io_error(&file, e))?, cid));
                }
            }
        }
        order.sort();
        let bytes = held.values().sum();
        let order = order.into_iter().map(|(_, cid)| cid).collect();
        let (held, bytes, order) = (Mutex::new(held), Mutex::new(bytes), Mutex::new(order));
        Ok(BlockStore { root: root.to_path_buf(), limits, held, bytes, order })
    }

    /// Keeps a block, durably, and gives its CID. Keeping it again changes nothing.
    pub fn put(&self, bytes: &[u8]) -> Result<ContentId, ContentError> {
        let cid = ContentId::of(bytes);
        let size = bytes.len() as u64;
        if size > self.limits.block_bytes_max {
            return Err(ContentError::BlockTooLarge { bytes: size, max: self.limits.block_bytes_max });
        }
        if self.has(&cid) {
            return Ok(cid);
        }
        self.reserve(size)?;
        let written = self.write(&cid, bytes);
        if let Err(error) = written {
            *lock(&self.bytes) -= size;
            return Err(error);
        }
        if lock(&self.held).insert(cid, size).is_some() {
            // Somebody else put the same block at the same moment: it counts once.
            *lock(&self.bytes) -= size;
        } else if self.limits.when_full == WhenFull::RemoveOldest {
            lock(&self.order).push_back(cid);
        }
        Ok(cid)
    }

    /// The bytes of a CID; `None` where they are not held.
    pub fn get(&self, cid: &ContentId) -> Result<Option<Vec<u8>>, ContentError> {
        if !self.has(cid) {
            return Ok(None);
        }
        let path = self.path(cid);
        let mut bytes = Vec::new();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(cid);
                return Ok(None);
            }
            Err(error) => return Err(io_error(&path, error)),
        };
        file.take(self.limits.block_bytes_max + 1).read_to_end(&mut bytes).map_err(|e| io_error(&path, e))?;
        if cid.matches(&bytes) {
            return Ok(Some(bytes));
        }
        let aside = self.root.join(QUARANTINE);
        fs::create_dir_all(&aside).map_err(|e| io_error(&aside, e))?;
        fs::rename(&path, aside.join(cid.to_string())).map_err(|e| io_error(&path, e))?;
        self.forget(cid);
        Err(ContentError::Damaged(*cid))
    }

    /// Whether a block is held.
    pub fn has(&self, cid: &ContentId) -> bool {
        lock(&self.held).contains_key(cid)
    }

    /// Removes a block; whether it was held.
    pub fn remove(&self, cid: &ContentId) -> Result<bool, ContentError> {
        if !self.has(cid) {
            return Ok(false);
        }
        let path = self.path(cid);
        fs::remove_file(&path).map_err(|e| io_error(&path, e))?;
        self.forget(cid);
        Ok(true)
    }

    /// CIDs of all blocks held, in order.
    pub fn cids(&self) -> Vec<ContentId> {
        lock(&self.held).keys().copied().collect()
    }

    /// Number of blocks held.
    pub fn len(&self) -> usize {
        lock(&self.held).len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of all blocks together, in bytes.
    pub fn bytes(&self) -> u64 {
        *lock(&self.bytes)
    }

    fn reserve(&self, size: u64) -> Result<(), ContentError> {
        while self.bytes() + size > self.limits.store_bytes_max {
            // Never more than there is; the last look at the room is below.
            let Some(oldest) = lock(&self.order).pop_front() else { break };
            self.remove(&oldest)?;
        }
        let mut bytes = lock(&self.bytes);
        if *bytes + size > self.limits.store_bytes_max {
            return Err(ContentError::Full { bytes: size, held: *bytes });
        }
        *bytes += size;
        Ok(())
    }

    fn forget(&self, cid: &ContentId) {
        if let Some(size) = lock(&self.held).remove(cid) {
            *lock(&self.bytes) -= size;
        }
    }

    fn path(&self, cid: &ContentId) -> PathBuf {
        let name = cid.to_string();
        let shard = &name[name.len() - 2..];
        self.root.join(shard).join(&name)
    }

    fn write(&self, cid: &ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        let path = self.path(cid);
        let thread = format!("{:?}", std::thread::current().id());
        let draft = self.root.join(INCOMING).join(format!("{cid}-{thread}"));
        let folder = path.parent().unwrap_or(&self.root);
        let outcome = fs::create_dir_all(folder)
            .and_then(|()| File::create(&draft))
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &path))
            // The rename is durable only with its folder.
            .and_then(|()| File::open(folder)?.sync_all());
        outcome.map_err(|error| {
            // A draft that stays is removed on the next opening; removing it now makes room on a full disk.
            let _ = fs::remove_file(&draft);
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    ContentError::Full { bytes: bytes.len() as u64, held: self.bytes() }
                }
                _ => io_error(&path, error),
            }
        })
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ContentError> {
    let read = fs::read_dir(folder).map_err(|e| io_error(folder, e))?;
    read.map(|entry| entry.map(|e| e.path()).map_err(|e| io_error(folder, e))).collect()
}

fn io_error(path: &Path, source: io::Error) -> ContentError {
    ContentError::Io { path: path.to_path_buf(), source }
}

/// The maps are whole after every statement, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(root: &Path) -> BlockStore {
        BlockStore::open(root, Limits::default()).unwrap()
    }

    #[test]
    fn keeps_and_gives_and_counts_once() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let cid = store.put(b"hello").unwrap();
        assert_eq!(store.put(b"hello").unwrap(), cid);
        assert_eq!((store.len(), store.bytes()), (1, 5));
        assert_eq!(store.get(&cid).unwrap().as_deref(), Some(&b"hello"[..]));
        assert_eq!(store.get(&ContentId::of(b"other")).unwrap(), None);
        let again = open(root.path());
        assert_eq!((again.cids(), again.bytes()), (vec![cid], 5));
        assert!(again.remove(&cid).unwrap() && !again.remove(&cid).unwrap());
        assert!(again.is_empty());
    }

    #[test]
    fn damage_is_found_and_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let cid = store.put(b"hello").unwrap();
        fs::write(store.path(&cid), b"hellp").unwrap();
        assert!(matches!(store.get(&cid), Err(ContentError::Damaged(found)) if found == cid));
        assert_eq!(store.get(&cid).unwrap(), None);
        assert!(root.path().join(QUARANTINE).join(cid.to_string()).exists());
        store.put(b"hello").unwrap();
        assert_eq!(store.get(&cid).unwrap().as_deref(), Some(&b"hello"[..]), "it can be fetched again");
    }

    #[test]
    fn limits_have_errors_of_their_own_and_lose_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store =
            BlockStore::open(root.path(), Limits { block_bytes_max: 8, store_bytes_max: 10, ..Limits::default() })
                .unwrap();
        assert!(matches!(store.put(&[0; 9]), Err(ContentError::BlockTooLarge { bytes: 9, max: 8 })));
        let cid = store.put(&[1; 8]).unwrap();
        assert!(matches!(store.put(&[2; 3]), Err(ContentError::Full { bytes: 3, held: 8 })));
        assert_eq!(store.get(&cid).unwrap(), Some(vec![1; 8]));
        store.put(&[3; 2]).unwrap();
        assert_eq!(store.bytes(), 10);
    }

    #[test]
    fn the_oldest_go_where_that_is_wanted() {
        let root = tempfile::tempdir().unwrap();
        let limits = Limits { block_bytes_max: 8, store_bytes_max: 10, when_full: WhenFull::RemoveOldest };
        let store = BlockStore::open(root.path(), limits).unwrap();
        let cids: Vec<ContentId> = (1..=4).map(|n| store.put(&[n; 4]).unwrap()).collect();
        assert_eq!(cids.iter().map(|cid| store.has(cid)).collect::<Vec<_>>(), [false, false, true, true]);
        assert_eq!(store.bytes(), 8);
        assert!(matches!(store.put(&[5; 9]), Err(ContentError::BlockTooLarge { .. })));
        // After a start, in the order of their files' times.
        for (cid, age) in [(cids[3], 100), (cids[2], 50)] {
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            File::options().write(true).open(store.path(&cid)).unwrap().set_modified(time).unwrap();
        }
        let store = BlockStore::open(root.path(), limits).unwrap();
        store.put(&[6; 4]).unwrap();
        assert!(store.has(&cids[2]) && !store.has(&cids[3]));
    }

    #[test]
    fn what_a_crash_left_is_cleaned() {
        let root = tempfile::tempdir().unwrap();
        let cid = open(root.path()).put(b"whole").unwrap();
        fs::write(root.path().join(INCOMING).join("bafkreitorn"), b"to").unwrap();
        fs::write(root.path().join("notes.txt"), b"not ours").unwrap();
        let store = open(root.path());
        assert_eq!(store.cids(), [cid]);
        assert_eq!(entries(&root.path().join(INCOMING)).unwrap().len(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..12)) {
            let root = tempfile::tempdir().unwrap();
            let store = open(root.path());
            let cids: Vec<ContentId> = blocks.iter().map(|b| store.put(b).unwrap()).collect();
            let again = open(root.path());
            for (cid, bytes) in cids.iter().zip(&blocks) {
                let held = again.get(cid).unwrap();
                prop_assert_eq!(held.as_ref(), Some(bytes));
            }
            prop_assert_eq!(again.bytes(), store.bytes());
        }
    }
}
