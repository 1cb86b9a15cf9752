//! Small frames of each kind, and the ways in which a book goes wrong.

use super::*;
use crate::emulate::Endpoint;
use crate::session::{Input, Session};
use openmesh_market::OrderBook;
use openmesh_market::event::{Event, Side};
use openmesh_primitives::Decimal;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_652_459_225_000_000_000);

fn frame(session: &mut Okx, text: &str) -> Output {
    let mut output = Output::default();
    session.handle(Input::Frame { connection: PUBLIC, data: text.as_bytes() }, NOW, &mut output);
    output
}

fn kinds(output: &Output) -> Vec<IncidentKind> {
    let kind = |e: &Event| match &e.kind {
        EventKind::Incident(incident) => Some(incident.kind),
        _ => None,
    };
    output.events.iter().filter_map(kind).collect()
}

fn book(action: &str, levels: &str, tail: &str) -> String {
    format!(
        r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{{levels},"ts":"1652459225464"{tail}}}]}}"#
    )
}

const TWO: &str = r#""asks":[["3366.8","9","10","3"],["3368","8","3","4"]],"bids":[["3366.1","7","0","3"]]"#;

/// The worked example of the venue's documents: `3366.1:7:3366.8:9:3368:8` for one bid and two asks.
fn two_sum() -> i64 {
    i64::from(crc32fast::hash(b"3366.1:7:3366.8:9:3368:8").cast_signed())
}

#[test]
fn checksums_run_over_the_texts_of_the_venue() {
    let mut session = Okx::new();
    let output = frame(&mut session, &book("snapshot", TWO, &format!(r#","checksum":{}"#, two_sum())));
    let EventKind::BookSnapshot(snapshot) = &output.events[0].kind else { panic!("{output:?}") };
    assert_eq!(snapshot.checksum, Some(two_sum()));
    let wrong = frame(&mut session, &book("update", r#""asks":[],"bids":[]"#, r#","checksum":-1"#));
    assert_eq!(kinds(&wrong), [IncidentKind::Checksum]);
    assert_eq!(wrong.events.len(), 1, "what fails the check is not passed on");
    assert_eq!(wrong.actions.len(), 2);
    assert!(session.books().is_empty());
    assert!(frame(&mut session, &book("update", r#""asks":[],"bids":[]"#, "")).events.is_empty());
    frame(&mut session, &book("snapshot", TWO, &format!(r#","checksum":{}"#, two_sum())));
    assert_eq!(session.books().len(), 1);
}

#[test]
fn a_snapshot_that_never_holds_is_not_asked_for_at_the_speed_of_the_line() {
    let mut session = Okx::new();
    let snapshot = book("snapshot", TWO, r#","checksum":1"#);
    assert_eq!(frame(&mut session, &snapshot).actions.len(), 2);
    for _ in 0..3 {
        let again = frame(&mut session, &snapshot);
        assert_eq!((kinds(&again), again.actions), (vec![IncidentKind::Checksum], Vec::new()));
    }
    let mut output = Output::default();
    session.handle(Input::Tick, Timestamp(NOW.nanos() + 15_000_000_000), &mut output);
    assert_eq!(output.actions, [Action::Reconnect { connection: PUBLIC }]);
}

#[test]
fn sequence_numbers_take_over_where_the_checksum_is_zero() {
    let mut session = Okx::new();
    let numbers = |previous: i64, id: i64| format!(r#","checksum":0,"seqId":{id},"prevSeqId":{previous}"#);
    let none = r#""asks":[],"bids":[]"#;
    assert!(kinds(&frame(&mut session, &book("snapshot", TWO, &numbers(-1, 10)))).is_empty());
    // Nothing new for a minute, then news, then the numbers begin anew after maintenance.
    for (previous, id) in [(10, 10), (10, 15), (15, 3), (3, 5)] {
        let output = frame(&mut session, &book("update", none, &numbers(previous, id)));
        assert!(
            matches!(&output.events[0].kind, EventKind::BookDelta(d) if d.sequence == Some(id as u64)),
            "{output:?}"
        );
    }
    let output = frame(&mut session, &book("update", none, &numbers(6, 7)));
    assert_eq!(kinds(&output), [IncidentKind::Gap]);
    assert!(session.books().is_empty());
}

#[test]
fn an_update_without_its_snapshot() {
    let mut session = Okx::new();
    let update = book("update", r#""asks":[],"bids":[]"#, r#","checksum":5"#);
    assert_eq!(kinds(&frame(&mut session, &update)), [IncidentKind::Gap]);
    assert!(frame(&mut session, &update).events.is_empty());
}

#[test]
fn each_channel_gives_its_event() {
    let mut session = Okx::new();
    let swap = |channel: &str, data: &str| {
        format!(r#"{{"arg":{{"channel":"{channel}","instId":"BTC-USD-SWAP"}},"data":[{data}]}}"#)
    };
    for (text, symbol, expected) in [
        (swap("trades", r#"{"instId":"BTC-USD-SWAP","tradeId":"1","px":"2","sz":"3","side":"sell","ts":"5"}"#), "BTC.USD-PERP", r#""type":"trade","side":"sell","price":"2","size":"3","id":"1""#),
        (swap("tickers", r#"{"instId":"BTC-USD-SWAP","last":"2","bidPx":"","askPx":"3","askSz":"1","ts":"5"}"#), "BTC.USD-PERP", r#""type":"ticker","bid":null,"bid_size":null,"ask":"3","ask_size":"1","last":"2""#),
        (swap("funding-rate", r#"{"instId":"BTC-USD-SWAP","fundingRate":"-0.0004","fundingTime":"1000","nextFundingRate":"","nextFundingTime":"2000","ts":"5"}"#), "BTC.USD-PERP", r#""type":"funding","rate":"-0.0004","next_funding":"1","mark_price":null,"predicted_rate":null"#),
        (swap("open-interest", r#"{"instId":"BTC-USD-SWAP","oi":"7","oiCcy":"8","ts":"5"}"#), "BTC.USD-PERP", r#""type":"open_interest","open_interest":"7""#),
        (swap("mark-price", r#"{"instId":"BTC-USD-SWAP","markPx":"7.10","ts":"5"}"#), "BTC.USD-PERP", r#""type":"mark_price","price":"7.10""#),
        (swap("index-tickers", r#"{"instId":"BTC-USD","idxPx":"7","ts":"5"}"#), "BTC.USD", r#""type":"index_price","price":"7""#),
        (r#"{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"instId":"BTC-USD-SWAP","details":[{"bkPx":"7","posSide":"long","side":"sell","sz":"2","ts":"5"}]}]}"#.to_owned(), "BTC.USD-PERP", r#""type":"liquidation","side":"sell","price":"7","size":"2","id":null"#),
    ] {
        let output = frame(&mut session, &text);
        assert_eq!(output.events.len(), 1, "{text}: {output:?}");
        let json = serde_json::to_string(&output.events[0]).unwrap();
        assert!(json.contains(expected), "{json}");
        assert_eq!(output.events[0].symbol.as_ref().unwrap().to_string(), symbol);
        assert_eq!(output.events[0].ts_exchange, Some(Timestamp::from_millis(5)));
    }
}

#[test]
fn candles_with_and_without_confirmation() {
    let mut session = Okx::new();
    for (tail, closed) in [(r#","0","0","1""#, Some(true)), (r#","0","0","0""#, Some(false)), ("", None)] {
        let text = format!(
            r#"{{"arg":{{"channel":"candle1m","instId":"BTC-USD"}},"data":[["60000","1","4","0.5","2","9"{tail}]]}}"#
        );
        let output = frame(&mut session, &text);
        let EventKind::Candle(candle) = &output.events[0].kind else { panic!("{output:?}") };
        assert_eq!((candle.interval.as_str(), candle.closed), ("1m", closed));
        assert_eq!((candle.high, candle.low, candle.close), (Decimal::from(4), Decimal::new(5, 1), Decimal::from(2)));
    }
    assert_eq!(wire::interval_of("candle4H").as_deref(), Some("4h"));
    assert_eq!(wire::interval_of("candle1Dutc").as_deref(), Some("1d"));
    assert_eq!(wire::interval_of("candle1M").as_deref(), Some("1M"));
    assert_eq!(wire::interval_of("candle"), None);
}

#[test]
fn answers_notices_and_garbage() {
    let mut session = Okx::new();
    for quiet in [
        "pong",
        r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}"#,
        r#"{"arg":{"channel":"price-limit","instId":"X"},"data":[]}"#,
    ] {
        assert!(frame(&mut session, quiet).events.is_empty(), "{quiet}");
    }
    let refused = r#"{"event":"error","code":"60012","msg":"Invalid request"}"#;
    assert_eq!(kinds(&frame(&mut session, refused)), [IncidentKind::Refused]);
    let upgrade = frame(&mut session, r#"{"event":"notice","code":"64008","msg":"will soon be closed"}"#);
    assert_eq!(kinds(&upgrade), [IncidentKind::Disconnected]);
    assert_eq!(upgrade.actions, [Action::Reconnect { connection: PUBLIC }]);
    for text in [
        "",
        "ping",
        "{}",
        "[1]",
        r#"{"arg":{"channel":"books"}}"#,
        r#"{"arg":{"channel":"trades","instId":"A"},"data":[{}]}"#,
    ] {
        assert_eq!(kinds(&frame(&mut session, text)), [IncidentKind::Garbage], "{text}");
    }
}

#[test]
fn subscribes_by_connection() {
    let mut session = Okx::new();
    let mut output = Output::default();
    let subscription = Subscription {
        symbols: ["BTC.USDT", "BTC.USDT-PERP", "BTC.USD-220527"].iter().map(|s| s.parse().unwrap()).collect(),
        feeds: vec![Feed::Book, Feed::Candles, Feed::IndexPrice, Feed::Liquidations],
    };
    session.start(&subscription, &mut output);
    let gets = output.actions.iter().filter(|a| matches!(a, Action::Get { .. })).count();
    assert_eq!((gets, output.actions.len()), (3, 5));
    // Not at port 8443, which the venue has closed; recordings that name it are behind the same endpoints.
    let opened = output.actions.iter().filter_map(|action| match action {
        Action::Open { url, .. } => Some(url.as_str()),
        _ => None,
    });
    let urls: Vec<&str> = opened.collect();
    assert_eq!(urls, ["wss://ws.okx.com/ws/v5/public", "wss://ws.okx.com/ws/v5/business"]);
    for (path, endpoint) in [("/ws/v5/public", Endpoint::OkxPublic), ("/ws/v5/business", Endpoint::OkxBusiness)] {
        assert_eq!(Endpoint::of_socket("ws.okx.com", path), Some(endpoint));
        assert_eq!(Endpoint::of_socket("ws.okx.com:8443", path), Some(endpoint));
    }
    let mut output = Output::default();
    session.handle(Input::Opened { connection: BUSINESS, url: BUSINESS_URL }, NOW, &mut output);
    let sent = format!("{:?}", output.actions);
    assert!(sent.contains("candle1m") && sent.contains("BTC-USDT-SWAP") && !sent.contains("books"), "{sent}");
    assert_eq!(kinds(&output), [], "that spot has no liquidations is nothing to speak of");
    let mut output = Output::default();
    session.handle(Input::Opened { connection: PUBLIC, url: PUBLIC_URL }, NOW, &mut output);
    let sent = format!("{:?}", output.actions);
    assert!(sent.contains(r#"\"channel\":\"liquidation-orders\",\"instType\":\"FUTURES\""#), "{sent}");
    assert_eq!(sent.matches("index-tickers").count(), 2, "one a pair, not one a contract: {sent}");
    let index = r#"{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"7","ts":"5"}]}"#;
    let names: Vec<_> =
        frame(&mut session, index).events.iter().map(|e| e.symbol.as_ref().unwrap().to_string()).collect();
    assert_eq!(names, ["BTC.USDT-PERP"]);
}

#[test]
fn names_both_ways() {
    for (name, symbol) in [
        ("BTC-USDT", "BTC.USDT"),
        ("UNI-USD-SWAP", "UNI.USD-PERP"),
        ("BTC-USD-220527", "BTC.USD-220527"),
        ("BTC-USD-220514-22000-C", "BTC.USD-220514-22000-C"),
    ] {
        let symbol: Symbol = symbol.parse().unwrap();
        assert_eq!(wire::symbol_of(name).as_ref(), Some(&symbol));
        assert_eq!(wire::name_of(&symbol), name);
    }
    for name in ["BTC", "BTC-USD-", "BTC-USD-1234567", "BTC-USD-220514-1", "A-B-220514-1-X"] {
        assert_eq!(wire::symbol_of(name), None, "{name}");
    }
}

proptest! {
    /// The quick way of writing a decimal writes what `Display` does.
    #[test]
    fn the_checksum_text_is_the_decimals_text(mantissa in any::<i64>(), wide in any::<i128>(), scale in 0u8..=36) {
        for mantissa in [i128::from(mantissa), i128::from(mantissa.unsigned_abs()), wide, 0, 5] {
            let number = Decimal::new(mantissa, scale);
            let mut book = OrderBook::new();
            book.set(Side::Buy, number, Decimal::from(1));
            let mut buffer = Vec::new();
            wire::checksum(&book, &mut buffer);
            prop_assert_eq!(String::from_utf8(buffer).unwrap(), format!("{number}:1"));
        }
    }
}
