//! Reading WebSocket v1: `[channelID, payload, ..., channelName, pair]`, every decimal a string
//! (docs.kraken.com, "Spot WebSocket v1").

use std::fmt;

use openmesh_market::event::{Candle, Level, Side, Ticker, Trade};
use openmesh_primitives::{Decimal, Timestamp};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::client::json::{Num, Row, Text};
use crate::client::scan::Scan;
use crate::client::unreadable::Unreadable;

/// Elements of a message that are looked at: the longest, a book update of both sides, has five.
const ELEMENTS_MAX: usize = 8;

/// A message of a channel: what it is about is at its end.
pub(super) struct Message<'a> {
    pub channel: Text<'a>,
    pub pair: Text<'a>,
    elements: [Option<&'a RawValue>; ELEMENTS_MAX],
}

impl<'a> Message<'a> {
    pub(super) fn read(text: &'a str) -> Result<Message<'a>, Unreadable> {
        let Elements { list, count } = serde_json::from_str(text)?;
        let is_string = |at: &usize| list[*at].is_some_and(|raw| raw.get().starts_with('"'));
        // Recorders append numbers of their own; the venue's own last element is a string.
        let pair = (0..count).rev().find(is_string).filter(|at| *at >= 2 && is_string(&(at - 1)));
        let Some(pair) = pair else { return Err(Unreadable("an array without channel and pair at its end".into())) };
        let string = |at: usize| -> Result<Text<'a>, Unreadable> {
            Ok(serde_json::from_str(list[at].map_or("", RawValue::get))?)
        };
        let mut elements = [None; ELEMENTS_MAX];
        // The channel's number stands first; `null` stands where a side has not changed.
        let payload = list[1..pair - 1].iter().flatten().filter(|raw| raw.get() != "null");
        for (to, raw) in elements.iter_mut().zip(payload) {
            *to = Some(*raw);
        }
        Ok(Message { channel: string(pair - 1)?, pair: string(pair)?, elements })
    }

    fn payload(&self) -> Result<&'a str, Unreadable> {
        self.elements[0].map(RawValue::get).ok_or_else(|| Unreadable("a message without payload".into()))
    }

    pub(super) fn book(&self) -> Result<Book, Unreadable> {
        let mut book = Book::default();
        for raw in self.elements.iter().flatten() {
            let part: Part<'a> = serde_json::from_str(raw.get())?;
            book.snapshot |= part.bs.is_some() || part.r#as.is_some();
            for (levels, sides) in [(&mut book.bids, [part.bs, part.b]), (&mut book.asks, [part.r#as, part.a])] {
                for Levels { list, latest } in sides.into_iter().flatten() {
                    book.latest = book.latest.max(latest);
                    if levels.is_empty() { *levels = list } else { levels.extend(list) }
                }
            }
            if let Some(checksum) = part.c {
                book.checksum = Some(u32::try_from(checksum.u64()?).map_err(|_| Unreadable("no CRC32".to_owned()))?);
            }
        }
        Ok(book)
    }

    pub(super) fn trades(&self) -> Result<Vec<(Timestamp, Trade)>, Unreadable> {
        let rows: Vec<Row<'a, 4>> = serde_json::from_str(self.payload()?)?;
        rows.iter()
            .map(|Row([price, size, time, side])| {
                let (price, size) = (price.decimal()?, size.decimal()?);
                Ok((time.seconds()?, Trade { side: side_of(side.text())?, price, size, id: None, snapshot: false }))
            })
            .collect()
    }

    pub(super) fn ticker(&self) -> Result<Ticker, Unreadable> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(borrow)]
            a: Row<'a, 3>,
            #[serde(borrow)]
            b: Row<'a, 3>,
            #[serde(borrow)]
            c: Row<'a, 1>,
        }
        let Raw { a: Row([ask, _, ask_size]), b: Row([bid, _, bid_size]), c: Row([last]) } =
            serde_json::from_str(self.payload()?)?;
        let (bid, bid_size) = quote(bid.decimal()?, bid_size.decimal()?);
        let (ask, ask_size) = quote(ask.decimal()?, ask_size.decimal()?);
        Ok(Ticker { bid, bid_size, ask, ask_size, last: Some(last.decimal()?) })
    }

    pub(super) fn spread(&self) -> Result<(Option<Timestamp>, Ticker), Unreadable> {
        let Row([bid, ask, time, bid_size, ask_size]) = serde_json::from_str(self.payload()?)?;
        let (bid, bid_size) = quote(bid.decimal()?, bid_size.decimal()?);
        let (ask, ask_size) = quote(ask.decimal()?, ask_size.decimal()?);
        // An empty book has the time 0.
        let time = Some(time.seconds()?).filter(|t| t.nanos() > 0);
        Ok((time, Ticker { bid, bid_size, ask, ask_size, last: None }))
    }

    /// `minutes` is the interval in the channel's name.
    pub(super) fn candle(&self, minutes: u32) -> Result<(Timestamp, Candle), Unreadable> {
        let Row([time, end, open, high, low, close, _vwap, volume, trades]) = serde_json::from_str(self.payload()?)?;
        let stop = end.seconds()?;
        let candle = Candle {
            start: Timestamp(stop.nanos().saturating_sub(nanos(minutes))),
            stop: Some(stop),
            interval: interval(minutes),
            open: open.decimal()?,
            high: high.decimal()?,
            low: low.decimal()?,
            close: close.decimal()?,
            volume: volume.decimal()?,
            trades: Some(trades.u64()?),
            closed: None,
        };
        Ok((time.seconds()?, candle))
    }
}

/// The changes of a book message, or the whole book.
#[derive(Default)]
pub(super) struct Book {
    pub snapshot: bool,
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
    /// The latest of the levels' times.
    pub latest: Option<Timestamp>,
    pub checksum: Option<u32>,
}

/// A book message as Kraken writes it, with the depth in its channel's name and the pair; `None` for any other message.
pub(super) fn book_as_written(text: &[u8]) -> Option<(Book, u32, &str)> {
    let mut scan = Scan::new(text);
    scan.take(b'[')?;
    scan.whole()?;
    scan.take(b',')?;
    let mut book = Book::default();
    while scan.next_is(b'{') {
        loop {
            let key = scan.bytes()?;
            scan.take(b':')?;
            if key == b"c" {
                book.checksum = Some(u32::try_from(scan.quoted_whole()?).ok()?);
            } else {
                let latest = &mut book.latest;
                let levels = scan.levels(|scan| {
                    scan.take(b',')?;
                    *latest = (*latest).max(Some(scan.quoted_seconds()?));
                    // The mark of a level that is sent again.
                    if scan.next_is(b',') { scan.bytes().map(|_| ()) } else { Some(()) }
                })?;
                match key {
                    b"as" | b"bs" => book.snapshot = true,
                    b"a" | b"b" => {}
                    _ => return None,
                }
                let side = if key.starts_with(b"a") { &mut book.asks } else { &mut book.bids };
                if side.is_empty() { *side = levels } else { side.extend(levels) }
            }
            if !scan.next_is(b',') {
                break;
            }
        }
        scan.take(b'}')?;
        scan.take(b',')?;
    }
    scan.literal(b"\"book-")?;
    let depth = u32::try_from(scan.whole()?).ok()?;
    scan.literal(b"\",")?;
    let pair = scan.string()?;
    scan.take(b']')?;
    scan.is_done().then_some((book, depth, pair))
}

#[derive(Deserialize)]
struct Part<'a> {
    r#as: Option<Levels>,
    bs: Option<Levels>,
    a: Option<Levels>,
    b: Option<Levels>,
    #[serde(borrow)]
    c: Option<Num<'a>>,
}

/// `[[price, size, time, "r"?], ...]`. The mark `r` says that a level is sent again and changes nothing.
struct Levels {
    list: Vec<Level>,
    latest: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Levels, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Levels;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("levels: [[price, size, time], ...]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Levels, A::Error> {
                let (mut list, mut latest) = (Vec::new(), None);
                while let Some(Row([price, size, time])) = seq.next_element::<Row<'de, 3>>()? {
                    let read = || -> Result<(Level, Timestamp), Unreadable> {
                        Ok(((price.decimal()?, size.decimal()?), time.seconds()?))
                    };
                    let (level, time) = read().map_err(serde::de::Error::custom)?;
                    list.push(level);
                    latest = latest.max(Some(time));
                }
                Ok(Levels { list, latest })
            }
        }
        deserializer.deserialize_seq(Rows)
    }
}

struct Elements<'a> {
    list: [Option<&'a RawValue>; ELEMENTS_MAX],
    count: usize,
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Elements<'de>, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
                let (mut list, mut count) = ([None; ELEMENTS_MAX], 0);
                while let Some(raw) = seq.next_element::<&'de RawValue>()? {
                    *list.get_mut(count).ok_or_else(|| serde::de::Error::custom("too many elements"))? = Some(raw);
                    count += 1;
                }
                Ok(Elements { list, count })
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Price and size of a best level; Kraken writes 0 for the price where there is none.
pub(super) fn quote(price: Decimal, size: Decimal) -> (Option<Decimal>, Option<Decimal>) {
    if price.is_zero() { (None, None) } else { (Some(price), Some(size)) }
}

/// The taker's side: `b`, `s` in v1, `buy`, `sell` in v2.
pub(super) fn side_of(text: &str) -> Result<Side, Unreadable> {
    match text {
        "b" | "buy" => Ok(Side::Buy),
        "s" | "sell" => Ok(Side::Sell),
        other => Err(Unreadable(format!("{other:?} is no side"))),
    }
}

/// Minutes in nanoseconds. A venue's number may be any; thousands of years do not fit.
pub(super) fn nanos(minutes: u32) -> i64 {
    i64::from(minutes).saturating_mul(60_000_000_000)
}

/// Minutes in the venue-neutral form.
pub(super) fn interval(minutes: u32) -> String {
    match minutes {
        m if m > 0 && m % 10_080 == 0 => format!("{}w", m / 10_080),
        m if m > 0 && m % 1_440 == 0 => format!("{}d", m / 1_440),
        m if m > 0 && m % 60 == 0 => format!("{}h", m / 60),
        m => format!("{m}m"),
    }
}
