//! Events of a simulated venue, in ticks and lots.

use openmesh_market::Side;
use openmesh_primitives::Timestamp;

/// A trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Number of the trade in this book.
    pub id: u64,
    /// Number of the taker's fill.
    pub aggregate: u64,
    /// Side of the taker.
    pub side: Side,
    /// Price in ticks.
    pub price: i64,
    /// Size in lots.
    pub lots: i64,
    /// Time of the trade.
    pub at: Timestamp,
    /// The taker's order had no limit.
    pub at_market: bool,
}

/// Changed levels: side, price in ticks, lots after it (0: gone), orders after it. Each level once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookMove {
    /// Number of the first update.
    pub first: u64,
    /// Number of the last update.
    pub last: u64,
    /// Number of the last update before.
    pub previous: u64,
    /// Levels.
    pub levels: Vec<(Side, i64, i64, u32)>,
}

impl BookMove {
    pub(super) fn set(&mut self, side: Side, price: i64, lots: i64, orders: u32) {
        match self.levels.iter_mut().find(|l| l.0 == side && l.1 == price) {
            Some(level) => (level.2, level.3) = (lots, orders),
            None => self.levels.push((side, price, lots, orders)),
        }
    }
}

/// Best quotes, last trade, and the figures since the start, in ticks and lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Time of the change.
    pub at: Timestamp,
    /// Number of the book's update.
    pub update: u64,
    /// Best bid: price, lots.
    pub bid: (i64, i64),
    /// Best ask: price, lots.
    pub ask: (i64, i64),
    /// Last trade: price, lots.
    pub last: (i64, i64),
    /// First price.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Lots traded.
    pub volume: i64,
    /// Ticks times lots, summed.
    pub turnover: i128,
    /// Trades.
    pub trades: u64,
}

impl Figures {
    pub(super) fn starting_at(price: i64, at: Timestamp) -> Figures {
        Figures {
            at,
            update: 0,
            bid: (price, 0),
            ask: (price, 0),
            last: (price, 1),
            open: price,
            high: price,
            low: price,
            volume: 0,
            turnover: 0,
            trades: 0,
        }
    }

    pub(super) fn note(&mut self, fill: &Fill) {
        self.last = (fill.price, fill.lots);
        self.high = self.high.max(fill.price);
        self.low = self.low.min(fill.price);
        self.volume += fill.lots;
        self.turnover += i128::from(fill.price) * i128::from(fill.lots);
        self.trades += 1;
    }
}

/// A candle, in ticks and lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Start.
    pub start: Timestamp,
    /// Length in seconds.
    pub seconds: u32,
    /// Prices: first, highest, lowest, last.
    pub prices: [i64; 4],
    /// Lots traded, and those bought by takers.
    pub volume: (i64, i64),
    /// Ticks times lots, and those bought by takers.
    pub turnover: (i128, i128),
    /// First and last trade; 0 where there was none.
    pub ids: (u64, u64),
    /// Trades.
    pub trades: u64,
    /// Time of the last change.
    pub at: Timestamp,
    /// True when its interval is over.
    pub closed: bool,
}

impl Bar {
    pub(super) fn starting_at(seconds: u32, price: i64, now: Timestamp) -> Bar {
        let length = i64::from(seconds) * 1_000_000_000;
        Bar {
            start: Timestamp(now.nanos().div_euclid(length) * length),
            seconds,
            prices: [price; 4],
            volume: (0, 0),
            turnover: (0, 0),
            ids: (0, 0),
            trades: 0,
            at: now,
            closed: false,
        }
    }

    pub(super) fn note(&mut self, fill: &Fill) {
        if self.trades == 0 {
            self.prices = [fill.price; 4];
            self.ids.0 = fill.id;
        }
        let [_, high, low, close] = &mut self.prices;
        (*high, *low, *close) = ((*high).max(fill.price), (*low).min(fill.price), fill.price);
        let turnover = i128::from(fill.price) * i128::from(fill.lots);
        self.volume.0 += fill.lots;
        self.turnover.0 += turnover;
        if fill.side == Side::Buy {
            self.volume.1 += fill.lots;
            self.turnover.1 += turnover;
        }
        self.ids.1 = fill.id;
        self.trades += 1;
        self.at = fill.at;
    }

    /// The closed bar where its time is over at `now`; this one then is the next.
    pub(super) fn roll(&mut self, now: Timestamp) -> Option<Bar> {
        let end = self.start.nanos() + i64::from(self.seconds) * 1_000_000_000;
        if now.nanos() < end {
            return None;
        }
        let old = Bar { closed: true, at: Timestamp(end), ..*self };
        *self = Bar::starting_at(self.seconds, old.prices[3], now);
        Some(old)
    }
}

/// State of a perpetual beside its book; prices in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perpetual {
    /// Time of the state.
    pub at: Timestamp,
    /// Mark price.
    pub mark: i64,
    /// Index price.
    pub index: i64,
    /// Funding rate in 10^-8.
    pub funding_e8: i64,
    /// Time of the next payment.
    pub next_funding: Timestamp,
    /// Open interest in lots.
    pub open_interest: i64,
}

/// Something that happens at a venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueEvent {
    /// Index of the book in [`listings`].
    pub market: usize,
    /// Time of the event.
    pub at: Timestamp,
    /// Body of the event.
    pub kind: VenueEventKind,
}

/// Kinds of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VenueEventKind {
    /// Trades of one moment, in order.
    Trades(Vec<Fill>),
    /// The book moves.
    Book(BookMove),
    /// Best quotes, or the last trade, are others now.
    Quote(Figures),
    /// A candle grows or closes.
    Candle(Bar),
    /// Mark price, funding, open interest: each second.
    Perpetual(Perpetual),
}
