//! The book stream: a list of changes that is cut at positions, and the top of the book at each cut.

use openmesh_primitives::{Decimal, Timestamp};

use super::clock::after;
use super::row::{BookRow, Rows};
use super::{Lateness, OPENING_LEVELS, ROWS_MAX, Reason, WindowIndex, WindowLength};
use crate::book::{BINANCE_SNAPSHOT_LIMITS, OrderBook, kept_depth};
use crate::event::{BookDelta, BookSnapshot, Exchange, Level, Side};

/// A book as far as windows need it.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    exchange: Exchange,
    lateness: Lateness,
    book: OrderBook,
    in_step: bool,
    /// Windows that start here or later are covered.
    from: Option<Timestamp>,
    /// Depth to which the book is cut after each message.
    depth: Option<usize>,
    /// Worst price of each side that the snapshot held, where the venue cut it off there.
    known_bid: Option<Decimal>,
    known_ask: Option<Decimal>,
    /// The venue's number of what was applied last.
    sequence: Option<u64>,
    /// Highest effective time.
    high: Option<Timestamp>,
    /// Top of the book at the current window's start; `None` where it was not known.
    opening: Option<Vec<BookRow>>,
    opening_known: bool,
    changes: Vec<BookRow>,
    spoiled: Option<Reason>,
}

impl Levels {
    /// An empty book, out of step.
    pub(super) fn new(exchange: Exchange, lateness: Lateness) -> Levels {
        Levels {
            exchange,
            lateness,
            book: OrderBook::new(),
            in_step: false,
            from: None,
            depth: None,
            known_bid: None,
            known_ask: None,
            sequence: None,
            high: None,
            opening: None,
            opening_known: false,
            changes: Vec::new(),
            spoiled: None,
        }
    }

    /// Returns the time at which coverage starts; `None` while out of step, or before the first sign that the snapshot
    /// lies behind us.
    pub(super) fn from(&self) -> Option<Timestamp> {
        self.from.filter(|_| self.in_step)
    }

    /// Highest effective time so far.
    pub(super) const fn high(&self) -> Option<Timestamp> {
        self.high
    }

    /// In step, but not yet known since when.
    pub(super) const fn is_waiting(&self) -> bool {
        self.in_step && self.from.is_none()
    }

    /// The venue's time has certainly passed the snapshot by `ts`.
    pub(super) fn certain_by(&mut self, ts: Timestamp) {
        if self.is_waiting() {
            self.from = Some(ts);
        }
    }

    /// Everything anew. A snapshot of the very update that was applied last is the same book, known deeper or less deep:
    /// nothing was missed, and the window goes on.
    pub(super) fn snapshot(&mut self, snapshot: &BookSnapshot) {
        self.book.clear();
        for (price, size) in &snapshot.bids {
            self.book.set(Side::Buy, *price, *size);
        }
        for (price, size) in &snapshot.asks {
            self.book.set(Side::Sell, *price, *size);
        }
        let before = std::mem::replace(&mut self.sequence, snapshot.sequence);
        if self.in_step && before.is_some() && before == snapshot.sequence {
            let end = |levels: &[Level]| levels.last().map(|level| level.0);
            self.known_bid = self.known_bid.and(end(&snapshot.bids));
            self.known_ask = self.known_ask.and(end(&snapshot.asks));
            return;
        }
        self.depth = kept_depth(self.exchange, snapshot);
        (self.known_bid, self.known_ask) = match self.exchange.protocol() {
            Exchange::Binance | Exchange::BinanceFutures => (cut_off(&snapshot.bids), cut_off(&snapshot.asks)),
            _ => (None, None),
        };
        self.in_step = true;
        self.from = None;
        self.opening = None;
        self.changes.clear();
        self.spoiled = Some(Reason::Resynchronised);
    }

    /// The effective time of a change that the venue stamped `ts`.
    pub(super) fn effective(&self, ts: Timestamp) -> Timestamp {
        self.high.map_or(ts, |high| high.max(ts))
    }

    /// Applies changes at an effective time, which must lie in the current window.
    pub(super) fn apply(&mut self, delta: &BookDelta, at: Timestamp) {
        self.high = Some(at);
        if !self.in_step {
            return;
        }
        self.sequence = delta.sequence;
        for (side, levels) in [(Side::Buy, &delta.bids), (Side::Sell, &delta.asks)] {
            for (price, size) in levels {
                self.book.set(side, *price, *size);
                if self.changes.len() < ROWS_MAX {
                    self.changes.push(BookRow { opening: false, ts: at, side, price: *price, size: *size });
                } else {
                    self.spoiled = Some(Reason::TooLarge);
                }
            }
        }
        if let Some(depth) = self.depth {
            self.book.truncate(depth);
        }
        // The snapshot was taken before this change, so it holds nothing later, give or take the venue's disorder.
        let proof = after(at, self.lateness.nanos());
        self.from = Some(self.from.map_or(proof, |from| from.min(proof)));
    }

    /// The current window cannot be vouched for.
    pub(super) fn spoil(&mut self, reason: Reason) {
        self.spoiled = Some(reason);
    }

    /// Something may have been missed in the current window, but the book's numbers still run on.
    pub(super) fn doubt(&mut self, reason: Reason) {
        self.from = None;
        self.spoiled = Some(reason);
    }

    /// Changes were missed: nothing holds until the next snapshot.
    pub(super) fn out_of_step(&mut self) {
        self.in_step = false;
        self.sequence = None;
        self.from = None;
        self.opening = None;
        self.changes.clear();
    }

    /// The clock was set back, or windows were skipped: begins a window here.
    pub(super) fn restart(&mut self) {
        self.high = None;
        self.from = None;
        self.opening = None;
        self.changes.clear();
        self.spoiled = None;
    }

    /// Closes a window and opens the next one. `reason` is given where it is not covered for one of this collector's.
    pub(super) fn cut(&mut self, index: WindowIndex, length: WindowLength, reason: Reason) -> Result<Rows, Reason> {
        let covered = self.from().is_some_and(|from| from <= index.start(length));
        let opening = self.opening.take();
        let known = self.opening_known;
        let mut changes = std::mem::take(&mut self.changes);
        let spoiled = self.spoiled.take();
        if self.in_step {
            self.opening = Some(self.top(index.end(length)));
            self.opening_known = self.top_is_known();
        }
        match (opening, spoiled) {
            (_, Some(reason)) => Err(reason),
            (Some(_), None) if covered && !known => Err(Reason::Depth),
            (Some(mut rows), None) if covered => {
                rows.append(&mut changes);
                Ok(Rows::Book(rows))
            }
            _ => Err(reason),
        }
    }

    fn top(&self, ts: Timestamp) -> Vec<BookRow> {
        let side_rows = |side: Side| {
            self.book.levels(side).take(OPENING_LEVELS).map(move |(price, size)| BookRow {
                opening: true,
                ts,
                side,
                price: *price,
                size: *size,
            })
        };
        side_rows(Side::Buy).chain(side_rows(Side::Sell)).collect()
    }

    /// Returns true where the levels of [`Levels::top`] are all there are down to that price.
    fn top_is_known(&self) -> bool {
        let nth = |side: Side| self.book.levels(side).nth(OPENING_LEVELS - 1).map(|level| level.0);
        let bid = self.known_bid.is_none_or(|known| nth(Side::Buy).is_some_and(|price| price >= known));
        let ask = self.known_ask.is_none_or(|known| nth(Side::Sell).is_some_and(|price| price <= known));
        bid && ask
    }
}

/// The worst price of a side that the venue cut off; `None` where the whole side was sent.
fn cut_off(levels: &[Level]) -> Option<Decimal> {
    BINANCE_SNAPSHOT_LIMITS.contains(&levels.len()).then(|| levels.last().map(|level| level.0)).flatten()
}
