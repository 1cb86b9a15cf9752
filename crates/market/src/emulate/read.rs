//! A light reading of the venue's own frames: which stream one belongs to, when the venue says it was, and what it does to
//! a book. It is what a replay needs to find the subscribers of a recorded frame and to know the book's state for those
//! who come later; the full reading, with checks and events, is the dialects'.

use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::levels::{BookChange, Entry};
use super::{Channel, Door, Topic, binance, bybit, coinbase, kraken, okx};
use crate::event::Side;

/// Why a frame is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not the JSON that the venue sends.
    #[error("not a message of this venue: {0}")]
    Json(#[from] serde_json::Error),
    /// A number or a time that is none.
    #[error("{0:?} is not a number or time")]
    Number(String),
    /// A form that is not known here.
    #[error("a form of message that is not read here")]
    Form,
}

/// What kind of frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Data of these streams, with the venue's time where it says one.
    Data {
        /// Streams.
        topics: Vec<Topic>,
        /// The venue's time.
        at: Option<Timestamp>,
    },
    /// The acknowledgement of a stream.
    Acknowledgement(Topic),
    /// Anything else that belongs to one connection: status, pong, heartbeat.
    Control,
}

/// What a frame does to a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookMessage {
    /// The venue's name of the instrument.
    pub instrument: String,
    /// True where it replaces the book.
    pub snapshot: bool,
    /// Levels.
    pub changes: Vec<BookChange>,
    /// The venue's time.
    pub at: Timestamp,
    /// The matching engine's time, where it is said beside.
    pub matched: Timestamp,
    /// Number of the update after it (`u`, `seqId`, `lastUpdateId`); 0 where the venue gives none.
    pub update: u64,
    /// A second number (Bybit's `seq`); 0 where the venue gives none.
    pub sequence: u64,
    /// Levels a side at which a client cuts its book; 0 where it does not.
    pub cut: usize,
}

fn millis(value: i64) -> Timestamp {
    Timestamp::from_millis(value)
}

fn number(text: &str) -> Result<Decimal, ReadError> {
    Decimal::parse(text.as_bytes()).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

fn rfc3339(text: &str) -> Result<Timestamp, ReadError> {
    Timestamp::parse_rfc3339(text.as_bytes()).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

fn text_millis(text: &str) -> Result<Timestamp, ReadError> {
    text.parse().map(millis).map_err(|_| ReadError::Number(text.chars().take(40).collect()))
}

/// Which streams a frame belongs to.
pub fn read_class(door: Door, text: &str) -> Result<Class, ReadError> {
    match door {
        Door::BinanceSpot | Door::BinanceUsdm => binance_class(door, text),
        Door::Coinbase => coinbase_class(text),
        Door::KrakenV1 => kraken_class(text),
        Door::KrakenV2 => Err(ReadError::Form),
        Door::BybitSpot | Door::BybitLinear => bybit_class(door, text),
        Door::OkxPublic | Door::OkxBusiness => okx_class(door, text),
    }
}

/// What a frame of a book stream does to books; nothing for frames of other streams.
pub fn read_book(door: Door, text: &str) -> Result<Vec<BookMessage>, ReadError> {
    match door {
        Door::BinanceSpot | Door::BinanceUsdm => binance_book(text),
        Door::Coinbase => coinbase_book(text),
        Door::KrakenV1 => kraken_book(text),
        Door::KrakenV2 => Err(ReadError::Form),
        Door::BybitSpot | Door::BybitLinear => bybit_book(text),
        Door::OkxPublic | Door::OkxBusiness => okx_book(text),
    }
}

fn one(topic: Option<Topic>, at: Option<Timestamp>) -> Class {
    match topic {
        Some(topic) => Class::Data { topics: vec![topic], at },
        None => Class::Control,
    }
}

// ---- levels

#[derive(Deserialize)]
struct Pair<'a>(#[serde(borrow)] &'a str, #[serde(borrow)] &'a str);

fn pair_changes(bids: &[Pair<'_>], asks: &[Pair<'_>], at: Timestamp) -> Result<Vec<BookChange>, ReadError> {
    let side = |side: Side, pairs: &[Pair<'_>]| -> Result<Vec<BookChange>, ReadError> {
        pairs
            .iter()
            .map(|p| {
                let entry = Entry { price: number(p.0)?, size: number(p.1)?, at, orders: 1 };
                Ok(BookChange { side, entry })
            })
            .collect()
    };
    let mut changes = side(Side::Buy, bids)?;
    changes.extend(side(Side::Sell, asks)?);
    Ok(changes)
}

// ---- Binance

#[derive(Deserialize)]
struct Combined<'a> {
    stream: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BinanceTime {
    #[serde(rename = "E")]
    at: Option<i64>,
}

fn binance_class(door: Door, text: &str) -> Result<Class, ReadError> {
    let combined: Combined<'_> = serde_json::from_str(text)?;
    let (Some(stream), Some(data)) = (combined.stream, combined.data) else { return Ok(Class::Control) };
    let time: BinanceTime = serde_json::from_str(data.get())?;
    Ok(one(binance::topic(door, stream), time.at.map(millis)))
}

#[derive(Deserialize)]
struct DepthUpdate<'a> {
    #[serde(rename = "E")]
    at: i64,
    #[serde(rename = "s")]
    symbol: &'a str,
    #[serde(rename = "u")]
    last: u64,
    #[serde(borrow)]
    b: Vec<Pair<'a>>,
    #[serde(borrow)]
    a: Vec<Pair<'a>>,
}

fn binance_book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let combined: Combined<'_> = serde_json::from_str(text)?;
    let (Some(stream), Some(data)) = (combined.stream, combined.data) else { return Ok(Vec::new()) };
    if !stream.contains("@depth") {
        return Ok(Vec::new());
    }
    let update: DepthUpdate<'_> = serde_json::from_str(data.get())?;
    let at = millis(update.at);
    Ok(vec![BookMessage {
        instrument: update.symbol.to_owned(),
        snapshot: false,
        changes: pair_changes(&update.b, &update.a, at)?,
        at,
        matched: at,
        update: update.last,
        sequence: 0,
        cut: 0,
    }])
}

#[derive(Deserialize)]
struct DepthSnapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    last: u64,
    #[serde(rename = "E")]
    at: Option<i64>,
    #[serde(borrow)]
    bids: Vec<Pair<'a>>,
    #[serde(borrow)]
    asks: Vec<Pair<'a>>,
}

/// A REST depth snapshot of Binance.
pub fn read_depth_snapshot(instrument: &str, text: &str) -> Result<BookMessage, ReadError> {
    let snapshot: DepthSnapshot<'_> = serde_json::from_str(text)?;
    let at = millis(snapshot.at.unwrap_or(0));
    Ok(BookMessage {
        instrument: instrument.to_owned(),
        snapshot: true,
        changes: pair_changes(&snapshot.bids, &snapshot.asks, at)?,
        at,
        matched: at,
        update: snapshot.last,
        sequence: 0,
        cut: 0,
    })
}

// ---- Coinbase

#[derive(Deserialize)]
struct CoinbaseMessage<'a> {
    channel: &'a str,
    timestamp: &'a str,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct CoinbaseEvent<'a> {
    product_id: Option<&'a str>,
    #[serde(borrow, default)]
    trades: Vec<CoinbaseItem<'a>>,
    #[serde(borrow, default)]
    tickers: Vec<CoinbaseItem<'a>>,
    #[serde(borrow, default)]
    candles: Vec<CoinbaseItem<'a>>,
}

#[derive(Deserialize)]
struct CoinbaseItem<'a> {
    product_id: &'a str,
}

fn coinbase_class(text: &str) -> Result<Class, ReadError> {
    let message: CoinbaseMessage<'_> = serde_json::from_str(text)?;
    let channel = if message.channel == "l2_data" { "level2" } else { message.channel };
    if matches!(channel, "subscriptions" | "heartbeats") {
        return Ok(Class::Control);
    }
    let mut topics: Vec<Topic> = Vec::new();
    for event in &message.events {
        let event: CoinbaseEvent<'_> = serde_json::from_str(event.get())?;
        let items = event.trades.iter().chain(&event.tickers).chain(&event.candles).map(|i| i.product_id);
        for product in items.chain(event.product_id) {
            if let Some(topic) = coinbase::topic(channel, product)
                && !topics.contains(&topic)
            {
                topics.push(topic);
            }
        }
    }
    Ok(Class::Data { topics, at: Some(rfc3339(message.timestamp)?) })
}

#[derive(Deserialize)]
struct L2Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    product_id: &'a str,
    #[serde(borrow)]
    updates: Vec<L2Update<'a>>,
}

#[derive(Deserialize)]
struct L2Update<'a> {
    side: &'a str,
    event_time: &'a str,
    price_level: &'a str,
    new_quantity: &'a str,
}

fn coinbase_book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let message: CoinbaseMessage<'_> = serde_json::from_str(text)?;
    if message.channel != "l2_data" {
        return Ok(Vec::new());
    }
    let at = rfc3339(message.timestamp)?;
    let mut books = Vec::with_capacity(message.events.len());
    for event in &message.events {
        let event: L2Event<'_> = serde_json::from_str(event.get())?;
        let mut changes = Vec::with_capacity(event.updates.len());
        for u in &event.updates {
            let side = if u.side == "bid" { Side::Buy } else { Side::Sell };
            let (price, size) = (number(u.price_level)?, number(u.new_quantity)?);
            let entry = Entry { price, size, at: rfc3339(u.event_time)?, orders: 1 };
            changes.push(BookChange { side, entry });
        }
        books.push(BookMessage {
            instrument: event.product_id.to_owned(),
            snapshot: event.kind == "snapshot",
            changes,
            at,
            matched: at,
            update: 0,
            sequence: 0,
            cut: 0,
        });
    }
    Ok(books)
}

/// The trades of a Coinbase frame as they stand there: product and JSON object, newest first.
pub fn read_coinbase_trades(text: &str) -> Result<Vec<(String, String)>, ReadError> {
    #[derive(Deserialize)]
    struct Trades<'a> {
        #[serde(borrow, default)]
        trades: Vec<&'a RawValue>,
    }
    let message: CoinbaseMessage<'_> = serde_json::from_str(text)?;
    let mut found = Vec::new();
    for event in &message.events {
        let event: Trades<'_> = serde_json::from_str(event.get())?;
        for trade in event.trades {
            let item: CoinbaseItem<'_> = serde_json::from_str(trade.get())?;
            found.push((item.product_id.to_owned(), trade.get().to_owned()));
        }
    }
    Ok(found)
}

/// A Coinbase frame cut where its `sequence_num` stands.
pub fn cut_at_sequence(text: &str) -> Option<(&str, &str)> {
    const KEY: &str = r#""sequence_num":"#;
    let at = text.find(KEY)? + KEY.len();
    let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| (&text[..at], &text[at + digits..]))
}

// ---- Kraken v1

#[derive(Deserialize)]
struct KrakenStatus<'a> {
    event: Option<&'a str>,
    #[serde(rename = "channelName")]
    channel: Option<&'a str>,
    // Kraken may write the slash as `\/`, so this is not borrowed.
    pair: Option<String>,
    status: Option<&'a str>,
}

/// `book-1000`, `ohlc-5`, `trade` as a topic.
fn kraken_topic(channel: &str, pair: &str) -> Option<Topic> {
    match channel.split_once('-') {
        Some(("book", depth)) => kraken::v1_topic("book", depth.parse().ok(), None, pair),
        Some(("ohlc", minutes)) => kraken::v1_topic("ohlc", None, minutes.parse().ok(), pair),
        _ => kraken::v1_topic(channel, None, None, pair),
    }
}

fn kraken_class(text: &str) -> Result<Class, ReadError> {
    if !text.starts_with('[') {
        let status: KrakenStatus<'_> = serde_json::from_str(text)?;
        return Ok(match (status.event, status.channel, status.pair, status.status) {
            (Some("subscriptionStatus"), Some(channel), Some(pair), Some("subscribed")) => {
                kraken_topic(channel, &pair).map_or(Class::Control, Class::Acknowledgement)
            }
            _ => Class::Control,
        });
    }
    let parts: Vec<&RawValue> = serde_json::from_str(text)?;
    let [_, body @ .., channel, pair] = parts.as_slice() else { return Err(ReadError::Form) };
    let channel: String = serde_json::from_str(channel.get())?;
    let pair: String = serde_json::from_str(pair.get())?;
    let at = match body.first() {
        Some(first) if channel == "trade" => {
            let trades: Vec<Vec<String>> = serde_json::from_str(first.get())?;
            let time = trades.first().and_then(|t| t.get(2).cloned());
            time.and_then(|t| Timestamp::parse_seconds(t.as_bytes()).ok())
        }
        _ => None,
    };
    Ok(one(kraken_topic(&channel, &pair), at))
}

#[derive(Deserialize, Default)]
struct KrakenBook<'a> {
    #[serde(borrow, default, rename = "as")]
    all_asks: Option<Vec<Vec<&'a str>>>,
    #[serde(borrow, default, rename = "bs")]
    all_bids: Option<Vec<Vec<&'a str>>>,
    #[serde(borrow, default)]
    a: Vec<Vec<&'a str>>,
    #[serde(borrow, default)]
    b: Vec<Vec<&'a str>>,
}

fn kraken_book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    if !text.starts_with('[') {
        return Ok(Vec::new());
    }
    let parts: Vec<&RawValue> = serde_json::from_str(text)?;
    let [_, body @ .., channel, pair] = parts.as_slice() else { return Err(ReadError::Form) };
    let channel: String = serde_json::from_str(channel.get())?;
    let Some(cut) = channel.strip_prefix("book-").and_then(|d| d.parse().ok()) else { return Ok(Vec::new()) };
    let mut message = BookMessage {
        instrument: serde_json::from_str(pair.get())?,
        snapshot: false,
        changes: Vec::new(),
        at: Timestamp(0),
        matched: Timestamp(0),
        update: 0,
        sequence: 0,
        cut,
    };
    for part in body {
        let book: KrakenBook<'_> = serde_json::from_str(part.get())?;
        message.snapshot |= book.all_asks.is_some() || book.all_bids.is_some();
        let sides = [
            (Side::Sell, book.all_asks.unwrap_or_default()),
            (Side::Buy, book.all_bids.unwrap_or_default()),
            (Side::Sell, book.a),
            (Side::Buy, book.b),
        ];
        for (side, levels) in sides {
            for level in levels {
                let [price, size, time, ..] = level.as_slice() else { return Err(ReadError::Form) };
                let at =
                    Timestamp::parse_seconds(time.as_bytes()).map_err(|_| ReadError::Number((*time).to_owned()))?;
                let entry = Entry { price: number(price)?, size: number(size)?, at, orders: 1 };
                message.changes.push(BookChange { side, entry });
                message.at = message.at.max(at);
            }
        }
    }
    message.matched = message.at;
    Ok(vec![message])
}

// ---- Bybit

#[derive(Deserialize)]
struct BybitMessage<'a> {
    topic: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    ts: Option<i64>,
    cts: Option<i64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

fn bybit_class(door: Door, text: &str) -> Result<Class, ReadError> {
    let message: BybitMessage<'_> = serde_json::from_str(text)?;
    let Some(topic) = message.topic else { return Ok(Class::Control) };
    Ok(one(bybit::topic(door, topic), message.ts.map(millis)))
}

#[derive(Deserialize)]
struct BybitBook<'a> {
    s: &'a str,
    #[serde(borrow)]
    b: Vec<Pair<'a>>,
    #[serde(borrow)]
    a: Vec<Pair<'a>>,
    u: u64,
    seq: u64,
}

fn bybit_book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let message: BybitMessage<'_> = serde_json::from_str(text)?;
    let (Some(topic), Some(data)) = (message.topic, message.data) else { return Ok(Vec::new()) };
    if !topic.starts_with("orderbook.") {
        return Ok(Vec::new());
    }
    let book: BybitBook<'_> = serde_json::from_str(data.get())?;
    let at = millis(message.ts.unwrap_or(0));
    Ok(vec![BookMessage {
        instrument: book.s.to_owned(),
        snapshot: message.kind == Some("snapshot"),
        changes: pair_changes(&book.b, &book.a, at)?,
        at,
        matched: message.cts.map_or(at, millis),
        update: book.u,
        sequence: book.seq,
        cut: 0,
    }])
}

/// A linear ticker: whole or changed fields, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickerFields {
    /// Topic's name, as recorded.
    pub topic: String,
    /// True where it is whole.
    pub snapshot: bool,
    /// Names and texts, without the symbol.
    pub fields: Vec<(String, String)>,
    /// `cs`.
    pub sequence: u64,
    /// `ts`.
    pub at: Timestamp,
}

/// Reads a ticker frame of Bybit; `None` for other frames.
pub fn read_bybit_ticker(text: &str) -> Result<Option<TickerFields>, ReadError> {
    #[derive(Deserialize)]
    struct Sequence {
        cs: Option<u64>,
    }
    struct Fields(Vec<(String, String)>);
    impl<'de> Deserialize<'de> for Fields {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
            struct Visit;
            impl<'de> serde::de::Visitor<'de> for Visit {
                type Value = Fields;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object of texts")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                    let mut fields = Vec::new();
                    while let Some(field) = map.next_entry::<String, String>()? {
                        fields.push(field);
                    }
                    Ok(Fields(fields))
                }
            }
            deserializer.deserialize_map(Visit)
        }
    }
    let message: BybitMessage<'_> = serde_json::from_str(text)?;
    let (Some(topic), Some(data)) = (message.topic, message.data) else { return Ok(None) };
    if !topic.starts_with("tickers.") {
        return Ok(None);
    }
    let sequence: Sequence = serde_json::from_str(text)?;
    let Fields(mut fields) = serde_json::from_str(data.get())?;
    fields.retain(|(name, _)| name != "symbol");
    Ok(Some(TickerFields {
        topic: topic.to_owned(),
        snapshot: message.kind == Some("snapshot"),
        fields,
        sequence: sequence.cs.unwrap_or(0),
        at: millis(message.ts.unwrap_or(0)),
    }))
}

// ---- OKX

#[derive(Deserialize)]
struct OkxMessage<'a> {
    event: Option<&'a str>,
    #[serde(borrow)]
    arg: Option<OkxArg<'a>>,
    action: Option<&'a str>,
    #[serde(borrow, default)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct OkxArg<'a> {
    channel: &'a str,
    #[serde(rename = "instId", default)]
    instrument: &'a str,
}

#[derive(Deserialize)]
struct OkxTime<'a> {
    ts: Option<&'a str>,
}

fn okx_class(door: Door, text: &str) -> Result<Class, ReadError> {
    if text == "pong" {
        return Ok(Class::Control);
    }
    let message: OkxMessage<'_> = serde_json::from_str(text)?;
    let topic = message.arg.and_then(|arg| okx::topic(door, arg.channel, arg.instrument));
    match (message.event, topic) {
        (Some("subscribe"), Some(topic)) => Ok(Class::Acknowledgement(topic)),
        (None, topic) => {
            let time = message.data.first().and_then(|d| serde_json::from_str::<OkxTime<'_>>(d.get()).ok());
            Ok(one(topic, time.and_then(|t| t.ts).and_then(|t| text_millis(t).ok())))
        }
        _ => Ok(Class::Control),
    }
}

#[derive(Deserialize)]
struct OkxBook<'a> {
    #[serde(borrow)]
    asks: Vec<Vec<&'a str>>,
    #[serde(borrow)]
    bids: Vec<Vec<&'a str>>,
    ts: &'a str,
    #[serde(rename = "seqId")]
    sequence: Option<u64>,
}

fn okx_book(text: &str) -> Result<Vec<BookMessage>, ReadError> {
    let message: OkxMessage<'_> = serde_json::from_str(text)?;
    let (Some(arg), Some(action)) = (message.arg, message.action) else { return Ok(Vec::new()) };
    let mut books = Vec::new();
    for data in &message.data {
        let book: OkxBook<'_> = serde_json::from_str(data.get())?;
        let at = text_millis(book.ts)?;
        let mut changes = Vec::new();
        for (side, levels) in [(Side::Sell, book.asks), (Side::Buy, book.bids)] {
            for level in levels {
                let [price, size, _, orders, ..] = level.as_slice() else { return Err(ReadError::Form) };
                let orders = orders.parse().map_err(|_| ReadError::Number((*orders).to_owned()))?;
                let entry = Entry { price: number(price)?, size: number(size)?, at, orders };
                changes.push(BookChange { side, entry });
            }
        }
        books.push(BookMessage {
            instrument: arg.instrument.to_owned(),
            snapshot: action == "snapshot",
            changes,
            at,
            matched: at,
            update: book.sequence.unwrap_or(0),
            sequence: 0,
            cut: 0,
        });
    }
    Ok(books)
}

impl BookMessage {
    /// The channel that book messages belong to, in the loose form of [`Topic::loose`].
    pub const CHANNEL: Channel = Channel::Book { depth: 0 };
}
