//! From a frame of Kraken to events, in either version.

use openmesh_market::ConnectionId;
use openmesh_market::event::{EventKind, IncidentKind};
use serde::Deserialize;

use super::names::{Version, symbol_of};
use super::{BookMessage, DEPTH_DEFAULT, Kraken, names, v1, v2};
use crate::client::emit::Emit;
use crate::client::json::Text;
use crate::client::unreadable::Unreadable;

impl Kraken {
    pub(super) fn frame(
        &mut self,
        connection: ConnectionId,
        data: &[u8],
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
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
                    self.refused(connection, message.pair.as_deref(), said(&message.error_message), emit)
                }
                "subscriptionStatus" => Ok(()),
                "error" => self.refused(connection, None, said(&message.error_message), emit),
                other => Err(Unreadable(format!("event {other:?} is not known"))),
            };
        }
        if let Some(method) = &message.method {
            if message.success == Some(false) || message.error.is_some() {
                return self.refused(
                    connection,
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
                let why = message.error.as_deref().unwrap_or_default().to_owned();
                self.refused(connection, message.symbol.as_deref(), why, emit)
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

    fn refused(
        &mut self,
        connection: ConnectionId,
        name: Option<&str>,
        why: String,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let symbol = name.and_then(|name| symbol_of(&self.table, name));
        let detail = format!("Kraken refused {}: {why}", name.unwrap_or("a request"));
        emit.incident(IncidentKind::Refused, symbol.as_ref(), None, detail);
        self.links.refused(connection, emit.now);
        Ok(())
    }
}
