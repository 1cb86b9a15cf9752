//! The kind of a Binance message: by the name of its stream, by its own `e`, or, where it has neither, by what was
//! subscribed to on its connection.
//!
//! The last is needed for partial books: spot's name no instrument, and those of futures are worded like changes.

use std::collections::BTreeMap;

use openmesh_market::ConnectionId;
use openmesh_primitives::Timestamp;

use crate::client::json::{micros, millis};
use crate::client::unreadable::Unreadable;

/// Streams of one connection that are remembered: the venue allows 1024.
const STREAMS_MAX: usize = 1_024;

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Trade,
    AggregateTrade,
    Depth,
    /// The best levels each time, whole.
    PartialDepth,
    BookTicker,
    /// Any of the day's and of rolling windows' statistics.
    DayTicker,
    Kline,
    ContinuousKline,
    MarkPrice,
    IndexPrice,
    ForceOrder,
    OpenInterest,
    /// Known, and no event of ours: averages and limits (`avgPrice`, `referencePrice`), candles of index and mark prices,
    /// what indices are made of (`compositeIndex`, `assetIndex`), the venue's calendar (`contractInfo`,
    /// `tradingSession`), trades that were not made on the book (`blockTrade`), and a book with the retail orders that
    /// other books leave out (`rpiDepth`).
    Other,
}

impl Kind {
    /// By the name of a stream: `btcusdt@depth20@100ms`, `!markPrice@arr@1s`.
    pub(super) fn of_stream(stream: &str) -> Option<Kind> {
        let name = match stream.strip_prefix('!') {
            Some(of_all) => of_all,
            None => stream.split_once('@')?.1,
        };
        let head = name.split_once(['@', '_']).map_or(name, |(head, _)| head);
        Some(match head {
            "trade" => Kind::Trade,
            "aggTrade" => Kind::AggregateTrade,
            "depth" => Kind::Depth,
            "bookTicker" => Kind::BookTicker,
            "ticker" | "miniTicker" => Kind::DayTicker,
            "kline" => Kind::Kline,
            "continuousKline" => Kind::ContinuousKline,
            "markPrice" => Kind::MarkPrice,
            "indexPrice" => Kind::IndexPrice,
            "forceOrder" => Kind::ForceOrder,
            "avgPrice" | "referencePrice" | "indexPriceKline" | "markPriceKline" | "compositeIndex" | "assetIndex"
            | "contractInfo" | "tradingSession" | "rpiDepth" | "blockTrade" => Kind::Other,
            _ if is_partial(head) => Kind::PartialDepth,
            _ => return None,
        })
    }

    /// By a message's `e`.
    pub(super) fn of_event(event: &str) -> Option<Kind> {
        Some(match event {
            "trade" => Kind::Trade,
            "aggTrade" => Kind::AggregateTrade,
            "depthUpdate" => Kind::Depth,
            "bookTicker" => Kind::BookTicker,
            "24hrTicker" | "24hrMiniTicker" | "1hTicker" | "4hTicker" | "1dTicker" => Kind::DayTicker,
            "kline" => Kind::Kline,
            "continuous_kline" => Kind::ContinuousKline,
            "markPriceUpdate" => Kind::MarkPrice,
            "indexPriceUpdate" => Kind::IndexPrice,
            "forceOrder" => Kind::ForceOrder,
            "avgPrice" | "referencePrice" | "indexPrice_kline" | "markPrice_kline" | "compositeIndex"
            | "assetIndexUpdate" | "contractInfo" | "EquityUpdate" | "CommodityUpdate" | "blockTrade" => Kind::Other,
            _ => return None,
        })
    }
}

/// `depth5`, `depth10`, `depth20`.
fn is_partial(head: &str) -> bool {
    let levels = head.strip_prefix("depth").unwrap_or_default();
    !levels.is_empty() && levels.bytes().all(|b| b.is_ascii_digit())
}

/// The unit of the times on a connection. Binance documents the microseconds since 2024-12-17 ("General WebSocket Streams
/// Information": `timeUnit=MICROSECOND` in the address).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TimeUnit {
    #[default]
    Milliseconds,
    Microseconds,
}

impl TimeUnit {
    fn of_address(url: &str) -> TimeUnit {
        let pairs =
            url.split_once('?').map_or("", |(_, query)| query).split('&').filter_map(|pair| pair.split_once('='));
        let asked = |(key, value): (&str, &str)| {
            key.eq_ignore_ascii_case("timeUnit") && value.eq_ignore_ascii_case("MICROSECOND")
        };
        if pairs.into_iter().any(asked) { TimeUnit::Microseconds } else { TimeUnit::Milliseconds }
    }

    /// Returns the time that is `since` units after the epoch.
    ///
    /// # Errors
    /// Where that is beyond what a timestamp holds: the number is in another unit.
    pub(super) fn time(self, since: i64) -> Result<Timestamp, Unreadable> {
        match self {
            TimeUnit::Milliseconds => millis(since),
            TimeUnit::Microseconds => micros(since),
        }
    }
}

/// The streams of each connection whose messages come bare, and the units of its times.
#[derive(Default)]
pub(super) struct Streams {
    named: BTreeMap<ConnectionId, Vec<String>>,
    /// Connections whose times are not in milliseconds.
    units: BTreeMap<ConnectionId, TimeUnit>,
}

impl Streams {
    /// A connection was opened: `wss://stream.binance.com:9443/ws/btcusdt@depth20/btcusdt@trade`. A combined one names
    /// its streams with each message.
    pub(super) fn opened(&mut self, connection: ConnectionId, url: &str) {
        self.closed(connection);
        let unit = TimeUnit::of_address(url);
        if unit != TimeUnit::default() {
            self.units.insert(connection, unit);
        }
        if let Some((_, named)) = url.split('?').next().unwrap_or(url).split_once("/ws/") {
            self.add(connection, named.split('/'));
        }
    }

    /// A request was sent that may name streams.
    pub(super) fn sent(&mut self, connection: ConnectionId, text: &str) {
        #[derive(serde::Deserialize)]
        struct Request<'a> {
            method: &'a str,
            #[serde(borrow, default)]
            params: Vec<&'a str>,
        }
        if let Ok(request) = serde_json::from_str::<Request<'_>>(text)
            && request.method == "SUBSCRIBE"
        {
            self.add(connection, request.params.into_iter());
        }
    }

    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.named.remove(&connection);
        self.units.remove(&connection);
    }

    /// The unit of the times on a connection.
    pub(super) fn unit(&self, connection: ConnectionId) -> TimeUnit {
        if self.units.is_empty() {
            return TimeUnit::default();
        }
        self.units.get(&connection).copied().unwrap_or_default()
    }

    fn add<'a>(&mut self, connection: ConnectionId, named: impl Iterator<Item = &'a str>) {
        let streams = self.named.entry(connection).or_default();
        let room = STREAMS_MAX.saturating_sub(streams.len());
        streams.extend(named.filter(|stream| Kind::of_stream(stream).is_some()).take(room).map(str::to_owned));
    }

    /// The stream of a partial book that came without a name: the connection must have one only.
    pub(super) fn partial(&self, connection: ConnectionId) -> Result<&str, Unreadable> {
        let all = self.named.get(&connection).into_iter().flatten();
        let mut partial = all.filter(|stream| Kind::of_stream(stream) == Some(Kind::PartialDepth));
        match (partial.next(), partial.next()) {
            (Some(stream), None) => Ok(stream),
            _ => Err(Unreadable("a book of which nothing says whose it is".to_owned())),
        }
    }

    /// Returns true where what is worded as a change of a book is a partial one: that was asked for, and no changes were.
    pub(super) fn is_partial(&self, connection: ConnectionId, instrument: &str) -> bool {
        let Some(streams) = self.named.get(&connection) else { return false };
        let name = instrument.to_ascii_lowercase();
        let of = |kind: Kind| {
            let own = |stream: &&String| stream.split_once('@').is_some_and(|(head, _)| head == name);
            streams.iter().filter(own).any(|stream| Kind::of_stream(stream) == Some(kind))
        };
        of(Kind::PartialDepth) && !of(Kind::Depth)
    }
}

/// The venue's name of the instrument of a stream: `BTCUSDT` of `btcusdt@depth20`.
pub(super) fn instrument_of(stream: &str) -> Option<String> {
    stream.split_once('@').map(|(name, _)| name.to_ascii_uppercase()).filter(|name| !name.starts_with('!'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_by_name() {
        for (stream, kind) in [
            ("btcusdt@depth", Kind::Depth),
            ("btcusdt@depth@100ms", Kind::Depth),
            ("btcusdt@depth20@100ms", Kind::PartialDepth),
            ("btcusd_perp@depth5", Kind::PartialDepth),
            ("btcusdt@kline_1m@+08:00", Kind::Kline),
            ("btcusdt_perpetual@continuousKline_1m", Kind::ContinuousKline),
            ("btcusd@indexPrice@1s", Kind::IndexPrice),
            ("btcusd@indexPriceKline_1m", Kind::Other),
            ("bnbusdt@ticker_1h", Kind::DayTicker),
            ("!ticker_1h@arr", Kind::DayTicker),
            ("!miniTicker@arr", Kind::DayTicker),
            ("!bookTicker", Kind::BookTicker),
            ("!markPrice@arr@1s", Kind::MarkPrice),
            ("!forceOrder@arr", Kind::ForceOrder),
            ("!contractInfo", Kind::Other),
            ("btcusdt@rpiDepth@500ms", Kind::Other),
        ] {
            assert_eq!(Kind::of_stream(stream), Some(kind), "{stream}");
        }
        for stream in ["btcusdt", "btcusdt@new", "btcusdt@depthx", "!new@arr", ""] {
            assert_eq!(Kind::of_stream(stream), None, "{stream}");
        }
        assert_eq!(instrument_of("btcusd_perp@depth5").as_deref(), Some("BTCUSD_PERP"));
    }

    #[test]
    fn the_unit_of_times_is_told_by_the_address() {
        let (mut streams, link) = (Streams::default(), ConnectionId(3));
        for (query, unit) in [
            ("?streams=btcusdt@trade&timeUnit=MICROSECOND", TimeUnit::Microseconds),
            ("/btcusdt@trade?timeUnit=microsecond", TimeUnit::Microseconds),
            ("?timeunit=Microsecond&streams=btcusdt@trade", TimeUnit::Microseconds),
            ("?streams=btcusdt@trade&timeUnit=MILLISECOND", TimeUnit::Milliseconds),
            ("?streams=btcusdt@trade", TimeUnit::Milliseconds),
        ] {
            streams.opened(link, &format!("wss://stream.binance.com:9443/stream{query}"));
            assert_eq!(streams.unit(link), unit, "{query}");
        }
        assert_eq!(TimeUnit::Microseconds.time(1_786_309_500_301_234), Ok(Timestamp(1_786_309_500_301_234_000)));
    }

    #[test]
    fn bare_messages_by_what_was_asked_for() {
        let (mut streams, link) = (Streams::default(), ConnectionId(3));
        streams.opened(link, "wss://fstream.binance.com/ws/btcusdt@depth20@100ms");
        assert!(streams.is_partial(link, "BTCUSDT") && !streams.is_partial(link, "ETHUSDT"));
        assert_eq!(streams.partial(link), Ok("btcusdt@depth20@100ms"));
        streams.sent(link, r#"{"method":"SUBSCRIBE","params":["btcusdt@depth","ethusdt@depth5"],"id":1}"#);
        assert!(!streams.is_partial(link, "BTCUSDT") && streams.is_partial(link, "ETHUSDT"));
        assert!(streams.partial(link).is_err(), "two of them");
        streams.opened(link, "wss://stream.binance.com:9443/stream?streams=a@depth5");
        assert!(streams.partial(link).is_err());
    }
}
