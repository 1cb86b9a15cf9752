//! WebSocket v1: arrays, numbers as texts, a number for each stream.

use std::fmt::Write as _;

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{checksum, offers, v2_pair};
use crate::emulate::connection::{Connection, Listing, Step};
use crate::emulate::{
    BookStep, CandleState, Channel, Endpoint, Entry, Frame, LevelBook, Summary, Topic, TradePrint, quoted,
};

/// First message of a v1 connection.
pub(in crate::emulate) fn v1_status(id: u64) -> Step {
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
    Some(Topic { endpoint: Endpoint::KrakenV1, channel, instrument: pair.to_owned(), name })
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

/// Returns true where a text is a request in the words of v1.
pub(super) fn is_v1_request(text: &str) -> bool {
    serde_json::from_str::<V1Request<'_>>(text).is_ok()
}

pub(in crate::emulate) fn v1_receive(c: &mut Connection, text: &str, listing: &dyn Listing, steps: &mut Vec<Step>) {
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
        if c.endpoint == Endpoint::KrakenV2 {
            (topic.endpoint, topic.instrument) = (c.endpoint, v2_pair(pair));
        }
        if matches!(topic.channel, Channel::Book { depth } if !offers(depth)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(seconds(Timestamp::from_micros(1_618_678_142_557_005)), "1618678142.557005");
    }
}
