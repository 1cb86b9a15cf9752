//! Bybit v5 public streams, spot and linear: topics as `orderbook.50.BTCUSDT`, books by `u` and `seq`, linear tickers as a
//! snapshot and then only what changed.
//!
//! Source: "Websocket Stream" and "Market" of Bybit's v5 documentation; recording of 2026. The two endpoints write the
//! fields of a message in different orders, and spot writes numbers without zeros at the end: both kept.

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;

use super::connection::{Connection, Listing, Step};
use super::data::{CandleState, Derivative, Instrument, Summary, TradePrint};
use super::levels::{BookChange, Entry, LevelBook};
use super::{Channel, Endpoint, Frame, Topic, quoted};

/// Topics in one request of the spot endpoint.
const SPOT_ARGS_MAX: usize = 10;

/// Levels a side that can be asked for.
pub const DEPTHS: [u16; 4] = [1, 50, 200, 1000];

/// Reads a topic's name.
pub fn topic(endpoint: Endpoint, name: &str) -> Option<Topic> {
    let (kind, rest) = name.split_once('.')?;
    let (channel, instrument) = match kind {
        "publicTrade" => (Channel::Trade, rest),
        "tickers" => (Channel::Ticker, rest),
        "allLiquidation" | "liquidation" if endpoint == Endpoint::BybitLinear => (Channel::Liquidation, rest),
        "orderbook" => {
            let (depth, instrument) = rest.split_once('.')?;
            let depth = depth.parse().ok().filter(|d| DEPTHS.contains(d) || *d == 500)?;
            (Channel::Book { depth }, instrument)
        }
        "kline" => {
            let (interval, instrument) = rest.split_once('.')?;
            let minutes: u32 = match interval {
                "D" => 1_440,
                other => other.parse().ok().filter(|m| (1..=720).contains(m))?,
            };
            (Channel::Candle { seconds: minutes * 60 }, instrument)
        }
        _ => return None,
    };
    Some(Topic { endpoint, channel, instrument: instrument.to_owned(), name: name.to_owned() })
}

#[derive(Deserialize)]
struct Request {
    op: String,
    req_id: Option<String>,
    #[serde(default)]
    args: Vec<String>,
}

pub(super) fn receive(c: &mut Connection, text: &str, listing: &dyn Listing, steps: &mut Vec<Step>) {
    let endpoint = c.endpoint;
    let connection = format!("openmesh-{:08x}", c.id);
    let answer = move |success: bool, message: &str, op: &str, req_id: Option<&str>| {
        let (message, op) = (quoted(message), quoted(op));
        // Spot leaves an absent request id out, linear writes it empty.
        let id = match (req_id, endpoint) {
            (Some(id), _) => format!(r#""req_id":{},"#, quoted(id)),
            (None, Endpoint::BybitLinear) => String::from(r#""req_id":"","#),
            (None, _) => String::new(),
        };
        Step::Say(Frame::whole(format!(
            r#"{{"success":{success},"ret_msg":{message},"conn_id":"{connection}",{id}"op":{op}}}"#
        )))
    };
    let Ok(request) = serde_json::from_str::<Request>(text) else {
        steps.push(answer(false, "error:request is not valid json", "", None));
        return;
    };
    let id = request.req_id.as_deref();
    let op = request.op.as_str();
    match op {
        "ping" => steps.push(answer(true, "pong", "ping", id)),
        "subscribe" if endpoint == Endpoint::BybitSpot && request.args.len() > SPOT_ARGS_MAX => {
            steps.push(answer(false, "args size >10", op, id));
        }
        "subscribe" => {
            let topics: Vec<(&String, Option<Topic>)> =
                request.args.iter().map(|n| (n, topic(endpoint, n).filter(|t| listing.knows(t)))).collect();
            if let Some((name, _)) = topics.iter().find(|(_, topic)| topic.is_none()) {
                steps.push(answer(false, &format!("error:handler not found,topic:{name}"), op, id));
                return;
            }
            let said = if endpoint == Endpoint::BybitSpot { "subscribe" } else { "" };
            steps.push(answer(true, said, op, id));
            for topic in topics.into_iter().filter_map(|(_, topic)| topic) {
                c.begin(topic, steps);
            }
        }
        "unsubscribe" => {
            for name in &request.args {
                if let Some(topic) = topic(endpoint, name) {
                    c.end(name, &topic.instrument, steps);
                }
            }
            steps.push(answer(true, "", op, id));
        }
        other => steps.push(answer(false, &format!("error:unknown op {other}"), other, id)),
    }
}

/// A message of a topic; the endpoints order its fields differently.
fn message(topic: &Topic, kind: &str, at: Timestamp, data: &str, after: &str) -> Frame {
    let (name, ts) = (&topic.name, at.millis());
    Frame::whole(match topic.endpoint {
        Endpoint::BybitSpot => format!(r#"{{"topic":"{name}","ts":{ts},"type":"{kind}","data":{data}{after}}}"#),
        _ => format!(r#"{{"topic":"{name}","type":"{kind}","ts":{ts},"data":{data}{after}}}"#),
    })
}

fn pairs<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let list: Vec<String> = entries
        .map(|e| match e.size.is_zero() {
            true => format!(r#"["{}","0"]"#, e.price),
            false => format!(r#"["{}","{}"]"#, e.price, e.size),
        })
        .collect();
    format!("[{}]", list.join(","))
}

/// The numbers of a book message: `u` counts the topic's messages, `seq` is the matching engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookNumbers {
    /// Time at which the message was made.
    pub at: Timestamp,
    /// Time at which the matching engine made the change (`cts`).
    pub matched: Timestamp,
    /// `u`.
    pub update: u64,
    /// `seq`.
    pub sequence: u64,
}

/// The book to the topic's depth.
pub fn book_snapshot(topic: &Topic, book: &LevelBook, numbers: BookNumbers) -> Frame {
    let (bids, asks) = (pairs(book.levels(Side::Buy)), pairs(book.levels(Side::Sell)));
    self::book(topic, "snapshot", &bids, &asks, numbers)
}

/// Changed levels.
pub fn book_delta(topic: &Topic, changes: &[BookChange], numbers: BookNumbers) -> Frame {
    let of = |side: Side| pairs(changes.iter().filter(move |c| c.side == side).map(|c| &c.entry));
    self::book(topic, "delta", &of(Side::Buy), &of(Side::Sell), numbers)
}

fn book(topic: &Topic, kind: &str, bids: &str, asks: &str, n: BookNumbers) -> Frame {
    let data = format!(r#"{{"s":"{}","b":{bids},"a":{asks},"u":{},"seq":{}}}"#, topic.instrument, n.update, n.sequence);
    message(topic, kind, n.at, &data, &format!(r#","cts":{}"#, n.matched.millis()))
}

/// `publicTrade`: its type is always `snapshot`.
pub fn trades(topic: &Topic, trades: &[TradePrint], sequence: u64) -> Frame {
    let list: Vec<String> = trades
        .iter()
        .map(|t| {
            let side = if t.side == Side::Buy { "Buy" } else { "Sell" };
            let (at, name, price, size) = (t.at.millis(), &topic.instrument, t.price, t.size);
            match topic.endpoint {
                Endpoint::BybitSpot => format!(
                    r#"{{"i":"22900000{:011}","T":{at},"p":"{price}","v":"{size}","S":"{side}","seq":{sequence},"s":"{name}","BT":false,"RPI":false}}"#,
                    t.id
                ),
                _ => format!(
                    r#"{{"T":{at},"s":"{name}","S":"{side}","v":"{size}","p":"{price}","L":"{}","i":"{}","BT":false,"RPI":false,"seq":{sequence}}}"#,
                    if t.side == Side::Buy { "PlusTick" } else { "MinusTick" },
                    uuid(name, t.id)
                ),
            }
        })
        .collect();
    let at = trades.last().map_or(Timestamp(0), |t| t.at);
    message(topic, "snapshot", at, &format!("[{}]", list.join(",")), "")
}

/// A trade's id in the form that linear writes (RFC 9562, version 5 in form), made from the number of the trade.
fn uuid(instrument: &str, id: u64) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in instrument.bytes().chain(id.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!(
        "{:08x}-{:04x}-5{:03x}-8{:03x}-{:012x}",
        hash >> 32,
        (hash >> 16) & 0xffff,
        (hash >> 4) & 0xfff,
        hash & 0xfff,
        id & 0xffff_ffff_ffff
    )
}

/// `kline`.
pub fn candle(topic: &Topic, c: &CandleState) -> Frame {
    let start = c.start.millis();
    let (end, minutes, at) = (start + i64::from(c.seconds) * 1_000 - 1, c.seconds / 60, c.at.millis());
    let data = format!(
        r#"[{{"start":{start},"end":{end},"interval":"{minutes}","open":"{}","close":"{}","high":"{}","low":"{}","volume":"{}","turnover":"{}","confirm":{},"timestamp":{at}}}]"#,
        c.open.normalized(),
        c.close.normalized(),
        c.high.normalized(),
        c.low.normalized(),
        c.volume.normalized(),
        c.turnover.normalized(),
        c.closed
    );
    Frame::whole(match topic.endpoint {
        Endpoint::BybitSpot => format!(r#"{{"type":"snapshot","topic":"{}","data":{data},"ts":{at}}}"#, topic.name),
        _ => format!(r#"{{"topic":"{}","data":{data},"ts":{at},"type":"snapshot"}}"#, topic.name),
    })
}

/// `tickers` of spot: always whole, without quotes.
pub fn spot_ticker(topic: &Topic, s: &Summary) -> Frame {
    let data = format!(
        r#"{{"symbol":"{}","lastPrice":"{}","highPrice24h":"{}","lowPrice24h":"{}","prevPrice24h":"{}","volume24h":"{}","turnover24h":"{}","price24hPcnt":"0","usdIndexPrice":"{}"}}"#,
        topic.instrument, s.last.0, s.high, s.low, s.open, s.volume, s.turnover, s.last.0
    );
    let (name, at) = (&topic.name, s.at.millis());
    Frame::whole(format!(r#"{{"topic":"{name}","ts":{at},"type":"snapshot","cs":{},"data":{data}}}"#, s.update))
}

/// The fields of a linear ticker, in order. A delta carries those that changed.
pub fn linear_fields(s: &Summary, d: &Derivative) -> Vec<(&'static str, String)> {
    let value = d.open_interest.checked_mul(d.mark).unwrap_or(Decimal::ZERO);
    vec![
        ("tickDirection", String::from("ZeroPlusTick")),
        ("price24hPcnt", String::from("0")),
        ("lastPrice", s.last.0.to_string()),
        ("prevPrice24h", s.open.to_string()),
        ("highPrice24h", s.high.to_string()),
        ("lowPrice24h", s.low.to_string()),
        ("prevPrice1h", s.open.to_string()),
        ("markPrice", d.mark.to_string()),
        ("indexPrice", d.index.to_string()),
        ("openInterest", d.open_interest.to_string()),
        ("openInterestValue", value.to_string()),
        ("turnover24h", s.turnover.to_string()),
        ("volume24h", s.volume.to_string()),
        ("fundingIntervalHour", String::from("8")),
        ("fundingCap", String::from("0.005")),
        ("nextFundingTime", d.next_funding.millis().to_string()),
        ("fundingRate", d.funding_rate.to_string()),
        ("bid1Price", s.bid.0.to_string()),
        ("bid1Size", s.bid.1.to_string()),
        ("ask1Price", s.ask.0.to_string()),
        ("ask1Size", s.ask.1.to_string()),
    ]
}

/// `tickers` of linear from fields.
pub fn linear_ticker(
    topic: &Topic,
    kind: &str,
    fields: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    sequence: u64,
    at: Timestamp,
) -> Frame {
    let mut data = format!(r#"{{"symbol":"{}""#, topic.instrument);
    for (name, value) in fields {
        data.push_str(&format!(r#",{}:{}"#, quoted(name.as_ref()), quoted(value.as_ref())));
    }
    data.push('}');
    let (name, ts) = (&topic.name, at.millis());
    Frame::whole(format!(r#"{{"topic":"{name}","type":"{kind}","data":{data},"cs":{sequence},"ts":{ts}}}"#))
}

/// The answer of `/v5/market/instruments-info`.
pub fn instruments_info(endpoint: Endpoint, instruments: &[&Instrument], now: Timestamp) -> String {
    let list: Vec<String> = instruments
        .iter()
        .map(|i| {
            let (name, base, quote) = (&i.name, &i.base, &i.quote);
            let (tick, lot) = (i.tick, i.lot);
            match endpoint {
                Endpoint::BybitSpot => format!(
                    r#"{{"symbol":"{name}","baseCoin":"{base}","quoteCoin":"{quote}","innovation":"0","status":"Trading","marginTrading":"none","lotSizeFilter":{{"basePrecision":"{lot}","quotePrecision":"0.0000001","minOrderQty":"{lot}","maxOrderQty":"230","minOrderAmt":"5","maxOrderAmt":"8000000"}},"priceFilter":{{"tickSize":"{tick}"}}}}"#
                ),
                _ => format!(
                    r#"{{"symbol":"{name}","contractType":"LinearPerpetual","status":"Trading","baseCoin":"{base}","quoteCoin":"{quote}","launchTime":"1584230400000","deliveryTime":"0","deliveryFeeRate":"","priceScale":"{}","priceFilter":{{"minPrice":"{tick}","maxPrice":"1999999.80","tickSize":"{tick}"}},"lotSizeFilter":{{"maxOrderQty":"1500","minOrderQty":"{lot}","qtyStep":"{lot}"}},"unifiedMarginTrade":true,"fundingInterval":480,"settleCoin":"{quote}"}}"#,
                    tick.scale()
                ),
            }
        })
        .collect();
    let category = if endpoint == Endpoint::BybitSpot { "spot" } else { "linear" };
    let cursor = if endpoint == Endpoint::BybitSpot { "" } else { r#","nextPageCursor":"""# };
    result(&format!(r#"{{"category":"{category}","list":[{}]{cursor}}}"#, list.join(",")), now)
}

/// An answer over HTTP around its result.
pub fn result(result: &str, now: Timestamp) -> String {
    format!(r#"{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}},"time":{}}}"#, now.millis())
}

/// Bybit's refusal of a request over HTTP.
pub fn error(message: &str, now: Timestamp) -> String {
    format!(
        r#"{{"retCode":10001,"retMsg":{},"result":{{}},"retExtInfo":{{}},"time":{}}}"#,
        quoted(message),
        now.millis()
    )
}
