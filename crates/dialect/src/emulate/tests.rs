//! The venues' own messages, read and worded again: they must come out byte for byte, checksums included. And what is
//! worded here must be understood by the dialects.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use openmesh_market::event::Side;
use openmesh_primitives::Timestamp;
use serde_json::Value;

use super::*;
use crate::recording::Line;

/// Frames of the set's connections that are served here; `None`, with a word about it, where there are no recordings.
fn frames(set: &str) -> Option<Vec<(Endpoint, String)>> {
    let near = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let dir = std::env::var_os("OPENMESH_RECORDINGS").map_or(near, PathBuf::from);
    let Ok(file) = std::fs::File::open(dir.join(set).join("frames.jsonl.gz")) else {
        println!("skipped: no recording {set} in {} (set OPENMESH_RECORDINGS)", dir.display());
        return None;
    };
    let (mut endpoints, mut frames) = (BTreeMap::new(), Vec::new());
    for line in BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines() {
        match Line::parse(&line.unwrap()).unwrap() {
            Line::Connect { connection, url, .. } => {
                let rest = url.split_once("://").unwrap().1;
                let (place, _) = rest.split_once('?').unwrap_or((rest, ""));
                let (host, path) = place.split_once('/').unwrap_or((place, ""));
                endpoints.insert(connection, Endpoint::of_socket(host, &format!("/{path}")).unwrap());
            }
            Line::Receive { connection, data, .. } => {
                frames.push((endpoints[&connection], String::from_utf8(data).unwrap()));
            }
            _ => {}
        }
    }
    Some(frames)
}

/// The stream of a recorded frame.
fn topic_of(endpoint: Endpoint, text: &str) -> Option<Topic> {
    match read_class(endpoint, text).unwrap() {
        Class::Data { mut topics, .. } if topics.len() == 1 => topics.pop(),
        _ => None,
    }
}

/// Reads every book message of a set, words it again, and compares; returns how many were equal.
fn worded_again(set: &str, word: impl Fn(&Topic, &str, &BookMessage, &LevelBook) -> Option<Frame>) -> Option<usize> {
    let mut books: BTreeMap<(Endpoint, String), LevelBook> = BTreeMap::new();
    let mut equal = 0;
    for (endpoint, text) in frames(set)? {
        let messages = read_book(endpoint, &text).unwrap();
        let [message] = messages.as_slice() else { continue };
        let topic = topic_of(endpoint, &text).unwrap();
        let book = books.entry((endpoint, message.instrument.clone())).or_default();
        if message.snapshot {
            book.clear();
        }
        message.changes.iter().for_each(|c| book.apply(c));
        if message.cut > 0 {
            book.truncate(message.cut);
        }
        let number = serde_json::from_str::<Value>(&text).unwrap()["sequence_num"].as_u64().unwrap_or(0);
        if let Some(frame) = word(&topic, &text, message, book) {
            assert_eq!(frame.text(number), text);
            equal += 1;
        }
    }
    Some(equal)
}

fn step<'a>(message: &'a BookMessage, first: u64, previous: u64) -> BookStep<'a> {
    BookStep { at: message.at, matched: message.at, first, last: message.update, previous, changes: &message.changes }
}

#[test]
fn kraken_books_word_for_word() {
    let equal = worded_again("cf-KRAKEN-20210417", |topic, text, message, book| {
        let id = text[1..].split(',').next().unwrap().parse().unwrap();
        // Levels that come back into view are marked as republished; a view here does not mark them. Where both sides
        // change, each object's levels are kept but the sides' order is fixed.
        if text.contains(r#","r"]"#) {
            return None;
        }
        Some(match message.snapshot {
            true => kraken::v1_book_snapshot(id, topic, book),
            false => kraken::v1_book_update(id, topic, &step(message, 0, 0), book),
        })
    });
    assert!(equal.is_none_or(|n| n > 4_000), "{equal:?}");
}

#[test]
fn okx_books_word_for_word() {
    let equal = worded_again("cf-OKX-20220513", |topic, _, message, book| {
        let numbers = okx::BookNumbers { at: message.at, sequence: None };
        Some(match message.snapshot {
            true => okx::book_snapshot(topic, book, numbers),
            false => okx::book_update(topic, &message.changes, book, numbers),
        })
    });
    assert!(equal.is_none_or(|n| n == 290), "{equal:?}");
}

#[test]
fn bybit_books_word_for_word() {
    let equal = worded_again("cf-BYBIT-20260809-BTC-DOGE", |topic, _, message, book| {
        let numbers = bybit::BookNumbers {
            at: message.at,
            matched: message.matched,
            update: message.update,
            sequence: message.sequence,
        };
        Some(match message.snapshot {
            true => bybit::book_snapshot(topic, book, numbers),
            false => bybit::book_delta(topic, &message.changes, numbers),
        })
    });
    assert!(equal.is_none_or(|n| n > 1_000), "{equal:?}");
}

#[test]
fn coinbase_books_word_for_word() {
    let equal = worded_again("cf-COINBASE-20260809-first14s", |topic, _, message, book| {
        Some(match message.snapshot {
            true => coinbase::book_snapshot(&topic.instrument, book, message.at),
            false => coinbase::book_update(&topic.instrument, &step(message, 0, 0)),
        })
    });
    assert!(equal.is_none_or(|n| n > 300), "{equal:?}");
}

#[test]
fn binance_books_word_for_word() {
    for (set, least) in [("cf-BINANCE-20211012", 170), ("cf-BINANCE_FUTURES-20210722", 760)] {
        let equal = worded_again(set, |topic, text, message, _| {
            let data = &serde_json::from_str::<Value>(text).unwrap()["data"];
            let matched = data["T"].as_i64().map_or(message.at, Timestamp::from_millis);
            let step = step(message, data["U"].as_u64().unwrap(), data["pu"].as_u64().unwrap_or(0));
            Some(binance::depth(topic, &BookStep { matched, ..step }))
        });
        assert!(equal.is_none_or(|n| n >= least), "{set}: {equal:?}");
    }
}

/// The names in a message in their order, and what kind of value each has.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '"' => {
                let end = rest[1..].find('"').unwrap() + 2;
                let quoted = &rest[..end];
                rest = &rest[end..];
                // A field without a value is written as an empty text, so texts are not told apart.
                shape.push_str(if rest.starts_with(':') { quoted } else { "\"\"" });
            }
            '0'..='9' | '-' => {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
                shape.push('0');
            }
            't' | 'f' => {
                rest = rest.strip_prefix("true").or_else(|| rest.strip_prefix("false")).unwrap();
                shape.push('b');
            }
            other => {
                rest = &rest[other.len_utf8()..];
                shape.push(other);
            }
        }
    }
    shape
}

fn decimal(text: &str) -> openmesh_primitives::Decimal {
    text.parse().unwrap()
}

fn at() -> Timestamp {
    Timestamp(1_786_309_548_123_456_789)
}

fn trade_print() -> TradePrint {
    TradePrint {
        id: 77,
        aggregate: 55,
        side: Side::Buy,
        price: decimal("10.5"),
        size: decimal("2.25"),
        at: at(),
        at_market: true,
    }
}

fn summary() -> Summary {
    let pair = |p: &str, s: &str| (decimal(p), decimal(s));
    Summary {
        at: at(),
        update: 9,
        bid: pair("10.4", "1.5"),
        ask: pair("10.6", "2.5"),
        last: pair("10.5", "2.25"),
        open: decimal("10.1"),
        high: decimal("10.9"),
        low: decimal("10.1"),
        volume: decimal("99.5"),
        turnover: decimal("1000.5"),
        trades: 12,
    }
}

fn candle_state(seconds: u32) -> CandleState {
    CandleState {
        start: Timestamp::from_millis(1_786_309_500_000),
        seconds,
        open: decimal("10.1"),
        high: decimal("10.9"),
        low: decimal("10.1"),
        close: decimal("10.5"),
        volume: decimal("99.5"),
        turnover: decimal("1000.5"),
        taker_volume: decimal("50.5"),
        taker_turnover: decimal("500.5"),
        first_trade: 60,
        last_trade: 77,
        trades: 18,
        at: at(),
        closed: false,
    }
}

/// The wording of a stream, where it is no book.
fn worded(topic: &Topic, kind: &str) -> Option<Frame> {
    let (t, s) = (trade_print(), summary());
    let name = &topic.instrument;
    Some(match (topic.endpoint, topic.channel) {
        (_, Channel::AggregateTrade) => binance::aggregate_trade(topic, &t),
        (Endpoint::BinanceSpot | Endpoint::BinanceUsdm, Channel::BestQuote) => binance::best_quote(topic, &s),
        (Endpoint::BinanceSpot | Endpoint::BinanceUsdm, Channel::Candle { seconds }) => {
            binance::candle(topic, &candle_state(seconds))
        }
        (Endpoint::Coinbase, Channel::Trade) => coinbase::trades(kind, name, at(), [t].iter()),
        (Endpoint::Coinbase, Channel::Ticker) => coinbase::ticker(kind, name, &s),
        (Endpoint::Coinbase, Channel::Candle { seconds }) => {
            coinbase::candles(kind, name, at(), [candle_state(seconds)].iter())
        }
        (Endpoint::KrakenV1, Channel::Trade) => kraken::v1_trades(1, topic, &[t]),
        (Endpoint::KrakenV1, Channel::Ticker) => kraken::v1_ticker(1, topic, &s),
        (Endpoint::BybitSpot | Endpoint::BybitLinear, Channel::Trade) => bybit::trades(topic, &[t], 5),
        (Endpoint::BybitSpot | Endpoint::BybitLinear, Channel::Candle { seconds }) => {
            bybit::candle(topic, &candle_state(seconds))
        }
        (Endpoint::BybitSpot, Channel::Ticker) => bybit::spot_ticker(topic, &s),
        _ => return None,
    })
}

/// Fields, their order and kinds are the venue's in every other message, too.
#[test]
fn other_messages_have_the_venues_form() {
    let sets = [
        ("cf-BINANCE-20211012", 3),
        ("cf-BINANCE_FUTURES-20210722", 3),
        ("cf-COINBASE-20260809-first14s", 3),
        ("cf-KRAKEN-20210417", 2),
        ("cf-BYBIT-20260809-BTC-DOGE", 5),
    ];
    for (set, expected) in sets {
        let Some(frames) = frames(set) else { continue };
        let mut compared: BTreeMap<(Endpoint, Channel), usize> = BTreeMap::new();
        for (endpoint, text) in &frames {
            let Some(topic) = topic_of(*endpoint, text) else { continue };
            let kind = if text.contains(r#""type":"snapshot""#) { "snapshot" } else { "update" };
            let Some(frame) = worded(&topic, kind) else { continue };
            let (theirs, ours) = (shape(text), shape(&frame.text(3)));
            // Several trades or candles of one message repeat the form of the first; the rest of it is compared.
            let single = |s: &str| s.matches("\"price\"").count() < 2 && s.matches("\"start\"").count() < 2;
            if !single(&theirs) || theirs.matches("],[").count() > 0 || theirs.matches("},{").count() > 0 {
                continue;
            }
            assert_eq!(ours, theirs, "{set}: {text}");
            *compared.entry((*endpoint, topic.channel)).or_default() += 1;
        }
        assert!(compared.len() >= expected, "{set}: {compared:?}");
    }
}

/// The linear ticker of Bybit, from its own fields.
#[test]
fn bybit_tickers_word_for_word() {
    let Some(frames) = frames("cf-BYBIT-20260809-BTC-DOGE") else { return };
    let mut equal = 0;
    for (endpoint, text) in frames.iter().filter(|f| f.0 == Endpoint::BybitLinear) {
        let Some(ticker) = read_bybit_ticker(text).unwrap() else { continue };
        let topic = bybit::topic(*endpoint, &ticker.topic).unwrap();
        let kind = if ticker.snapshot { "snapshot" } else { "delta" };
        let fields = ticker.fields.iter().map(|(n, v)| (n, v));
        assert_eq!(&bybit::linear_ticker(&topic, kind, fields, ticker.sequence, ticker.at).text(0), text);
        equal += 1;
    }
    assert!(equal > 100, "{equal}");
}

/// Stream names and addresses that are not served are refused, not guessed at.
#[test]
fn names_that_are_not_served() {
    for name in ["btcusdt", "@trade", "btcusdt@kline_2m", "btcusdt@depth20", "btc/usdt@trade", "!ticker@arr"] {
        assert_eq!(binance::topic(Endpoint::BinanceSpot, name), None, "{name}");
    }
    for name in
        ["trade.BTCUSDT", "orderbook.BTCUSDT", "orderbook.7.BTCUSDT", "kline.x.BTCUSDT", "allLiquidation.BTCUSDT"]
    {
        assert_eq!(bybit::topic(Endpoint::BybitSpot, name), None, "{name}");
    }
    assert_eq!(okx::topic(Endpoint::OkxPublic, "candle1m", "BTC-USDT"), None);
    assert_eq!(okx::topic(Endpoint::OkxBusiness, "trades", "BTC-USDT"), None);
    for (host, path) in [("stream.binance.com", "/"), ("ws.kraken.com", "/v3"), ("example.com", "/ws"), ("", "")] {
        assert_eq!(Endpoint::of_socket(host, path), None, "{host}{path}");
    }
    assert_eq!(Endpoint::of_socket("fstream.binance.com", "/market/stream"), Some(Endpoint::BinanceUsdm));
}

struct Everything;

impl Listing for Everything {
    fn knows(&self, topic: &Topic) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'/';
        topic.instrument != "NOPE" && topic.instrument.bytes().all(plain)
    }
}

/// Whatever a client says, the venue answers or is silent; it does not fall over, and does not promise what it lacks.
#[test]
fn odd_requests() {
    let odd = [
        "",
        "null",
        "[]",
        "{}",
        "{\"op\":\"subscribe\"}",
        "{\"op\":\"subscribe\",\"args\":[1]}",
        "{\"method\":\"SUBSCRIBE\",\"params\":[\"a@trade\",\"\\\"\"],\"id\":\"x\\\"\"}",
        "{\"event\":\"subscribe\",\"pair\":[\"\\\"\"],\"subscription\":{\"name\":\"book\"}}",
        "{\"method\":\"subscribe\",\"params\":{\"channel\":\"\\\"\",\"symbol\":[\"\\\"\"]}}",
        "{\"type\":\"subscribe\",\"channel\":\"level2\",\"product_ids\":[\"NOPE\"]}",
        "\u{0}",
    ];
    for endpoint in Endpoint::ALL {
        let (mut conversation, _) = Conversation::open(endpoint, "/stream", "streams=%%%", 1, &Everything);
        for text in odd.into_iter().map(str::to_owned).chain([String::from("x").repeat(200_000)]) {
            for step in conversation.receive(&text, at(), &Everything) {
                if let Step::Say(frame) = step {
                    let said = frame.text(0);
                    assert!(
                        said == "pong" || serde_json::from_str::<Value>(&said).is_ok(),
                        "{endpoint:?} says {said} to {text}"
                    );
                }
            }
        }
    }
}

/// A connection holds so many streams and no more.
#[test]
fn a_connection_has_a_limit() {
    let (mut conversation, _) = Conversation::open(Endpoint::BybitLinear, "", "", 1, &Everything);
    for n in 0..CONNECTION_TOPICS_MAX + 50 {
        conversation.receive(&format!(r#"{{"op":"subscribe","args":["publicTrade.X{n}"]}}"#), at(), &Everything);
    }
    assert_eq!(conversation.topics().count(), CONNECTION_TOPICS_MAX);
}
