//! Kraken, WebSocket v1 and v2: an acknowledgement for each pair, snapshots per stream, books with a CRC32 over the texts
//! of the ten best levels.
//!
//! Sources: "WebSockets API v1" and "v2" and "Spot REST" of Kraken's documentation, their checksum guides; recording of
//! 2021 (v1). A client cuts its book to the subscribed depth: levels pushed out of it are not removed in words.

use std::fmt::Write as _;

use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::conversation::{Conversation, Listing, Step};
use super::data::{BookStep, CandleState, Instrument, Summary, TradePrint};
use super::levels::{Entry, LevelBook};
use super::{Channel, Door, Frame, Topic, quoted};
use crate::event::Side;

/// Levels a side that can be asked for.
pub const DEPTHS: [u16; 5] = [10, 25, 100, 500, 1000];

/// Levels a side that the checksum runs over.
const CHECKSUM_LEVELS: usize = 10;

/// The checksum of a book: asks then bids, best first; of each level the digits of price and size without the point and
/// without zeros in front.
pub fn checksum(book: &LevelBook) -> u32 {
    let mut text = String::new();
    for side in [Side::Sell, Side::Buy] {
        for entry in book.levels(side).take(CHECKSUM_LEVELS) {
            for number in [entry.price, entry.size] {
                // The mantissa is the digits without point and zeros in front.
                let _ = write!(text, "{}", number.mantissa());
            }
        }
    }
    crc32fast::hash(text.as_bytes())
}

// ---- v1

/// First message of a v1 connection.
pub(super) fn v1_status(id: u64) -> Step {
    Step::Say(Frame::whole(format!(
        r#"{{"connectionID":{},"event":"systemStatus","status":"online","version":"1.9.0"}}"#,
        17_843_232_920_000_000_000 + id
    )))
}

/// The number of a stream in v1, the same on every connection.
pub fn channel_id(topic: &Topic) -> u32 {
    let mut hash = 2_166_136_261u32;
    for byte in topic.name.bytes().chain(topic.instrument.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    }
    hash % 10_000
}

/// Reads a v1 subscription's name and options; the topic's name is the venue's `channelName`.
pub fn v1_topic(name: &str, depth: Option<u16>, minutes: Option<u32>, pair: &str) -> Option<Topic> {
    let (channel, name) = match name {
        "trade" => (Channel::Trade, name.to_owned()),
        "ticker" => (Channel::Ticker, name.to_owned()),
        "spread" => (Channel::BestQuote, name.to_owned()),
        "book" => {
            let depth = depth.unwrap_or(10);
            (Channel::Book { depth }, format!("book-{depth}"))
        }
        "ohlc" => {
            let minutes = minutes.unwrap_or(1);
            (Channel::Candle { seconds: minutes.checked_mul(60)? }, format!("ohlc-{minutes}"))
        }
        _ => return None,
    };
    Some(Topic { door: Door::KrakenV1, channel, instrument: pair.to_owned(), name })
}

#[derive(Deserialize)]
struct V1Request<'a> {
    event: String,
    reqid: Option<u64>,
    #[serde(default)]
    pair: Vec<String>,
    #[serde(borrow)]
    subscription: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct V1Subscription {
    name: String,
    depth: Option<u16>,
    interval: Option<u32>,
}

pub(super) fn v1_receive(c: &mut Conversation, text: &str, listing: &dyn Listing, steps: &mut Vec<Step>) {
    let say = |text: String| Step::Say(Frame::whole(text));
    let Ok(request) = serde_json::from_str::<V1Request<'_>>(text) else {
        steps.push(say(r#"{"errorMessage":"Malformed request","event":"error"}"#.into()));
        return;
    };
    let reqid = request.reqid.map(|id| format!(r#""reqid":{id},"#)).unwrap_or_default();
    if request.event == "ping" {
        let reqid = request.reqid.map(|id| format!(r#","reqid":{id}"#)).unwrap_or_default();
        steps.push(say(format!(r#"{{"event":"pong"{reqid}}}"#)));
        return;
    }
    let raw = request.subscription.map_or("{}", RawValue::get);
    let subscription = serde_json::from_str::<V1Subscription>(raw).ok();
    let (Some(subscription), true) = (subscription, matches!(request.event.as_str(), "subscribe" | "unsubscribe"))
    else {
        steps.push(say(format!(r#"{{"errorMessage":"Unsupported event","event":"error",{reqid}"status":"error"}}"#)));
        return;
    };
    for pair in &request.pair {
        let refuse = |message: &str| {
            say(format!(
                r#"{{"errorMessage":{},"event":"subscriptionStatus","pair":{},{reqid}"status":"error","subscription":{raw}}}"#,
                quoted(message),
                quoted(pair)
            ))
        };
        let Some(mut topic) = v1_topic(&subscription.name, subscription.depth, subscription.interval, pair) else {
            steps.push(refuse("Subscription name invalid"));
            continue;
        };
        if c.door == Door::KrakenV2 {
            (topic.door, topic.instrument) = (c.door, v2_pair(pair));
        }
        if matches!(topic.channel, Channel::Book { depth } if !DEPTHS.contains(&depth)) {
            steps.push(refuse("Subscription depth not supported"));
        } else if !listing.knows(&topic) {
            steps.push(refuse(&format!("Currency pair not supported {pair}")));
        } else if request.event == "subscribe" {
            let status = listing.acknowledgement(&topic).unwrap_or_else(|| v1_ack(&topic, "subscribed", &reqid));
            steps.push(say(status));
            c.begin(topic, steps);
        } else if c.end(&topic.name, &topic.instrument, steps) {
            steps.push(say(v1_ack(&topic, "unsubscribed", &reqid)));
        } else {
            steps.push(refuse("Subscription Not Found"));
        }
    }
}

/// The v1 name of a pair: v1 has its own names of two assets.
pub fn v1_pair(pair: &str) -> String {
    renamed(pair, [("BTC", "XBT"), ("DOGE", "XDG")])
}

/// The v2 name of a pair.
pub fn v2_pair(pair: &str) -> String {
    renamed(pair, [("XBT", "BTC"), ("XDG", "DOGE")])
}

fn renamed(pair: &str, names: [(&str, &str); 2]) -> String {
    let of = |asset: &str| names.iter().find(|n| n.0 == asset).map_or_else(|| asset.to_owned(), |n| n.1.to_owned());
    match pair.split_once('/') {
        Some((base, quote)) => format!("{}/{}", of(base), of(quote)),
        None => pair.to_owned(),
    }
}

fn v1_ack(topic: &Topic, status: &str, reqid: &str) -> String {
    let subscription = match topic.channel {
        Channel::Book { depth } => format!(r#"{{"depth":{depth},"name":"book"}}"#),
        Channel::Candle { seconds } => format!(r#"{{"interval":{},"name":"ohlc"}}"#, seconds / 60),
        _ => format!(r#"{{"name":"{}"}}"#, topic.name),
    };
    format!(
        r#"{{"channelID":{},"channelName":"{}","event":"subscriptionStatus","pair":"{}",{reqid}"status":"{status}","subscription":{subscription}}}"#,
        channel_id(topic),
        topic.name,
        topic.instrument
    )
}

fn seconds(at: Timestamp) -> String {
    format!("{}.{:06}", at.micros().div_euclid(1_000_000), at.micros().rem_euclid(1_000_000))
}

fn v1_levels<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut text = String::from("[");
    for (n, entry) in entries.enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(text, r#"{comma}["{}","{}","{}"]"#, entry.price, entry.size, seconds(entry.at));
    }
    text.push(']');
    text
}

fn v1_frame(id: u32, topic: &Topic, body: &str) -> Frame {
    Frame::whole(format!(r#"[{id},{body},"{}","{}"]"#, topic.name, topic.instrument))
}

/// A v1 book to the topic's depth.
pub fn v1_book_snapshot(id: u32, topic: &Topic, book: &LevelBook) -> Frame {
    let (asks, bids) = (v1_levels(book.levels(Side::Sell)), v1_levels(book.levels(Side::Buy)));
    v1_frame(id, topic, &format!(r#"{{"as":{asks},"bs":{bids}}}"#))
}

/// Changed levels; a message that touches both sides has an object for each, the checksum in the last.
pub fn v1_book_update(id: u32, topic: &Topic, step: &BookStep<'_>, after: &LevelBook) -> Frame {
    let (asks, bids) = (v1_levels(step.of(Side::Sell)), v1_levels(step.of(Side::Buy)));
    let check = format!(r#""c":"{}""#, checksum(after));
    let body = match (asks.as_str(), bids.as_str()) {
        (asks, "[]") => format!(r#"{{"a":{asks},{check}}}"#),
        ("[]", bids) => format!(r#"{{"b":{bids},{check}}}"#),
        (asks, bids) => format!(r#"{{"a":{asks}}},{{"b":{bids},{check}}}"#),
    };
    v1_frame(id, topic, &body)
}

/// Trades that happened together.
pub fn v1_trades(id: u32, topic: &Topic, trades: &[TradePrint]) -> Frame {
    let list: Vec<String> = trades
        .iter()
        .map(|t| {
            let side = if t.side == Side::Buy { "b" } else { "s" };
            let kind = if t.at_market { "m" } else { "l" };
            format!(r#"["{}","{}","{}","{side}","{kind}",""]"#, t.price, t.size, seconds(t.at))
        })
        .collect();
    v1_frame(id, topic, &format!("[{}]", list.join(",")))
}

/// `ticker` of v1.
pub fn v1_ticker(id: u32, topic: &Topic, s: &Summary) -> Frame {
    let whole = |size: Decimal| size.mantissa() / 10i128.pow(u32::from(size.scale()));
    let twice = |text: &dyn std::fmt::Display| format!(r#"["{text}","{text}"]"#);
    let body = format!(
        r#"{{"a":["{}",{},"{}"],"b":["{}",{},"{}"],"c":["{}","{}"],"v":{},"p":{},"t":[{n},{n}],"l":{},"h":{},"o":{}}}"#,
        s.ask.0,
        whole(s.ask.1),
        s.ask.1,
        s.bid.0,
        whole(s.bid.1),
        s.bid.1,
        s.last.0,
        s.last.1,
        twice(&s.volume),
        twice(&s.last.0),
        twice(&s.low),
        twice(&s.high),
        twice(&s.open),
        n = s.trades,
    );
    v1_frame(id, topic, &body)
}

/// `spread` of v1.
pub fn v1_spread(id: u32, topic: &Topic, s: &Summary) -> Frame {
    let body = format!(r#"["{}","{}","{}","{}","{}"]"#, s.bid.0, s.ask.0, seconds(s.at), s.bid.1, s.ask.1);
    v1_frame(id, topic, &body)
}

/// `ohlc` of v1. Its second field is the end of the interval.
pub fn v1_candle(id: u32, topic: &Topic, c: &CandleState) -> Frame {
    let end = Timestamp(c.start.nanos() + i64::from(c.seconds) * 1_000_000_000);
    let body = format!(
        r#"["{}","{}","{}","{}","{}","{}","{}","{}",{}]"#,
        seconds(c.at),
        seconds(end),
        c.open,
        c.high,
        c.low,
        c.close,
        c.close,
        c.volume,
        c.trades
    );
    v1_frame(id, topic, &body)
}

// ---- v2

/// First message of a v2 connection.
pub(super) fn v2_status(id: u64) -> Step {
    Step::Say(Frame::whole(format!(
        r#"{{"channel":"status","data":[{{"api_version":"v2","connection_id":{},"system":"online","version":"2.0.0"}}],"type":"update"}}"#,
        12_393_906_104_000_000_000 + id
    )))
}

#[derive(Deserialize)]
struct V2Request<'a> {
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    req_id: Option<u64>,
}

#[derive(Deserialize)]
struct V2Params {
    channel: String,
    #[serde(default)]
    symbol: Vec<String>,
    depth: Option<u16>,
    interval: Option<u32>,
    snapshot: Option<bool>,
}

/// Reads a v2 subscription's channel and options.
pub fn v2_topic(channel: &str, depth: Option<u16>, minutes: Option<u32>, symbol: &str) -> Option<Topic> {
    let (channel, name) = match channel {
        "trade" => (Channel::Trade, "trade".to_owned()),
        "ticker" => (Channel::Ticker, "ticker".to_owned()),
        "instrument" => (Channel::Instruments, "instrument".to_owned()),
        "book" => {
            let depth = depth.unwrap_or(10);
            (Channel::Book { depth }, format!("book-{depth}"))
        }
        "ohlc" => {
            let minutes = minutes.unwrap_or(1);
            (Channel::Candle { seconds: minutes.checked_mul(60)? }, format!("ohlc-{minutes}"))
        }
        _ => return None,
    };
    let instrument = if channel == Channel::Instruments { String::new() } else { symbol.to_owned() };
    Some(Topic { door: Door::KrakenV2, channel, instrument, name })
}

pub(super) fn v2_receive(
    c: &mut Conversation,
    text: &str,
    now: Timestamp,
    listing: &dyn Listing,
    steps: &mut Vec<Step>,
) {
    let say = |text: String| Step::Say(Frame::whole(text));
    let Ok(request) = serde_json::from_str::<V2Request<'_>>(text) else {
        // A recording made through v1 is replayed at this door too, and a client words its requests as its data come.
        if serde_json::from_str::<V1Request<'_>>(text).is_ok() {
            v1_receive(c, text, listing, steps);
        } else {
            steps.push(say(r#"{"error":"Malformed request","success":false}"#.into()));
        }
        return;
    };
    let reqid = request.req_id.map(|id| format!(r#""req_id":{id},"#)).unwrap_or_default();
    let times = format!(r#""time_in":"{0}","time_out":"{0}""#, micros(now));
    let method = request.method.as_str();
    if method == "ping" {
        steps.push(say(format!(r#"{{"method":"pong",{reqid}{times}}}"#)));
        return;
    }
    let params = request.params.and_then(|p| serde_json::from_str::<V2Params>(p.get()).ok());
    let (Some(params), "subscribe" | "unsubscribe") = (params, method) else {
        steps.push(say(format!(
            r#"{{"error":"Unsupported method or malformed params","method":{},{reqid}"success":false,{times}}}"#,
            quoted(method)
        )));
        return;
    };
    let symbols = if params.channel == "instrument" { vec![String::new()] } else { params.symbol };
    for symbol in &symbols {
        let refuse = |message: &str| {
            say(format!(
                r#"{{"error":{},"method":"{method}",{reqid}"success":false,"symbol":{},{times}}}"#,
                quoted(message),
                quoted(symbol)
            ))
        };
        let Some(topic) = v2_topic(&params.channel, params.depth, params.interval, symbol) else {
            steps.push(refuse("Channel not found"));
            continue;
        };
        let result = v2_result(&topic, params.snapshot.unwrap_or(true));
        let accept = say(format!(r#"{{"method":"{method}",{reqid}"result":{result},"success":true,{times}}}"#));
        if matches!(topic.channel, Channel::Book { depth } if !DEPTHS.contains(&depth)) {
            steps.push(refuse("Subscription depth not supported"));
        } else if !listing.knows(&topic) {
            steps.push(refuse(&format!("Currency pair not supported {symbol}")));
        } else if method == "subscribe" {
            steps.push(accept);
            c.begin(topic, steps);
        } else if c.end(&topic.name, &topic.instrument, steps) {
            steps.push(accept);
        } else {
            steps.push(refuse("Subscription Not Found"));
        }
    }
}

fn v2_result(topic: &Topic, snapshot: bool) -> String {
    let symbol = &topic.instrument;
    match topic.channel {
        Channel::Book { depth } => {
            format!(r#"{{"channel":"book","depth":{depth},"snapshot":{snapshot},"symbol":"{symbol}"}}"#)
        }
        Channel::Candle { seconds } => {
            format!(
                r#"{{"channel":"ohlc","interval":{},"snapshot":{snapshot},"symbol":"{symbol}","warnings":["timestamp is deprecated, use interval_begin"]}}"#,
                seconds / 60
            )
        }
        Channel::Instruments => format!(r#"{{"channel":"instrument","snapshot":{snapshot}}}"#),
        Channel::Ticker => {
            format!(r#"{{"channel":"ticker","event_trigger":"trades","snapshot":{snapshot},"symbol":"{symbol}"}}"#)
        }
        _ => format!(r#"{{"channel":"{}","snapshot":{snapshot},"symbol":"{symbol}"}}"#, topic.name),
    }
}

/// RFC 3339 with six digits, as v2 writes every time.
fn micros(at: Timestamp) -> String {
    let text = Timestamp::from_micros(at.micros().div_euclid(1_000_000) * 1_000_000).to_rfc3339();
    format!("{}.{:06}Z", text.trim_end_matches('Z'), at.micros().rem_euclid(1_000_000))
}

fn v2_frame(channel: &str, kind: &str, data: &str) -> Frame {
    Frame::whole(format!(r#"{{"channel":"{channel}","type":"{kind}","data":[{data}]}}"#))
}

fn v2_levels<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut text = String::from("[");
    for (n, entry) in entries.enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(text, r#"{comma}{{"price":{},"qty":{}}}"#, entry.price, entry.size);
    }
    text.push(']');
    text
}

/// A v2 book to the subscribed depth.
pub fn v2_book_snapshot(symbol: &str, book: &LevelBook, at: Timestamp) -> Frame {
    let (bids, asks) = (v2_levels(book.levels(Side::Buy)), v2_levels(book.levels(Side::Sell)));
    v2_book("snapshot", symbol, &bids, &asks, book, at)
}

/// Changed levels.
pub fn v2_book_update(symbol: &str, step: &BookStep<'_>, after: &LevelBook) -> Frame {
    let (bids, asks) = (v2_levels(step.of(Side::Buy)), v2_levels(step.of(Side::Sell)));
    v2_book("update", symbol, &bids, &asks, after, step.at)
}

fn v2_book(kind: &str, symbol: &str, bids: &str, asks: &str, after: &LevelBook, at: Timestamp) -> Frame {
    let check = checksum(after);
    let data = format!(
        r#"{{"symbol":"{symbol}","bids":{bids},"asks":{asks},"checksum":{check},"timestamp":"{}"}}"#,
        micros(at)
    );
    v2_frame("book", kind, &data)
}

/// Trades; a `snapshot` holds those before the subscription.
pub fn v2_trades<'a>(kind: &str, symbol: &str, trades: impl Iterator<Item = &'a TradePrint>) -> Frame {
    let list: Vec<String> = trades
        .map(|t| {
            let side = if t.side == Side::Buy { "buy" } else { "sell" };
            let order = if t.at_market { "market" } else { "limit" };
            format!(
                r#"{{"symbol":"{symbol}","side":"{side}","price":{},"qty":{},"ord_type":"{order}","trade_id":{},"timestamp":"{}"}}"#,
                t.price,
                t.size,
                t.id,
                micros(t.at)
            )
        })
        .collect();
    v2_frame("trade", kind, &list.join(","))
}

/// `ticker` of v2.
pub fn v2_ticker(kind: &str, symbol: &str, s: &Summary) -> Frame {
    let change = s.last.0.checked_sub(s.open).unwrap_or(Decimal::ZERO);
    let data = format!(
        r#"{{"symbol":"{symbol}","bid":{},"bid_qty":{},"ask":{},"ask_qty":{},"last":{},"volume":{},"vwap":{},"low":{},"high":{},"change":{change},"change_pct":0.00,"timestamp":"{}"}}"#,
        s.bid.0,
        s.bid.1,
        s.ask.0,
        s.ask.1,
        s.last.0,
        s.volume,
        s.last.0,
        s.low,
        s.high,
        micros(s.at)
    );
    v2_frame("ticker", kind, &data)
}

/// `ohlc` of v2.
pub fn v2_candle(kind: &str, symbol: &str, c: &CandleState) -> Frame {
    let end = Timestamp(c.start.nanos() + i64::from(c.seconds) * 1_000_000_000);
    let data = format!(
        r#"{{"symbol":"{symbol}","open":{},"high":{},"low":{},"close":{},"trades":{},"volume":{},"vwap":{},"interval_begin":"{}","interval":{},"timestamp":"{}"}}"#,
        c.open,
        c.high,
        c.low,
        c.close,
        c.trades,
        c.volume,
        c.close,
        micros(c.start),
        c.seconds / 60,
        micros(end)
    );
    Frame::whole(format!(r#"{{"channel":"ohlc","type":"{kind}","timestamp":"{}","data":[{data}]}}"#, micros(c.at)))
}

/// `instrument` of v2: pairs with their precisions, by which a client writes the texts for the checksum.
pub fn v2_instruments(instruments: &[&Instrument]) -> Frame {
    let pairs: Vec<String> = instruments
        .iter()
        .map(|i| {
            format!(
                r#"{{"symbol":"{}","base":"{}","quote":"{}","status":"online","qty_precision":{},"qty_increment":{},"price_precision":{},"cost_precision":5,"marginable":false,"has_index":true,"cost_min":0.50,"price_increment":{},"qty_min":{}}}"#,
                i.name,
                i.base,
                i.quote,
                i.lot.scale(),
                i.lot,
                i.tick.scale(),
                i.tick,
                i.lot
            )
        })
        .collect();
    Frame::whole(format!(
        r#"{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{}]}}}}"#,
        pairs.join(",")
    ))
}

// ---- REST

/// The answer of `/0/public/AssetPairs`: instruments of the v1 door.
pub fn asset_pairs(instruments: &[&Instrument]) -> String {
    let pairs: Vec<String> = instruments
        .iter()
        .map(|i| {
            let altname = i.name.replace('/', "");
            format!(
                r#""{altname}":{{"altname":"{altname}","wsname":"{}","aclass_base":"currency","base":"{}","aclass_quote":"currency","quote":"{}","lot":"unit","cost_decimals":5,"pair_decimals":{},"lot_decimals":{},"lot_multiplier":1,"leverage_buy":[],"leverage_sell":[],"fees":[[0,0.4]],"fees_maker":[[0,0.25]],"fee_volume_currency":"ZUSD","margin_call":80,"margin_stop":40,"ordermin":"{}","costmin":"0.5","tick_size":"{}","status":"online"}}"#,
                i.name,
                i.base,
                i.quote,
                i.tick.normalized().scale(),
                i.lot.scale(),
                i.lot,
                i.tick.normalized()
            )
        })
        .collect();
    format!(r#"{{"error":[],"result":{{{}}}}}"#, pairs.join(","))
}

/// How Kraken refuses a request over HTTP.
pub fn error(message: &str) -> String {
    format!(r#"{{"error":[{}]}}"#, quoted(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulate::BookChange;

    /// The worked example of Kraken's guide to the v1 checksum (price and volume texts as printed there).
    #[test]
    fn checksum_of_the_guide() {
        let asks = [
            ("0.05005", "0.00000500"),
            ("0.05010", "0.00000500"),
            ("0.05015", "0.00000500"),
            ("0.05020", "0.00000500"),
            ("0.05025", "0.00000500"),
            ("0.05030", "0.00000500"),
            ("0.05035", "0.00000500"),
            ("0.05040", "0.00000500"),
            ("0.05045", "0.00000500"),
            ("0.05050", "0.00000500"),
        ];
        let bids = [
            ("0.05000", "0.00000500"),
            ("0.04995", "0.00000500"),
            ("0.04990", "0.00000500"),
            ("0.04980", "0.00000500"),
            ("0.04975", "0.00000500"),
            ("0.04970", "0.00000500"),
            ("0.04965", "0.00000500"),
            ("0.04960", "0.00000500"),
            ("0.04955", "0.00000500"),
            ("0.04950", "0.00000500"),
        ];
        let mut book = LevelBook::default();
        for (side, levels) in [(Side::Sell, asks), (Side::Buy, bids)] {
            for (price, size) in levels {
                let entry =
                    Entry { price: price.parse().unwrap(), size: size.parse().unwrap(), at: Timestamp(0), orders: 1 };
                book.apply(&BookChange { side, entry });
            }
        }
        assert_eq!(checksum(&book), 974_947_235);
    }

    #[test]
    fn times() {
        let at = Timestamp::from_micros(1_618_678_142_557_005);
        assert_eq!(seconds(at), "1618678142.557005");
        assert_eq!(micros(at), "2021-04-17T16:49:02.557005Z");
        assert_eq!(micros(Timestamp::from_millis(1_618_678_142_000)), "2021-04-17T16:49:02.000000Z");
    }
}
