//! Coinbase Advanced Trade, public market data
//! (docs.cdp.coinbase.com, "Advanced Trade WebSocket Channels").
//!
//! A connection carries every channel of up to [`PRODUCTS_MAX`] products, and `sequence_num` counts its messages over
//! all of them. A number that is not the next one therefore says that *something* was missed, not what; so every book
//! of the connection is out of step from there on, and the connection is opened anew, which brings new snapshots of all
//! of them. Asking for single snapshots would not tell whether trades were lost too.
//!
//! Times: a message's `timestamp` is stamped by the gateway when it sends and differs from connection to connection;
//! trades carry their own `time`, levels the `event_time` of the matching engine, and those are what events are stamped
//! with, so that collectors with connections of their own agree. Tickers and candles have no other time than the
//! message's. For the same reason `sequence_num` is not put into the events.
//!
//! `BTC-USDC` and nearly all other USDC pairs are answered by the venue with the data, and the name, of the USD pair: under
//! their own name nothing would ever come, so they are not asked for, and that is said.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_market::ConnectionId;
use openmesh_market::event::{BookDelta, BookSnapshot, EventKind, Exchange, Feed, IncidentKind};
use openmesh_primitives::Timestamp;
use serde::de::IgnoredAny;

use self::wire::{About, Batch, Candles, Frame, Level2, Tickers, Trades};
use super::emit::Emit;
use super::instruments::{Instruments, Step};
use super::links::{Links, Ping, Upkeep};
use super::names::Symbols;
use super::offer::PendingNotices;
use super::unreadable::{Unreadable, excerpt};
use super::venue::Venue;
use crate::session::{Action, Output, Subscription};

#[cfg(test)]
mod tests;
mod wire;

const URL: &str = "wss://advanced-trade-ws.coinbase.com";
const PRODUCTS_URL: &str = "https://api.coinbase.com/api/v3/brokerage/market/products";
const PRODUCTS_PATH: &str = "/brokerage/market/products";

/// The channel of books, by the name under which it is subscribed to.
const BOOKS: &str = "level2";

/// Channels in the order in which they are asked for. Heartbeats first: they keep quiet channels open and make silence tell
/// something. Trades before all else that carries the venue's time: a stream in which nothing happens counts as covered
/// from the first sign of life of its connection on (`docs/spec/windows.md`), and has to be subscribed to by then.
const CHANNELS: [&str; 5] = ["heartbeats", "market_trades", BOOKS, "ticker", "candles"];

/// Products of one connection: beyond about as many books the venue says "too many L2 streams requested in a single
/// session".
const PRODUCTS_MAX: usize = 16;

/// Least time between two messages of ours. The venue takes 8 a second from one address, which several validators may
/// share; with a tick each second this makes one a second of each.
const SPOKEN_MS_MIN: i64 = 500;

/// Ticks within which every connection gets its heartbeats, since the venue closes one that has asked for nothing in 5
/// s; and as many for the trades, which are not to come long after the first of them. One message a tick is enough for
/// four connections.
const ROUND_TICKS_MAX: usize = 4;

/// The `heartbeats` channel speaks each second; ten missing ones are no jitter any more.
const UPKEEP: Upkeep = Upkeep { ping: Ping::Never, silence_ms_max: 10_000 };

/// The number that a connection's next message has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The connection has just been opened: the venue counts from 0.
    First,
    /// Seen so far up to the one before.
    Next(u64),
}

/// A subscription in the venue's words.
#[derive(Default)]
struct Wanted {
    products: Vec<String>,
    /// Places in [`CHANNELS`].
    channels: BTreeSet<usize>,
}

impl Wanted {
    /// The products of a connection.
    fn of(&self, connection: ConnectionId) -> &[String] {
        self.products.chunks(PRODUCTS_MAX).nth(connection.0 as usize).unwrap_or_default()
    }
}

/// A session with Coinbase.
#[derive(Default)]
pub struct Coinbase {
    instruments: Instruments,
    table: Symbols,
    links: Links,
    expected: BTreeMap<ConnectionId, Expected>,
    wanted: Wanted,
    /// Subscriptions still to be sent: place in [`CHANNELS`], and on which connection.
    waiting: BTreeSet<(usize, ConnectionId)>,
    /// Time at which the last message went out.
    spoken: Option<Timestamp>,
    /// Notices that had no time yet: subscriptions that the venue cannot serve.
    notices: PendingNotices,
}

impl Coinbase {
    /// A session that knows nothing yet.
    pub fn new() -> Coinbase {
        Coinbase::default()
    }

    fn place(&mut self, connection: ConnectionId, product: &str) -> Result<usize, Unreadable> {
        let table = &self.table;
        self.instruments
            .place(product, connection, |name| table.symbol(name).cloned().or_else(|| wire::symbol_of(name)))
    }

    /// Sends what is to be asked for next, unless something was sent a moment ago.
    fn speak(&mut self, emit: &mut Emit<'_>) {
        let early =
            |then: Timestamp| emit.now.nanos().abs_diff(then.nanos()) < SPOKEN_MS_MIN.unsigned_abs() * 1_000_000;
        if self.spoken.is_some_and(early) {
            return;
        }
        let urgent = self.waiting.first().is_some_and(|(channel, _)| *channel < 2);
        let connections = self.wanted.products.len().div_ceil(PRODUCTS_MAX);
        for _ in 0..if urgent { connections.div_ceil(ROUND_TICKS_MAX) } else { 1 } {
            let Some((channel, connection)) = self.waiting.pop_first() else { return };
            self.spoken = Some(emit.now);
            self.ask(connection, CHANNELS[channel], emit);
        }
    }

    fn ask(&mut self, connection: ConnectionId, channel: &str, emit: &mut Emit<'_>) {
        let products = self.wanted.of(connection).to_vec();
        let message = serde_json::json!({"type": "subscribe", "product_ids": products, "channel": channel});
        emit.send(connection, message.to_string());
        for product in products.iter().filter(|_| channel == BOOKS) {
            if let Ok(place) = self.place(connection, product)
                && let Some(instrument) = self.instruments.get(place)
            {
                instrument.subscribed(connection, emit.now);
            }
        }
    }

    fn event(
        &mut self,
        connection: ConnectionId,
        product: &str,
        time: Timestamp,
        kind: EventKind,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let place = self.place(connection, product)?;
        if let Some(instrument) = self.instruments.get(place) {
            emit.event(&instrument.symbol, Some(time), kind);
        }
        Ok(())
    }

    fn trades(
        &mut self,
        connection: ConnectionId,
        events: &[Trades<'_>],
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        for event in events {
            for raw in &event.trades {
                let (time, trade) = raw.read(event.kind == "snapshot")?;
                self.event(connection, raw.product_id, time, EventKind::Trade(trade), emit)?;
            }
        }
        Ok(())
    }

    /// Holds a message's number against the one expected.
    /// False for one that comes late: a book must not be built on it, since what came before it has been left out.
    fn in_sequence(&mut self, connection: ConnectionId, got: u64, emit: &mut Emit<'_>) -> bool {
        let next = Expected::Next(got.saturating_add(1));
        match self.expected.insert(connection, next) {
            None => {}
            Some(Expected::Next(expected)) if expected == got => {}
            Some(Expected::First) if got == 0 => {}
            // The beginning is missing, but nothing was built on it yet; a book whose snapshot went with it says so
            // itself. To open anew would be no better if the venue ever began elsewhere.
            Some(Expected::First) => self.gap(0, got, emit),
            Some(Expected::Next(expected)) => {
                // A late or repeated message does not turn the count back.
                if got < expected {
                    self.expected.insert(connection, Expected::Next(expected));
                }
                self.gap(expected, got, emit);
                self.resynchronize(connection, emit);
                return got > expected;
            }
        }
        true
    }

    fn gap(&mut self, expected: u64, got: u64, emit: &mut Emit<'_>) {
        let detail = format!("sequence_num {expected} expected, {got} came: messages of any channel may be missing");
        emit.incident(IncidentKind::Gap, None, None, detail);
    }

    /// Puts every book of a connection out of step and asks for a new connection.
    fn resynchronize(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        for instrument in self.instruments.iter_mut().filter(|i| i.connection == connection && i.step == Step::In) {
            instrument.lose(emit.now);
        }
        self.links.renew(connection, emit);
    }

    fn level2(
        &mut self,
        connection: ConnectionId,
        event: &Level2<'_>,
        timestamp: &str,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let place = self.place(connection, event.product_id)?;
        let batches = match wire::batches(&event.updates) {
            Ok(batches) => batches,
            Err(why) => {
                // The number of this message has been counted, so nothing later would show that it is missing.
                self.resynchronize(connection, emit);
                return Err(why);
            }
        };
        let Some(instrument) = self.instruments.get(place) else { return Ok(()) };
        instrument.connection = connection;
        match event.kind {
            "snapshot" => {
                let time = match batches.iter().map(|b| b.time).max() {
                    Some(time) => time,
                    None => wire::time(timestamp)?,
                };
                let (mut bids, mut asks) = (Vec::new(), Vec::new());
                for Batch { bids: more_bids, asks: more_asks, .. } in batches {
                    bids.extend(more_bids);
                    asks.extend(more_asks);
                }
                instrument.replace(&mut bids, &mut asks);
                let snapshot = BookSnapshot { bids, asks, sequence: None, checksum: None };
                emit.event(&instrument.symbol, Some(time), EventKind::BookSnapshot(snapshot));
                instrument.look_over(emit);
            }
            "update" if instrument.step == Step::In => {
                for Batch { time, bids, asks } in batches {
                    instrument.apply(&bids, &asks);
                    let delta = BookDelta { bids, asks, sequence: None, checksum: None };
                    emit.event(&instrument.symbol, Some(time), EventKind::BookDelta(delta));
                }
                instrument.look_over(emit);
            }
            "update" if instrument.step == Step::Waiting => {
                let detail = "a snapshot expected, an update came".to_owned();
                emit.incident(IncidentKind::Gap, Some(&instrument.symbol), Some(Feed::Book), detail);
                instrument.lose(emit.now);
                self.links.renew(connection, emit);
            }
            "update" => {}
            other => {
                let why = Unreadable(format!("{other:?} is no kind of l2_data"));
                self.resynchronize(connection, emit);
                return Err(why);
            }
        }
        Ok(())
    }
}

impl Venue for Coinbase {
    const UPKEEP: Upkeep = UPKEEP;

    fn venue(&self) -> Exchange {
        Exchange::Coinbase
    }

    fn shared(&mut self) -> (&mut Links, &mut PendingNotices) {
        (&mut self.links, &mut self.notices)
    }

    fn instruments(&self) -> impl Iterator<Item = &Instruments> {
        std::iter::once(&self.instruments)
    }

    fn begin(&mut self, subscription: &Subscription, output: &mut Output) {
        (self.wanted, self.notices) = (Wanted::default(), PendingNotices::of(Exchange::Coinbase, subscription));
        for symbol in &subscription.symbols {
            if let Some(other) = wire::other_name(symbol) {
                self.notices.under_another_name(Exchange::Coinbase, symbol, &other);
                continue;
            }
            match wire::product_of(symbol) {
                Some(product) => {
                    self.table.insert(&product, symbol.clone());
                    self.wanted.products.push(product);
                }
                None => self.notices.instrument(Exchange::Coinbase, symbol),
            }
        }
        let asked = subscription.feeds.iter().filter_map(|feed| wire::channel_of(*feed));
        self.wanted.channels = asked.filter_map(|asked| CHANNELS.iter().position(|known| *known == asked)).collect();
        if self.wanted.products.is_empty() || self.wanted.channels.is_empty() {
            // The venue closes a connection that asks for nothing.
            return;
        }
        output.actions.push(Action::Get { url: PRODUCTS_URL.to_owned() });
        for (connection, _) in (0..).zip(self.wanted.products.chunks(PRODUCTS_MAX)) {
            output.actions.push(Action::Open { connection: ConnectionId(connection), url: URL.to_owned() });
        }
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.expected.remove(&connection);
        self.waiting.retain(|(_, other)| *other != connection);
        self.instruments.forget(connection);
    }

    fn subscribe(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        self.expected.insert(connection, Expected::First);
        if !self.wanted.of(connection).is_empty() {
            self.waiting.insert((0, connection));
            self.waiting.extend(self.wanted.channels.iter().map(|channel| (*channel, connection)));
            self.speak(emit);
        }
    }

    fn read(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let text = std::str::from_utf8(data).map_err(|e| Unreadable(e.to_string()))?;
        match wire::about(text)? {
            About::Error => {
                emit.incident(IncidentKind::Refused, None, None, excerpt(data));
                self.links.refused(connection, emit.now);
            }
            About::Channel("l2_data") => {
                let frame: Frame<'_, Level2<'_>> = serde_json::from_str(text)?;
                if !self.in_sequence(connection, frame.sequence_num, emit) {
                    return Ok(());
                }
                for event in &frame.events {
                    self.level2(connection, event, frame.timestamp, emit)?;
                }
            }
            About::Channel("market_trades") => {
                let frame: Frame<'_, Trades<'_>> = serde_json::from_str(text)?;
                self.in_sequence(connection, frame.sequence_num, emit);
                self.trades(connection, &frame.events, emit)?;
            }
            About::Channel("ticker" | "ticker_batch") => {
                let frame: Frame<'_, Tickers<'_>> = serde_json::from_str(text)?;
                self.in_sequence(connection, frame.sequence_num, emit);
                let time = wire::time(frame.timestamp)?;
                for ticker in frame.events.iter().flat_map(|e| &e.tickers) {
                    let kind = EventKind::Ticker(ticker.read()?);
                    self.event(connection, ticker.product_id, time, kind, emit)?;
                }
            }
            About::Channel("candles") => {
                let frame: Frame<'_, Candles<'_>> = serde_json::from_str(text)?;
                self.in_sequence(connection, frame.sequence_num, emit);
                let time = wire::time(frame.timestamp)?;
                for candle in frame.events.iter().flat_map(|e| &e.candles) {
                    let kind = EventKind::Candle(candle.read()?);
                    self.event(connection, candle.product_id, time, kind, emit)?;
                }
            }
            // Heartbeats, answers to subscriptions, and channels to come: they count, and that is all.
            About::Channel(_) => {
                let frame: Frame<'_, IgnoredAny> = serde_json::from_str(text)?;
                self.in_sequence(connection, frame.sequence_num, emit);
            }
        }
        Ok(())
    }

    fn response(&mut self, url: &str, status: u16, body: &[u8], emit: &mut Emit<'_>) {
        if !url.contains(PRODUCTS_PATH) {
            return;
        }
        if status != 200 {
            emit.refused(url, status, body);
        } else if let Err(why) = wire::read_products(body, &mut self.table) {
            emit.garbage(&why, body);
        }
    }

    fn overdue(&mut self, emit: &mut Emit<'_>) {
        self.speak(emit);
        self.instruments.renew_overdue(&mut self.links, emit);
    }
}
