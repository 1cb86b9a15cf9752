//! The rule of retention: which block yields to which. Pure: times, sizes and the stock are handed in.
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
//!
//! The rule sees the blocks as [`Stock`]s: one in memory for files, one in the database for rows, and both merged by
//! [`Both`]. It keeps nothing but sums itself.

use openmesh_primitives::{ContentId, Digest};

use crate::Reason;
use crate::fault::Fault;
use crate::limits::Limits;

/// Place in the order of yielding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) reason: Reason,
    /// Time at which it was kept, nanoseconds since 1970.
    pub(crate) kept: i64,
    pub(crate) cid: ContentId,
}

impl Place {
    /// The lowest place of a reason and time.
    pub(crate) const fn lowest(reason: Reason, kept: i64) -> Place {
        Place { reason, kept, cid: ContentId::from_digest(Digest([0; 32])) }
    }

    /// The lowest place of all.
    pub(crate) const LOWEST: Place = Place::lowest(Reason::Cached, i64::MIN);
}

/// Form in which a block lies on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Row,
}

/// A block as the rule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) place: Place,
    pub(crate) held: bool,
    /// Bytes that it takes of the disk.
    pub(crate) cost: u64,
    pub(crate) kind: Kind,
}

/// Number of some blocks, and the bytes that they take of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) blocks: u64,
    pub(crate) cost: u64,
}

impl Sum {
    pub(crate) const fn add(&mut self, other: Sum) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.cost = self.cost.saturating_add(other.cost);
    }

    pub(crate) const fn sub(&mut self, other: Sum) {
        self.blocks = self.blocks.saturating_sub(other.blocks);
        self.cost = self.cost.saturating_sub(other.cost);
    }
}

/// Blocks in the order of yielding, those that are held apart from the others. Fails where it cannot be read.
pub(crate) trait Stock {
    /// The first block at a place or after it.
    fn first(&self, held: bool, from: &Place) -> Result<Option<Block>, Fault>;

    /// Sum of the blocks of a reason that were kept from a time on and before another.
    fn sum(&self, held: bool, reason: Reason, from: i64, to: i64) -> Result<Sum, Fault>;
}

/// Two stocks as one.
pub(crate) struct Both<'a, A, B>(pub(crate) &'a A, pub(crate) &'a B);

impl<A: Stock, B: Stock> Stock for Both<'_, A, B> {
    fn first(&self, held: bool, from: &Place) -> Result<Option<Block>, Fault> {
        let both = [self.0.first(held, from)?, self.1.first(held, from)?];
        Ok(both.into_iter().flatten().min_by_key(|block| block.place))
    }

    fn sum(&self, held: bool, reason: Reason, from: i64, to: i64) -> Result<Sum, Fault> {
        let mut sum = self.0.sum(held, reason, from, to)?;
        sum.add(self.1.sum(held, reason, from, to)?);
        Ok(sum)
    }
}

/// No blocks, or those of another stock.
impl<S: Stock> Stock for Option<S> {
    fn first(&self, held: bool, from: &Place) -> Result<Option<Block>, Fault> {
        self.as_ref().map_or(Ok(None), |stock| stock.first(held, from))
    }

    fn sum(&self, held: bool, reason: Reason, from: i64, to: i64) -> Result<Sum, Fault> {
        self.as_ref().map_or(Ok(Sum::default()), |stock| stock.sum(held, reason, from, to))
    }
}

impl<S: Stock> Stock for &S {
    fn first(&self, held: bool, from: &Place) -> Result<Option<Block>, Fault> {
        (**self).first(held, from)
    }

    fn sum(&self, held: bool, reason: Reason, from: i64, to: i64) -> Result<Sum, Fault> {
        (**self).sum(held, reason, from, to)
    }
}

/// A block that has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) block: Block,
    /// It was pinned: a promise is broken for the sake of a newer window.
    pub(crate) pinned: bool,
}

/// Room for a block that is being written.
#[derive(Debug)]
#[must_use = "room that is set aside has to be given back"]
pub(crate) struct Claim {
    cost: u64,
    recent: bool,
}

/// Sums of the stock, and the rule over them.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    max: u64,
    reserve: u64,
    /// Start of the retention window; before it is known every window is recent.
    since: Option<i64>,
    all: Sum,
    /// Of recent windows among them.
    recent: Sum,
    /// Of what is held and not recent.
    held: Sum,
    /// Blocks being written, and recent windows among them, in bytes.
    claimed: u64,
    claimed_recent: u64,
}

impl Rule {
    pub(crate) fn new(limits: &Limits) -> Rule {
        let (all, recent, held) = Default::default();
        let (max, reserve) = (limits.store_bytes_max, limits.reserve_bytes());
        Rule { max, reserve, since: None, all, recent, held, claimed: 0, claimed_recent: 0 }
    }

    pub(crate) const fn blocks(&self) -> u64 {
        self.all.blocks
    }

    /// Bytes of all blocks, and of those being written.
    pub(crate) const fn bytes(&self) -> u64 {
        self.all.cost.saturating_add(self.claimed)
    }

    pub(crate) const fn recent_bytes(&self) -> u64 {
        self.recent.cost.saturating_add(self.claimed_recent)
    }

    /// Bytes of blocks that are held and not recent.
    pub(crate) const fn held_bytes(&self) -> u64 {
        self.held.cost
    }

    pub(crate) const fn since(&self) -> Option<i64> {
        self.since
    }

    /// Counts a block that came into stock.
    pub(crate) fn add(&mut self, block: &Block) {
        self.parts(block, Sum::add);
    }

    /// Counts a block that left the stock.
    pub(crate) fn sub(&mut self, block: &Block) {
        self.parts(block, Sum::sub);
    }

    fn parts(&mut self, block: &Block, count: impl Fn(&mut Sum, Sum)) {
        let one = Sum { blocks: 1, cost: block.cost };
        count(&mut self.all, one);
        if self.is_recent(&block.place) {
            count(&mut self.recent, one);
        } else if block.held {
            count(&mut self.held, one);
        }
    }

    /// Counts the whole stock anew.
    pub(crate) fn recount(&mut self, stock: &impl Stock) -> Result<(), Fault> {
        let (mut all, mut recent, mut held) = <(Sum, Sum, Sum)>::default();
        for (is_held, reason) in classes() {
            let sum = stock.sum(is_held, reason, i64::MIN, i64::MAX)?;
            all.add(sum);
            let new = match reason {
                Reason::Window => stock.sum(is_held, reason, self.since.unwrap_or(i64::MIN), i64::MAX)?,
                Reason::Cached | Reason::Segment => Sum::default(),
            };
            recent.add(new);
            if is_held {
                held.add(sum);
                held.sub(new);
            }
        }
        (self.all, self.recent, self.held) = (all, recent, held);
        Ok(())
    }

    /// Moves the start of the retention window; it stays where it is where the stock cannot be read.
    pub(crate) fn retain_since(&mut self, stock: &impl Stock, since: i64) -> Result<(), Fault> {
        let before = self.since.unwrap_or(i64::MIN);
        let (from, to) = (before.min(since), before.max(since));
        let loose = stock.sum(false, Reason::Window, from, to)?;
        let held = stock.sum(true, Reason::Window, from, to)?;
        self.since = Some(since);
        let mut between = loose;
        between.add(held);
        if since > before {
            self.recent.sub(between);
            self.held.add(held);
        } else {
            self.recent.add(between);
            self.held.sub(held);
        }
        Ok(())
    }

    fn is_recent(&self, place: &Place) -> bool {
        place.reason == Reason::Window && self.since.is_none_or(|since| place.kept >= since)
    }

    /// Returns true when there is room for a block.
    pub(crate) fn fits(&self, cost: u64, reason: Reason, kept: i64) -> bool {
        let others = self.bytes().saturating_sub(self.recent_bytes());
        self.bytes().saturating_add(cost) <= self.max
            && (self.is_recent(&Place::lowest(reason, kept))
                || others.saturating_add(cost) <= self.max.saturating_sub(self.reserve))
    }

    /// Sets room aside for a block, if there is any; else `None`, and [`Rule::victim`] says what has to go.
    pub(crate) fn claim(&mut self, cost: u64, reason: Reason, kept: i64) -> Option<Claim> {
        let recent = self.is_recent(&Place::lowest(reason, kept));
        self.fits(cost, reason, kept).then(|| {
            self.claimed += cost;
            self.claimed_recent += if recent { cost } else { 0 };
            Claim { cost, recent }
        })
    }

    /// Gives room back, when the block is in stock or was not written.
    pub(crate) const fn settle(&mut self, claim: &Claim) {
        self.claimed = self.claimed.saturating_sub(claim.cost);
        if claim.recent {
            self.claimed_recent = self.claimed_recent.saturating_sub(claim.cost);
        }
    }

    /// The next block that has to go for one of this size, reason and time; `None` where none may.
    pub(crate) fn victim(
        &self,
        stock: &impl Stock,
        cost: u64,
        reason: Reason,
        kept: i64,
    ) -> Result<Option<Victim>, Fault> {
        // A block that would not fit into an empty store must not empty it.
        if cost > self.max {
            return Ok(None);
        }
        if let Some(block) = self.loose(stock, reason, kept)? {
            return Ok(Some(Victim { block, pinned: false }));
        }
        if !self.is_recent(&Place::lowest(reason, kept)) {
            return Ok(None);
        }
        // Recent windows come last, so the first one that is held is not recent, or none is.
        let held = stock.first(true, &Place::LOWEST)?.filter(|block| !self.is_recent(&block.place));
        let others = self.bytes().saturating_sub(self.recent_bytes());
        let grown = held.filter(|_| others > self.max.saturating_sub(self.reserve));
        let oldest = match (grown, stock.first(false, &Place::LOWEST)?) {
            (Some(grown), _) => Some(grown),
            (None, Some(first)) => Some(first),
            (None, None) => stock.first(true, &Place::lowest(Reason::Window, i64::MIN))?.or(held),
        };
        Ok(oldest.map(|block| Victim { block, pinned: true }))
    }

    /// The first loose block that yields to one of this reason and time.
    pub(crate) fn loose(&self, stock: &impl Stock, reason: Reason, kept: i64) -> Result<Option<Block>, Fault> {
        let first = stock.first(false, &Place::LOWEST)?.filter(|block| !self.is_recent(&block.place));
        Ok(first.filter(|block| (block.place.reason, block.place.kept) < (reason, kept)))
    }
}

/// Time at which the first block of a reason was kept.
pub(crate) fn oldest(stock: &impl Stock, reason: Reason) -> Result<Option<i64>, Fault> {
    let from = Place::lowest(reason, i64::MIN);
    let both = [stock.first(false, &from)?, stock.first(true, &from)?];
    Ok(both.into_iter().flatten().filter(|block| block.place.reason == reason).map(|block| block.place.kept).min())
}

/// All parts of a stock: held or not, of each reason.
fn classes() -> impl Iterator<Item = (bool, Reason)> {
    let reasons = [Reason::Cached, Reason::Segment, Reason::Window];
    [false, true].into_iter().flat_map(move |held| reasons.map(|reason| (held, reason)))
}
