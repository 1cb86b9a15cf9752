//! The rows of a chunk, their canonical order and their bytes.
//!
//! A row carries what every connection is told alike. Decimals are normalised on the way in, so that equal values are
//! equal bytes. In trades and books, which make up nearly all bytes, a decimal is written as its scale and the shortest
//! little-endian two's complement of its mantissa (a length byte before it): about 5 bytes instead of Borsh's 17.

use std::cmp::Ordering;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Decimal, Timestamp, canonical};

use crate::event::{Candle, EventKind, Feed, Funding, Liquidation, Side, Ticker};

/// A trade.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TradeRow {
    /// Venue's time.
    pub ts: Timestamp,
    /// Venue's id, where it gives one.
    pub id: Option<String>,
    /// Side of the taker.
    pub side: Side,
    /// Price.
    #[borsh(serialize_with = "packed::write", deserialize_with = "packed::read")]
    pub price: Decimal,
    /// Size.
    #[borsh(serialize_with = "packed::write", deserialize_with = "packed::read")]
    pub size: Decimal,
}

/// A level of a book: of the opening, or a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BookRow {
    /// True for a level as it stood at the window's start; false for a change inside the window.
    pub opening: bool,
    /// Window's start for the opening; else the effective time of the change.
    pub ts: Timestamp,
    /// Side.
    pub side: Side,
    /// Price.
    #[borsh(serialize_with = "packed::write", deserialize_with = "packed::read")]
    pub price: Decimal,
    /// Size; 0 removes the level.
    #[borsh(serialize_with = "packed::write", deserialize_with = "packed::read")]
    pub size: Decimal,
}

/// Best bid and ask.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct TickerRow {
    /// Venue's time.
    pub ts: Timestamp,
    /// Its values.
    pub ticker: Ticker,
}

/// A candle that has closed.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct CandleRow {
    /// End of the interval, exclusive: start plus length.
    pub ts: Timestamp,
    /// The candle.
    pub candle: Candle,
}

/// A funding rate.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct FundingRow {
    /// Venue's time.
    pub ts: Timestamp,
    /// Its values.
    pub funding: Funding,
}

/// Open interest.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OpenInterestRow {
    /// Venue's time.
    pub ts: Timestamp,
    /// Size.
    pub open_interest: Decimal,
}

/// A liquidation.
#[derive(Clone, Debug, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct LiquidationRow {
    /// Venue's time.
    pub ts: Timestamp,
    /// Its values.
    pub liquidation: Liquidation,
}

/// A mark or index price.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PriceRow {
    /// Venue's time.
    pub ts: Timestamp,
    /// Price.
    pub price: Decimal,
}

/// The rows of a chunk; which variant follows from the header's feed.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Of [`Feed::Trades`].
    Trades(Vec<TradeRow>),
    /// Of [`Feed::Book`].
    Book(Vec<BookRow>),
    /// Of [`Feed::Ticker`].
    Ticker(Vec<TickerRow>),
    /// Of [`Feed::Candles`].
    Candles(Vec<CandleRow>),
    /// Of [`Feed::Funding`].
    Funding(Vec<FundingRow>),
    /// Of [`Feed::OpenInterest`].
    OpenInterest(Vec<OpenInterestRow>),
    /// Of [`Feed::Liquidations`].
    Liquidations(Vec<LiquidationRow>),
    /// Of [`Feed::MarkPrice`] and [`Feed::IndexPrice`].
    Prices(Vec<PriceRow>),
}

/// A row of a feed in which things happen one by one (all but the book).
trait PointRow: BorshSerialize {
    fn ts(&self) -> Timestamp;
    /// Venue's id, where there is one: one row is kept for each.
    fn id(&self) -> Option<&str> {
        None
    }
    /// True where equal rows without id are one (a state said twice) rather than two (two equal fills).
    const STATE: bool = true;
}

impl PointRow for TradeRow {
    fn ts(&self) -> Timestamp {
        self.ts
    }
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
    const STATE: bool = false;
}

impl PointRow for LiquidationRow {
    fn ts(&self) -> Timestamp {
        self.ts
    }
    fn id(&self) -> Option<&str> {
        self.liquidation.id.as_deref()
    }
    const STATE: bool = false;
}

macro_rules! state_rows {
    ($($row:ty),*) => {
        $(impl PointRow for $row {
            fn ts(&self) -> Timestamp {
                self.ts
            }
        })*
    };
}
state_rows!(TickerRow, CandleRow, FundingRow, OpenInterestRow, PriceRow);

/// Canonical order: time, id (a shorter one is a smaller number), bytes.
fn order<T: PointRow>(a: &T, b: &T) -> Ordering {
    let id = |row: &T| row.id().map(|id| id.len());
    // Rows are encoded only where nothing else tells them apart.
    (a.ts().cmp(&b.ts()))
        .then_with(|| id(a).cmp(&id(b)))
        .then_with(|| a.id().cmp(&b.id()))
        .then_with(|| canonical::encode(a).cmp(&canonical::encode(b)))
}

/// Brings rows into canonical order and keeps one an id.
fn settle<T: PointRow>(mut rows: Vec<T>) -> Vec<T> {
    rows.sort_by(order);
    rows.dedup_by(|later, kept| match (kept.id(), later.id()) {
        (Some(a), Some(b)) => kept.ts() == later.ts() && a == b,
        (None, None) => T::STATE && order(kept, later).is_eq(),
        _ => false,
    });
    rows
}

/// Canonical order of a book: the opening, then changes by time, side and price; of equal keys the last stands.
fn settle_book(mut rows: Vec<BookRow>) -> Vec<BookRow> {
    let key = |row: &BookRow| (!row.opening, row.ts, row.side, row.price);
    rows.sort_by_key(key);
    // `dedup_by` keeps the first of equal ones: copy each later value back into it.
    rows.dedup_by(|later, kept| {
        let same = key(later) == key(kept);
        if same {
            kept.size = later.size;
        }
        same
    });
    rows
}

impl Rows {
    /// No rows, for a feed; `None` where the feed is not cut into windows of this kind.
    pub fn empty(feed: Feed) -> Option<Rows> {
        Some(match feed {
            Feed::Trades => Rows::Trades(Vec::new()),
            Feed::Book => Rows::Book(Vec::new()),
            Feed::Ticker => Rows::Ticker(Vec::new()),
            Feed::Candles => Rows::Candles(Vec::new()),
            Feed::Funding => Rows::Funding(Vec::new()),
            Feed::OpenInterest => Rows::OpenInterest(Vec::new()),
            Feed::Liquidations => Rows::Liquidations(Vec::new()),
            Feed::MarkPrice | Feed::IndexPrice => Rows::Prices(Vec::new()),
            Feed::Blocks => return None,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Rows::Trades(rows) => rows.len(),
            Rows::Book(rows) => rows.len(),
            Rows::Ticker(rows) => rows.len(),
            Rows::Candles(rows) => rows.len(),
            Rows::Funding(rows) => rows.len(),
            Rows::OpenInterest(rows) => rows.len(),
            Rows::Liquidations(rows) => rows.len(),
            Rows::Prices(rows) => rows.len(),
        }
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In canonical order, each once, decimals normalised. Whatever order they came in.
    #[must_use]
    pub fn canonical(self) -> Rows {
        match self {
            Rows::Trades(rows) => Rows::Trades(settle(rows.into_iter().map(normal_trade).collect())),
            Rows::Book(rows) => Rows::Book(settle_book(rows.into_iter().map(normal_level).collect())),
            Rows::Ticker(rows) => Rows::Ticker(settle(rows.into_iter().map(normal_ticker).collect())),
            Rows::Candles(rows) => Rows::Candles(settle(rows.into_iter().map(normal_candle).collect())),
            Rows::Funding(rows) => Rows::Funding(settle(rows.into_iter().map(normal_funding).collect())),
            Rows::OpenInterest(mut rows) => {
                rows.iter_mut().for_each(|r| r.open_interest = r.open_interest.normalized());
                Rows::OpenInterest(settle(rows))
            }
            Rows::Liquidations(rows) => Rows::Liquidations(settle(rows.into_iter().map(normal_liquidation).collect())),
            Rows::Prices(mut rows) => {
                rows.iter_mut().for_each(|r| r.price = r.price.normalized());
                Rows::Prices(settle(rows))
            }
        }
    }

    /// The bytes after the header: a Borsh vector of the rows as they stand.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Rows::Trades(rows) => canonical::encode(rows),
            Rows::Book(rows) => canonical::encode(rows),
            Rows::Ticker(rows) => canonical::encode(rows),
            Rows::Candles(rows) => canonical::encode(rows),
            Rows::Funding(rows) => canonical::encode(rows),
            Rows::OpenInterest(rows) => canonical::encode(rows),
            Rows::Liquidations(rows) => canonical::encode(rows),
            Rows::Prices(rows) => canonical::encode(rows),
        }
    }

    /// The other way; `None` for a feed that has no chunks.
    pub(super) fn decode(feed: Feed, bytes: &[u8]) -> Option<Result<Rows, canonical::CanonicalError>> {
        Some(match feed {
            Feed::Trades => canonical::decode(bytes).map(Rows::Trades),
            Feed::Book => canonical::decode(bytes).map(Rows::Book),
            Feed::Ticker => canonical::decode(bytes).map(Rows::Ticker),
            Feed::Candles => canonical::decode(bytes).map(Rows::Candles),
            Feed::Funding => canonical::decode(bytes).map(Rows::Funding),
            Feed::OpenInterest => canonical::decode(bytes).map(Rows::OpenInterest),
            Feed::Liquidations => canonical::decode(bytes).map(Rows::Liquidations),
            Feed::MarkPrice | Feed::IndexPrice => canonical::decode(bytes).map(Rows::Prices),
            Feed::Blocks => return None,
        })
    }

    /// Returns true where these are rows of that feed.
    pub fn fits(&self, feed: Feed) -> bool {
        Rows::empty(feed).is_some_and(|empty| std::mem::discriminant(&empty) == std::mem::discriminant(self))
    }

    /// Adds what a point event says, at the time it is placed by. Returns false where it is of another feed.
    pub(super) fn push(&mut self, ts: Timestamp, kind: &EventKind) -> bool {
        match (self, kind) {
            (Rows::Trades(rows), EventKind::Trade(t)) => {
                rows.push(TradeRow { ts, id: t.id.clone(), side: t.side, price: t.price, size: t.size });
            }
            (Rows::Ticker(rows), EventKind::Ticker(t)) => rows.push(TickerRow { ts, ticker: t.clone() }),
            (Rows::Candles(rows), EventKind::Candle(c)) => rows.push(CandleRow { ts, candle: c.clone() }),
            (Rows::Funding(rows), EventKind::Funding(f)) => rows.push(FundingRow { ts, funding: f.clone() }),
            (Rows::OpenInterest(rows), EventKind::OpenInterest(o)) => {
                rows.push(OpenInterestRow { ts, open_interest: o.open_interest });
            }
            (Rows::Liquidations(rows), EventKind::Liquidation(l)) => {
                rows.push(LiquidationRow { ts, liquidation: l.clone() });
            }
            (Rows::Prices(rows), EventKind::MarkPrice(p) | EventKind::IndexPrice(p)) => {
                rows.push(PriceRow { ts, price: p.price });
            }
            _ => return false,
        }
        true
    }
}

/// Short decimals. What is not shortest, or not normalised, decodes but is refused by the check that encoding again
/// gives the same bytes.
mod packed {
    use std::io::{Error, ErrorKind, Read, Result, Write};

    use borsh::{BorshDeserialize, BorshSerialize};
    use openmesh_primitives::Decimal;

    pub(super) fn write<W: Write>(value: &Decimal, writer: &mut W) -> Result<()> {
        let value = value.normalized();
        let bytes = value.mantissa().to_le_bytes();
        let sign = if value.mantissa() < 0 { 0xff } else { 0 };
        // The last byte kept must carry the sign in its top bit.
        let mut length = bytes.len();
        while length > 0
            && bytes[length - 1] == sign
            && (length == 1 && sign == 0 || length > 1 && (bytes[length - 2] ^ sign) & 0x80 == 0)
        {
            length -= 1;
        }
        value.scale().serialize(writer)?;
        (length as u8).serialize(writer)?;
        writer.write_all(&bytes[..length])
    }

    pub(super) fn read<R: Read>(reader: &mut R) -> Result<Decimal> {
        let scale = u8::deserialize_reader(reader)?;
        let length = usize::from(u8::deserialize_reader(reader)?);
        if length > 16 || scale > 36 {
            return Err(Error::new(ErrorKind::InvalidData, "a decimal of more than 16 bytes or 36 places"));
        }
        let mut bytes = [0u8; 16];
        reader.read_exact(&mut bytes[..length])?;
        if length > 0 && bytes[length - 1] & 0x80 != 0 {
            bytes[length..].fill(0xff);
        }
        Ok(Decimal::new(i128::from_le_bytes(bytes), scale))
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn round_trip(mantissa in prop_oneof![any::<i128>(), (-300i128..300), any::<i64>().prop_map(i128::from)], scale in 0u8..=36) {
                let value = Decimal::new(mantissa, scale);
                let mut bytes = Vec::new();
                write(&value, &mut bytes).unwrap();
                let again = read(&mut &bytes[..]).unwrap();
                prop_assert_eq!(again, value);
                let shortest = (0..=16).find(|n| *n == 16 || {
                    let m = again.mantissa();
                    if *n == 0 { m == 0 } else { m >= -(1i128 << (8 * n - 1)) && m < (1i128 << (8 * n - 1)) }
                });
                prop_assert_eq!(bytes.len() - 2, shortest.unwrap());
            }
        }
    }
}

fn normal(value: Option<Decimal>) -> Option<Decimal> {
    value.map(Decimal::normalized)
}

fn normal_trade(row: TradeRow) -> TradeRow {
    TradeRow { price: row.price.normalized(), size: row.size.normalized(), ..row }
}

fn normal_level(row: BookRow) -> BookRow {
    BookRow { price: row.price.normalized(), size: row.size.normalized(), ..row }
}

fn normal_ticker(row: TickerRow) -> TickerRow {
    let t = row.ticker;
    let ticker = Ticker {
        bid: normal(t.bid),
        bid_size: normal(t.bid_size),
        ask: normal(t.ask),
        ask_size: normal(t.ask_size),
        last: normal(t.last),
    };
    TickerRow { ts: row.ts, ticker }
}

/// Besides the decimals: the end is derived from start and length, because venues write it as 59.999 or 60.
fn normal_candle(row: CandleRow) -> CandleRow {
    let c = row.candle;
    let candle = Candle {
        stop: Some(row.ts),
        open: c.open.normalized(),
        high: c.high.normalized(),
        low: c.low.normalized(),
        close: c.close.normalized(),
        volume: c.volume.normalized(),
        ..c
    };
    CandleRow { ts: row.ts, candle }
}

fn normal_funding(row: FundingRow) -> FundingRow {
    let f = row.funding;
    let funding = Funding {
        rate: f.rate.normalized(),
        next_funding: f.next_funding,
        mark_price: normal(f.mark_price),
        predicted_rate: normal(f.predicted_rate),
    };
    FundingRow { ts: row.ts, funding }
}

fn normal_liquidation(row: LiquidationRow) -> LiquidationRow {
    let l = row.liquidation;
    let liquidation = Liquidation { price: l.price.normalized(), size: l.size.normalized(), ..l };
    LiquidationRow { ts: row.ts, liquidation }
}
