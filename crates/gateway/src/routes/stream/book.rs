//! Book events that define the book by themselves.
//!
//! Some venues keep so many levels of a side and say nothing when a change pushes one beyond them. Whoever reads the stream must
//! not have to know which: the levels that fall out are added to the change as removals, so that a snapshot and the changes
//! after it are the book of every venue by one rule, "set the level, size 0 removes it".

use std::sync::Arc;

use openmesh_market::book::kept_depth;
use openmesh_market::{Event, EventKind, OrderBook, Side};
use openmesh_primitives::Decimal;

/// The book of one subscription, where its venue leaves removals out.
#[derive(Debug, Default)]
pub struct Defined {
    /// Levels of a side that the venue keeps; `None`: it removes every level in words, and nothing is kept here.
    depth: Option<usize>,
    book: OrderBook,
}

impl Defined {
    /// The event as it is sent: a change with the levels that it pushes out of the book.
    pub fn event(&mut self, event: Arc<Event>) -> Arc<Event> {
        match &event.kind {
            EventKind::BookSnapshot(snapshot) => {
                self.depth = kept_depth(event.exchange, snapshot);
                self.book.clear();
                if self.depth.is_some() {
                    self.set(Side::Buy, &snapshot.bids);
                    self.set(Side::Sell, &snapshot.asks);
                }
                event
            }
            EventKind::BookDelta(delta) if let Some(depth) = self.depth => {
                self.set(Side::Buy, &delta.bids);
                self.set(Side::Sell, &delta.asks);
                let gone = [Side::Buy, Side::Sell].map(|side| self.beyond(side, depth));
                self.book.truncate(depth);
                if gone.iter().all(Vec::is_empty) {
                    return event;
                }
                let mut delta = delta.clone();
                let [bids, asks] = gone;
                delta.bids.retain(|(price, _)| !bids.iter().any(|(gone, _)| gone == price));
                delta.asks.retain(|(price, _)| !asks.iter().any(|(gone, _)| gone == price));
                delta.bids.extend(bids);
                delta.asks.extend(asks);
                Arc::new(Event { kind: EventKind::BookDelta(delta), ..(*event).clone() })
            }
            _ => event,
        }
    }

    fn set(&mut self, side: Side, levels: &[(Decimal, Decimal)]) {
        levels.iter().for_each(|(price, size)| {
            self.book.set(side, *price, *size);
        });
    }

    /// Removals of the levels beyond a depth.
    fn beyond(&self, side: Side, depth: usize) -> Vec<(Decimal, Decimal)> {
        self.book.levels(side).skip(depth).map(|(price, _)| (*price, Decimal::ZERO)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_market::Exchange;
    use openmesh_market::event::{BookDelta, BookSnapshot};
    use openmesh_primitives::Timestamp;
    use std::collections::BTreeMap;

    fn event(exchange: Exchange, kind: EventKind) -> Arc<Event> {
        let ts_capture = Timestamp(0);
        Arc::new(Event { exchange, symbol: "BTC.USD".parse().ok(), ts_exchange: None, ts_capture, kind })
    }

    fn snapshot(exchange: Exchange, bids: std::ops::RangeInclusive<i64>) -> Arc<Event> {
        let bids = bids.rev().map(|price| (price.into(), 1.into())).collect();
        event(
            exchange,
            EventKind::BookSnapshot(BookSnapshot { bids, asks: Vec::new(), sequence: None, checksum: None }),
        )
    }

    fn delta(exchange: Exchange, bids: &[(i64, i64)]) -> Arc<Event> {
        let bids = bids.iter().map(|(price, size)| ((*price).into(), (*size).into())).collect();
        event(exchange, EventKind::BookDelta(BookDelta { bids, asks: Vec::new(), sequence: None, checksum: None }))
    }

    /// The book that a client makes by the one rule.
    fn apply(book: &mut BTreeMap<Decimal, Decimal>, event: &Event) {
        let levels = match &event.kind {
            EventKind::BookSnapshot(snapshot) => {
                book.clear();
                &snapshot.bids
            }
            EventKind::BookDelta(delta) => &delta.bids,
            _ => return,
        };
        for (price, size) in levels {
            if size.is_zero() {
                book.remove(price)
            } else {
                book.insert(*price, *size)
            };
        }
    }

    #[test]
    fn a_book_follows_from_its_events_without_the_venues_rules() {
        let (mut defined, mut book) = (Defined::default(), BTreeMap::new());
        // Ten levels are kept: 1 to 10, then 11 pushes 1 out; 10 goes, and 0 comes in words; what comes beyond the depth never was.
        for event in [
            snapshot(Exchange::Kraken, 1..=10),
            delta(Exchange::Kraken, &[(11, 5)]),
            delta(Exchange::Kraken, &[(10, 0), (1, 7)]),
            delta(Exchange::Kraken, &[(-3, 7)]),
        ] {
            apply(&mut book, &defined.event(event));
        }
        let prices: Vec<Decimal> = book.keys().copied().collect();
        let expected: Vec<Decimal> = (1..=9).chain([11]).map(Decimal::from).collect();
        assert_eq!(prices, expected);
    }

    #[test]
    fn a_venue_that_removes_levels_in_words_is_passed_on_as_it_is() {
        let mut defined = Defined::default();
        let (first, second) = (snapshot(Exchange::Coinbase, 1..=10), delta(Exchange::Coinbase, &[(11, 5)]));
        assert!(Arc::ptr_eq(&defined.event(first.clone()), &first));
        assert!(Arc::ptr_eq(&defined.event(second.clone()), &second));
    }
}
