//! Helpers of the tests of Coinbase, Bybit and OKX beyond `reference`: references in other files and under other names,
//! one connection after the other, with histories and dated contracts; faults put into frames; noise.

#![allow(clippy::disallowed_types, reason = "places of faults are shares of a recording")]
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::collections::BTreeMap;
use std::path::Path;

use openmesh_dialect::Session;
use openmesh_dialect::recording::{Line, Player};
use openmesh_market::{Event, EventKind, Side};
use openmesh_primitives::{Contract, Decimal, Symbol, Timestamp};
use serde_json::Value;

#[path = "../reference/mod.rs"]
mod reference_tests;
pub use reference_tests::{frames as traffic, set, side_of as levels, text_lines as lines};
use reference_tests::{levels_of, same_double, side_text};

/// A reference file of a set, one record a line.
pub fn reference(set: &Path, file: &str) -> Vec<Value> {
    lines(&set.join("reference").join(file)).map(|l| serde_json::from_str(&l).expect("json")).collect()
}

/// Plays traffic and gives every event, and the session as it is at the end.
pub fn play(session: impl Session + 'static, traffic: &[Line]) -> (Vec<Event>, Player) {
    let mut player = Player::new(Box::new(session));
    let mut events = Vec::new();
    for line in traffic {
        player.line(line, &mut events);
    }
    (events, player)
}

/// Text of a field.
pub fn text<'v>(record: &'v Value, field: &str) -> &'v str {
    record[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {record}"))
}

/// An exact number of a field, `None` where it is null.
pub fn number(record: &Value, field: &str) -> Option<Decimal> {
    record[field].as_str().map(|t| t.parse().unwrap_or_else(|e| panic!("{field} of {record}: {e}")))
}

/// A time in decimal seconds; cut at nanoseconds as the recording's own are.
pub fn seconds(record: &Value, field: &str) -> Timestamp {
    let text = text(record, field);
    let cut = text.find('.').map_or(text, |dot| &text[..text.len().min(dot + 10)]);
    cut.parse().unwrap_or_else(|e| panic!("{field} of {record}: {e}"))
}

/// cryptofeed's name of an instrument in our words: `BTC-USDT`, `BTC-USDT-PERP`, `BTC-USD-22K27`.
pub fn symbol(record: &Value) -> Symbol {
    symbol_of(text(record, "symbol"))
}

/// The same from a text.
pub fn symbol_of(name: &str) -> Symbol {
    let parts: Vec<&str> = name.split('-').collect();
    match parts[..] {
        [base, quote] => Symbol::spot(base, quote),
        [base, quote, "PERP"] => Symbol::perpetual(base, quote),
        [base, quote, date] => {
            let month = "FGHJKMNQUVXZ".find(&date[2..3]).expect("a month") as u32 + 1;
            let (year, day): (u32, u32) = (date[..2].parse().expect("a year"), date[3..].parse().expect("a day"));
            Symbol::of(base, quote, Contract::Future { expiry: year * 10_000 + month * 100 + day })
        }
        _ => panic!("{name}: a name of unknown form"),
    }
}

/// Records of a type.
pub fn of_type<'v>(records: &'v [Value], kind: &str) -> Vec<&'v Value> {
    records.iter().filter(|r| r["type"] == kind).collect()
}

/// Every event that is no incident, and none is allowed.
pub fn without_incidents(events: &[Event]) {
    let incidents: Vec<_> = events.iter().filter(|e| matches!(e.kind, EventKind::Incident(_))).collect();
    assert!(incidents.is_empty(), "{} incidents, the first is {:?}", incidents.len(), incidents[0]);
}

/// Live trades against cryptofeed's, in order of each instrument (it replays one connection after the other), every
/// field. Gives how many.
pub fn trades_equal(events: &[Event], records: &[Value]) -> usize {
    let mut ours: Vec<_> = events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::Trade(t) if !t.snapshot => Some((
                e.symbol.clone().expect("a symbol"),
                e.ts_exchange.expect("a time"),
                e.ts_capture,
                side_text(t.side).to_owned(),
                t.price,
                t.size,
                t.id.clone().expect("an id"),
            )),
            _ => None,
        })
        .collect();
    let mut theirs: Vec<_> = of_type(records, "Trade")
        .into_iter()
        .map(|r| {
            (
                symbol(r),
                seconds(r, "timestamp"),
                seconds(r, "receipt_timestamp"),
                text(r, "side").to_owned(),
                number(r, "price").expect("a price"),
                number(r, "amount").expect("an amount"),
                text(r, "id").to_owned(),
            )
        })
        .collect();
    assert_eq!(ours.len(), theirs.len(), "trades");
    // Stable: the order within an instrument stays as it is.
    ours.sort_by(|a, b| a.0.cmp(&b.0));
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    ours.iter().zip(&theirs).for_each(|(a, b)| assert_eq!(a, b));
    ours.len()
}

/// Equal as doubles.
pub fn as_double(value: Decimal, record: &Value, field: &str) {
    assert!(same_double(value, &record[field]), "{value}: {field} of {record}");
}

/// A time of tardis-dev (milliseconds, cut off) against ours.
pub fn same_millisecond(ours: Timestamp, record: &Value, field: &str) {
    let theirs = Timestamp::parse_rfc3339(text(record, field).as_bytes()).expect("a time");
    assert_eq!(ours.millis(), theirs.millis(), "{field} of {record}");
}

/// One trade against tardis-dev's.
pub fn trade_equals_tardis(event: &Event, record: &Value) {
    let EventKind::Trade(trade) = &event.kind else { panic!("{event:?} is no trade") };
    as_double(trade.price, record, "price");
    as_double(trade.size, record, "amount");
    assert_eq!(side_text(trade.side), text(record, "side"), "{record}");
    assert_eq!(trade.id.as_deref(), Some(text(record, "id")));
    same_millisecond(event.ts_exchange.expect("a time"), record, "timestamp");
}

/// Live trades against tardis-dev's, in order of each instrument. `name` gives its words for one of our instruments.
pub fn trades_equal_tardis(
    events: &[Event],
    records: &[Value],
    name: impl Fn(&Symbol) -> (&'static str, String),
) -> usize {
    let is_live = |e: &&Event| matches!(&e.kind, EventKind::Trade(t) if !t.snapshot);
    let mut ours: Vec<_> =
        events.iter().filter(is_live).map(|e| (name(e.symbol.as_ref().expect("a symbol")), e)).collect();
    let mut theirs: Vec<_> = of_type(records, "trade")
        .into_iter()
        .map(|r| ((text(r, "exchange"), text(r, "symbol").to_owned()), r))
        .collect();
    assert_eq!(ours.len(), theirs.len(), "trades");
    ours.sort_by(|a, b| a.0.cmp(&b.0));
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    for ((instrument, event), (expected, record)) in ours.iter().zip(&theirs) {
        assert_eq!(instrument, expected);
        trade_equals_tardis(event, record);
        same_millisecond(event.ts_capture, record, "localTimestamp");
    }
    ours.len()
}

/// A side of a book in a reference file.
pub fn reference_levels(side: &Value) -> Vec<openmesh_market::event::Level> {
    levels_of(side)
}

/// The books after the last frame as cryptofeed has them.
pub fn final_books(set: &Path) -> BTreeMap<Symbol, Value> {
    let text: String = lines(&set.join("reference/cryptofeed.final_books.json.gz")).collect();
    let books: BTreeMap<String, Value> = serde_json::from_str(&text).expect("json");
    books.into_iter().map(|(name, book)| (symbol_of(&name), book)).collect()
}

/// Replays and holds the book after each message against what cryptofeed says of its own: symbol, times, numbers of
/// levels, best levels. `sides` are those that are right in the reference. Gives how many.
pub fn books_follow(session: impl Session + 'static, traffic: &[Line], records: &[Value], sides: &[Side]) -> usize {
    let mut player = Player::new(Box::new(session));
    let mut records = of_type(records, "OrderBook").into_iter();
    let mut count = 0;
    let mut events = Vec::new();
    for line in traffic {
        events.clear();
        player.line(line, &mut events);
        for event in &events {
            if !matches!(event.kind, EventKind::BookSnapshot(_) | EventKind::BookDelta(_)) {
                continue;
            }
            let record = records.next().expect("as many book messages as the reference has");
            let name = symbol(record);
            assert_eq!(event.symbol.as_ref(), Some(&name));
            assert_eq!(event.ts_capture, seconds(record, "receipt_timestamp"));
            let book = player.session().book(&name).expect("a book in step");
            for side in sides {
                let (n, best) = if *side == Side::Buy { ("n_bids", "best_bid") } else { ("n_asks", "best_ask") };
                assert_eq!(book.depth(*side) as u64, record[n].as_u64().expect("a count"), "{n} of {record}");
                let expected = reference_levels(&Value::Array(vec![record[best].clone()]));
                assert_eq!(book.best(*side), expected.first(), "{best} of {record}");
            }
            count += 1;
        }
    }
    assert!(records.next().is_none(), "the reference has more book messages");
    count
}

/// A fault of frames between a venue and us.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It does not arrive.
    Drop,
    /// It arrives twice.
    Repeat,
    /// It arrives after the next one.
    Late,
}

/// Received frames with faults at the given places, as fractions of what lies before the last tenth: a fault at the very
/// end has nothing after it that could show it.
pub fn with_faults(traffic: &[Line], faults: &[(f64, Fault)]) -> Vec<Line> {
    let mut traffic = traffic.to_vec();
    for (place, fault) in faults {
        let received: Vec<usize> = (0..traffic.len()).filter(|i| matches!(traffic[*i], Line::Receive { .. })).collect();
        let at = received[(place * 0.9 * received.len() as f64) as usize];
        match fault {
            Fault::Drop => drop(traffic.remove(at)),
            Fault::Repeat => traffic.insert(at, traffic[at].clone()),
            Fault::Late => traffic.swap(at, at + 1),
        }
    }
    traffic
}

/// One or several faults.
pub fn faults() -> impl proptest::strategy::Strategy<Value = Vec<(f64, Fault)>> {
    use proptest::prelude::*;
    let fault = prop_oneof![Just(Fault::Drop), Just(Fault::Repeat), Just(Fault::Late)];
    proptest::collection::vec((0.0..1.0, fault), 1..4)
}

/// Feeds a frame into a session that has just been opened at `url`.
pub fn feed(session: &mut dyn Session, url: &str, frames: &[&[u8]]) -> Vec<Event> {
    use openmesh_dialect::{Input, Output};
    use openmesh_market::ConnectionId;
    let mut output = Output::default();
    let connection = ConnectionId(0);
    session.handle(Input::Opened { connection, url }, Timestamp(0), &mut output);
    for data in frames {
        session.handle(Input::Frame { connection, data }, Timestamp(0), &mut output);
        session.handle(Input::Tick, Timestamp(0), &mut output);
    }
    output.events
}

/// Frames that were mutated, cut, or are plain noise.
pub fn broken(templates: &'static [&'static str]) -> impl proptest::strategy::Strategy<Value = Vec<Vec<u8>>> {
    use proptest::prelude::*;
    let mutated =
        (0..templates.len(), proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..6))
            .prop_map(|(template, edits)| {
                let mut bytes = templates[template].as_bytes().to_vec();
                for (at, byte, what) in edits {
                    let at = at.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
                    match what {
                        _ if bytes.is_empty() => {}
                        0 => bytes[at] = byte,
                        1 => drop(bytes.remove(at)),
                        2 => bytes.insert(at, byte),
                        // Digits for digits: still JSON, with other numbers.
                        _ => bytes[at] = if bytes[at].is_ascii_digit() { b'0' + byte % 10 } else { bytes[at] },
                    }
                }
                bytes
            });
    let noise = proptest::collection::vec(any::<u8>(), 0..200);
    proptest::collection::vec(prop_oneof![4 => mutated, 1 => noise], 1..12)
}
