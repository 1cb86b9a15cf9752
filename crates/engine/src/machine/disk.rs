//! The disk of a simulated validator: its store and its write-ahead log.

use std::sync::{Arc, Mutex, PoisonError};

use malachite_app::consensus::Input as CoreInput;
use openmesh_primitives::Height;
use openmesh_storage::VirtualDisk;

use crate::consensus::context::Context;

/// The disk of a validator, which it keeps over a crash; clones are the same disk.
#[derive(Clone, Default)]
pub struct MachineDisk {
    /// The store.
    pub store: VirtualDisk,
    log: Arc<Mutex<Log>>,
}

/// The write-ahead log of one height.
#[derive(Default)]
pub(super) struct Log {
    pub(super) height: Height,
    pub(super) entries: Vec<CoreInput<Context>>,
    pub(super) synced: usize,
}

impl MachineDisk {
    pub(super) fn log<T>(&self, with: impl FnOnce(&mut Log) -> T) -> T {
        with(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loses the log, which a disk must not do: for tests of those who look for the consequences.
    pub fn forget_log(&self) {
        self.log(|log| *log = Log::default());
    }

    /// Power goes and comes back; see [`VirtualDisk::power_cut`]. Of the log's entries that were not synced, the first
    /// few may be there.
    pub fn power_cut(&self, mut choose: impl FnMut(u64) -> u64) {
        self.log(|log| {
            let unsynced = (log.entries.len() - log.synced) as u64;
            log.entries.truncate(log.synced + choose(unsynced + 1) as usize);
            log.synced = log.entries.len();
        });
        self.store.power_cut(choose);
    }
}
