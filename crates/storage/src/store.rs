//! The store: what the engine and the gateway call.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, OnceLock, RwLock};

use openmesh_ledger::light::ValidatorChange;
use openmesh_ledger::{
    Block, Certificate, Execution, FactProof, Genesis, Header, Migration, Tip, ValidatorSet, closed_epoch,
    initial_state, keys, params,
};
use openmesh_primitives::{Address, Digest, Height, Timestamp, canonical};
use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

use crate::accounts;
use crate::blocks::{Oldest, StoredBlock, decode_block, oldest};
use crate::bulk;
use crate::facts;
use crate::format;
use crate::history::{self, write_block};
use crate::leftovers::remove_leftovers;
use crate::migrated::{MigratedRoot, remember};
use crate::proof::StateProof;
use crate::prune::prune;
use crate::tables::{self, *};
use crate::tree::{Rows, Tree, TreeChange, complete_keys};
use crate::{StateView, StoreError};

/// Name of the database's file in the store's directory.
pub(crate) const FILE: &str = "ledger.redb";

/// Key of META: height from which the way of a light client is known; without it from the genesis.
pub(crate) const WALK_FROM: &str = "walk-from";

/// Key of META: height of the snapshot by which this store began; without it by the genesis.
pub(crate) const JOINED_AT: &str = "joined-at";

/// Most blocks that [`Store::blocks`] returns at once: with full blocks, some hundred megabytes.
pub const BLOCKS_READ_MAX: usize = 64;

/// Room of removed blocks, in bytes, below which the file is left as it is: that much is used again within hours.
const GIVE_BACK_BYTES_MIN: u64 = 8 << 20;
/// The file is made smaller where at least one part in so many of it is such room.
const GIVE_BACK_PART: u64 = 5;

/// Settings of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// For how many of the last heights proofs can be made. A full block adds some megabytes of tree nodes.
    pub proof_heights: u64,
    /// Most memory for pages of the database, bytes.
    pub cache_bytes_max: usize,
    /// Time of the chain, in milliseconds before the tip, for which facts are kept, and blocks with their receipts and their entries
    /// in the indices; `None` keeps all. The last [`StoreConfig::proof_heights`] blocks stay in any case: peers that fell
    /// behind ask for them.
    pub retain_ms: Option<u64>,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig { proof_heights: 10_000, cache_bytes_max: 32 * 1024 * 1024, retain_ms: None }
    }
}

/// The store of a node. A cheap clone; all clones share the same file.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    config: StoreConfig,
    genesis: OnceLock<Genesis>,
    /// The tip, kept beside the database so that asking for it costs nothing.
    tip: RwLock<Tip>,
    /// The oldest block, so that a commit which removes none reads none.
    oldest: RwLock<Oldest>,
}

/// The next version of the state, computed and not written.
#[derive(Debug)]
pub struct Prepared {
    /// Root of the state after the block.
    pub state_root: Digest,
    /// The tip it was computed on.
    base: Tip,
    change: TreeChange,
}

/// Most places that [`Store::transactions_of`] returns at once.
pub const TRANSACTIONS_READ_MAX: usize = 1_000;

const NO_TIP: Tip =
    Tip { height: 0, block_hash: Digest::ZERO, state_root: Digest::ZERO, time: openmesh_primitives::Timestamp(0) };

impl Store {
    /// Opens or makes the store in a directory.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        Store::open_with(dir, StoreConfig::default())
    }

    /// The same with another configuration.
    pub fn open_with(dir: &Path, config: StoreConfig) -> Result<Store, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Directory { path: dir.to_path_buf(), source })?;
        let path = dir.join(FILE);
        let mut database =
            Database::builder().set_cache_size(config.cache_bytes_max).create(&path).map_err(|e| match e {
                DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.clone()),
                other => other.into(),
            })?;
        let file_bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        give_back(&mut database, file_bytes)?;
        let store = Store::on(database, config)?;
        remove_leftovers(dir, store.tip().height)?;
        Ok(store)
    }

    /// Opens or makes the store on a disk in memory.
    pub fn open_virtual(disk: &crate::VirtualDisk, config: StoreConfig) -> Result<Store, StoreError> {
        let mut database =
            Database::builder().set_cache_size(config.cache_bytes_max).create_with_backend(disk.clone())?;
        give_back(&mut database, disk.bytes())?;
        Store::on(database, config)
    }

    fn on(database: Database, config: StoreConfig) -> Result<Store, StoreError> {
        make_tables(&database)?;
        accounts::complete(&database)?;
        complete_keys(&database)?;
        let inner =
            Inner { database, config, genesis: OnceLock::new(), tip: RwLock::new(NO_TIP), oldest: RwLock::new(None) };
        let store = Store(Arc::new(inner));
        store.load()?;
        Ok(store)
    }

    /// Takes genesis and tip from the file, if it has them.
    fn load(&self) -> Result<(), StoreError> {
        let read = self.read()?;
        let meta = read.open_table(META)?;
        let Some(genesis) = get_meta::<Genesis>(&meta, "genesis")? else { return Ok(()) };
        let tip = get_meta(&meta, "tip")?.ok_or_else(|| StoreError::damaged("meta", "there is no tip"))?;
        self.0.genesis.get_or_init(|| genesis);
        self.set_tip(tip);
        self.set_oldest(oldest(&read.open_table(BLOCKS)?)?);
        Ok(())
    }

    fn set_oldest(&self, oldest: Oldest) {
        *self.0.oldest.write().unwrap_or_else(std::sync::PoisonError::into_inner) = oldest;
    }

    pub(crate) fn read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.0.database.begin_read()?)
    }

    fn set_tip(&self, tip: Tip) {
        *self.0.tip.write().unwrap_or_else(std::sync::PoisonError::into_inner) = tip;
    }

    /// Writes the genesis and its state. Does nothing if the store has the same genesis; refuses another.
    pub fn initialise(&self, genesis: &Genesis) -> Result<(), StoreError> {
        if let Some(stored) = self.0.genesis.get() {
            let (stored, given) = (stored.hash(), genesis.hash());
            return if stored == given { Ok(()) } else { Err(StoreError::OtherGenesis { stored, given }) };
        }
        let state = initial_state(genesis)?;
        let (state_root, change) = bulk::whole(&state);
        let tip = Tip { height: 0, block_hash: genesis.hash(), state_root, time: genesis.time };
        let validators = genesis.validator_set().map_err(openmesh_ledger::GenesisError::from)?;
        let write = self.0.database.begin_write()?;
        {
            let mut table = write.open_table(STATE)?;
            for (key, value) in &state {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        write_tree(&write, &change, 0)?;
        write.open_table(VALIDATOR_SETS)?.insert(1, canonical::encode(&validators).as_slice())?;
        {
            let mut meta = write.open_table(META)?;
            meta.insert("genesis", canonical::encode(genesis).as_slice())?;
            meta.insert("tip", canonical::encode(&tip).as_slice())?;
        }
        write.commit()?;
        self.0.genesis.get_or_init(|| genesis.clone());
        self.set_tip(tip);
        Ok(())
    }

    /// The network's genesis.
    pub fn genesis(&self) -> Result<&Genesis, StoreError> {
        self.0.genesis.get().ok_or(StoreError::NotInitialised)
    }

    /// The end of the chain; all zeros before a genesis.
    pub fn tip(&self) -> Tip {
        *self.0.tip.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the bytes of those pages of the file that hold something. The file is longer: it grows in steps, and pages that
    /// were freed wait in it for what comes. Reads the whole file.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn bytes_in_use(&self) -> Result<u64, StoreError> {
        let write = self.0.database.begin_write()?;
        let stats = write.stats()?;
        write.abort()?;
        Ok(stats.allocated_pages() * stats.page_size() as u64)
    }

    /// The state after the last block, and after which that is.
    pub fn state(&self) -> Result<StateView, StoreError> {
        self.genesis()?;
        let read = self.read()?;
        // The tip as this snapshot has it: the one in memory may be a block further by now.
        let tip = get_meta(&read.open_table(META)?, "tip")?.ok_or(StoreError::NotInitialised)?;
        Ok(StateView::new(read.open_table(STATE)?, tip))
    }

    /// The validators that decide a height, up to two beyond the tip.
    pub fn validators_at(&self, height: Height) -> Result<ValidatorSet, StoreError> {
        let tip = self.tip().height;
        if height > tip + 2 {
            return Err(StoreError::Beyond { height, tip });
        }
        let sets = self.read()?.open_table(VALIDATOR_SETS)?;
        // Genesis is decided by nobody; its validators are those of height 1.
        let newest = sets.range(..=height.max(1))?.next_back().ok_or(StoreError::NotInitialised)??;
        canonical::decode(newest.1.value()).map_err(|e| StoreError::damaged("validator sets", e))
    }

    /// Returns the changes of the validator set up to a height, ascending: the first height that a set decides, and the set.
    /// Genesis' own set is not among them. Fails where the database can not be read or holds no set of validators.
    pub fn validator_changes(&self, height: Height) -> Result<Vec<(Height, ValidatorSet)>, StoreError> {
        let table = self.read()?.open_table(VALIDATOR_SETS)?;
        let mut sets: Vec<(Height, ValidatorSet)> = Vec::new();
        for entry in table.range(..=height.max(1))? {
            let (from, set) = entry?;
            let set = canonical::decode(set.value()).map_err(|e| StoreError::damaged("validator sets", e))?;
            // A set may be written again without having changed.
            if sets.last().is_none_or(|(_, last)| *last != set) {
                sets.push((from.value(), set));
            }
        }
        sets.drain(..sets.len().min(1));
        Ok(sets)
    }

    /// Returns the last height that each set of validators decided, of changes after a height and up to the tip, ascending, at most
    /// `limit`.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn set_changes(&self, after: Height, limit: usize) -> Result<Vec<Height>, StoreError> {
        let (table, tip) = (self.read()?.open_table(VALIDATOR_SETS)?, self.tip().height);
        let first = after.saturating_add(1);
        let mut last = table.range(..=first)?.next_back().transpose()?.map(|(_, set)| set.value().to_vec());
        let mut changes = Vec::new();
        for entry in table.range(first.saturating_add(1)..=tip + 1)? {
            let (from, set) = entry?;
            // A set may be written again without having changed; the first one that is known is no change.
            match last.replace(set.value().to_vec()) {
                Some(before) if before != set.value() => changes.push(from.value() - 1),
                _ => {}
            }
            if changes.len() == limit {
                break;
            }
        }
        Ok(changes)
    }

    /// Returns header and certificate of a height, and the validators that decide the next one: a step of a light client. `None` where
    /// the header is not held: of a height that is not the last of a set and of which the block was removed.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn light_step(&self, height: Height) -> Result<Option<ValidatorChange>, StoreError> {
        let Some((header, certificate)) = self.header(height)? else { return Ok(None) };
        let validators = self.validators_at(height + 1)?;
        Ok(Some(ValidatorChange { header, certificate, validators }))
    }

    /// Returns the height from which the way of a light client is known here: 0, the genesis, but for a node that joined
    /// from a trusted block.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn walk_from(&self) -> Result<Height, StoreError> {
        Ok(get_meta(&self.read()?.open_table(META)?, WALK_FROM)?.unwrap_or(0))
    }

    /// Returns the height of the snapshot by which this store began; `None` for one that began by the genesis. The block of that
    /// height was never executed here: it has neither receipts nor events, whatever is in it.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn joined_at(&self) -> Result<Option<Height>, StoreError> {
        get_meta(&self.read()?.open_table(META)?, JOINED_AT)
    }

    /// Returns the height of the oldest block that is here with its receipts and events; one more than the tip where there is none.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn oldest_executed(&self) -> Result<Height, StoreError> {
        let oldest = self.oldest_block();
        Ok(match self.joined_at()? {
            Some(height) if height == oldest => height + 1,
            _ => oldest.max(1),
        })
    }

    /// Computes the root of the state after an execution on top of the tip. Writes nothing.
    pub fn prepare(&self, execution: &Execution) -> Result<Prepared, StoreError> {
        self.genesis()?;
        let read = self.read()?;
        let base: Tip = get_meta(&read.open_table(META)?, "tip")?.ok_or(StoreError::NotInitialised)?;
        let versions = read.open_table(VERSIONS)?;
        let version = versions.get(base.height)?.ok_or_else(|| StoreError::damaged("tree-versions", "no tip"))?;
        let current = Some((version.value(), base.state_root));
        let (state_root, change) = Tree::open(&read)?.update(&execution.all_writes(), current)?;
        Ok(Prepared { state_root, base, change })
    }

    /// Commits the next block in one durable transaction, and forgets the height's undecided proposals.
    pub fn commit(
        &self,
        block: &Block,
        certificate: &Certificate,
        execution: &Execution,
        prepared: Prepared,
    ) -> Result<(), StoreError> {
        let tip = self.tip();
        let hash = check_next(&tip, block, certificate, &prepared)?;
        let height = block.header.height;
        // Here and not for each proposal of the height, because a migration may touch the whole state.
        let migrated = match &execution.migration {
            Some(Migration { version, writes }) => {
                Some(MigratedRoot { version: *version, height, root: self.root_with(writes)? })
            }
            None => None,
        };
        let next = Tip { height, block_hash: hash, state_root: prepared.state_root, time: block.header.time };
        let write = self.0.database.begin_write()?;
        if let Some(migration) = &execution.migration {
            write_state(&write, &migration.writes)?;
        }
        write_state(&write, &execution.writes)?;
        write_tree(&write, &prepared.change, height)?;
        write_block(&write, block, certificate, execution)?;
        facts::write(&write, execution)?;
        if let Some(Some(set)) = execution.writes.get(keys::VALIDATORS_NEXT) {
            write.open_table(VALIDATOR_SETS)?.insert(height + 2, set.as_slice())?;
        }
        write.open_table(UNDECIDED)?.retain_in(..(height + 1, i64::MIN, [0; 32]), |_, _| false)?;
        prune(&write, height.saturating_sub(self.0.config.proof_heights), prepared.change.stale.len())?;
        let oldest = self.remove_old(&write, &next, execution)?;
        if let Some(root) = migrated {
            remember(&write, root)?;
        }
        write.open_table(META)?.insert("tip", canonical::encode(&next).as_slice())?;
        write.commit()?;
        self.set_tip(next);
        self.set_oldest(oldest);
        Ok(())
    }

    /// Removes blocks and facts that are older than what is kept, and returns the oldest block that is left.
    fn remove_old(&self, write: &WriteTransaction, tip: &Tip, execution: &Execution) -> Result<Oldest, StoreError> {
        let oldest = self.oldest().or(Some((tip.height, tip.time)));
        let Some(retain_ms) = self.0.config.retain_ms else { return Ok(oldest) };
        let params = params(&self.state()?).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let kept_from = execution.epoch.saturating_sub(retain_ms.div_ceil(params.epochs.epoch_ms.max(1)));
        facts::remove_before(write, kept_from, execution.facts.len())?;
        let height = tip.height.saturating_sub(self.0.config.proof_heights);
        let time = Timestamp::from_millis(tip.time.millis().saturating_sub_unsigned(retain_ms));
        match oldest {
            Some((first, at)) if first < height && at < time => history::remove_oldest(write, height, time),
            _ => Ok(oldest),
        }
    }

    fn oldest(&self) -> Oldest {
        *self.0.oldest.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the height of the oldest block that is kept; 0 where there is none yet.
    pub fn oldest_block(&self) -> Height {
        self.oldest().map_or(0, |(height, _)| height)
    }

    /// Returns header and certificate of a height: of blocks that are kept, and of removed ones that announce another
    /// set of validators, by which a light client walks from the genesis to the tip.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn header(&self, height: Height) -> Result<Option<(Header, Certificate)>, StoreError> {
        if let Some(stored) = self.block(height)? {
            return Ok(Some((stored.block.header, stored.certificate)));
        }
        let Some(kept) = self.read()?.open_table(SET_CHANGES)?.get(height)?.map(|kept| kept.value().to_vec()) else {
            return Ok(None);
        };
        canonical::decode(&kept).map(Some).map_err(|e| StoreError::damaged("validator-set-changes", e))
    }

    /// Returns the places (height and position) of the transactions that an account sent or that name it, newest first,
    /// before a place; at most [`TRANSACTIONS_READ_MAX`]. The next page begins before the last place of this one.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn transactions_of(
        &self,
        account: &Address,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<(Height, u32)>, StoreError> {
        let index = self.read()?.open_table(ACCOUNTS)?;
        accounts::newest_first(&index, account, before, limit.min(TRANSACTIONS_READ_MAX))
    }

    /// Returns the place of the fact of an agreed chunk, also when the chunk has left the state: epoch and position.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn chunk_fact(&self, source: &str, window: u64, stream: &str) -> Result<Option<(u64, u64)>, StoreError> {
        facts::place_of_chunk(&self.read()?, source, window, stream)
    }

    /// Makes the proof of a fact, to be checked by [`openmesh_ledger::light::verify_fact`] against the epoch's root in the
    /// state; `None` if the epoch is not closed, if there is no such fact, or if this node has not all facts of the epoch
    /// because it joined later.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn fact_proof(&self, epoch: u64, position: u64) -> Result<Option<FactProof>, StoreError> {
        let state = self.state()?;
        match closed_epoch(&state, epoch).map_err(|e| StoreError::Damaged(e.to_string()))? {
            Some(closed) => facts::prove(&self.read()?, epoch, &closed, position),
            None => Ok(None),
        }
    }

    /// A committed block.
    pub fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        let blocks = self.read()?.open_table(BLOCKS)?;
        let Some(stored) = blocks.get(height)? else { return Ok(None) };
        decode_block(stored.value()).map(Some)
    }

    /// Committed blocks in ascending order, at most [`BLOCKS_READ_MAX`].
    pub fn blocks(&self, range: RangeInclusive<Height>) -> Result<Vec<StoredBlock>, StoreError> {
        let blocks = self.read()?.open_table(BLOCKS)?;
        blocks.range(range)?.take(BLOCKS_READ_MAX).map(|entry| decode_block(entry?.1.value())).collect()
    }

    /// Returns the place of a committed transaction: height and position. If it stands in several blocks, in the one where it
    /// took effect, which it does at most once; if it never did, in the first one.
    pub fn transaction(&self, hash: &Digest) -> Result<Option<(Height, u32)>, StoreError> {
        Ok(self.read()?.open_table(TRANSACTIONS)?.get(hash.0)?.map(|found| found.value()))
    }

    /// Keeps a proposal until its height is decided. Durable when it returns. One that is kept already costs a look: the
    /// hash names the bytes.
    pub fn put_undecided(&self, height: Height, round: i64, hash: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if self.read()?.open_table(UNDECIDED)?.get((height, round, hash.0))?.is_some() {
            return Ok(());
        }
        let write = self.0.database.begin_write()?;
        write.open_table(UNDECIDED)?.insert((height, round, hash.0), bytes)?;
        write.commit()?;
        Ok(())
    }

    /// The proposals kept for a height: round, hash, bytes.
    pub fn undecided(&self, height: Height) -> Result<Vec<(i64, Digest, Vec<u8>)>, StoreError> {
        let table = self.read()?.open_table(UNDECIDED)?;
        let range = (height, i64::MIN, [0; 32])..=(height, i64::MAX, [u8::MAX; 32]);
        let kept = table.range(range)?.map(|entry| {
            let (key, bytes) = entry?;
            let (_, round, hash) = key.value();
            Ok((round, Digest(hash), bytes.value().to_vec()))
        });
        kept.collect()
    }

    /// The value of a key in the state after a height, with a proof against that state's root, which stands in the
    /// header of the next height.
    pub fn prove(&self, key: &[u8], height: Height) -> Result<(Option<Vec<u8>>, StateProof), StoreError> {
        let read = self.read()?;
        let version = self.tree_version(&read, height)?;
        Tree::open(&read)?.prove(key, version)
    }

    /// The rows of the tree, and its version after a height.
    pub(crate) fn tree_at(&self, height: Height) -> Result<(Rows, u64), StoreError> {
        let read = self.read()?;
        let version = self.tree_version(&read, height)?;
        Ok((read.open_table(NODES)?, version))
    }

    fn tree_version(&self, read: &ReadTransaction, height: Height) -> Result<u64, StoreError> {
        let tip: Tip = get_meta(&read.open_table(META)?, "tip")?.ok_or(StoreError::NotInitialised)?;
        if height > tip.height {
            return Err(StoreError::Beyond { height, tip: tip.height });
        }
        let oldest = tip.height.saturating_sub(self.0.config.proof_heights);
        let version = read.open_table(VERSIONS)?.get(height)?.map(|version| version.value());
        match version {
            Some(version) if height >= oldest => Ok(version),
            _ => Err(StoreError::Pruned { height, oldest }),
        }
    }
}

/// Makes the file smaller where a large part of it is room of removed blocks. Done when a store is opened, because nothing may be read
/// or written meanwhile; while it runs, room is used again by the blocks that come.
fn give_back(database: &mut Database, file_bytes: u64) -> Result<(), StoreError> {
    let freed = {
        let read = database.begin_read()?;
        match read.open_table(META) {
            // That of another format is not touched before it is known that this program reads it.
            Ok(meta) if get_meta::<u32>(&meta, "format")? != Some(tables::FORMAT) => return Ok(()),
            Ok(meta) => history::freed_bytes(&meta)?,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    };
    if freed < GIVE_BACK_BYTES_MIN || freed < file_bytes / GIVE_BACK_PART {
        return Ok(());
    }
    database.compact()?;
    let write = database.begin_write()?;
    history::forget_freed(&write)?;
    write.commit()?;
    // That commit found no free page, doubled the file and stands at its end (redb issue 1165): once more, with one page to move.
    database.compact()?;
    Ok(())
}

pub(crate) fn make_tables(database: &Database) -> Result<(), StoreError> {
    let write = database.begin_write()?;
    // Before any other table is opened: a later format may have another one under its name, and a step reads them as they were.
    format::bring_up(&write, tables::FORMAT, format::STEPS)?;
    write.open_table(STATE)?;
    write.open_table(NODES)?;
    write.open_table(STALE)?;
    write.open_table(VERSIONS)?;
    write.open_table(BLOCKS)?;
    write.open_table(TRANSACTIONS)?;
    write.open_table(ACCOUNTS)?;
    write.open_table(SET_CHANGES)?;
    write.open_table(UNDECIDED)?;
    write.open_table(VALIDATOR_SETS)?;
    write.open_table(FACTS)?;
    write.open_table(CHUNK_FACTS)?;
    write.open_table(STAMP_FACTS)?;
    write.commit()?;
    Ok(())
}

/// The block's hash, if block, certificate and what was prepared belong on top of the tip.
fn check_next(tip: &Tip, block: &Block, certificate: &Certificate, prepared: &Prepared) -> Result<Digest, StoreError> {
    let header = &block.header;
    let hash = block.hash();
    let rules = [
        (prepared.base == *tip, "its state was prepared on another tip"),
        (header.height == tip.height + 1, "its height is not the next"),
        (header.parent == tip.block_hash, "its parent is another block"),
        (header.state_root == tip.state_root, "its state root is not that of the tip"),
        (certificate.height == header.height && certificate.block_hash == hash, "the certificate is of another block"),
    ];
    match rules.into_iter().find(|(kept, _)| !kept) {
        None => Ok(hash),
        Some((_, broken)) => Err(StoreError::NotNext(format!("tip {}, block {}: {broken}", tip.height, header.height))),
    }
}

pub(crate) fn write_state(
    write: &WriteTransaction,
    writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> Result<(), StoreError> {
    let mut state = write.open_table(STATE)?;
    for (key, value) in writes {
        match value {
            Some(value) => drop(state.insert(key.as_slice(), value.as_slice())?),
            None => drop(state.remove(key.as_slice())?),
        }
    }
    Ok(())
}

pub(crate) fn write_tree(write: &WriteTransaction, change: &TreeChange, height: Height) -> Result<(), StoreError> {
    let mut nodes = write.open_table(NODES)?;
    for (key, row) in &change.nodes {
        nodes.insert(key.as_slice(), row.as_slice())?;
    }
    if !change.stale.is_empty() {
        write.open_table(STALE)?.insert(change.version, canonical::encode(&change.stale).as_slice())?;
    }
    write.open_table(VERSIONS)?.insert(height, change.version)?;
    Ok(())
}
