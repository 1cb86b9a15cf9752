//! One book: orders come and go around the fair price, takers consume what they meet. Prices in ticks, sizes in lots.
//!
//! Always true, and tested: the best bid is below the best ask, sizes are above zero, neither side is ever empty, a trade
//! happens at a level that was there and takes no more than it held, numbers of updates and trades rise without gap.

use std::collections::BTreeMap;

use openmesh_market::Side;
use openmesh_primitives::{SplitMix64, Timestamp};

use super::fair::Offset;
use super::{Bar, BookMove, Figures, Fill, Perpetual};

/// Levels a side that a book starts with and is filled up to.
const LEVELS_START: usize = 60;

/// Levels a side below which orders are added first.
const LEVELS_MIN: usize = 30;

/// Levels a side beyond which the farthest is withdrawn.
const LEVELS_MAX: usize = 120;

/// Levels that one taker goes through at most.
const SWEEP_LEVELS_MAX: usize = 4;

/// Changes of a book that are made before it is told: what a venue gathers in its interval.
const CHANGES_MAX: u64 = 6;

/// Lengths of the candles that are made, in seconds.
pub(super) const BAR_SECONDS: [u32; 2] = [60, 300];

/// A perpetual pays each eight hours.
const FUNDING_NANOS: i64 = 8 * 3_600 * 1_000_000_000;

/// A book with its numbers.
#[derive(Clone, Debug)]
pub(super) struct Market {
    /// One price step, in millionths of a dollar.
    tick_micros: i64,
    /// A usual order, in lots.
    usual_lots: i64,
    bids: BTreeMap<i64, (i64, u32)>,
    asks: BTreeMap<i64, (i64, u32)>,
    offset: Offset,
    pub(super) update: u64,
    trade: u64,
    aggregate: u64,
    pub(super) figures: Figures,
    pub(super) bars: [Bar; BAR_SECONDS.len()],
    pub(super) perpetual: Option<Perpetual>,
}

/// Outcome of one round of a book.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) fills: Vec<Fill>,
    pub(super) book: Option<BookMove>,
    pub(super) closed: Vec<Bar>,
}

impl Market {
    pub(super) fn new(
        tick_micros: i64,
        lot_e8: i64,
        fair_micros: i64,
        perpetual: bool,
        rng: &mut SplitMix64,
        now: Timestamp,
    ) -> Market {
        let fair = fair_micros / tick_micros;
        // About 2,000 dollars, at least two lots.
        let usual_lots = (2_000 * 1_000_000 * 100_000_000 / i128::from(fair_micros) / i128::from(lot_e8)).max(2);
        let mut market = Market {
            tick_micros,
            usual_lots: i64::try_from(usual_lots).unwrap_or(2),
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            offset: Offset::default(),
            // By the clock, faster than numbers are used up: a simulation that starts again goes on above its last ones,
            // and no number comes twice.
            update: u64::try_from(now.micros() / 100).unwrap_or(0) + rng.below(1_000),
            trade: u64::try_from(now.millis()).unwrap_or(0) + rng.below(1_000),
            aggregate: u64::try_from(now.millis()).unwrap_or(0) + rng.below(1_000),
            figures: Figures::starting_at(fair, now),
            bars: BAR_SECONDS.map(|seconds| Bar::starting_at(seconds, fair, now)),
            perpetual: perpetual.then(|| Perpetual {
                at: now,
                mark: fair,
                index: fair,
                funding_e8: 10_000,
                next_funding: Timestamp((now.nanos() / FUNDING_NANOS + 1) * FUNDING_NANOS),
                open_interest: i64::try_from(usual_lots * 20_000).unwrap_or(i64::MAX),
            }),
        };
        let mut made = BookMove::default();
        while market.bids.len() < LEVELS_START || market.asks.len() < LEVELS_START {
            let side = if market.bids.len() < market.asks.len() { Side::Buy } else { Side::Sell };
            market.add(side, fair, rng, &mut made);
        }
        market.note_best();
        market
    }

    fn levels(&self, side: Side) -> &BTreeMap<i64, (i64, u32)> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn levels_mut(&mut self, side: Side) -> &mut BTreeMap<i64, (i64, u32)> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn best(&self, side: Side) -> Option<(i64, i64)> {
        match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        }
        .map(|(price, (lots, _))| (*price, *lots))
    }

    /// Every level as a change of an empty book.
    pub(super) fn whole(&self) -> Vec<(Side, i64, i64, u32)> {
        let of = |side: Side| self.levels(side).iter().map(move |(p, (lots, orders))| (side, *p, *lots, *orders));
        of(Side::Buy).chain(of(Side::Sell)).collect()
    }

    /// Something happens in this book. `fair_micros` is the asset's price.
    pub(super) fn round(&mut self, fair_micros: i64, dt_us: i64, rng: &mut SplitMix64, now: Timestamp) -> Round {
        self.offset.step(rng, dt_us);
        let fair = (self.offset.of(fair_micros) / self.tick_micros).max(10);
        let mut round = Round { closed: self.close_bars(now), ..Round::default() };
        let mut changes = BookMove::default();
        self.follow(fair, rng, now, &mut round.fills, &mut changes);
        for _ in 0..=rng.below(CHANGES_MAX) {
            match rng.below(100) {
                0..45 => self.add(if rng.chance(1, 2) { Side::Buy } else { Side::Sell }, fair, rng, &mut changes),
                45..85 => self.withdraw(rng, &mut changes),
                _ => self.take(
                    if rng.chance(1, 2) { Side::Buy } else { Side::Sell },
                    None,
                    rng,
                    now,
                    &mut round.fills,
                    &mut changes,
                ),
            }
        }
        for side in [Side::Buy, Side::Sell] {
            while self.levels(side).len() < LEVELS_MIN {
                let before = self.levels(side).len();
                self.add(side, fair, rng, &mut changes);
                if self.levels(side).len() == before {
                    self.deepen(side, rng, &mut changes);
                }
            }
            self.trim(side, &mut changes);
        }
        if !changes.levels.is_empty() {
            changes.previous = self.update;
            changes.first = self.update + 1;
            self.update += changes.levels.len() as u64;
            changes.last = self.update;
            round.book = Some(changes);
        }
        self.figures.at = now;
        self.note_best();
        if let Some(perpetual) = &mut self.perpetual {
            perpetual.index = fair_micros / self.tick_micros;
            perpetual.mark = fair;
            let premium_e8 = (perpetual.mark - perpetual.index) * 100_000_000 / perpetual.index.max(1);
            perpetual.funding_e8 = (10_000 + premium_e8).clamp(-75_000, 75_000);
            perpetual.at = now;
            if perpetual.next_funding <= now {
                perpetual.next_funding = Timestamp((now.nanos() / FUNDING_NANOS + 1) * FUNDING_NANOS);
            }
        }
        round
    }

    /// Takers bring the book back to the fair price where it has run away from it.
    fn follow(
        &mut self,
        fair: i64,
        rng: &mut SplitMix64,
        now: Timestamp,
        fills: &mut Vec<Fill>,
        changes: &mut BookMove,
    ) {
        if matches!(self.best(Side::Sell), Some((ask, _)) if ask < fair) {
            self.take(Side::Buy, Some(fair - 1), rng, now, fills, changes);
        }
        if matches!(self.best(Side::Buy), Some((bid, _)) if bid > fair) {
            self.take(Side::Sell, Some(fair + 1), rng, now, fills, changes);
        }
    }

    /// A new order beside the fair price that meets nobody.
    fn add(&mut self, side: Side, fair: i64, rng: &mut SplitMix64, changes: &mut BookMove) {
        // A fiftieth of a basis point, at least a tick; most orders lie within two basis points.
        let unit = (fair / 500_000).max(1);
        let distance = 1 + rng.tail(25) * unit + rng.up_to(unit);
        let price = match (side, self.best(Side::Sell), self.best(Side::Buy)) {
            (Side::Buy, Some((ask, _)), _) => (fair - distance).min(ask - 1),
            (Side::Sell, _, Some((bid, _))) => (fair + distance).max(bid + 1),
            (Side::Buy, ..) => fair - distance,
            (Side::Sell, ..) => fair + distance,
        };
        let lots = 1 + rng.tail(self.usual_lots);
        let level = self.levels_mut(side).entry(price.max(1)).or_insert((0, 0));
        *level = (level.0 + lots, level.1 + 1);
        let (lots, orders) = *level;
        changes.set(side, price.max(1), lots, orders);
    }

    /// A new order behind all others. Where the other side's last order stands in the fair price's way, orders beside it all
    /// fall on one price, and only going deeper makes a level more.
    fn deepen(&mut self, side: Side, rng: &mut SplitMix64, changes: &mut BookMove) {
        let deepest = match side {
            Side::Buy => self.bids.first_key_value().map_or(1, |(price, _)| price - 1),
            Side::Sell => self.asks.last_key_value().map_or(1, |(price, _)| price + 1),
        };
        let lots = 1 + rng.tail(self.usual_lots);
        self.put(side, deepest, lots, 1, changes);
    }

    /// An order is withdrawn, mostly one near the best.
    fn withdraw(&mut self, rng: &mut SplitMix64, changes: &mut BookMove) {
        let side = if rng.chance(1, 2) { Side::Buy } else { Side::Sell };
        let count = self.levels(side).len();
        if count <= LEVELS_MIN {
            return;
        }
        let at = usize::try_from(rng.tail(count as i64 / 6)).unwrap_or(0).min(count - 1);
        let found = match side {
            Side::Buy => self.bids.iter().rev().nth(at).map(|(p, l)| (*p, *l)),
            Side::Sell => self.asks.iter().nth(at).map(|(p, l)| (*p, *l)),
        };
        let Some((price, (lots, orders))) = found else { return };
        // A level of several orders loses one of them.
        let left = if orders > 1 { lots - (1 + rng.up_to(lots)) } else { 0 };
        self.put(side, price, left, orders.saturating_sub(1).max(1), changes);
    }

    fn put(&mut self, side: Side, price: i64, lots: i64, orders: u32, changes: &mut BookMove) {
        if lots > 0 {
            self.levels_mut(side).insert(price, (lots, orders));
            changes.set(side, price, lots, orders);
        } else {
            self.levels_mut(side).remove(&price);
            changes.set(side, price, 0, 0);
        }
    }

    /// A taker goes through the other side, up to `limit`, or with an order of a random size.
    fn take(
        &mut self,
        taker: Side,
        limit: Option<i64>,
        rng: &mut SplitMix64,
        now: Timestamp,
        fills: &mut Vec<Fill>,
        changes: &mut BookMove,
    ) {
        let maker = if taker == Side::Buy { Side::Sell } else { Side::Buy };
        let mut left = match limit {
            Some(_) => i64::MAX,
            None => 1 + rng.tail(self.usual_lots),
        };
        for _ in 0..SWEEP_LEVELS_MAX {
            // The last level stays: a venue without a side has no ticker to send.
            let Some((price, lots)) = self.best(maker).filter(|_| left > 0 && self.levels(maker).len() > 1) else {
                break;
            };
            let beyond = limit.is_some_and(|l| if taker == Side::Buy { price > l } else { price < l });
            if beyond {
                break;
            }
            let taken = lots.min(left);
            left -= taken;
            let orders = self.levels(maker).get(&price).map_or(1, |l| l.1);
            self.put(maker, price, lots - taken, orders, changes);
            self.trade += 1;
            self.aggregate += 1;
            let fill = Fill {
                id: self.trade,
                aggregate: self.aggregate,
                side: taker,
                price,
                lots: taken,
                at: now,
                at_market: limit.is_none(),
            };
            self.figures.note(&fill);
            for bar in &mut self.bars {
                bar.note(&fill);
            }
            if let Some(perpetual) = &mut self.perpetual {
                let change = if rng.chance(1, 2) { taken } else { -taken };
                perpetual.open_interest = perpetual.open_interest.saturating_add(change).max(1);
            }
            fills.push(fill);
        }
    }

    /// The farthest levels are withdrawn where there are too many.
    fn trim(&mut self, side: Side, changes: &mut BookMove) {
        while self.levels(side).len() > LEVELS_MAX {
            let worst = match side {
                Side::Buy => self.bids.first_key_value(),
                Side::Sell => self.asks.last_key_value(),
            };
            let Some(price) = worst.map(|(p, _)| *p) else { break };
            self.put(side, price, 0, 0, changes);
        }
    }

    fn note_best(&mut self) {
        if let (Some(bid), Some(ask)) = (self.best(Side::Buy), self.best(Side::Sell)) {
            (self.figures.bid, self.figures.ask, self.figures.update) = (bid, ask, self.update);
        }
    }

    /// Bars whose time is over, each told once more as closed, and the next begun.
    fn close_bars(&mut self, now: Timestamp) -> Vec<Bar> {
        let mut closed = Vec::new();
        for bar in &mut self.bars {
            if let Some(old) = bar.roll(now) {
                closed.push(old);
            }
        }
        closed
    }

    #[cfg(test)]
    pub(super) fn check(&self) -> Result<(), String> {
        let (Some(bid), Some(ask)) = (self.best(Side::Buy), self.best(Side::Sell)) else {
            return Err(String::from("a side is empty"));
        };
        if bid.0 >= ask.0 {
            return Err(format!("crossed: {bid:?} {ask:?}"));
        }
        let bad = self.bids.iter().chain(&self.asks).find(|(p, (lots, orders))| **p < 1 || *lots < 1 || *orders < 1);
        bad.map_or(Ok(()), |level| Err(format!("a level without size: {level:?}")))
    }
}

#[cfg(test)]
impl Market {
    /// Number of the last trade.
    pub(super) fn figures_trade(&self) -> u64 {
        self.trade
    }
}
