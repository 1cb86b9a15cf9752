//! Playing recordings and holding what comes out against the outputs of two independent normalisers.
//!
//! Shared by the tests of all venues. Recordings are looked for under `OPENMESH_RECORDINGS`, then beside the workspace;
//! where a set is absent, its test says so and passes.

#![allow(clippy::disallowed_types, reason = "references hold prices as floats")]
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use openmesh_dialect::recording::{Line, Player};
use openmesh_market::event::{Level, Trade};
use openmesh_market::{Event, EventKind, OrderBook, Side};
use openmesh_primitives::{Decimal, Symbol, Timestamp};
use serde_json::Value;

/// The folder of a recording, or `None` with a message where there is none.
pub fn set(name: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("OPENMESH_RECORDINGS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = root.join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: no recording {name} in {}", root.display());
    None
}

/// The lines of a text file, compressed or not.
pub fn text_lines(path: &Path) -> impl Iterator<Item = String> + use<> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader: Box<dyn BufRead> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    reader.lines().map(|line| line.expect("text"))
}

/// The lines of a set's `frames.jsonl.gz`.
pub fn frames(set: &Path) -> Vec<Line> {
    text_lines(&set.join("frames.jsonl.gz")).map(|line| Line::parse(&line).expect("a line of a recording")).collect()
}

/// The result of a recording.
pub struct Played {
    /// Every event, in order.
    pub events: Vec<Event>,
    /// The books in step after the last frame.
    pub books: Vec<(Symbol, OrderBook)>,
}

/// Plays lines through the session that their header names.
pub fn play(lines: &[Line]) -> Played {
    let Some(Line::Header { exchange }) = lines.first() else { panic!("no header") };
    play_with(openmesh_dialect::for_recording(exchange).unwrap_or_else(|| panic!("no dialect for {exchange}")), lines)
}

/// Plays lines through a session.
pub fn play_with(session: Box<dyn openmesh_dialect::Session>, lines: &[Line]) -> Played {
    let mut player = Player::new(session);
    let mut events = Vec::new();
    for line in lines {
        player.line(line, &mut events);
    }
    let books = player.session().books().into_iter().map(|(symbol, book)| (symbol, book.clone())).collect();
    Played { events, books }
}

impl Played {
    /// The trades.
    pub fn trades(&self) -> Vec<(&Event, &Trade)> {
        self.events.iter().filter_map(|e| if let EventKind::Trade(t) = &e.kind { Some((e, t)) } else { None }).collect()
    }

    /// The incidents as text.
    pub fn incidents(&self) -> Vec<String> {
        let said = |e: &Event| match &e.kind {
            EventKind::Incident(i) => Some(format!("{:?} {:?} {}", i.kind, e.symbol, i.detail)),
            _ => None,
        };
        self.events.iter().filter_map(said).collect()
    }

    /// Number of events of a feed.
    pub fn count(&self, feed: openmesh_market::Feed) -> usize {
        self.events.iter().filter(|e| e.kind.feed() == Some(feed)).count()
    }
}

/// One record of cryptofeed's output; every number is text.
pub struct Record(Value);

impl Record {
    /// A field as text; `None` where it is absent or null.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// A field that must be there, as a decimal.
    pub fn decimal(&self, field: &str) -> Decimal {
        self.text(field).unwrap_or_else(|| panic!("{field} in {}", self.0)).parse().expect(field)
    }

    /// A time field.
    pub fn time(&self, field: &str) -> Option<Timestamp> {
        self.text(field).map(|t| t.parse().unwrap_or_else(|_| panic!("{field} in {}", self.0)))
    }

    /// The instrument.
    pub fn symbol(&self) -> Symbol {
        symbol(self.text("symbol").expect("symbol"))
    }

    /// The record itself.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// Our name of cryptofeed's `BTC-USDT` and `BTC-USDT-PERP`.
pub fn symbol(name: &str) -> Symbol {
    match name.split('-').collect::<Vec<_>>()[..] {
        [base, quote] => Symbol::spot(base, quote),
        [base, quote, "PERP"] => Symbol::perpetual(base, quote),
        _ => panic!("{name}: a kind of symbol that the tests do not know"),
    }
}

/// cryptofeed's records of a type (`Trade`, `Ticker`, `Candle`, `OrderBook`), in order.
pub fn cryptofeed(set: &Path, kind: &str) -> Vec<Record> {
    let path = set.join("reference/cryptofeed-2.4.1.normalized.jsonl.gz");
    let records = text_lines(&path).map(|line| Record(serde_json::from_str(&line).expect("a record")));
    records.filter(|r| r.text("type") == Some(kind)).collect()
}

/// tardis-dev's records of a type (`trade`, `book_change`), in order. `file` is the file's name in `reference/`.
pub fn tardis(set: &Path, file: &str, kind: &str) -> Vec<Value> {
    let records =
        text_lines(&set.join("reference").join(file)).map(|line| serde_json::from_str(&line).expect("a record"));
    records.filter(|r: &Value| r["type"] == kind).collect()
}

/// Text of a side in both references.
pub fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// Every trade equal to cryptofeed's, in order and field by field: symbol, times, side, price, size, id.
pub fn trades_equal_cryptofeed(played: &Played, set: &Path) -> usize {
    let expected = cryptofeed(set, "Trade");
    let trades = played.trades();
    assert_eq!(trades.len(), expected.len(), "number of trades");
    for ((event, trade), record) in trades.iter().zip(&expected) {
        let about = record.value();
        assert_eq!(event.symbol.as_ref(), Some(&record.symbol()), "{about}");
        assert_eq!(event.ts_exchange, record.time("timestamp"), "{about}");
        assert_eq!(side_text(trade.side), record.text("side").expect("side"), "{about}");
        assert_eq!(trade.price, record.decimal("price"), "{about}");
        assert_eq!(trade.size, record.decimal("amount"), "{about}");
        assert_eq!(trade.id.as_deref(), record.text("id"), "{about}");
    }
    expected.len()
}

/// Returns true where a decimal is what tardis-dev's double says.
pub fn same_double(ours: Decimal, theirs: &Value) -> bool {
    ours.to_string().parse::<f64>().ok() == theirs.as_f64()
}

/// A time cut to the milliseconds that tardis-dev writes.
pub fn millis_text(time: Timestamp) -> String {
    let text = Timestamp::from_millis(time.millis()).to_rfc3339();
    if text.contains('.') { text } else { text.replace('Z', ".000Z") }
}

/// Every trade (but history sent on subscribing) equal to tardis-dev's, as far as doubles and milliseconds go.
/// `name` gives the venue's name of a symbol.
pub fn trades_equal_tardis(played: &Played, set: &Path, file: &str, name: impl Fn(&Symbol) -> String) -> usize {
    let expected = tardis(set, file, "trade");
    let trades: Vec<_> = played.trades().into_iter().filter(|(_, trade)| !trade.snapshot).collect();
    assert_eq!(trades.len(), expected.len(), "number of trades");
    for ((event, trade), record) in trades.iter().zip(&expected) {
        assert_eq!(name(event.symbol.as_ref().expect("symbol")), record["symbol"], "{record}");
        assert_eq!(millis_text(event.ts_exchange.expect("time")), record["timestamp"], "{record}");
        assert_eq!(side_text(trade.side), record["side"], "{record}");
        assert!(same_double(trade.price, &record["price"]), "{record}: {}", trade.price);
        assert!(same_double(trade.size, &record["amount"]), "{record}: {}", trade.size);
        assert_eq!(trade.id.as_deref(), record.get("id").and_then(Value::as_str), "{record}");
    }
    expected.len()
}

/// Levels of a side from `[[price, size], ...]`.
pub fn levels_of(value: &Value) -> Vec<Level> {
    let number = |v: &Value| v.as_str().expect("a number as text").parse::<Decimal>().expect("decimal");
    value.as_array().expect("levels").iter().map(|level| (number(&level[0]), number(&level[1]))).collect()
}

/// A side of a book, best first.
pub fn side_of(book: &OrderBook, side: Side) -> Vec<Level> {
    book.levels(side).copied().collect()
}

/// cryptofeed's books after the last frame.
pub fn final_books(set: &Path) -> BTreeMap<Symbol, [Vec<Level>; 2]> {
    let text: String = text_lines(&set.join("reference/cryptofeed.final_books.json.gz")).collect();
    let books: BTreeMap<String, Value> = serde_json::from_str(&text).expect("books");
    books.iter().map(|(name, b)| (symbol(name), [levels_of(&b["bid"]), levels_of(&b["ask"])])).collect()
}

/// Every final book equal to cryptofeed's, level by level. Returns the number of levels.
pub fn books_equal_cryptofeed(played: &Played, set: &Path) -> usize {
    let expected = final_books(set);
    let ours: Vec<&Symbol> = played.books.iter().map(|(symbol, _)| symbol).collect();
    assert_eq!(ours, expected.keys().collect::<Vec<_>>(), "books in step");
    let mut levels = 0;
    for (symbol, book) in &played.books {
        let [bids, asks] = &expected[symbol];
        assert_eq!(&side_of(book, Side::Buy), bids, "bids of {symbol}");
        assert_eq!(&side_of(book, Side::Sell), asks, "asks of {symbol}");
        levels += bids.len() + asks.len();
    }
    levels
}

/// Tickers equal to cryptofeed's bid and ask, in order; where the venue gives a time, that too.
pub fn tickers_equal_cryptofeed(played: &Played, set: &Path) -> usize {
    let expected = cryptofeed(set, "Ticker");
    let ours =
        played.events.iter().filter_map(|e| if let EventKind::Ticker(t) = &e.kind { Some((e, t)) } else { None });
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), expected.len(), "number of tickers");
    for ((event, ticker), record) in ours.iter().zip(&expected) {
        let about = record.value();
        assert_eq!(event.symbol.as_ref(), Some(&record.symbol()), "{about}");
        assert_eq!(ticker.bid, Some(record.decimal("bid")), "{about}");
        assert_eq!(ticker.ask, Some(record.decimal("ask")), "{about}");
        if event.ts_exchange.is_some() {
            assert_eq!(event.ts_exchange, record.time("timestamp"), "{about}");
        }
    }
    expected.len()
}

/// Candles equal to cryptofeed's `expected`, in order and field by field.
pub fn candles_equal<'a>(events: impl Iterator<Item = &'a Event>, expected: &[Record]) -> usize {
    let ours: Vec<_> =
        events.filter_map(|e| if let EventKind::Candle(c) = &e.kind { Some((e, c)) } else { None }).collect();
    assert_eq!(ours.len(), expected.len(), "number of candles");
    for ((event, candle), record) in ours.iter().zip(expected) {
        let about = record.value();
        assert_eq!(event.symbol.as_ref(), Some(&record.symbol()), "{about}");
        assert_eq!(event.ts_exchange, record.time("timestamp"), "{about}");
        assert_eq!(Some(candle.start), record.time("start"), "{about}");
        assert_eq!(candle.stop, record.time("stop"), "{about}");
        assert_eq!(Some(candle.interval.as_str()), record.text("interval"), "{about}");
        for (field, value) in [
            ("open", candle.open),
            ("high", candle.high),
            ("low", candle.low),
            ("close", candle.close),
            ("volume", candle.volume),
        ] {
            assert_eq!(value, record.decimal(field), "{field} of {about}");
        }
        assert_eq!(candle.trades, about["trades"].as_u64(), "{about}");
        assert_eq!(candle.closed, about["closed"].as_bool(), "{about}");
    }
    expected.len()
}

/// A book built from events alone, as a consumer would: what the events say has to suffice.
#[derive(Default)]
pub struct Follower {
    /// By instrument.
    pub books: BTreeMap<Symbol, OrderBook>,
    depth: Option<usize>,
}

impl Follower {
    /// Cuts its books to a depth, where the venue's rules demand it.
    pub fn cut_to(depth: usize) -> Follower {
        Follower { depth: Some(depth), ..Follower::default() }
    }

    /// Takes an event in; returns the book it changed.
    pub fn take(&mut self, event: &Event) -> Option<(&Symbol, &OrderBook)> {
        let (bids, asks, whole) = match &event.kind {
            EventKind::BookSnapshot(s) => (&s.bids, &s.asks, true),
            EventKind::BookDelta(d) => (&d.bids, &d.asks, false),
            _ => return None,
        };
        let symbol = event.symbol.clone().expect("a book event has a symbol");
        let book = self.books.entry(symbol.clone()).or_default();
        if whole {
            book.clear();
        }
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            for (price, size) in levels {
                book.set(side, *price, *size);
            }
        }
        if let Some(depth) = self.depth {
            book.truncate(depth);
        }
        self.books.get_key_value(&symbol)
    }
}

/// After every book event, depth and best levels of both sides equal to cryptofeed's (`n_bids`, `best_bid`, ...).
pub fn every_book_state_equals_cryptofeed(played: &Played, set: &Path, mut follower: Follower) -> usize {
    let expected = cryptofeed(set, "OrderBook");
    let mut records = expected.iter();
    for event in &played.events {
        let Some((symbol, book)) = follower.take(event) else { continue };
        let record = records.next().expect("as many book records as book events");
        let about = record.value();
        assert_eq!(symbol, &record.symbol(), "{about}");
        for (side, count, best) in [(Side::Buy, "n_bids", "best_bid"), (Side::Sell, "n_asks", "best_ask")] {
            assert_eq!(Some(book.depth(side) as u64), about[count].as_u64(), "{count} of {about}");
            let level = (!about[best].is_null()).then(|| levels_of(&serde_json::json!([about[best]]))[0]);
            assert_eq!(book.best(side), level.as_ref(), "{best} of {about}");
        }
    }
    assert_eq!(records.count(), 0, "book records of cryptofeed without an event");
    expected.len()
}
