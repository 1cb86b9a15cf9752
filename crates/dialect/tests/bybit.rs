//! Bybit v5 against recorded sessions and the reference normalisers.
//!
//! Not usable here: `openmesh-mock/mock_data/bybit.json` and the older lines of `tardis-mapper-fixtures/bybit.jsonl` hold
//! messages of the protocols before v5 (`trade.`, `orderBookL2_25.`, `bookticker.`).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use openmesh_dialect::Session;
use openmesh_dialect::client::bybit::Bybit;
use openmesh_dialect::recording::{Line, Player};
use openmesh_market::event::{Funding, Ticker};
use openmesh_market::{Event, EventKind, Exchange, Side};
use openmesh_primitives::{Contract, Decimal, Symbol, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

mod replay;
use replay::*;

const SET: &str = "cf-BYBIT-20260809-BTC-DOGE";
const CRYPTOFEED: &str = "cryptofeed-3.0.0dev.normalized.jsonl.gz";
const TARDIS: &str = "tardis-dev-bybit+bybit-spot.normalized.jsonl.gz";
const LINEAR: &str = "wss://stream.bybit.com/v5/public/linear";

#[test]
fn trades_are_those_of_both_references() {
    let Some(set) = set(SET) else { return };
    let (events, _) = play(Bybit::new(), &traffic(&set));
    without_incidents(&events);
    assert_eq!(trades_equal(&events, &reference(&set, CRYPTOFEED)), 150);
    let name = |symbol: &Symbol| {
        let exchange = if symbol.contract == Contract::Spot { "bybit-spot" } else { "bybit" };
        (exchange, format!("{}{}", symbol.base, symbol.quote))
    };
    assert_eq!(trades_equal_tardis(&events, &reference(&set, TARDIS), name), 150);
}

#[test]
fn books_are_those_of_the_reference() {
    let Some(set) = set(SET) else { return };
    let traffic = traffic(&set);
    let (_, player) = play(Bybit::new(), &traffic);
    let expected = final_books(&set);
    assert_eq!(player.session().books().len(), expected.len());
    for (symbol, book) in player.session().books() {
        assert_eq!(levels(book, Side::Buy), reference_levels(&expected[&symbol]["bid"]), "{symbol}");
        assert_eq!(levels(book, Side::Sell), reference_levels(&expected[&symbol]["ask"]), "{symbol}");
    }
    let records = reference(&set, CRYPTOFEED);
    assert_eq!(books_in_order_of_the_reference(&traffic, &records), 1_094);
}

/// The reference replayed one connection after the other, so its records are compared connection by connection.
fn books_in_order_of_the_reference(traffic: &[Line], records: &[Value]) -> usize {
    [true, false]
        .into_iter()
        .map(|spot| {
            let only: Vec<Line> = traffic.iter().filter(|line| belongs(line, spot)).cloned().collect();
            let records: Vec<Value> =
                records.iter().filter(|r| (symbol(r).contract == Contract::Spot) == spot).cloned().collect();
            books_follow(Bybit::new(), &only, &records, &[Side::Buy, Side::Sell])
        })
        .sum()
}

fn belongs(line: &Line, spot: bool) -> bool {
    match line {
        Line::Connect { connection, .. } | Line::Send { connection, .. } | Line::Receive { connection, .. } => {
            connection.ends_with("ws.3") == spot
        }
        _ => true,
    }
}

/// The known state of an instrument after its latest ticker message.
#[derive(Default, Clone)]
struct State {
    ticker: Ticker,
    funding: Option<Funding>,
    open_interest: Option<Decimal>,
    index: Option<Decimal>,
    mark: Option<Decimal>,
}

impl State {
    fn take(&mut self, event: &Event) -> bool {
        match &event.kind {
            EventKind::Ticker(ticker) => {
                self.ticker = ticker.clone();
                return true;
            }
            EventKind::Funding(funding) => self.funding = Some(funding.clone()),
            EventKind::OpenInterest(o) => self.open_interest = Some(o.open_interest),
            EventKind::IndexPrice(p) => self.index = Some(p.price),
            EventKind::MarkPrice(p) => self.mark = Some(p.price),
            _ => {}
        }
        false
    }
}

/// The state after each ticker message, with its time.
fn states(traffic: &[Line]) -> Vec<(Symbol, Timestamp, Timestamp, State)> {
    let mut player = Player::new(Box::new(Bybit::new()));
    let mut known: BTreeMap<Symbol, State> = BTreeMap::new();
    let (mut states, mut events) = (Vec::new(), Vec::new());
    for line in traffic {
        events.clear();
        player.line(line, &mut events);
        let mut message = None;
        for event in &events {
            let Some(symbol) = &event.symbol else { continue };
            if known.entry(symbol.clone()).or_default().take(event) {
                message = Some((symbol.clone(), event.ts_exchange.expect("a time"), event.ts_capture));
            }
        }
        if let Some((symbol, at, captured)) = message {
            let state = known[&symbol].clone();
            states.push((symbol, at, captured, state));
        }
    }
    states
}

/// cryptofeed gives ticker, funding, open interest and index at every ticker message, changed or not; here an event says
/// what the message carried. The values after each message are the same, all 349 of them. Known differences: the
/// reference makes bid and ask 0 where a spot ticker has none; it has no mark price but that in its funding.
#[test]
fn ticker_values_are_those_of_cryptofeed_at_every_message() {
    let Some(set) = set(SET) else { return };
    let records = reference(&set, CRYPTOFEED);
    let states = states(&traffic(&set));
    let mut counts = BTreeMap::new();
    for kind in ["Ticker", "Funding", "OpenInterest", "Index"] {
        let mut by_symbol: BTreeMap<Symbol, Vec<&Value>> = BTreeMap::new();
        of_type(&records, kind).into_iter().for_each(|r| by_symbol.entry(symbol(r)).or_default().push(r));
        for (name, records) in by_symbol {
            let ours: Vec<_> = states.iter().filter(|s| s.0 == name).collect();
            assert_eq!(ours.len(), records.len(), "{kind} of {name}");
            for ((_, at, captured, state), record) in ours.into_iter().zip(records) {
                assert_eq!((*at, *captured), (seconds(record, "timestamp"), seconds(record, "receipt_timestamp")));
                match kind {
                    "Ticker" if name.contract == Contract::Spot => {
                        assert_eq!((state.ticker.bid, state.ticker.ask), (None, None));
                        assert_eq!(number(record, "bid"), Some(Decimal::ZERO));
                    }
                    "Ticker" => {
                        assert_eq!(
                            (state.ticker.bid, state.ticker.ask),
                            (number(record, "bid"), number(record, "ask"))
                        );
                    }
                    "Funding" => {
                        let funding = state.funding.as_ref().unwrap();
                        assert_eq!(Some(funding.rate), number(record, "rate"));
                        assert_eq!(funding.next_funding, Some(seconds(record, "next_funding_time")));
                        assert_eq!(state.mark, number(record, "mark_price"));
                    }
                    "OpenInterest" => assert_eq!(state.open_interest, number(record, "open_interest")),
                    _ => assert_eq!(state.index, number(record, "price")),
                }
                *counts.entry(kind).or_insert(0) += 1;
            }
        }
    }
    let expected = [("Funding", 349), ("Index", 349), ("OpenInterest", 349), ("Ticker", 390)];
    assert_eq!(counts, BTreeMap::from(expected));
}

/// tardis-dev gives one record when one of a few fields has changed.
#[test]
fn ticker_values_are_those_of_tardis() {
    let Some(set) = set(SET) else { return };
    let states = states(&traffic(&set));
    let records = reference(&set, TARDIS);
    let records = of_type(&records, "derivative_ticker");
    for record in &records {
        let at = Timestamp::parse_rfc3339(text(record, "timestamp").as_bytes()).unwrap();
        let name = Symbol::perpetual(text(record, "symbol").strip_suffix("USDT").unwrap(), "USDT");
        let found: Vec<_> = states.iter().filter(|s| s.0 == name && s.1 == at).collect();
        assert_eq!(found.len(), 1, "{record}");
        derivative_equals(&found[0].3, record);
    }
    assert_eq!(records.len(), 96);
}

fn derivative_equals(state: &State, record: &Value) {
    let funding = state.funding.as_ref();
    for (ours, field) in [
        (state.ticker.last, "lastPrice"),
        (state.open_interest, "openInterest"),
        (state.index, "indexPrice"),
        (state.mark, "markPrice"),
        (funding.map(|f| f.rate), "fundingRate"),
    ] {
        match ours {
            Some(ours) => as_double(ours, record, field),
            None => assert!(record[field].is_null(), "{field} of {record}"),
        }
    }
    if let Some(funding) = funding {
        same_millisecond(funding.next_funding.expect("a time"), record, "fundingTimestamp");
    }
}

#[test]
fn candles_are_those_of_the_reference() {
    let Some(set) = set(SET) else { return };
    let (events, _) = play(Bybit::new(), &traffic(&set));
    let records = reference(&set, CRYPTOFEED);
    let mut by_symbol: BTreeMap<Symbol, Vec<&Value>> = BTreeMap::new();
    of_type(&records, "Candle").into_iter().rev().for_each(|r| by_symbol.entry(symbol(r)).or_default().push(r));
    let mut count = 0;
    for event in &events {
        let EventKind::Candle(candle) = &event.kind else { continue };
        let record = by_symbol.get_mut(event.symbol.as_ref().unwrap()).and_then(Vec::pop).unwrap();
        assert_eq!(event.ts_exchange, Some(seconds(record, "timestamp")));
        assert_eq!((candle.start, candle.stop), (seconds(record, "start"), Some(seconds(record, "stop"))));
        assert_eq!((candle.interval.as_str(), candle.closed), (text(record, "interval"), record["closed"].as_bool()));
        for (ours, field) in [
            (candle.open, "open"),
            (candle.high, "high"),
            (candle.low, "low"),
            (candle.close, "close"),
            (candle.volume, "volume"),
        ] {
            assert_eq!(Some(ours), number(record, field), "{field} of {record}");
        }
        count += 1;
    }
    assert_eq!(count, 51);
}

#[test]
fn the_deep_book_of_the_archive_has_no_gap() {
    let Some(set) = set("bybit-ob500-xrpusdt-20241201") else { return };
    let frames: Vec<String> = lines(&set.join("2024-12-01_XRPUSDT_ob500.data.gz")).collect();
    let mut session = Bybit::new();
    let frames: Vec<&[u8]> = frames.iter().map(|f| f.as_bytes()).collect();
    let events = feed(&mut session, LINEAR, &frames);
    without_incidents(&events);
    let numbers: Vec<u64> = events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::BookSnapshot(b) => b.sequence,
            EventKind::BookDelta(b) => b.sequence,
            _ => None,
        })
        .collect();
    assert_eq!(numbers.len(), 50);
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1));
    let book = session.book(&Symbol::perpetual("XRP", "USDT")).unwrap();
    assert_eq!((book.depth(Side::Buy), book.depth(Side::Sell)), (500, 500));
    assert!(!book.is_crossed());
}

/// Left out of the fixtures: `orderbook.1` (a best-price feed that is not subscribed to here), the inverse market's
/// contracts as far as names go (only the fields are compared), liquidations before v5 (`qty`, `time`), and the first
/// `allLiquidation` line, for which tardis-dev gives nothing because of the date it was told.
#[test]
fn fields_are_mapped_as_in_the_fixtures_of_tardis() {
    let Some(set) = set("tardis-mapper-fixtures") else { return };
    let mut session = Bybit::new();
    let (mut compared, mut state) = (0, State::default());
    for line in lines(&set.join("bybit.jsonl")) {
        let line: Value = serde_json::from_str(&line).unwrap();
        let (message, expected) = (&line["message"], line["normalized"].as_array().unwrap());
        let topic = message["topic"].as_str().unwrap_or_default();
        let spoken =
            ["publicTrade.", "orderbook.50.", "tickers.", "allLiquidation."].iter().any(|t| topic.starts_with(t))
                || (topic.starts_with("liquidation.") && !message["data"]["updatedTime"].is_null());
        if !spoken || expected.is_empty() {
            continue;
        }
        let frame = message.to_string();
        let mut output = openmesh_dialect::Output::default();
        let connection = openmesh_market::ConnectionId(0);
        session.handle(
            openmesh_dialect::Input::Frame { connection, data: frame.as_bytes() },
            Timestamp(0),
            &mut output,
        );
        without_incidents(&output.events);
        if topic.starts_with("tickers.") {
            if message["type"] == "snapshot" {
                state = State::default();
            }
            for event in &output.events {
                state.take(event);
            }
            derivative_equals(&state, &expected[0]);
            same_millisecond(output.events[0].ts_exchange.unwrap(), &expected[0], "timestamp");
            compared += 1;
            continue;
        }
        assert_eq!(output.events.len(), expected.len(), "{topic}");
        for (event, record) in output.events.iter().zip(expected) {
            same_millisecond(event.ts_exchange.unwrap(), record, "timestamp");
            match &event.kind {
                EventKind::Trade(_) => trade_equals_tardis(event, record),
                EventKind::Liquidation(forced) => {
                    as_double(forced.price, record, "price");
                    as_double(forced.size, record, "amount");
                    assert_eq!(record["side"], if forced.side == Side::Buy { "buy" } else { "sell" });
                }
                EventKind::BookSnapshot(book) => {
                    assert_eq!(record["isSnapshot"], true);
                    as_double(book.bids[0].1, &record["bids"][0], "amount");
                }
                EventKind::BookDelta(book) => {
                    assert_eq!(record["isSnapshot"], false);
                    as_double(book.asks[0].1, &record["asks"][0], "amount");
                }
                other => panic!("{other:?}"),
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 13);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens to the frames: no book that counts as in step is wrong, and one that is missing was spoken of.
    #[test]
    fn faults_leave_no_wrong_book(faults in faults()) {
        let Some(set) = set(SET) else { return Ok(()) };
        let clean = traffic(&set);
        let (_, right) = play(Bybit::new(), &clean);
        let (events, player) = play(Bybit::new(), &with_faults(&clean, &faults));
        for (symbol, book) in right.session().books() {
            let said = events.iter().any(|e| matches!(e.kind, EventKind::Incident(_)) && e.symbol.as_ref() == Some(&symbol));
            match player.session().book(&symbol) {
                Some(ours) => prop_assert_eq!(ours, book),
                None => prop_assert!(said, "{} is missing and nothing was said", symbol),
            }
        }
    }
}

const TEMPLATES: &[&str] = &[
    r#"{"topic":"orderbook.200.BTCUSDT","type":"snapshot","ts":1786310818129,"data":{"s":"BTCUSDT","b":[["65114.20","6.054"]],"a":[["65114.30","1"]],"u":5,"seq":1},"cts":1}"#,
    r#"{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":1786310818130,"data":{"s":"BTCUSDT","b":[["65114.20","0"]],"a":[],"u":6,"seq":2},"cts":1}"#,
    r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1786310819681,"data":[{"T":1786310819680,"s":"BTCUSDT","S":"Sell","v":"0.004","p":"65114.20","L":"MinusTick","i":"a9188a0a","BT":false}]}"#,
    r#"{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","lastPrice":"65114.30","markPrice":"65117.44","indexPrice":"1","openInterest":"5","nextFundingTime":"1786320000000","fundingRate":"0.0001","bid1Price":"2","bid1Size":"3","ask1Price":"4","ask1Size":"5"},"cs":7,"ts":1786310817583}"#,
    r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"65117.43","fundingRate":""},"cs":8,"ts":1786310818183}"#,
    r#"{"topic":"kline.1.BTCUSDT","data":[{"start":1786310760000,"end":1786310819999,"interval":"1","open":"1","close":"2","high":"3","low":"0.5","volume":"1.576","turnover":"9","confirm":false,"timestamp":1786310818440}],"ts":1786310818440,"type":"snapshot"}"#,
    r#"{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":2,"data":[{"T":1,"s":"BTCUSDT","S":"Buy","v":"3","p":"0.5"}]}"#,
    r#"{"success":false,"ret_msg":"no","conn_id":"x","op":"subscribe"}"#,
];

proptest! {
    /// Nothing that a frame can hold makes the session panic.
    #[test]
    fn never_panics(frames in broken(TEMPLATES), body in proptest::collection::vec(any::<u8>(), 0..100)) {
        for url in [LINEAR, "wss://x/spot"] {
            let mut session = Bybit::new();
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            for event in feed(&mut session, url, &frames) {
                prop_assert_eq!(event.exchange, Exchange::Bybit);
                let json = serde_json::to_string(&event).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Event>(&json).unwrap(), &event);
            }
            let input = openmesh_dialect::Input::Response { url: "/market/instruments-info", status: 200, body: &body };
            session.handle(input, Timestamp(0), &mut openmesh_dialect::Output::default());
        }
    }
}
