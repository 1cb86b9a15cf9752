//! Data of a market, before a venue words it.

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Symbol, Timestamp};

use super::Endpoint;
use super::levels::BookChange;

/// An instrument as one endpoint lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Endpoint that lists it.
    pub endpoint: Endpoint,
    /// The venue's name: `BTCUSDT`, `BTC-USD`, `XBT/USD`, `BTC-USDT-SWAP`.
    pub name: String,
    /// Our name.
    pub symbol: Symbol,
    /// The venue's name of the base asset.
    pub base: String,
    /// The venue's name of the quote asset.
    pub quote: String,
    /// Smallest step of the price, in the digits in which the endpoint writes prices.
    pub tick: Decimal,
    /// Smallest step of the size, in the digits in which the endpoint writes sizes.
    pub lot: Decimal,
    /// True where the endpoint writes numbers without zeros at the end.
    pub trimmed: bool,
}

impl Instrument {
    /// A price of so many ticks, written as the endpoint does.
    pub fn price(&self, ticks: i64) -> Decimal {
        self.written(ticks, self.tick)
    }

    /// A size of so many lots, written as the endpoint does.
    pub fn size(&self, lots: i64) -> Decimal {
        self.written(lots, self.lot)
    }

    fn written(&self, count: i64, unit: Decimal) -> Decimal {
        let value = Decimal::new(i128::from(count) * unit.mantissa(), unit.scale());
        if self.trimmed { value.normalized() } else { value }
    }
}

/// A trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradePrint {
    /// Number of the trade at this instrument.
    pub id: u64,
    /// Number of the taker order's fill at this price (Binance's aggregate trade).
    pub aggregate: u64,
    /// Side of the taker.
    pub side: Side,
    /// Price.
    pub price: Decimal,
    /// Size.
    pub size: Decimal,
    /// Time.
    pub at: Timestamp,
    /// True where the taker's order had no limit.
    pub at_market: bool,
}

/// A change of a book: every level that it touches, and the numbers around it.
#[derive(Clone, Copy, Debug)]
pub struct BookStep<'a> {
    /// Time.
    pub at: Timestamp,
    /// Time at which the matching engine made it, where a venue says so beside.
    pub matched: Timestamp,
    /// Number of the first update in it.
    pub first: u64,
    /// Number of the last update in it.
    pub last: u64,
    /// `last` of the step before.
    pub previous: u64,
    /// Levels, each once.
    pub changes: &'a [BookChange],
}

impl BookStep<'_> {
    /// Changed levels of a side.
    pub fn of(&self, side: Side) -> impl Iterator<Item = &super::Entry> {
        self.changes.iter().filter(move |c| c.side == side).map(|c| &c.entry)
    }
}

/// A candle so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandleState {
    /// Start.
    pub start: Timestamp,
    /// Length in seconds.
    pub seconds: u32,
    /// First price.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Size traded.
    pub volume: Decimal,
    /// Price times size, summed.
    pub turnover: Decimal,
    /// Size bought by takers.
    pub taker_volume: Decimal,
    /// Price times size bought by takers, summed.
    pub taker_turnover: Decimal,
    /// First trade.
    pub first_trade: u64,
    /// Last trade.
    pub last_trade: u64,
    /// Number of trades.
    pub trades: u64,
    /// Time of the last trade, or the end of the interval.
    pub at: Timestamp,
    /// True where the interval has ended.
    pub closed: bool,
}

/// Best quotes, last trade and the figures since a day ago (in a simulation: since its start).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Time.
    pub at: Timestamp,
    /// Number of the book update that it stands on.
    pub update: u64,
    /// Best bid and its size.
    pub bid: (Decimal, Decimal),
    /// Best ask and its size.
    pub ask: (Decimal, Decimal),
    /// Last price and size.
    pub last: (Decimal, Decimal),
    /// Price at the beginning of the day.
    pub open: Decimal,
    /// Highest price of the day.
    pub high: Decimal,
    /// Lowest price of the day.
    pub low: Decimal,
    /// Size traded.
    pub volume: Decimal,
    /// Price times size, summed.
    pub turnover: Decimal,
    /// Trades.
    pub trades: u64,
}

/// The data of a perpetual beside its book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivative {
    /// Time.
    pub at: Timestamp,
    /// Mark price.
    pub mark: Decimal,
    /// Index price.
    pub index: Decimal,
    /// Funding rate per interval, as a fraction.
    pub funding_rate: Decimal,
    /// Time of the next payment.
    pub next_funding: Timestamp,
    /// Open interest in the venue's unit.
    pub open_interest: Decimal,
}
