//! Kraken spot, WebSocket v2 live and v1 as recorded (docs.kraken.com).
//!
//! Neither version numbers its book messages; what guards a book is the checksum of its ten best levels, sent with
//! every update. A wrong one, or a book message that cannot be read, puts the book out of step: it refuses updates until
//! the snapshot that the new subscription brings. Two things follow from the venue's rules:
//!
//! - Levels pushed out of the subscribed depth are not removed in words, so the book is cut to it after each message.
//! - A loss that touches only levels below the tenth is not seen until they come up, since nothing the venue sends tells
//!   of it. A connection is therefore never trusted past a frame that could not be read.
//!
//! A removal of a level that the book does not have is no sign of loss: the venue is known to send such.
//!
//! Prices in v1 are strings with more digits than the pair has; in v2 bare numbers, which the documents say are written
//! in full. Should they come without zeros at their end, the precisions of `AssetPairs` are tried before a checksum
//! counts as wrong.
//!
//! Times: a v1 book message has none of its own, so it gets the latest of its levels; a v1 ticker has none at all.

mod checksum;
mod names;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::collections::BTreeMap;

use openmesh_primitives::{Contract, Symbol, Timestamp};
use serde::Deserialize;

pub use self::checksum::checksum;
use self::checksum::{Checksum, Precision};
use self::names::{channel_of, resubscribe, symbol_of};
use super::instruments::{Instruments, Step};
use super::links::{Links, Ping, Upkeep};
use super::offer::Unsaid;
use super::support::{Emit, Symbols, Text, Unreadable};
use crate::book::OrderBook;
use crate::event::{BookDelta, BookSnapshot, EventKind, Exchange, Feed, IncidentKind, Level};
use crate::session::{Action, ConnectionId, Input, Output, Session, Subscription};

const URL: &str = "wss://ws.kraken.com/v2";
const PAIRS_URL: &str = "https://api.kraken.com/0/public/AssetPairs";
const PAIRS_PATH: &str = "/public/AssetPairs";

/// The only connection.
const CONNECTION: ConnectionId = ConnectionId(0);

/// Levels a side that are subscribed to: the deepest book the venue offers.
const DEPTH: u32 = 1000;

/// Levels a side where a subscription names no depth.
const DEPTH_DEFAULT: u32 = 10;

/// A subscribed connection hears a heartbeat each second, so several missing ones are no jitter.
const UPKEEP: Upkeep = Upkeep { ping: Ping::WhenSilent(5_000, r#"{"method":"ping"}"#), silence_ms_max: 15_000 };

/// Which version a message came in: a resubscription has to be worded in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What is kept of an instrument beside its book.
struct Extra {
    version: Version,
    sum: Checksum,
}

/// A session with Kraken.
#[derive(Default)]
pub struct Kraken {
    instruments: Instruments,
    extras: Vec<Extra>,
    links: Links,
    /// By `wsname`.
    table: Symbols,
    precisions: BTreeMap<Symbol, Precision>,
    /// v2 channels and names to subscribe to.
    channels: Vec<&'static str>,
    names: Vec<String>,
    unsaid: Unsaid,
    /// Depths of v2 books, whose messages do not tell: by name.
    depths: BTreeMap<String, u32>,
}

/// A book message in either version.
struct BookMessage<'a> {
    version: Version,
    name: &'a str,
    depth: u32,
    snapshot: bool,
    bids: Vec<Level>,
    asks: Vec<Level>,
    time: Option<Timestamp>,
    checksum: Option<u32>,
}

impl Kraken {
    /// A session that knows nothing yet.
    pub fn new() -> Kraken {
        Kraken::default()
    }

    fn frame(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        if let Some((book, depth, name)) = v1::book_as_written(data) {
            return self.v1_book(connection, name, depth, book, emit);
        }
        let text = std::str::from_utf8(data).map_err(|_| Unreadable("not UTF-8".to_owned()))?;
        match text.trim_start().as_bytes().first() {
            Some(b'[') => self.array(connection, text, emit),
            _ => self.object(connection, text, emit),
        }
    }

    /// A message of a v1 channel.
    fn array(&mut self, connection: ConnectionId, text: &str, emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let message = v1::Message::read(text)?;
        let (channel, argument) = message.channel.split_once('-').unwrap_or((&message.channel, ""));
        let name: &str = &message.pair;
        match channel {
            "book" => {
                let book = message.book();
                let book = self.or_lost(book, Version::V1, name, connection, emit)?;
                self.v1_book(connection, name, argument.parse().unwrap_or(DEPTH_DEFAULT), book, emit)
            }
            "trade" => {
                let symbol = self.symbol(connection, Version::V1, name)?;
                for (time, trade) in message.trades()? {
                    emit.event(&symbol, Some(time), EventKind::Trade(trade));
                }
                Ok(())
            }
            "ticker" => {
                let symbol = self.symbol(connection, Version::V1, name)?;
                emit.event(&symbol, None, EventKind::Ticker(message.ticker()?));
                Ok(())
            }
            "spread" => {
                let symbol = self.symbol(connection, Version::V1, name)?;
                let (time, ticker) = message.spread()?;
                emit.event(&symbol, time, EventKind::Ticker(ticker));
                Ok(())
            }
            "ohlc" => {
                let minutes = argument.parse().map_err(|_| Unreadable(format!("{argument:?}: no interval")))?;
                let symbol = self.symbol(connection, Version::V1, name)?;
                let (time, candle) = message.candle(minutes)?;
                emit.event(&symbol, Some(time), EventKind::Candle(candle));
                Ok(())
            }
            other => Err(Unreadable(format!("channel {other:?} is not known"))),
        }
    }

    fn v1_book(
        &mut self,
        connection: ConnectionId,
        name: &str,
        depth: u32,
        book: v1::Book,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let v1::Book { snapshot, bids, asks, latest: time, checksum } = book;
        let version = Version::V1;
        self.book_message(connection, BookMessage { version, name, depth, snapshot, bids, asks, time, checksum }, emit)
    }

    /// A v1 event, or any message of v2.
    fn object(&mut self, connection: ConnectionId, text: &str, emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let message: v2::Message<'_> = serde_json::from_str(text)?;
        let said = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().to_owned();
        if let Some(event) = &message.event {
            return match &**event {
                "heartbeat" | "pong" => Ok(()),
                "systemStatus" => self.status(message.status.as_deref(), emit),
                "subscriptionStatus" if message.status.as_deref() == Some("error") => {
                    self.refused(message.pair.as_deref(), said(&message.error_message), emit)
                }
                "subscriptionStatus" => Ok(()),
                "error" => self.refused(None, said(&message.error_message), emit),
                other => Err(Unreadable(format!("event {other:?} is not known"))),
            };
        }
        if let Some(method) = &message.method {
            if message.success == Some(false) || message.error.is_some() {
                return self.refused(
                    message.symbol.as_deref(),
                    format!("{}: {}", &**method, said(&message.error)),
                    emit,
                );
            }
            if &**method == "subscribe"
                && let Some(result) = message.result
            {
                self.subscribed(&serde_json::from_str(result.get())?);
            }
            return Ok(());
        }
        self.channel(connection, &message, emit)
    }

    /// A message of a v2 channel.
    fn channel(
        &mut self,
        connection: ConnectionId,
        message: &v2::Message<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let snapshot = message.kind.as_deref() == Some("snapshot");
        match message.channel.as_deref() {
            Some("heartbeat") => Ok(()),
            Some("status") => {
                #[derive(Deserialize)]
                struct Status<'a> {
                    #[serde(borrow)]
                    system: Option<Text<'a>>,
                }
                let records: Vec<Status<'_>> = message.records()?;
                records.iter().try_for_each(|status| self.status(status.system.as_deref(), emit))
            }
            Some("book") => {
                // Which book it was about cannot be told, so none of the connection's can be trusted.
                let books = message.records::<v2::Book<'_>>().inspect_err(|_| self.lose_all(connection, emit))?;
                for book in books {
                    let time = book.timestamp.map(|t| t.rfc3339()).transpose();
                    let time = self.or_lost(time, Version::V2, &book.symbol, connection, emit)?;
                    let depth = self.depths.get(&*book.symbol).copied().unwrap_or(DEPTH_DEFAULT);
                    let v2::Book { ref symbol, bids, asks, checksum, .. } = book;
                    let version = Version::V2;
                    let message = BookMessage { version, name: symbol, depth, snapshot, bids, asks, time, checksum };
                    self.book_message(connection, message, emit)?;
                }
                Ok(())
            }
            Some("trade") => message.records::<v2::RawTrade<'_>>()?.iter().try_for_each(|raw| {
                let (time, trade) = raw.read(snapshot)?;
                let symbol = self.symbol(connection, Version::V2, &raw.symbol)?;
                emit.event(&symbol, Some(time), EventKind::Trade(trade));
                Ok(())
            }),
            Some("ticker") => message.records::<v2::RawTicker<'_>>()?.iter().try_for_each(|raw| {
                let (time, ticker) = raw.read()?;
                let symbol = self.symbol(connection, Version::V2, &raw.symbol)?;
                emit.event(&symbol, time, EventKind::Ticker(ticker));
                Ok(())
            }),
            Some("ohlc") => {
                let time = message.timestamp.map(|t| t.rfc3339()).transpose()?;
                message.records::<v2::RawCandle<'_>>()?.iter().try_for_each(|raw| {
                    let symbol = self.symbol(connection, Version::V2, &raw.symbol)?;
                    emit.event(&symbol, time, EventKind::Candle(raw.read()?));
                    Ok(())
                })
            }
            Some("instrument") => names::read_instruments(message, &mut self.table, &mut self.precisions),
            // By orders, and of members: not to be had without a key. Known, and no event of ours.
            Some("level3" | "executions" | "balances") => Ok(()),
            Some(other) => Err(Unreadable(format!("channel {other:?} is not known"))),
            None if message.error.is_some() => {
                self.refused(message.symbol.as_deref(), message.error.as_deref().unwrap_or_default().to_owned(), emit)
            }
            None => Err(Unreadable("an object without event, method or channel".to_owned())),
        }
    }

    fn status(&self, status: Option<&str>, emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        if let Some(status) = status.filter(|s| *s != "online") {
            let detail = format!("Kraken's trading engine is {status:?}, not online");
            emit.incident(IncidentKind::Refused, None, None, detail);
        }
        Ok(())
    }

    fn refused(&mut self, name: Option<&str>, why: String, emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let symbol = name.and_then(|name| symbol_of(&self.table, name));
        let detail = format!("Kraken refused {}: {why}", name.unwrap_or("a request"));
        emit.incident(IncidentKind::Refused, symbol.as_ref(), None, detail);
        Ok(())
    }

    /// Takes a book message in.
    fn book_message(
        &mut self,
        connection: ConnectionId,
        message: BookMessage<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let place = self.place(connection, message.version, message.name)?;
        let (Some(instrument), Some(extra)) = (self.instruments.get(place), self.extras.get_mut(place)) else {
            return Ok(());
        };
        let BookMessage { version, name, depth, snapshot, mut bids, mut asks, time, checksum } = message;
        instrument.connection = connection;
        extra.version = version;
        let sent = checksum.map(i64::from);
        if snapshot {
            instrument.depth = depth;
            instrument.replace(&mut bids, &mut asks);
            extra.sum.forget();
        } else if instrument.step == Step::In {
            instrument.apply(&bids, &asks);
            instrument.book.truncate(instrument.depth as usize);
        } else if instrument.step == Step::Waiting {
            let detail = "a snapshot expected, an update came".to_owned();
            emit.incident(IncidentKind::Gap, Some(&instrument.symbol), Some(Feed::Book), detail);
            let depth = instrument.depth.max(depth);
            if instrument.lose_and_ask(emit.now) {
                resubscribe(version, connection, name, depth, emit);
            }
            return Ok(());
        } else {
            // Out of step: that was said, and a snapshot is on its way.
            return Ok(());
        }
        let wrong = checksum.and_then(|expected| {
            let precision = || self.precisions.get(&instrument.symbol).copied();
            disagrees(expected, &mut extra.sum, &instrument.book, (&bids, &asks), precision)
        });
        let kind = if snapshot {
            EventKind::BookSnapshot(BookSnapshot { bids, asks, sequence: None, checksum: sent })
        } else {
            EventKind::BookDelta(BookDelta { bids, asks, sequence: None, checksum: sent })
        };
        emit.event(&instrument.symbol, time, kind);
        match wrong {
            None => instrument.say_if_crossed(emit),
            Some((expected, got)) => {
                let detail = format!("checksum {expected} expected by the venue, {got} is that of the book here");
                emit.incident(IncidentKind::Checksum, Some(&instrument.symbol), Some(Feed::Book), detail);
                let depth = instrument.depth;
                if instrument.lose_and_ask(emit.now) {
                    resubscribe(version, connection, name, depth, emit);
                }
            }
        }
        Ok(())
    }

    /// A part of a book message that could not be read takes the book out of step.
    fn or_lost<T>(
        &mut self,
        read: Result<T, Unreadable>,
        version: Version,
        name: &str,
        connection: ConnectionId,
        emit: &mut Emit<'_>,
    ) -> Result<T, Unreadable> {
        read.inspect_err(|_| {
            if let Ok(place) = self.place(connection, version, name)
                && let Some(instrument) = self.instruments.get(place)
                && instrument.step == Step::In
            {
                let depth = instrument.depth;
                if instrument.lose_and_ask(emit.now) {
                    resubscribe(version, connection, name, depth, emit);
                }
            }
        })
    }

    /// Every book of a connection is out of step; a new connection brings new ones.
    fn lose_all(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        let mut any = false;
        for instrument in self.instruments.iter_mut().filter(|i| i.connection == connection && i.step == Step::In) {
            instrument.lose(emit.now);
            any = true;
        }
        if any {
            self.links.renew(connection, emit);
        }
    }

    fn place(&mut self, connection: ConnectionId, version: Version, name: &str) -> Result<usize, Unreadable> {
        let table = &self.table;
        let place = self.instruments.place(name, connection, |name| symbol_of(table, name))?;
        while self.extras.len() <= place {
            self.extras.push(Extra { version, sum: Checksum::default() });
        }
        Ok(place)
    }

    fn symbol(&mut self, connection: ConnectionId, version: Version, name: &str) -> Result<Symbol, Unreadable> {
        let place = self.place(connection, version, name)?;
        let instrument = self.instruments.get(place).ok_or_else(|| Unreadable("no such instrument".to_owned()))?;
        Ok(instrument.symbol.clone())
    }

    /// Remembers the depth of book subscriptions.
    fn subscribed(&mut self, what: &v2::Subscribed<'_>) {
        if &*what.channel != "book" {
            return;
        }
        for name in what.symbol.iter().flat_map(|s| s.as_slice()) {
            if self.depths.len() < super::instruments::INSTRUMENTS_MAX {
                self.depths.insert(name.to_string(), what.depth.unwrap_or(DEPTH_DEFAULT));
            }
        }
    }

    fn subscribe(&self, connection: ConnectionId, emit: &mut Emit<'_>) {
        for channel in self.channels.iter().filter(|_| !self.names.is_empty()) {
            let mut params = serde_json::json!({"channel": channel, "symbol": self.names, "snapshot": true});
            match *channel {
                "book" => params["depth"] = DEPTH.into(),
                "ohlc" => params["interval"] = 1.into(),
                // Each change of the best bid and offer, not only each trade.
                "ticker" => params["event_trigger"] = "bbo".into(),
                _ => {}
            }
            emit.send(connection, serde_json::json!({"method": "subscribe", "params": params}).to_string());
        }
    }

    fn response(&mut self, url: &str, status: u16, body: &[u8], emit: &mut Emit<'_>) {
        if !url.contains(PAIRS_PATH) {
            return;
        }
        if status != 200 {
            emit.refused(url, status, body);
        } else if let Err(why) = names::read_pairs(body, &mut self.table, &mut self.precisions) {
            emit.garbage(&why, body);
        }
    }
}

/// Whether the book disagrees with the venue's checksum: `(expected, got)`. If it does with numbers as they came, it is
/// tried with numbers at the pair's precision, and that way is kept where it fits.
fn disagrees(
    expected: u32,
    sum: &mut Checksum,
    book: &OrderBook,
    (bids, asks): (&[Level], &[Level]),
    precision: impl FnOnce() -> Option<Precision>,
) -> Option<(u32, u32)> {
    let got = sum.after(book, bids, asks);
    if got == expected {
        return None;
    }
    let precision = precision();
    let mut padded = Checksum::at(precision);
    if precision.is_some() && sum.precision != precision && padded.after(book, &[], &[]) == expected {
        *sum = padded;
        return None;
    }
    Some((expected, got))
}

impl Session for Kraken {
    fn exchange(&self) -> Exchange {
        Exchange::Kraken
    }

    fn start(&mut self, subscription: &Subscription, output: &mut Output) {
        (self.names, self.channels) = Default::default();
        self.unsaid = Unsaid::of(Exchange::Kraken, subscription);
        for symbol in &subscription.symbols {
            if symbol.contract == Contract::Spot {
                let name = format!("{}/{}", symbol.base, symbol.quote);
                self.depths.insert(name.clone(), DEPTH);
                self.names.push(name);
            } else {
                self.unsaid.instrument(Exchange::Kraken, symbol);
            }
        }
        self.channels.extend(subscription.feeds.iter().filter_map(|feed| channel_of(*feed)));
        output.actions.push(Action::Get { url: PAIRS_URL.to_owned() });
        output.actions.push(Action::Open { connection: CONNECTION, url: URL.to_owned() });
    }

    fn handle(&mut self, input: Input<'_>, now: Timestamp, output: &mut Output) {
        let emit = &mut Emit { exchange: Exchange::Kraken, now, output };
        match input {
            Input::Opened { connection, .. } => {
                self.links.opened(connection, now);
                self.instruments.forget(connection);
                self.unsaid.say(emit);
                self.subscribe(connection, emit);
            }
            Input::Closed { connection } => {
                self.instruments.forget(connection);
                self.links.closed(connection, emit);
            }
            Input::Frame { connection, data } => {
                self.links.heard(connection, now);
                if let Err(why) = self.frame(connection, data, emit) {
                    emit.garbage(&why, data);
                    // JSON that ends early or not at all: nobody knows what it was to change.
                    if serde_json::from_slice::<serde::de::IgnoredAny>(data).is_err() {
                        self.lose_all(connection, emit);
                    }
                }
            }
            Input::Sent { text, .. } => {
                if let Ok(request) = serde_json::from_str::<v2::Request<'_>>(text)
                    && &*request.method == "subscribe"
                {
                    self.subscribed(&request.params);
                }
            }
            Input::Response { url, status, body } => self.response(url, status, body, emit),
            Input::Tick => {
                // Where there is nothing to connect to, this is the first moment.
                self.unsaid.say(emit);
                self.links.tick(UPKEEP, emit);
                self.instruments.renew_overdue(&mut self.links, emit);
            }
        }
    }

    fn book(&self, symbol: &Symbol) -> Option<&OrderBook> {
        self.instruments.book(symbol)
    }

    fn books(&self) -> Vec<(Symbol, &OrderBook)> {
        self.instruments.books()
    }
}
