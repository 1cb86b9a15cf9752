//! Coinbase Advanced Trade: one channel a message, snapshots before the acknowledgement, one running `sequence_num`
//! a connection over everything that it is sent.
//!
//! Source: "Advanced Trade WebSocket Channels" of Coinbase's developer documentation; recording of 2026. The book's
//! channel is asked for as `level2` and answers as `l2_data`.

use std::fmt::Write as _;

use openmesh_market::event::Side;
use openmesh_primitives::Timestamp;
use serde::Deserialize;

use super::connection::{Connection, Listing, Step};
use super::data::{BookStep, CandleState, Instrument, Summary, TradePrint};
use super::levels::{Entry, LevelBook};
use super::{Channel, Endpoint, Frame, Topic, quoted};

/// Seconds of the only candle there is.
pub const CANDLE_SECONDS: u32 = 300;

/// Reads a channel's name.
pub fn topic(name: &str, product: &str) -> Option<Topic> {
    let channel = match name {
        "market_trades" => Channel::Trade,
        "level2" => Channel::Book { depth: 0 },
        "ticker" | "ticker_batch" => Channel::Ticker,
        "candles" => Channel::Candle { seconds: CANDLE_SECONDS },
        "heartbeats" => Channel::Heartbeat,
        _ => return None,
    };
    let instrument = if channel == Channel::Heartbeat { String::new() } else { product.to_owned() };
    Some(Topic { endpoint: Endpoint::Coinbase, channel, instrument, name: name.to_owned() })
}

#[derive(Deserialize)]
struct Request {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

pub(super) fn receive(c: &mut Connection, text: &str, now: Timestamp, listing: &dyn Listing, steps: &mut Vec<Step>) {
    let refuse =
        |message: &str| Step::Say(Frame::whole(format!(r#"{{"type":"error","message":{}}}"#, quoted(message))));
    let Ok(request) = serde_json::from_str::<Request>(text) else {
        steps.push(refuse("failed to parse message"));
        return;
    };
    let products = if request.channel == "heartbeats" { vec![String::new()] } else { request.product_ids };
    match request.kind.as_str() {
        "subscribe" => {
            for product in &products {
                match topic(&request.channel, product) {
                    Some(topic) if listing.knows(&topic) => {
                        c.begin(topic, steps);
                    }
                    Some(_) => {
                        steps.push(refuse(&format!("{product} is not a valid product")));
                        return;
                    }
                    None => {
                        steps.push(refuse(&format!("channel {} is not supported", request.channel)));
                        return;
                    }
                }
            }
            steps.push(Step::Say(subscriptions(c, now)));
        }
        "unsubscribe" => {
            for product in &products {
                c.end(&request.channel, product, steps);
            }
            steps.push(Step::Say(subscriptions(c, now)));
        }
        other => steps.push(refuse(&format!("unknown message type {other}"))),
    }
}

/// Everything that the connection is subscribed to now.
fn subscriptions(c: &Connection, now: Timestamp) -> Frame {
    let mut text = String::new();
    let mut name = "";
    for topic in c.topics.values() {
        let product = if topic.channel == Channel::Heartbeat { "heartbeats" } else { &topic.instrument };
        if topic.name == name {
            let _ = write!(text, ",{}", quoted(product));
        } else {
            let _ =
                write!(text, "{}{}:[{}", if name.is_empty() { "" } else { "]," }, quoted(&topic.name), quoted(product));
            name = &topic.name;
        }
    }
    if !name.is_empty() {
        text.push(']');
    }
    message("subscriptions", now, &format!(r#"{{"subscriptions":{{{text}}}}}"#))
}

/// RFC 3339 as Go writes it: as many digits of the second as are not zeros at the end.
fn time(at: Timestamp) -> String {
    let seconds = Timestamp(at.nanos().div_euclid(1_000_000_000) * 1_000_000_000).to_rfc3339();
    let fraction = format!(".{:09}", at.nanos().rem_euclid(1_000_000_000));
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{}{fraction}Z", seconds.trim_end_matches('Z'))
}

/// A message of a channel around its event.
fn message(channel: &str, at: Timestamp, event: &str) -> Frame {
    Frame::numbered(
        format!(r#"{{"channel":"{channel}","timestamp":"{}","sequence_num":"#, time(at)),
        format!(r#","events":[{event}]}}"#),
    )
}

/// The sign of life of each second.
pub fn heartbeat(now: Timestamp, counter: u64) -> Frame {
    let time = time(now);
    let go = time.trim_end_matches('Z').replacen('T', " ", 1);
    message(
        "heartbeats",
        now,
        &format!(r#"{{"current_time":"{go} +0000 UTC m=+{counter}.000000001","heartbeat_counter":{counter}}}"#),
    )
}

fn updates<'a>(side: &str, entries: impl Iterator<Item = &'a Entry>, into: &mut String) {
    for entry in entries {
        let comma = if into.is_empty() { "" } else { "," };
        let _ = write!(
            into,
            r#"{comma}{{"side":"{side}","event_time":"{}","price_level":"{}","new_quantity":"{}"}}"#,
            time(entry.at),
            entry.price,
            entry.size
        );
    }
}

/// The whole book, bids then asks, best first.
pub fn book_snapshot(product: &str, book: &LevelBook, at: Timestamp) -> Frame {
    let mut text = String::new();
    updates("bid", book.levels(Side::Buy), &mut text);
    updates("offer", book.levels(Side::Sell), &mut text);
    l2_event("snapshot", product, at, &text)
}

/// Changed levels.
pub fn book_update(product: &str, step: &BookStep<'_>) -> Frame {
    let mut text = String::new();
    updates("bid", step.of(Side::Buy), &mut text);
    updates("offer", step.of(Side::Sell), &mut text);
    l2_event("update", product, step.at, &text)
}

fn l2_event(kind: &str, product: &str, at: Timestamp, updates: &str) -> Frame {
    message("l2_data", at, &format!(r#"{{"type":"{kind}","product_id":"{product}","updates":[{updates}]}}"#))
}

/// Trades, newest first; `kind` is `snapshot` for those before the subscription, else `update`. A side is the maker's:
/// Coinbase says so of `market_trades`.
pub fn trades<'a>(kind: &str, product: &str, at: Timestamp, trades: impl Iterator<Item = &'a TradePrint>) -> Frame {
    let mut text = String::new();
    for trade in trades {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"product_id":"{product}","trade_id":"{}","price":"{}","size":"{}","time":"{}","side":"{}"}}"#,
            trade.id,
            trade.price,
            trade.size,
            time(trade.at),
            maker_side(trade.side)
        );
    }
    message("market_trades", at, &format!(r#"{{"type":"{kind}","trades":[{text}]}}"#))
}

/// The same from trades that are JSON objects already.
pub fn recorded_trades(at: Timestamp, objects: &[String]) -> Frame {
    message("market_trades", at, &format!(r#"{{"type":"snapshot","trades":[{}]}}"#, objects.join(",")))
}

fn maker_side(taker: Side) -> &'static str {
    match taker {
        Side::Buy => "SELL",
        Side::Sell => "BUY",
    }
}

/// `ticker`.
pub fn ticker(kind: &str, product: &str, s: &Summary) -> Frame {
    message(
        "ticker",
        s.at,
        &format!(
            r#"{{"type":"{kind}","tickers":[{{"type":"ticker","product_id":"{product}","price":"{}","volume_24_h":"{}","low_24_h":"{}","high_24_h":"{}","low_52_w":"{}","high_52_w":"{}","price_percent_chg_24_h":"0","best_bid":"{}","best_ask":"{}","best_bid_quantity":"{}","best_ask_quantity":"{}"}}]}}"#,
            s.last.0, s.volume, s.low, s.high, s.low, s.high, s.bid.0, s.ask.0, s.bid.1, s.ask.1
        ),
    )
}

/// Candles.
pub fn candles<'a>(kind: &str, product: &str, at: Timestamp, candles: impl Iterator<Item = &'a CandleState>) -> Frame {
    let mut text = String::new();
    for c in candles {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"start":"{}","high":"{}","low":"{}","open":"{}","close":"{}","volume":"{}","product_id":"{product}"}}"#,
            c.start.millis() / 1_000,
            c.high,
            c.low,
            c.open,
            c.close,
            c.volume
        );
    }
    message("candles", at, &format!(r#"{{"type":"{kind}","candles":[{text}]}}"#))
}

/// The answer of `/api/v3/brokerage/time`.
pub fn now(at: Timestamp) -> String {
    let (iso, millis) = (time(at), at.millis());
    format!(r#"{{"iso":"{iso}","epochSeconds":"{}","epochMillis":"{millis}"}}"#, millis.div_euclid(1_000))
}

/// The answer of `/api/v3/brokerage/market/products`.
pub fn products(instruments: &[(&Instrument, Option<Summary>)]) -> String {
    let list: Vec<String> = instruments.iter().map(|(i, s)| product(i, s.as_ref())).collect();
    format!(
        r#"{{"products":[{}],"num_products":{},"pagination":{{"prev_cursor":"","next_cursor":"","has_next":false,"has_prev":false}}}}"#,
        list.join(","),
        list.len()
    )
}

fn product(i: &Instrument, s: Option<&Summary>) -> String {
    let price = s.map(|s| s.last.0.to_string()).unwrap_or_default();
    let volume = s.map(|s| s.volume.to_string()).unwrap_or_default();
    format!(
        r#"{{"product_id":"{name}","price":"{price}","price_percentage_change_24h":"0","volume_24h":"{volume}","volume_percentage_change_24h":"0","base_increment":"{lot}","quote_increment":"{tick}","quote_min_size":"1","quote_max_size":"150000000","base_min_size":"{lot}","base_max_size":"3400","base_name":"{base}","quote_name":"{quote}","watched":false,"is_disabled":false,"new":false,"status":"online","cancel_only":false,"limit_only":false,"post_only":false,"trading_disabled":false,"auction_mode":false,"product_type":"SPOT","quote_currency_id":"{quote}","base_currency_id":"{base}","fcm_trading_session_details":null,"mid_market_price":"","alias":"","alias_to":[],"base_display_symbol":"{base}","quote_display_symbol":"{quote}","view_only":false,"price_increment":"{tick}","display_name":"{name}","product_venue":"CBE"}}"#,
        name = i.name,
        base = i.base,
        quote = i.quote,
        tick = i.tick.normalized(),
        lot = i.lot.normalized()
    )
}
