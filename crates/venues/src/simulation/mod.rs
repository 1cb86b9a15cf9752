//! A simulated market: several venues whose prices follow one process, each with a book of its own.
//!
//! [`Simulator`] is pure: the same seed and the same times give the same events. Everything in it is an integer (ticks,
//! lots, parts per thousand million); each venue's way of writing numbers comes in only where events become messages
//! ([`board`](self)), so that no float is anywhere near a price. The times on the events are those that the caller
//! gives: the server gives the present.

mod board;
mod event;
mod fair;
mod listing;
mod market;
mod rest;
mod serve;

use openmesh_market::Side;
use openmesh_primitives::{SplitMix64, Timestamp};

pub use event::{Bar, BookMove, Figures, Fill, Perpetual, VenueEvent, VenueEventKind};
pub use listing::{Asset, Listed, listings};
pub(crate) use serve::start;

use fair::Fair;
use market::{BAR_SECONDS, Market};

/// Events that one step makes at most: a generator that was stopped for long catches up in time, not in events.
const STEP_EVENTS_MAX: u64 = 20_000;

/// The generator.
#[derive(Clone, Debug)]
pub struct Simulator {
    rng: SplitMix64,
    fair: Fair,
    listed: Vec<Listed>,
    markets: Vec<Market>,
    /// Time of each book's last change.
    touched: Vec<Timestamp>,
    now: Timestamp,
    events_per_second: u64,
    /// Events that are due, in thousand millionths.
    due: i128,
    /// Time of the perpetuals' last state.
    told: Timestamp,
}

impl Simulator {
    /// A market that starts at `now`.
    pub fn new(seed: u64, events_per_second: u32, now: Timestamp) -> Simulator {
        let (mut rng, fair, listed) = (SplitMix64::new(seed), Fair::new(), listings());
        let markets: Vec<Market> = listed
            .iter()
            .map(|l| Market::new(l.tick_micros, l.lot_e8, fair.price(l.asset), l.perpetual, &mut rng, now))
            .collect();
        Simulator {
            rng,
            fair,
            touched: vec![now; listed.len()],
            listed,
            markets,
            now,
            events_per_second: u64::from(events_per_second),
            due: 0,
            told: now,
        }
    }

    /// Returns the listed instruments; events name them by index.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The levels of a book: side, ticks, lots, orders; and the number of its last update.
    pub fn book(&self, market: usize) -> (Vec<(Side, i64, i64, u32)>, u64) {
        self.markets.get(market).map_or_else(|| (Vec::new(), 0), |m| (m.whole(), m.update))
    }

    /// Best quotes and figures of a book.
    pub fn figures(&self, market: usize) -> Option<Figures> {
        self.markets.get(market).map(|m| m.figures)
    }

    /// The running candles of a book.
    pub fn bars(&self, market: usize) -> &[Bar] {
        self.markets.get(market).map_or(&[], |m| &m.bars)
    }

    /// Returns the state of a perpetual beside its book.
    pub fn perpetual(&self, market: usize) -> Option<Perpetual> {
        self.markets.get(market).and_then(|m| m.perpetual)
    }

    /// Time goes on to `now`: what happened until then, in order. A time that is not later makes nothing happen.
    pub fn step(&mut self, now: Timestamp) -> Vec<VenueEvent> {
        let dt = now.nanos() - self.now.nanos();
        if dt <= 0 {
            return Vec::new();
        }
        self.fair.step(&mut self.rng, dt / 1_000);
        let limit = i128::from(STEP_EVENTS_MAX) * 1_000_000_000;
        self.due = (self.due + i128::from(dt) * i128::from(self.events_per_second)).min(limit);
        let mut events = Vec::new();
        // Each round has a microsecond of its own, as Kraken and Coinbase tell them apart; a step is at least as long.
        let mut at = self.now.nanos().max(now.nanos() - 1_000_000);
        while self.due >= 1_000_000_000 && at + 1_000 <= now.nanos() {
            at += 1_000;
            let before = events.len();
            self.round(Timestamp(at), &mut events);
            self.due -= (events.len() - before) as i128 * 1_000_000_000;
        }
        self.now = now;
        if now.nanos() - self.told.nanos() >= 1_000_000_000 {
            self.told = now;
            self.tell_perpetuals(now, &mut events);
        }
        events
    }

    fn round(&mut self, at: Timestamp, events: &mut Vec<VenueEvent>) {
        let index = self.rng.below(self.markets.len() as u64) as usize;
        let fair = self.fair.price(self.listed[index].asset);
        let dt_us = (at.nanos() - self.touched[index].nanos()) / 1_000;
        self.touched[index] = at;
        let market = &mut self.markets[index];
        let before = market.figures;
        let round = market.round(fair, dt_us, &mut self.rng, at);
        let mut push = |kind| events.push(VenueEvent { market: index, at, kind });
        round.closed.into_iter().for_each(|bar| push(VenueEventKind::Candle(bar)));
        let traded = !round.fills.is_empty();
        if traded {
            push(VenueEventKind::Trades(round.fills));
        }
        if let Some(book) = round.book {
            push(VenueEventKind::Book(book));
        }
        let after = market.figures;
        if traded || (before.bid, before.ask) != (after.bid, after.ask) {
            push(VenueEventKind::Quote(after));
        }
        if traded {
            market.bars.iter().for_each(|bar| push(VenueEventKind::Candle(*bar)));
        }
    }

    fn tell_perpetuals(&mut self, now: Timestamp, events: &mut Vec<VenueEvent>) {
        for (index, market) in self.markets.iter_mut().enumerate() {
            if let Some(perpetual) = &mut market.perpetual {
                perpetual.at = now;
                let kind = VenueEventKind::Perpetual(*perpetual);
                events.push(VenueEvent { market: index, at: now, kind });
                self.due -= 1_000_000_000;
            }
        }
    }
}

/// Lengths of the candles that are made, in seconds.
pub const CANDLE_SECONDS: [u32; 2] = BAR_SECONDS;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const START: Timestamp = Timestamp(1_786_309_548_000_000_000);

    fn later(from: Timestamp, millis: i64) -> Timestamp {
        Timestamp(from.nanos() + millis * 1_000_000)
    }

    #[test]
    fn the_seed_makes_the_market() {
        let run = |seed| {
            let mut simulator = Simulator::new(seed, 400, START);
            (1..=200).flat_map(|n| simulator.step(later(START, n * 20))).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn the_rate_is_kept() {
        for rate in [50u32, 300, 5_000] {
            let mut simulator = Simulator::new(9, rate, START);
            let events: usize = (1..=1_000).map(|n| simulator.step(later(START, n * 10)).len()).sum();
            let expected = rate as usize * 10;
            assert!((expected * 98 / 100..=expected * 102 / 100 + 20).contains(&events), "{rate}: {events}");
        }
    }

    /// State of a follower of the events, against the generator's own book.
    #[derive(Default)]
    struct Follower {
        levels: BTreeMap<(u8, i64), i64>,
        update: u64,
        trade: u64,
    }

    impl Follower {
        fn take(&mut self, event: &VenueEvent) -> Result<(), String> {
            match &event.kind {
                VenueEventKind::Trades(fills) => {
                    for fill in fills {
                        if fill.id != self.trade + 1 || fill.lots < 1 {
                            return Err(format!("trade {fill:?} after {}", self.trade));
                        }
                        self.trade = fill.id;
                    }
                }
                VenueEventKind::Book(book) => {
                    if book.previous != self.update || book.first != self.update + 1 || book.last < book.first {
                        return Err(format!("book {book:?} after {}", self.update));
                    }
                    self.update = book.last;
                    for (side, price, lots, _) in &book.levels {
                        let key = (*side as u8, *price);
                        if *lots == 0 {
                            self.levels.remove(&key);
                        } else {
                            self.levels.insert(key, *lots);
                        }
                    }
                }
                VenueEventKind::Quote(figures) if figures.bid.0 >= figures.ask.0 => {
                    return Err(format!("crossed quote {figures:?}"));
                }
                _ => {}
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Books are never crossed nor empty, sizes are above zero, numbers have no gap, and whoever follows the events
        /// holds the generator's book. Trades lie within the book: what they take is gone from the level they met.
        #[test]
        fn consistent_whatever_the_seed(seed in any::<u64>(), rate in 100u32..2_000, steps in proptest::collection::vec(1i64..200, 10..40)) {
            let mut simulator = Simulator::new(seed, rate, START);
            let mut followers: Vec<Follower> = simulator
                .markets
                .iter()
                .map(|m| Follower {
                    levels: m.whole().into_iter().map(|(s, p, l, _)| ((s as u8, p), l)).collect(),
                    update: m.update,
                    trade: m.figures_trade(),
                })
                .collect();
            let (mut now, mut last) = (START, START);
            for millis in steps {
                now = later(now, millis);
                for event in simulator.step(now) {
                    prop_assert!(event.at >= last && event.at <= now, "times go back");
                    last = event.at;
                    let follower = &mut followers[event.market];
                    if let VenueEventKind::Trades(fills) = &event.kind {
                        // Orders of the same round may have come first, so the price lies within the book's reach, not
                        // necessarily on a level that stood before the round.
                        let side = |side: Side| {
                            let all = (side as u8, i64::MIN)..=(side as u8, i64::MAX);
                            follower.levels.range(all).map(|l| l.0.1).collect::<Vec<_>>()
                        };
                        let (low, high) = (side(Side::Buy)[0], side(Side::Sell).pop().unwrap_or_default());
                        let within = fills.iter().all(|f| (low..=high).contains(&f.price));
                        prop_assert!(within, "{:?} outside {}..{}", fills, low, high);
                    }
                    if let Err(wrong) = follower.take(&event) {
                        return Err(TestCaseError::fail(wrong));
                    }
                }
                for (n, market) in simulator.markets.iter().enumerate() {
                    if let Err(wrong) = market.check() {
                        return Err(TestCaseError::fail(wrong));
                    }
                    let own: BTreeMap<(u8, i64), i64> =
                        market.whole().into_iter().map(|(s, p, l, _)| ((s as u8, p), l)).collect();
                    prop_assert_eq!(&own, &followers[n].levels);
                }
            }
        }
    }

    #[test]
    fn candles_add_up_to_the_trades() {
        let mut simulator = Simulator::new(4, 2_000, START);
        let (mut traded, mut closed) = (BTreeMap::new(), BTreeMap::new());
        // A whole number of minutes, so that every trade is in a closed candle of one.
        let start = START.millis();
        let end = (start / 60_000 + 3) * 60_000;
        let mut now = start;
        while now < end {
            now = (now + 50).min(end);
            for event in simulator.step(Timestamp::from_millis(now)) {
                match event.kind {
                    VenueEventKind::Trades(fills) => {
                        *traded.entry(event.market).or_insert(0) += fills.iter().map(|f| f.lots).sum::<i64>();
                    }
                    VenueEventKind::Candle(bar) if bar.closed && bar.seconds == 60 => {
                        let [open, high, low, close] = bar.prices;
                        assert!(low <= open.min(close) && high >= open.max(close));
                        *closed.entry(event.market).or_insert(0) += bar.volume.0;
                    }
                    _ => {}
                }
            }
        }
        assert!(traded.len() > 15);
        for (market, running) in simulator.markets.iter().enumerate() {
            let left = running.bars[0].volume.0;
            let sum = closed.get(&market).copied().unwrap_or(0) + left;
            assert_eq!(sum, traded.get(&market).copied().unwrap_or(0), "market {market}");
        }
    }
}
