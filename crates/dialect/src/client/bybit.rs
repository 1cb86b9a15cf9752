//! Bybit v5, public market data of the spot and linear markets (bybit-exchange.github.io/docs/v5/ws/connect).
//!
//! Each market has a connection. Books: `u` counts the messages of a topic one by one; anything else than the next
//! number puts that book out of step, and its topic is left and joined again, which brings a snapshot. `u` = 1 comes with
//! a snapshot after the venue's service was restarted and is taken as such.
//!
//! Tickers are one topic for many things, and its deltas carry only what has changed since. The rule here: each message
//! gives one ticker event with the merged state; funding, open interest, index price and mark price give an event when
//! the message carries them, again with the merged state. So the events say what the venue said, none twice, and the
//! latest event of each kind always holds the state. (cryptofeed repeats every value at every message, tardis-dev gives
//! one record of everything when one of a few fields changes: the values at each moment are the same.) Spot tickers
//! have no bid and ask. Their `usdIndexPrice` is no index event: it is in US dollars whatever the pair's quote is.
//!
//! Times are those the venue gives: `T` of a trade or liquidation, `timestamp` of a candle, `ts` of books and tickers.

use std::collections::BTreeMap;

use openmesh_market::ConnectionId;
use openmesh_market::OrderBook;
use openmesh_market::event::{
    BookDelta, BookSnapshot, EventKind, Exchange, Feed, Funding, IncidentKind, OpenInterest, Price, Side, Ticker,
};
use openmesh_primitives::{Decimal, Timestamp};

use self::wire::{
    About, Book, Category, Message, OldLiquidation, RawCandle, RawLiquidation, RawTicker, RawTrade, Tables,
};
use super::emit::Emit;
use super::instruments::{Instrument, Instruments, Step};
use super::links::{Links, Ping, Upkeep};
use super::offer::{PendingNotices, offers};
use super::unreadable::{Unreadable, excerpt};
use super::venue::Venue;
use crate::session::{Action, Output, Subscription};

#[cfg(test)]
mod tests;
mod wire;

const STREAM_URL: &str = "wss://stream.bybit.com/v5/public/";
const INSTRUMENTS_URL: &str = "https://api.bybit.com/v5/market/instruments-info";
const INSTRUMENTS_PATH: &str = "/market/instruments-info";

/// Levels a side of the book that is subscribed to: the deepest that both markets send each 100 to 200 ms.
const DEPTH: u32 = 200;

/// The documents ask for a ping each 20 s; its answer alone breaks the silence.
const UPKEEP: Upkeep = Upkeep { ping: Ping::Every(20_000, r#"{"op":"ping"}"#), silence_ms_max: 60_000 };

/// The known fields of an instrument's ticker; `None` before a snapshot.
#[derive(Clone, Copy, Default)]
struct Known {
    last: Option<Decimal>,
    bid: Option<Decimal>,
    bid_size: Option<Decimal>,
    ask: Option<Decimal>,
    ask_size: Option<Decimal>,
    mark: Option<Decimal>,
    index: Option<Decimal>,
    open_interest: Option<Decimal>,
    funding_rate: Option<Decimal>,
    next_funding: Option<Timestamp>,
}

/// One market: its instruments, and their tickers and best levels by the same place.
#[derive(Default)]
struct Market {
    instruments: Instruments,
    tickers: BTreeMap<usize, Known>,
    bests: BTreeMap<usize, OrderBook>,
}

/// A session with Bybit.
#[derive(Default)]
pub struct Bybit {
    markets: [Market; 2],
    tables: Tables,
    links: Links,
    categories: BTreeMap<ConnectionId, Category>,
    /// By instrument: the venue refuses a request whole where it does not know one of its topics, so that one which it does
    /// not have would take others with it. An instrument has half as many topics as the spot market takes in a request.
    topics: [Vec<Vec<String>>; 2],
    notices: PendingNotices,
}

fn connection_of(category: Category) -> ConnectionId {
    ConnectionId(category as u32)
}

fn topic_of(feed: Feed, category: Category, name: &str) -> Option<String> {
    match (feed, category) {
        (Feed::Trades, _) => Some(format!("publicTrade.{name}")),
        (Feed::Book, _) => Some(format!("orderbook.{DEPTH}.{name}")),
        (Feed::Ticker, _) => Some(format!("tickers.{name}")),
        (Feed::Candles, _) => Some(format!("kline.1.{name}")),
        (Feed::Funding | Feed::OpenInterest | Feed::MarkPrice | Feed::IndexPrice, Category::Linear) => {
            Some(format!("tickers.{name}"))
        }
        (Feed::Liquidations, Category::Linear) => Some(format!("allLiquidation.{name}")),
        _ => None,
    }
}

fn request(op: &str, topics: &[String]) -> String {
    serde_json::json!({ "op": op, "args": topics }).to_string()
}

impl Bybit {
    /// A session that knows nothing yet.
    pub fn new() -> Bybit {
        Bybit::default()
    }

    fn category(&self, connection: ConnectionId) -> Category {
        self.categories.get(&connection).copied().unwrap_or(Category::Linear)
    }

    /// The market of a connection, and the place of an instrument in it.
    fn place(&mut self, connection: ConnectionId, name: &str) -> Result<(&mut Market, usize), Unreadable> {
        let category = self.category(connection);
        let table = self.tables.of(category);
        let market = &mut self.markets[category as usize];
        let place = market
            .instruments
            .place(name, connection, |name| table.symbol(name).cloned().or_else(|| wire::symbol_of(category, name)))?;
        Ok((market, place))
    }

    fn instrument(&mut self, connection: ConnectionId, name: &str) -> Result<&mut Instrument, Unreadable> {
        let (market, place) = self.place(connection, name)?;
        market.instruments.get(place).ok_or_else(|| Unreadable("an instrument without a place".into()))
    }

    fn trades(
        &mut self,
        connection: ConnectionId,
        message: Message<'_, Vec<RawTrade<'_>>>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        for raw in &message.data {
            let (time, trade) = raw.read()?;
            let instrument = self.instrument(connection, raw.instrument)?;
            emit.event(&instrument.symbol, Some(time), EventKind::Trade(trade));
        }
        Ok(())
    }

    fn candles(
        &mut self,
        connection: ConnectionId,
        name: &str,
        message: Message<'_, Vec<RawCandle<'_>>>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let instrument = self.instrument(connection, name)?;
        for raw in &message.data {
            let (time, candle) = raw.read()?;
            emit.event(&instrument.symbol, Some(time), EventKind::Candle(candle));
        }
        Ok(())
    }

    fn liquidations(
        &mut self,
        connection: ConnectionId,
        all: &[RawLiquidation<'_>],
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        for raw in all {
            let (time, liquidation) = raw.read()?;
            let instrument = self.instrument(connection, raw.instrument)?;
            emit.event(&instrument.symbol, Some(time), EventKind::Liquidation(liquidation));
        }
        Ok(())
    }

    fn ticker(
        &mut self,
        connection: ConnectionId,
        name: &str,
        message: Message<'_, RawTicker<'_>>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let time = message.time()?;
        let (market, place) = self.place(connection, name)?;
        let known = match (message.kind, market.tickers.get(&place)) {
            ("snapshot", _) => Known::default(),
            ("delta", Some(known)) => *known,
            // A delta says what has changed; without a snapshot nobody knows since what.
            ("delta", None) => return Ok(()),
            (other, _) => return Err(Unreadable(format!("{other:?} is no kind of ticker"))),
        };
        let (known, events) = known.merged(&message.data)?;
        market.tickers.insert(place, known);
        if let Some(instrument) = market.instruments.get(place) {
            for kind in events.into_iter().flatten() {
                emit.event(&instrument.symbol, Some(time), kind);
            }
        }
        Ok(())
    }

    /// `orderbook.1`: the best levels, the first time whole, then what has changed of them.
    fn best(
        &mut self,
        connection: ConnectionId,
        name: &str,
        message: Message<'_, Book>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let time = message.time()?;
        let (market, place) = self.place(connection, name)?;
        let best = match message.kind {
            "snapshot" => market.bests.entry(place).insert_entry(OrderBook::new()).into_mut(),
            "delta" => match market.bests.get_mut(&place) {
                Some(known) => known,
                None => return Ok(()),
            },
            other => return Err(Unreadable(format!("{other:?} is no kind of order book"))),
        };
        for (side, levels) in [(Side::Buy, &message.data.bids), (Side::Sell, &message.data.asks)] {
            for (price, size) in levels {
                best.set(side, *price, *size);
            }
        }
        best.truncate(1);
        let level = |side: Side| best.best(side).copied().unzip();
        let ((bid, bid_size), (ask, ask_size)) = (level(Side::Buy), level(Side::Sell));
        let ticker = Ticker { bid, bid_size, ask, ask_size, last: None };
        if let Some(instrument) = market.instruments.get(place) {
            emit.event(&instrument.symbol, Some(time), EventKind::Ticker(ticker));
        }
        Ok(())
    }

    fn book_message(
        &mut self,
        connection: ConnectionId,
        (topic, depth, name): (&str, u32, &str),
        message: Message<'_, Book>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let time = message.time()?;
        let instrument = self.instrument(connection, name)?;
        let Book { mut bids, mut asks, update } = message.data;
        let snapshot = match message.kind {
            "snapshot" => true,
            "delta" => update == 1,
            other => return Err(Unreadable(format!("{other:?} is no kind of order book"))),
        };
        if depth < instrument.depth || (depth > instrument.depth && !snapshot && instrument.depth > 0) {
            // A book of another depth runs beside: the deepest is kept.
            return Ok(());
        }
        instrument.connection = connection;
        if snapshot {
            instrument.replace(&mut bids, &mut asks);
            (instrument.depth, instrument.sequence) = (depth, Some(update));
            let book = BookSnapshot { bids, asks, sequence: Some(update), checksum: None };
            emit.event(&instrument.symbol, Some(time), EventKind::BookSnapshot(book));
            instrument.look_over(emit);
            return Ok(());
        }
        if matches!(instrument.step, Step::Out { .. }) {
            return Ok(());
        }
        let expected = instrument.sequence.map(|last| last.saturating_add(1));
        if instrument.step == Step::In && expected == Some(update) {
            instrument.apply(&bids, &asks);
            instrument.sequence = Some(update);
            let delta = BookDelta { bids, asks, sequence: Some(update), checksum: None };
            emit.event(&instrument.symbol, Some(time), EventKind::BookDelta(delta));
            instrument.look_over(emit);
            return Ok(());
        }
        let detail = match expected {
            Some(expected) => format!("{topic}: u {expected} expected, {update} came"),
            None => format!("{topic}: a snapshot expected, the delta with u {update} came"),
        };
        emit.incident(IncidentKind::Gap, Some(&instrument.symbol), Some(Feed::Book), detail);
        if instrument.lose_and_ask(emit.now) {
            for op in ["unsubscribe", "subscribe"] {
                emit.send(connection, request(op, &[topic.to_owned()]));
            }
        }
        Ok(())
    }
}

impl Known {
    /// The state after a message, and the events that it gives rise to.
    fn merged(mut self, raw: &RawTicker<'_>) -> Result<(Known, [Option<EventKind>; 5]), Unreadable> {
        wire::merge(&mut self.last, raw.last_price)?;
        wire::merge(&mut self.bid, raw.bid1_price)?;
        wire::merge(&mut self.bid_size, raw.bid1_size)?;
        wire::merge(&mut self.ask, raw.ask1_price)?;
        wire::merge(&mut self.ask_size, raw.ask1_size)?;
        let mark = wire::merge(&mut self.mark, raw.mark_price)?;
        let index = wire::merge(&mut self.index, raw.index_price)?;
        let open_interest = wire::merge(&mut self.open_interest, raw.open_interest)?;
        let rate = wire::merge(&mut self.funding_rate, raw.funding_rate)?;
        let next = raw.next_funding_time.is_some();
        if let Some(text) = raw.next_funding_time {
            self.next_funding = if text.text().is_empty() { None } else { Some(text.millis()?) };
        }
        let ticker =
            Ticker { bid: self.bid, bid_size: self.bid_size, ask: self.ask, ask_size: self.ask_size, last: self.last };
        let funding = self.funding_rate.filter(|_| rate || next).map(|rate| Funding {
            rate,
            next_funding: self.next_funding,
            mark_price: self.mark,
            predicted_rate: None,
        });
        let price = |price: Option<Decimal>| price.map(|price| Price { price });
        let events = [
            Some(EventKind::Ticker(ticker)),
            funding.map(EventKind::Funding),
            self.open_interest
                .filter(|_| open_interest)
                .map(|o| EventKind::OpenInterest(OpenInterest { open_interest: o })),
            price(self.index.filter(|_| index)).map(EventKind::IndexPrice),
            price(self.mark.filter(|_| mark)).map(EventKind::MarkPrice),
        ];
        Ok((self, events))
    }
}

impl Venue for Bybit {
    const UPKEEP: Upkeep = UPKEEP;

    fn venue(&self) -> Exchange {
        Exchange::Bybit
    }

    fn shared(&mut self) -> (&mut Links, &mut PendingNotices) {
        (&mut self.links, &mut self.notices)
    }

    fn instruments(&self) -> impl Iterator<Item = &Instruments> {
        self.markets.iter().map(|market| &market.instruments)
    }

    fn begin(&mut self, subscription: &Subscription, output: &mut Output) {
        (self.topics, self.notices) = (Default::default(), PendingNotices::of(Exchange::Bybit, subscription));
        for symbol in &subscription.symbols {
            let Some((category, name)) = wire::name_of(symbol) else {
                self.notices.instrument(Exchange::Bybit, symbol);
                continue;
            };
            self.tables.insert(category, &name, symbol.clone());
            let mut topics = Vec::new();
            for feed in subscription.feeds.iter().filter(|feed| offers(Exchange::Bybit, symbol, **feed)) {
                if let Some(topic) = topic_of(*feed, category, &name).filter(|topic| !topics.contains(topic)) {
                    topics.push(topic);
                }
            }
            if !topics.is_empty() {
                self.topics[category as usize].push(topics);
            }
        }
        for category in Category::ALL.into_iter().filter(|c| !self.topics[*c as usize].is_empty()) {
            let word = category.word();
            output.actions.push(Action::Get { url: format!("{INSTRUMENTS_URL}?category={word}&limit=1000") });
            self.categories.insert(connection_of(category), category);
            output
                .actions
                .push(Action::Open { connection: connection_of(category), url: format!("{STREAM_URL}{word}") });
        }
    }

    fn opened(&mut self, connection: ConnectionId, url: &str) {
        if let Some(category) = Category::of_url(url) {
            self.categories.insert(connection, category);
        }
    }

    /// Nothing that came over a connection holds any more once it is another one.
    fn forget(&mut self, connection: ConnectionId) {
        let market = &mut self.markets[self.category(connection) as usize];
        market.instruments.forget(connection);
        market.tickers.clear();
        market.bests.clear();
    }

    fn subscribe(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        let mut books = Vec::new();
        for topics in &self.topics[self.category(connection) as usize] {
            emit.send(connection, request("subscribe", topics));
            let book = |topic: &String| Some(topic.strip_prefix("orderbook.")?.split_once('.')?.1.to_owned());
            books.extend(topics.iter().filter_map(book));
        }
        for name in books {
            if let Ok(instrument) = self.instrument(connection, &name) {
                instrument.subscribed(connection, emit.now);
            }
        }
    }

    fn read(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        let text = std::str::from_utf8(data).map_err(|e| Unreadable(e.to_string()))?;
        let topic = match wire::about(text)? {
            About::Topic(topic) => topic,
            About::Answer(granted) => {
                if !granted {
                    emit.incident(IncidentKind::Refused, None, None, excerpt(data));
                    self.links.refused(connection, emit.now);
                }
                return Ok(());
            }
        };
        let (name, rest) = topic.split_once('.').unwrap_or((topic, ""));
        match name {
            "orderbook" => {
                let (depth, instrument) =
                    rest.split_once('.').ok_or_else(|| Unreadable("a topic without depth".into()))?;
                if depth == "rpi" {
                    // Another book, with the retail orders that the others leave out, in levels of three numbers.
                    return Ok(());
                }
                match depth.parse().map_err(|_| Unreadable("a topic without depth".into()))? {
                    // The best level alone is a ticker, not a book.
                    1 => self.best(connection, instrument, serde_json::from_str(text)?, emit),
                    depth => {
                        self.book_message(connection, (topic, depth, instrument), serde_json::from_str(text)?, emit)
                    }
                }
            }
            "publicTrade" => self.trades(connection, serde_json::from_str(text)?, emit),
            "tickers" => self.ticker(connection, rest, serde_json::from_str(text)?, emit),
            "kline" => {
                let (_, instrument) =
                    rest.split_once('.').ok_or_else(|| Unreadable("a topic without interval".into()))?;
                self.candles(connection, instrument, serde_json::from_str(text)?, emit)
            }
            "allLiquidation" => {
                let message: Message<'_, Vec<RawLiquidation<'_>>> = serde_json::from_str(text)?;
                self.liquidations(connection, &message.data, emit)
            }
            "liquidation" => {
                let message: Message<'_, OldLiquidation<'_>> = serde_json::from_str(text)?;
                self.liquidations(connection, &[message.data.into()], emit)
            }
            _ if wire::is_other(name) => Ok(()),
            other => Err(Unreadable(format!("topic {other:?} is not known"))),
        }
    }

    fn response(&mut self, url: &str, status: u16, body: &[u8], emit: &mut Emit<'_>) {
        if !url.contains(INSTRUMENTS_PATH) {
            return;
        }
        if status != 200 {
            return emit.refused(url, status, body);
        }
        let tables = &mut self.tables;
        match wire::read_instruments(body, |category, name, symbol| tables.insert(category, name, symbol)) {
            Ok(None) => {}
            Ok(Some((category, cursor))) => {
                emit.get(format!("{INSTRUMENTS_URL}?category={}&limit=1000&cursor={cursor}", category.word()));
            }
            Err(why) => emit.garbage(&why, body),
        }
    }

    fn overdue(&mut self, emit: &mut Emit<'_>) {
        for market in &mut self.markets {
            market.instruments.renew_overdue(&mut self.links, emit);
        }
    }
}
