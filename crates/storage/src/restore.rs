//! Restoring the state from chunks, on a node that was not there when it came about.
//!
//! Each chunk that was checked is a file of its own in a folder beside the store, in any order: a restore that was interrupted
//! goes on with the chunks that are missing, and one of another target is forgotten. What stands in the folder is checked
//! again before it is used, so nothing there has to be synced. When all are there the database is built at once, in one
//! transaction, and takes the store's place when it is durable and its root is right: there is never half a state.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use borsh::BorshSerialize;
use openmesh_ledger::light::ValidatorChange;
use openmesh_ledger::{Block, Certificate, Genesis, Tip, ValidatorSet, keys};
use openmesh_primitives::{Digest, Height, canonical};
use redb::{Database, ReadableTable, WriteTransaction};

use crate::bulk::{self, NodeRow, Top};
use crate::carry::Former;
use crate::chunk::{self, ChunkError, DEPTH_MAX, SnapshotChunk, verified, verify_chunk};
use crate::history::write_block_alone;
use crate::leftovers::{FOLDER, MARK, Mark, PARTIAL};
use crate::sorter::{Row, Sorter};
use crate::store::{FILE, JOINED_AT, Store, StoreConfig, WALK_FROM, make_tables};
use crate::tables::{META, NODES, SET_CHANGES, STATE, VALIDATOR_SETS, VERSIONS};
use crate::{StoreError, files, tree};

/// Memory for the database's pages while it is built, bytes: the inner pages of a state of some gigabytes.
const BUILD_CACHE_BYTES: usize = 128 << 20;
/// Chunks after which the room that the rest takes is judged: by the median of their sizes, so that a few large ones do not count.
const ROOM_CHUNKS: usize = 16;
/// Copies of the state for which there must be room: the chunks, their rows sorted, and the database with its tree, which has about
/// as many bytes again as the rows.
const ROOM_COPIES: u64 = 4;
/// Parts that are built ahead of the database.
const PARTS_AHEAD: usize = 4;

/// The state that is restored, as a light client has verified it.
#[derive(Clone, Debug)]
pub struct SnapshotTarget {
    /// The network.
    pub genesis: Genesis,
    /// The last block before the state.
    pub block: Block,
    /// Signatures of those who decided it.
    pub certificate: Certificate,
    /// Root of the state after the block: it stands in the next header.
    pub state_root: Digest,
    /// Digits of a chunk's number, as the exporting node chose.
    pub depth: u8,
    /// Height from which the way of a light client is known: 0 for the genesis.
    pub walk_from: Height,
    /// The validators that decide the height after that one.
    pub first_validators: ValidatorSet,
    /// The changes of the validator set from there to the block, verified and ascending: later nodes ask for them here.
    pub changes: Vec<ValidatorChange>,
}

/// Errors of restoring.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk fails, or is full.
    #[error("the chunks of a snapshot cannot be kept in {path}")]
    Disk {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The directory holds a store already.
    #[error("{0} holds a store already; restore into another directory")]
    Occupied(PathBuf),
    /// The disk is too small for the state.
    #[error(
        "the state takes about {needed_bytes} bytes more in {path}, where {free_bytes} are free: make room or use a larger disk, then \
         start again; what was fetched stays"
    )]
    Room {
        /// The folder.
        path: PathBuf,
        /// About, until the database is built.
        needed_bytes: u64,
        /// As the system says.
        free_bytes: u64,
    },
    /// The target does not fit together.
    #[error("the snapshot's target is refused: {0}")]
    Target(&'static str),
    /// A chunk is a lie.
    #[error("chunk {index} is refused")]
    Chunk {
        /// Its number.
        index: u32,
        /// Error of checking it.
        #[source]
        source: ChunkError,
    },
    /// Chunks are missing.
    #[error("{0} chunks are missing")]
    Incomplete(usize),
}

/// A restore under way.
#[derive(Debug)]
pub struct Restore {
    config: StoreConfig,
    dir: PathBuf,
    target: SnapshotTarget,
    /// One for each chunk.
    done: Vec<bool>,
    /// Bytes of the first chunks that were kept, of this run.
    sizes: Vec<u64>,
}

impl Restore {
    /// Begins to restore into a directory, or goes on with what was begun there for the same target.
    ///
    /// # Errors
    /// Where the directory holds a store, the target does not fit together, or the disk fails.
    pub fn begin(dir: &Path, config: StoreConfig, target: SnapshotTarget) -> Result<Restore, RestoreError> {
        if dir.join(FILE).exists() {
            return Err(RestoreError::Occupied(dir.to_path_buf()));
        }
        Restore::begin_over(dir, config, target)
    }

    /// The same where a store may stand, whose place the restored one takes in the end: of a node that was away for so long
    /// that nobody has the next block any more. The old store must be closed when [`Restore::finish`] is called. Its facts come
    /// along. Its blocks, receipts and indices are gone after it, but for a store that keeps everything
    /// ([`StoreConfig::retain_ms`] is `None`): that file stays in the folder `until-HEIGHT` beside the new one, where it can be
    /// opened as a store.
    ///
    /// # Errors
    /// As [`Restore::begin`].
    pub fn begin_over(dir: &Path, config: StoreConfig, target: SnapshotTarget) -> Result<Restore, RestoreError> {
        let hash = target.block.hash();
        if target.depth > DEPTH_MAX {
            return Err(RestoreError::Target("its depth is greater than any"));
        }
        if target.certificate.block_hash != hash || target.certificate.height != target.block.header.height {
            return Err(RestoreError::Target("the certificate is of another block"));
        }
        if target.block.header.chain_id != target.genesis.chain_id {
            return Err(RestoreError::Target("the block is of another network"));
        }
        let done = vec![false; chunk::count(target.depth) as usize];
        let mut restore = Restore { config, dir: dir.to_path_buf(), target, done, sizes: Vec::new() };
        restore.prepare(hash).map_err(restore.disk())?;
        Ok(restore)
    }

    /// Makes the folder, and looks what is in it.
    fn prepare(&mut self, block: Digest) -> std::io::Result<()> {
        let folder = self.dir.join(FOLDER);
        let (state_root, depth) = (self.target.state_root, self.target.depth);
        let (genesis, height) = (self.target.genesis.hash(), self.target.block.header.height);
        let mark = canonical::encode(&Mark { genesis, height, block, state_root, depth });
        if std::fs::read(folder.join(MARK)).is_ok_and(|found| found == mark) {
            for index in 0..chunk::count(depth) {
                self.done[index as usize] =
                    self.read(index).is_ok_and(|chunk| verified(&state_root, depth, index, &chunk).is_ok());
            }
            return Ok(());
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        files::write_whole(&folder.join(MARK), &mark)
    }

    /// Returns root and depth of the target whose chunks stand in a directory, of a restore that was interrupted.
    pub fn begun(dir: &Path) -> Option<(Digest, u8)> {
        let mark: Mark = canonical::decode(&std::fs::read(dir.join(FOLDER).join(MARK)).ok()?).ok()?;
        Some((mark.state_root, mark.depth))
    }

    fn disk(&self) -> impl Fn(std::io::Error) -> RestoreError + use<> {
        let path = self.dir.join(FOLDER);
        move |source| RestoreError::Disk { path: path.clone(), source }
    }

    fn path(&self, index: u32) -> PathBuf {
        self.dir.join(FOLDER).join(format!("{index:05x}"))
    }

    fn read(&self, index: u32) -> std::io::Result<SnapshotChunk> {
        canonical::decode(&std::fs::read(self.path(index))?).map_err(std::io::Error::other)
    }

    /// Numbers of the chunks that are missing, ascending.
    pub fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.done).filter(|(_, done)| !**done).map(|(index, _)| index)
    }

    /// Number of all chunks.
    pub fn chunks(&self) -> u32 {
        chunk::count(self.target.depth)
    }

    /// The state that is restored.
    pub const fn target(&self) -> &SnapshotTarget {
        &self.target
    }

    /// Adds a chunk in its canonical bytes. One that is there already changes nothing.
    ///
    /// # Errors
    /// [`RestoreError::Chunk`] with its number where it does not belong to the target's state; nothing is kept then.
    pub fn add(&mut self, index: u32, bytes: &[u8]) -> Result<(), RestoreError> {
        check_chunk(&self.target.state_root, self.target.depth, index, bytes)
            .map_err(|source| RestoreError::Chunk { index, source })?;
        self.keep(index, bytes)
    }

    /// The same for a chunk that [`check_chunk`] has found right, or that was put together from its parts.
    ///
    /// # Errors
    /// Where the disk fails, and [`RestoreError::Room`] as soon as it shows that the disk is too small.
    pub fn keep(&mut self, index: u32, bytes: &[u8]) -> Result<(), RestoreError> {
        let at = index as usize;
        if self.done.get(at).copied().unwrap_or(true) {
            return Ok(());
        }
        let path = self.path(index);
        std::fs::write(&path, bytes).map_err(self.disk())?;
        self.done[at] = true;
        if self.sizes.len() < ROOM_CHUNKS {
            self.sizes.push(bytes.len() as u64);
            if self.sizes.len() == ROOM_CHUNKS {
                let needed_bytes = needed_bytes(&self.sizes, self.chunks(), self.missing().count() as u64);
                return check_room(&self.dir, needed_bytes, free_bytes(&self.dir));
            }
        }
        Ok(())
    }

    /// Opens the store, once all chunks are there. Some seconds for a million rows.
    ///
    /// # Errors
    /// [`RestoreError::Incomplete`] while chunks are missing; where a store stands there, [`StoreError::InUse`] while it is open
    /// and [`StoreError::OtherGenesis`] where it is of another network.
    pub fn finish(self) -> Result<Store, RestoreError> {
        let missing = self.missing().count();
        if missing > 0 {
            return Err(RestoreError::Incomplete(missing));
        }
        let (partial, path) = (self.dir.join(PARTIAL), self.dir.join(FILE));
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(self.disk()(error)),
            // Of a build that was interrupted.
            _ => {}
        }
        let former = Former::open(&self.dir, &self.target.genesis)?;
        self.build(&partial, former.as_ref())?;
        if let Some(former) = former.filter(|former| former.has_blocks() && self.config.retain_ms.is_none()) {
            former.keep_aside(&self.dir)?;
        }
        let placed = std::fs::rename(&partial, &path).and_then(|()| files::sync_folder(&path));
        placed.map_err(|source| StoreError::Directory { path, source })?;
        // Which removes the chunks.
        Ok(Store::open_with(&self.dir, self.config)?)
    }

    /// Builds the database from the chunks and the facts of the store before, in one transaction.
    fn build(&self, path: &Path, former: Option<&Former>) -> Result<(), RestoreError> {
        let database = Database::builder().set_cache_size(BUILD_CACHE_BYTES).create(path).map_err(StoreError::from)?;
        make_tables(&database)?;
        let write = database.begin_write().map_err(StoreError::from)?;
        let mut rows = Sorter::new(&self.dir.join(FOLDER));
        if self.write_tree(&write, &mut rows)? != Some(self.target.state_root) {
            // Every chunk was proved, so this is no peer's fault.
            return Err(StoreError::damaged("restored state", "its root is another").into());
        }
        {
            let mut state = write.open_table(STATE).map_err(StoreError::from)?;
            rows.drain(|key, value| -> Result<(), RestoreError> {
                state.insert(key, value).map_err(StoreError::from)?;
                Ok(())
            })?;
        }
        self.write_rest(&write)?;
        former.map_or(Ok(()), |former| former.carry(&write))?;
        write.commit().map_err(StoreError::from)?;
        Ok(())
    }

    /// Writes the nodes of the tree and collects the rows; returns the root. One thread reads, checks and hashes, this one writes.
    fn write_tree(&self, write: &WriteTransaction, rows: &mut Sorter) -> Result<Option<Digest>, RestoreError> {
        let mut nodes = write.open_table(NODES).map_err(StoreError::from)?;
        let mut insert = |made: Vec<NodeRow>| -> Result<(), RestoreError> {
            for (key, row) in made {
                nodes.insert(key.as_slice(), row.as_slice()).map_err(StoreError::from)?;
            }
            Ok(())
        };
        let mut tops: Vec<Option<Top>> = Vec::with_capacity(self.done.len());
        std::thread::scope(|scope| {
            let (sender, parts) = sync_channel(PARTS_AHEAD);
            scope.spawn(move || {
                // Ends early when a part fails or nobody takes them any more.
                (0..self.chunks()).map(|index| self.part(index)).try_for_each(|part| sender.send(part).ok())
            });
            for part in parts {
                let Part { rows: some, nodes, top } = part?;
                insert(nodes)?;
                rows.push(some)?;
                tops.push(top);
            }
            Ok::<(), RestoreError>(())
        })?;
        let mut made = Vec::new();
        let top = bulk::above(&mut tops, &mut Vec::new(), &mut made);
        top.iter().for_each(|top| bulk::root(top, &mut made));
        insert(made)?;
        Ok(top.map(|top| Digest(top.hash())))
    }

    /// The part of the tree below a chunk.
    fn part(&self, index: u32) -> Result<Part, RestoreError> {
        let damaged = |reason: &dyn std::fmt::Display| -> RestoreError {
            // It is fetched again by the next try.
            let _ = std::fs::remove_file(self.path(index));
            StoreError::damaged("a kept chunk of the snapshot", reason).into()
        };
        let chunk = self.read(index).map_err(|error| damaged(&error))?;
        let leaves =
            verified(&self.target.state_root, self.target.depth, index, &chunk).map_err(|error| damaged(&error))?;
        let mut nodes = Vec::with_capacity(chunk.rows.len() * 5 / 4);
        let top = bulk::part(&chunk.rows, &leaves, &mut chunk::digits(self.target.depth, index), &mut nodes);
        // In the order of the table: neighbours share its pages.
        nodes.sort_unstable();
        Ok(Part { rows: chunk.rows, nodes, top })
    }

    /// Everything of the store but state and tree.
    fn write_rest(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        let header = &self.target.block.header;
        let tip = Tip {
            height: header.height,
            block_hash: self.target.block.hash(),
            state_root: self.target.state_root,
            time: header.time,
        };
        write.open_table(VERSIONS)?.insert(header.height, bulk::VERSION)?;
        self.write_sets(write)?;
        write_block_alone(write, &self.target.block, &self.target.certificate)?;
        put_meta(write, "genesis", &self.target.genesis)?;
        put_meta(write, "tip", &tip)?;
        put_meta(write, WALK_FROM, &self.target.walk_from)?;
        put_meta(write, JOINED_AT, &header.height)?;
        put_meta(write, tree::KEYS_DONE, &true)
    }

    /// The sets of validators: those of the way of a light client, and as the state has them, of this height, the next and the
    /// one after.
    fn write_sets(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        let height = self.target.block.header.height;
        let mut sets = write.open_table(VALIDATOR_SETS)?;
        sets.insert(self.target.walk_from + 1, canonical::encode(&self.target.first_validators).as_slice())?;
        let mut kept = write.open_table(SET_CHANGES)?;
        for ValidatorChange { header, certificate, validators } in &self.target.changes {
            kept.insert(header.height, canonical::encode(&(header, certificate)).as_slice())?;
            sets.insert(header.height + 1, canonical::encode(validators).as_slice())?;
        }
        let state = write.open_table(STATE)?;
        let places = [
            (keys::VALIDATORS_LAST, height),
            (keys::VALIDATORS_CURRENT, height + 1),
            (keys::VALIDATORS_NEXT, height + 2),
        ];
        for (key, first) in places {
            if let Some(set) = state.get(key)? {
                sets.insert(first, set.value())?;
            }
        }
        Ok(())
    }
}

/// Rows of a chunk, the nodes of the tree above them, and the uppermost.
struct Part {
    rows: Vec<Row>,
    nodes: Vec<NodeRow>,
    top: Option<Top>,
}

impl From<std::io::Error> for RestoreError {
    fn from(source: std::io::Error) -> RestoreError {
        RestoreError::Disk { path: PathBuf::from(FOLDER), source }
    }
}

/// Checks the canonical bytes of a chunk against the state's root: without any store, in any order. Returns the number of rows.
///
/// # Errors
/// Where it does not belong there, or is no chunk at all.
pub fn check_chunk(root: &Digest, depth: u8, index: u32, bytes: &[u8]) -> Result<usize, ChunkError> {
    let chunk: SnapshotChunk = canonical::decode(bytes).map_err(|_| ChunkError::Form)?;
    verify_chunk(root, depth, index, &chunk).map(|()| chunk.rows.len())
}

/// Room that the rest of a state takes until its database is built, bytes, from the sizes of some of its chunks.
fn needed_bytes(sizes: &[u64], chunks: u32, missing: u64) -> u64 {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    let median = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
    median.saturating_mul(u64::from(chunks) * (ROOM_COPIES - 1) + missing)
}

/// Refuses a disk that is too small; where the system does not tell, nothing is refused.
fn check_room(dir: &Path, needed_bytes: u64, free_bytes: Option<u64>) -> Result<(), RestoreError> {
    match free_bytes {
        Some(free_bytes) if free_bytes < needed_bytes => {
            Err(RestoreError::Room { path: dir.to_path_buf(), needed_bytes, free_bytes })
        }
        _ => Ok(()),
    }
}

/// Free bytes on the disk of a folder.
fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn put_meta<T: BorshSerialize>(write: &WriteTransaction, key: &str, value: &T) -> Result<(), StoreError> {
    write.open_table(META)?.insert(key, canonical::encode(value).as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_said_after_sixteen_chunks() {
        // One that is large, because somebody chose its keys, says nothing about the others.
        let mut sizes = vec![1_000; ROOM_CHUNKS];
        sizes[3] = 1 << 40;
        let needed = 1_000 * (256 * 3 + 240);
        let check = |free_bytes| check_room(Path::new("ledger"), needed_bytes(&sizes, 256, 240), free_bytes);
        assert!(check(None).is_ok() && check(Some(needed)).is_ok());
        let refused = check(Some(needed - 1)).unwrap_err();
        assert!(matches!(refused, RestoreError::Room { needed_bytes, .. } if needed_bytes == needed), "{refused:?}");
        assert!(refused.to_string().contains("make room"), "{refused}");
    }
}
