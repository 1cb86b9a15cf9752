//! Whatever comes in, no session panics, and each that could not read it says so.

use openmesh_dialect::{Input, Output};
use openmesh_market::ConnectionId;
use openmesh_market::event::IncidentKind;
use openmesh_market::{EventKind, Exchange};
use openmesh_primitives::Timestamp;
use proptest::prelude::*;

/// Messages of the shape that the venues send, to be damaged.
const FRAMES: &[&str] = &[
    r#"[1,{"as":[["11.5","1.0","1534614057.321597"]],"bs":[["10.5","1.0","1534614057.321597"]]},"book-10","XBT/USD"]"#,
    r#"[1,{"a":[["11.4","1.0","1534614058.321597"]]},{"b":[["10.4","0.0","1534614058.321597","r"]],"c":"974947235"},"book-10","XBT/USD"]"#,
    r#"[337,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]"#,
    r#"[42,["1542057314.748456","1542057360.435743","3586.7","3586.7","3586.6","3586.6","3586.6","0.03",2],"ohlc-5","XBT/USD"]"#,
    r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":1.5,"qty":2.0}],"asks":[{"price":1.6,"qty":2.0}],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#,
    r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":0.5117,"qty":40.0,"trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}"#,
    r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"T":1,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}}"#,
    r#"{"lastUpdateId":158,"E":1,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}"#,
    r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.6","P":"11784.2","r":"0.00038167","T":1562306400000}"#,
    r#"{"e":"kline","E":2,"s":"BTCUSDT","k":{"t":1,"T":2,"s":"BTCUSDT","i":"1m","f":1,"L":2,"o":"1","c":"2","h":"3","l":"1","v":"5","n":2,"x":false,"q":"1","V":"1","Q":"1","B":"0"}}"#,
    r#"{"channel":"l2_data","client_id":"","timestamp":"2026-08-09T20:32:50.714964855Z","sequence_num":0,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"1970-01-01T00:00:00Z","price_level":"21921.73","new_quantity":"0.06317902"}]}]}"#,
    r#"{"channel":"market_trades","client_id":"","timestamp":"2026-08-09T20:19:35.39625135Z","sequence_num":1,"events":[{"type":"update","trades":[{"trade_id":"000000000","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY","time":"2026-08-09T20:19:35.39625135Z"}]}]}"#,
    r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],"a":[["16611.00","0.029"]],"u":18521288,"seq":7961638724},"cts":1672304484976}"#,
    r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}"#,
    r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":-1,"seqId":123456}]}"#,
    r#"{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897"}]}"#,
];

const URLS: &[&str] = &[
    "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000",
    "https://api.binance.com/api/v3/exchangeInfo",
    "https://fapi.binance.com/fapi/v1/openInterest?symbol=BTCUSDT",
    "https://api.kraken.com/0/public/AssetPairs",
    "https://api.coinbase.com/api/v3/brokerage/market/products",
    "https://api.bybit.com/v5/market/instruments-info?category=linear",
    "https://www.okx.com/api/v5/public/instruments?instType=SPOT",
    "",
];

/// Feeds every session with messages, in every way that they can come in.
fn fuzz(messages: &[Vec<u8>]) {
    for exchange in Exchange::ALL {
        let mut session = openmesh_dialect::session(exchange);
        let mut output = Output::default();
        let connection = ConnectionId(0);
        let mut now = Timestamp(0);
        session.handle(Input::Opened { connection, url: "wss://a" }, now, &mut output);
        for (at, data) in messages.iter().enumerate() {
            now.0 += 7_000_000_000;
            session.handle(Input::Frame { connection, data }, now, &mut output);
            let url = URLS[at % URLS.len()];
            session.handle(Input::Response { url, status: 200 + (at % 2) as u16 * 229, body: data }, now, &mut output);
            if let Ok(text) = std::str::from_utf8(data) {
                session.handle(Input::Sent { connection, text }, now, &mut output);
                session.handle(Input::Response { url: text, status: 200, body: data }, now, &mut output);
            }
            session.handle(Input::Tick, now, &mut output);
            for (symbol, book) in session.books() {
                assert_eq!(session.book(&symbol), Some(book));
            }
        }
        session.handle(Input::Closed { connection }, now, &mut output);
        for event in &output.events {
            serde_json::to_string(event).expect("every event can be written");
        }
    }
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| (at, Some(byte))),
        any::<prop::sample::Index>().prop_map(|at| (at, None)),
    ];
    (prop::sample::select(FRAMES), prop::collection::vec(damage, 0..4), any::<prop::sample::Index>(), any::<bool>())
        .prop_map(|(frame, damages, cut, is_cut)| {
            let mut bytes = frame.as_bytes().to_vec();
            for (at, byte) in damages {
                let at = at.index(bytes.len());
                match byte {
                    Some(byte) => bytes[at] = byte,
                    None if bytes.len() > 1 => drop(bytes.remove(at)),
                    None => {}
                }
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        })
}

/// Numbers at the edges of what types hold, put where numbers stand.
fn stretched() -> impl Strategy<Value = Vec<u8>> {
    let number = prop::sample::select(
        &[
            "-1",
            "0",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "99999999999999999999999999999999999999999",
            "1e64",
            "1e-64",
            "0.000000000000000000000000000000000001",
            "\"\"",
            "null",
            "[]",
        ][..],
    );
    (prop::sample::select(FRAMES), number, any::<prop::sample::Index>()).prop_map(|(frame, number, at)| {
        let starts: Vec<usize> = frame
            .char_indices()
            .filter(|(at, c)| c.is_ascii_digit() && !frame[..*at].ends_with(|c: char| c.is_ascii_digit() || c == '.'))
            .map(|(at, _)| at)
            .collect();
        let start = starts[at.index(starts.len())];
        let rest = frame[start..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        format!("{}{number}{rest}", &frame[..start]).into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8)) {
        fuzz(&messages);
    }

    #[test]
    fn damaged_messages(messages in prop::collection::vec(damaged(), 1..16)) {
        fuzz(&messages);
    }

    #[test]
    fn stretched_numbers(messages in prop::collection::vec(stretched(), 1..16)) {
        fuzz(&messages);
    }
}

/// No venue's session takes a frame for read of which it understood nothing.
#[test]
fn nonsense_is_told_by_every_session() {
    for exchange in Exchange::ALL {
        for nonsense in ["", "\u{0}\u{1}", "[", "{\"a\":", "<html></html>", "[[[[", "true"] {
            let mut session = openmesh_dialect::session(exchange);
            let mut output = Output::default();
            let connection = ConnectionId(0);
            session.handle(Input::Frame { connection, data: nonsense.as_bytes() }, Timestamp(0), &mut output);
            let told = |kind: &EventKind| matches!(kind, EventKind::Incident(i) if i.kind == IncidentKind::Garbage);
            assert!(output.events.iter().any(|e| told(&e.kind)), "{exchange} took {nonsense:?} for read");
        }
    }
}

/// JSON may be nested deeper than any stack: it is refused, not followed.
#[test]
fn deep_nesting_is_refused() {
    let deep = [
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        format!(r#"{{"stream":"a@trade","data":{}"#, "[".repeat(100_000)),
    ];
    fuzz(&deep.map(String::into_bytes));
}
