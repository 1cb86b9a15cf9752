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
mod frame;
mod names;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::collections::BTreeMap;

use openmesh_market::ConnectionId;
use openmesh_market::OrderBook;
use openmesh_market::event::{BookDelta, BookSnapshot, EventKind, Exchange, Feed, IncidentKind, Level};
use openmesh_primitives::{Contract, Symbol, Timestamp};

pub use self::checksum::checksum;
use self::checksum::{Checksum, Precision};
use self::names::{DEPTH, Version};
use self::names::{channel_of, resubscribe, symbol_of};
use super::emit::Emit;
use super::instruments::{Instruments, Step};
use super::links::{Links, Ping, Upkeep};
use super::names::Symbols;
use super::offer::PendingNotices;
use super::unreadable::Unreadable;
use super::venue::Venue;
use crate::session::{Action, Output, Subscription};

const URL: &str = "wss://ws.kraken.com/v2";
const PAIRS_URL: &str = "https://api.kraken.com/0/public/AssetPairs";
const PAIRS_PATH: &str = "/public/AssetPairs";

/// The only connection.
const CONNECTION: ConnectionId = ConnectionId(0);

/// Levels a side where a subscription names no depth.
const DEPTH_DEFAULT: u32 = 10;

/// A subscribed connection hears a heartbeat each second, so several missing ones are no jitter.
const UPKEEP: Upkeep = Upkeep { ping: Ping::WhenSilent(5_000, r#"{"method":"ping"}"#), silence_ms_max: 15_000 };

/// The state of an instrument beside its book.
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
    notices: PendingNotices,
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
            None => {
                instrument.look_over(emit);
            }
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
            if self.depths.len() < super::names::INSTRUMENTS_MAX {
                self.depths.insert(name.to_string(), what.depth.unwrap_or(DEPTH_DEFAULT));
            }
        }
    }
}

/// Returns `(expected, got)` where the book disagrees with the venue's checksum. If it does with numbers as they came,
/// it is tried with numbers at the pair's precision, and that way is kept where it fits.
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

impl Venue for Kraken {
    const UPKEEP: Upkeep = UPKEEP;

    fn venue(&self) -> Exchange {
        Exchange::Kraken
    }

    fn shared(&mut self) -> (&mut Links, &mut PendingNotices) {
        (&mut self.links, &mut self.notices)
    }

    fn instruments(&self) -> impl Iterator<Item = &Instruments> {
        std::iter::once(&self.instruments)
    }

    fn begin(&mut self, subscription: &Subscription, output: &mut Output) {
        (self.names, self.channels) = Default::default();
        self.notices = PendingNotices::of(Exchange::Kraken, subscription);
        for symbol in &subscription.symbols {
            if symbol.contract == Contract::Spot {
                let name = format!("{}/{}", symbol.base, symbol.quote);
                self.depths.insert(name.clone(), DEPTH);
                self.names.push(name);
            } else {
                self.notices.instrument(Exchange::Kraken, symbol);
            }
        }
        self.channels.extend(subscription.feeds.iter().filter_map(|feed| channel_of(*feed)));
        output.actions.push(Action::Get { url: PAIRS_URL.to_owned() });
        output.actions.push(Action::Open { connection: CONNECTION, url: URL.to_owned() });
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.instruments.forget(connection);
    }

    fn subscribe(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
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
        if self.channels.contains(&"book") {
            for name in self.names.clone() {
                if let Ok(place) = self.place(connection, Version::V2, &name)
                    && let Some(instrument) = self.instruments.get(place)
                {
                    instrument.subscribed(connection, emit.now);
                }
            }
        }
    }

    fn read(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable> {
        self.frame(connection, data, emit)
    }

    fn unread(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) {
        // JSON that ends early or not at all: nobody knows what it was to change.
        if serde_json::from_slice::<serde::de::IgnoredAny>(data).is_err() {
            self.lose_all(connection, emit);
        }
    }

    fn sent(&mut self, _connection: ConnectionId, text: &str) {
        if let Ok(request) = serde_json::from_str::<v2::Request<'_>>(text)
            && &*request.method == "subscribe"
        {
            self.subscribed(&request.params);
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

    fn overdue(&mut self, emit: &mut Emit<'_>) {
        self.instruments.renew_overdue(&mut self.links, emit);
    }
}
