//! The store as others see it: opening, reading, and what it tells about itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use openmesh_primitives::{ContentId, Timestamp};
use prometheus_client::registry::Registry;

use crate::Reason;
use crate::database::{Database, Open};
use crate::disk::{Disk, entries};
use crate::fault::Fault;
use crate::files::{self, Files, INCOMING, QUARANTINE, count_holds, stock};
use crate::limits::{ContentError, Limits, QUARANTINE_BLOCKS_MAX};
use crate::metrics::Metrics;
use crate::rule::{Both, Rule, oldest};
use crate::tables::Reading;

/// Occupancy of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Number of blocks.
    pub blocks: u64,
    /// All blocks together, in bytes of the disk ([`Limits::disk_bytes`]).
    pub bytes: u64,
    /// Of these, chunks of recent windows.
    pub recent_bytes: u64,
    /// Of these, blocks that are held and not recent.
    pub held_bytes: u64,
    /// Limit of all blocks together, in bytes.
    pub bytes_max: u64,
    /// Blocks refused since the start, because nothing could be removed for them.
    pub refused: u64,
    /// Blocks removed since the start although pinned, because newer windows had no other room.
    pub pinned_removed: u64,
    /// Start of the retention window; `None` before it was handed in.
    pub retained_since: Option<Timestamp>,
}

/// State that changes pass through, one after the other.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rule: Rule,
    /// Small blocks that are files still, to be moved into the database.
    pub(crate) moving: Vec<ContentId>,
}

/// Blocks of bytes in a folder. Blocking calls; from async code use `spawn_blocking`.
#[derive(Debug)]
pub struct BlockStore {
    pub(crate) root: PathBuf,
    pub(crate) limits: Limits,
    /// Locked over every change, so that disk and sums cannot differ. Taken before `files`.
    state: Mutex<State>,
    /// Locked while a file changes its name or goes.
    files: Mutex<Files>,
    pub(crate) database: Database,
    /// The sums as of the last change: to tell them waits for no disk.
    shown: Mutex<Rule>,
    pub(crate) disk: Disk,
    pub(crate) drafts: AtomicU64,
    pub(crate) metrics: Metrics,
}

impl BlockStore {
    /// Opens (or makes) the folder and takes stock. Fails where the file system refuses, and with [`ContentError::InUse`].
    pub fn open(root: &Path, limits: Limits) -> Result<BlockStore, ContentError> {
        BlockStore::open_on(Disk::default(), root, limits)
    }

    pub(crate) fn open_on(disk: Disk, root: &Path, limits: Limits) -> Result<BlockStore, ContentError> {
        // First: where another process has the store, nothing of it is touched.
        let database = Database::open(root, disk.clone())?;
        let incoming = root.join(INCOMING);
        // What a crash left here was never acknowledged.
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(|e| ContentError::io(&incoming, e))?;
        }
        disk.create_folder(&incoming).map_err(|e| ContentError::io(&incoming, e))?;
        let (mut files, mut moving) = stock(root, &limits)?;
        remove_moved(root, &database, &mut files, &mut moving)?;
        count_holds(root, &mut files)?;
        let rule = Rule::new(&limits);
        let store = BlockStore {
            root: root.to_path_buf(),
            limits,
            shown: Mutex::new(rule.clone()),
            state: Mutex::new(State { rule, moving }),
            files: Mutex::new(files),
            database,
            disk,
            drafts: AtomicU64::new(0),
            metrics: Metrics::default(),
        };
        store.metrics.limit_bytes.set(i64::try_from(limits.store_bytes_max).unwrap_or(i64::MAX));
        {
            let mut state = store.state();
            store.recount(&mut state).map_err(|fault| store.database.error(fault))?;
        }
        Ok(store)
    }

    /// Shows the store's metrics under `PREFIX_` in a registry.
    pub fn register(&self, registry: &mut Registry, prefix: &str) {
        self.metrics.register(registry, prefix);
    }

    /// Returns the bytes of a CID; `None` where they are not held. Fails with [`ContentError::Damaged`] where the disk has
    /// other bytes, and where it cannot be read.
    pub fn get(&self, cid: &ContentId) -> Result<Option<Vec<u8>>, ContentError> {
        // Files before rows: a file that is not there any more was moved before the rows are looked at.
        let file = self.files().get(cid).map(|entry| entry.reason);
        if let Some(reason) = file {
            let path = files::path(&self.root, cid, reason);
            match self.read_file(&path) {
                Ok(bytes) if cid.matches(&bytes) => return Ok(Some(bytes)),
                Ok(_) => return self.set_file_aside(cid, &path).map(|()| None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if self.missing(cid, &path) {
                        return self.get(cid);
                    }
                }
                Err(error) => return Err(ContentError::io(&path, error)),
            }
        }
        match self.reading(|rows| rows.bytes(cid))?.flatten() {
            Some(bytes) if !cid.matches(&bytes) => self.set_row_aside(cid, &bytes).map(|()| None),
            found => Ok(found),
        }
    }

    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(self.limits.block_bytes_max + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A file was not at its place: it was removed, renamed or moved since the stock was looked at, or by somebody else. Returns
    /// true when it has another name now.
    fn missing(&self, cid: &ContentId, path: &Path) -> bool {
        let mut state = self.state();
        let mut files = self.files();
        if files.get(cid).is_some_and(|entry| files::path(&self.root, cid, entry.reason) != path) {
            return true;
        }
        if !path.exists()
            && let Some(block) = files.take(cid)
        {
            state.rule.sub(&block);
            self.measure(&state);
        }
        false
    }

    fn set_file_aside(&self, cid: &ContentId, path: &Path) -> Result<(), ContentError> {
        let mut state = self.state();
        let mut files = self.files();
        let moved = match self.aside(cid)? {
            Some(aside) => self.disk.rename(path, &aside),
            None => self.disk.remove(path),
        };
        moved.map_err(|e| ContentError::io(path, e))?;
        if let Some(block) = files.take(cid) {
            state.rule.sub(&block);
        }
        self.metrics.damaged.inc();
        self.measure(&state);
        Err(ContentError::Damaged(*cid))
    }

    /// Takes a row away whose bytes are not those of its CID, unless it was replaced meanwhile.
    fn set_row_aside(&self, cid: &ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        let mut state = self.state();
        if let Some(aside) = self.aside(cid)? {
            self.disk.write(&aside, bytes, SystemTime::now()).map_err(|e| ContentError::io(&aside, e))?;
        }
        let now = self.read_again(&mut state, |rows| rows.bytes(cid))?.flatten();
        if now.is_some_and(|now| !cid.matches(&now)) {
            let taken = self.write_rows(&mut state, false, |rows, rule| {
                let block = rows.take(cid)?;
                block.iter().for_each(|block| rule.sub(block));
                Ok(())
            });
            taken.map_err(|fault| self.database.error(fault))?;
        }
        self.metrics.damaged.inc();
        self.measure(&state);
        Err(ContentError::Damaged(*cid))
    }

    /// A place in the quarantine; `None` where it is full.
    fn aside(&self, cid: &ContentId) -> Result<Option<PathBuf>, ContentError> {
        let aside = self.root.join(QUARANTINE);
        self.disk.create_folder(&aside).map_err(|e| ContentError::io(&aside, e))?;
        let many = entries(&aside).map_err(|e| ContentError::io(&aside, e))?.len() >= QUARANTINE_BLOCKS_MAX;
        Ok((!many).then(|| aside.join(cid.to_string())))
    }

    /// Returns true when a block is held. Fails where the database cannot be read.
    pub fn has(&self, cid: &ContentId) -> Result<bool, ContentError> {
        self.reason(cid).map(|reason| reason.is_some())
    }

    /// Returns the reason for which a block is held; `None` where it is not. Fails where the database cannot be read.
    pub fn reason(&self, cid: &ContentId) -> Result<Option<Reason>, ContentError> {
        let file = self.files().get(cid).map(|entry| entry.reason);
        if file.is_some() {
            return Ok(file);
        }
        let block = self.reading(|rows| rows.block(cid))?.flatten();
        Ok(block.map(|block| block.place.reason))
    }

    /// Pins the windows that were kept since a time by this site's clock, and no others. Handed in by whoever knows the
    /// ledger's rule: the time of the last block less the epochs for which chunks are kept. Fails where the database cannot
    /// be read; then the same windows are pinned as before.
    pub fn retain_since(&self, since: Timestamp) -> Result<(), ContentError> {
        let mut state = self.state();
        self.mend(&mut state).map_err(|fault| self.database.error(fault))?;
        let moved = self.renew(&mut state, |rule, stock| rule.retain_since(stock, since.nanos()));
        moved.map_err(|fault| self.database.error(fault))
    }

    /// Returns the CIDs of all blocks held, ascending: 32 bytes of memory for each. Fails where the database cannot be read.
    pub fn cids(&self) -> Result<Vec<ContentId>, ContentError> {
        let mut cids: Vec<ContentId> = self.files().cids().copied().collect();
        cids.extend(self.reading(Reading::cids)?.unwrap_or_default());
        cids.sort_unstable();
        cids.dedup();
        Ok(cids)
    }

    /// Number of blocks held.
    pub fn len(&self) -> u64 {
        self.shown().blocks()
    }

    /// Returns true when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of all blocks together, in bytes of the disk ([`Limits::disk_bytes`]).
    pub fn bytes(&self) -> u64 {
        self.shown().bytes()
    }

    /// Bytes that the database's file takes of the disk, with the room in it that is free.
    pub fn database_bytes(&self) -> u64 {
        self.database.file_bytes()
    }

    /// Time at which the oldest block of a reason was kept; `None` where there is none. Fails where the database cannot be read.
    pub fn oldest(&self, reason: Reason) -> Result<Option<Timestamp>, ContentError> {
        let file = oldest(&*self.files(), reason).map_err(|fault| self.database.error(fault))?;
        let row = self.reading(|rows| oldest(rows, reason))?.flatten();
        Ok([file, row].into_iter().flatten().min().map(Timestamp))
    }

    /// Occupancy, for status.
    pub fn usage(&self) -> Usage {
        let shown = self.shown();
        Usage {
            blocks: shown.blocks(),
            bytes: shown.bytes(),
            recent_bytes: shown.recent_bytes(),
            held_bytes: shown.held_bytes(),
            bytes_max: self.limits.store_bytes_max,
            refused: self.metrics.refused.get(),
            pinned_removed: self.metrics.pinned_removed.get(),
            retained_since: shown.since().map(Timestamp),
        }
    }

    /// Reads rows, as of the last commit; `None` where there is no database. A database that fails is brought back once.
    pub(crate) fn reading<T>(&self, work: impl Fn(&Reading) -> Result<T, Fault>) -> Result<Option<T>, ContentError> {
        let failed = match self.database.current() {
            Ok(None) => return Ok(None),
            Ok(Some(open)) => match open.read(&work) {
                Ok(read) => return Ok(Some(read)),
                Err(fault) => Some((open, fault)),
            },
            Err(_) => None,
        };
        let mut state = self.state();
        if let Some((open, fault)) = failed {
            self.recover(&mut state, &open, &fault).map_err(|fault| self.database.error(fault))?;
        }
        self.read_again(&mut state, work)
    }

    fn read_again<T>(
        &self,
        state: &mut State,
        work: impl Fn(&Reading) -> Result<T, Fault>,
    ) -> Result<Option<T>, ContentError> {
        let mut attempt = || {
            self.mend(state)?;
            let Some(open) = self.database.current()? else { return Ok(None) };
            match open.read(&work) {
                Ok(read) => Ok(Some(read)),
                Err(fault) => self.recover(state, &open, &fault).and(Err(fault)),
            }
        };
        // A database that was found sound and fails again is set aside: then there is nothing to read.
        attempt().or_else(|_| attempt()).map_err(|fault| self.database.error(fault))
    }

    /// Changes the sums by what is in stock. A database that fails is brought back once, and everything counted anew.
    fn renew(
        &self,
        state: &mut State,
        work: impl Fn(&mut Rule, &Both<'_, Files, Option<&Reading>>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let attempt = |state: &mut State, open: Option<&Open>, anew: bool| {
            let (files, mut rule) = (self.files(), state.rule.clone());
            let mut change = |rows: Option<&Reading>| {
                let stock = Both(&*files, &rows);
                if anew {
                    rule.recount(&stock)?;
                }
                work(&mut rule, &stock)
            };
            match open {
                Some(open) => open.read(|rows| change(Some(rows))),
                None => change(None),
            }?;
            state.rule = rule;
            self.measure(state);
            Ok(())
        };
        let open = self.database.current()?;
        match attempt(state, open.as_deref(), false) {
            Err(fault) if let Some(open) = &open => {
                self.database.recover(open, &fault)?;
                let again = self.database.current()?;
                attempt(state, again.as_deref(), true)
            }
            outcome => outcome,
        }
    }

    /// Counts the stock anew.
    pub(crate) fn recount(&self, state: &mut State) -> Result<(), Fault> {
        self.renew(state, |rule, stock| rule.recount(stock))
    }

    /// Opens a database again that could not be opened before.
    pub(crate) fn mend(&self, state: &mut State) -> Result<(), Fault> {
        if self.database.current().is_err() {
            self.database.mend()?;
            self.recount(state)?;
        }
        Ok(())
    }

    /// Brings the database back into use after an operation on it has failed.
    pub(crate) fn recover(&self, state: &mut State, open: &Arc<Open>, fault: &Fault) -> Result<(), Fault> {
        self.database.recover(open, fault)?;
        self.recount(state)
    }

    pub(crate) fn measure(&self, state: &State) {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.bytes.set(gauge(state.rule.bytes()));
        self.metrics.blocks.set(gauge(state.rule.blocks()));
        self.metrics.recent_bytes.set(gauge(state.rule.recent_bytes()));
        *self.shown() = state.rule.clone();
    }

    /// State, files and sums are whole after every statement, so a panic elsewhere does not spoil them.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Rule> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes files that lie in the database too: a crash came between a move and the end of the file.
fn remove_moved(
    root: &Path,
    database: &Database,
    files: &mut Files,
    moving: &mut Vec<ContentId>,
) -> Result<(), ContentError> {
    let Some(open) = database.current().map_err(|fault| database.error(fault))? else { return Ok(()) };
    let mut moved = Vec::new();
    for cid in moving.iter() {
        if open.read(|rows| rows.block(cid)).map_err(|fault| database.error(fault))?.is_some() {
            moved.push(*cid);
        }
    }
    for cid in &moved {
        let Some(entry) = files.get(cid).copied() else { continue };
        let path = files::path(root, cid, entry.reason);
        fs::remove_file(&path).map_err(|e| ContentError::io(&path, e))?;
        files.take(cid);
    }
    let moved: BTreeSet<ContentId> = moved.into_iter().collect();
    moving.retain(|cid| !moved.contains(cid));
    Ok(())
}
