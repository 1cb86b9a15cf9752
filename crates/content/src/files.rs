//! Blocks that are files of their own: their stock in memory, and how their names say what it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmesh_primitives::ContentId;

use crate::Reason;
use crate::disk::entries;
use crate::fault::Fault;
use crate::limits::{ContentError, Limits};
use crate::rule::{Block, Kind, Place, Stock, Sum};

pub(crate) const INCOMING: &str = "incoming";
pub(crate) const QUARANTINE: &str = "quarantine";
pub(crate) const HOLDS: &str = "holds";

/// A file of the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) reason: Reason,
    /// Time at which it was kept, nanoseconds since 1970.
    pub(crate) kept: i64,
    /// Bytes that count against the limit: of a small one those of the row that it becomes.
    pub(crate) cost: u64,
    /// Number of holders.
    pub(crate) holds: u32,
}

impl Entry {
    pub(crate) const fn block(&self, cid: ContentId) -> Block {
        let place = Place { reason: self.reason, kept: self.kept, cid };
        Block { place, held: self.holds > 0, cost: self.cost, kind: Kind::File }
    }
}

/// The files in stock.
#[derive(Debug, Default)]
pub(crate) struct Files {
    blocks: BTreeMap<ContentId, Entry>,
    loose_or_recent: BTreeSet<Place>,
    held: BTreeSet<Place>,
}

impl Files {
    pub(crate) fn get(&self, cid: &ContentId) -> Option<&Entry> {
        self.blocks.get(cid)
    }

    pub(crate) fn cids(&self) -> impl Iterator<Item = &ContentId> {
        self.blocks.keys()
    }

    /// Puts a file into stock, in place of an entry that it has.
    pub(crate) fn insert(&mut self, cid: ContentId, entry: Entry) -> Block {
        self.take(&cid);
        let block = entry.block(cid);
        self.order(block.held).insert(block.place);
        self.blocks.insert(cid, entry);
        block
    }

    /// Takes a file off the stock.
    pub(crate) fn take(&mut self, cid: &ContentId) -> Option<Block> {
        let block = self.blocks.remove(cid)?.block(*cid);
        self.order(block.held).remove(&block.place);
        Some(block)
    }

    fn order(&mut self, held: bool) -> &mut BTreeSet<Place> {
        if held { &mut self.held } else { &mut self.loose_or_recent }
    }
}

impl Stock for Files {
    fn first(&self, held: bool, from: &Place) -> Result<Option<Block>, Fault> {
        let order = if held { &self.held } else { &self.loose_or_recent };
        Ok(order.range(from..).next().map(|place| self.blocks[&place.cid].block(place.cid)))
    }

    fn sum(&self, held: bool, reason: Reason, from: i64, to: i64) -> Result<Sum, Fault> {
        let order = if held { &self.held } else { &self.loose_or_recent };
        let mut sum = Sum::default();
        if from < to {
            for place in order.range(Place::lowest(reason, from)..Place::lowest(reason, to)) {
                sum.add(Sum { blocks: 1, cost: self.blocks[&place.cid].cost });
            }
        }
        Ok(sum)
    }
}

/// Stock of a folder, and those of its files that belong into the database. Fails where the file system refuses.
pub(crate) fn stock(root: &Path, limits: &Limits) -> Result<(Files, Vec<ContentId>), ContentError> {
    let (mut files, mut small) = (Files::default(), Vec::new());
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
            let other = files.get(&cid).map(|entry| entry.reason);
            if let Some(other) = other {
                let weaker = path(root, &cid, other.min(reason));
                fs::remove_file(&weaker).map_err(|e| ContentError::io(&weaker, e))?;
            } else if limits.is_packed(about.len()) {
                small.push(cid);
            }
            if other.is_none_or(|other| other < reason) {
                files.insert(cid, Entry { reason, kept: nanos(kept), cost: limits.disk_bytes(about.len()), holds: 0 });
            }
        }
    }
    Ok((files, small))
}

/// Counts the holds of files. Fails where the file system refuses.
pub(crate) fn count_holds(root: &Path, files: &mut Files) -> Result<(), ContentError> {
    let holds = root.join(HOLDS);
    if !holds.exists() {
        return Ok(());
    }
    for holder in entries(&holds).map_err(|e| ContentError::io(&holds, e))? {
        for file in entries(&holder).map_err(|e| ContentError::io(&holder, e))? {
            let Some(cid) = name(&file).and_then(|name| name.parse().ok()) else { continue };
            if let Some(entry) = files.get(&cid).copied() {
                files.insert(cid, Entry { holds: entry.holds + 1, ..entry });
            } else {
                // The block went in the moment of a crash, or lies in the database with its holds.
                fs::remove_file(&file).map_err(|e| ContentError::io(&file, e))?;
            }
        }
    }
    Ok(())
}

/// Names of those who hold a file. Fails where the file system refuses.
pub(crate) fn holders(root: &Path, cid: &ContentId) -> Result<Vec<String>, ContentError> {
    let holds = root.join(HOLDS);
    let folders = entries(&holds).map_err(|e| ContentError::io(&holds, e))?;
    let holding = folders.iter().filter(|folder| folder.join(cid.to_string()).exists());
    Ok(holding.filter_map(|folder| name(folder)).map(str::to_owned).collect())
}

/// The place of a block's file.
pub(crate) fn path(root: &Path, cid: &ContentId, reason: Reason) -> PathBuf {
    let name = cid.to_string();
    let shard = &name[name.len() - 2..];
    root.join(shard).join(format!("{name}{}", suffix(reason)))
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

pub(crate) fn nanos(time: SystemTime) -> i64 {
    let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
