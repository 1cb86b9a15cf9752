//! Small frames of each kind, and the ways in which a book goes wrong.

use super::*;
use crate::session::{Input, Session};
use openmesh_market::event::{Event, Side};
use openmesh_primitives::Symbol;

const NOW: Timestamp = Timestamp(1_786_310_819_000_000_000);
const LINEAR: ConnectionId = ConnectionId(7);
const SPOT: ConnectionId = ConnectionId(8);

fn opened() -> Bybit {
    let mut session = Bybit::new();
    for (connection, url) in
        [(LINEAR, "ws://127.0.0.1:9/v5/public/linear"), (SPOT, "wss://stream.bybit.com/v5/public/spot")]
    {
        session.handle(Input::Opened { connection, url }, NOW, &mut Output::default());
    }
    session
}

fn frame(session: &mut Bybit, connection: ConnectionId, text: &str) -> Output {
    let mut output = Output::default();
    session.handle(Input::Frame { connection, data: text.as_bytes() }, NOW, &mut output);
    output
}

fn book(kind: &str, update: u64, bids: &str, asks: &str) -> String {
    format!(
        r#"{{"topic":"orderbook.200.BTCUSDT","type":"{kind}","ts":1786310818129,"data":{{"s":"BTCUSDT","b":{bids},"a":{asks},"u":{update},"seq":9}},"cts":1786310818120}}"#
    )
}

fn incidents(events: &[Event]) -> Vec<(IncidentKind, String)> {
    events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::Incident(incident) => Some((incident.kind, incident.detail.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn the_same_name_is_another_instrument_in_another_market() {
    let mut session = opened();
    frame(&mut session, LINEAR, &book("snapshot", 5, r#"[["10","1"]]"#, r#"[["11","1"]]"#));
    frame(&mut session, SPOT, &book("snapshot", 9, r#"[["20","1"]]"#, r#"[["21","1"]]"#));
    let names: Vec<_> = session.books().iter().map(|(s, _)| s.to_string()).collect();
    assert_eq!(names, ["BTC.USDT", "BTC.USDT-PERP"]);
    assert_eq!(session.book(&Symbol::spot("BTC", "USDT")).unwrap().best(Side::Buy).unwrap().0, Decimal::from(20));
}

#[test]
fn numbers_must_follow_each_other() {
    for wrong in [6, 8, 4, 100] {
        let mut session = opened();
        frame(&mut session, LINEAR, &book("snapshot", 5, r#"[["10","1"]]"#, r#"[["11","1"]]"#));
        let output = frame(&mut session, LINEAR, &book("delta", 6, r#"[["10","0"],["9","2"]]"#, "[]"));
        assert!(matches!(output.events[0].kind, EventKind::BookDelta(BookDelta { sequence: Some(6), .. })));
        let output = frame(&mut session, LINEAR, &book("delta", wrong, r#"[["9","3"]]"#, "[]"));
        let detail = format!("orderbook.200.BTCUSDT: u 7 expected, {wrong} came");
        assert_eq!(incidents(&output.events), [(IncidentKind::Gap, detail)]);
        let text = |op| format!(r#"{{"args":["orderbook.200.BTCUSDT"],"op":"{op}"}}"#);
        let send = |op| Action::Send { connection: LINEAR, text: text(op) };
        assert_eq!(output.actions, [send("unsubscribe"), send("subscribe")]);
        assert!(session.books().is_empty());
        assert!(frame(&mut session, LINEAR, &book("delta", 8, "[]", "[]")).events.is_empty());
        frame(&mut session, LINEAR, &book("snapshot", 20, r#"[["10","1"]]"#, "[]"));
        assert_eq!(session.books().len(), 1);
    }
}

#[test]
fn a_restart_of_the_service_brings_a_new_book() {
    for kind in ["snapshot", "delta"] {
        let mut session = opened();
        frame(&mut session, LINEAR, &book("snapshot", 5, r#"[["10","1"]]"#, r#"[["11","1"]]"#));
        let output = frame(&mut session, LINEAR, &book(kind, 1, r#"[["8","1"]]"#, r#"[["9","1"]]"#));
        assert!(matches!(output.events[0].kind, EventKind::BookSnapshot(_)), "{output:?}");
        frame(&mut session, LINEAR, &book("delta", 2, r#"[["8.5","1"]]"#, "[]"));
        let bids: Vec<_> = session.books()[0].1.levels(Side::Buy).map(|l| l.0.to_string()).collect();
        assert_eq!(bids, ["8.5", "8"]);
    }
}

#[test]
fn a_delta_without_its_snapshot_and_a_snapshot_that_does_not_come() {
    let mut session = opened();
    let output = frame(&mut session, LINEAR, &book("delta", 5, "[]", "[]"));
    assert_eq!(incidents(&output.events).len(), 1);
    assert_eq!(output.actions.len(), 2);
    let mut output = Output::default();
    session.handle(Input::Tick, Timestamp(NOW.nanos() + 15_000_000_000), &mut output);
    assert_eq!(incidents(&output.events)[0].0, IncidentKind::Silence);
    assert_eq!(output.actions, [Action::Reconnect { connection: LINEAR }]);
}

#[test]
fn tickers_are_merged_and_give_what_the_message_carries() {
    let mut session = opened();
    let head = r#"{"topic":"tickers.BTCUSDT","ts":1786310817583,"#;
    let delta = format!(r#"{head}"type":"delta","data":{{"symbol":"BTCUSDT","markPrice":"7"}}}}"#);
    assert!(frame(&mut session, LINEAR, &delta).events.is_empty(), "nothing is known before a snapshot");
    let snapshot = format!(
        r#"{head}"type":"snapshot","data":{{"symbol":"BTCUSDT","lastPrice":"10.1","markPrice":"10.2","indexPrice":"10.3","openInterest":"99.5","fundingRate":"0.0001","nextFundingTime":"1786320000000","bid1Price":"10.0","bid1Size":"1","ask1Price":"10.1","ask1Size":"2"}}}}"#
    );
    let kinds = |output: &Output| output.events.iter().filter_map(|e| e.kind.feed()).collect::<Vec<_>>();
    let output = frame(&mut session, LINEAR, &snapshot);
    assert_eq!(kinds(&output), [Feed::Ticker, Feed::Funding, Feed::OpenInterest, Feed::IndexPrice, Feed::MarkPrice]);
    let EventKind::Funding(funding) = &output.events[1].kind else { panic!() };
    assert_eq!(funding.next_funding, Some(Timestamp::from_millis(1_786_320_000_000)));
    assert_eq!(funding.mark_price, Some(Decimal::new(102, 1)));
    let output = frame(&mut session, LINEAR, &delta);
    assert_eq!(kinds(&output), [Feed::Ticker, Feed::MarkPrice]);
    let EventKind::Ticker(ticker) = &output.events[0].kind else { panic!() };
    assert_eq!((ticker.bid, ticker.ask_size), (Some(Decimal::from(10)), Some(Decimal::from(2))));
    let dated =
        format!(r#"{head}"type":"snapshot","data":{{"symbol":"BTCUSDT","fundingRate":"","nextFundingTime":""}}}}"#);
    assert_eq!(kinds(&frame(&mut session, LINEAR, &dated)), [Feed::Ticker]);
}

#[test]
fn liquidations_are_told_by_the_forced_order() {
    let mut session = opened();
    for text in [
        r#"{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":2,"data":[{"T":1,"s":"BTCUSDT","S":"Buy","v":"3","p":"0.5"}]}"#,
        r#"{"data":{"price":"0.5","side":"Buy","size":"3","symbol":"BTCUSDT","updatedTime":1},"topic":"liquidation.BTCUSDT","ts":2,"type":"snapshot"}"#,
    ] {
        let output = frame(&mut session, LINEAR, text);
        let EventKind::Liquidation(liquidation) = &output.events[0].kind else { panic!("{output:?}") };
        assert_eq!(liquidation.side, Side::Sell, "a long position is closed by a sale");
        assert_eq!(output.events[0].ts_exchange, Some(Timestamp::from_millis(1)));
    }
}

#[test]
fn answers_and_garbage() {
    let mut session = opened();
    for quiet in [
        r#"{"success":true,"ret_msg":"","conn_id":"x","req_id":"","op":"subscribe"}"#,
        r#"{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}"#,
        r#"{"topic":"insurance.USDT","data":1}"#,
    ] {
        assert!(frame(&mut session, SPOT, quiet).events.is_empty(), "{quiet}");
    }
    let refused = r#"{"success":false,"ret_msg":"error:handler not found","conn_id":"x","op":"subscribe"}"#;
    assert_eq!(incidents(&frame(&mut session, SPOT, refused).events)[0].0, IncidentKind::Refused);
    let unknown = r#"{"topic":"somethingNew.BTCUSDT","data":1}"#;
    for text in [unknown, "", "pong", "[]", "{}", r#"{"topic":"orderbook.BTCUSDT"}"#, r#"{"topic":"tickers.","ts":1}"#]
    {
        assert_eq!(incidents(&frame(&mut session, SPOT, text).events)[0].0, IncidentKind::Garbage, "{text}");
    }
}

#[test]
fn subscribes_on_each_market_instrument_by_instrument() {
    let mut session = Bybit::new();
    let mut output = Output::default();
    let symbols = ["BTC.USDT", "BTC.USDT-PERP", "ETH.USDC-PERP", "BTC.USDT-261225", "SOL.USDT-PERP", "BTC.USD-PERP"];
    let subscription = Subscription {
        symbols: symbols.iter().map(|s| s.parse().unwrap()).collect(),
        feeds: vec![Feed::Trades, Feed::Book, Feed::Ticker, Feed::Funding, Feed::MarkPrice],
    };
    session.start(&subscription, &mut output);
    let opens: Vec<_> = output.actions.iter().filter(|a| matches!(a, Action::Open { .. })).collect();
    assert_eq!(opens.len(), 2);
    let mut output = Output::default();
    session.handle(Input::Opened { connection: ConnectionId(0), url: "ws://x/linear" }, NOW, &mut output);
    // Four contracts with three topics each, and a request for each: one that the venue does not have is refused alone.
    assert_eq!(output.actions.len(), 4);
    let second = format!("{:?}", output.actions[1]);
    assert!(second.contains("orderbook.200.ETHPERP") && second.contains("tickers.ETHPERP"), "{second}");
    assert_eq!(second.matches("ETHPERP").count(), 3, "{second}");
    // That spot has neither funding nor mark price is nothing to speak of; the inverse contract is not on these markets.
    assert_eq!(
        incidents(&output.events),
        [(IncidentKind::Refused, "bybit has no instrument like BTC.USD-PERP".to_owned())]
    );
}

#[test]
fn names_both_ways() {
    for (category, name, symbol) in [
        (Category::Spot, "BTCUSDT", "BTC.USDT"),
        (Category::Linear, "1000PEPEUSDT", "1000PEPE.USDT-PERP"),
        (Category::Linear, "BTCPERP", "BTC.USDC-PERP"),
        (Category::Linear, "BTCUSDT-25DEC26", "BTC.USDT-261225"),
        (Category::Linear, "BTC-25DEC26", "BTC.USDC-261225"),
    ] {
        let symbol: Symbol = symbol.parse().unwrap();
        assert_eq!(wire::symbol_of(category, name).as_ref(), Some(&symbol));
        assert_eq!(wire::name_of(&symbol), Some((category, name.to_owned())));
    }
}

#[test]
fn the_table_is_read_page_by_page() {
    let mut session = opened();
    let body = br#"{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"symbol":"XRLUSD","baseCoin":"X","quoteCoin":"RLUSD"}],"nextPageCursor":"abc"}}"#;
    let mut output = Output::default();
    let url = "https://api.bybit.com/v5/market/instruments-info?category=spot";
    session.handle(Input::Response { url, status: 200, body }, NOW, &mut output);
    let next = "https://api.bybit.com/v5/market/instruments-info?category=spot&limit=1000&cursor=abc";
    assert_eq!(output.actions, [Action::Get { url: next.into() }]);
    frame(&mut session, SPOT, &book("snapshot", 1, "[]", "[]").replace("BTCUSDT", "XRLUSD"));
    assert_eq!(session.books()[0].0, Symbol::spot("X", "RLUSD"));
    let mut output = Output::default();
    session.handle(Input::Response { url, status: 500, body: b"" }, NOW, &mut output);
    session.handle(Input::Response { url, status: 200, body: b"{\"retCode\":10001}" }, NOW, &mut output);
    assert_eq!(
        incidents(&output.events).iter().map(|i| i.0).collect::<Vec<_>>(),
        [IncidentKind::Refused, IncidentKind::Garbage]
    );
}
