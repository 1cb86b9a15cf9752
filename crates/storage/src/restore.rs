//! Restoring the state from chunks, on a node that was not there when it came about.
//!
//! The chunks go into a database of their own beside the store's place, in any order, each in one durable transaction: a
//! restore that was interrupted goes on with the chunks that are missing. One of another target is forgotten. The file
//! takes the store's place only when the root is right.

use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_ledger::{Block, Certificate, Genesis, Tip, keys};
use openmesh_primitives::{Digest, Height, canonical};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::chunk::{self, ChunkError, DEPTH_MAX, SnapshotChunk, verify_chunk};
use crate::history::write_block_alone;
use crate::store::{FILE, Store, StoreConfig, make_tables, write_state, write_tree};
use crate::tables::{META, STATE, VALIDATOR_SETS, get_meta};
use crate::tree::Tree;
use crate::{StoreError, files};

/// Name of the database's file until it is whole.
const PARTIAL: &str = "restoring.redb";
/// Key of META: how far it is.
const PROGRESS: &str = "restore";

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
}

/// Errors of restoring.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory holds a store already.
    #[error("{0} holds a store already; restore into another directory")]
    Occupied(PathBuf),
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

#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct Progress {
    genesis: Digest,
    block: Digest,
    state_root: Digest,
    depth: u8,
    /// Version and root of the tree so far.
    tree: Option<(u64, Digest)>,
    /// One for each chunk.
    done: Vec<bool>,
}

/// A restore under way.
pub struct Restore {
    database: Database,
    config: StoreConfig,
    dir: PathBuf,
    target: SnapshotTarget,
    progress: Progress,
}

impl Restore {
    /// Begins to restore into a directory, or goes on with what was begun there for the same target.
    ///
    /// # Errors
    /// Where the directory holds a store, the target does not fit together, or the database fails.
    pub fn begin(dir: &Path, config: StoreConfig, target: SnapshotTarget) -> Result<Restore, RestoreError> {
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
        if dir.join(FILE).exists() {
            return Err(RestoreError::Occupied(dir.to_path_buf()));
        }
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Directory { path: dir.to_path_buf(), source })?;
        let fresh = Progress {
            genesis: target.genesis.hash(),
            block: hash,
            state_root: target.state_root,
            depth: target.depth,
            tree: None,
            done: vec![false; chunk::count(target.depth) as usize],
        };
        let path = dir.join(PARTIAL);
        let open =
            || Database::builder().set_cache_size(config.cache_bytes_max).create(&path).map_err(StoreError::from);
        let mut database = open()?;
        let progress = match begun(&database)? {
            Some(progress) if progress.is_for(&fresh) => progress,
            None if is_empty(&database)? => fresh,
            _ => {
                drop(database);
                std::fs::remove_file(&path).map_err(|source| StoreError::Directory { path: path.clone(), source })?;
                database = open()?;
                fresh
            }
        };
        make_tables(&database)?;
        Ok(Restore { database, config, dir: dir.to_path_buf(), target, progress })
    }

    /// Numbers of the chunks that are missing, ascending.
    pub fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.progress.done).filter(|(_, done)| !**done).map(|(index, _)| index)
    }

    /// Adds a chunk. Durable when it returns; one that is there already changes nothing.
    ///
    /// # Errors
    /// [`RestoreError::Chunk`] with its number where it does not belong to the target's state; nothing is written then.
    pub fn add(&mut self, index: u32, chunk: SnapshotChunk) -> Result<(), RestoreError> {
        verify_chunk(&self.target.state_root, self.target.depth, index, &chunk)
            .map_err(|source| RestoreError::Chunk { index, source })?;
        let at = index as usize;
        if self.progress.done.get(at).copied().unwrap_or(true) {
            return Ok(());
        }
        let mut progress = self.progress.clone();
        progress.done[at] = true;
        let writes = chunk.rows.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let read = self.database.begin_read().map_err(StoreError::from)?;
        let (root, change) = Tree::open(&read)?.update(&writes, progress.tree)?;
        drop(read);
        let write = self.database.begin_write().map_err(StoreError::from)?;
        if !writes.is_empty() {
            progress.tree = Some((change.version, root));
            write_state(&write, &writes)?;
            write_tree(&write, &change, self.target.block.header.height)?;
        }
        put_meta(&write, PROGRESS, &progress)?;
        write.commit().map_err(StoreError::from)?;
        self.progress = progress;
        Ok(())
    }

    /// Opens the store, once all chunks are there.
    ///
    /// # Errors
    /// [`RestoreError::Incomplete`] while chunks are missing.
    pub fn finish(self) -> Result<Store, RestoreError> {
        let missing = self.missing().count();
        if missing > 0 {
            return Err(RestoreError::Incomplete(missing));
        }
        let root = self.progress.tree.map(|(_, root)| root);
        if root != Some(self.target.state_root) {
            // Every chunk was proved, so this is no peer's fault.
            return Err(StoreError::damaged("restored state", "its root is another").into());
        }
        let header = &self.target.block.header;
        let tip = Tip {
            height: header.height,
            block_hash: self.target.block.hash(),
            state_root: self.target.state_root,
            time: header.time,
        };
        let write = self.database.begin_write().map_err(StoreError::from)?;
        write_sets(&write, header.height)?;
        write_block_alone(&write, &self.target.block, &self.target.certificate)?;
        put_meta(&write, "genesis", &self.target.genesis)?;
        put_meta(&write, "tip", &tip)?;
        write.open_table(META).map_err(StoreError::from)?.remove(PROGRESS).map_err(StoreError::from)?;
        write.commit().map_err(StoreError::from)?;
        drop(self.database);
        let (partial, path) = (self.dir.join(PARTIAL), self.dir.join(FILE));
        std::fs::rename(&partial, &path)
            .and_then(|()| files::sync_folder(&path))
            .map_err(|source| StoreError::Directory { path, source })?;
        Ok(Store::open_with(&self.dir, self.config)?)
    }
}

impl Progress {
    fn is_for(&self, other: &Progress) -> bool {
        (self.genesis, self.block, self.state_root, self.depth)
            == (other.genesis, other.block, other.state_root, other.depth)
    }
}

fn begun(database: &Database) -> Result<Option<Progress>, StoreError> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => get_meta(&meta, PROGRESS),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns true for a database in which nothing was restored yet.
fn is_empty(database: &Database) -> Result<bool, StoreError> {
    match database.begin_read()?.open_table(STATE) {
        Ok(state) => Ok(state.first()?.is_none()),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn put_meta<T: BorshSerialize>(write: &WriteTransaction, key: &str, value: &T) -> Result<(), StoreError> {
    write.open_table(META)?.insert(key, canonical::encode(value).as_slice())?;
    Ok(())
}

/// The sets of validators as the state has them: of this height, the next and the one after.
fn write_sets(write: &WriteTransaction, height: Height) -> Result<(), StoreError> {
    let state = write.open_table(STATE)?;
    let mut sets = write.open_table(VALIDATOR_SETS)?;
    let places =
        [(keys::VALIDATORS_LAST, height), (keys::VALIDATORS_CURRENT, height + 1), (keys::VALIDATORS_NEXT, height + 2)];
    for (key, first) in places {
        if let Some(set) = state.get(key)? {
            sets.insert(first, set.value())?;
        }
    }
    Ok(())
}
