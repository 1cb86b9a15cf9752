//! Binance spot and USD-M futures (developers.binance.com).
//!
//! The two differ in addresses, in the futures' additional feeds and in how changes of a book are chained; everything
//! else is one. A book is a REST snapshot joined with the stream's changes (`book`): there is no checksum, so a chain of
//! update ids without a hole is what keeps it right. A crossed book therefore counts as wrong here, and is asked for
//! anew.
//!
//! Streams are named in the address, so nothing has to be sent. Futures data comes by two doors since April 2026:
//! `/public` for books and best prices, `/market` for the rest ("Important WebSocket Change Notice").
//!
//! Times: `E`, when the venue made the message; of trades and forced orders `T`, when they happened. Spot's best bid and
//! ask, and its REST books, have none.
//!
//! The table of names (`exchangeInfo`) is read where it comes, but not asked for: it is many megabytes, and a name is
//! always base and quote written together.

mod book;
#[cfg(test)]
mod tests;
mod wire;
mod written;

use std::collections::BTreeMap;

use openmesh_primitives::{Symbol, Timestamp};

use self::book::{Chain, Change, Follows};
use self::wire::{Kind, Message};
use super::instruments::Instruments;
use super::links::{Links, Ping, Upkeep};
use super::support::{Emit, Symbols, Unreadable, excerpt};
use crate::book::OrderBook;
use crate::event::{BookDelta, BookSnapshot, EventKind, Exchange, Feed, IncidentKind, OpenInterest, Price};
use crate::session::{Action, ConnectionId, Input, Output, Session, Subscription};

/// Streams of one connection: the venue allows 1024, an address of this length passes every proxy.
const STREAMS_MAX: usize = 100;

/// Levels a side that are asked for: the most that futures give.
const SNAPSHOT_LEVELS: u32 = 1000;

/// Milliseconds between two polls of open interest, which no stream carries.
const POLL_MS: i64 = 10_000;

/// Milliseconds without any request after the venue said that there were too many.
const BACK_OFF_MS: i64 = 60_000;

/// The venue's own pings are answered below us, so a quiet connection is asked something that has an answer.
const UPKEEP: Upkeep =
    Upkeep { ping: Ping::WhenSilent(20_000, r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#), silence_ms_max: 60_000 };

/// Where a market is reached.
struct Market {
    exchange: Exchange,
    futures: bool,
    rest: &'static str,
    /// By door: the streams' beginnings, and the address before them.
    doors: &'static [Door],
}

struct Door {
    address: &'static str,
    feeds: &'static [(Feed, &'static str)],
}

const SPOT: Market = Market {
    exchange: Exchange::Binance,
    futures: false,
    rest: "https://api.binance.com/api/v3",
    doors: &[Door {
        address: "wss://stream.binance.com:9443/stream?streams=",
        feeds: &[
            (Feed::Book, "depth@100ms"),
            (Feed::Trades, "trade"),
            (Feed::Ticker, "bookTicker"),
            (Feed::Candles, "kline_1m"),
        ],
    }],
};

const FUTURES: Market = Market {
    exchange: Exchange::BinanceFutures,
    futures: true,
    rest: "https://fapi.binance.com/fapi/v1",
    doors: &[
        Door {
            address: "wss://fstream.binance.com/public/stream?streams=",
            feeds: &[(Feed::Book, "depth@100ms"), (Feed::Ticker, "bookTicker")],
        },
        Door {
            address: "wss://fstream.binance.com/market/stream?streams=",
            feeds: &[
                (Feed::Trades, "aggTrade"),
                (Feed::Candles, "kline_1m"),
                (Feed::Funding, "markPrice@1s"),
                (Feed::MarkPrice, "markPrice@1s"),
                (Feed::IndexPrice, "markPrice@1s"),
                (Feed::Liquidations, "forceOrder"),
            ],
        },
    ],
};

/// A session with Binance spot or USD-M futures.
pub struct Binance {
    market: &'static Market,
    instruments: Instruments,
    /// By place in `instruments`: the count of the book, and the venue's name.
    chains: Vec<Chain>,
    names: Vec<String>,
    table: Symbols,
    links: Links,
    /// Books that come on a connection.
    books: BTreeMap<ConnectionId, Vec<String>>,
    /// Instruments whose open interest is polled.
    polled: Vec<String>,
    polled_at: Option<Timestamp>,
    quiet_until: Option<Timestamp>,
    unsaid: Vec<(Option<Symbol>, Option<Feed>, String)>,
}

impl Binance {
    /// A session with spot that knows nothing yet.
    pub fn spot() -> Binance {
        Binance::with(&SPOT)
    }

    /// A session with USD-M futures that knows nothing yet.
    pub fn futures() -> Binance {
        Binance::with(&FUTURES)
    }

    fn with(market: &'static Market) -> Binance {
        Binance {
            market,
            instruments: Instruments::default(),
            chains: Vec::new(),
            names: Vec::new(),
            table: Symbols::default(),
            links: Links::default(),
            books: BTreeMap::new(),
            polled: Vec::new(),
            polled_at: None,
            quiet_until: None,
            unsaid: Vec::new(),
        }
    }

    fn frame(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let text = std::str::from_utf8(data).map_err(|_| Unreadable("not UTF-8".to_owned()))?;
        if let Some((kind, data)) = wire::unwrap_as_written(text)
            && self.data(connection, kind, data, emit).is_ok()
        {
            return Ok(());
        }
        match wire::unwrap(text)? {
            Message::Data(kind, data) => self.data(connection, kind, data, emit),
            Message::Answer => Ok(()),
            Message::Refused(why) => {
                emit.incident(IncidentKind::Refused, None, None, format!("Binance refused a request: {why}"));
                Ok(())
            }
        }
    }

    fn data(
        &mut self,
        connection: ConnectionId,
        kind: Kind,
        data: &str,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        match kind {
            Kind::Depth => {
                let raw = written::depth(data).map_or_else(|| serde_json::from_str(data), Ok)?;
                let place = self.place(connection, &raw.s)?;
                if let Some(instrument) = self.instruments.get(place) {
                    instrument.connection = connection;
                }
                let wire::Depth { time, first, last, previous, bids, asks, .. } = raw;
                let time = Timestamp::from_millis(time);
                self.change(place, Change { time, captured: emit.now, first, last, previous, bids, asks }, emit);
                Ok(())
            }
            Kind::Trade | Kind::AggregateTrade => {
                let raw = written::trade(data).map_or_else(|| serde_json::from_str(data), Ok)?;
                match raw.read(kind == Kind::AggregateTrade) {
                    Some((time, trade)) => self.event(connection, &raw.s, time, EventKind::Trade(trade), emit),
                    None => Ok(()),
                }
            }
            Kind::BookTicker | Kind::DayTicker => {
                let raw = written::ticker(data).map_or_else(|| serde_json::from_str(data), Ok)?;
                let (time, ticker) = raw.read();
                self.event(connection, &raw.s, time, EventKind::Ticker(ticker), emit)
            }
            Kind::Kline => {
                let raw: wire::Kline<'_> = serde_json::from_str(data)?;
                let time = Some(Timestamp::from_millis(raw.time));
                self.event(connection, &raw.s, time, EventKind::Candle(raw.read()), emit)
            }
            Kind::MarkPrice => {
                let raw: wire::MarkPrice<'_> = serde_json::from_str(data)?;
                let time = Some(Timestamp::from_millis(raw.time));
                self.event(connection, &raw.s, time, EventKind::MarkPrice(Price { price: raw.mark }), emit)?;
                if let Some(price) = raw.index {
                    self.event(connection, &raw.s, time, EventKind::IndexPrice(Price { price }), emit)?;
                }
                match raw.funding() {
                    Some(funding) => self.event(connection, &raw.s, time, EventKind::Funding(funding), emit),
                    None => Ok(()),
                }
            }
            Kind::ForceOrder => {
                let raw: wire::ForceOrder<'_> = serde_json::from_str(data)?;
                let (time, liquidation) = raw.o.read()?;
                self.event(connection, &raw.o.s, Some(time), EventKind::Liquidation(liquidation), emit)
            }
            Kind::OpenInterest => self.open_interest(connection, data, emit),
        }
    }

    fn open_interest(&mut self, connection: ConnectionId, data: &str, emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let raw: wire::RawOpenInterest<'_> = serde_json::from_str(data)?;
        let time = raw.time.map(Timestamp::from_millis);
        let kind = EventKind::OpenInterest(OpenInterest { open_interest: raw.open_interest });
        self.event(connection, &raw.symbol, time, kind, emit)
    }

    fn place(&mut self, connection: ConnectionId, name: &str) -> Result<usize, Unreadable> {
        let (table, futures) = (&self.table, self.market.futures);
        let place = self.instruments.place(name, connection, |name| {
            Some(table.symbol(name).cloned().unwrap_or_else(|| wire::symbol_of(name, futures)))
        })?;
        if self.chains.len() <= place {
            self.chains.resize_with(place + 1, Chain::default);
            self.names.resize(place + 1, name.to_owned());
        }
        Ok(place)
    }

    fn event(
        &mut self,
        connection: ConnectionId,
        name: &str,
        time: Option<Timestamp>,
        kind: EventKind,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let place = self.place(connection, name)?;
        if let Some(instrument) = self.instruments.get(place) {
            emit.event(&instrument.symbol, time, kind);
        }
        Ok(())
    }

    /// Takes a change of a book in: applies it, or holds it until there is a snapshot.
    fn change(&mut self, place: usize, change: Change, emit: &mut Emit<'_>) {
        let (Some(instrument), Some(chain)) = (self.instruments.get(place), self.chains.get_mut(place)) else { return };
        let incident = |kind, detail: String, emit: &mut Emit<'_>| {
            emit.incident(kind, Some(&instrument.symbol), Some(Feed::Book), detail);
        };
        if chain.in_step() {
            match chain.follow(&change) {
                Follows::Covered => return,
                Follows::Yes => {
                    instrument.apply(&change.bids, &change.asks);
                    instrument.sequence = chain.last();
                    let Change { time, captured, last, bids, asks, .. } = change;
                    let delta = BookDelta { bids, asks, sequence: Some(last), checksum: None };
                    let mut then = Emit { exchange: emit.exchange, now: captured, output: emit.output };
                    then.event(&instrument.symbol, Some(time), EventKind::BookDelta(delta));
                    instrument.say_if_crossed(emit);
                    if !instrument.book.is_crossed() {
                        return;
                    }
                    chain.lose();
                    instrument.lose(emit.now);
                }
                Follows::Again => {
                    let detail = format!("a change came again or out of order: {}", chain.expected(&change));
                    incident(IncidentKind::Gap, detail, emit);
                    return;
                }
                Follows::No => {
                    incident(IncidentKind::Gap, chain.expected(&change), emit);
                    chain.lose();
                    instrument.lose(emit.now);
                    chain.hold(change);
                }
            }
        } else {
            chain.hold(change);
        }
        self.ask(place, emit);
    }

    /// Asks for a snapshot of a book, unless that was done a moment ago.
    fn ask(&mut self, place: usize, emit: &mut Emit<'_>) {
        let (Some(name), Some(chain)) = (self.names.get(place), self.chains.get_mut(place)) else { return };
        if self.quiet_until.is_none_or(|until| emit.now >= until) && chain.ask(emit.now) {
            emit.get(format!("{}/depth?symbol={name}&limit={SNAPSHOT_LEVELS}", self.market.rest));
        }
    }

    fn snapshot(&mut self, name: &str, body: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let wire::DepthSnapshot { last, time, mut bids, mut asks } = serde_json::from_slice(body)?;
        let place = self.place(ConnectionId(0), name)?;
        let (Some(instrument), Some(chain)) = (self.instruments.get(place), self.chains.get_mut(place)) else {
            return Ok(());
        };
        if chain.in_step() {
            // The answer to an earlier question; the book has been in step since.
            return Ok(());
        }
        let held = match chain.begin(last) {
            Ok(held) => held,
            Err(first) => {
                let detail = format!("the snapshot ends with update {last}, the changes since begin with {first}");
                emit.incident(IncidentKind::Gap, Some(&instrument.symbol), Some(Feed::Book), detail);
                return Ok(());
            }
        };
        instrument.replace(&mut bids, &mut asks);
        instrument.sequence = Some(last);
        let snapshot = BookSnapshot { bids, asks, sequence: Some(last), checksum: None };
        emit.event(&instrument.symbol, time.map(Timestamp::from_millis), EventKind::BookSnapshot(snapshot));
        for change in held {
            self.change(place, change, emit);
        }
        Ok(())
    }

    fn response(&mut self, url: &str, status: u16, body: &[u8], emit: &mut Emit<'_>) {
        let name = query(url, "symbol");
        if status != 200 {
            if matches!(status, 403 | 418 | 429) {
                self.quiet_until = Some(Timestamp(emit.now.nanos().saturating_add(BACK_OFF_MS * 1_000_000)));
            }
            let symbol = name.map(|name| {
                self.table.symbol(name).cloned().unwrap_or_else(|| wire::symbol_of(name, self.market.futures))
            });
            let detail = format!("{url} answered {status}: {}", excerpt(body));
            emit.incident(IncidentKind::Refused, symbol.as_ref(), None, detail);
            return;
        }
        let path = url.split('?').next().unwrap_or_default();
        let read = match (path.rsplit('/').next(), name) {
            (Some("depth"), Some(name)) => self.snapshot(name, body, emit),
            (Some("exchangeInfo"), _) => wire::read_instruments(body, self.market.futures, &mut self.table),
            (Some("openInterest"), _) => match std::str::from_utf8(body) {
                Ok(text) => self.open_interest(ConnectionId(0), text, emit),
                Err(_) => Err(Unreadable("not UTF-8".to_owned())),
            },
            _ => Ok(()),
        };
        if let Err(why) = read {
            emit.garbage(&why, body);
        }
    }

    fn opened(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        self.links.opened(connection, emit.now);
        self.forget(connection);
        for (symbol, feed, detail) in std::mem::take(&mut self.unsaid) {
            emit.incident(IncidentKind::Refused, symbol.as_ref(), feed, detail);
        }
        // Not only on the first change: an instrument in which nothing happens has a book too.
        for name in self.books.get(&connection).cloned().unwrap_or_default() {
            if let Ok(place) = self.place(connection, &name) {
                self.ask(place, emit);
            }
        }
    }

    /// Every book of a connection goes back to the state before its first snapshot.
    fn forget(&mut self, connection: ConnectionId) {
        for (instrument, chain) in self.instruments.iter_mut().zip(&mut self.chains) {
            if instrument.connection == connection {
                instrument.forget();
                chain.reset();
            }
        }
    }

    fn tick(&mut self, emit: &mut Emit<'_>) {
        self.links.tick(UPKEEP, emit);
        for place in 0..self.chains.len() {
            if self.chains.get(place).is_some_and(Chain::is_waiting) {
                self.ask(place, emit);
            }
        }
        let due = |then: Timestamp| emit.now.nanos().saturating_sub(then.nanos()) >= POLL_MS * 1_000_000;
        let quiet = self.quiet_until.is_some_and(|until| emit.now < until);
        if !quiet && self.polled_at.is_none_or(due) {
            self.polled_at = Some(emit.now);
            for name in &self.polled {
                emit.get(format!("{}/openInterest?symbol={name}", self.market.rest));
            }
        }
    }

    /// The streams of a door, instrument by instrument, without repetition.
    fn streams(&self, door: &Door, feeds: &[Feed], names: &[String]) -> Vec<(String, Option<String>)> {
        let mut streams: Vec<(String, Option<String>)> = Vec::new();
        for name in names {
            for (feed, suffix) in door.feeds.iter().filter(|(feed, _)| feeds.contains(feed)) {
                let stream = format!("{}@{suffix}", name.to_ascii_lowercase());
                if streams.iter().rev().take(door.feeds.len()).all(|(other, _)| *other != stream) {
                    streams.push((stream, (*feed == Feed::Book).then(|| name.clone())));
                }
            }
        }
        streams
    }
}

/// The value of a key in the query of an address.
fn query<'a>(url: &'a str, key: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, value)| value)
}

impl Session for Binance {
    fn exchange(&self) -> Exchange {
        self.market.exchange
    }

    fn start(&mut self, subscription: &Subscription, output: &mut Output) {
        (self.books, self.polled, self.unsaid) = Default::default();
        let mut names = Vec::new();
        for symbol in &subscription.symbols {
            match wire::name_of(symbol, self.market.futures) {
                Some(name) => {
                    self.table.insert(&name, symbol.clone());
                    names.push(name);
                }
                None => {
                    let detail = format!("{} has no instrument like {symbol}", self.market.exchange);
                    self.unsaid.push((Some(symbol.clone()), None, detail));
                }
            }
        }
        for feed in &subscription.feeds {
            if self.market.futures && *feed == Feed::OpenInterest {
                self.polled.clone_from(&names);
            } else if !self.market.doors.iter().any(|door| door.feeds.iter().any(|(f, _)| f == feed)) {
                self.unsaid.push((None, Some(*feed), format!("{} has no feed of {feed}", self.market.exchange)));
            }
        }
        let mut connection = ConnectionId(0);
        for door in self.market.doors {
            for streams in self.streams(door, &subscription.feeds, &names).chunks(STREAMS_MAX) {
                let list: Vec<&str> = streams.iter().map(|(stream, _)| stream.as_str()).collect();
                let books = streams.iter().filter_map(|(_, book)| book.clone()).collect();
                self.books.insert(connection, books);
                output.actions.push(Action::Open { connection, url: format!("{}{}", door.address, list.join("/")) });
                connection.0 += 1;
            }
        }
    }

    fn handle(&mut self, input: Input<'_>, now: Timestamp, output: &mut Output) {
        let emit = &mut Emit { exchange: self.market.exchange, now, output };
        match input {
            Input::Opened { connection, .. } => self.opened(connection, emit),
            Input::Closed { connection } => {
                self.forget(connection);
                self.links.closed(connection, emit);
            }
            Input::Frame { connection, data } => {
                self.links.heard(connection, now);
                if let Err(why) = self.frame(connection, data, emit) {
                    emit.garbage(&why, data);
                }
            }
            Input::Sent { .. } => {}
            Input::Response { url, status, body } => self.response(url, status, body, emit),
            Input::Tick => self.tick(emit),
        }
    }

    fn book(&self, symbol: &Symbol) -> Option<&OrderBook> {
        self.instruments.book(symbol)
    }

    fn books(&self) -> Vec<(Symbol, &OrderBook)> {
        let mut books: Vec<_> = self.instruments.books().collect();
        books.sort_by(|a, b| a.0.cmp(&b.0));
        books
    }
}
