//! WebSocket v2: objects, numbers bare with all their digits.

use std::fmt::Write as _;

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{checksum, is_v1_request, offers, v1_receive};
use crate::emulate::connection::{Connection, Listing, Step};
use crate::emulate::{
    BookStep, CandleState, Channel, Endpoint, Entry, Frame, Instrument, LevelBook, Summary, Topic, TradePrint, quoted,
};

/// First message of a v2 connection.
pub(in crate::emulate) fn v2_status(id: u64) -> Step {
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
    Some(Topic { endpoint: Endpoint::KrakenV2, channel, instrument, name })
}

pub(in crate::emulate) fn v2_receive(
    c: &mut Connection,
    text: &str,
    now: Timestamp,
    listing: &dyn Listing,
    steps: &mut Vec<Step>,
) {
    let say = |text: String| Step::Say(Frame::whole(text));
    let Ok(request) = serde_json::from_str::<V2Request<'_>>(text) else {
        // A recording made through v1 is replayed at this endpoint too, and a client words its requests as its data come.
        if is_v1_request(text) {
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
        if matches!(topic.channel, Channel::Book { depth } if !offers(depth)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(micros(Timestamp::from_micros(1_618_678_142_557_005)), "2021-04-17T16:49:02.557005Z");
        assert_eq!(micros(Timestamp::from_millis(1_618_678_142_000)), "2021-04-17T16:49:02.000000Z");
    }
}
