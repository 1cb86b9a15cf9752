//! Books, candles and trades.

use openmesh_api as api;
use openmesh_market::event::BookSnapshot;
use openmesh_primitives::{Decimal, Timestamp};

use super::words;
use crate::memory::TimedTrade;

/// Best levels of both sides of a book, at most `depth` of each, best first.
pub fn sides(book: &BookSnapshot, depth: usize) -> [Vec<(String, String)>; 2] {
    let side = |levels: &[(Decimal, Decimal)]| {
        levels.iter().take(depth).map(|(price, size)| (price.to_string(), size.to_string())).collect()
    };
    [side(&book.bids), side(&book.asks)]
}

/// A trade.
pub fn trade((at, trade): TimedTrade) -> api::TradeView {
    api::TradeView {
        time: at.to_rfc3339(),
        side: words::side(trade.side),
        price: trade.price.to_string(),
        size: trade.size.to_string(),
        id: trade.id,
    }
}

/// A row of the tables as a candle: start, open, high, low, close, volume, trades.
pub fn candle_of_row(row: &[serde_json::Value]) -> api::CandleView {
    let text = |at: usize| match row.get(at) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    api::CandleView {
        start: text(0),
        open: text(1),
        high: text(2),
        low: text(3),
        close: text(4),
        volume: text(5),
        trades: text(6).parse().unwrap_or(0),
    }
}

struct Candle {
    start: i64,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    volume: Decimal,
    trades: u64,
}

impl Candle {
    fn begin(start: i64, price: Decimal, volume: Decimal) -> Candle {
        Candle { start, open: price, high: price, low: price, close: price, volume, trades: 1 }
    }

    fn add(&mut self, price: Decimal, size: Decimal) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.volume = self.volume.checked_add(size).unwrap_or(self.volume);
        self.trades += 1;
    }
}

/// Candles of trades, each `nanos` long, oldest first. They open and close as those of the tables do: by time and then by id,
/// not by arrival, for one venue lists the newest trade of a frame first. Source: `docs/spec/windows.md`, canonical order.
pub fn candles<'a>(trades: impl Iterator<Item = &'a TimedTrade>, nanos: i64) -> Vec<api::CandleView> {
    let mut trades: Vec<&TimedTrade> = trades.collect();
    trades.sort_by(|a, b| order(a).cmp(&order(b)));
    let mut all: Vec<Candle> = Vec::new();
    for (at, trade) in trades {
        let start = at.nanos().div_euclid(nanos) * nanos;
        match all.last_mut().filter(|c| c.start == start) {
            Some(candle) => candle.add(trade.price, trade.size),
            None => all.push(Candle::begin(start, trade.price, trade.size)),
        }
    }
    let view = |c: Candle| api::CandleView {
        start: Timestamp(c.start).to_rfc3339(),
        open: c.open.to_string(),
        high: c.high.to_string(),
        low: c.low.to_string(),
        close: c.close.to_string(),
        volume: c.volume.to_string(),
        trades: c.trades,
    };
    all.into_iter().map(view).collect()
}

/// A shorter id is a smaller number.
fn order((at, trade): &TimedTrade) -> (Timestamp, Option<(usize, &str)>) {
    (*at, trade.id.as_deref().map(|id| (id.len(), id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_market::Side;
    use openmesh_market::event::Trade;

    #[test]
    fn candles_of_trades() {
        let trade = |second: i64, price: i64, id: &str| {
            let (size, id) = (Decimal::new(15, 1), Some(id.to_string()));
            let trade = Trade { side: Side::Buy, price: price.into(), size, id, snapshot: false };
            (Timestamp::from_millis(second * 1_000), trade)
        };
        let trades = [trade(0, 10, "8"), trade(59, 9, "10"), trade(59, 12, "9"), trade(60, 11, "11")];
        let made = candles(trades.iter(), 60_000_000_000);
        assert_eq!(made.len(), 2);
        let first = &made[0];
        assert_eq!(
            (first.open.as_str(), first.high.as_str(), first.low.as_str(), first.close.as_str()),
            ("10", "12", "9", "9")
        );
        assert_eq!((first.volume.as_str(), first.trades), ("4.5", 3));
        assert_eq!(made[1].start, "1970-01-01T00:01:00Z");
    }
}
