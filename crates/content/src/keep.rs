//! Keeping blocks: rows together in one transaction, files one by one, and room for both.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use openmesh_primitives::ContentId;

use crate::Reason;
use crate::fault::Fault;
use crate::files::{self, Entry, Files, HOLDS, INCOMING, nanos};
use crate::limits::{
    COLLECT_BESIDE_PUT_MAX, ContentError, MOVE_BESIDE_PUT_MAX, MOVE_ROOM_BYTES_MIN, REMOVAL_ROOM_BYTES,
    ROW_PAGES_BYTES, file_cost, row_cost,
};
use crate::rule::{Block, Both, Claim, Kind, Place, Rule, Victim};
use crate::store::{BlockStore, State};
use crate::tables::Writing;

/// Blocks that a transaction has removed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Removed {
    pub(crate) blocks: usize,
    pub(crate) bytes: u64,
    pub(crate) pinned: u64,
}

/// A block to be kept, with its name.
type Named<'a> = (ContentId, &'a [u8]);

impl BlockStore {
    /// Keeps a block, durably, and returns its CID. Keeping it again changes nothing, unless the reason is a stronger one.
    /// Fails with [`ContentError::Full`] where neither the limit nor the disk has room and nothing yields,
    /// with [`ContentError::BlockTooLarge`], or where the file system refuses; then nothing was kept.
    pub fn put(&self, bytes: &[u8], reason: Reason) -> Result<ContentId, ContentError> {
        self.put_all(&[bytes], reason)?;
        Ok(ContentId::of(bytes))
    }

    /// Keeps blocks for one reason, and returns their CIDs; those that are small enough in one durable transaction. Fails as
    /// [`BlockStore::put`] does; then none of the small ones was kept, while some of the larger may have been.
    pub fn put_all(&self, blocks: &[impl AsRef<[u8]>], reason: Reason) -> Result<Vec<ContentId>, ContentError> {
        let max = self.limits.block_bytes_max;
        let sizes = blocks.iter().map(|block| block.as_ref().len() as u64);
        if let Some(bytes) = sizes.into_iter().find(|bytes| *bytes > max) {
            return Err(ContentError::BlockTooLarge { bytes, max });
        }
        let named: Vec<Named<'_>> =
            blocks.iter().map(|block| (ContentId::of(block.as_ref()), block.as_ref())).collect();
        let outcome = self.keep(&named, reason);
        if matches!(outcome, Err(ContentError::Full { .. })) {
            self.metrics.refused.inc();
        }
        outcome.map(|()| named.into_iter().map(|(cid, _)| cid).collect())
    }

    fn keep(&self, named: &[Named<'_>], reason: Reason) -> Result<(), ContentError> {
        let mut rows = Vec::new();
        for (cid, bytes) in named {
            if self.strengthen_file(cid, reason)? {
                continue;
            }
            let row = self.reading(|rows| rows.block(cid))?.flatten();
            if row.is_some_and(|row| row.place.reason >= reason) {
                continue;
            }
            if row.is_some() || self.limits.is_packed(bytes.len() as u64) {
                rows.push((*cid, *bytes));
                continue;
            }
            self.write(cid, bytes, reason)?;
            if self.collect_beside_file().is_err() {
                // The block is kept; what the disk did not remove is tried again with the next one.
                self.metrics.collect_failures.inc();
            }
        }
        // In the order of their keys, so that each is appended and pages become full.
        rows.sort_unstable_by_key(|(cid, _)| *cid);
        if rows.is_empty() { Ok(()) } else { self.keep_rows(&rows, reason) }
    }

    /// Keeps rows in one transaction, tried once more where a disk that was full has room now, or a damaged database was replaced.
    fn keep_rows(&self, rows: &[Named<'_>], reason: Reason) -> Result<(), ContentError> {
        let mut state = self.state();
        let cost: u64 = rows.iter().map(|(_, bytes)| row_cost(bytes.len() as u64)).sum();
        let need = cost + ROW_PAGES_BYTES * rows.len() as u64;
        let full = |state: &State| ContentError::Full { bytes: cost, held: state.rule.bytes() };
        // A database that the disk has refused once has to be opened again, which reads all of it: better not to try.
        let short = self.disk.free_bytes(&self.root).is_ok_and(|free| free < need + REMOVAL_ROOM_BYTES);
        if short && self.make_own_room(&mut state, cost) == 0 {
            return Err(full(&state));
        }
        let outcome = match self.try_rows(&mut state, rows, reason) {
            Err(Fault::Io(error)) if is_full(&error) => {
                if self.make_own_room(&mut state, cost) == 0 {
                    return Err(full(&state));
                }
                self.try_rows(&mut state, rows, reason)
            }
            // Found sound, it is tried again; damaged, it was set aside, and an empty one takes them.
            Err(Fault::Damaged(_)) => match self.try_rows(&mut state, rows, reason) {
                Err(Fault::Damaged(_)) => self.try_rows(&mut state, rows, reason),
                outcome => outcome,
            },
            outcome => outcome,
        };
        outcome.map_err(|fault| match fault {
            Fault::Io(error) if is_full(&error) => full(&state),
            fault => self.database.error(fault),
        })
    }

    fn try_rows(&self, state: &mut State, rows: &[Named<'_>], reason: Reason) -> Result<(), Fault> {
        let kept = nanos(SystemTime::now());
        let short = self.disk.free_bytes(&self.root).is_ok_and(|free| free < MOVE_ROOM_BYTES_MIN);
        let from = if short { state.moving.len() } else { state.moving.len().saturating_sub(MOVE_BESIDE_PUT_MAX) };
        let moving: Vec<ContentId> = state.moving[from..].to_vec();
        let (removed, moved) = self.write_rows(state, true, |table, rule| {
            let mut removed = Removed::default();
            let batch: Vec<ContentId> = rows.iter().map(|(cid, _)| *cid).collect();
            for (cid, bytes) in rows {
                let Some(held) = take_weaker(table, rule, cid, reason)? else { continue };
                self.clear(table, rule, &batch, (row_cost(bytes.len() as u64), reason, kept), &mut removed)?;
                rule.add(&table.insert(Place { reason, kept, cid: *cid }, held, bytes)?);
            }
            let moved = self.move_files(table, rule, &moving)?;
            for _ in 0..COLLECT_BESIDE_PUT_MAX {
                if !self.collect_one(Some(table), rule, &mut removed)? {
                    break;
                }
            }
            Ok((removed, moved))
        })?;
        state.moving.truncate(from);
        self.count(&removed);
        self.end_files(state, &moved);
        self.measure(state);
        Ok(())
    }

    /// Removes what yields to a new row until there is room for it.
    fn clear(
        &self,
        table: &mut Writing<'_>,
        rule: &mut Rule,
        batch: &[ContentId],
        (cost, reason, kept): (u64, Reason, i64),
        removed: &mut Removed,
    ) -> Result<(), Fault> {
        while !rule.fits(cost, reason, kept) {
            let victim = rule.victim(&Both(&*self.files(), &*table), cost, reason, kept)?;
            // Those that are kept together do not make room for each other.
            let Some(victim) = victim.filter(|victim| !batch.contains(&victim.block.place.cid)) else {
                return Err(Fault::Refused(ContentError::Full { bytes: cost, held: rule.bytes() }));
            };
            self.evict(Some(table), rule, &victim, removed)?;
        }
        Ok(())
    }

    /// Removes a block with its holds.
    fn evict(
        &self,
        table: Option<&mut Writing<'_>>,
        rule: &mut Rule,
        victim: &Victim,
        removed: &mut Removed,
    ) -> Result<(), Fault> {
        let cid = victim.block.place.cid;
        match table.filter(|_| victim.block.kind == Kind::Row) {
            Some(table) => {
                let Some(block) = table.take(&cid)? else {
                    return Err(Fault::Damaged(format!("{cid} is among the blocks and has no place")));
                };
                rule.sub(&block);
            }
            None => {
                self.remove_file(&mut self.files(), &victim.block)?;
                rule.sub(&victim.block);
            }
        }
        removed.blocks += 1;
        removed.bytes += victim.block.cost;
        removed.pinned += u64::from(victim.pinned);
        Ok(())
    }

    /// Removes the next loose block where the store is above its low-water mark; returns whether it did.
    pub(crate) fn collect_one(
        &self,
        table: Option<&mut Writing<'_>>,
        rule: &mut Rule,
        removed: &mut Removed,
    ) -> Result<bool, Fault> {
        if rule.bytes() <= self.limits.low_water_bytes() {
            return Ok(false);
        }
        self.remove_loose(table, rule, removed)
    }

    /// Removes the next loose block; returns whether there was one.
    pub(crate) fn remove_loose(
        &self,
        table: Option<&mut Writing<'_>>,
        rule: &mut Rule,
        removed: &mut Removed,
    ) -> Result<bool, Fault> {
        let loose = rule.loose(&Both(&*self.files(), &table.as_deref()), Reason::Window, i64::MAX)?;
        let Some(block) = loose else { return Ok(false) };
        match self.evict(table, rule, &Victim { block, pinned: false }, removed) {
            // The file stays for now; the transaction has nothing to do with it.
            Err(Fault::Refused(_)) if block.kind == Kind::File => {
                self.metrics.collect_failures.inc();
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    /// Removes loose blocks on a full disk, for rows of so many bytes; returns the bytes that went.
    fn make_own_room(&self, state: &mut State, bytes: u64) -> u64 {
        let made = self.with_rows(state, true, |mut table, rule| {
            let mut removed = Removed::default();
            while removed.bytes < bytes && self.remove_loose(table.as_deref_mut(), rule, &mut removed)? {}
            Ok(removed)
        });
        // A disk that does not even take a removal has no room.
        let removed = made.unwrap_or_default();
        self.count(&removed);
        removed.bytes
    }

    /// Does some work on the rows in one transaction, and on the sums with it. A database that fails is brought back into use.
    pub(crate) fn write_rows<T>(
        &self,
        state: &mut State,
        durable: bool,
        work: impl FnOnce(&mut Writing<'_>, &mut Rule) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.mend(state)?;
        let open = self.database.writable()?;
        let mut rule = state.rule.clone();
        match open.write(durable, |table| work(table, &mut rule)) {
            Ok(done) => {
                state.rule = rule;
                self.measure(state);
                Ok(done)
            }
            Err(fault) => {
                // Files may be gone, and removals that were not durable are back.
                self.recover(state, &open, &fault)?;
                Err(fault)
            }
        }
    }

    pub(crate) fn count(&self, removed: &Removed) {
        self.metrics.collected_blocks.inc_by(removed.blocks as u64);
        self.metrics.collected_bytes.inc_by(removed.bytes);
        self.metrics.pinned_removed.inc_by(removed.pinned);
    }

    /// Copies small blocks that are files into the tables, with their reasons, times and holds; those that cannot be read stay.
    fn move_files(&self, table: &mut Writing<'_>, rule: &mut Rule, cids: &[ContentId]) -> Result<Vec<Block>, Fault> {
        let mut moved = Vec::new();
        for cid in cids {
            let Some(entry) = self.files().get(cid).copied() else { continue };
            let Ok(bytes) = std::fs::read(files::path(&self.root, cid, entry.reason)) else { continue };
            if !cid.matches(&bytes) || table.block(cid)?.is_some() {
                continue;
            }
            let file = entry.block(*cid);
            let mut row = table.insert(file.place, false, &bytes)?;
            if file.held {
                for name in files::holders(&self.root, cid)? {
                    row = table.hold(&name, cid)?.map_or(row, |(_, held)| held);
                }
            }
            rule.add(&row);
            moved.push(file);
        }
        Ok(moved)
    }

    /// Removes files that are rows now. One that the disk does not remove is taken off at the next start.
    fn end_files(&self, state: &mut State, moved: &[Block]) {
        let mut files = self.files();
        for block in moved {
            if let Some(block) = files.take(&block.place.cid) {
                state.rule.sub(&block);
            }
            let removed = self.disk.remove(&files::path(&self.root, &block.place.cid, block.place.reason));
            if removed.is_err() || (block.held && self.drop_holds(&block.place.cid).is_err()) {
                self.metrics.collect_failures.inc();
            }
        }
    }

    /// Returns true where the block is a file and kept for this reason or a stronger one; puts it under the stronger.
    fn strengthen_file(&self, cid: &ContentId, reason: Reason) -> Result<bool, ContentError> {
        // Most are no files at all, and need not wait for whoever writes.
        if self.files().get(cid).is_none() {
            return Ok(false);
        }
        let mut state = self.state();
        let mut files = self.files();
        let Some(entry) = files.get(cid).copied() else { return Ok(false) };
        if entry.reason >= reason {
            return Ok(true);
        }
        let paths = [entry.reason, reason].map(|reason| files::path(&self.root, cid, reason));
        let [from, to] = &paths;
        let kept = SystemTime::now();
        let renamed = self.disk.touch(from, kept).and_then(|()| self.disk.rename(from, to));
        let done = renamed.and_then(|()| self.disk.sync_folder(to.parent().unwrap_or(&self.root)));
        let stronger = Entry { reason, kept: nanos(kept), ..entry };
        match done {
            Ok(()) => replace(&mut files, &mut state, *cid, stronger),
            // Somebody has removed the file: it is written again.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !to.exists() => {
                files.take(cid).iter().for_each(|block| state.rule.sub(block));
                self.measure(&state);
                return Ok(false);
            }
            Err(error) => {
                if to.exists() {
                    replace(&mut files, &mut state, *cid, stronger);
                }
                self.measure(&state);
                return Err(ContentError::io(to, error));
            }
        }
        self.measure(&state);
        Ok(true)
    }

    /// Sets room aside, writes a file and adds it to the stock.
    fn write(&self, cid: &ContentId, bytes: &[u8], reason: Reason) -> Result<(), ContentError> {
        let (kept, cost) = (SystemTime::now(), file_cost(bytes.len() as u64));
        let claim = self.claim(cost, reason, nanos(kept))?;
        let path = files::path(&self.root, cid, reason);
        let mut written = self.write_file(cid, &path, bytes, kept);
        // The disk itself is full: what may go makes room.
        let room = if written.as_ref().is_err_and(is_full) { self.make_room(cost) } else { Ok(0) };
        if room.is_ok_and(|freed| freed > 0) {
            written = self.write_file(cid, &path, bytes, kept);
        }
        let mut state = self.state();
        state.rule.settle(&claim);
        let mut files = self.files();
        let kept_whole = match written {
            // Another thread may have put the same block meanwhile, and a third collected it.
            Ok(()) if path.exists() => self.add(&mut files, &mut state, *cid, reason, (kept, cost)),
            Ok(()) => Err(ContentError::io(&path, io::ErrorKind::NotFound.into())),
            Err(error) if is_full(&error) => Err(ContentError::Full { bytes: cost, held: state.rule.bytes() }),
            Err(error) => Err(ContentError::io(&path, error)),
        };
        self.measure(&state);
        kept_whole
    }

    /// Adds a written file to the stock, under the stronger reason where another thread was there too.
    fn add(
        &self,
        files: &mut Files,
        state: &mut State,
        cid: ContentId,
        reason: Reason,
        (kept, cost): (SystemTime, u64),
    ) -> Result<(), ContentError> {
        let before = files.get(&cid).copied();
        if let Some(other) = before.filter(|other| other.reason != reason) {
            let weaker = files::path(&self.root, &cid, other.reason.min(reason));
            self.disk.remove(&weaker).map_err(|e| ContentError::io(&weaker, e))?;
        }
        if before.is_none_or(|other| other.reason <= reason) {
            let holds = before.map_or(0, |other| other.holds);
            replace(files, state, cid, Entry { reason, kept: nanos(kept), cost, holds });
        }
        Ok(())
    }

    /// Writes a block beside its place and renames it there, durably.
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

    /// Sets room aside for a file, removing what yields to it.
    fn claim(&self, cost: u64, reason: Reason, kept: i64) -> Result<Claim, ContentError> {
        let mut state = self.state();
        let mut removed = Removed::default();
        if !state.rule.fits(cost, reason, kept) {
            let cleared = self.with_rows(&mut state, false, |mut table, rule| {
                while !rule.fits(cost, reason, kept) {
                    let victim = rule.victim(&Both(&*self.files(), &table.as_deref()), cost, reason, kept)?;
                    let Some(victim) = victim else { break };
                    self.evict(table.as_deref_mut(), rule, &victim, &mut removed)?;
                }
                Ok(())
            });
            cleared.map_err(|fault| self.database.error(fault))?;
            self.count(&removed);
        }
        let held = state.rule.bytes();
        state.rule.claim(cost, reason, kept).ok_or(ContentError::Full { bytes: cost, held })
    }

    /// Does some work in a transaction, or without one where there are no rows.
    pub(crate) fn with_rows<T>(
        &self,
        state: &mut State,
        durable: bool,
        work: impl FnOnce(Option<&mut Writing<'_>>, &mut Rule) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.database.current().is_ok_and(|open| open.is_none()) {
            let mut rule = state.rule.clone();
            let done = work(None, &mut rule);
            // Files that went are gone, whatever came after them.
            state.rule = rule;
            self.measure(state);
            return done;
        }
        self.write_rows(state, durable, |table, rule| work(Some(table), rule))
    }

    fn collect_beside_file(&self) -> Result<(), ContentError> {
        if self.bytes() <= self.limits.low_water_bytes() {
            return Ok(());
        }
        self.collect_some(COLLECT_BESIDE_PUT_MAX).map(drop)
    }

    /// Removes a file and its holds.
    pub(crate) fn remove_file(&self, files: &mut Files, block: &Block) -> Result<(), ContentError> {
        let path = files::path(&self.root, &block.place.cid, block.place.reason);
        self.disk.remove(&path).map_err(|e| ContentError::io(&path, e))?;
        files.take(&block.place.cid);
        if block.held { self.drop_holds(&block.place.cid) } else { Ok(()) }
    }

    fn drop_holds(&self, cid: &ContentId) -> Result<(), ContentError> {
        let holds = self.root.join(HOLDS);
        for holder in files::holders(&self.root, cid)? {
            let path = holds.join(holder).join(cid.to_string());
            self.disk.remove(&path).map_err(|e| ContentError::io(&path, e))?;
        }
        Ok(())
    }
}

/// Takes a row away that is there for a weaker reason. Returns whether the new one is held, or nothing where none is needed.
fn take_weaker(
    table: &mut Writing<'_>,
    rule: &mut Rule,
    cid: &ContentId,
    reason: Reason,
) -> Result<Option<bool>, Fault> {
    let Some(before) = table.block(cid)? else { return Ok(Some(false)) };
    if before.place.reason >= reason {
        return Ok(None);
    }
    table.take_row(cid)?;
    rule.sub(&before);
    Ok(Some(before.held))
}

fn replace(files: &mut Files, state: &mut State, cid: ContentId, entry: Entry) {
    if let Some(before) = files.take(&cid) {
        state.rule.sub(&before);
    }
    let block = files.insert(cid, entry);
    state.rule.add(&block);
}

/// Returns true where the disk, or what this process may have of it, is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
