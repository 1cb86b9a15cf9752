use openmesh_market::event::{Event, Side};

use super::*;
use crate::session::{Input, Session};

const PAIR: &str = "BTC/USD";

/// A session that is fed with texts, and what came of it.
struct Bench {
    kraken: Kraken,
    now: Timestamp,
    output: Output,
}

impl Bench {
    fn new() -> Bench {
        let mut bench = Bench { kraken: Kraken::new(), now: Timestamp::from_millis(1_000), output: Output::default() };
        bench.input(Input::Opened { connection: CONNECTION, url: URL });
        bench
    }

    fn input(&mut self, input: Input<'_>) {
        self.kraken.handle(input, self.now, &mut self.output);
    }

    fn frame(&mut self, text: &str) -> Vec<Event> {
        self.input(Input::Frame { connection: CONNECTION, data: text.as_bytes() });
        std::mem::take(&mut self.output.events)
    }

    fn book(&self) -> Option<String> {
        let book = self.kraken.book(&"BTC.USD".parse().unwrap())?;
        let side = |side| book.levels(side).map(|(p, s)| format!("{p}:{s}")).collect::<Vec<_>>().join(" ");
        Some(format!("{} | {}", side(Side::Buy), side(Side::Sell)))
    }
}

fn incidents(events: &[Event]) -> Vec<(IncidentKind, &str)> {
    let mut said = Vec::new();
    for event in events {
        if let EventKind::Incident(incident) = &event.kind {
            said.push((incident.kind, incident.detail.as_str()));
        }
    }
    said
}

fn sent(output: &mut Output) -> Vec<serde_json::Value> {
    std::mem::take(&mut output.actions)
        .into_iter()
        .filter_map(|action| match action {
            Action::Send { text, .. } => Some(serde_json::from_str(&text).unwrap()),
            _ => None,
        })
        .collect()
}

/// The book of the guide to the v1 checksum.
fn guide_snapshot() -> String {
    let levels = |prices: &[&str]| {
        let level = |p: &&str| format!(r#"["0.0{p}","0.00000500","1582905486.493008"]"#);
        prices.iter().map(level).collect::<Vec<_>>().join(",")
    };
    let asks = levels(&["5005", "5010", "5015", "5020", "5025", "5030", "5035", "5040", "5045", "5050"]);
    let bids = levels(&["5000", "4995", "4990", "4980", "4975", "4970", "4965", "4960", "4955", "4950"]);
    format!(r#"[0,{{"as":[{asks}],"bs":[{bids}]}},"book-1000","XBT/USD"]"#)
}

/// The update of the guide, whose checksum is that of the book above: it changes nothing in the first ten levels.
const GUIDE_UPDATE: &str = r#"[0,{"a":[["0.05120","0.00000500","1582905486.493008"],["0.05275","0.00000500","1582905486.493034"]]},{"b":[["0.04765","0.00000500","1582905486.493008"],["0.04940","0.00000500","1582905486.493034"]],"c":"974947235"},"book-1000","XBT/USD"]"#;

#[test]
fn the_guides_book_and_update() {
    let mut bench = Bench::new();
    let events = bench.frame(&guide_snapshot());
    assert!(matches!(&events[0].kind, EventKind::BookSnapshot(s) if s.bids.len() == 10 && s.checksum.is_none()));
    let events = bench.frame(GUIDE_UPDATE);
    assert_eq!(events.len(), 1);
    let EventKind::BookDelta(delta) = &events[0].kind else { panic!("{events:?}") };
    assert_eq!((delta.bids.len(), delta.asks.len(), delta.checksum), (2, 2, Some(974_947_235)));
    // The latest of the levels' times, and the usual name.
    assert_eq!(events[0].ts_exchange, Some("1582905486.493034".parse().unwrap()));
    assert_eq!(events[0].symbol, Some(Symbol::spot("BTC", "USD")));
    assert!(bench.kraken.book(&Symbol::spot("BTC", "USD")).is_some_and(|b| b.depth(Side::Buy) == 12));
}

#[test]
fn the_same_message_in_any_spelling() {
    for spell in [|text: &str| text.replace(',', ", "), |text: &str| text.replace("XBT/USD", "XBT\\/USD")] {
        let mut bench = Bench::new();
        bench.frame(&spell(&guide_snapshot()));
        let events = bench.frame(&spell(GUIDE_UPDATE));
        let mut compact = Bench::new();
        compact.frame(&guide_snapshot());
        assert_eq!(events, compact.frame(GUIDE_UPDATE));
        assert_eq!(bench.book(), compact.book());
    }
}

#[test]
fn a_wrong_checksum_takes_the_book_out_of_step_until_the_next_snapshot() {
    let mut bench = Bench::new();
    bench.frame(&guide_snapshot());
    let wrong = GUIDE_UPDATE.replace("974947235", "974947236");
    let events = bench.frame(&wrong);
    let detail = "checksum 974947236 expected by the venue, 974947235 is that of the book here";
    assert_eq!(incidents(&events), [(IncidentKind::Checksum, detail)]);
    assert_eq!(bench.book(), None);
    let [unsubscribe, subscribe] = &sent(&mut bench.output)[..] else { panic!("two messages") };
    assert_eq!(unsubscribe["event"], "unsubscribe");
    assert_eq!(subscribe["subscription"], serde_json::json!({"name": "book", "depth": 1000}));
    assert_eq!(subscribe["pair"], serde_json::json!(["XBT/USD"]));
    // Until then nothing is believed, and nothing asked again.
    assert_eq!(bench.frame(GUIDE_UPDATE), []);
    assert!(bench.output.actions.is_empty());
    assert_eq!(bench.frame(&guide_snapshot()).len(), 1);
    assert_eq!(incidents(&bench.frame(GUIDE_UPDATE)), []);
    assert!(bench.book().is_some());
}

#[test]
fn a_snapshot_that_never_comes_leads_to_a_new_connection() {
    let mut bench = Bench::new();
    let events = bench.frame(GUIDE_UPDATE);
    assert_eq!(incidents(&events), [(IncidentKind::Gap, "a snapshot expected, an update came")]);
    assert_eq!(sent(&mut bench.output).len(), 2);
    bench.now = Timestamp::from_millis(60_000);
    bench.frame(r#"{"event":"heartbeat"}"#);
    bench.input(Input::Tick);
    assert_eq!(bench.output.actions, [Action::Reconnect { connection: CONNECTION }]);
    assert_eq!(incidents(&bench.output.events)[0].0, IncidentKind::Silence);
}

#[test]
fn a_book_is_cut_to_the_subscribed_depth() {
    let mut bench = Bench::new();
    bench.frame(r#"[1,{"as":[["11","1","1.0"],["12","1","1.0"]],"bs":[]},"book-2","XBT/USD"]"#);
    bench.frame(r#"[1,{"a":[["10","1","2.0"]]},"book-2","XBT/USD"]"#);
    assert_eq!(bench.book().as_deref(), Some(" | 10:1 11:1"));
    // The level that comes back is sent again by the venue, with its mark; it was not kept here.
    bench.frame(r#"[1,{"a":[["10","0.0","3.0"],["12","1","1.0","r"]]},"book-2","XBT/USD"]"#);
    assert_eq!(bench.book().as_deref(), Some(" | 11:1 12:1"));
}

#[test]
fn version_2_books_with_their_depth_and_precision() {
    let mut bench = Bench::new();
    let url = "https://api.kraken.com/0/public/AssetPairs";
    let body = br#"{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT\/USD","pair_decimals":1,"lot_decimals":8},
        "XXBTZUSD.d":{"altname":"XBTUSD.d","pair_decimals":3,"lot_decimals":8}}}"#;
    bench.input(Input::Response { url, status: 200, body });
    let request = r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10}}"#;
    bench.input(Input::Sent { connection: CONNECTION, text: request });
    let expected = |bids: &[(&str, &str)], asks: &[(&str, &str)]| {
        let mut book = OrderBook::new();
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            for (price, size) in levels {
                book.set(side, price.parse().unwrap(), size.parse().unwrap());
            }
        }
        checksum(&book)
    };
    let sum = expected(&[("45283.0", "0.10000000")], &[("45285.2", "0.00100000")]);
    let message = |kind: &str, bids: &str, asks: &str, sum: u32| {
        format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{bids}],"asks":[{asks}],"checksum":{sum},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}"#
        )
    };
    // Written in full, then cut short: both are the same book.
    for (bid, ask) in [
        (r#"{"price":45283.0,"qty":0.10000000}"#, r#"{"price":45285.2,"qty":0.00100000}"#),
        (r#"{"price":45283,"qty":0.1}"#, r#"{"price":45285.2,"qty":1e-3}"#),
    ] {
        let events = bench.frame(&message("snapshot", bid, ask, sum));
        assert_eq!(incidents(&events), []);
        assert_eq!(events[0].ts_exchange.unwrap().to_rfc3339(), "2023-10-06T17:35:55.440295Z");
        assert!(matches!(&events[0].kind, EventKind::BookSnapshot(s) if s.checksum == Some(i64::from(sum))));
    }
    let sum = expected(&[("45283.0", "0.10000000")], &[("45286.0", "2.00000000")]);
    let change = r#"{"price":45285.2,"qty":0},{"price":45286,"qty":2}"#;
    assert_eq!(incidents(&bench.frame(&message("update", "", change, sum))), []);
    assert_eq!(incidents(&bench.frame(&message("update", "", "", sum ^ 1)))[0].0, IncidentKind::Checksum);
    let messages = sent(&mut bench.output);
    assert_eq!(
        messages[1],
        serde_json::json!({"method": "subscribe", "params": {"channel": "book", "symbol": [PAIR], "depth": 10}})
    );
}

#[test]
fn trades_of_both_versions() {
    let mut bench = Bench::new();
    let events = bench.frame(
        r#"[337,[["5541.20000","0.15850568","1534614057.321597","s","l",""],["6060.00000","0.02455000","1534614057.324998","b","l",""]],"trade","XBT/USD"]"#,
    );
    let said: Vec<String> = events.iter().map(|e| serde_json::to_string(&e.kind).unwrap()).collect();
    assert_eq!(said[0], r#"{"type":"trade","side":"sell","price":"5541.20000","size":"0.15850568","id":null}"#);
    assert_eq!(said[1], r#"{"type":"trade","side":"buy","price":"6060.00000","size":"0.02455000","id":null}"#);
    assert_eq!(events[1].ts_exchange, Some("1534614057.324998".parse().unwrap()));
    let message = |kind: &str| {
        format!(
            r#"{{"channel":"trade","type":"{kind}","data":[{{"symbol":"BTC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}}]}}"#
        )
    };
    let events = bench.frame(&message("update"));
    assert_eq!(
        serde_json::to_string(&events[0].kind).unwrap(),
        r#"{"type":"trade","side":"sell","price":"0.5117","size":"40.0","id":"4665906"}"#
    );
    assert!(matches!(&bench.frame(&message("snapshot"))[0].kind, EventKind::Trade(t) if t.snapshot));
}

#[test]
fn tickers_and_candles_of_both_versions() {
    let mut bench = Bench::new();
    let mut said = |text: &str| {
        let events = bench.frame(text);
        assert_eq!(events.len(), 1, "{events:?}");
        (events[0].ts_exchange.map(|t| t.to_string()), serde_json::to_string(&events[0].kind).unwrap())
    };
    let (time, ticker) = said(
        r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98,"vwap":0.1,"low":0.09,"high":0.1,"change":-0.01,"change_pct":-1.6,"timestamp":"2023-09-25T09:04:31.742648Z"}]}"#,
    );
    assert_eq!(time.as_deref(), Some("1695632671.742648"));
    assert_eq!(
        ticker,
        r#"{"type":"ticker","bid":"0.10025","bid_size":"740.0","ask":"0.10036","ask_size":"1361.44813783","last":"0.10035"}"#
    );
    let (time, spread) =
        said(r#"[0,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread","XBT/USD"]"#);
    assert_eq!(time.as_deref(), Some("1542057299.545897"));
    assert_eq!(
        spread,
        r#"{"type":"ticker","bid":"5698.40000","bid_size":"1.01234567","ask":"5700.00000","ask_size":"0.98765432","last":null}"#
    );
    let (time, candle) = said(
        r#"[42,["1542057314.748456","1542057360.435743","3586.70000","3586.70000","3586.60000","3586.60000","3586.68894","0.03373000",2],"ohlc-5","XBT/USD"]"#,
    );
    assert_eq!(time.as_deref(), Some("1542057314.748456"));
    assert!(candle.contains(r#""start":"1542057060.435743","stop":"1542057360.435743","interval":"5m""#), "{candle}");
    let (time, candle) = said(
        r#"{"channel":"ohlc","type":"update","timestamp":"2023-10-04T16:26:30.524394914Z","data":[{"symbol":"BTC/USD","open":0.5624,"high":0.5628,"low":0.5622,"close":0.5627,"trades":12,"volume":30927.68066226,"vwap":0.5626,"interval_begin":"2023-10-04T16:25:00.000000000Z","interval":1440,"timestamp":"2023-10-04T16:30:00.000000Z"}]}"#,
    );
    assert_eq!(time.as_deref(), Some("1696436790.524394914"));
    assert_eq!(
        candle,
        r#"{"type":"candle","start":"1696436700","stop":"1696523100","interval":"1d","open":"0.5624","high":"0.5628","low":"0.5622","close":"0.5627","volume":"30927.68066226","trades":12,"closed":null}"#
    );
}

#[test]
fn starts_with_the_second_version() {
    let mut kraken = Kraken::new();
    let mut output = Output::default();
    let subscription = Subscription {
        symbols: vec!["BTC.USD".parse().unwrap(), "BTC.USD-PERP".parse().unwrap()],
        feeds: vec![Feed::Book, Feed::Trades, Feed::Candles, Feed::Funding],
    };
    kraken.start(&subscription, &mut output);
    let open = Action::Open { connection: CONNECTION, url: "wss://ws.kraken.com/v2".into() };
    assert_eq!(std::mem::take(&mut output.actions), [Action::Get { url: PAIRS_URL.into() }, open]);
    kraken.handle(Input::Opened { connection: CONNECTION, url: URL }, Timestamp(5), &mut output);
    let params: Vec<_> = sent(&mut output).into_iter().map(|m| (m["method"].clone(), m["params"].clone())).collect();
    assert_eq!(params[0].0, "subscribe");
    assert_eq!(params[0].1, serde_json::json!({"channel": "book", "symbol": [PAIR], "snapshot": true, "depth": 1000}));
    assert_eq!(params[1].1, serde_json::json!({"channel": "trade", "symbol": [PAIR], "snapshot": true}));
    assert_eq!(params[2].1, serde_json::json!({"channel": "ohlc", "symbol": [PAIR], "snapshot": true, "interval": 1}));
    let refused = incidents(&output.events);
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|(kind, _)| *kind == IncidentKind::Refused), "{refused:?}");
}

#[test]
fn what_the_venue_refuses_is_told() {
    let mut bench = Bench::new();
    for (text, expected) in [
        (
            r#"{"errorMessage":"Subscription depth not supported","event":"subscriptionStatus","pair":"XBT/USD","status":"error","subscription":{"depth":42,"name":"book"}}"#,
            "Kraken refused XBT/USD: Subscription depth not supported",
        ),
        (
            r#"{"error":"Currency pair not supported BTC/XYZ","method":"subscribe","success":false,"symbol":"BTC/XYZ","time_in":"2023-10-04T16:26:30.524394914Z"}"#,
            "Kraken refused BTC/XYZ: subscribe: Currency pair not supported BTC/XYZ",
        ),
        (
            r#"{"channel":"status","type":"update","data":[{"api_version":"v2","connection_id":1,"system":"maintenance","version":"2.0.0"}]}"#,
            "Kraken's trading engine is \"maintenance\", not online",
        ),
    ] {
        assert_eq!(incidents(&bench.frame(text)), [(IncidentKind::Refused, expected)]);
    }
    for quiet in [
        r#"{"connectionID":17843232920108168701,"event":"systemStatus","status":"online","version":"1.8.3"}"#,
        r#"{"channelID":1,"channelName":"trade","event":"subscriptionStatus","pair":"XBT/USD","status":"subscribed","subscription":{"name":"trade"}}"#,
        r#"{"method":"subscribe","result":{"channel":"book","depth":25,"snapshot":true,"symbol":"ETH/USD"},"success":true,"time_in":"2023-10-06T17:35:55.219022Z","time_out":"2023-10-06T17:35:55.219067Z"}"#,
        r#"{"channel":"heartbeat"}"#,
        r#"{"event":"heartbeat"}"#,
        r#"{"method":"pong","time_in":"2023-10-06T17:35:55.219022Z"}"#,
    ] {
        assert_eq!(bench.frame(quiet), [], "{quiet}");
    }
    assert_eq!(bench.kraken.depths.get("ETH/USD"), Some(&25));
}

#[test]
fn a_frame_cut_short_costs_the_connection_its_books() {
    let mut bench = Bench::new();
    bench.frame(&guide_snapshot());
    let events = bench.frame(&GUIDE_UPDATE[..60]);
    assert_eq!(incidents(&events)[0].0, IncidentKind::Garbage);
    assert_eq!(bench.book(), None);
    assert_eq!(std::mem::take(&mut bench.output.actions), [Action::Reconnect { connection: CONNECTION }]);
    // One level that cannot be read costs its own book only.
    let mut bench = Bench::new();
    bench.frame(&guide_snapshot());
    bench.frame(&guide_snapshot().replace("XBT", "ETH"));
    let events = bench.frame(&GUIDE_UPDATE.replace("0.05120", "five"));
    assert_eq!(incidents(&events)[0].0, IncidentKind::Garbage);
    assert_eq!(bench.kraken.books().len(), 1);
    assert_eq!(sent(&mut bench.output).len(), 2);
}

#[test]
fn a_crossed_book_is_told_once() {
    let mut bench = Bench::new();
    bench.frame(r#"[1,{"as":[["11","1","1.0"]],"bs":[["10","1","1.0"]]},"book-10","XBT/USD"]"#);
    let events = bench.frame(r#"[1,{"b":[["11","2","2.0"]]},"book-10","XBT/USD"]"#);
    assert_eq!(incidents(&events), [(IncidentKind::Crossed, "best bid 11 is not below best ask 11")]);
    assert_eq!(incidents(&bench.frame(r#"[1,{"b":[["9","2","2.0"]]},"book-10","XBT/USD"]"#)), []);
    bench.frame(r#"[1,{"b":[["11","0","2.0"]]},"book-10","XBT/USD"]"#);
    assert_eq!(incidents(&bench.frame(r#"[1,{"b":[["12","2","2.0"]]},"book-10","XBT/USD"]"#)).len(), 1);
}

#[test]
fn a_closed_connection_is_told_and_opened_anew() {
    let mut bench = Bench::new();
    bench.frame(&guide_snapshot());
    bench.input(Input::Closed { connection: CONNECTION });
    assert_eq!(incidents(&bench.output.events)[0].0, IncidentKind::Disconnected);
    assert_eq!(bench.output.actions, [Action::Reconnect { connection: CONNECTION }]);
    assert_eq!(bench.book(), None);
}

#[test]
fn names_of_assets() {
    let table = Symbols::default();
    assert_eq!(symbol_of(&table, "XDG/XBT"), Some(Symbol::spot("DOGE", "BTC")));
    assert_eq!(symbol_of(&table, "AAPLx/USD"), Some(Symbol::spot("AAPLX", "USD")));
    assert_eq!(symbol_of(&table, "XBTUSD"), None);
}

/// Found by reading for the fuzzer: the length of such a candle passes what 64 bits of nanoseconds hold.
#[test]
fn candles_of_any_length_are_taken() {
    let mut bench = Bench::new();
    let v1 = r#"[42,["1542057314.748456","1542057360.435743","1","1","1","1","1","1",2],"ohlc-4294967295","XBT/USD"]"#;
    let v2 = r#"{"channel":"ohlc","type":"update","timestamp":"2026-08-09T21:05:49.2Z","data":[{"symbol":"BTC/USD","open":1,"high":1,"low":1,"close":1,"trades":3,"volume":1,"vwap":1,"interval_begin":"2026-08-09T21:05:00Z","interval":4294967295}]}"#;
    for text in [v1, v2] {
        let events = bench.frame(text);
        assert!(matches!(events[..], [Event { kind: EventKind::Candle(_), .. }]), "{events:?}");
    }
}
