//! OKX v5, public market data (www.okx.com/docs-v5, "WebSocket"); Okcoin speaks the same.
//!
//! Books are checked twice, as far as the venue lets us: `prevSeqId` has to be the `seqId` before it, and the checksum has
//! to be that of our best 25 levels. Recordings of 2022 have the checksum only, which says nothing about deeper
//! levels; since June 2026 the venue sends the numbers only, with a checksum of 0. A message that fails a check is not
//! passed on: the book is out of step from there, its channel is left and joined again, which brings a snapshot.
//!
//! Candles come over an address of their own (`/business`). Port 8443, under which recordings name both, was closed on
//! 31 October 2026; they are at 443 since. Index prices belong to a pair, not to a contract: where
//! contracts on that pair were subscribed to, each gets the event, else it goes under the pair's own name.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_market::ConnectionId;
use openmesh_market::event::{BookDelta, BookSnapshot, EventKind, Exchange, Feed, IncidentKind};
use openmesh_primitives::{Contract, Symbol, Timestamp};

use self::wire::{About, Book, Message, RawFunding, RawLiquidations, RawTicker, RawTrade, Reading};
use super::emit::Emit;
use super::instruments::{Instrument, Instruments, Step};
use super::json::Num;
use super::links::{Links, Ping, Upkeep};
use super::names::{INSTRUMENTS_MAX, Symbols};
use super::offer::{PendingNotices, offers};
use super::unreadable::{Unreadable, excerpt};
use super::venue::Venue;
use crate::session::{Action, Output, Subscription};

#[cfg(test)]
mod tests;
mod wire;

const PUBLIC_URL: &str = "wss://ws.okx.com/ws/v5/public";
const BUSINESS_URL: &str = "wss://ws.okx.com/ws/v5/business";
const INSTRUMENTS_URL: &str = "https://www.okx.com/api/v5/public/instruments";
const INSTRUMENTS_PATH: &str = "/public/instruments";

/// Everything but candles.
const PUBLIC: ConnectionId = ConnectionId(0);
/// Candles.
const BUSINESS: ConnectionId = ConnectionId(1);

/// The channel of books that is subscribed to.
const BOOKS: &str = "books";

/// Channels in one request: the venue takes 64 KiB, and a channel is at most about 100 bytes.
const CHANNELS_MAX: usize = 400;

/// The venue closes a connection that was silent for 30 s; it answers a ping at once.
const UPKEEP: Upkeep = Upkeep { ping: Ping::WhenSilent(20_000, "ping"), silence_ms_max: 30_000 };

/// A subscription on a connection: channel, key and value.
type Channel = (&'static str, &'static str, String);

/// A session with OKX, or with OKCoin, which speaks like it.
pub struct Okx {
    exchange: Exchange,
    instruments: Instruments,
    table: Symbols,
    links: Links,
    channels: BTreeMap<ConnectionId, Vec<Channel>>,
    /// Contracts that were subscribed to, by the pair of their index.
    indexed: BTreeMap<String, Vec<Symbol>>,
    /// Instruments whose liquidations were asked for: the venue sends those of all of a kind. Empty: all.
    liquidated: BTreeSet<Symbol>,
    /// Depth of the channel that each book is built from.
    depths: BTreeMap<String, u32>,
    notices: PendingNotices,
    scratch: Vec<u8>,
}

fn channels_of(feed: Feed, symbol: &Symbol) -> Option<(ConnectionId, Channel)> {
    let contract = symbol.contract != Contract::Spot;
    let by_name = |connection, channel| Some((connection, (channel, "instId", wire::name_of(symbol))));
    match feed {
        Feed::Trades => by_name(PUBLIC, "trades"),
        Feed::Book => by_name(PUBLIC, BOOKS),
        Feed::Ticker => by_name(PUBLIC, "tickers"),
        Feed::Candles => by_name(BUSINESS, "candle1m"),
        Feed::Funding if symbol.contract == Contract::Perpetual => by_name(PUBLIC, "funding-rate"),
        Feed::OpenInterest if contract => by_name(PUBLIC, "open-interest"),
        Feed::MarkPrice => by_name(PUBLIC, "mark-price"),
        Feed::IndexPrice => Some((PUBLIC, ("index-tickers", "instId", pair_of(symbol)))),
        Feed::Liquidations if contract => {
            Some((PUBLIC, ("liquidation-orders", "instType", wire::kind_of(symbol).to_owned())))
        }
        _ => None,
    }
}

fn pair_of(symbol: &Symbol) -> String {
    format!("{}-{}", symbol.base, symbol.quote)
}

fn request(op: &str, channels: &[Channel]) -> String {
    let args: Vec<_> =
        channels.iter().map(|(channel, key, value)| serde_json::json!({ "channel": channel, *key: value })).collect();
    serde_json::json!({ "op": op, "args": args }).to_string()
}

impl Default for Okx {
    fn default() -> Okx {
        Okx::new()
    }
}

impl Okx {
    /// A session that knows nothing yet.
    pub fn new() -> Okx {
        Okx::of(Exchange::Okx)
    }

    /// The same for a venue that speaks like OKX.
    pub(super) fn of(exchange: Exchange) -> Okx {
        Okx {
            exchange,
            instruments: Instruments::default(),
            table: Symbols::default(),
            links: Links::default(),
            channels: BTreeMap::new(),
            indexed: BTreeMap::new(),
            liquidated: BTreeSet::new(),
            depths: BTreeMap::new(),
            notices: PendingNotices::default(),
            scratch: Vec::new(),
        }
    }

    fn notice(&mut self, connection: ConnectionId, event: &str, code: Option<&str>, data: &[u8], emit: &mut Emit<'_>) {
        match (event, code) {
            // 64008: the connection will soon be closed for a service upgrade. Better at once than in the midst of it.
            ("notice", Some("64008")) => {
                emit.incident(IncidentKind::Disconnected, None, None, excerpt(data));
                self.links.renew(connection, emit);
            }
            ("error" | "channel-conn-count-error", _) => {
                emit.incident(IncidentKind::Refused, None, None, excerpt(data));
                self.links.refused(connection, emit.now);
            }
            ("notice", _) => emit.incident(IncidentKind::Refused, None, None, excerpt(data)),
            _ => {}
        }
    }

    fn instrument(&mut self, connection: ConnectionId, name: &str) -> Result<&mut Instrument, Unreadable> {
        let table = &self.table;
        let place = self
            .instruments
            .place(name, connection, |name| table.symbol(name).cloned().or_else(|| wire::symbol_of(name)))?;
        self.instruments.get(place).ok_or_else(|| Unreadable("an instrument without a place".into()))
    }

    fn event(
        &mut self,
        connection: ConnectionId,
        name: &str,
        time: Option<Timestamp>,
        kind: EventKind,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let instrument = self.instrument(connection, name)?;
        emit.event(&instrument.symbol, time, kind);
        Ok(())
    }

    fn values(
        &mut self,
        connection: ConnectionId,
        channel: &str,
        message: Message<'_, Reading<'_>>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        for raw in &message.data {
            if channel == "open-interest" {
                let (time, open_interest) = raw.open_interest()?;
                self.event(connection, raw.inst_id, Some(time), EventKind::OpenInterest(open_interest), emit)?;
                continue;
            }
            let (time, price) = raw.price()?;
            if channel == "mark-price" {
                self.event(connection, raw.inst_id, Some(time), EventKind::MarkPrice(price), emit)?;
                continue;
            }
            match self.indexed.get(raw.inst_id) {
                Some(symbols) => {
                    symbols.iter().for_each(|s| emit.event(s, Some(time), EventKind::IndexPrice(price.clone())));
                }
                None => self.event(connection, raw.inst_id, Some(time), EventKind::IndexPrice(price), emit)?,
            }
        }
        Ok(())
    }

    fn liquidations(
        &mut self,
        connection: ConnectionId,
        message: Message<'_, RawLiquidations<'_>>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        for raw in &message.data {
            let symbol = self.instrument(connection, raw.inst_id)?.symbol.clone();
            if !self.liquidated.is_empty() && !self.liquidated.contains(&symbol) {
                continue;
            }
            for order in &raw.details {
                let (time, liquidation) = order.read()?;
                emit.event(&symbol, Some(time), EventKind::Liquidation(liquidation));
            }
        }
        Ok(())
    }

    fn candles(
        &mut self,
        connection: ConnectionId,
        message: Message<'_, Vec<Num<'_>>>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let channel = message.arg.channel;
        let interval =
            wire::interval_of(channel).ok_or_else(|| Unreadable(format!("{channel:?}: no interval is known")))?;
        for fields in &message.data {
            let candle = wire::candle(fields, &interval)?;
            self.event(connection, message.arg.inst_id, None, EventKind::Candle(candle), emit)?;
        }
        Ok(())
    }

    fn books_message(
        &mut self,
        connection: ConnectionId,
        message: Message<'_, Book<'_>>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let Message { arg, action, data } = message;
        let snapshot = match (action, arg.channel) {
            // The five best levels come whole each time.
            ("snapshot", _) | ("", "books5") => true,
            ("update", _) => false,
            (other, _) => return Err(Unreadable(format!("{other:?} is no action of a book"))),
        };
        if !self.is_the_deepest(arg.channel, arg.inst_id, snapshot) {
            // The book is built from another channel.
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let instrument = self.instrument(connection, arg.inst_id)?;
        instrument.connection = connection;
        let mut result = Ok(());
        for book in data {
            let time = match book.ts.millis() {
                Ok(time) => time,
                Err(why) => {
                    result = Err(why);
                    break;
                }
            };
            let fault = if snapshot {
                take_snapshot(instrument, book, time, &mut scratch, emit)
            } else {
                take_update(instrument, book, time, &mut scratch, emit)
            };
            if let Err((kind, detail)) = fault {
                emit.incident(kind, Some(&instrument.symbol), Some(Feed::Book), detail);
                if instrument.lose_and_ask(emit.now) {
                    let channel = serde_json::json!({ "channel": arg.channel, "instId": arg.inst_id });
                    for op in ["unsubscribe", "subscribe"] {
                        emit.send(connection, serde_json::json!({ "op": op, "args": [channel] }).to_string());
                    }
                }
                break;
            }
        }
        self.scratch = scratch;
        result
    }

    /// Returns true where a book's channel is the one that the book is built from: the deepest that there is, from its
    /// snapshot on.
    fn is_the_deepest(&mut self, channel: &str, name: &str, snapshot: bool) -> bool {
        let depth = wire::depth_of(channel);
        let room = self.depths.len() < INSTRUMENTS_MAX;
        match self.depths.get_mut(name) {
            Some(known) if depth > *known && snapshot => *known = depth,
            Some(known) => return depth == *known,
            None if room => drop(self.depths.insert(name.to_owned(), depth)),
            None => {}
        }
        true
    }
}

/// The fault of a book message.
type Fault = (IncidentKind, String);

/// Holds a book against the message's checksum, where it has one.
fn check(instrument: &Instrument, expected: Option<i64>, scratch: &mut Vec<u8>) -> Result<(), Fault> {
    let Some(expected) = expected else { return Ok(()) };
    let got = wire::checksum(&instrument.book, scratch);
    if got == expected {
        return Ok(());
    }
    Err((IncidentKind::Checksum, format!("checksum {expected} expected, that of the book is {got}")))
}

fn take_snapshot(
    instrument: &mut Instrument,
    mut book: Book<'_>,
    time: Timestamp,
    scratch: &mut Vec<u8>,
    emit: &mut Emit<'_>,
) -> Result<(), Fault> {
    let checksum = book.checked();
    instrument.replace(&mut book.bids, &mut book.asks);
    check(instrument, checksum, scratch)?;
    instrument.sequence = book.seq_id.and_then(|id| u64::try_from(id).ok());
    let event = BookSnapshot { bids: book.bids, asks: book.asks, sequence: instrument.sequence, checksum };
    emit.event(&instrument.symbol, Some(time), EventKind::BookSnapshot(event));
    instrument.look_over(emit);
    Ok(())
}

fn take_update(
    instrument: &mut Instrument,
    book: Book<'_>,
    time: Timestamp,
    scratch: &mut Vec<u8>,
    emit: &mut Emit<'_>,
) -> Result<(), Fault> {
    match instrument.step {
        Step::In => {}
        Step::Out { .. } => return Ok(()),
        Step::Waiting => return Err((IncidentKind::Gap, "a snapshot expected, an update came".to_owned())),
    }
    let previous = book.prev_seq_id.map(|id| u64::try_from(id).ok());
    if let (Some(last), Some(previous)) = (instrument.sequence, previous)
        && previous != Some(last)
    {
        let got = book.prev_seq_id.unwrap_or_default();
        return Err((IncidentKind::Gap, format!("prevSeqId {last} expected, {got} came")));
    }
    let checksum = book.checked();
    instrument.apply(&book.bids, &book.asks);
    check(instrument, checksum, scratch)?;
    instrument.sequence = book.seq_id.and_then(|id| u64::try_from(id).ok()).or(instrument.sequence);
    let event = BookDelta { bids: book.bids, asks: book.asks, sequence: instrument.sequence, checksum };
    emit.event(&instrument.symbol, Some(time), EventKind::BookDelta(event));
    instrument.look_over(emit);
    Ok(())
}

impl Venue for Okx {
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
        (self.channels, self.indexed, self.liquidated) = Default::default();
        self.notices = PendingNotices::of(self.exchange, subscription);
        let mut tables = BTreeSet::new();
        for symbol in &subscription.symbols {
            self.table.insert(&wire::name_of(symbol), symbol.clone());
            let family = format!("&instFamily={}", pair_of(symbol));
            let option = matches!(symbol.contract, Contract::Option { .. });
            tables.insert(format!("instType={}{}", wire::kind_of(symbol), if option { &family } else { "" }));
            for feed in subscription.feeds.iter().filter(|feed| offers(self.exchange, symbol, **feed)) {
                let Some((connection, channel)) = channels_of(*feed, symbol) else { continue };
                match feed {
                    Feed::IndexPrice => self.indexed.entry(pair_of(symbol)).or_default().push(symbol.clone()),
                    Feed::Liquidations => drop(self.liquidated.insert(symbol.clone())),
                    _ => {}
                }
                let channels = self.channels.entry(connection).or_default();
                if !channels.contains(&channel) {
                    channels.push(channel);
                }
            }
        }
        output.actions.extend(tables.iter().map(|table| Action::Get { url: format!("{INSTRUMENTS_URL}?{table}") }));
        for connection in self.channels.keys() {
            let url = if *connection == PUBLIC { PUBLIC_URL } else { BUSINESS_URL }.to_owned();
            output.actions.push(Action::Open { connection: *connection, url });
        }
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.instruments.forget(connection);
        // What else comes over other connections says its depth again with its next snapshot.
        self.depths.clear();
    }

    fn subscribe(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        for channels in self.channels.get(&connection).into_iter().flat_map(|c| c.chunks(CHANNELS_MAX)) {
            emit.send(connection, request("subscribe", channels));
        }
        let books = self.channels.get(&connection).into_iter().flatten().filter(|(channel, ..)| *channel == BOOKS);
        for name in books.map(|(_, _, name)| name.clone()).collect::<Vec<_>>() {
            if let Ok(instrument) = self.instrument(connection, &name) {
                instrument.subscribed(connection, emit.now);
            }
        }
    }

    fn read(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let text = std::str::from_utf8(data).map_err(|e| Unreadable(e.to_string()))?;
        let channel = match wire::about(text)? {
            About::Channel(channel) => channel,
            About::Pong => return Ok(()),
            About::Event(event, code) => {
                self.notice(connection, event, code, data, emit);
                return Ok(());
            }
        };
        match channel {
            "books" | "books-l2-tbt" | "books50-l2-tbt" | "books5" => {
                let message: Message<'_, Book<'_>> = serde_json::from_str(text)?;
                self.books_message(connection, message, emit)
            }
            "bbo-tbt" => {
                let message: Message<'_, Book<'_>> = serde_json::from_str(text)?;
                for best in &message.data {
                    let kind = EventKind::Ticker(best.ticker());
                    self.event(connection, message.arg.inst_id, Some(best.ts.millis()?), kind, emit)?;
                }
                Ok(())
            }
            "trades" | "trades-all" => {
                let message: Message<'_, RawTrade<'_>> = serde_json::from_str(text)?;
                for raw in &message.data {
                    let (time, trade) = raw.read()?;
                    self.event(connection, raw.inst_id, Some(time), EventKind::Trade(trade), emit)?;
                }
                Ok(())
            }
            "tickers" => {
                let message: Message<'_, RawTicker<'_>> = serde_json::from_str(text)?;
                for raw in &message.data {
                    let (time, ticker) = raw.read()?;
                    self.event(connection, raw.inst_id, Some(time), EventKind::Ticker(ticker), emit)?;
                }
                Ok(())
            }
            "funding-rate" => {
                let message: Message<'_, RawFunding<'_>> = serde_json::from_str(text)?;
                for raw in &message.data {
                    let (time, funding) = raw.read()?;
                    self.event(connection, raw.inst_id, time, EventKind::Funding(funding), emit)?;
                }
                Ok(())
            }
            "open-interest" | "mark-price" | "index-tickers" => {
                self.values(connection, channel, serde_json::from_str(text)?, emit)
            }
            "liquidation-orders" => self.liquidations(connection, serde_json::from_str(text)?, emit),
            "instruments" => {
                let message: Message<'_, wire::Row<'_>> = serde_json::from_str(text)?;
                wire::take_instruments(&message.data, &mut self.table);
                Ok(())
            }
            _ if channel.starts_with("candle") => self.candles(connection, serde_json::from_str(text)?, emit),
            _ if wire::is_other(channel) => Ok(()),
            other => Err(Unreadable(format!("channel {other:?} is not known"))),
        }
    }

    fn response(&mut self, url: &str, status: u16, body: &[u8], emit: &mut Emit<'_>) {
        if !url.contains(INSTRUMENTS_PATH) {
            return;
        }
        if status != 200 {
            emit.refused(url, status, body);
        } else if let Err(why) = wire::read_instruments(body, &mut self.table) {
            emit.garbage(&why, body);
        }
    }

    fn overdue(&mut self, emit: &mut Emit<'_>) {
        self.instruments.renew_overdue(&mut self.links, emit);
    }
}
