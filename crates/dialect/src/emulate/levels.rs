//! Books as the venue's side keeps them: levels with the time and number of orders that some venues send, and the view
//! of the top levels that a depth-limited stream shows.

use std::collections::BTreeMap;

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Timestamp};

/// A level and what else is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Price, in the venue's digits.
    pub price: Decimal,
    /// Size, in the venue's digits.
    pub size: Decimal,
    /// Time of its last change.
    pub at: Timestamp,
    /// Orders that make it up.
    pub orders: u32,
}

/// A changed level; size 0 removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookChange {
    /// Side.
    pub side: Side,
    /// The level after the change.
    pub entry: Entry,
}

/// Bids and asks by price.
#[derive(Clone, Debug, Default)]
pub struct LevelBook {
    bids: BTreeMap<Decimal, Entry>,
    asks: BTreeMap<Decimal, Entry>,
}

impl LevelBook {
    /// Sets or removes a level.
    pub fn apply(&mut self, change: &BookChange) {
        let levels = match change.side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        if change.entry.size.is_zero() {
            levels.remove(&change.entry.price);
        } else {
            // The key is replaced too, because equal prices may be written with other digits.
            levels.remove(&change.entry.price);
            levels.insert(change.entry.price, change.entry);
        }
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Levels of a side, best first.
    pub fn levels(&self, side: Side) -> Box<dyn Iterator<Item = &Entry> + '_> {
        match side {
            Side::Buy => Box::new(self.bids.values().rev()),
            Side::Sell => Box::new(self.asks.values()),
        }
    }

    /// Best level of a side.
    pub fn best(&self, side: Side) -> Option<&Entry> {
        match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        }
        .map(|(_, entry)| entry)
    }

    /// The level at a price.
    pub fn at(&self, side: Side, price: Decimal) -> Option<&Entry> {
        match side {
            Side::Buy => self.bids.get(&price),
            Side::Sell => self.asks.get(&price),
        }
    }

    /// Number of levels of a side.
    pub fn depth(&self, side: Side) -> usize {
        match side {
            Side::Buy => self.bids.len(),
            Side::Sell => self.asks.len(),
        }
    }

    /// Drops what lies deeper than `depth` levels on either side.
    pub fn truncate(&mut self, depth: usize) {
        while self.bids.len() > depth {
            self.bids.pop_first();
        }
        while self.asks.len() > depth {
            self.asks.pop_last();
        }
    }

    /// True where the best bid is at or above the best ask.
    pub fn is_crossed(&self) -> bool {
        matches!((self.best(Side::Buy), self.best(Side::Sell)), (Some(b), Some(a)) if b.price >= a.price)
    }

    /// The top `depth` levels as a book of its own.
    #[must_use]
    pub fn top(&self, depth: usize) -> LevelBook {
        LevelBook {
            bids: self.bids.iter().rev().take(depth).map(|(p, e)| (*p, *e)).collect(),
            asks: self.asks.iter().take(depth).map(|(p, e)| (*p, *e)).collect(),
        }
    }
}

/// The treatment of a level that others push out of a depth-limited stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushedOut {
    /// It is removed in words, size 0 (Bybit, OKX).
    Said,
    /// The client cuts its book to the depth (Kraken).
    Cut,
}

/// The book as a stream of `depth` levels has shown it so far.
#[derive(Clone, Debug)]
pub struct View {
    depth: usize,
    shown: LevelBook,
    /// Messages of this stream so far, the snapshot counted (Bybit's `u`).
    pub messages: u64,
    /// Sequence number of the last message (OKX's `prevSeqId`).
    pub sequence: u64,
}

impl View {
    /// A stream that starts now with a snapshot of `book`.
    pub fn new(depth: usize, book: &LevelBook, sequence: u64) -> View {
        View { depth, shown: book.top(depth), messages: 1, sequence }
    }

    /// The book as shown.
    pub fn shown(&self) -> &LevelBook {
        &self.shown
    }

    /// The changes that lead from what was shown to the top of `book` now; `None` where nothing changed.
    pub fn step(&mut self, book: &LevelBook, sequence: u64, pushed_out: PushedOut) -> Option<Vec<BookChange>> {
        let now = book.top(self.depth);
        let mut changes = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            for entry in self.shown.levels(side) {
                if now.at(side, entry.price).is_none()
                    && (pushed_out == PushedOut::Said || book.at(side, entry.price).is_none())
                {
                    let at = book.best(side).map_or(entry.at, |best| best.at.max(entry.at));
                    let size = Decimal::new(0, entry.size.scale());
                    changes.push(BookChange { side, entry: Entry { size, at, orders: 0, ..*entry } });
                }
            }
            for entry in now.levels(side) {
                if self.shown.at(side, entry.price).is_none_or(|old| old.size != entry.size) {
                    changes.push(BookChange { side, entry: *entry });
                }
            }
        }
        self.shown = now;
        if changes.is_empty() {
            return None;
        }
        self.messages += 1;
        self.sequence = sequence;
        Some(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(bid: bool, price: i64, size: i64) -> BookChange {
        let side = if bid { Side::Buy } else { Side::Sell };
        let entry = Entry { price: Decimal::from(price), size: Decimal::from(size), at: Timestamp(0), orders: 1 };
        BookChange { side, entry }
    }

    fn same(a: &LevelBook, b: &LevelBook) -> bool {
        [Side::Buy, Side::Sell].into_iter().all(|s| a.levels(s).eq_by_level(b.levels(s)))
    }

    trait ByLevel<'a>: Iterator<Item = &'a Entry> + Sized {
        fn eq_by_level(self, other: impl Iterator<Item = &'a Entry>) -> bool {
            let level = |e: &Entry| (e.price, e.size);
            self.map(level).eq(other.map(level))
        }
    }
    impl<'a, I: Iterator<Item = &'a Entry>> ByLevel<'a> for I {}

    proptest! {
        /// A client that follows the stream by the venue's rule always holds the top of the book.
        #[test]
        fn a_client_of_a_view_holds_the_top(
            depth in 1usize..6,
            said in any::<bool>(),
            batches in proptest::collection::vec(
                proptest::collection::vec((any::<bool>(), 0i64..25, 0i64..4), 1..6), 1..30),
        ) {
            let rule = if said { PushedOut::Said } else { PushedOut::Cut };
            let mut book = LevelBook::default();
            let mut view = View::new(depth, &book, 0);
            let mut client = LevelBook::default();
            for (n, batch) in batches.into_iter().enumerate() {
                for (bid, price, size) in batch {
                    let price = if bid { 100 - price } else { 101 + price };
                    book.apply(&change(bid, price, size));
                }
                if let Some(changes) = view.step(&book, n as u64 + 1, rule) {
                    changes.iter().for_each(|c| client.apply(c));
                    if rule == PushedOut::Cut {
                        client.truncate(depth);
                    }
                }
                prop_assert!(same(&client, &book.top(depth)));
            }
        }
    }
}
