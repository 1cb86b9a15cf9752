//! The depth to which a book is known, and the way to a deeper one without a break.
//!
//! A snapshot tells the best thousand levels of a side. What lies deeper is known only as far as it has changed since, so
//! the known part ends where the snapshot ended, and a price that moves comes near that end within minutes. A new
//! connection would bring a new snapshot, but every collector would open one at the same moment, and nobody would cover the
//! windows meanwhile. So a second snapshot is asked for while the book stays in step: the changes that are applied until it
//! comes are kept, those that it does not hold yet are applied to it, and it takes the book's place.
//!
//! Both are then the same book at the same update. Where they differ in what both know, one of them is wrong, and which of
//! them cannot be told: that is a gap.

use openmesh_market::book::{BINANCE_SNAPSHOT_LIMITS, OrderBook};
use openmesh_market::event::{Level, Side};
use openmesh_primitives::{Decimal, Timestamp};

use super::change::Change;

/// Known levels of a side below which a deeper snapshot is asked for: ten times what windows need.
pub(super) const KNOWN_MIN: usize = 200;

/// Milliseconds after which a deeper snapshot is asked for again.
pub(super) const ASK_MS: i64 = 10_000;

/// Changes that are kept while a deeper snapshot is awaited: far more than come until it is asked for again.
const KEPT_MAX: usize = 4_096;

/// A snapshot.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub last: u64,
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
}

/// The depth to which a book is known.
#[derive(Default)]
pub(super) struct Reach {
    /// Worst known price of each side; `None` where all of it is known.
    bid: Option<Decimal>,
    ask: Option<Decimal>,
    asked: Option<Timestamp>,
    awaited: Option<Awaited>,
}

/// A deeper snapshot is on its way.
struct Awaited {
    /// The last update that was applied when it was asked for.
    from: u64,
    /// Changes that were applied since.
    changes: Vec<Change>,
    /// It came, but the stream has not reached it yet.
    ahead: Option<Snapshot>,
}

impl Reach {
    /// Of a book that is what a snapshot said.
    pub(super) fn of(bids: &[Level], asks: &[Level]) -> Reach {
        Reach { bid: end_of(bids), ask: end_of(asks), ..Reach::default() }
    }

    /// Returns true where a deeper snapshot has to be asked for now; from then on changes are kept.
    pub(super) fn ask(&mut self, book: &OrderBook, last: u64, now: Timestamp) -> bool {
        let waited = |then: Timestamp| now.nanos().saturating_sub(then.nanos()) >= ASK_MS * 1_000_000;
        let due = self.asked.is_none_or(waited) && self.is_short(book);
        if due {
            self.asked = Some(now);
            self.awaited = Some(Awaited { from: last, changes: Vec::new(), ahead: None });
        }
        due
    }

    fn is_short(&self, book: &OrderBook) -> bool {
        let nth = |side: Side| book.levels(side).nth(KNOWN_MIN - 1).map(|level| level.0);
        let bids = self.bid.is_some_and(|end| nth(Side::Buy).is_none_or(|price| price < end));
        let asks = self.ask.is_some_and(|end| nth(Side::Sell).is_none_or(|price| price > end));
        bids || asks
    }

    /// Remembers a change that was applied, where a snapshot is on its way.
    pub(super) fn keep(&mut self, change: &Change) {
        if let Some(awaited) = &mut self.awaited {
            awaited.changes.push(change.clone());
            if awaited.changes.len() > KEPT_MAX {
                self.awaited = None;
            }
        }
    }

    /// A snapshot came while the book was in step. What nobody waits for, or is older than what was kept, is left alone.
    pub(super) fn came(&mut self, snapshot: Snapshot) {
        if let Some(awaited) = self.awaited.as_mut().filter(|awaited| snapshot.last >= awaited.from) {
            awaited.ahead = Some(snapshot);
        }
    }

    /// The book known deeper, once the stream has reached the snapshot; `Err` says where the two differ.
    pub(super) fn deeper(&mut self, book: &OrderBook, last: u64) -> Option<Result<OrderBook, String>> {
        let reached = self.awaited.take_if(|awaited| awaited.ahead.as_ref().is_some_and(|s| s.last <= last))?;
        let Snapshot { last: to, bids, asks } = reached.ahead?;
        let (bid, ask) = (end_of(&bids), end_of(&asks));
        let mut deeper = OrderBook::new();
        for (side, end, levels) in [(Side::Buy, bid, &bids), (Side::Sell, ask, &asks)] {
            for (price, size) in levels {
                deeper.set(side, *price, *size);
            }
            for change in reached.changes.iter().filter(|change| change.last > to) {
                let changes = if side == Side::Buy { &change.bids } else { &change.asks };
                // Beyond the snapshot's end it would stand alone in what is not known.
                for (price, size) in changes.iter().filter(|level| is_within(side, level.0, end)) {
                    deeper.set(side, *price, *size);
                }
            }
        }
        for (side, old, new) in [(Side::Buy, self.bid, bid), (Side::Sell, self.ask, ask)] {
            let known = |book: &OrderBook| -> Vec<Level> {
                let both = |price: Decimal| is_within(side, price, old) && is_within(side, price, new);
                book.levels(side).take_while(|level| both(level.0)).copied().collect()
            };
            let (ours, theirs) = (known(book), known(&deeper));
            if ours != theirs {
                let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
                let show = |levels: &[Level]| {
                    levels.get(at).map_or("none".to_owned(), |(price, size)| format!("{size} at {price}"))
                };
                let (ours, theirs) = (show(&ours), show(&theirs));
                let side = if side == Side::Buy { "bid" } else { "ask" };
                return Some(Err(format!(
                    "{side} level {at}: {ours} here, {theirs} in the snapshot that ends with {to}"
                )));
            }
        }
        (self.bid, self.ask) = (bid, ask);
        Some(Ok(deeper))
    }
}

fn end_of(levels: &[Level]) -> Option<Decimal> {
    BINANCE_SNAPSHOT_LIMITS.contains(&levels.len()).then(|| levels.last().map(|level| level.0)).flatten()
}

fn is_within(side: Side, price: Decimal, end: Option<Decimal>) -> bool {
    end.is_none_or(|end| match side {
        Side::Buy => price >= end,
        Side::Sell => price <= end,
    })
}
