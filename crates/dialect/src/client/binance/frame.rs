//! From a frame of Binance to events.

use openmesh_market::ConnectionId;
use openmesh_market::event::{BookSnapshot, EventKind, IncidentKind, Price};
use serde_json::value::RawValue;

use super::change::Change;
use super::streams::{self, Kind};
use super::wire::{self, Message};
use super::{Binance, written};
use crate::client::emit::Emit;
use crate::client::unreadable::Unreadable;

impl Binance {
    pub(super) fn frame(
        &mut self,
        connection: ConnectionId,
        data: &[u8],
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let text = std::str::from_utf8(data).map_err(|_| Unreadable("not UTF-8".to_owned()))?;
        if let Some((kind, stream, data)) = wire::unwrap_as_written(text)
            && !data.starts_with('[')
            && self.data(connection, kind, Some(stream), data, emit).is_ok()
        {
            return Ok(());
        }
        self.message(connection, wire::unwrap(text)?, emit)
    }

    fn message(
        &mut self,
        connection: ConnectionId,
        message: Message<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        match message {
            Message::Data(kind, stream, data) if data.starts_with('[') => {
                let all: Vec<&RawValue> = serde_json::from_str(data)?;
                let read = |one: &&RawValue, emit: &mut Emit<'_>| {
                    self.data(connection, kind, stream.as_deref(), one.get(), emit)
                };
                each(&all, emit, read)
            }
            Message::Data(kind, stream, data) => self.data(connection, kind, stream.as_deref(), data, emit),
            Message::Many(all) => each(&all, emit, |one, emit| match wire::unwrap(one.get())? {
                Message::Data(kind, stream, data) => self.data(connection, kind, stream.as_deref(), data, emit),
                _ => Err(Unreadable("a list of what is no data".to_owned())),
            }),
            Message::Answer => Ok(()),
            Message::Shutdown => {
                let detail = "the venue is about to close the connection".to_owned();
                emit.incident(IncidentKind::Disconnected, None, None, detail);
                self.links.renew(connection, emit);
                Ok(())
            }
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
        stream: Option<&str>,
        data: &str,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let unit = self.streams.unit(connection);
        match kind {
            Kind::Depth => {
                let raw = written::depth(data).map_or_else(|| serde_json::from_str(data), Ok)?;
                if stream.is_none() && self.streams.is_partial(connection, &raw.s) {
                    return self.partial(connection, stream, data, emit);
                }
                let place = self.place(connection, &raw.s)?;
                if let Some(instrument) = self.instruments.get(place) {
                    instrument.connection = connection;
                }
                let wire::Depth { time, first, last, previous, bids, asks, .. } = raw;
                let time = unit.time(time)?;
                self.change(place, Change { time, captured: emit.now, first, last, previous, bids, asks }, emit);
                Ok(())
            }
            Kind::Trade | Kind::AggregateTrade => {
                let raw = written::trade(data).map_or_else(|| serde_json::from_str(data), Ok)?;
                match raw.read(kind == Kind::AggregateTrade, unit)? {
                    Some((time, trade)) => self.event(connection, &raw.s, time, EventKind::Trade(trade), emit),
                    None => Ok(()),
                }
            }
            Kind::BookTicker | Kind::DayTicker => {
                let raw = written::ticker(data).map_or_else(|| serde_json::from_str(data), Ok)?;
                let (time, ticker) = raw.read(unit)?;
                self.event(connection, &raw.s, time, EventKind::Ticker(ticker), emit)
            }
            Kind::OpenInterest => self.open_interest(connection, data, emit),
            Kind::PartialDepth => self.partial(connection, stream, data, emit),
            Kind::Other => Ok(()),
            _ => self.statistics(connection, kind, data, emit),
        }
    }

    /// The feeds that come about once a second: candles, prices, funding, forced orders.
    fn statistics(
        &mut self,
        connection: ConnectionId,
        kind: Kind,
        data: &str,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let unit = self.streams.unit(connection);
        match kind {
            Kind::Kline => {
                let raw: wire::Kline<'_> = serde_json::from_str(data)?;
                let (time, candle) = (unit.time(raw.time)?, raw.read(unit)?);
                self.event(connection, &raw.s, Some(time), EventKind::Candle(candle), emit)
            }
            Kind::ContinuousKline => {
                let raw: wire::ContinuousKline<'_> = serde_json::from_str(data)?;
                let Some(candle) = raw.read(unit)? else { return Ok(()) };
                let time = Some(unit.time(raw.time)?);
                self.event(connection, &raw.ps, time, EventKind::Candle(candle), emit)
            }
            Kind::MarkPrice => {
                let raw: wire::MarkPrice<'_> = serde_json::from_str(data)?;
                let (time, funding) = (Some(unit.time(raw.time)?), raw.funding(unit)?);
                self.event(connection, &raw.s, time, EventKind::MarkPrice(Price { price: raw.mark }), emit)?;
                if let Some(price) = raw.index {
                    self.event(connection, &raw.s, time, EventKind::IndexPrice(Price { price }), emit)?;
                }
                match funding {
                    Some(funding) => self.event(connection, &raw.s, time, EventKind::Funding(funding), emit),
                    None => Ok(()),
                }
            }
            Kind::IndexPrice => {
                let raw: wire::IndexPrice<'_> = serde_json::from_str(data)?;
                let time = Some(unit.time(raw.time)?);
                let kind = EventKind::IndexPrice(Price { price: raw.price });
                self.event(connection, &raw.name(), time, kind, emit)
            }
            Kind::ForceOrder => {
                let raw: wire::ForceOrder<'_> = serde_json::from_str(data)?;
                let (time, liquidation) = raw.o.read(unit)?;
                self.event(connection, &raw.o.s, Some(time), EventKind::Liquidation(liquidation), emit)
            }
            _ => Ok(()),
        }
    }

    /// A partial book is a whole one as far as it goes. Where changes come as well, the book is built from those.
    fn partial(
        &mut self,
        connection: ConnectionId,
        stream: Option<&str>,
        data: &str,
        emit: &mut Emit<'_>,
    ) -> Result<(), Unreadable> {
        let wire::PartialDepth { time, s, last, mut bids, mut asks } = serde_json::from_str(data)?;
        let time = time.map(|time| self.streams.unit(connection).time(time)).transpose()?;
        let name = match (s, stream) {
            (Some(name), _) => name.0.into_owned(),
            (None, Some(stream)) => streams::instrument_of(stream).unwrap_or_default(),
            (None, None) => streams::instrument_of(self.streams.partial(connection)?).unwrap_or_default(),
        };
        let place = self.place(connection, &name)?;
        let (Some(instrument), Some(chain)) = (self.instruments.get(place), self.chains.get(place)) else {
            return Ok(());
        };
        if chain.in_step() || chain.is_waiting() {
            return Ok(());
        }
        instrument.connection = connection;
        instrument.replace(&mut bids, &mut asks);
        instrument.sequence = Some(last);
        let snapshot = BookSnapshot { bids, asks, sequence: Some(last), checksum: None };
        emit.event(&instrument.symbol, time, EventKind::BookSnapshot(snapshot));
        if instrument.look_over(emit) && instrument.book.is_crossed() {
            instrument.lose(emit.now);
        }
        Ok(())
    }
}

/// Reads each of several; that one cannot be read does not keep the others from it.
fn each<'a>(
    all: &[&'a RawValue],
    emit: &mut Emit<'_>,
    mut read: impl FnMut(&&'a RawValue, &mut Emit<'_>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut first = Ok(());
    for one in all {
        let outcome = read(one, emit);
        first = first.and(outcome);
    }
    first
}
