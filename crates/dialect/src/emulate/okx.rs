//! OKX v5 public streams: an event for each argument, books with `seqId`/`prevSeqId` and a signed CRC32 over the best 25
//! levels, bids and asks interleaved.
//!
//! Source: "WebSocket API", "Order book channel" and "Public data" of OKX's v5 documentation; recording of 2022, which is
//! older than `seqId` and `connId`. The word `ping` is answered with `pong`, both outside JSON.

use std::fmt::Write as _;

use openmesh_market::event::Side;
use openmesh_primitives::{Contract, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::connection::{Connection, Listing, Step};
use super::data::{CandleState, Derivative, Instrument, Summary, TradePrint};
use super::levels::{BookChange, Entry, LevelBook};
use super::{Channel, Endpoint, Frame, Topic, quoted};

/// Levels a side of `books`.
pub const BOOK_DEPTH: u16 = 400;

/// Levels a side of `books5`, which are sent whole each time.
pub const SHORT_BOOK_DEPTH: u16 = 5;

/// Levels a side that the checksum runs over.
const CHECKSUM_LEVELS: usize = 25;

/// The checksum of a book: `bid price:bid size:ask price:ask size:...`, where one side ends only the other goes on.
pub fn checksum(book: &LevelBook) -> i32 {
    let mut text = String::new();
    let mut bids = book.levels(Side::Buy).take(CHECKSUM_LEVELS);
    let mut asks = book.levels(Side::Sell).take(CHECKSUM_LEVELS);
    loop {
        let (bid, ask) = (bids.next(), asks.next());
        if bid.is_none() && ask.is_none() {
            break;
        }
        for entry in [bid, ask].into_iter().flatten() {
            let colon = if text.is_empty() { "" } else { ":" };
            let _ = write!(text, "{colon}{}:{}", entry.price, entry.size);
        }
    }
    crc32fast::hash(text.as_bytes()) as i32
}

/// Reads a channel's name. Candles are served at the business endpoint only.
pub fn topic(endpoint: Endpoint, channel: &str, instrument: &str) -> Option<Topic> {
    let kind = match channel {
        "trades" => Channel::Trade,
        "books" => Channel::Book { depth: BOOK_DEPTH },
        "books5" => Channel::Book { depth: SHORT_BOOK_DEPTH },
        "bbo-tbt" => Channel::BestQuote,
        "tickers" => Channel::Ticker,
        "mark-price" => Channel::MarkPrice,
        "index-tickers" => Channel::IndexPrice,
        "funding-rate" => Channel::Funding,
        "open-interest" => Channel::OpenInterest,
        _ => Channel::Candle { seconds: interval_seconds(channel.strip_prefix("candle")?)? },
    };
    let at_business = matches!(kind, Channel::Candle { .. });
    (at_business == (endpoint == Endpoint::OkxBusiness)).then(|| Topic {
        endpoint,
        channel: kind,
        instrument: instrument.to_owned(),
        name: channel.to_owned(),
    })
}

fn interval_seconds(text: &str) -> Option<u32> {
    Some(match text {
        "1s" => 1,
        "1m" => 60,
        "3m" => 180,
        "5m" => 300,
        "15m" => 900,
        "30m" => 1_800,
        "1H" => 3_600,
        "4H" => 14_400,
        "1D" | "1Dutc" => 86_400,
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Request<'a> {
    op: String,
    #[serde(borrow, default)]
    args: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Argument {
    channel: String,
    #[serde(default, rename = "instId")]
    instrument: String,
}

pub(super) fn receive(c: &mut Connection, text: &str, listing: &dyn Listing, steps: &mut Vec<Step>) {
    let say = |text: String| Step::Say(Frame::whole(text));
    if text == "ping" {
        steps.push(say(String::from("pong")));
        return;
    }
    let connection = format!("{:08x}", 0xa4d3_0000u64 + (c.id & 0xffff));
    let refuse = |code: u32, message: &str| {
        say(format!(r#"{{"event":"error","code":"{code}","msg":{},"connId":"{connection}"}}"#, quoted(message)))
    };
    let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
        steps.push(refuse(60_012, "Invalid request"));
        return;
    };
    for raw in request.args {
        let Ok(argument) = serde_json::from_str::<Argument>(raw.get()) else {
            steps.push(refuse(60_013, "Invalid args"));
            continue;
        };
        let known = topic(c.endpoint, &argument.channel, &argument.instrument).filter(|t| listing.knows(t));
        let Some(topic) = known else {
            let message = format!(
                "Wrong URL or channel:{},instId:{} doesn't exist. Please use the correct URL, channel and parameters \
                 referring to API document.",
                argument.channel, argument.instrument
            );
            steps.push(refuse(60_018, &message));
            continue;
        };
        let accept =
            |event: &str| say(format!(r#"{{"event":"{event}","arg":{},"connId":"{connection}"}}"#, arg(&topic)));
        match request.op.as_str() {
            "subscribe" => {
                steps.push(listing.acknowledgement(&topic).map_or_else(|| accept("subscribe"), say));
                c.begin(topic, steps);
            }
            "unsubscribe" => {
                steps.push(accept("unsubscribe"));
                c.end(&topic.name, &topic.instrument, steps);
            }
            other => steps.push(refuse(60_012, &format!("Invalid request: {{\"op\": \"{other}\"}}"))),
        }
    }
}

fn arg(topic: &Topic) -> String {
    format!(r#"{{"channel":"{}","instId":"{}"}}"#, topic.name, topic.instrument)
}

fn message(topic: &Topic, data: &str) -> Frame {
    Frame::whole(format!(r#"{{"arg":{},"data":[{data}]}}"#, arg(topic)))
}

fn levels<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let list: Vec<String> = entries
        .map(|e| match e.size.is_zero() {
            true => format!(r#"["{}","0","0","0"]"#, e.price),
            false => format!(r#"["{}","{}","0","{}"]"#, e.price, e.size, e.orders),
        })
        .collect();
    format!("[{}]", list.join(","))
}

/// The numbers of a book message; absent ones are left out, as in messages before 2023.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookNumbers {
    /// Time.
    pub at: Timestamp,
    /// `prevSeqId` (-1 in a snapshot) and `seqId`.
    pub sequence: Option<(i64, i64)>,
}

/// The book to the topic's depth.
pub fn book_snapshot(topic: &Topic, book: &LevelBook, numbers: BookNumbers) -> Frame {
    let (asks, bids) = (levels(book.levels(Side::Sell)), levels(book.levels(Side::Buy)));
    self::book(topic, "snapshot", &asks, &bids, book, numbers)
}

/// Changed levels; `after` is the book after them.
pub fn book_update(topic: &Topic, changes: &[BookChange], after: &LevelBook, numbers: BookNumbers) -> Frame {
    let of = |side: Side| levels(changes.iter().filter(move |c| c.side == side).map(|c| &c.entry));
    self::book(topic, "update", &of(Side::Sell), &of(Side::Buy), after, numbers)
}

fn book(topic: &Topic, action: &str, asks: &str, bids: &str, after: &LevelBook, numbers: BookNumbers) -> Frame {
    let sequence = match numbers.sequence {
        Some((previous, this)) => format!(r#","seqId":{this},"prevSeqId":{previous}"#),
        None => String::new(),
    };
    Frame::whole(format!(
        r#"{{"arg":{},"action":"{action}","data":[{{"asks":{asks},"bids":{bids},"ts":"{}","checksum":{}{sequence}}}]}}"#,
        arg(topic),
        numbers.at.millis(),
        checksum(after)
    ))
}

/// `books5` and `bbo-tbt`: the top levels, whole each time.
pub fn short_book(topic: &Topic, book: &LevelBook, at: Timestamp, sequence: u64) -> Frame {
    let depth = if topic.channel == Channel::BestQuote { 1 } else { usize::from(SHORT_BOOK_DEPTH) };
    let asks = levels(book.levels(Side::Sell).take(depth));
    let bids = levels(book.levels(Side::Buy).take(depth));
    let instrument = match topic.channel {
        Channel::BestQuote => String::new(),
        _ => format!(r#","instId":"{}""#, topic.instrument),
    };
    message(topic, &format!(r#"{{"asks":{asks},"bids":{bids}{instrument},"ts":"{}","seqId":{sequence}}}"#, at.millis()))
}

/// `trades`, one a message.
pub fn trade(topic: &Topic, t: &TradePrint, sequence: u64) -> Frame {
    let side = if t.side == Side::Buy { "buy" } else { "sell" };
    message(
        topic,
        &format!(
            r#"{{"instId":"{}","tradeId":"{}","px":"{}","sz":"{}","side":"{side}","ts":"{}","count":"1","seqId":{sequence}}}"#,
            topic.instrument,
            t.id,
            t.price,
            t.size,
            t.at.millis()
        ),
    )
}

/// The kind of an instrument, in OKX's word.
pub fn kind(instrument: &Instrument) -> &'static str {
    match instrument.symbol.contract {
        Contract::Spot => "SPOT",
        Contract::Perpetual => "SWAP",
        Contract::Future { .. } => "FUTURES",
        Contract::Option { .. } => "OPTION",
    }
}

/// `tickers`.
pub fn ticker(topic: &Topic, instrument: &Instrument, s: &Summary) -> Frame {
    message(
        topic,
        &format!(
            r#"{{"instType":"{}","instId":"{}","last":"{}","lastSz":"{}","askPx":"{}","askSz":"{}","bidPx":"{}","bidSz":"{}","open24h":"{}","high24h":"{}","low24h":"{}","sodUtc0":"{}","sodUtc8":"{}","volCcy24h":"{}","vol24h":"{}","ts":"{}"}}"#,
            kind(instrument),
            topic.instrument,
            s.last.0,
            s.last.1,
            s.ask.0,
            s.ask.1,
            s.bid.0,
            s.bid.1,
            s.open,
            s.high,
            s.low,
            s.open,
            s.open,
            s.turnover.normalized(),
            s.volume,
            s.at.millis()
        ),
    )
}

/// `candle*`.
pub fn candle(topic: &Topic, c: &CandleState) -> Frame {
    message(
        topic,
        &format!(
            r#"["{}","{}","{}","{}","{}","{}","{}","{}","{}"]"#,
            c.start.millis(),
            c.open,
            c.high,
            c.low,
            c.close,
            c.volume.normalized(),
            c.turnover.normalized(),
            c.turnover.normalized(),
            u8::from(c.closed)
        ),
    )
}

/// `mark-price`.
pub fn mark_price(topic: &Topic, d: &Derivative) -> Frame {
    let (name, at) = (&topic.instrument, d.at.millis());
    message(
        topic,
        &format!(r#"{{"instType":"SWAP","instId":"{name}","markPx":"{}","ts":"{at}"}}"#, d.mark.normalized()),
    )
}

/// `index-tickers`; its instrument is the pair without the contract.
pub fn index_price(topic: &Topic, d: &Derivative) -> Frame {
    let (name, at, index) = (&topic.instrument, d.at.millis(), d.index.normalized());
    message(
        topic,
        &format!(
            r#"{{"instId":"{name}","idxPx":"{index}","high24h":"{index}","sodUtc0":"{index}","open24h":"{index}","low24h":"{index}","sodUtc8":"{index}","ts":"{at}"}}"#
        ),
    )
}

/// `funding-rate`. `fundingTime` is when the current rate is paid.
pub fn funding(topic: &Topic, d: &Derivative) -> Frame {
    let next = d.next_funding.millis();
    message(
        topic,
        &format!(
            r#"{{"formulaType":"noRate","fundingRate":"{}","fundingTime":"{next}","impactValue":"","instId":"{}","instType":"SWAP","interestRate":"","maxFundingRate":"0.00375","method":"current_period","minFundingRate":"-0.00375","nextFundingRate":"","nextFundingTime":"{}","premium":"","settFundingRate":"","settState":"settled","ts":"{}"}}"#,
            d.funding_rate.normalized(),
            topic.instrument,
            next + 8 * 3_600_000,
            d.at.millis()
        ),
    )
}

/// `open-interest`.
pub fn open_interest(topic: &Topic, d: &Derivative) -> Frame {
    let value = d.open_interest.checked_mul(d.mark).unwrap_or_default().normalized();
    message(
        topic,
        &format!(
            r#"{{"instId":"{}","instType":"SWAP","oi":"{}","oiCcy":"{}","oiUsd":"{value}","ts":"{}"}}"#,
            topic.instrument,
            d.open_interest.normalized(),
            d.open_interest.normalized(),
            d.at.millis()
        ),
    )
}

/// The answer of `/api/v5/public/instruments`.
pub fn instruments(instruments: &[&Instrument]) -> String {
    let list: Vec<String> = instruments
        .iter()
        .map(|i| {
            let swap = i.symbol.contract != Contract::Spot;
            let pick = |yes: &str, no: &str| if swap { yes.to_owned() } else { no.to_owned() };
            format!(
                r#"{{"alias":"","baseCcy":"{}","category":"1","ctMult":"{}","ctType":"{}","ctVal":"{}","ctValCcy":"{}","expTime":"","instFamily":"{family}","instId":"{}","instType":"{}","lever":"10","listTime":"1548133413000","lotSz":"{lot}","maxLmtSz":"9999999999","maxMktSz":"1000000","minSz":"{lot}","optType":"","quoteCcy":"{}","settleCcy":"{}","state":"live","stk":"","tickSz":"{}","uly":"{family}"}}"#,
                pick("", &i.base),
                pick("1", ""),
                pick("linear", ""),
                pick("0.01", ""),
                pick(&i.base, ""),
                i.name,
                kind(i),
                pick("", &i.quote),
                pick(&i.quote, ""),
                i.tick.normalized(),
                family = pick(&format!("{}-{}", i.base, i.quote), ""),
                lot = i.lot.normalized(),
            )
        })
        .collect();
    result(&list.join(","))
}

/// An answer over HTTP around its rows.
pub fn result(rows: &str) -> String {
    format!(r#"{{"code":"0","data":[{rows}],"msg":""}}"#)
}

/// OKX's refusal of a request over HTTP.
pub fn error(code: u32, message: &str) -> String {
    format!(r#"{{"code":"{code}","data":[],"msg":{}}}"#, quoted(message))
}
