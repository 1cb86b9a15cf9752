//! Small frames of each kind, and the ways in which a connection goes wrong.

use super::*;
use crate::session::{Input, Session};
use openmesh_market::event::{Event, Side};
use openmesh_market::window::Class;
use openmesh_primitives::Symbol;

const NOW: Timestamp = Timestamp(1_786_309_548_000_000_000);
const CONNECTION: ConnectionId = ConnectionId(0);

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
    for refused in [2i64, 0] {
        let mut output = Output::default();
        let opened = second(20 - refused * 10);
        session.handle(Input::Opened { connection: CONNECTION, url: URL }, opened, &mut output);
        assert_eq!(incidents(&output.events).len(), refused as usize);
        let mut sent = spoken(&mut output);
        assert_eq!(sent.len(), 1);
        // The venue counts the messages of an address: one a second.
        for more in 1..10 {
            session.handle(Input::Tick, second(20 - refused * 10 + more), &mut output);
            let said = spoken(&mut output);
            assert_eq!(said.len(), usize::from(more < 3));
            sent.extend(said);
        }
        let channels: Vec<_> = sent.iter().map(|(_, channel, _)| channel.as_str()).collect();
        assert_eq!(channels, ["heartbeats", "market_trades", "level2"]);
        assert!(sent.iter().all(|(on, _, products)| *on == CONNECTION && products[..] == ["BTC-USD"]));
        let mut output = Output::default();
        session.handle(Input::Closed { connection: CONNECTION }, NOW, &mut output);
        assert_eq!(incidents(&output.events), [IncidentKind::Disconnected]);
        assert_eq!(output.actions, [Action::Reconnect { connection: CONNECTION }]);
    }
}

fn second(seconds: i64) -> Timestamp {
    Timestamp(NOW.nanos() + seconds * 1_000_000_000)
}

/// The messages sent: on which connection, channel, products.
fn spoken(output: &mut Output) -> Vec<(ConnectionId, String, Vec<String>)> {
    let of = |action| {
        let Action::Send { connection, text } = action else { return None };
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        let list = message["product_ids"].as_array().unwrap();
        let products = list.iter().map(|product| product.as_str().unwrap().to_owned()).collect();
        Some((connection, message["channel"].as_str().unwrap().to_owned(), products))
    };
    std::mem::take(&mut output.actions).into_iter().filter_map(of).collect()
}

/// The venue gives a connection so many books and no more, and each of them a few seconds to ask for something.
#[test]
fn many_products_take_several_connections() {
    for count in [16usize, 17, 100] {
        let (mut session, mut output) = (Coinbase::new(), Output::default());
        let symbols: Vec<_> = (0..count).map(|n| Symbol::spot(&format!("C{n}"), "USD")).collect();
        let feeds = vec![Feed::Book, Feed::Ticker, Feed::Trades];
        session.start(&Subscription { symbols, feeds }, &mut output);
        let is_open = |a: &Action| if let Action::Open { connection, .. } = a { Some(*connection) } else { None };
        let opened: Vec<_> = output.actions.iter().filter_map(is_open).collect();
        assert_eq!(opened.len(), count.div_ceil(16));
        output.actions.clear();
        for connection in &opened {
            session.handle(Input::Opened { connection: *connection, url: URL }, NOW, &mut output);
        }
        let mut sent: Vec<_> = spoken(&mut output).into_iter().map(|s| (0, s)).collect();
        for now in 1..40 {
            for connection in &opened {
                let text = format!(
                    r#"{{"channel":"heartbeats","timestamp":"2026-08-09T21:05:48.2Z","sequence_num":{},"events":[]}}"#,
                    now - 1
                );
                let input = Input::Frame { connection: *connection, data: text.as_bytes() };
                session.handle(input, second(now), &mut output);
            }
            session.handle(Input::Tick, second(now), &mut output);
            sent.extend(spoken(&mut output).into_iter().map(|s| (now, s)));
        }
        let of = |channel: &str| -> Vec<_> { sent.iter().filter(|(_, s)| s.1 == channel).collect() };
        assert!(of("heartbeats").iter().all(|(now, _)| *now < 5), "{sent:?}");
        for channel in ["heartbeats", "market_trades", "level2", "ticker"] {
            let asked = of(channel);
            assert!(asked.iter().all(|(_, s)| s.2.len() <= 16));
            assert_eq!(asked.iter().map(|(_, s)| s.2.len()).sum::<usize>(), count, "{channel}");
            let alone = !matches!(channel, "heartbeats" | "market_trades");
            assert!(!alone || asked.windows(2).all(|pair| pair[0].0 < pair[1].0), "{sent:?}");
        }
        assert!(of("market_trades").iter().all(|(now, _)| *now < 9), "{sent:?}");
        // What else tells the venue's time comes after them.
        assert!(of("market_trades").last().map(|(now, _)| now) < of("level2").first().map(|(now, _)| now));
    }
}

/// Data of `BTC-USDC` comes as that of `BTC-USD`: who waits for it under its own name would wait for ever.
#[test]
fn pairs_that_come_under_another_name_are_said_and_not_asked_for() {
    let (mut session, mut output) = (Coinbase::new(), Output::default());
    let symbols = ["BTC", "USDT", "EURC"].map(|base| Symbol::spot(base, "USDC")).to_vec();
    session.start(&Subscription { symbols, feeds: vec![Feed::Trades] }, &mut output);
    output.actions.clear();
    session.handle(Input::Opened { connection: CONNECTION, url: URL }, NOW, &mut output);
    assert_eq!(output.events.len(), 1);
    assert_eq!(output.events[0].symbol, Some(Symbol::spot("BTC", "USDC")));
    let EventKind::Incident(said) = &output.events[0].kind else { panic!("{output:?}") };
    assert!(said.kind == IncidentKind::Refused && said.detail.contains("BTC.USD,"), "{said:?}");
    assert_eq!(spoken(&mut output)[0].2, ["USDT-USDC", "EURC-USDC"]);
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
    // Contracts are read where a recording has them, and not asked for.
    for (product, symbol, asked) in [
        ("BTC-USD", "BTC.USD", true),
        ("BTC-PERP-INTX", "BTC.USDC-PERP", false),
        ("BIT-28JUN24-CDE", "BIT.USD-240628", false),
    ] {
        let symbol: Symbol = symbol.parse().unwrap();
        assert_eq!(wire::symbol_of(product).as_ref(), Some(&symbol));
        assert_eq!(wire::product_of(&symbol).as_deref(), Some(product).filter(|_| asked));
        assert_eq!(Class::of(Exchange::Coinbase, &symbol, Feed::Trades).is_some(), asked);
    }
    assert_eq!(wire::symbol_of("BTCUSD"), None);
    let mut table = Symbols::default();
    let body = br#"{"products":[{"product_id":"00-USD","product_type":"SPOT","base_currency_id":"00","quote_currency_id":"USD","x":1}]}"#;
    wire::read_products(body, &mut table).unwrap();
    assert_eq!(table.symbol("00-USD"), Some(&Symbol::spot("00", "USD")));
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
