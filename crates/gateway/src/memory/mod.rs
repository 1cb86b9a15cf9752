//! Memory of the gateway: recent blocks, live events, transactions that wait, the register of sources.
//!
//! One task feeds it (`follow`); everybody else looks. So a page that everybody opens costs no disk, and what is shown together
//! belongs together.

mod counts;
mod hashes;
mod index;
mod live;
mod news;
mod register;
mod ring;
mod waiting;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use openmesh_ledger::{Block, LedgerEvent, Receipt};
use openmesh_primitives::{Height, Timestamp};
use openmesh_storage::{Store, StoreError};
use tokio::sync::watch;

pub use counts::Counts;
pub use hashes::{Found, Hashes};
pub use index::{BLOCKS_BACK, ChunkFilter, Index, Outcome, RecentChunk, Signatures};
pub use live::{Activity, Live, SiteIncident, TimedTrade};
pub use news::{Item, News};
pub use register::Register;
pub use waiting::{Waiting, is_dropped};

/// Memory of the gateway.
#[derive(Debug)]
pub struct Memory {
    index: Mutex<Index>,
    hashes: Mutex<Hashes>,
    register: RwLock<Arc<Register>>,
    counts: Mutex<Counts>,
    waiting: Mutex<Waiting>,
    live: Live,
    news: News,
    height: watch::Sender<Height>,
    restarts: AtomicU64,
}

/// A panic under one of these locks leaves at worst an entry missing from a list.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// A memory that begins with this register and these sums.
    pub fn new(register: Register, counts: Counts) -> Memory {
        Memory {
            index: Mutex::default(),
            hashes: Mutex::default(),
            register: RwLock::new(Arc::new(register)),
            counts: Mutex::new(counts),
            waiting: Mutex::default(),
            live: Live::default(),
            news: News::default(),
            height: watch::Sender::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    /// Reads the recent blocks back. Fails where the ledger cannot be read.
    pub fn open(store: &Store) -> Result<Memory, StoreError> {
        let state = store.state()?;
        let broken = |error: openmesh_ledger::StateError| StoreError::Damaged(error.to_string());
        let memory = Memory::new(Register::read(&state).map_err(broken)?, Counts::read(&state).map_err(broken)?);
        let tip = store.tip().height;
        let from = tip.saturating_sub(BLOCKS_BACK) + 1;
        {
            let (mut index, mut hashes, register) = (memory.index(), memory.hashes(), memory.register());
            // What the blocks that are read back do not count.
            index.incidents_total = index::incidents_before(&state, from).map_err(broken)?;
            each_block(store, from, tip, |stored| {
                index.block(&stored.block, &stored.events, &register);
                hashes.remember(stored.block.header.height, stored.block.hash());
            })?;
        }
        memory.height.send_replace(tip);
        Ok(memory)
    }

    /// Recent chunks, incidents, signatures.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// Heights of the newest blocks by their hashes.
    pub fn hashes(&self) -> MutexGuard<'_, Hashes> {
        lock(&self.hashes)
    }

    /// Transactions that wait.
    pub fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// The register as of the newest block.
    pub fn register(&self) -> Arc<Register> {
        Arc::clone(&self.register.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sums as of the newest block.
    pub fn counts(&self) -> Counts {
        *lock(&self.counts)
    }

    /// Events of this site's collector.
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// News for listeners of the stream.
    pub const fn news(&self) -> &News {
        &self.news
    }

    /// Height of the newest block that was taken in, and each change of it.
    pub fn height(&self) -> watch::Receiver<Height> {
        self.height.subscribe()
    }

    /// Times that the task which feeds this memory was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Counts a restart of the task which feeds this memory.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a committed block in; returns false where it has been taken in before. The register and the sums are read again
    /// first: a chunk of a source that this block registered already finds it.
    pub fn take(&self, store: &Store, block: &Block, receipts: &[Receipt], events: &[LedgerEvent]) -> bool {
        if self.index().height() >= block.header.height {
            return false;
        }
        if let Err(error) = self.read_again(store) {
            tracing::error!(%error, "the ledger's state cannot be read: the API shows that of an older block");
        }
        let register = self.register();
        if !self.index().block(block, events, &register) {
            return false;
        }
        self.hashes().remember(block.header.height, block.hash());
        let mut waiting = self.waiting();
        receipts.iter().filter(|receipt| receipt.ok()).for_each(|receipt| waiting.forget(&receipt.hash));
        drop(waiting);
        self.height.send_replace(block.header.height);
        true
    }

    fn read_again(&self, store: &Store) -> Result<(), openmesh_ledger::StateError> {
        let state = store.state()?;
        let (register, counts) = (Register::read(&state)?, Counts::read(&state)?);
        *self.register.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(register);
        *lock(&self.counts) = counts;
        Ok(())
    }

    /// Activity of a source at this site.
    pub fn activity(&self, source: &str, now: Timestamp) -> Activity {
        let register = self.register();
        if register.is_chain(source) {
            return Activity::of_chain(self.index().agreed_at(source), now);
        }
        self.live.activity(source)
    }
}

/// Shows stored blocks in their order, as many at once as the store gives.
pub fn each_block(
    store: &Store,
    from: Height,
    to: Height,
    mut show: impl FnMut(&openmesh_storage::StoredBlock),
) -> Result<(), StoreError> {
    let mut height = from;
    while height <= to {
        let blocks = store.blocks(height..=to)?;
        let Some(last) = blocks.last().map(|b| b.block.header.height) else { break };
        blocks.iter().for_each(&mut show);
        height = last + 1;
    }
    Ok(())
}
