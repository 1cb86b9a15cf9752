//! The venues' dialects: any sequence of messages into a session and into the cutter of windows behind it.
//!
//! An input is text, a line for each step:
//!
//! | line | step |
//! | --- | --- |
//! | `!` | start, with two instruments and every feed |
//! | `@N` | what follows is about connection N (0 to 3) |
//! | `>ADDRESS` | the connection is open |
//! | `x` | the connection has ended |
//! | `+MS` | time goes on by so many milliseconds, then a tick |
//! | `<TEXT` | a message of ours was sent |
//! | `=STATUS ADDRESS BODY` | a request was answered |
//! | anything else | a message arrives |
//!
//! Properties that hold after every step: two sessions fed alike say and want the same; every event can be written as JSON
//! and read again; there are not more events than the bytes account for; a book that counts as in step is the one that
//! the events lead to (but for Kraken, whose books are cut to a depth that events do not tell), has its levels in order
//! and is not crossed without that being said (Binance: not at all); what is asked of the venue is an address of its
//! own. Each chunk of the cutter's windows reads back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use openmesh_dialect::Output;
use openmesh_dialect::{Action, Input, Session, Subscription};
use openmesh_market::event::{IncidentKind, Level};
use openmesh_market::window::{Chunk, Lateness, WindowConfig, WindowCutter, WindowLength};
use openmesh_market::{ConnectionId, Event, EventKind, Exchange, Feed, OrderBook, Side};
use openmesh_primitives::{Symbol, Timestamp};

use crate::emulated;

/// Steps of one input that are looked at.
const STEPS_MAX: usize = 200;

/// Events that a step may have beside those that its bytes account for: a tick may say something about each connection.
const EVENTS_FREE: usize = 16;

/// Binance spot.
pub fn binance_spot(data: &[u8]) {
    play(Exchange::Binance, data);
}

/// Binance USD-M futures.
pub fn binance_usdm(data: &[u8]) {
    play(Exchange::BinanceFutures, data);
}

/// Kraken, v1 and v2.
pub fn kraken(data: &[u8]) {
    play(Exchange::Kraken, data);
}

/// Coinbase.
pub fn coinbase(data: &[u8]) {
    play(Exchange::Coinbase, data);
}

/// Bybit.
pub fn bybit(data: &[u8]) {
    play(Exchange::Bybit, data);
}

/// OKX.
pub fn okx(data: &[u8]) {
    play(Exchange::Okx, data);
}

fn symbols(exchange: Exchange) -> Vec<Symbol> {
    let names: &[&str] = match exchange.protocol() {
        Exchange::Binance => &["BTC.USDT", "ETH.USDT"],
        Exchange::BinanceFutures => &["BTC.USDT-PERP", "BTC.USDT-240927"],
        Exchange::Kraken | Exchange::Coinbase => &["BTC.USD", "ETH.USD"],
        _ => &["BTC.USDT", "BTC.USDT-PERP"],
    };
    names.iter().map(|name| name.parse().expect("a symbol")).collect()
}

/// A session, its double, and what their events lead to.
struct Play {
    exchange: Exchange,
    session: Box<dyn Session>,
    double: Box<dyn Session>,
    cutter: WindowCutter,
    model: BTreeMap<Symbol, OrderBook>,
    crossed: BTreeSet<Symbol>,
    now: Timestamp,
    connection: ConnectionId,
    events: usize,
    bytes: usize,
}

fn play(exchange: Exchange, data: &[u8]) {
    let mut config = WindowConfig::new(exchange, symbols(exchange), Feed::ALL.to_vec());
    // Short, so that inputs of a few lines close some.
    (config.length, config.lateness) = (WindowLength::from_ms(1_000), Lateness::from_ms(200));
    let mut play = Play {
        exchange,
        session: openmesh_dialect::session(exchange),
        double: openmesh_dialect::session(exchange),
        cutter: WindowCutter::new(config),
        model: BTreeMap::new(),
        crossed: BTreeSet::new(),
        now: Timestamp::from_millis(1_786_309_548_000),
        connection: ConnectionId(0),
        events: 0,
        bytes: 0,
    };
    for line in data.split(|b| *b == b'\n').take(STEPS_MAX) {
        play.step(line);
    }
}

impl Play {
    fn step(&mut self, line: &[u8]) {
        self.bytes += line.len();
        let connection = self.connection;
        match (line, std::str::from_utf8(line)) {
            (b"!", _) => self.start(),
            (b"x", _) => {
                self.cutter.connection_lost(connection);
                self.handle(Input::Closed { connection }, None);
            }
            ([b'@', digit], _) => self.connection = ConnectionId(u32::from(digit % 4)),
            ([b'>', ..], Ok(text)) => {
                self.cutter.opened(connection);
                self.handle(Input::Opened { connection, url: &text[1..] }, Some(connection));
            }
            ([b'<', ..], Ok(text)) => self.handle(Input::Sent { connection, text: &text[1..] }, None),
            ([b'+', ..], Ok(text)) => {
                let millis: u32 = text[1..].parse().unwrap_or(1_000);
                self.now.0 = self.now.0.saturating_add(i64::from(millis) * 1_000_000);
                self.handle(Input::Tick, None);
            }
            ([b'=', ..], Ok(text)) => {
                let mut parts = text[1..].splitn(3, ' ');
                let status = parts.next().and_then(|s| s.parse().ok()).unwrap_or(200);
                let url = parts.next().unwrap_or_default();
                let body = parts.next().unwrap_or_default().as_bytes();
                self.handle(Input::Response { url, status, body }, None);
            }
            _ => {
                self.cutter.alive(connection);
                self.handle(Input::Frame { connection, data: line }, Some(connection));
            }
        }
    }

    fn start(&mut self) {
        let subscription = Subscription { symbols: symbols(self.exchange), feeds: Feed::ALL.to_vec() };
        let (mut output, mut same) = (Output::default(), Output::default());
        self.session.start(&subscription, &mut output);
        self.double.start(&subscription, &mut same);
        self.check_output(&output, &same);
    }

    fn handle(&mut self, input: Input<'_>, from: Option<ConnectionId>) {
        let (mut output, mut same) = (Output::default(), Output::default());
        self.session.handle(input, self.now, &mut output);
        self.double.handle(input, self.now, &mut same);
        // A frame is captured at a time of its own.
        self.now.0 = self.now.0.saturating_add(1_000);
        self.check_output(&output, &same);
        for event in &output.events {
            self.cutter.observe(from, event);
            self.follow(event);
        }
        self.check_books(&output.events);
        self.check_windows();
    }

    fn check_output(&mut self, output: &Output, same: &Output) {
        assert_eq!((&output.events, &output.actions), (&same.events, &same.actions), "two sessions differ");
        self.events += output.events.len();
        // Binance gives out what it held back, so all is counted from the beginning.
        assert!(self.events <= STEPS_MAX * EVENTS_FREE + self.bytes, "more events than the messages account for");
        for event in &output.events {
            assert_eq!(event.exchange, self.exchange);
            let json = serde_json::to_string(event).expect("every event can be written");
            let again: Event = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{json} cannot be read: {e}"));
            assert_eq!(again, *event);
        }
        for action in &output.actions {
            match action {
                Action::Get { url } | Action::Open { url, .. } => {
                    let ours = url.starts_with("https://") || url.starts_with("wss://");
                    assert!(ours && url.bytes().all(|b| b.is_ascii_graphic()), "{url:?} is no address to ask");
                }
                Action::Send { text, .. } => {
                    let read = serde_json::from_str::<serde::de::IgnoredAny>(text);
                    assert!(text == "ping" || read.is_ok(), "{text} is no message");
                }
                Action::Reconnect { .. } => {}
            }
        }
    }

    /// Applies an event to the model's books.
    fn follow(&mut self, event: &Event) {
        let Some(symbol) = &event.symbol else { return };
        let (bids, asks, whole) = match &event.kind {
            EventKind::BookSnapshot(book) => (&book.bids, &book.asks, true),
            EventKind::BookDelta(book) => (&book.bids, &book.asks, false),
            _ => return,
        };
        let model = self.model.entry(symbol.clone()).or_default();
        if whole {
            model.clear();
        }
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            for (price, size) in levels {
                model.set(side, *price, *size);
            }
        }
    }

    fn check_books(&mut self, events: &[Event]) {
        let books = self.session.books();
        let mut crossed = BTreeSet::new();
        for (symbol, book) in &books {
            assert_eq!(self.session.book(symbol), Some(*book), "{symbol} has two books");
            for side in [Side::Buy, Side::Sell] {
                check_side(symbol, side, &book.levels(side).copied().collect::<Vec<_>>());
            }
            if self.exchange != Exchange::Kraken {
                assert_eq!(self.model.get(symbol), Some(*book), "{symbol}: the events do not lead to the book");
            }
            if book.is_crossed() {
                assert_ne!(self.exchange, Exchange::Binance, "{symbol} is crossed and in step");
                assert_ne!(self.exchange, Exchange::BinanceFutures, "{symbol} is crossed and in step");
                let said = events.iter().any(|e| e.symbol.as_ref() == Some(symbol) && is_crossing(&e.kind));
                assert!(said || self.crossed.contains(symbol), "{symbol} is crossed, and nobody said so");
                crossed.insert(symbol.clone());
            }
        }
        self.crossed = crossed;
    }

    fn check_windows(&mut self) {
        for window in self.cutter.drain() {
            for chunk in &window.chunks {
                let (header, rows) = Chunk::decode(&chunk.bytes).expect("a chunk of one's own reads back");
                assert_eq!((header.index(), rows.len() as u32), (window.index, chunk.events));
                assert_eq!(header, chunk.header);
            }
        }
        self.cutter.withdrawn();
    }
}

fn is_crossing(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Incident(incident) if incident.kind == IncidentKind::Crossed)
}

fn check_side(symbol: &Symbol, side: Side, levels: &[Level]) {
    let descends = |a: &Level, b: &Level| if side == Side::Buy { a.0 > b.0 } else { a.0 < b.0 };
    assert!(levels.is_sorted_by(descends), "{symbol}: {side:?} levels are not in order");
    assert!(levels.iter().all(|level| !level.1.is_zero()), "{symbol}: an empty level");
}

/// Recorded sessions, where there are recordings: steps of each set cut into inputs of a bounded length.
pub fn recorded(name: &str) -> Vec<Vec<u8>> {
    const RECORDED_BYTES_MAX: usize = 32 * 1024;
    const INPUTS_MAX: usize = 8;
    let sets: &[&str] = match name {
        "binance_spot" => &["cf-BINANCE-20211012"],
        "binance_usdm" => &["cf-BINANCE_FUTURES-20210722"],
        "kraken" => &["cf-KRAKEN-20210417"],
        "coinbase" => &["cf-COINBASE-20260809-first14s"],
        "bybit" => &["cf-BYBIT-20260809-BTC-DOGE"],
        "okx" => &["cf-OKX-20220513"],
        _ => return Vec::new(),
    };
    let near = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let folder = std::env::var_os("OPENMESH_RECORDINGS").map_or(near, PathBuf::from);
    let mut inputs = Vec::new();
    for set in sets {
        let Ok(file) = std::fs::File::open(folder.join(set).join("frames.jsonl.gz")) else { continue };
        let mut input = Vec::new();
        for line in BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines().map_while(Result::ok) {
            let Some(step) = recorded_step(&line) else { continue };
            if input.len() + step.len() >= RECORDED_BYTES_MAX {
                inputs.push(std::mem::take(&mut input));
                if inputs.len() >= INPUTS_MAX {
                    break;
                }
            }
            if step.len() < RECORDED_BYTES_MAX {
                input.extend(step);
                input.push(b'\n');
            }
        }
    }
    inputs
}

fn recorded_step(line: &str) -> Option<Vec<u8>> {
    use openmesh_dialect::recording::Line;
    let one_line = |data: &[u8]| !data.contains(&b'\n');
    match Line::parse(line).ok()? {
        Line::Connect { url, .. } => Some(format!(">{url}").into_bytes()),
        Line::Send { text, .. } if one_line(text.as_bytes()) => Some(format!("<{text}").into_bytes()),
        Line::Receive { data, .. } if one_line(&data) => Some(data),
        Line::Http { url, data, .. } if one_line(&data) => Some([format!("=200 {url} ").as_bytes(), &data].concat()),
        _ => None,
    }
}

fn sessions(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.trim().as_bytes().to_vec()).collect()
}

/// Seeds of [`binance_spot`].
pub fn binance_spot_seeds() -> Vec<Vec<u8>> {
    let mut seeds = sessions(&[
        r#"
!
>wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/btcusdt@trade
{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1786309548100,"s":"BTCUSDT","U":155,"u":160,"b":[["61000.10","0.5"],["60999.90","0"]],"a":[["61000.20","1.25"]]}}
=200 https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000 {"lastUpdateId":158,"bids":[["61000.00","2.00000000"],["60999.90","1.5"]],"asks":[["61000.30","3.00000000"]]}
{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1786309549200,"s":"BTCUSDT","U":161,"u":163,"b":[["61000.10","0"]],"a":[["61000.40","1"]]}}
{"stream":"btcusdt@trade","data":{"e":"trade","E":1786309549300,"s":"BTCUSDT","t":77,"p":"61000.10","q":"0.01","T":1786309549299,"m":true,"M":true}}
{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1786309551200,"s":"BTCUSDT","U":164,"u":164,"b":[["61001.10","1"]],"a":[]}}
+1500
x"#,
        r#"
>wss://stream.binance.com:9443/stream?streams=btcusdt@bookTicker
{"u":400900217,"s":"BTCUSDT","b":"61000.10","B":"31.21","a":"61000.20","A":"40.66"}
{"e":"24hrTicker","E":1786309548100,"s":"BTCUSDT","c":"61000.1","b":"61000","B":"1","a":"61001","A":"2"}
{"e":"kline","E":1786309548100,"s":"BTCUSDT","k":{"t":1786309500000,"T":1786309559999,"s":"BTCUSDT","i":"1m","f":1,"L":2,"o":"61000","c":"61001","h":"61002","l":"60999","v":"5.5","n":2,"x":false,"q":"1","V":"1","Q":"1","B":"0"}}
{"result":null,"id":1}
{"error":{"code":2,"msg":"Invalid request"}}
=429 https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000 {"code":-1003,"msg":"Too many requests"}
=200 https://api.binance.com/api/v3/exchangeInfo {"symbols":[{"symbol":"BTCUSDT","baseAsset":"BTC","quoteAsset":"USDT"}]}
+61000
+61000"#,
    ]);
    seeds.extend(emulated::sessions(Exchange::Binance));
    seeds
}

/// Seeds of [`binance_usdm`].
pub fn binance_usdm_seeds() -> Vec<Vec<u8>> {
    let mut seeds = sessions(&[
        r#"
!
>wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms
{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1786309548100,"T":1786309548099,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["61000.1","10"]],"a":[["61000.2","100"]]}}
=200 https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000 {"lastUpdateId":158,"E":1786309548050,"T":1786309548049,"bids":[["61000.0","431"]],"asks":[["61000.3","12"]]}
{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1786309549100,"T":1786309549099,"s":"BTCUSDT","U":161,"u":165,"pu":160,"b":[["61000.1","0"]],"a":[["61000.2","90"]]}}
{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1786309552100,"T":1786309552099,"s":"BTCUSDT","U":170,"u":175,"pu":168,"b":[],"a":[]}}
@1
>wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/btcusdt@markPrice@1s/btcusdt@forceOrder
{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1786309549123,"s":"BTCUSDT","a":5933014,"p":"61000.1","q":"0.100","f":100,"l":105,"T":1786309549120,"m":true}}
{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1786309550000,"s":"BTCUSDT","p":"61000.15","i":"61000.46","P":"61000.2","r":"0.00038167","T":1786320000000}}
{"stream":"btcusdt@forceOrder","data":{"e":"forceOrder","E":1786309550001,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"60910","ap":"60910","X":"FILLED","l":"0.014","z":"0.014","T":1786309550000}}}
=200 https://fapi.binance.com/fapi/v1/openInterest?symbol=BTCUSDT {"openInterest":"10659.509","symbol":"BTCUSDT","time":1786309550000}
+10000
x"#,
        r#"
>wss://fstream.binance.com/public/stream?streams=btcusdt_240927@bookTicker
{"stream":"btcusdt_240927@bookTicker","data":{"e":"bookTicker","u":400900217,"E":1786309548074,"T":1786309548070,"s":"BTCUSDT_240927","b":"25.35190000","B":"31.21","a":"25.36520000","A":"40.66"}}
{"stream":"btcusdt@trade","data":{"e":"trade","E":1786309548100,"T":1786309548099,"s":"BTCUSDT","t":5,"p":"61000.1","q":"1","X":"INSURANCE_FUND","m":false}}"#,
    ]);
    seeds.extend(emulated::sessions(Exchange::BinanceFutures));
    seeds
}

/// Seeds of [`kraken`].
pub fn kraken_seeds() -> Vec<Vec<u8>> {
    let mut seeds = sessions(&[
        r#"
!
=200 https://api.kraken.com/0/public/AssetPairs {"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8},"XETHZUSD":{"wsname":"ETH/USD","pair_decimals":2,"lot_decimals":8}}}
>wss://ws.kraken.com/v2
{"channel":"status","type":"update","data":[{"version":"2.0.0","system":"online","api_version":"v2","connection_id":1}]}
{"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"BTC/USD"},"success":true}
{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":61000.1,"qty":0.5,"ord_type":"market","trade_id":4665906,"timestamp":"2026-08-09T21:05:48.708706Z"}]}
{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":61000.0,"bid_qty":1.5,"ask":61000.1,"ask_qty":2.5,"last":61000.1,"volume":99.5,"timestamp":"2026-08-09T21:05:49.100000Z"}]}
{"channel":"ohlc","type":"update","timestamp":"2026-08-09T21:05:49.200000Z","data":[{"symbol":"BTC/USD","open":61000.1,"high":61000.5,"low":60999.0,"close":61000.2,"trades":3,"volume":0.5,"vwap":61000.1,"interval_begin":"2026-08-09T21:05:00.000000000Z","interval":1,"timestamp":"2026-08-09T21:06:00.000000Z"}]}
{"method":"subscribe","error":"Currency pair not supported ABC/USD","success":false,"symbol":"ABC/USD"}
{"channel":"heartbeat"}
+6000
+16000
x"#,
        r#"
>wss://ws.kraken.com
{"connectionID":8628615390848610000,"event":"systemStatus","status":"online","version":"1.0.0"}
{"channelID":336,"channelName":"book-10","event":"subscriptionStatus","pair":"XBT/USD","status":"subscribed","subscription":{"depth":10,"name":"book"}}
[337,[["5541.20000","0.15850568","1786309548.321597","s","l",""],["6060.00000","0.02455000","1786309548.324998","b","l",""]],"trade","XBT/USD"]
[340,{"a":["5525.40000",1,"1.000"],"b":["5525.10000",1,"1.000"],"c":["5525.10000","0.00398963"],"v":["2634.11","3591.17"],"p":["5631.4","5653.7"],"t":[11493,16267],"l":["5505.0","5505.0"],"h":["5783.0","5783.0"],"o":["5760.7","5763.4"]},"ticker","XBT/USD"]
[42,["1786309548.748456","1786309560.435743","3586.70000","3586.70000","3586.60000","3586.60000","3586.68894","0.03373000",2],"ohlc-5","XBT/USD"]
[341,["5698.40000","5700.00000","1786309549.123456","1.01234567","0.98765432"],"spread","XBT/USD"]
[336,{"as":[["11.5","1.0","1786309548.321597"]],"bs":[["10.5","1.0","1786309548.321597"]]},"book-10","XBT/USD"]
[336,{"a":[["11.4","1.0","1786309549.321597"]]},{"b":[["10.4","0.0","1786309549.321597","r"]],"c":"974947235"},"book-10","XBT/USD"]
{"errorMessage":"Currency pair not supported ABC/USD","event":"subscriptionStatus","pair":"ABC/USD","status":"error"}
{"event":"heartbeat"}"#,
    ]);
    seeds.extend(emulated::sessions(Exchange::Kraken));
    seeds
}

/// Seeds of [`coinbase`].
pub fn coinbase_seeds() -> Vec<Vec<u8>> {
    let mut seeds = sessions(&[
        r#"
!
=200 https://api.coinbase.com/api/v3/brokerage/market/products {"products":[{"product_id":"BTC-USD","product_type":"SPOT","base_currency_id":"BTC","quote_currency_id":"USD"}]}
>wss://advanced-trade-ws.coinbase.com
{"channel":"heartbeats","client_id":"","timestamp":"2026-08-09T21:05:48.100Z","sequence_num":0,"events":[{"current_time":"2026-08-09 21:05:48.1 +0000 UTC m=+1","heartbeat_counter":1}]}
{"channel":"l2_data","client_id":"","timestamp":"2026-08-09T21:05:48.2Z","sequence_num":1,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-08-09T21:05:48.1Z","price_level":"61000.10","new_quantity":"0.5"},{"side":"offer","event_time":"2026-08-09T21:05:48.1Z","price_level":"61000.20","new_quantity":"1.5"}]}]}
{"channel":"l2_data","client_id":"","timestamp":"2026-08-09T21:05:49.2Z","sequence_num":2,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-08-09T21:05:49.1Z","price_level":"61000.10","new_quantity":"0"},{"side":"offer","event_time":"2026-08-09T21:05:49.15Z","price_level":"61000.15","new_quantity":"1"}]}]}
{"channel":"market_trades","client_id":"","timestamp":"2026-08-09T21:05:50.3Z","sequence_num":3,"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"7","price":"61000.15","size":"0.3","time":"2026-08-09T21:05:50.25Z","side":"SELL"}]}]}
{"channel":"ticker","client_id":"","timestamp":"2026-08-09T21:05:51.3Z","sequence_num":4,"events":[{"type":"update","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"61000.15","best_bid":"61000.0","best_bid_quantity":"1","best_ask":"61000.2","best_ask_quantity":""}]}]}
{"channel":"candles","client_id":"","timestamp":"2026-08-09T21:05:52.3Z","sequence_num":5,"events":[{"type":"update","candles":[{"start":"1786309500","high":"61001","low":"60999","open":"61000","close":"61000.5","volume":"0.43","product_id":"BTC-USD"}]}]}
{"channel":"l2_data","client_id":"","timestamp":"2026-08-09T21:05:53.2Z","sequence_num":9,"events":[]}
+30000
x"#,
        r#"
>wss://advanced-trade-ws.coinbase.com
{"type":"error","message":"failure to subscribe"}
{"channel":"subscriptions","client_id":"","timestamp":"2026-08-09T21:05:48.1Z","sequence_num":0,"events":[{"subscriptions":{"level2":["BTC-USD"]}}]}
{"channel":"l2_data","client_id":"","timestamp":"2026-08-09T21:05:48.2Z","sequence_num":1,"events":[{"type":"update","product_id":"BIT-28JUN24-CDE","updates":[]}]}"#,
    ]);
    seeds.extend(emulated::sessions(Exchange::Coinbase));
    seeds
}

/// Seeds of [`bybit`].
pub fn bybit_seeds() -> Vec<Vec<u8>> {
    let mut seeds = sessions(&[
        r#"
!
=200 https://api.bybit.com/v5/market/instruments-info?category=linear&limit=1000 {"retCode":0,"result":{"category":"linear","list":[{"symbol":"BTCUSDT","contractType":"LinearPerpetual","baseCoin":"BTC","quoteCoin":"USDT"}],"nextPageCursor":"first%3DBTC"}}
>wss://stream.bybit.com/v5/public/linear
{"success":true,"ret_msg":"","conn_id":"a","op":"subscribe"}
{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1786309548100,"data":{"s":"BTCUSDT","b":[["61000.10","0.006"],["61000.00","1"]],"a":[["61000.20","0.029"]],"u":18521288,"seq":7961638724},"cts":1786309548099}
{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1786309549200,"data":{"s":"BTCUSDT","b":[["61000.10","0"]],"a":[["61000.25","2"]],"u":18521289,"seq":7961638725},"cts":1786309549199}
{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1786309549868,"data":[{"T":1786309549865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"61000.20","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}
{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick","lastPrice":"61000.2","markPrice":"61000.15","indexPrice":"61000.46","openInterest":"68744.761","fundingRate":"-0.000212","nextFundingTime":"1786320000000","bid1Price":"61000.1","bid1Size":"84.489","ask1Price":"61000.2","ask1Size":"83.020"},"cs":24987956059,"ts":1786309550272}
{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"61000.25"},"cs":24987956060,"ts":1786309550372}
{"topic":"kline.1.BTCUSDT","data":[{"start":1786309500000,"end":1786309559999,"interval":"1","open":"61000","close":"61001","high":"61002","low":"60999","volume":"2.081","turnover":"35000","confirm":false,"timestamp":1786309551388}],"ts":1786309551388,"type":"snapshot"}
{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1786309551502,"data":[{"T":1786309551483,"s":"BTCUSDT","S":"Sell","v":"20000","p":"0.04499"}]}
{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1786309552200,"data":{"s":"BTCUSDT","b":[],"a":[],"u":18521299,"seq":7961638799},"cts":1786309552199}
+20000
@1
>wss://stream.bybit.com/v5/public/spot
{"topic":"orderbook.200.BTCUSDT","ts":1786309552300,"type":"snapshot","data":{"s":"BTCUSDT","b":[["61000.1","0.5"]],"a":[["61000.2","0.5"]],"u":1,"seq":5},"cts":1786309552299}
x"#,
        r#"
>wss://stream.bybit.com/v5/public/linear
{"topic":"liquidation.BTCUSDT","type":"snapshot","ts":1786309548202,"data":{"updatedTime":1786309548202,"symbol":"BTCUSDT","side":"Sell","size":"0.003","price":"43511.70"}}
{"success":false,"ret_msg":"error:handler not found","op":"subscribe"}
{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","lastPrice":""},"cs":1,"ts":1786309548302}
=200 https://api.bybit.com/v5/market/instruments-info?category=spot {"retCode":0,"result":{"category":"spot","list":[{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT"}]}}"#,
    ]);
    seeds.extend(emulated::sessions(Exchange::Bybit));
    seeds
}

/// Seeds of [`okx`].
pub fn okx_seeds() -> Vec<Vec<u8>> {
    let mut seeds = sessions(&[
        r#"
!
=200 https://www.okx.com/api/v5/public/instruments?instType=SPOT {"code":"0","msg":"","data":[{"instId":"BTC-USDT","instType":"SPOT","baseCcy":"BTC","quoteCcy":"USDT"}]}
>wss://ws.okx.com:8443/ws/v5/public
{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}
{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["61000.2","415","0","13"]],"bids":[["61000.1","256","0","12"]],"ts":"1786309548085","checksum":0,"prevSeqId":-1,"seqId":123456}]}
{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["61000.2","0","0","0"]],"bids":[["61000.15","1","0","1"]],"ts":"1786309549085","checksum":0,"prevSeqId":123456,"seqId":123457}]}
{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130639474","px":"61000.15","sz":"0.12060306","side":"buy","ts":"1786309549897"}]}
{"arg":{"channel":"tickers","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","last":"61000.99","lastSz":"0.1","askPx":"61000.2","askSz":"11","bidPx":"61000.1","bidSz":"5","ts":"1786309550089"}]}
{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{"fundingRate":"0.0001875","fundingTime":"1786320000000","instId":"BTC-USDT-SWAP","instType":"SWAP","nextFundingRate":"","ts":"1786309550180"}]}
{"arg":{"channel":"open-interest","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","oi":"2125419","oiCcy":"21254.19","ts":"1786309550885"}]}
{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"61000.1","ts":"1786309551000"}]}
{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"61000.1","ts":"1786309551100"}]}
{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"0.007831","side":"buy","posSide":"short","sz":"13","ts":"1786309551200"}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP"}]}
{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[["1786309500000","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5","0"]]}
pong
+21000
x"#,
        r#"
>wss://ws.okx.com:8443/ws/v5/public
{"event":"error","code":"60012","msg":"Invalid request"}
{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade."}
{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043}]}
{"arg":{"channel":"books","instId":"BTC-USD-220514-22000-C"},"action":"update","data":[{"asks":[],"bids":[],"ts":"1597026383085","checksum":1}]}"#,
    ]);
    seeds.extend(emulated::sessions(Exchange::Okx));
    seeds
}
