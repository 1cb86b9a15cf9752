//! Holds, removal and collection.

use std::time::SystemTime;

use openmesh_primitives::ContentId;

use crate::Reason;
use crate::fault::Fault;
use crate::files::{Entry, Files, HOLDS};
use crate::keep::Removed;
use crate::limits::{COLLECT_BLOCKS_MAX, ContentError, HOLDER_BYTES_MAX};
use crate::rule::Both;
use crate::store::{BlockStore, State};

/// Outcome of a step of collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blocks removed.
    pub blocks: usize,
    /// Bytes of the disk that they took.
    pub bytes: u64,
    /// There is more to collect.
    pub more: bool,
}

impl BlockStore {
    /// Removes a block, pinned or not; returns whether it was held. A crash may take it back. Fails where the file system refuses.
    pub fn remove(&self, cid: &ContentId) -> Result<bool, ContentError> {
        let mut state = self.state();
        let mut removed = Removed::default();
        let file = self.files().get(cid).map(|entry| entry.block(*cid));
        if let Some(block) = file {
            self.remove_file(&mut self.files(), &block)?;
            state.rule.sub(&block);
            removed = Removed { blocks: 1, bytes: block.cost, pinned: 0 };
        } else if self.has_rows() {
            let taken = self.write_rows(&mut state, false, |table, rule| {
                let block = table.take(cid)?;
                block.iter().for_each(|block| rule.sub(block));
                Ok(block)
            });
            if let Some(block) = taken.map_err(|fault| self.database.error(fault))? {
                removed = Removed { blocks: 1, bytes: block.cost, pinned: 0 };
            }
        }
        self.count(&removed);
        self.measure(&state);
        Ok(removed.blocks > 0)
    }

    fn has_rows(&self) -> bool {
        !self.database.current().is_ok_and(|open| open.is_none())
    }

    /// Pins a block until [`BlockStore::release`] with the same name, over restarts; returns false where it is not held. The
    /// name is of 1 to 64 characters `a-z`, `0-9`, `-` and `_`. Fails with [`ContentError::Holder`], or where the file
    /// system refuses.
    pub fn hold(&self, name: &str, cid: &ContentId) -> Result<bool, ContentError> {
        check_holder(name)?;
        let mut state = self.state();
        if self.files().get(cid).is_some() {
            return self.hold_file(&mut state, name, cid);
        }
        if !self.has_rows() {
            return Ok(false);
        }
        let held = self.write_rows(&mut state, true, |table, rule| {
            let changed = table.hold(name, cid)?;
            if let Some((before, after)) = &changed {
                rule.sub(before);
                rule.add(after);
            }
            Ok(changed.is_some())
        });
        held.map_err(|fault| self.database.error(fault))
    }

    fn hold_file(&self, state: &mut State, name: &str, cid: &ContentId) -> Result<bool, ContentError> {
        let folder = self.root.join(HOLDS).join(name);
        let path = folder.join(cid.to_string());
        if path.exists() {
            return Ok(true);
        }
        let made = self.disk.create_folder(&folder).and_then(|()| self.disk.write(&path, &[], SystemTime::now()));
        let made = made.and_then(|()| self.disk.sync_folder(&folder));
        // It counts from the moment in which it has a name, durable or not.
        if path.exists() {
            self.change_holds(&mut self.files(), state, cid, 1);
        }
        made.map(|()| true).map_err(|e| ContentError::io(&path, e))
    }

    /// Takes a hold off a block; returns whether it was there. Fails as [`BlockStore::hold`] does.
    pub fn release(&self, name: &str, cid: &ContentId) -> Result<bool, ContentError> {
        check_holder(name)?;
        let mut state = self.state();
        let path = self.root.join(HOLDS).join(name).join(cid.to_string());
        if self.files().get(cid).is_some() && path.exists() {
            // A removal that a crash takes back holds the block once more; whoever held it releases again.
            self.disk.remove(&path).map_err(|e| ContentError::io(&path, e))?;
            self.change_holds(&mut self.files(), &mut state, cid, -1);
            return Ok(true);
        }
        if !self.has_rows() {
            return Ok(false);
        }
        let released = self.write_rows(&mut state, true, |table, rule| {
            let changed = table.release(name, cid)?;
            if let Some((before, after)) = &changed {
                rule.sub(before);
                rule.add(after);
            }
            Ok(changed.is_some())
        });
        released.map_err(|fault| self.database.error(fault))
    }

    fn change_holds(&self, files: &mut Files, state: &mut State, cid: &ContentId, change: i32) {
        let Some(entry) = files.get(cid).copied() else { return };
        files.take(cid).iter().for_each(|before| state.rule.sub(before));
        let after = files.insert(*cid, Entry { holds: entry.holds.saturating_add_signed(change), ..entry });
        state.rule.add(&after);
        self.measure(state);
    }

    /// Removes loose blocks while the store is above its low-water mark, [`COLLECT_BLOCKS_MAX`] at most, in one transaction that a
    /// crash may take back. A file that the disk does not remove is counted, and tried again with the next step. Fails where the
    /// database cannot be written to.
    pub fn collect(&self) -> Result<Collected, ContentError> {
        self.collect_some(COLLECT_BLOCKS_MAX)
    }

    pub(crate) fn collect_some(&self, blocks_max: usize) -> Result<Collected, ContentError> {
        let mut state = self.state();
        if state.rule.bytes() <= self.limits.low_water_bytes() {
            return Ok(Collected::default());
        }
        let collected = self.with_rows(&mut state, false, |mut table, rule| {
            let mut removed = Removed::default();
            while removed.blocks < blocks_max {
                if !self.collect_one(table.as_deref_mut(), rule, &mut removed)? {
                    return Ok((removed, false));
                }
            }
            let stock = Both(&*self.files(), &table.as_deref());
            let next = rule.loose(&stock, Reason::Window, i64::MAX)?;
            Ok((removed, next.is_some() && rule.bytes() > self.limits.low_water_bytes()))
        });
        let (removed, more) = collected.map_err(|fault| self.database.error(fault))?;
        self.count(&removed);
        Ok(Collected { blocks: removed.blocks, bytes: removed.bytes, more })
    }

    /// Removes loose files of so many bytes, [`COLLECT_BLOCKS_MAX`] at most, for somebody on the same disk who has no room;
    /// returns the bytes removed. Blocks of the database stay: their room is used again by it, and not given back to the
    /// disk. Fails where the file system refuses; what was removed before stays removed.
    pub fn make_room(&self, bytes: u64) -> Result<u64, ContentError> {
        let mut state = self.state();
        let (mut freed, mut removed) = (0, Removed::default());
        while freed < bytes && removed.blocks < COLLECT_BLOCKS_MAX {
            let mut files = self.files();
            let loose = state.rule.loose(&*files, Reason::Window, i64::MAX);
            let Some(block) = loose.map_err(|fault: Fault| self.database.error(fault))? else { break };
            self.remove_file(&mut files, &block)?;
            state.rule.sub(&block);
            freed += block.cost;
            removed.blocks += 1;
            removed.bytes += block.cost;
            self.measure(&state);
        }
        self.count(&removed);
        Ok(freed)
    }
}

fn check_holder(name: &str) -> Result<(), ContentError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > HOLDER_BYTES_MAX || !name.bytes().all(plain) {
        return Err(ContentError::Holder(name.to_owned()));
    }
    Ok(())
}
