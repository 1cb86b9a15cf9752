//! Coinbase Advanced Trade against a recorded session and the reference normaliser.
//!
//! Not usable here: `tardis-mapper-fixtures/coinbase.jsonl` and `openmesh-mock/mock_data/coinbase.json` hold messages
//! of the older Exchange feed (`match`, `l2update`, orders by id), another protocol.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use openmesh_dialect::Session;
use openmesh_dialect::client::coinbase::Coinbase;
use openmesh_market::{EventKind, Exchange, Side};
use openmesh_primitives::Timestamp;
use proptest::prelude::*;

mod replay;
use replay::*;

const SET: &str = "cf-COINBASE-20260809-first14s";
const REFERENCE: &str = "cryptofeed-3.0.0dev.normalized.jsonl.gz";

#[test]
fn trades_are_those_of_the_reference() {
    let Some(set) = set(SET) else { return };
    let (events, _) = play(Coinbase::new(), &traffic(&set));
    without_incidents(&events);
    assert_eq!(trades_equal(&events, &reference(&set, REFERENCE)), 57);
    // The reference leaves the trades out that came as history; here they are marked.
    let history = events.iter().filter(|e| matches!(&e.kind, EventKind::Trade(t) if t.snapshot)).count();
    assert_eq!(history, 200);
}

/// The side of trades needs a decision (see `wire::side`): measured, not believed.
#[test]
fn the_venues_side_of_a_trade_is_the_makers() {
    let Some(set) = set(SET) else { return };
    let (events, _) = play(Coinbase::new(), &traffic(&set));
    let (mut best, mut agree, mut disagree) = (std::collections::BTreeMap::new(), 0, 0);
    for event in &events {
        match &event.kind {
            EventKind::Ticker(ticker) => drop(best.insert(event.symbol.clone(), (ticker.bid, ticker.ask))),
            EventKind::Trade(trade) if !trade.snapshot => {
                let Some((bid, ask)) = best.get(&event.symbol) else { continue };
                let maker = if Some(trade.price) == *ask {
                    Side::Sell
                } else if Some(trade.price) == *bid {
                    Side::Buy
                } else {
                    continue;
                };
                if trade.side == maker { agree += 1 } else { disagree += 1 }
            }
            _ => {}
        }
    }
    assert_eq!((agree, disagree), (48, 0));
}

/// Known error of the reference: it looks for `ask` in the snapshot where the venue writes `offer`, and so begins with no
/// asks at all. Its final asks are those levels that some later update set; each of them must be in our book with the
/// same size, and what it has not must be a level of the snapshot that no update touched.
#[test]
fn books_are_those_of_the_reference() {
    let Some(set) = set(SET) else { return };
    let traffic = traffic(&set);
    let (events, player) = play(Coinbase::new(), &traffic);
    let expected = final_books(&set);
    assert_eq!(player.session().books().len(), expected.len());
    let mut bids = 0;
    for (symbol, book) in player.session().books() {
        let reference = &expected[&symbol];
        assert_eq!(levels(book, Side::Buy), reference_levels(&reference["bid"]), "{symbol}");
        bids += book.depth(Side::Buy);
        let mut untouched = std::collections::BTreeMap::new();
        for event in events.iter().filter(|e| e.symbol.as_ref() == Some(&symbol)) {
            match &event.kind {
                EventKind::BookSnapshot(snapshot) => untouched.extend(snapshot.asks.iter().copied()),
                EventKind::BookDelta(delta) => {
                    for level in &delta.asks {
                        untouched.remove(&level.0);
                    }
                }
                _ => {}
            }
        }
        let ours: Vec<_> = levels(book, Side::Sell).into_iter().filter(|l| !untouched.contains_key(&l.0)).collect();
        assert_eq!(ours, reference_levels(&reference["ask"]), "{symbol}");
        assert_eq!(book.depth(Side::Sell), ours.len() + untouched.len(), "{symbol}");
        assert!(untouched.len() > 16_000);
    }
    assert_eq!(bids, 18_774 + 6_936);
    let records = reference(&set, REFERENCE);
    assert_eq!(books_follow(Coinbase::new(), &traffic, &records, &[Side::Buy]), 448);
}

/// The reference stamps books with the message's time, which is the gateway's; ours have the matching engine's. The
/// deltas themselves are the same on both sides (it leaves out the removal of levels that it does not have).
#[test]
fn deltas_are_those_of_the_reference() {
    let Some(set) = set(SET) else { return };
    let (events, _) = play(Coinbase::new(), &traffic(&set));
    let records = reference(&set, REFERENCE);
    let ours: Vec<_> = events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::BookDelta(delta) => Some((e.symbol.clone().unwrap(), delta)),
            _ => None,
        })
        .collect();
    let theirs: Vec<_> = of_type(&records, "OrderBook").into_iter().filter(|r| !r["delta"].is_null()).collect();
    assert_eq!((ours.len(), theirs.len()), (446, 446));
    for ((name, delta), record) in ours.iter().zip(theirs) {
        assert_eq!(*name, symbol(record));
        for (ours, side) in [(&delta.bids, "bid"), (&delta.asks, "ask")] {
            let theirs = reference_levels(&record["delta"][side]);
            let kept: Vec<_> = ours.iter().copied().filter(|l| !l.1.is_zero() || theirs.contains(l)).collect();
            assert_eq!(kept, theirs, "{record}");
        }
    }
}

/// Tickers: the reference has bid and ask only. Candles: `stop` and `closed` are the reference's own inventions (the
/// venue sends neither), the rest is equal.
#[test]
fn tickers_and_candles_are_those_of_the_reference() {
    let Some(set) = set(SET) else { return };
    let (events, _) = play(Coinbase::new(), &traffic(&set));
    let records = reference(&set, REFERENCE);
    let micros = |t: Timestamp| t.micros();
    let mut tickers = of_type(&records, "Ticker").into_iter();
    let mut candles = of_type(&records, "Candle").into_iter();
    for event in &events {
        let check = |record: &serde_json::Value| {
            assert_eq!(event.symbol.as_ref(), Some(&symbol(record)));
            // The reference keeps microseconds.
            assert_eq!(micros(event.ts_exchange.unwrap()), micros(seconds(record, "timestamp")));
            assert_eq!(event.ts_capture, seconds(record, "receipt_timestamp"));
        };
        match &event.kind {
            EventKind::Ticker(ticker) => {
                let record = tickers.next().unwrap();
                check(record);
                assert_eq!((ticker.bid, ticker.ask), (number(record, "bid"), number(record, "ask")));
                assert!(ticker.bid_size.is_some() && ticker.ask_size.is_some() && ticker.last.is_some());
            }
            EventKind::Candle(candle) => {
                let record = candles.next().unwrap();
                check(record);
                assert_eq!(candle.start, seconds(record, "start"));
                assert_eq!(candle.interval, text(record, "interval"));
                for (ours, field) in [
                    (candle.open, "open"),
                    (candle.high, "high"),
                    (candle.low, "low"),
                    (candle.close, "close"),
                    (candle.volume, "volume"),
                ] {
                    assert_eq!(Some(ours), number(record, field), "{field} of {record}");
                }
                assert_eq!((candle.stop, candle.closed), (None, None));
            }
            _ => {}
        }
    }
    assert!(tickers.next().is_none() && candles.next().is_none());
    assert_eq!((of_type(&records, "Ticker").len(), of_type(&records, "Candle").len()), (100, 202));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever happens to the frames: it is said, and no book that counts as in step is wrong.
    #[test]
    fn faults_are_said(faults in faults()) {
        let Some(set) = set(SET) else { return Ok(()) };
        let clean = traffic(&set);
        let faulty = with_faults(&clean, &faults);
        let (events, player) = play(Coinbase::new(), &faulty);
        let said = events.iter().any(|e| matches!(e.kind, EventKind::Incident(_)));
        // Two faults may undo each other; then the frames are the same as before.
        prop_assert!(said || faulty == clean);
        let (_, right) = play(Coinbase::new(), &clean);
        for (symbol, book) in player.session().books() {
            prop_assert_eq!(Some(book), right.session().book(&symbol));
        }
    }
}

const TEMPLATES: &[&str] = &[
    r#"{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.48Z","sequence_num":0,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-08-09T21:05:48.1Z","price_level":"10.5","new_quantity":"1"},{"side":"offer","event_time":"2026-08-09T21:05:48.1Z","price_level":"11.5","new_quantity":"1"}]}]}"#,
    r#"{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.48Z","sequence_num":1,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-08-09T21:05:48.1Z","price_level":"10.5","new_quantity":"0"}]}]}"#,
    r#"{"channel":"market_trades","timestamp":"2026-08-09T21:05:48.25Z","sequence_num":2,"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"7","price":"65083.67","size":"0.01","time":"2026-08-09T21:05:48.167634Z","side":"SELL"}]}]}"#,
    r#"{"channel":"ticker","timestamp":"2026-08-09T21:05:48.2Z","sequence_num":3,"events":[{"type":"update","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"65086.18","best_bid":"65083.66","best_ask":"65083.67","best_bid_quantity":"0.2","best_ask_quantity":"0.24"}]}]}"#,
    r#"{"channel":"candles","timestamp":"2026-08-09T21:05:48.2Z","sequence_num":4,"events":[{"type":"update","candles":[{"start":"1786309500","high":"3","low":"1","open":"2","close":"2","volume":"1.05","product_id":"BTC-USD"}]}]}"#,
    r#"{"channel":"heartbeats","timestamp":"2026-08-09T21:05:48.8Z","sequence_num":5,"events":[{"current_time":"x","heartbeat_counter":41691}]}"#,
    r#"{"type":"error","message":"no"}"#,
];

proptest! {
    /// Nothing that a frame can hold makes the session panic.
    #[test]
    fn never_panics(frames in broken(TEMPLATES), body in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut session = Coinbase::new();
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        for event in feed(&mut session, "wss://x", &frames) {
            prop_assert_eq!(event.exchange, Exchange::Coinbase);
            // What was made of it can be written and read back.
            let json = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<openmesh_market::Event>(&json).unwrap(), &event);
        }
        let input = openmesh_dialect::Input::Response { url: "/brokerage/market/products", status: 200, body: &body };
        session.handle(input, Timestamp(0), &mut openmesh_dialect::Output::default());
    }
}
