//! Binance spot and USD-M futures (developers.binance.com).
//!
//! The two differ in addresses, in the futures' additional feeds and in how changes of a book are chained; everything
//! else is one. A book is a REST snapshot joined with the stream's changes (`book`): there is no checksum, so a chain of
//! update ids without a hole is what keeps it right. A crossed book therefore counts as wrong here, and is asked for
//! anew.
//!
//! Streams are named in the address, so nothing has to be sent. Futures data comes by two endpoints since April 2026:
//! `/public` for books and best prices, `/market` for the rest ("Important WebSocket Change Notice").
//!
//! Times: `E`, when the venue made the message; of trades and forced orders `T`, when they happened. Spot's best bid and
//! ask, and its REST books, have none.
//!
//! COIN-M futures are read as well, as recordings have them; they are not subscribed to.
//!
//! The table of names (`exchangeInfo`) is read where it comes, but not asked for: it is many megabytes. Who subscribes says
//! its own pairs of names; a recording without the table is read by what the venue quotes in (`names`).

mod book;
mod change;
mod frame;
mod market;
mod reach;
mod streams;
#[cfg(test)]
mod tests;
mod wire;
mod written;

use std::collections::BTreeMap;

use openmesh_market::ConnectionId;
use openmesh_market::event::{
    BookDelta, BookSnapshot, EventKind, Exchange, Feed, IncidentKind, Level, OpenInterest, Side,
};
use openmesh_primitives::Timestamp;

use self::book::{Chain, Follows};
use self::change::Change;
use self::market::{FUTURES, Market, SPOT};
use self::reach::{Reach, Snapshot};
use self::streams::Streams;
use super::emit::Emit;
use super::instruments::Instruments;
use super::json::millis;
use super::links::{Links, Ping, Upkeep};
use super::names::Symbols;
use super::offer::PendingNotices;
use super::unreadable::{Unreadable, excerpt};
use super::venue::Venue;
use crate::session::{Action, Output, Subscription};

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

/// A session with Binance spot or USD-M futures.
pub struct Binance {
    exchange: Exchange,
    market: &'static Market,
    instruments: Instruments,
    /// By place in `instruments`: the count of the book, and the venue's name.
    chains: Vec<Chain>,
    names: Vec<String>,
    table: Symbols,
    links: Links,
    streams: Streams,
    /// Books that come on a connection.
    books: BTreeMap<ConnectionId, Vec<String>>,
    /// Instruments whose open interest is polled.
    polled: Vec<String>,
    polled_at: Option<Timestamp>,
    quiet_until: Option<Timestamp>,
    notices: PendingNotices,
}

impl Binance {
    /// A session with spot that knows nothing yet.
    pub fn spot() -> Binance {
        Binance::spot_of(Exchange::Binance)
    }

    /// A session with USD-M futures that knows nothing yet.
    pub fn futures() -> Binance {
        Binance::futures_of(Exchange::BinanceFutures)
    }

    /// The same for a venue that speaks like Binance's spot market.
    pub(super) fn spot_of(exchange: Exchange) -> Binance {
        Binance::with(exchange, &SPOT)
    }

    /// The same for a venue that speaks like USD-M futures.
    pub(super) fn futures_of(exchange: Exchange) -> Binance {
        Binance::with(exchange, &FUTURES)
    }

    fn with(exchange: Exchange, market: &'static Market) -> Binance {
        Binance {
            exchange,
            market,
            instruments: Instruments::default(),
            chains: Vec::new(),
            names: Vec::new(),
            table: Symbols::default(),
            links: Links::default(),
            streams: Streams::default(),
            books: BTreeMap::new(),
            polled: Vec::new(),
            polled_at: None,
            quiet_until: None,
            notices: PendingNotices::default(),
        }
    }

    fn open_interest(&mut self, connection: ConnectionId, data: &str, emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let raw: wire::RawOpenInterest<'_> = serde_json::from_str(data)?;
        let time = raw.time.map(millis).transpose()?;
        let kind = EventKind::OpenInterest(OpenInterest { open_interest: raw.open_interest });
        self.event(connection, &raw.symbol, time, kind, emit)
    }

    fn place(&mut self, connection: ConnectionId, name: &str) -> Result<usize, Unreadable> {
        let (table, exchange, futures) = (&self.table, self.exchange, self.market.futures);
        let place = self.instruments.place(name, connection, |name| {
            table.symbol(name).cloned().or_else(|| wire::symbol_of(exchange, name, futures))
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
                    chain.reach.keep(&change);
                    let Change { time, captured, last, bids, asks, .. } = change;
                    let delta = BookDelta { bids, asks, sequence: Some(last), checksum: None };
                    let mut then = Emit { exchange: emit.exchange, now: captured, output: emit.output };
                    then.event(&instrument.symbol, Some(time), EventKind::BookDelta(delta));
                    if instrument.look_over(emit) && !instrument.book.is_crossed() {
                        self.look_deeper(place, emit);
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

    /// Takes a deeper snapshot in where one has come and the stream has reached it; asks for one where the price nears the
    /// end of what is known.
    fn look_deeper(&mut self, place: usize, emit: &mut Emit<'_>) {
        let (Some(instrument), Some(chain)) = (self.instruments.get(place), self.chains.get_mut(place)) else { return };
        let Some(last) = chain.last() else { return };
        match chain.reach.deeper(&instrument.book, last) {
            Some(Ok(book)) => {
                let side = |side: Side| book.levels(side).copied().collect();
                let (mut bids, mut asks): (Vec<Level>, Vec<Level>) = (side(Side::Buy), side(Side::Sell));
                instrument.replace(&mut bids, &mut asks);
                // The same update as the last change: whoever builds the book sees by it that nothing was missed.
                let snapshot = BookSnapshot { bids, asks, sequence: Some(last), checksum: None };
                emit.event(&instrument.symbol, None, EventKind::BookSnapshot(snapshot));
                if !instrument.look_over(emit) || instrument.book.is_crossed() {
                    chain.lose();
                    instrument.lose(emit.now);
                    self.ask(place, emit);
                }
            }
            Some(Err(detail)) => {
                emit.incident(IncidentKind::Gap, Some(&instrument.symbol), Some(Feed::Book), detail);
                chain.lose();
                instrument.lose(emit.now);
                self.ask(place, emit);
            }
            None => {
                let quiet = self.quiet_until.is_some_and(|until| emit.now < until);
                if !quiet
                    && chain.reach.ask(&instrument.book, last, emit.now)
                    && let Some(name) = self.names.get(place)
                {
                    emit.get(format!("{}/depth?symbol={name}&limit={SNAPSHOT_LEVELS}", self.market.rest));
                }
            }
        }
    }

    fn snapshot(&mut self, name: &str, body: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let wire::DepthSnapshot { last, time, mut bids, mut asks } = serde_json::from_slice(body)?;
        let time = time.map(millis).transpose()?;
        let place = self.place(ConnectionId(0), name)?;
        let (Some(instrument), Some(chain)) = (self.instruments.get(place), self.chains.get_mut(place)) else {
            return Ok(());
        };
        if self.links.is_down(instrument.connection) {
            // Nothing would follow it: the book would stand still and look as if it were the venue's.
            return Ok(());
        }
        if chain.in_step() {
            chain.reach.came(Snapshot { last, bids, asks });
            self.look_deeper(place, emit);
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
        chain.reach = Reach::of(&bids, &asks);
        instrument.replace(&mut bids, &mut asks);
        instrument.sequence = Some(last);
        let snapshot = BookSnapshot { bids, asks, sequence: Some(last), checksum: None };
        emit.event(&instrument.symbol, time, EventKind::BookSnapshot(snapshot));
        if !instrument.look_over(emit) || instrument.book.is_crossed() {
            chain.lose();
            instrument.lose(emit.now);
        }
        for change in held {
            self.change(place, change, emit);
        }
        Ok(())
    }
}

/// The value of a key in the query of an address.
fn query<'a>(url: &'a str, key: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, value)| value)
}

impl Venue for Binance {
    const UPKEEP: Upkeep = UPKEEP;

    fn venue(&self) -> Exchange {
        self.exchange
    }

    fn shared(&mut self) -> (&mut Links, &mut PendingNotices) {
        (&mut self.links, &mut self.notices)
    }

    fn instruments(&self) -> impl Iterator<Item = &Instruments> {
        std::iter::once(&self.instruments)
    }

    fn begin(&mut self, subscription: &Subscription, output: &mut Output) {
        (self.books, self.polled) = Default::default();
        self.notices = PendingNotices::of(self.exchange, subscription);
        let mut names = Vec::new();
        for symbol in &subscription.symbols {
            match wire::name_of(symbol, self.market.futures) {
                Some(name) => {
                    self.table.insert(&name, symbol.clone());
                    names.push((name, symbol.clone()));
                }
                None => self.notices.instrument(self.exchange, symbol),
            }
        }
        if self.market.futures && subscription.feeds.contains(&Feed::OpenInterest) {
            self.polled = names.iter().map(|(name, _)| name.clone()).collect();
        }
        let mut connection = ConnectionId(0);
        for endpoint in self.market.endpoints {
            for streams in endpoint.streams(self.exchange, &subscription.feeds, &names).chunks(STREAMS_MAX) {
                let list: Vec<&str> = streams.iter().map(|(stream, _)| stream.as_str()).collect();
                let books = streams.iter().filter_map(|(_, book)| book.clone()).collect();
                self.books.insert(connection, books);
                output
                    .actions
                    .push(Action::Open { connection, url: format!("{}{}", endpoint.address, list.join("/")) });
                connection.0 += 1;
            }
        }
    }

    fn opened(&mut self, connection: ConnectionId, url: &str) {
        self.streams.opened(connection, url);
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

    fn subscribe(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        // Not only on the first change: an instrument in which nothing happens has a book too.
        for name in self.books.get(&connection).cloned().unwrap_or_default() {
            if let Ok(place) = self.place(connection, &name) {
                self.ask(place, emit);
            }
        }
    }

    fn read(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        self.frame(connection, data, emit)
    }

    fn sent(&mut self, connection: ConnectionId, text: &str) {
        self.streams.sent(connection, text);
    }

    fn response(&mut self, url: &str, status: u16, body: &[u8], emit: &mut Emit<'_>) {
        let name = query(url, "symbol");
        if status != 200 {
            if matches!(status, 403 | 418 | 429) {
                self.quiet_until = Some(Timestamp(emit.now.nanos().saturating_add(BACK_OFF_MS * 1_000_000)));
            }
            let symbol = name.and_then(|name| {
                let table = self.table.symbol(name).cloned();
                table.or_else(|| wire::symbol_of(self.exchange, name, self.market.futures))
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
            // Answers to what only a recorder has asked: candles, trades of the past, the server's time.
            _ => Ok(()),
        };
        if let Err(why) = read {
            emit.garbage(&why, body);
        }
    }

    fn overdue(&mut self, emit: &mut Emit<'_>) {
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
}
