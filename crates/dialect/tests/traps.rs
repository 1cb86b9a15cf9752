//! Small recordings of Binance's protocol, each with a trap that readers of it have fallen into.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use openmesh_dialect::recording::{Line, Player};
use openmesh_market::event::IncidentKind;
use openmesh_market::{Event, EventKind, OrderBook, Side};

/// Plays lines of a recording of a venue; returns the events and the books in step at the end.
fn play(venue: &str, lines: &[String]) -> (Vec<Event>, Player) {
    let mut player = Player::new(openmesh_dialect::for_recording(venue).unwrap());
    let mut events = Vec::new();
    for line in lines {
        player.line(&Line::parse(line).unwrap(), &mut events);
    }
    (events, player)
}

fn connect(name: &str, address: &str) -> String {
    serde_json::json!({ "t": "connect", "conn": name, "ts": 1_700_000_000.1, "addr": address }).to_string()
}

fn receive(name: &str, message: &str) -> String {
    serde_json::json!({ "t": "recv", "conn": name, "ts": 1_700_000_000.2, "data": message }).to_string()
}

fn answer(url: &str, body: &str) -> String {
    serde_json::json!({ "t": "http", "conn": "http.0", "ts": 1_700_000_000.2, "url": url, "data": body }).to_string()
}

fn trade(name: &str, id: u64, time: &str) -> String {
    format!(r#"{{"e":"trade","E":{time},"s":"{name}","t":{id},"p":"2.5","q":"0.75","T":{time},"m":true,"M":true}}"#)
}

fn garbage(event: &Event) -> bool {
    matches!(&event.kind, EventKind::Incident(incident) if incident.kind == IncidentKind::Garbage)
}

#[test]
fn names_without_separator_are_cut_at_assets_that_exist() {
    let names = ["BNBUSD", "SHIBUSD", "GRTUSD", "USDTUSD", "LTCBUSD", "ETHTUSD", "UNIUSDT"];
    let symbols = ["BNB.USD", "SHIB.USD", "GRT.USD", "USDT.USD", "LTC.BUSD", "ETH.TUSD", "UNI.USDT"];
    let messages = || names.iter().map(|name| receive("ws.0", &trade(name, 7, "1700000000100")));
    let address = "wss://stream.binance.us:9443/ws/bnbusd@trade";
    let lines: Vec<String> = std::iter::once(connect("ws.0", address)).chain(messages()).collect();
    let found = |events: &[Event]| -> Vec<String> {
        events.iter().filter_map(|event| event.symbol.as_ref()).map(ToString::to_string).collect()
    };
    assert_eq!(found(&play("BINANCE_US", &lines).0), symbols);

    // A name that could be of two instruments is of none, unless the venue's table says which.
    let unsettled = receive("ws.0", &trade("QQQBUSD", 7, "1700000000100"));
    let (events, _) = play("BINANCE_US", std::slice::from_ref(&unsettled));
    assert!(events.len() == 1 && garbage(&events[0]) && events[0].symbol.is_none(), "{events:?}");
    let table = answer(
        "https://api.binance.us/api/v3/exchangeInfo",
        r#"{"symbols":[{"symbol":"QQQBUSD","baseAsset":"QQQB","quoteAsset":"USD"}]}"#,
    );
    assert_eq!(found(&play("BINANCE_US", &[table, unsettled]).0), ["QQQB.USD"]);
}

#[test]
fn times_are_in_the_unit_that_the_address_asks_for() {
    let combined = |data: &str| format!(r#"{{"stream":"btcusdt@trade","data":{data}}}"#);
    let kline = r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1700000060000123,"s":"BTCUSDT","k":{"t":1700000000000000,"T":1700000059999999,"s":"BTCUSDT","i":"1m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1,"x":true}}}"#;
    let (events, _) = play(
        "BINANCE",
        &[
            connect("ws.0", "wss://stream.binance.com:9443/stream?streams=btcusdt@trade&timeUnit=MICROSECOND"),
            connect("ws.1", "wss://stream.binance.com:9443/ws/ethusdt@trade?timeUnit=microsecond"),
            connect("ws.2", "wss://stream.binance.com:9443/ws/xrpusdt@trade"),
            receive("ws.0", &combined(&trade("BTCUSDT", 1, "1700000000301234"))),
            receive("ws.0", kline),
            receive("ws.1", &trade("ETHUSDT", 2, "1700000000401000")),
            receive("ws.2", &trade("XRPUSDT", 3, "1700000000501")),
            // In microseconds where nobody asked for them: no time that could be believed.
            receive("ws.2", &trade("XRPUSDT", 4, "1700000000601234")),
        ],
    );
    let times: Vec<Option<String>> =
        events.iter().map(|event| event.ts_exchange.map(|time| time.to_string())).collect();
    let expected = ["1700000000.301234", "1700000060.000123", "1700000000.401", "1700000000.501"];
    assert_eq!(times[..4], expected.map(|time| Some(time.to_owned())));
    let EventKind::Candle(candle) = &events[1].kind else { panic!("{:?}", events[1]) };
    assert_eq!(candle.start.to_string(), "1700000000");
    assert_eq!(candle.stop.map(|stop| stop.to_string()).as_deref(), Some("1700000059.999999"));
    assert!(events.len() == 5 && garbage(&events[4]), "{:?}", events[4]);
}

/// A snapshot that is too old, one that lies within a change, a change that overlaps with the one before, the removal of
/// a level that is not there, and changes that are missing.
#[test]
fn a_snapshot_is_joined_with_the_changes_that_hold_something_new() {
    let url = "https://api.binance.com/api/v3/depth?symbol=ETHUSDT&limit=1000";
    let change = |first: u64, last: u64, bids: &str, asks: &str| {
        receive(
            "ws.0",
            &format!(
                r#"{{"stream":"ethusdt@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"ETHUSDT","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}}}"#,
                1_700_000_000_000 + last
            ),
        )
    };
    let snapshot = |last: u64, bids: &str, asks: &str| {
        answer(url, &format!(r#"{{"lastUpdateId":{last},"bids":[{bids}],"asks":[{asks}]}}"#))
    };
    let (events, player) = play(
        "BINANCE",
        &[
            connect("ws.0", "wss://stream.binance.com:9443/stream?streams=ethusdt@depth@100ms"),
            change(11, 15, r#"["90","9"]"#, ""),
            change(16, 20, r#"["91","2"]"#, r#"["93","0"]"#),
            snapshot(5, r#"["80","1"]"#, r#"["81","1"]"#),
            snapshot(17, r#"["91","1"],["90","9"]"#, r#"["92","1"],["93","7"]"#),
            change(19, 24, r#"["89","6"]"#, r#"["92","3"]"#),
            change(25, 26, "", r#"["88.5","0"]"#),
            change(31, 32, r#"["91.5","8"]"#, ""),
            snapshot(36, r#"["91.25","2"]"#, r#"["92","3"]"#),
            change(37, 37, r#"["91","5"]"#, ""),
        ],
    );
    let told: Vec<String> = events
        .iter()
        .map(|event| match &event.kind {
            EventKind::BookSnapshot(book) => format!("snapshot {}", book.sequence.unwrap()),
            EventKind::BookDelta(book) => format!("delta {}", book.sequence.unwrap()),
            EventKind::Incident(incident) => format!("{:?}", incident.kind).to_lowercase(),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = ["gap", "snapshot 17", "delta 20", "delta 24", "delta 26", "gap", "snapshot 36", "delta 37"];
    assert_eq!(told, expected);
    let book: &OrderBook = player.session().book(&"ETH.USDT".parse().unwrap()).unwrap();
    let side = |side| book.levels(side).map(|(price, size)| format!("{price}x{size}")).collect::<Vec<_>>();
    assert_eq!((side(Side::Buy), side(Side::Sell)), (vec!["91.25x2".into(), "91x5".into()], vec!["92x3".into()]));
}
