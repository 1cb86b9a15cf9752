//! The stock of a store and the rule of retention: which block yields to which. Pure: times and sizes are handed in.
//!
//! # The rule
//! A block is **pinned** while somebody holds it, or while it is a chunk of a *recent* window: kept since the start of
//! the retention window, which is handed in. Everything else is **loose**, and yields in one order: cached blocks, then
//! raw segments, then old windows; among equals those that were kept first. A block only takes the place of one that
//! yields before it.
//!
//! Recent windows always have room, since without them nobody can attest: the reserve is theirs alone; what is held by
//! somebody but no longer recent may be removed where it has grown into the reserve; and where recent windows alone
//! are more than the whole store, the oldest of them goes. Both are breaches of a promise, reported as such.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_primitives::ContentId;

use crate::Reason;

/// A block of the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) bytes: u64,
    pub(crate) reason: Reason,
    /// Time at which it was kept, nanoseconds since 1970.
    pub(crate) kept: i64,
    /// Number of holders.
    pub(crate) holds: u32,
}

/// Place in the order of yielding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    reason: Reason,
    kept: i64,
    cid: ContentId,
}

/// A block that has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) cid: ContentId,
    /// It was pinned: a promise is broken for the sake of a newer window.
    pub(crate) pinned: bool,
}

/// Room for a block that is being written.
#[derive(Debug)]
pub(crate) struct Claim {
    bytes: u64,
    recent: bool,
}

/// The stock.
#[derive(Debug, Default)]
pub(crate) struct Index {
    blocks: BTreeMap<ContentId, Entry>,
    loose_or_recent: BTreeSet<Key>,
    held: BTreeSet<Key>,
    /// Start of the retention window; before it is known every window is recent.
    since: Option<i64>,
    /// Of all blocks, and of those being written.
    bytes: u64,
    /// Of recent windows among them.
    recent_bytes: u64,
}

impl Index {
    pub(crate) fn get(&self, cid: &ContentId) -> Option<&Entry> {
        self.blocks.get(cid)
    }

    pub(crate) fn cids(&self) -> impl Iterator<Item = &ContentId> {
        self.blocks.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) const fn recent_bytes(&self) -> u64 {
        self.recent_bytes
    }

    pub(crate) const fn since(&self) -> Option<i64> {
        self.since
    }

    /// Bytes of blocks that are held and not recent.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held.iter().filter(|key| !self.is_recent(key)).map(|key| self.blocks[&key.cid].bytes).sum()
    }

    /// Time at which the first block of a reason was kept.
    pub(crate) fn oldest(&self, reason: Reason) -> Option<i64> {
        let first = |set: &BTreeSet<Key>| set.range(lowest(reason, i64::MIN)..).next().copied();
        let both = [first(&self.loose_or_recent), first(&self.held)];
        both.into_iter().flatten().filter(|key| key.reason == reason).map(|key| key.kept).min()
    }

    /// Adds a block, or puts it under another reason or time.
    pub(crate) fn insert(&mut self, cid: ContentId, bytes: u64, reason: Reason, kept: i64) {
        let holds = self.take(&cid).map_or(0, |entry| entry.holds);
        self.place(cid, Entry { bytes, reason, kept, holds });
    }

    /// Takes a block off the stock.
    pub(crate) fn take(&mut self, cid: &ContentId) -> Option<Entry> {
        let entry = self.blocks.remove(cid)?;
        let key = key(*cid, &entry);
        if entry.holds > 0 { &mut self.held } else { &mut self.loose_or_recent }.remove(&key);
        self.bytes -= entry.bytes;
        if self.is_recent(&key) {
            self.recent_bytes -= entry.bytes;
        }
        Some(entry)
    }

    fn place(&mut self, cid: ContentId, entry: Entry) {
        let key = key(cid, &entry);
        if entry.holds > 0 { &mut self.held } else { &mut self.loose_or_recent }.insert(key);
        self.bytes += entry.bytes;
        if self.is_recent(&key) {
            self.recent_bytes += entry.bytes;
        }
        self.blocks.insert(cid, entry);
    }

    /// Adds holders to a block, or takes some off; false where the block is not in stock.
    pub(crate) fn hold(&mut self, cid: &ContentId, change: i32) -> bool {
        let Some(entry) = self.take(cid) else { return false };
        self.place(*cid, Entry { holds: entry.holds.saturating_add_signed(change), ..entry });
        true
    }

    /// Moves the start of the retention window.
    pub(crate) fn retain_since(&mut self, since: i64) {
        let before = self.since.replace(since).unwrap_or(i64::MIN);
        let (from, to) = (before.min(since), before.max(since));
        let range = lowest(Reason::Window, from)..lowest(Reason::Window, to);
        let both = self.loose_or_recent.range(range.clone()).chain(self.held.range(range));
        let bytes: u64 = both.map(|key| self.blocks[&key.cid].bytes).sum();
        if since > before {
            self.recent_bytes -= bytes;
        } else {
            self.recent_bytes += bytes;
        }
    }

    fn is_recent(&self, key: &Key) -> bool {
        key.reason == Reason::Window && self.since.is_none_or(|since| key.kept >= since)
    }

    /// Sets room aside for a block, if there is any; else `None`, and [`Index::victim`] says what has to go.
    pub(crate) fn claim(&mut self, bytes: u64, reason: Reason, kept: i64, max: u64, reserve: u64) -> Option<Claim> {
        let recent = self.is_recent(&lowest(reason, kept));
        let others = self.bytes - self.recent_bytes;
        let fits = self.bytes.saturating_add(bytes) <= max
            && (recent || others.saturating_add(bytes) <= max.saturating_sub(reserve));
        fits.then(|| {
            self.bytes += bytes;
            self.recent_bytes += if recent { bytes } else { 0 };
            Claim { bytes, recent }
        })
    }

    /// Gives room back, when the block is in stock or was not written.
    pub(crate) const fn settle(&mut self, claim: &Claim) {
        self.bytes -= claim.bytes;
        if claim.recent {
            self.recent_bytes -= claim.bytes;
        }
    }

    /// The next block that has to go for one of this reason and time; `None` where none may.
    pub(crate) fn victim(&self, reason: Reason, kept: i64, max: u64, reserve: u64) -> Option<Victim> {
        if let Some(loose) = self.loose(reason, kept) {
            return Some(Victim { cid: loose, pinned: false });
        }
        if !self.is_recent(&lowest(reason, kept)) {
            return None;
        }
        let held = || self.held.iter().find(|key| !self.is_recent(key));
        let others = self.bytes - self.recent_bytes;
        let broken = if others > max.saturating_sub(reserve) { held() } else { None };
        let oldest =
            || self.loose_or_recent.first().or_else(|| self.held.range(lowest(Reason::Window, i64::MIN)..).next());
        broken.or_else(oldest).or_else(held).map(|key| Victim { cid: key.cid, pinned: true })
    }

    /// The first loose block that yields to one of this reason and time.
    pub(crate) fn loose(&self, reason: Reason, kept: i64) -> Option<ContentId> {
        let first = self.loose_or_recent.first().filter(|key| !self.is_recent(key))?;
        ((first.reason, first.kept) < (reason, kept)).then_some(first.cid)
    }
}

const fn key(cid: ContentId, entry: &Entry) -> Key {
    Key { reason: entry.reason, kept: entry.kept, cid }
}

/// The lowest key of a reason and time.
const fn lowest(reason: Reason, kept: i64) -> Key {
    Key { reason, kept, cid: ContentId::from_digest(openmesh_primitives::Digest([0; 32])) }
}
