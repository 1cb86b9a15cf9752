//! Bybit's messages, borrowed from the frame, and its names of instruments.

use openmesh_market::event::{Candle, Exchange, Level, Liquidation, Side, Trade};
use openmesh_primitives::{Contract, Decimal, Symbol, Timestamp};
use serde::Deserialize;

use crate::client::instruments::{expiry_of, expiry_text};
use crate::client::json::{Num, levels, millis};
use crate::client::names::{Symbols, pair};
use crate::client::unreadable::Unreadable;

/// A market of the venue: each has an address of its own, and the same name means another instrument in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Category {
    /// Contracts settled in USDT or USDC.
    Linear,
    /// Spot.
    Spot,
}

impl Category {
    pub(super) const ALL: [Category; 2] = [Category::Linear, Category::Spot];

    /// The venue's word, in addresses and answers.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Category::Linear => "linear",
            Category::Spot => "spot",
        }
    }

    /// From the last part of an address: `wss://stream.bybit.com/v5/public/linear`.
    pub(super) fn of_url(url: &str) -> Option<Category> {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let last = path.trim_end_matches('/').rsplit('/').next()?;
        Category::ALL.into_iter().find(|c| c.word() == last)
    }
}

/// The beginning of every message, where its topic does not stand first.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    topic: Option<&'a str>,
    #[serde(borrow)]
    op: Option<&'a str>,
    success: Option<bool>,
}

/// The subject of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// Data of this topic.
    Topic(&'a str),
    /// The answer to a request of ours, and whether it was granted.
    Answer(bool),
}

/// Finds out what a frame is about, without reading it where its first key says so.
pub(super) fn about(text: &str) -> Result<About<'_>, Unreadable> {
    if let Some(rest) = text.strip_prefix(r#"{"topic":""#)
        && let Some((topic, _)) = rest.split_once('"')
    {
        return Ok(About::Topic(topic));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    match (envelope.topic, envelope.success, envelope.op) {
        (Some(topic), ..) => Ok(About::Topic(topic)),
        (None, Some(granted), _) => Ok(About::Answer(granted)),
        (None, None, Some(_)) => Ok(About::Answer(true)),
        (None, None, None) => Err(Unreadable("neither a topic nor an answer".into())),
    }
}

/// A message of a topic.
#[derive(Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
pub(super) struct Message<'a, D> {
    /// `snapshot` or `delta`.
    #[serde(rename = "type", default)]
    pub kind: &'a str,
    /// Time at which the venue made it, in milliseconds.
    ts: i64,
    /// Content.
    pub data: D,
}

impl<D> Message<'_, D> {
    /// Returns when the venue made it.
    ///
    /// # Errors
    /// Where the number is no time in milliseconds.
    pub(super) fn time(&self) -> Result<Timestamp, Unreadable> {
        millis(self.ts)
    }
}

/// Topics that are known and no event of ours: the insurance fund, limits of prices, ranks of who is deleveraged, the
/// venue's own state, and leveraged tokens, whose net asset value is no price of a market.
pub(super) fn is_other(topic: &str) -> bool {
    const OTHERS: [&str; 9] =
        ["insurance", "priceLimit", "price_limit", "adlAlert", "adl", "system", "kline_lt", "tickers_lt", "lt"];
    OTHERS.contains(&topic)
}

/// `orderbook.<depth>.<symbol>`.
#[derive(Deserialize)]
pub(super) struct Book {
    #[serde(rename = "b", default, deserialize_with = "levels")]
    pub bids: Vec<Level>,
    #[serde(rename = "a", default, deserialize_with = "levels")]
    pub asks: Vec<Level>,
    #[serde(rename = "u")]
    pub update: u64,
}

/// `publicTrade.<symbol>`.
#[derive(Deserialize)]
pub(super) struct RawTrade<'a> {
    #[serde(rename = "T")]
    time: i64,
    #[serde(rename = "s")]
    pub instrument: &'a str,
    #[serde(rename = "S")]
    side: &'a str,
    #[serde(rename = "v", borrow)]
    size: Num<'a>,
    #[serde(rename = "p", borrow)]
    price: Num<'a>,
    #[serde(rename = "i")]
    id: &'a str,
}

fn side(text: &str) -> Result<Side, Unreadable> {
    match text {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        other => Err(Unreadable(format!("{other:?} is no side"))),
    }
}

impl RawTrade<'_> {
    /// `S` is "the side of taker" (v5 documents, public trade).
    pub(super) fn read(&self) -> Result<(Timestamp, Trade), Unreadable> {
        let trade = Trade {
            side: side(self.side)?,
            price: self.price.decimal()?,
            size: self.size.decimal()?,
            id: Some(self.id.to_owned()),
            snapshot: false,
        };
        Ok((millis(self.time)?, trade))
    }
}

/// `tickers.<symbol>`: a snapshot carries everything, a delta what has changed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTicker<'a> {
    #[serde(borrow)]
    pub last_price: Option<Num<'a>>,
    #[serde(borrow)]
    pub bid1_price: Option<Num<'a>>,
    #[serde(borrow)]
    pub bid1_size: Option<Num<'a>>,
    #[serde(borrow)]
    pub ask1_price: Option<Num<'a>>,
    #[serde(borrow)]
    pub ask1_size: Option<Num<'a>>,
    #[serde(borrow)]
    pub mark_price: Option<Num<'a>>,
    #[serde(borrow)]
    pub index_price: Option<Num<'a>>,
    #[serde(borrow)]
    pub open_interest: Option<Num<'a>>,
    #[serde(borrow)]
    pub funding_rate: Option<Num<'a>>,
    #[serde(borrow)]
    pub next_funding_time: Option<Num<'a>>,
}

/// `kline.<interval>.<symbol>`.
#[derive(Deserialize)]
pub(super) struct RawCandle<'a> {
    start: i64,
    end: i64,
    interval: &'a str,
    #[serde(borrow)]
    open: Num<'a>,
    #[serde(borrow)]
    close: Num<'a>,
    #[serde(borrow)]
    high: Num<'a>,
    #[serde(borrow)]
    low: Num<'a>,
    #[serde(borrow)]
    volume: Num<'a>,
    confirm: bool,
    timestamp: i64,
}

impl RawCandle<'_> {
    pub(super) fn read(&self) -> Result<(Timestamp, Candle), Unreadable> {
        let candle = Candle {
            start: millis(self.start)?,
            stop: Some(millis(self.end)?),
            interval: interval(self.interval),
            open: self.open.decimal()?,
            high: self.high.decimal()?,
            low: self.low.decimal()?,
            close: self.close.decimal()?,
            volume: self.volume.decimal()?,
            trades: None,
            closed: Some(self.confirm),
        };
        Ok((millis(self.timestamp)?, candle))
    }
}

/// The venue's word for a length (`1`, `60`, `D`) in the form that is the same for every venue.
fn interval(text: &str) -> String {
    match text.parse::<u32>() {
        Ok(minutes) if minutes >= 60 && minutes % 60 == 0 => format!("{}h", minutes / 60),
        Ok(minutes) => format!("{minutes}m"),
        Err(_) if text == "M" => "1M".to_owned(),
        Err(_) => format!("1{}", text.to_ascii_lowercase()),
    }
}

/// `allLiquidation.<symbol>`.
#[derive(Deserialize)]
pub(super) struct RawLiquidation<'a> {
    #[serde(rename = "T")]
    time: i64,
    #[serde(rename = "s")]
    pub instrument: &'a str,
    #[serde(rename = "S")]
    side: &'a str,
    #[serde(rename = "v", borrow)]
    size: Num<'a>,
    #[serde(rename = "p", borrow)]
    price: Num<'a>,
}

/// `liquidation.<symbol>`, which the venue has withdrawn but recordings hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OldLiquidation<'a> {
    updated_time: i64,
    pub symbol: &'a str,
    side: &'a str,
    #[serde(borrow)]
    size: Num<'a>,
    #[serde(borrow)]
    price: Num<'a>,
}

impl<'a> From<OldLiquidation<'a>> for RawLiquidation<'a> {
    fn from(old: OldLiquidation<'a>) -> RawLiquidation<'a> {
        RawLiquidation {
            time: old.updated_time,
            instrument: old.symbol,
            side: old.side,
            size: old.size,
            price: old.price,
        }
    }
}

impl RawLiquidation<'_> {
    /// The venue gives the side of the *position*: `Buy` says that a long position was liquidated (v5 documents, all
    /// liquidation), which is a forced sale.
    pub(super) fn read(&self) -> Result<(Timestamp, Liquidation), Unreadable> {
        let liquidation = Liquidation {
            side: match side(self.side)? {
                Side::Buy => Side::Sell,
                Side::Sell => Side::Buy,
            },
            price: self.price.decimal()?,
            size: self.size.decimal()?,
            id: None,
        };
        Ok((millis(self.time)?, liquidation))
    }
}

/// Our name of an instrument, by the form of its own: `BTCUSDT`, `BTCPERP` (settled in USDC), `BTCUSDT-25DEC26`,
/// `BTC-25DEC26` (settled in USDC); and, as recordings have them, the inverse `BTCUSD` and `BTCUSDZ26`.
pub(super) fn symbol_of(category: Category, name: &str) -> Option<Symbol> {
    match category {
        Category::Spot => pair(Exchange::Bybit, name).map(|(base, quote)| Symbol::spot(base, quote)),
        Category::Linear => {
            if let Some((head, date)) = name.split_once('-') {
                let (base, quote) = head.strip_suffix("USDT").map_or((head, "USDC"), |base| (base, "USDT"));
                return Some(Symbol::of(base, quote, Contract::Future { expiry: expiry_of(date)? }));
            }
            match name.strip_suffix("PERP") {
                Some(base) => Some(Symbol::perpetual(base, "USDC")),
                None => inverse_future(name)
                    .or_else(|| pair(Exchange::Bybit, name).map(|(base, quote)| Symbol::perpetual(base, quote))),
            }
        }
    }
}

/// `BTCUSDZ26`: the letter is the month (H, M, U, Z), and the day its last Friday.
fn inverse_future(name: &str) -> Option<Symbol> {
    let (head, year) = name.split_at_checked(name.len().checked_sub(2)?)?;
    let year: u32 = year.bytes().all(|b| b.is_ascii_digit()).then(|| year.parse().ok())??;
    let (pair, letter) = head.split_at_checked(head.len().checked_sub(1)?)?;
    let month = ["H", "M", "U", "Z"].iter().position(|l| *l == letter)? as u32 * 3 + 3;
    let base = pair.strip_suffix("USD").filter(|base| !base.is_empty())?;
    let days = if matches!(month, 6 | 9) { 30 } else { 31 };
    let midnight = |day: u32| Timestamp::parse_rfc3339(format!("20{year:02}-{month:02}-{day:02}T00:00:00Z").as_bytes());
    // 1970-01-01 was a Thursday.
    let is_friday = |day: &u32| midnight(*day).is_ok_and(|t| t.nanos() / 86_400_000_000_000 % 7 == 1);
    let day = (days - 6..=days).find(is_friday)?;
    Some(Symbol::of(base, "USD", Contract::Future { expiry: year * 10_000 + month * 100 + day }))
}

/// The venue's name of an instrument, by its form.
pub(super) fn name_of(symbol: &Symbol) -> Option<(Category, String)> {
    let Symbol { base, quote, contract } = symbol;
    match (contract, quote.as_str()) {
        (Contract::Spot, _) => Some((Category::Spot, format!("{base}{quote}"))),
        (Contract::Perpetual, "USDC") => Some((Category::Linear, format!("{base}PERP"))),
        (Contract::Perpetual, "USDT") => Some((Category::Linear, format!("{base}USDT"))),
        (Contract::Future { expiry }, "USDC") => Some((Category::Linear, format!("{base}-{}", expiry_text(*expiry)?))),
        (Contract::Future { expiry }, "USDT") => {
            Some((Category::Linear, format!("{base}USDT-{}", expiry_text(*expiry)?)))
        }
        _ => None,
    }
}

/// The answer of `/v5/market/instruments-info`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    ret_code: i64,
    #[serde(borrow, default)]
    ret_msg: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    result: Option<Page<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    category: Option<&'a str>,
    #[serde(borrow, default)]
    list: Vec<Row<'a>>,
    #[serde(borrow, default)]
    next_page_cursor: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    symbol: &'a str,
    base_coin: &'a str,
    quote_coin: &'a str,
    contract_type: Option<&'a str>,
    #[serde(borrow)]
    delivery_time: Option<Num<'a>>,
}

/// Reads a page of the venue's table of instruments; gives where it goes on, if it does.
pub(super) fn read_instruments(
    body: &[u8],
    mut insert: impl FnMut(Category, &str, Symbol),
) -> Result<Option<(Category, String)>, Unreadable> {
    let answer: Answer<'_> = serde_json::from_slice(body)?;
    if answer.ret_code != 0 {
        return Err(Unreadable(format!("refused with {}: {}", answer.ret_code, answer.ret_msg)));
    }
    let page = answer.result.ok_or_else(|| Unreadable("no result".into()))?;
    let category = Category::ALL.into_iter().find(|c| Some(c.word()) == page.category);
    let Some(category) = category else { return Ok(None) };
    for row in &page.list {
        if let Some(symbol) = row.symbol(category) {
            insert(category, row.symbol, symbol);
        }
    }
    let cursor = page.next_page_cursor;
    Ok((!cursor.is_empty()).then(|| (category, cursor.into_owned())))
}

impl Row<'_> {
    fn symbol(&self, category: Category) -> Option<Symbol> {
        let contract = match (category, self.contract_type) {
            (Category::Spot, _) => Contract::Spot,
            (Category::Linear, Some("LinearPerpetual")) => Contract::Perpetual,
            (Category::Linear, Some("LinearFutures")) => {
                let (year, month, day) = self.delivery_time?.millis().ok()?.date();
                let yymmdd = year.rem_euclid(100) * 10_000 + month * 100 + day;
                Contract::Future { expiry: u32::try_from(yymmdd).ok()? }
            }
            (Category::Linear, _) => return None,
        };
        Some(Symbol::of(self.base_coin, self.quote_coin, contract))
    }
}

/// The venue's two tables, one a market.
#[derive(Default)]
pub(super) struct Tables([Symbols; 2]);

impl Tables {
    pub(super) fn of(&self, category: Category) -> &Symbols {
        &self.0[category as usize]
    }

    pub(super) fn insert(&mut self, category: Category, name: &str, symbol: Symbol) {
        self.0[category as usize].insert(name, symbol);
    }
}

/// A field of a ticker: what the message carries replaces what was known; an empty text says "none".
pub(super) fn merge(known: &mut Option<Decimal>, carried: Option<Num<'_>>) -> Result<bool, Unreadable> {
    let Some(carried) = carried else { return Ok(false) };
    *known = carried.decimal_or_none()?;
    Ok(known.is_some())
}
