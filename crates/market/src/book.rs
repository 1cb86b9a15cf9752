//! An order book by price level.

use openmesh_primitives::Decimal;

use crate::event::{BookSnapshot, Exchange, Level, Side};

/// Levels a side to which Kraken's books can be subscribed; whoever keeps one cuts it to that after each message ("Book",
/// WebSocket v1 and v2).
pub const KRAKEN_DEPTHS: [usize; 5] = [10, 25, 100, 500, 1_000];

/// Levels a side at which Binance cuts a snapshot off; a side of another length was sent whole ("Order book", `limit`).
pub const BINANCE_SNAPSHOT_LIMITS: [usize; 3] = [500, 1_000, 5_000];

/// Levels of a side that a venue keeps of a book which began with this snapshot: what changes push beyond them is gone without
/// a word. `None` where the venue removes every level in words.
pub fn kept_depth(exchange: Exchange, snapshot: &BookSnapshot) -> Option<usize> {
    let deepest = snapshot.bids.len().max(snapshot.asks.len());
    match exchange.protocol() {
        Exchange::Kraken => KRAKEN_DEPTHS.into_iter().find(|depth| *depth >= deepest),
        _ => None,
    }
}

/// Bids and asks. Levels are kept in sorted vectors with the best at the end: nearly all changes are near the best
/// price, so an insertion moves few bytes, and walking the levels touches memory in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderBook {
    /// Ascending: the best (highest) is last.
    bids: Vec<Level>,
    /// Descending: the best (lowest) is last.
    asks: Vec<Level>,
}

impl OrderBook {
    /// An empty book.
    pub fn new() -> OrderBook {
        OrderBook::default()
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Sets a level; size 0 removes it. Returns whether the level existed before.
    pub fn set(&mut self, side: Side, price: Decimal, size: Decimal) -> bool {
        let (levels, found) = match side {
            Side::Buy => {
                let found = search(&self.bids, |p| *p < price, &price);
                (&mut self.bids, found)
            }
            Side::Sell => {
                let found = search(&self.asks, |p| *p > price, &price);
                (&mut self.asks, found)
            }
        };
        match (found, size.is_zero()) {
            (Ok(at), true) => {
                levels.remove(at);
            }
            (Ok(at), false) => levels[at] = (price, size),
            (Err(_), true) => {}
            (Err(at), false) => levels.insert(at, (price, size)),
        }
        found.is_ok()
    }

    /// Sets a whole side at once: levels from best to worst, no price twice, no size 0. Returns false, and leaves the side
    /// as it was, where they are not so.
    pub fn fill(&mut self, side: Side, best_first: &[Level]) -> bool {
        let descends = |a: &Level, b: &Level| match side {
            Side::Buy => a.0 > b.0,
            Side::Sell => a.0 < b.0,
        };
        if !best_first.is_sorted_by(descends) || best_first.iter().any(|level| level.1.is_zero()) {
            return false;
        }
        let levels = match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        levels.clear();
        levels.extend(best_first.iter().rev());
        true
    }

    /// The levels of a side, best first.
    #[inline]
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = &Level> + DoubleEndedIterator {
        match side {
            Side::Buy => self.bids.iter().rev(),
            Side::Sell => self.asks.iter().rev(),
        }
    }

    /// The best level of a side.
    pub fn best(&self, side: Side) -> Option<&Level> {
        self.levels(side).next()
    }

    /// Number of levels of a side.
    pub fn depth(&self, side: Side) -> usize {
        self.levels(side).len()
    }

    /// Drops what lies deeper than `depth` levels on either side.
    pub fn truncate(&mut self, depth: usize) {
        for levels in [&mut self.bids, &mut self.asks] {
            let surplus = levels.len().saturating_sub(depth);
            levels.drain(..surplus);
        }
    }

    /// True where the best bid is at or above the best ask.
    pub fn is_crossed(&self) -> bool {
        matches!((self.best(Side::Buy), self.best(Side::Sell)), (Some(bid), Some(ask)) if bid.0 >= ask.0)
    }
}

/// Binary search, after a look at the levels nearest to the best, where most changes are.
fn search(levels: &[Level], worse: impl Fn(&Decimal) -> bool, price: &Decimal) -> Result<usize, usize> {
    let near = levels.len().saturating_sub(4);
    let from = if near > 0 && levels.get(near).is_some_and(|l| worse(&l.0)) { near } else { 0 };
    let at = from + levels[from..].partition_point(|l| worse(&l.0));
    match levels.get(at) {
        Some(level) if level.0 == *price => Ok(at),
        _ => Err(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// A side that may be filled at once is the side that single changes lead to.
        #[test]
        fn filled_is_set(prices in proptest::collection::vec((0i64..20, 0i64..3), 0..10), buy in any::<bool>()) {
            let side = if buy { Side::Buy } else { Side::Sell };
            let levels: Vec<Level> = prices.iter().map(|(p, s)| (Decimal::from(*p), Decimal::from(*s))).collect();
            let (mut filled, mut set) = (OrderBook::new(), OrderBook::new());
            for (price, size) in &levels {
                set.set(side, *price, *size);
            }
            if filled.fill(side, &levels) {
                prop_assert_eq!(&filled, &set);
                prop_assert_eq!(filled.levels(side).copied().collect::<Vec<_>>(), levels);
            } else {
                prop_assert_eq!(filled.depth(side), 0);
                prop_assert_ne!(set.levels(side).copied().collect::<Vec<_>>(), levels);
            }
        }

        /// Against the obvious model: a sorted map.
        #[test]
        fn same_as_a_map(changes in proptest::collection::vec((any::<bool>(), 0i64..40, 0i64..4), 0..200)) {
            let mut book = OrderBook::new();
            let mut bids = BTreeMap::new();
            let mut asks = BTreeMap::new();
            for (bid, price, size) in changes {
                let (side, map) = if bid { (Side::Buy, &mut bids) } else { (Side::Sell, &mut asks) };
                let existed = book.set(side, Decimal::from(price), Decimal::from(size));
                let before = if size == 0 { map.remove(&price) } else { map.insert(price, size) };
                prop_assert_eq!(existed, before.is_some());
            }
            let model_bids: Vec<Level> = bids.iter().rev().map(|(p, s)| (Decimal::from(*p), Decimal::from(*s))).collect();
            let model_asks: Vec<Level> = asks.iter().map(|(p, s)| (Decimal::from(*p), Decimal::from(*s))).collect();
            prop_assert_eq!(book.levels(Side::Buy).copied().collect::<Vec<_>>(), model_bids);
            prop_assert_eq!(book.levels(Side::Sell).copied().collect::<Vec<_>>(), model_asks);
        }
    }
}
