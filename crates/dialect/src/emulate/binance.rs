//! Binance, spot and USD-M futures: streams by address or by `SUBSCRIBE`, diff depth with `U`/`u`/`pu`, REST depth.
//!
//! Sources: "Web Socket Streams for Binance" and "USDⓈ-M Futures: Websocket Market Streams" of Binance's API
//! documentation; recordings of 2021 and 2024. A stream name that Binance does not know is accepted and stays silent:
//! so it is here.

use std::fmt::Write as _;

use openmesh_market::event::Side;
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::connection::{Connection, Listing, Step};
use super::data::{BookStep, CandleState, Derivative, Instrument, Summary, TradePrint};
use super::levels::{Entry, LevelBook};
use super::{Channel, Endpoint, Frame, Topic, quoted};

/// Reads a stream name (`btcusdt@depth@100ms`); `None` where it is none that is served here.
pub fn topic(endpoint: Endpoint, name: &str) -> Option<Topic> {
    let (instrument, stream) = name.split_once('@')?;
    let channel = match stream {
        "trade" => Channel::Trade,
        "aggTrade" => Channel::AggregateTrade,
        "bookTicker" => Channel::BestQuote,
        "ticker" => Channel::Ticker,
        "markPrice" | "markPrice@1s" => Channel::MarkPrice,
        "forceOrder" => Channel::Liquidation,
        "depth" | "depth@0ms" | "depth@100ms" | "depth@250ms" | "depth@500ms" | "depth@1000ms" => {
            Channel::Book { depth: 0 }
        }
        _ => Channel::Candle { seconds: interval_seconds(stream.strip_prefix("kline_")?)? },
    };
    if instrument.is_empty() || !instrument.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    Some(Topic { endpoint, channel, instrument: instrument.to_ascii_uppercase(), name: name.to_owned() })
}

/// Seconds of an interval in Binance's words.
fn interval_seconds(text: &str) -> Option<u32> {
    Some(match text {
        "1s" => 1,
        "1m" => 60,
        "3m" => 180,
        "5m" => 300,
        "15m" => 900,
        "30m" => 1_800,
        "1h" => 3_600,
        "4h" => 14_400,
        "1d" => 86_400,
        _ => return None,
    })
}

/// An interval in Binance's words.
fn interval_name(seconds: u32) -> String {
    match seconds {
        s if s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s.is_multiple_of(3_600) => format!("{}h", s / 3_600),
        s if s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// Streams in the address: `/ws/<name>/<name>` (bare messages) or `/stream?streams=<name>/<name>` (wrapped ones).
pub(super) fn opened(c: &mut Connection, path: &str, query: &str, listing: &dyn Listing, steps: &mut Vec<Step>) {
    c.combined = path.contains("/stream");
    let names = if c.combined {
        query.split('&').find_map(|pair| pair.strip_prefix("streams=")).unwrap_or("")
    } else {
        path.split_once("/ws/").map_or("", |(_, names)| names)
    };
    for name in names.split('/').filter(|n| !n.is_empty()) {
        subscribe(c, name, listing, steps);
    }
}

fn subscribe(c: &mut Connection, name: &str, listing: &dyn Listing, steps: &mut Vec<Step>) {
    if let Some(topic) = topic(c.endpoint, name).filter(|t| listing.knows(t)) {
        c.begin(topic, steps);
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: String,
    #[serde(default)]
    params: Vec<String>,
}

pub(super) fn receive(c: &mut Connection, text: &str, listing: &dyn Listing, steps: &mut Vec<Step>) {
    let say = |text: String| Step::Say(Frame::whole(text));
    let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
        steps.push(say(r#"{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}}"#.into()));
        return;
    };
    let id = request.id.map_or("null", RawValue::get);
    match request.method.as_str() {
        "SUBSCRIBE" => {
            // The answer stands before the first message of a new stream.
            let at = steps.len();
            for name in &request.params {
                subscribe(c, name, listing, steps);
            }
            steps.insert(at, say(format!(r#"{{"result":null,"id":{id}}}"#)));
        }
        "UNSUBSCRIBE" => {
            for name in &request.params {
                if let Some(topic) = topic(c.endpoint, name) {
                    c.end(name, &topic.instrument, steps);
                }
            }
            steps.push(say(format!(r#"{{"result":null,"id":{id}}}"#)));
        }
        "LIST_SUBSCRIPTIONS" => {
            let names: Vec<String> = c.topics.values().map(|t| quoted(&t.name)).collect();
            steps.push(say(format!(r#"{{"result":[{}],"id":{id}}}"#, names.join(","))));
        }
        other => {
            let message = format!(
                "Invalid request: unknown variant {other}, expected one of SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, \
                 SET_PROPERTY, GET_PROPERTY"
            );
            steps.push(say(format!(r#"{{"error":{{"code":2,"msg":{}}},"id":{id}}}"#, quoted(&message))));
        }
    }
}

/// The bare message inside a combined one.
pub(super) fn unwrapped(text: String) -> String {
    match text.strip_prefix(r#"{"stream":"#).and_then(|t| t.split_once(r#","data":"#)) {
        Some((_, data)) => data.strip_suffix('}').unwrap_or(data).to_owned(),
        None => text,
    }
}

fn wrapped(stream: &str, data: &str) -> Frame {
    Frame::whole(format!(r#"{{"stream":{},"data":{data}}}"#, quoted(stream)))
}

fn pairs<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut text = String::from("[");
    for (n, entry) in entries.enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(text, r#"{comma}["{}","{}"]"#, entry.price, entry.size);
    }
    text.push(']');
    text
}

/// `depthUpdate`. Spot numbers chain as `U == previous u + 1`, futures say `pu`.
pub fn depth(topic: &Topic, step: &BookStep<'_>) -> Frame {
    let (at, symbol) = (step.at.millis(), &topic.instrument);
    let (bids, asks) = (pairs(step.of(Side::Buy)), pairs(step.of(Side::Sell)));
    let (first, last) = (step.first, step.last);
    let data = match topic.endpoint {
        Endpoint::BinanceUsdm => format!(
            r#"{{"e":"depthUpdate","E":{at},"T":{},"s":"{symbol}","U":{first},"u":{last},"pu":{},"b":{bids},"a":{asks}}}"#,
            step.matched.millis(),
            step.previous
        ),
        _ => format!(r#"{{"e":"depthUpdate","E":{at},"s":"{symbol}","U":{first},"u":{last},"b":{bids},"a":{asks}}}"#),
    };
    wrapped(&topic.name, &data)
}

/// `trade`.
pub fn trade(topic: &Topic, trade: &TradePrint) -> Frame {
    let (at, symbol, id) = (trade.at.millis(), &topic.instrument, trade.id);
    let (price, size, maker_buys) = (trade.price, trade.size, trade.side == Side::Sell);
    let data = match topic.endpoint {
        Endpoint::BinanceUsdm => format!(
            r#"{{"e":"trade","E":{at},"T":{at},"s":"{symbol}","t":{id},"p":"{price}","q":"{size}","X":"MARKET","m":{maker_buys}}}"#
        ),
        _ => format!(
            r#"{{"e":"trade","E":{at},"s":"{symbol}","t":{id},"p":"{price}","q":"{size}","T":{at},"m":{maker_buys},"M":true}}"#
        ),
    };
    wrapped(&topic.name, &data)
}

/// `aggTrade` of one fill.
pub fn aggregate_trade(topic: &Topic, trade: &TradePrint) -> Frame {
    let (at, symbol, id, aggregate) = (trade.at.millis(), &topic.instrument, trade.id, trade.aggregate);
    let (price, size, maker_buys) = (trade.price, trade.size, trade.side == Side::Sell);
    let data = match topic.endpoint {
        Endpoint::BinanceUsdm => format!(
            r#"{{"e":"aggTrade","E":{at},"a":{aggregate},"s":"{symbol}","p":"{price}","q":"{size}","f":{id},"l":{id},"T":{at},"m":{maker_buys}}}"#
        ),
        _ => format!(
            r#"{{"e":"aggTrade","E":{at},"s":"{symbol}","a":{aggregate},"p":"{price}","q":"{size}","f":{id},"l":{id},"T":{at},"m":{maker_buys},"M":true}}"#
        ),
    };
    wrapped(&topic.name, &data)
}

/// `bookTicker`. On spot it has neither type nor time.
pub fn best_quote(topic: &Topic, s: &Summary) -> Frame {
    let quotes = format!(r#""b":"{}","B":"{}","a":"{}","A":"{}""#, s.bid.0, s.bid.1, s.ask.0, s.ask.1);
    let (symbol, update, at) = (&topic.instrument, s.update, s.at.millis());
    let data = match topic.endpoint {
        Endpoint::BinanceUsdm => {
            format!(r#"{{"e":"bookTicker","u":{update},"s":"{symbol}",{quotes},"T":{at},"E":{at}}}"#)
        }
        _ => format!(r#"{{"u":{update},"s":"{symbol}",{quotes}}}"#),
    };
    wrapped(&topic.name, &data)
}

/// `24hrTicker`.
pub fn ticker(topic: &Topic, s: &Summary) -> Frame {
    let change = s.last.0.checked_sub(s.open).unwrap_or(Decimal::ZERO);
    let at = s.at.millis();
    let quotes = match topic.endpoint {
        // Futures tickers carry no quotes.
        Endpoint::BinanceUsdm => String::new(),
        _ => format!(r#""b":"{}","B":"{}","a":"{}","A":"{}","#, s.bid.0, s.bid.1, s.ask.0, s.ask.1),
    };
    let data = format!(
        r#"{{"e":"24hrTicker","E":{at},"s":"{}","p":"{change}","P":"0.000","w":"{}","c":"{}","Q":"{}",{quotes}"o":"{}","h":"{}","l":"{}","v":"{}","q":"{}","O":{},"C":{at},"F":0,"L":{},"n":{}}}"#,
        topic.instrument,
        s.last.0,
        s.last.0,
        s.last.1,
        s.open,
        s.high,
        s.low,
        s.volume,
        s.turnover,
        at - 86_400_000,
        s.trades,
        s.trades
    );
    wrapped(&topic.name, &data)
}

/// `kline`.
pub fn candle(topic: &Topic, c: &CandleState) -> Frame {
    let start = c.start.millis();
    let data = format!(
        r#"{{"e":"kline","E":{},"s":"{symbol}","k":{{"t":{start},"T":{},"s":"{symbol}","i":"{}","f":{},"L":{},"o":"{}","c":"{}","h":"{}","l":"{}","v":"{}","n":{},"x":{},"q":"{}","V":"{}","Q":"{}","B":"0"}}}}"#,
        c.at.millis(),
        start + i64::from(c.seconds) * 1_000 - 1,
        interval_name(c.seconds),
        c.first_trade,
        c.last_trade,
        c.open,
        c.close,
        c.high,
        c.low,
        c.volume,
        c.trades,
        c.closed,
        c.turnover,
        c.taker_volume,
        c.taker_turnover,
        symbol = topic.instrument,
    );
    wrapped(&topic.name, &data)
}

/// `markPriceUpdate`: mark and index price, funding rate and its next time.
pub fn mark_price(topic: &Topic, d: &Derivative) -> Frame {
    let data = format!(
        r#"{{"e":"markPriceUpdate","E":{},"s":"{}","p":"{}","P":"{}","i":"{}","r":"{}","T":{}}}"#,
        d.at.millis(),
        topic.instrument,
        places(d.mark, 8),
        places(d.mark, 8),
        places(d.index, 8),
        places(d.funding_rate, 8),
        d.next_funding.millis()
    );
    wrapped(&topic.name, &data)
}

/// The same value with exactly so many places, where none is lost.
fn places(value: Decimal, scale: u8) -> Decimal {
    value.mantissa_at(scale).map_or(value, |mantissa| Decimal::new(mantissa, scale))
}

/// The answer of `/api/v3/depth` or `/fapi/v1/depth`: the top `limit` levels after update `last`.
pub fn depth_snapshot(endpoint: Endpoint, book: &LevelBook, last: u64, limit: usize, now: Timestamp) -> String {
    let bids = pairs(book.levels(Side::Buy).take(limit));
    let asks = pairs(book.levels(Side::Sell).take(limit));
    let at = now.millis();
    match endpoint {
        Endpoint::BinanceUsdm => {
            format!(r#"{{"lastUpdateId":{last},"E":{at},"T":{at},"bids":{bids},"asks":{asks}}}"#)
        }
        _ => format!(r#"{{"lastUpdateId":{last},"bids":{bids},"asks":{asks}}}"#),
    }
}

/// The answer of `exchangeInfo`.
pub fn exchange_info(endpoint: Endpoint, instruments: &[&Instrument], now: Timestamp) -> String {
    let symbols: Vec<String> = instruments.iter().map(|i| symbol_info(endpoint, i)).collect();
    let futures = if endpoint == Endpoint::BinanceUsdm { r#""futuresType":"U_MARGINED","# } else { "" };
    let assets = if endpoint == Endpoint::BinanceUsdm { r#""assets":[],"# } else { "" };
    format!(
        r#"{{"timezone":"UTC","serverTime":{},{futures}"rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}}],"exchangeFilters":[],{assets}"symbols":[{}]}}"#,
        now.millis(),
        symbols.join(",")
    )
}

fn symbol_info(endpoint: Endpoint, i: &Instrument) -> String {
    let (name, base, quote, tick, lot) = (&i.name, &i.base, &i.quote, i.tick, i.lot);
    let filters = format!(
        r#""filters":[{{"filterType":"PRICE_FILTER","minPrice":"{tick}","maxPrice":"1000000","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","minQty":"{lot}","maxQty":"9000","stepSize":"{lot}"}}]"#
    );
    match endpoint {
        Endpoint::BinanceUsdm => format!(
            r#"{{"symbol":"{name}","pair":"{name}","contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,"status":"TRADING","baseAsset":"{base}","quoteAsset":"{quote}","marginAsset":"{quote}","pricePrecision":{},"quantityPrecision":{},"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"COIN","underlyingSubType":[],{filters},"orderTypes":["LIMIT","MARKET"],"timeInForce":["GTC","IOC","FOK","GTX"]}}"#,
            tick.scale(),
            lot.scale()
        ),
        _ => format!(
            r#"{{"symbol":"{name}","status":"TRADING","baseAsset":"{base}","baseAssetPrecision":8,"quoteAsset":"{quote}","quotePrecision":8,"quoteAssetPrecision":8,"baseCommissionPrecision":8,"quoteCommissionPrecision":8,"orderTypes":["LIMIT","LIMIT_MAKER","MARKET"],"icebergAllowed":true,"ocoAllowed":true,"quoteOrderQtyMarketAllowed":true,"isSpotTradingAllowed":true,"isMarginTradingAllowed":false,{filters},"permissions":["SPOT"]}}"#
        ),
    }
}

/// The answer of `/fapi/v1/openInterest`.
pub fn open_interest(instrument: &str, d: &Derivative) -> String {
    format!(r#"{{"symbol":{},"openInterest":"{}","time":{}}}"#, quoted(instrument), d.open_interest, d.at.millis())
}

/// The answer of `/fapi/v1/premiumIndex` for one instrument.
pub fn premium_index(instrument: &str, d: &Derivative) -> String {
    format!(
        r#"{{"symbol":{},"markPrice":"{}","indexPrice":"{}","estimatedSettlePrice":"{}","lastFundingRate":"{}","interestRate":"0.00010000","nextFundingTime":{},"time":{}}}"#,
        quoted(instrument),
        places(d.mark, 8),
        places(d.index, 8),
        places(d.index, 8),
        places(d.funding_rate, 8),
        d.next_funding.millis(),
        d.at.millis()
    )
}

/// Binance's refusal of a request over HTTP: code and text.
pub fn error(code: i32, message: &str) -> String {
    format!(r#"{{"code":{code},"msg":{}}}"#, quoted(message))
}
