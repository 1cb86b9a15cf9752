//! The store: files and the stock of them, kept in step.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmesh_primitives::{ContentId, Timestamp};
use prometheus_client::registry::Registry;

use crate::Reason;
use crate::disk::{Disk, entries};
use crate::index::{Claim, Index};
use crate::limits::{
    COLLECT_BESIDE_PUT_MAX, COLLECT_BLOCKS_MAX, ContentError, HOLDER_BYTES_MAX, Limits, QUARANTINE_BLOCKS_MAX,
};
use crate::metrics::Metrics;

const INCOMING: &str = "incoming";
const QUARANTINE: &str = "quarantine";
const HOLDS: &str = "holds";

/// Occupancy of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Number of blocks.
    pub blocks: u64,
    /// All blocks together, in bytes.
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

/// Outcome of a step of collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blocks removed.
    pub blocks: usize,
    /// Bytes removed.
    pub bytes: u64,
    /// There is more to collect.
    pub more: bool,
}

/// A folder of blocks. Blocking calls; from async code use `spawn_blocking`.
#[derive(Debug)]
pub struct BlockStore {
    root: PathBuf,
    limits: Limits,
    /// Locked over every removal and every change of a name, so that files and stock cannot differ.
    index: Mutex<Index>,
    pub(crate) disk: Disk,
    drafts: AtomicU64,
    metrics: Metrics,
}

impl BlockStore {
    /// Opens (or makes) the folder and takes stock. Fails where the file system refuses.
    pub fn open(root: &Path, limits: Limits) -> Result<BlockStore, ContentError> {
        BlockStore::open_on(Disk::default(), root, limits)
    }

    pub(crate) fn open_on(disk: Disk, root: &Path, limits: Limits) -> Result<BlockStore, ContentError> {
        let incoming = root.join(INCOMING);
        // What a crash left here was never acknowledged.
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(|e| ContentError::io(&incoming, e))?;
        }
        disk.create_folder(&incoming).map_err(|e| ContentError::io(&incoming, e))?;
        let (index, drafts) = (Mutex::new(stock(root)?), AtomicU64::new(0));
        let store = BlockStore { root: root.to_path_buf(), limits, index, disk, drafts, metrics: Metrics::default() };
        store.metrics.limit_bytes.set(i64::try_from(limits.store_bytes_max).unwrap_or(i64::MAX));
        store.measure(&store.index());
        Ok(store)
    }

    /// Shows the store's metrics under `PREFIX_` in a registry.
    pub fn register(&self, registry: &mut Registry, prefix: &str) {
        self.metrics.register(registry, prefix);
    }

    /// Keeps a block, durably, and returns its CID. Keeping it again changes nothing, unless the reason is a stronger one.
    /// Fails with [`ContentError::Full`] where neither the limit nor the disk has room and nothing yields,
    /// with [`ContentError::BlockTooLarge`], or where the file system refuses; then nothing was kept.
    pub fn put(&self, bytes: &[u8], reason: Reason) -> Result<ContentId, ContentError> {
        let (cid, size) = (ContentId::of(bytes), bytes.len() as u64);
        if size > self.limits.block_bytes_max {
            return Err(ContentError::BlockTooLarge { bytes: size, max: self.limits.block_bytes_max });
        }
        if self.strengthen(&cid, reason)? {
            return Ok(cid);
        }
        let outcome = self.write(&cid, bytes, reason);
        if matches!(outcome, Err(ContentError::Full { .. })) {
            self.metrics.refused.inc();
        }
        outcome?;
        if self.collect_above_low_water(COLLECT_BESIDE_PUT_MAX).is_err() {
            // The block is kept; what the disk did not remove is tried again with the next one.
            self.metrics.collect_failures.inc();
        }
        Ok(cid)
    }

    /// Returns the bytes of a CID; `None` where they are not held. Fails with [`ContentError::Damaged`] where the disk has
    /// other bytes, and where it cannot be read.
    pub fn get(&self, cid: &ContentId) -> Result<Option<Vec<u8>>, ContentError> {
        let Some(reason) = self.index().get(cid).map(|entry| entry.reason) else { return Ok(None) };
        let path = self.path(cid, reason);
        let mut bytes = Vec::new();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.missing(cid, &path),
            Err(error) => return Err(ContentError::io(&path, error)),
        };
        let read = file.take(self.limits.block_bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|e| ContentError::io(&path, e))?;
        if cid.matches(&bytes) {
            return Ok(Some(bytes));
        }
        self.set_aside(cid, &path)?;
        Err(ContentError::Damaged(*cid))
    }

    /// A file was not at its place: it was removed or renamed since the stock was looked at, or by somebody else.
    fn missing(&self, cid: &ContentId, path: &Path) -> Result<Option<Vec<u8>>, ContentError> {
        let mut index = self.index();
        let renamed = index.get(cid).is_some_and(|entry| self.path(cid, entry.reason) != path);
        if renamed {
            drop(index);
            return self.get(cid);
        }
        if !path.exists() {
            index.take(cid);
            self.measure(&index);
        }
        Ok(None)
    }

    fn set_aside(&self, cid: &ContentId, path: &Path) -> Result<(), ContentError> {
        let mut index = self.index();
        let aside = self.root.join(QUARANTINE);
        self.disk.create_folder(&aside).map_err(|e| ContentError::io(&aside, e))?;
        let many = entries(&aside).map_err(|e| ContentError::io(&aside, e))?.len() >= QUARANTINE_BLOCKS_MAX;
        let moved = if many { self.disk.remove(path) } else { self.disk.rename(path, &aside.join(cid.to_string())) };
        moved.map_err(|e| ContentError::io(path, e))?;
        index.take(cid);
        self.metrics.damaged.inc();
        self.measure(&index);
        Ok(())
    }

    /// Returns true when a block is held.
    pub fn has(&self, cid: &ContentId) -> bool {
        self.index().get(cid).is_some()
    }

    /// Returns the reason for which a block is held; `None` where it is not.
    pub fn reason(&self, cid: &ContentId) -> Option<Reason> {
        self.index().get(cid).map(|entry| entry.reason)
    }

    /// Removes a block, pinned or not; returns whether it was held. Fails where the file system refuses.
    pub fn remove(&self, cid: &ContentId) -> Result<bool, ContentError> {
        self.remove_from(&mut self.index(), cid).map(|bytes| bytes.is_some())
    }

    /// Pins a block until [`BlockStore::release`] with the same name, over restarts; returns false where it is not held. The
    /// name is of 1 to 64 characters `a-z`, `0-9`, `-` and `_`. Fails with [`ContentError::Holder`], or where the file
    /// system refuses.
    pub fn hold(&self, name: &str, cid: &ContentId) -> Result<bool, ContentError> {
        let folder = self.holder(name)?;
        let path = folder.join(cid.to_string());
        let mut index = self.index();
        if index.get(cid).is_none() {
            return Ok(false);
        }
        if path.exists() {
            return Ok(true);
        }
        let made = self.disk.create_folder(&folder).and_then(|()| self.disk.write(&path, &[], SystemTime::now()));
        let made = made.and_then(|()| self.disk.sync_folder(&folder));
        // It counts from the moment in which it has a name, durable or not.
        if path.exists() {
            index.hold(cid, 1);
        }
        made.map(|()| true).map_err(|e| ContentError::io(&path, e))
    }

    /// Takes a hold off a block; returns whether it was there. Fails as [`BlockStore::hold`] does.
    pub fn release(&self, name: &str, cid: &ContentId) -> Result<bool, ContentError> {
        let path = self.holder(name)?.join(cid.to_string());
        let mut index = self.index();
        if !path.exists() {
            return Ok(false);
        }
        // A removal that a crash takes back holds the block once more; whoever held it releases again.
        self.disk.remove(&path).map_err(|e| ContentError::io(&path, e))?;
        index.hold(cid, -1);
        Ok(true)
    }

    fn holder(&self, name: &str) -> Result<PathBuf, ContentError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > HOLDER_BYTES_MAX || !name.bytes().all(plain) {
            return Err(ContentError::Holder(name.to_owned()));
        }
        Ok(self.root.join(HOLDS).join(name))
    }

    /// Pins the windows that were kept since a time by this site's clock, and no others. Handed in by whoever knows the
    /// ledger's rule: the time of the last block less the epochs for which chunks are kept.
    pub fn retain_since(&self, since: Timestamp) {
        let mut index = self.index();
        index.retain_since(since.nanos());
        self.measure(&index);
    }

    /// Removes loose blocks while the store is above its low-water mark, [`COLLECT_BLOCKS_MAX`] at most. Fails where the file
    /// system refuses; what was removed before stays removed.
    pub fn collect(&self) -> Result<Collected, ContentError> {
        self.collect_above_low_water(COLLECT_BLOCKS_MAX)
    }

    /// Removes loose blocks of so many bytes, [`COLLECT_BLOCKS_MAX`] blocks at most, for somebody on the same disk who has no room;
    /// returns the bytes removed. Fails as [`BlockStore::collect`] does.
    pub fn make_room(&self, bytes: u64) -> Result<u64, ContentError> {
        self.collect_while(COLLECT_BLOCKS_MAX, |_, removed| removed < bytes).map(|collected| collected.bytes)
    }

    fn collect_above_low_water(&self, blocks_max: usize) -> Result<Collected, ContentError> {
        let low_water = self.limits.low_water_bytes();
        self.collect_while(blocks_max, |held, _| held > low_water)
    }

    fn collect_while(&self, blocks_max: usize, wanted: impl Fn(u64, u64) -> bool) -> Result<Collected, ContentError> {
        let mut collected = Collected::default();
        let mut index = self.index();
        loop {
            let loose = index.loose(Reason::Window, i64::MAX).filter(|_| wanted(index.bytes(), collected.bytes));
            let Some(cid) = loose else { return Ok(collected) };
            if collected.blocks == blocks_max {
                return Ok(Collected { more: true, ..collected });
            }
            collected.bytes += self.remove_from(&mut index, &cid)?.unwrap_or(0);
            collected.blocks += 1;
        }
    }

    /// Returns the CIDs of all blocks held, ascending.
    pub fn cids(&self) -> Vec<ContentId> {
        self.index().cids().copied().collect()
    }

    /// Number of blocks held.
    pub fn len(&self) -> usize {
        self.index().len()
    }

    /// Returns true when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of all blocks together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.index().bytes()
    }

    /// Time at which the oldest block of a reason was kept; `None` where there is none.
    pub fn oldest(&self, reason: Reason) -> Option<Timestamp> {
        self.index().oldest(reason).map(Timestamp)
    }

    /// Occupancy, for status.
    pub fn usage(&self) -> Usage {
        let index = self.index();
        Usage {
            blocks: index.len() as u64,
            bytes: index.bytes(),
            recent_bytes: index.recent_bytes(),
            held_bytes: index.held_bytes(),
            bytes_max: self.limits.store_bytes_max,
            refused: self.metrics.refused.get(),
            pinned_removed: self.metrics.pinned_removed.get(),
            retained_since: index.since().map(Timestamp),
        }
    }

    /// Returns true where the block is held for this reason or a stronger one; puts it under the stronger.
    fn strengthen(&self, cid: &ContentId, reason: Reason) -> Result<bool, ContentError> {
        let mut index = self.index();
        let Some(entry) = index.get(cid).copied() else { return Ok(false) };
        if entry.reason >= reason {
            return Ok(true);
        }
        let (from, to, kept) = (self.path(cid, entry.reason), self.path(cid, reason), SystemTime::now());
        let folder = to.parent().unwrap_or(&self.root);
        let renamed = self.disk.touch(&from, kept).and_then(|()| self.disk.rename(&from, &to));
        match renamed.and_then(|()| self.disk.sync_folder(folder)) {
            Ok(()) => index.insert(*cid, entry.bytes, reason, nanos(kept)),
            // Somebody has removed the file: it is written again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                index.take(cid);
                return Ok(false);
            }
            Err(error) => {
                if to.exists() {
                    index.insert(*cid, entry.bytes, reason, nanos(kept));
                }
                return Err(ContentError::io(&to, error));
            }
        }
        self.measure(&index);
        Ok(true)
    }

    /// Sets room aside, writes the block and adds it to the stock.
    fn write(&self, cid: &ContentId, bytes: &[u8], reason: Reason) -> Result<(), ContentError> {
        let kept = SystemTime::now();
        let claim = self.claim(bytes.len() as u64, reason, nanos(kept))?;
        let path = self.path(cid, reason);
        let mut written = self.write_file(cid, &path, bytes, kept);
        // The disk itself is full: what may go makes room.
        let room = if written.as_ref().is_err_and(is_full) { self.make_room(bytes.len() as u64) } else { Ok(0) };
        if room.is_ok_and(|freed| freed > 0) {
            written = self.write_file(cid, &path, bytes, kept);
        }
        let mut index = self.index();
        index.settle(&claim);
        let kept_whole = match written {
            // Another thread may have put the same block meanwhile, and a third collected it.
            Ok(()) if path.exists() => self.add(&mut index, *cid, bytes.len() as u64, reason, kept),
            Ok(()) => Err(ContentError::io(&path, io::ErrorKind::NotFound.into())),
            Err(error) if is_full(&error) => Err(ContentError::Full { bytes: bytes.len() as u64, held: index.bytes() }),
            Err(error) => Err(ContentError::io(&path, error)),
        };
        self.measure(&index);
        kept_whole
    }

    /// Adds a written block to the stock. Where another thread has put it for another reason, the stronger one stays.
    fn add(
        &self,
        index: &mut Index,
        cid: ContentId,
        bytes: u64,
        reason: Reason,
        kept: SystemTime,
    ) -> Result<(), ContentError> {
        let other = index.get(&cid).map(|entry| entry.reason).filter(|other| *other != reason);
        if let Some(other) = other {
            let path = self.path(&cid, other.min(reason));
            self.disk.remove(&path).map_err(|e| ContentError::io(&path, e))?;
        }
        if other.is_none_or(|other| other < reason) {
            index.insert(cid, bytes, reason, nanos(kept));
        }
        Ok(())
    }

    fn write_file(&self, cid: &ContentId, path: &Path, bytes: &[u8], kept: SystemTime) -> io::Result<()> {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let draft = self.root.join(INCOMING).join(format!("{cid}-{number}"));
        let folder = path.parent().unwrap_or(&self.root);
        let written = self
            .disk
            .create_folder(folder)
            .and_then(|()| self.disk.write(&draft, bytes, kept))
            .and_then(|()| self.disk.rename(&draft, path))
            // The rename is durable only with its folder.
            .and_then(|()| self.disk.sync_folder(folder));
        written.inspect_err(|_| {
            // A draft that stays is removed on the next opening; removing it now makes room on a full disk.
            let _ = self.disk.remove(&draft);
        })
    }

    /// Sets room aside for a block, removing what yields to it.
    fn claim(&self, bytes: u64, reason: Reason, kept: i64) -> Result<Claim, ContentError> {
        let (max, reserve) = (self.limits.store_bytes_max, self.limits.reserve_bytes());
        let mut index = self.index();
        loop {
            if let Some(claim) = index.claim(bytes, reason, kept, max, reserve) {
                return Ok(claim);
            }
            // A block that would not fit into an empty store must not empty it.
            let victim = index.victim(reason, kept, max, reserve).filter(|_| bytes <= max);
            let Some(victim) = victim else {
                return Err(ContentError::Full { bytes, held: index.bytes() });
            };
            self.remove_from(&mut index, &victim.cid)?;
            if victim.pinned {
                self.metrics.pinned_removed.inc();
            }
        }
    }

    /// Removes a block and its holds; returns its bytes where it was held.
    fn remove_from(&self, index: &mut Index, cid: &ContentId) -> Result<Option<u64>, ContentError> {
        let Some(entry) = index.get(cid).copied() else { return Ok(None) };
        let path = self.path(cid, entry.reason);
        self.disk.remove(&path).map_err(|e| ContentError::io(&path, e))?;
        index.take(cid);
        if entry.holds > 0 {
            self.drop_holds(cid)?;
        }
        self.metrics.collected_blocks.inc();
        self.metrics.collected_bytes.inc_by(entry.bytes);
        self.measure(index);
        Ok(Some(entry.bytes))
    }

    fn drop_holds(&self, cid: &ContentId) -> Result<(), ContentError> {
        let holds = self.root.join(HOLDS);
        for holder in entries(&holds).map_err(|e| ContentError::io(&holds, e))? {
            let path = holder.join(cid.to_string());
            self.disk.remove(&path).map_err(|e| ContentError::io(&path, e))?;
        }
        Ok(())
    }

    fn measure(&self, index: &Index) {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.bytes.set(gauge(index.bytes()));
        self.metrics.blocks.set(gauge(index.len() as u64));
        self.metrics.recent_bytes.set(gauge(index.recent_bytes()));
    }

    fn path(&self, cid: &ContentId, reason: Reason) -> PathBuf {
        let name = cid.to_string();
        let shard = &name[name.len() - 2..];
        self.root.join(shard).join(format!("{name}{}", suffix(reason)))
    }

    /// The stock is whole after every statement, so a panic elsewhere does not spoil it.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes stock of a folder. Fails where the file system refuses.
fn stock(root: &Path) -> Result<Index, ContentError> {
    let mut index = Index::default();
    for folder in entries(root).map_err(|e| ContentError::io(root, e))? {
        let shard = name(&folder).is_some_and(|name| name.len() == 2) && folder.is_dir();
        if !shard {
            continue;
        }
        for file in entries(&folder).map_err(|e| ContentError::io(&folder, e))? {
            let Some((cid, reason)) = name(&file).and_then(named) else { continue };
            let about = fs::metadata(&file).map_err(|e| ContentError::io(&file, e))?;
            let kept = about.modified().map_err(|e| ContentError::io(&file, e))?;
            // A crash may leave a block under two reasons: the stronger one counts.
            let other = index.get(&cid).map(|entry| entry.reason);
            if let Some(other) = other {
                let weaker = folder.join(format!("{cid}{}", suffix(other.min(reason))));
                fs::remove_file(&weaker).map_err(|e| ContentError::io(&weaker, e))?;
            }
            if other.is_none_or(|other| other < reason) {
                index.insert(cid, about.len(), reason, nanos(kept));
            }
        }
    }
    let holds = root.join(HOLDS);
    if !holds.exists() {
        return Ok(index);
    }
    for holder in entries(&holds).map_err(|e| ContentError::io(&holds, e))? {
        for file in entries(&holder).map_err(|e| ContentError::io(&holder, e))? {
            let Some(cid) = name(&file).and_then(|name| name.parse().ok()) else { continue };
            if !index.hold(&cid, 1) {
                // The block went in the moment of a crash.
                fs::remove_file(&file).map_err(|e| ContentError::io(&file, e))?;
            }
        }
    }
    Ok(index)
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

const fn suffix(reason: Reason) -> &'static str {
    match reason {
        Reason::Window => "",
        Reason::Segment => ".segment",
        Reason::Cached => ".cached",
    }
}

/// The block and its reason, by the name of its file; `None` for a file that is none of ours.
fn named(name: &str) -> Option<(ContentId, Reason)> {
    let (cid, end) = name.find('.').map_or((name, ""), |at| name.split_at(at));
    let reason = [Reason::Window, Reason::Segment, Reason::Cached].into_iter().find(|r| suffix(*r) == end)?;
    Some((cid.parse().ok()?, reason))
}

fn nanos(time: SystemTime) -> i64 {
    let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
