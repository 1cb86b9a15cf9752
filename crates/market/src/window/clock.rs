//! The venue's time as it is seen: watermarks of the source and of each connection, and what a connection has proved.

use std::collections::BTreeMap;

use openmesh_primitives::Timestamp;

use super::Lateness;
use crate::ConnectionId;

/// A step of the venue's clock that is no mere lateness, in nanoseconds: 60 s.
pub(super) const JUMP_NANOS: i64 = 60_000_000_000;

/// One connection.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    /// Lost and not opened again. It is kept, because streams that nobody has heard of may belong to it.
    closed: bool,
    /// Highest venue time of a clock event on it.
    high: Option<Timestamp>,
    /// The time that a frame without time proves, by the source's watermark when it came.
    cross: Option<Timestamp>,
    /// The source's watermark when it was opened: as long as that has not moved, it says nothing about now.
    at_opening: Option<Timestamp>,
    /// An upper bound of the venue's time at its first sign of life.
    since: Option<Timestamp>,
}

/// A clock event's time compared with what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// As expected, give or take lateness.
    Plausible,
    /// More than [`JUMP_NANOS`] ahead of the source.
    Ahead,
    /// More than [`JUMP_NANOS`] behind its own connection.
    Behind,
}

/// Watermarks.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    lateness: Lateness,
    high: Option<Timestamp>,
    connections: BTreeMap<ConnectionId, Connection>,
}

impl Clock {
    pub(super) fn new(lateness: Lateness) -> Clock {
        Clock { lateness, high: None, connections: BTreeMap::new() }
    }

    /// The source's watermark.
    pub(super) const fn high(&self) -> Option<Timestamp> {
        self.high
    }

    pub(super) fn opened(&mut self, connection: ConnectionId) {
        self.connections.insert(connection, Connection { at_opening: self.high, ..Connection::default() });
    }

    /// Returns whether it was open.
    pub(super) fn lost(&mut self, connection: ConnectionId) -> bool {
        let known = self.connections.get_mut(&connection).filter(|c| !c.closed);
        known.map(|c| *c = Connection { closed: true, ..Connection::default() }).is_some()
    }

    /// Returns true where a connection is lost; for `None`, where any is.
    pub(super) fn is_closed(&self, connection: Option<ConnectionId>) -> bool {
        match connection {
            Some(id) => self.connections.get(&id).is_some_and(|c| c.closed),
            None => self.connections.values().any(|c| c.closed),
        }
    }

    /// The venue's clock was set back: what was seen before says nothing any more.
    pub(super) fn reset(&mut self) {
        self.high = None;
        self.connections.values_mut().for_each(|c| *c = Connection { closed: c.closed, ..Connection::default() });
    }

    pub(super) fn judge(&self, connection: Option<ConnectionId>, ts: Timestamp) -> Judgement {
        if self.high.is_some_and(|high| ts > after(high, JUMP_NANOS)) {
            return Judgement::Ahead;
        }
        let own = connection.and_then(|c| self.connections.get(&c)).and_then(|c| c.high);
        match own {
            Some(own) if ts < after(own, -JUMP_NANOS) => Judgement::Behind,
            _ => Judgement::Plausible,
        }
    }

    /// A clock event.
    pub(super) fn note(&mut self, connection: Option<ConnectionId>, ts: Timestamp) {
        self.high = self.high.max(Some(ts));
        let bound = self.high;
        // A connection that was never announced (over a recording that begins in the middle) is taken as opened now.
        if let Some(id) = connection {
            let connection = self.connections.entry(id).or_default();
            if connection.closed {
                return;
            }
            connection.high = connection.high.max(Some(ts));
            connection.since = connection.since.or(bound);
        }
    }

    /// A connection has given a sign of life.
    pub(super) fn begun(&mut self, id: ConnectionId) {
        let Some(high) = self.high else { return };
        let connection = self.connections.entry(id).or_default();
        if !connection.closed && connection.since.is_none() && Some(high) > connection.at_opening {
            connection.since = Some(after(high, self.lateness.nanos()));
        }
    }

    /// A frame without time came in. Returns whether that proved something new.
    pub(super) fn alive(&mut self, id: ConnectionId) -> bool {
        self.begun(id);
        let Some(high) = self.high else { return false };
        let connection = self.connections.entry(id).or_default();
        if connection.closed {
            return false;
        }
        let proved = Some(after(high, -self.lateness.nanos()));
        let news = proved > connection.cross;
        connection.cross = connection.cross.max(proved);
        news
    }

    /// The venue time up to which a connection has proved that all was delivered; of the slowest one for `None`.
    pub(super) fn proved(&self, connection: Option<ConnectionId>) -> Option<Timestamp> {
        let of = |c: &Connection| c.high.max(c.cross);
        match connection {
            Some(id) => self.connections.get(&id).and_then(of),
            None => self.connections.values().map(of).min().flatten(),
        }
    }

    /// An upper bound of the venue's time when a connection began to speak; of the slowest one for `None`.
    pub(super) fn since(&self, connection: Option<ConnectionId>) -> Option<Timestamp> {
        match connection {
            Some(id) => self.connections.get(&id).and_then(|c| c.since),
            None => {
                let all: Option<Vec<Timestamp>> = self.connections.values().map(|c| c.since).collect();
                all.and_then(|all| all.into_iter().max())
            }
        }
    }
}

/// `ts + nanos` without overflow.
pub(super) const fn after(ts: Timestamp, nanos: i64) -> Timestamp {
    Timestamp(ts.0.saturating_add(nanos))
}
