//! Small frames of each kind, and the ways in which a connection goes wrong.

use super::*;
use crate::event::{Event, Side};
use crate::session::{Input, Session};
use openmesh_primitives::Symbol;

const NOW: Timestamp = Timestamp(1_786_309_548_000_000_000);

fn frame(session: &mut Coinbase, text: &str) -> Output {
    let mut output = Output::default();
    session.handle(Input::Frame { connection: CONNECTION, data: text.as_bytes() }, NOW, &mut output);
    output
}

fn opened() -> Coinbase {
    let mut session = Coinbase::new();
    session.handle(Input::Opened { connection: CONNECTION, url: URL }, NOW, &mut Output::default());
    session
}

fn level2(number: u64, kind: &str, updates: &[(&str, &str, &str)]) -> String {
    let updates: Vec<_> = updates
        .iter()
        .map(|(side, price, size)| {
            serde_json::json!({"side": side, "event_time": "2026-08-09T21:05:48.170326Z",
                "price_level": price, "new_quantity": size})
        })
        .collect();
    serde_json::json!({"channel": "l2_data", "timestamp": "2026-08-09T21:05:48.483587501Z", "sequence_num": number,
        "events": [{"type": kind, "product_id": "BTC-USD", "updates": updates}]})
    .to_string()
}

fn incidents(events: &[Event]) -> Vec<IncidentKind> {
    events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::Incident(incident) => Some(incident.kind),
            _ => None,
        })
        .collect()
}

#[test]
fn books_from_snapshot_and_updates() {
    let mut session = opened();
    let output = frame(&mut session, &level2(0, "snapshot", &[("bid", "10.50", "1"), ("offer", "11.00", "2.5")]));
    assert_eq!(output.events[0].ts_exchange, Timestamp::parse_rfc3339(b"2026-08-09T21:05:48.170326Z").ok());
    frame(&mut session, &level2(1, "update", &[("bid", "10.50", "0"), ("bid", "10.40", "3"), ("offer", "11.00", "2")]));
    let book = session.book(&Symbol::spot("BTC", "USD")).unwrap();
    assert_eq!(format!("{:?}", book.levels(Side::Buy).collect::<Vec<_>>()), "[(10.40, 3)]");
    assert_eq!(format!("{:?}", book.levels(Side::Sell).collect::<Vec<_>>()), "[(11.00, 2)]");
    assert_eq!(session.books().len(), 1);
}

#[test]
fn a_gap_on_any_channel_puts_every_book_out_of_step_until_a_snapshot() {
    let mut session = opened();
    frame(&mut session, &level2(0, "snapshot", &[("bid", "10", "1")]));
    let heartbeat = r#"{"channel":"heartbeats","timestamp":"2026-08-09T21:05:48.8Z","sequence_num":2,"events":[]}"#;
    let output = frame(&mut session, heartbeat);
    assert_eq!(incidents(&output.events), [IncidentKind::Gap]);
    let EventKind::Incident(incident) = &output.events[0].kind else { panic!() };
    assert!(incident.detail.contains("1 expected, 2 came"), "{}", incident.detail);
    assert_eq!(output.actions, [Action::Reconnect { connection: CONNECTION }]);
    assert!(session.books().is_empty());
    assert!(frame(&mut session, &level2(3, "update", &[("bid", "9", "1")])).events.is_empty());
    assert!(session.books().is_empty());
    frame(&mut session, &level2(4, "snapshot", &[("bid", "8", "1")]));
    assert_eq!(session.books().len(), 1);
}

#[test]
fn repeated_and_late_messages_are_gaps_too() {
    for number in [0, 1] {
        let mut session = opened();
        frame(&mut session, &level2(0, "snapshot", &[("bid", "10", "1")]));
        frame(&mut session, &level2(1, "update", &[("bid", "10", "2")]));
        let output = frame(&mut session, &level2(number, "update", &[("bid", "10", "1")]));
        assert_eq!(incidents(&output.events), [IncidentKind::Gap]);
        assert!(session.books().is_empty());
        // The count has not been turned back.
        assert!(frame(&mut session, &level2(2, "update", &[])).events.is_empty());
    }
}

/// Found by the fuzzer: the snapshot came after the first update, was taken, and the book lacked that update.
#[test]
fn a_snapshot_that_comes_late_is_no_book() {
    let mut session = opened();
    frame(&mut session, &level2(1, "update", &[("bid", "9", "1")]));
    frame(&mut session, &level2(0, "snapshot", &[("bid", "8", "1")]));
    frame(&mut session, &level2(2, "update", &[("bid", "7", "1")]));
    assert!(session.books().is_empty());
}

#[test]
fn an_update_without_its_snapshot_is_said_once() {
    let mut session = opened();
    assert_eq!(incidents(&frame(&mut session, &level2(0, "update", &[("bid", "9", "1")])).events), [IncidentKind::Gap]);
    assert!(frame(&mut session, &level2(1, "update", &[("bid", "9", "1")])).events.is_empty());
}

#[test]
fn garbage_is_said_and_costs_the_books_where_it_was_a_book_message() {
    let mut session = opened();
    for text in ["", "{", "[]", "null", r#"{"channel":5}"#, r#"{"channel":"l2_data"}"#, "\u{fffd}"] {
        assert_eq!(incidents(&frame(&mut session, text).events), [IncidentKind::Garbage], "{text}");
    }
    frame(&mut session, &level2(0, "snapshot", &[("bid", "10", "1")]));
    let output = frame(&mut session, &level2(1, "update", &[("bid", "ten", "1")]));
    assert_eq!(incidents(&output.events), [IncidentKind::Garbage]);
    assert!(session.books().is_empty());
    assert_eq!(output.actions.len(), 1);
}

#[test]
fn snapshot_trades_are_marked_and_errors_are_refusals() {
    let mut session = opened();
    for (number, kind) in [(0, "snapshot"), (1, "update")] {
        let text = format!(
            r#"{{"channel":"market_trades","timestamp":"2026-08-09T21:05:48.25Z","sequence_num":{number},"events":[{{"type":"{kind}","trades":[{{"product_id":"BTC-USD","trade_id":"7","price":"65083.67","size":"0.01","time":"2026-08-09T21:05:48.167634Z","side":"SELL"}}]}}]}}"#
        );
        let output = frame(&mut session, &text);
        let EventKind::Trade(trade) = &output.events[0].kind else { panic!("{output:?}") };
        assert_eq!((trade.snapshot, trade.side, trade.id.as_deref()), (kind == "snapshot", Side::Sell, Some("7")));
        assert_eq!(output.events[0].ts_exchange.unwrap().nanos(), 1_786_309_548_167_634_000);
    }
    let output = frame(&mut session, r#"{"type":"error","message":"failure to subscribe"}"#);
    assert_eq!(incidents(&output.events), [IncidentKind::Refused]);
}

#[test]
fn subscribes_when_opened_and_again_after_a_loss() {
    let mut session = Coinbase::new();
    let mut output = Output::default();
    let subscription = Subscription {
        symbols: vec![Symbol::spot("BTC", "USD"), Symbol::perpetual("BTC", "USDT")],
        feeds: vec![Feed::Trades, Feed::Book, Feed::Funding],
    };
    session.start(&subscription, &mut output);
    assert_eq!(output.actions[1], Action::Open { connection: CONNECTION, url: URL.to_owned() });
    for refused in [2, 0] {
        let mut output = Output::default();
        session.handle(Input::Opened { connection: CONNECTION, url: URL }, NOW, &mut output);
        assert_eq!(incidents(&output.events).len(), refused);
        let sent: Vec<_> = output.actions.iter().map(|a| format!("{a:?}")).collect();
        assert_eq!(sent.len(), 3);
        assert!(sent[0].contains("heartbeats") && sent[1].contains("market_trades") && sent[2].contains("level2"));
        let mut output = Output::default();
        session.handle(Input::Closed { connection: CONNECTION }, NOW, &mut output);
        assert_eq!(incidents(&output.events), [IncidentKind::Disconnected]);
        assert_eq!(output.actions, [Action::Reconnect { connection: CONNECTION }]);
    }
}

#[test]
fn silence_renews_the_connection() {
    let mut session = opened();
    let mut output = Output::default();
    let later = Timestamp(NOW.nanos() + UPKEEP.silence_ms_max * 1_000_000);
    session.handle(Input::Tick, later, &mut output);
    assert_eq!(incidents(&output.events), [IncidentKind::Silence]);
    assert_eq!(output.actions, [Action::Reconnect { connection: CONNECTION }]);
}

#[test]
fn names_both_ways() {
    for (product, symbol) in
        [("BTC-USD", "BTC.USD"), ("BTC-PERP-INTX", "BTC.USDC-PERP"), ("BIT-28JUN24-CDE", "BIT.USD-240628")]
    {
        let symbol: Symbol = symbol.parse().unwrap();
        assert_eq!(wire::symbol_of(product).as_ref(), Some(&symbol));
        assert_eq!(wire::product_of(&symbol).as_deref(), Some(product));
    }
    assert_eq!(wire::symbol_of("BTCUSD"), None);
    let mut table = Symbols::default();
    let body = br#"{"products":[{"product_id":"00-USD","product_type":"SPOT","base_currency_id":"00","quote_currency_id":"USD","x":1}]}"#;
    wire::read_products(body, &mut table).unwrap();
    assert_eq!(table.venue(&Symbol::spot("00", "USD")), Some("00-USD"));
}

#[test]
fn several_moments_in_one_message_are_told_apart() {
    let text = r#"{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.4Z","sequence_num":1,"events":[{"type":"update","product_id":"BTC-USD","updates":[
        {"side":"bid","event_time":"2026-08-09T21:05:48.1Z","price_level":"10","new_quantity":"1"},
        {"side":"offer","event_time":"2026-08-09T21:05:48.2Z","price_level":"12","new_quantity":"1"}]}]}"#;
    let mut session = opened();
    frame(&mut session, &level2(0, "snapshot", &[("bid", "9", "1")]));
    let times: Vec<_> = frame(&mut session, text).events.iter().filter_map(|e| e.ts_exchange).collect();
    assert_eq!(times.len(), 2);
    assert_eq!(times[1].nanos() - times[0].nanos(), 100_000_000);
}
