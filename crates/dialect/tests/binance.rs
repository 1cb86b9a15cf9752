//! Binance's recordings, spot and USD-M futures, against the reference normalisers and an independently built book, and
//! with frames lost, repeated and out of order.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod reference;

use std::path::Path;

use openmesh_dialect::recording::{Line, Player};
use openmesh_market::{Event, EventKind, Exchange, Feed, Side};
use openmesh_primitives::Symbol;
use proptest::strategy::{Strategy, ValueTree};
use reference::{Follower, Played};
use serde_json::Value;

/// A set from cryptofeed, with what its references hold.
fn recording_equals_cryptofeed(name: &str, [trades, tickers, candles]: [usize; 3]) {
    let Some(set) = reference::set(name) else { return };
    let played = reference::play(&reference::frames(&set));
    assert_eq!(played.incidents(), Vec::<String>::new());
    assert_eq!(reference::trades_equal_cryptofeed(&played, &set), trades);
    assert_eq!(reference::tickers_equal_cryptofeed(&played, &set), tickers);
    assert_eq!(candles_equal_cryptofeed(&played, &set), candles);
    assert!(reference::books_equal_cryptofeed(&played, &set) > 100);
}

fn candles_equal_cryptofeed(played: &Played, set: &Path) -> usize {
    reference::candles_equal(played.events.iter(), &reference::cryptofeed(set, "Candle"))
}

#[test]
fn spot() {
    recording_equals_cryptofeed("cf-BINANCE-20211012", [2, 84, 2]);
}

#[test]
fn spot_of_binance_us() {
    recording_equals_cryptofeed("cf-BINANCE_US-20211012", [11, 128, 5]);
}

#[test]
fn spot_of_binance_tr() {
    recording_equals_cryptofeed("cf-BINANCE_TR-20230410", [0, 47, 8]);
}

#[test]
fn futures() {
    let name = "cf-BINANCE_FUTURES-20210722";
    let Some(set) = reference::set(name) else { return };
    let count = |kind| reference::cryptofeed(&set, kind).len();
    recording_equals_cryptofeed(name, [count("Trade"), count("Ticker"), count("Candle")]);
    assert!(count("Trade") > 50 && count("Ticker") > 500);
}

/// After each change, depth and best levels as cryptofeed has them: each with the book of its update id, since the order
/// of the two around a snapshot differs. (On futures it applies a change that ends with the snapshot's own update once
/// more, which changes nothing.)
fn states_equal_cryptofeed(name: &str) {
    let Some(set) = reference::set(name) else { return };
    let played = reference::play(&reference::frames(&set));
    let mut follower = Follower::default();
    let mut states = std::collections::BTreeMap::new();
    for event in &played.events {
        let sequence = match &event.kind {
            EventKind::BookDelta(d) => d.sequence,
            EventKind::BookSnapshot(s) => s.sequence,
            _ => None,
        };
        let Some((symbol, book)) = follower.take(event) else { continue };
        if let Some(sequence) = sequence {
            let best = |side| book.best(side).copied();
            let state = [(book.depth(Side::Buy), best(Side::Buy)), (book.depth(Side::Sell), best(Side::Sell))];
            states.insert((symbol.clone(), sequence), state);
        }
    }
    let mut compared = 0;
    for record in reference::cryptofeed(&set, "OrderBook") {
        let about = record.value();
        if about["delta"].is_null() {
            continue;
        }
        let sequence = about["sequence_number"].as_u64().unwrap();
        let [bids, asks] = &states[&(record.symbol(), sequence)];
        for ((depth, best), (count, field)) in [(bids, ("n_bids", "best_bid")), (asks, ("n_asks", "best_ask"))] {
            assert_eq!(Some(*depth as u64), about[count].as_u64(), "{about}");
            assert_eq!(*best, Some(reference::levels_of(&serde_json::json!([about[field]]))[0]), "{about}");
        }
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn every_change_leads_to_cryptofeeds_state() {
    for name in
        ["cf-BINANCE-20211012", "cf-BINANCE_US-20211012", "cf-BINANCE_TR-20230410", "cf-BINANCE_FUTURES-20210722"]
    {
        states_equal_cryptofeed(name);
    }
}

/// Lines of hftbacktest's recordings, which follow each other.
fn timed(set: &Path, files: &[&str]) -> impl Iterator<Item = Line> {
    let url = "https://recorded/depth?symbol=BTCUSDT&limit=1000";
    let texts: Vec<_> = files.iter().map(|file| reference::text_lines(&set.join(file))).collect();
    texts.into_iter().flatten().map(|text| Line::parse_timed(&text, url).expect("a timed line"))
}

/// Ten minutes of BTCUSDT: every trade, the book of each second to 20 levels, the whole book at the end, and the best
/// bid and ask against the ticker, which is a stream of its own.
fn long_recording(exchange: Exchange, name: &str, files: &[&str], trades_file: &str, trades: usize) {
    let Some(set) = reference::set(name) else { return };
    let mut player = Player::new(openmesh_dialect::session(exchange));
    let mut events: Vec<Event> = Vec::new();
    let seconds: Vec<Value> = reference::text_lines(&set.join("reference/book.top20.every-second.jsonl.gz"))
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect();
    let mut expected = seconds.iter().peekable();
    let (mut compared, mut best_compared) = (0, 0);
    let mut ticks = std::collections::BTreeMap::new();
    let mut follower = Follower::default();
    let mut seen = 0;
    for line in timed(&set, files) {
        player.line(&line, &mut events);
        for event in &events[seen..] {
            if let (EventKind::Ticker(t), Line::Receive { data, .. }) = (&event.kind, &line) {
                ticks.insert(update_id(data), t.clone());
            }
            let sequence = match &event.kind {
                EventKind::BookDelta(d) => d.sequence,
                EventKind::BookSnapshot(s) => s.sequence,
                _ => continue,
            };
            let (_, book) = follower.take(event).expect("a book");
            // The reference's last line has the update of the last second again, with all levels.
            while let Some(second) = expected.next_if(|s| s["update_id"].as_u64() == sequence) {
                for (side, field) in [(Side::Buy, "bids"), (Side::Sell, "asks")] {
                    let theirs = reference::levels_of(&second[field]);
                    let ours: Vec<_> = book.levels(side).take(theirs.len()).copied().collect();
                    assert_eq!(ours, theirs, "{field} after update {sequence:?}");
                }
                compared += 1;
            }
            if let Some(tick) = sequence.and_then(|s| ticks.get(&s)) {
                let best = |side| book.best(side).copied().unzip();
                assert_eq!(best(Side::Buy), (tick.bid, tick.bid_size), "best bid after update {sequence:?}");
                assert_eq!(best(Side::Sell), (tick.ask, tick.ask_size), "best ask after update {sequence:?}");
                best_compared += 1;
            }
        }
        seen = events.len();
    }
    assert!(expected.next().is_none(), "seconds without a book: {compared} of {} compared", seconds.len());
    let last = seconds.last().unwrap();
    let books: Vec<_> = player.session().books().into_iter().map(|(s, b)| (s, b.clone())).collect();
    assert_eq!(books.len(), 1);
    for (side, field) in [(Side::Buy, "bids"), (Side::Sell, "asks")] {
        assert_eq!(reference::side_of(&books[0].1, side), reference::levels_of(&last[field]), "{field} at the end");
    }
    let played = Played { events, books };
    assert_eq!(played.incidents(), Vec::<String>::new());
    let name_of = |symbol: &Symbol| format!("{}{}", symbol.base, symbol.quote);
    assert_eq!(reference::trades_equal_tardis(&played, &set, trades_file, name_of), trades);
    println!("{name}: {compared} seconds, {best_compared} best levels, {trades} trades");
    assert!(compared > 300 && best_compared > 300);
}

/// The update id of a ticker's frame.
fn update_id(data: &[u8]) -> u64 {
    let frame: Value = serde_json::from_slice(data).unwrap();
    frame["data"]["u"].as_u64().unwrap()
}

#[test]
fn ten_minutes_of_spot() {
    let files = ["btcusdt_20240808.gz", "btcusdt_20240809.gz"];
    let trades = "tardis-dev-binance.trades.jsonl.gz";
    long_recording(Exchange::Binance, "hft-binance-spot-btcusdt-20240808-09", &files, trades, 19_904);
}

#[test]
fn six_minutes_of_futures() {
    let trades = "tardis-dev-binance-futures.trades.jsonl.gz";
    let files = ["btcusdt_20240808.gz"];
    long_recording(Exchange::BinanceFutures, "hft-binance-usdm-btcusdt-20240808", &files, trades, 21_313);
}

/// Changes of one book with its snapshot first, and the lines that lead to them.
fn book_lines(set: &Path, name: &str) -> (Vec<Line>, Vec<Line>) {
    let (mut before, mut frames) = (Vec::new(), Vec::new());
    let stream = format!(r#"{{"stream":"{}@depth"#, name.to_lowercase());
    for line in reference::frames(set) {
        match &line {
            Line::Http { url, .. } if url.contains("/depth?") && !url.contains(&format!("={name}&")) => {}
            Line::Receive { data, .. } if data.starts_with(stream.as_bytes()) => frames.push(line),
            Line::Receive { .. } => {}
            Line::Http { url, .. } if url.contains("/depth?") => frames.insert(0, line),
            _ => before.push(line),
        }
    }
    (before, frames)
}

/// After any loss, repetition or swap of frames either an incident tells, or the final book is that of the whole
/// recording; and a book that fell out of step is not shown.
fn no_fault_leaves_a_wrong_book_in_silence(set: &str, name: &str) {
    let Some(set) = reference::set(set) else { return };
    let (before, frames) = book_lines(&set, name);
    assert!(frames.len() > 20, "{} frames", frames.len());
    let whole = reference::play(&[before.clone(), frames.clone()].concat());
    assert_eq!(whole.incidents(), Vec::<String>::new());
    let (mut told, mut same) = (0, 0);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..300 {
        let faults = proptest::collection::vec((1..frames.len() - 1, 0..4u8), 1..3);
        let faults = faults.new_tree(&mut runner).unwrap().current();
        let mut injured = frames.clone();
        for (at, kind) in &faults {
            let at = (*at).min(injured.len() - 1);
            match kind {
                0 => drop(injured.remove(at)),
                1 => injured.insert(at, injured[at].clone()),
                2 if at + 1 < injured.len() => injured.swap(at, at + 1),
                _ => {
                    if let Line::Receive { data, .. } = &mut injured[at] {
                        data.truncate(data.len() / 2);
                    }
                }
            }
        }
        let played = reference::play(&[before.clone(), injured].concat());
        if played.incidents().is_empty() {
            assert_eq!(played.books, whole.books, "{faults:?}");
            same += 1;
        } else {
            told += 1;
            // A repeated change is told and left out; the book goes on and is right.
            assert!(
                played.books.is_empty() || played.books == whole.books || lost_at_the_end(&faults, &frames),
                "{faults:?}"
            );
        }
    }
    assert!(told > 100, "{told} told, {same} the same");
}

/// A change cut short at the very end is told as garbage; the book is then right as of the change before.
fn lost_at_the_end(faults: &[(usize, u8)], frames: &[Line]) -> bool {
    faults.iter().any(|(at, _)| at + 3 >= frames.len())
}

#[test]
fn faults_on_spot() {
    no_fault_leaves_a_wrong_book_in_silence("cf-BINANCE_US-20211012", "COMPUSDT");
}

#[test]
fn faults_on_futures() {
    no_fault_leaves_a_wrong_book_in_silence("cf-BINANCE_FUTURES-20210722", "SUSHIUSDT");
}

/// Messages of tardis-dev's own tests. Its `depthSnapshot` is a wrapper around the REST answer and is unwrapped here.
/// Known differences, all theirs: it makes state of its own over several messages (`derivative_ticker`), gives the first
/// changes together with the snapshot, and times a spot ticker by its own clock.
fn fixtures_equal(file: &str, exchange: Exchange) -> usize {
    let Some(set) = reference::set("tardis-mapper-fixtures") else { return 0 };
    let mut compared = 0;
    let mut player = Player::new(openmesh_dialect::session(exchange));
    for text in reference::text_lines(&set.join(file)) {
        let fixture: Value = serde_json::from_str(&text).unwrap();
        let message = &fixture["message"];
        let stream = message["stream"].as_str().unwrap();
        let data = message["data"].to_string();
        let (name, kind) = stream.split_once('@').unwrap();
        let line = match kind {
            "depthSnapshot" => {
                // A new test begins with a new snapshot.
                let url = format!("https://recorded/depth?symbol={}", name.to_uppercase());
                Line::Http { at: Default::default(), url, data: data.into_bytes() }
            }
            "openInterest" => Line::Http {
                at: Default::default(),
                url: "https://recorded/openInterest".into(),
                data: data.into_bytes(),
            },
            _ => Line::Receive {
                at: Default::default(),
                connection: "a".into(),
                data: format!(r#"{{"stream":"{stream}","data":{data}}}"#).into_bytes(),
            },
        };
        let mut events = Vec::new();
        player.line(&line, &mut events);
        assert!(
            !events.iter().any(
                |e| matches!(&e.kind, EventKind::Incident(i) if i.kind == openmesh_market::event::IncidentKind::Garbage)
            ),
            "{message}: {events:?}"
        );
        for record in fixture["normalized"].as_array().unwrap() {
            compared += usize::from(events_show(&events, record, exchange));
        }
    }
    compared
}

/// Returns true where the events say what a record does; fails where they contradict it.
fn events_show(events: &[Event], record: &Value, exchange: Exchange) -> bool {
    let find = |feed: Feed| events.iter().find(|e| e.kind.feed() == Some(feed));
    let double = |ours, field: &str| {
        assert!(reference::same_double(ours, &record[field]), "{field} of {record}: {ours}");
    };
    let time =
        |event: &Event| assert_eq!(reference::millis_text(event.ts_exchange.unwrap()), record["timestamp"], "{record}");
    match record["type"].as_str().unwrap() {
        "trade" => {
            let event = find(Feed::Trades).unwrap_or_else(|| panic!("{record}"));
            let EventKind::Trade(trade) = &event.kind else { unreachable!("found as a trade") };
            time(event);
            double(trade.price, "price");
            double(trade.size, "amount");
            assert_eq!(reference::side_text(trade.side), record["side"]);
            assert_eq!(trade.id.as_deref(), record["id"].as_str());
        }
        "book_ticker" => {
            let event = find(Feed::Ticker).unwrap_or_else(|| panic!("{record}"));
            let EventKind::Ticker(ticker) = &event.kind else { unreachable!("found as a ticker") };
            match exchange {
                Exchange::BinanceFutures => time(event),
                _ => assert_eq!(event.ts_exchange, None),
            }
            double(ticker.bid.unwrap(), "bidPrice");
            double(ticker.bid_size.unwrap(), "bidAmount");
            double(ticker.ask.unwrap(), "askPrice");
            double(ticker.ask_size.unwrap(), "askAmount");
        }
        "liquidation" => {
            let event = find(Feed::Liquidations).unwrap_or_else(|| panic!("{record}"));
            let EventKind::Liquidation(forced) = &event.kind else { unreachable!("found as a liquidation") };
            time(event);
            double(forced.price, "price");
            double(forced.size, "amount");
            assert_eq!(reference::side_text(forced.side), record["side"]);
        }
        "derivative_ticker" => return derivative_shows(events, record),
        "book_change" => {
            let mut follower = Follower::default();
            let Some(event) = events.iter().find(|e| e.kind.feed() == Some(Feed::Book)) else { return false };
            let (bids, asks) = match &event.kind {
                EventKind::BookDelta(d) => (&d.bids, &d.asks),
                EventKind::BookSnapshot(s) => (&s.bids, &s.asks),
                _ => unreachable!("found as a book event"),
            };
            follower.take(event);
            if record["isSnapshot"] == true {
                // Theirs has the changes that were held in it; ours gives them one by one.
                return events.len() == 1 && bids.len() == record["bids"].as_array().unwrap().len();
            }
            for (levels, theirs) in [(bids, &record["bids"]), (asks, &record["asks"])] {
                for ((price, size), level) in levels.iter().zip(theirs.as_array().unwrap()) {
                    assert!(reference::same_double(*price, &level["price"]), "{record}");
                    assert!(reference::same_double(*size, &level["amount"]), "{record}");
                }
            }
        }
        other => panic!("{other}"),
    }
    true
}

/// The parts of a `derivative_ticker` that came with this very message.
fn derivative_shows(events: &[Event], record: &Value) -> bool {
    for event in events {
        match &event.kind {
            EventKind::MarkPrice(p) => assert!(reference::same_double(p.price, &record["markPrice"]), "{record}"),
            EventKind::IndexPrice(p) => assert!(reference::same_double(p.price, &record["indexPrice"]), "{record}"),
            EventKind::Funding(f) => {
                assert!(reference::same_double(f.rate, &record["fundingRate"]), "{record}");
                assert_eq!(reference::millis_text(f.next_funding.unwrap()), record["fundingTimestamp"], "{record}");
            }
            EventKind::OpenInterest(o) => {
                assert!(reference::same_double(o.open_interest, &record["openInterest"]), "{record}");
            }
            EventKind::Ticker(t) => assert!(reference::same_double(t.last.unwrap(), &record["lastPrice"]), "{record}"),
            other => panic!("{other:?} for {record}"),
        }
    }
    assert!(!events.is_empty(), "{record}");
    true
}

#[test]
fn field_mapping_equals_tardis_fixtures() {
    if reference::set("tardis-mapper-fixtures").is_none() {
        return;
    }
    assert!(fixtures_equal("binance.jsonl", Exchange::Binance) >= 5);
    assert!(fixtures_equal("binance-futures.jsonl", Exchange::BinanceFutures) >= 9);
}

/// The project's own mock messages: documentation's examples and real ones, bare.
#[test]
fn mock_messages_are_read() {
    let Some(set) = reference::set("openmesh-mock-and-lists") else { return };
    let read = |file: &str, exchange| {
        let text: String = reference::text_lines(&set.join("mock_data").join(file)).collect();
        let messages: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(&text).unwrap();
        let mut player = Player::new(openmesh_dialect::session(exchange));
        let mut events = Vec::new();
        for message in &messages {
            let data = message.get().as_bytes().to_vec();
            player.line(&Line::Receive { at: Default::default(), connection: "a".into(), data }, &mut events);
        }
        events.iter().map(|e| serde_json::to_string(e).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        read("binance.json", Exchange::Binance),
        [
            r#"{"exchange":"binance","symbol":"ETH.USDT","ts_exchange":"583904.587","ts_capture":"0","type":"trade","side":"sell","price":"0.00861","size":"4","id":"3543"}"#,
            r#"{"exchange":"binance","symbol":"BTC.USDT","ts_exchange":null,"ts_capture":"0","type":"ticker","bid":"0.0432345","bid_size":"50.00000000","ask":"0.765000","ask_size":"32.40000000","last":null}"#,
            r#"{"exchange":"binance","symbol":"BTC.USDT","ts_exchange":"1665379461.001","ts_capture":"0","type":"candle","start":"1665379460","stop":"1665379460.999","interval":"1s","open":"19453.47000000","high":"19453.47000000","low":"19453.03000000","close":"19453.46000000","volume":"0.07832000","trades":7,"closed":true}"#,
        ]
    );
    assert_eq!(
        read("binance_futures.json", Exchange::BinanceFutures),
        [
            r#"{"exchange":"binance_futures","symbol":"BTC.USDT-PERP","ts_exchange":"1665379528.18","ts_capture":"0","type":"open_interest","open_interest":"145493.197"}"#,
            r#"{"exchange":"binance_futures","symbol":"ETH.USDT-PERP","ts_exchange":"1665379698.008","ts_capture":"0","type":"mark_price","price":"1323.72000000"}"#,
            r#"{"exchange":"binance_futures","symbol":"ETH.USDT-PERP","ts_exchange":"1665379698.008","ts_capture":"0","type":"index_price","price":"1324.34217058"}"#,
            r#"{"exchange":"binance_futures","symbol":"ETH.USDT-PERP","ts_exchange":"1665379698.008","ts_capture":"0","type":"funding","rate":"-0.00000304","next_funding":"1665388800","mark_price":"1323.72000000","predicted_rate":null}"#,
            r#"{"exchange":"binance_futures","symbol":"BTC.USDT-PERP","ts_exchange":"123456.785","ts_capture":"0","type":"trade","side":"sell","price":"0.001","size":"100","id":"5933014"}"#,
        ]
    );
}
