//! The connections of a session: who was heard when, who must be pinged, and who has to be opened anew.
//!
//! A session that asks for a new connection asks once: until the driver has opened it, frames that still arrive on the
//! old one, or its closing, do not ask again.

use std::collections::BTreeMap;

use openmesh_primitives::Timestamp;

use super::support::Emit;
use crate::event::IncidentKind;
use crate::session::{Action, ConnectionId};

/// When a venue wants to be pinged, and with what.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ping {
    /// Never: the venue keeps the connection alive itself.
    Never,
    /// Every so many milliseconds, whatever arrives.
    Every(i64, &'static str),
    /// When nothing has arrived for so many milliseconds.
    WhenSilent(i64, &'static str),
}

/// A venue's rules of keeping a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upkeep {
    /// Ping.
    pub ping: Ping,
    /// Silence after which a connection counts as dead, in milliseconds.
    pub silence_ms_max: i64,
}

struct Link {
    open: bool,
    renewing: bool,
    heard: Timestamp,
    pinged: Timestamp,
}

/// The connections of a session.
#[derive(Default)]
pub(crate) struct Links(BTreeMap<ConnectionId, Link>);

impl Links {
    /// A connection is open.
    pub(crate) fn opened(&mut self, connection: ConnectionId, now: Timestamp) {
        self.0.insert(connection, Link { open: true, renewing: false, heard: now, pinged: now });
    }

    /// A connection has ended: says so and asks for a new one.
    pub(crate) fn closed(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        emit.incident(IncidentKind::Disconnected, None, None, format!("connection {} has ended", connection.0));
        self.renew(connection, emit);
        if let Some(link) = self.0.get_mut(&connection) {
            link.open = false;
        }
    }

    /// Whether a connection was open and is not any more. One that nobody spoke of counts as open: a recording may begin in
    /// the middle.
    pub(crate) fn is_down(&self, connection: ConnectionId) -> bool {
        self.0.get(&connection).is_some_and(|link| !link.open)
    }

    /// Something arrived.
    pub(crate) fn heard(&mut self, connection: ConnectionId, now: Timestamp) {
        if let Some(link) = self.0.get_mut(&connection) {
            link.heard = now;
        }
    }

    /// Asks for the connection to be closed and opened again, once.
    pub(crate) fn renew(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        let link =
            self.0.entry(connection).or_insert(Link { open: true, renewing: false, heard: emit.now, pinged: emit.now });
        if !link.renewing {
            link.renewing = true;
            emit.output.actions.push(Action::Reconnect { connection });
        }
    }

    /// Time goes on: pings, and renews what is silent.
    pub(crate) fn tick(&mut self, upkeep: Upkeep, emit: &mut Emit<'_>) {
        let since = |then: Timestamp| emit.now.nanos().saturating_sub(then.nanos()) / 1_000_000;
        let mut silent = Vec::new();
        let mut pings = Vec::new();
        for (connection, link) in self.0.iter_mut().filter(|(_, link)| link.open && !link.renewing) {
            if since(link.heard) >= upkeep.silence_ms_max {
                silent.push((*connection, since(link.heard)));
                continue;
            }
            let due = match upkeep.ping {
                Ping::Never => None,
                Ping::Every(ms, text) => (since(link.pinged) >= ms).then_some(text),
                Ping::WhenSilent(ms, text) => (since(link.pinged.max(link.heard)) >= ms).then_some(text),
            };
            if let Some(text) = due {
                link.pinged = emit.now;
                pings.push((*connection, text));
            }
        }
        for (connection, text) in pings {
            emit.send(connection, text.to_owned());
        }
        for (connection, ms) in silent {
            let detail = format!("nothing heard on connection {} for {ms} ms", connection.0);
            emit.incident(IncidentKind::Silence, None, None, detail);
            self.renew(connection, emit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Exchange;
    use crate::session::Output;

    fn at<'o>(ms: i64, output: &'o mut Output) -> Emit<'o> {
        Emit { exchange: Exchange::Okx, now: Timestamp::from_millis(ms), output }
    }

    #[test]
    fn silence_is_pinged_then_renewed_once() {
        let upkeep = Upkeep { ping: Ping::WhenSilent(20, "ping"), silence_ms_max: 30 };
        let (mut links, mut output) = (Links::default(), Output::default());
        links.opened(ConnectionId(1), Timestamp::from_millis(0));
        links.tick(upkeep, &mut at(19, &mut output));
        assert!(output.actions.is_empty());
        links.tick(upkeep, &mut at(20, &mut output));
        assert_eq!(output.actions, [Action::Send { connection: ConnectionId(1), text: "ping".into() }]);
        links.heard(ConnectionId(1), Timestamp::from_millis(25));
        links.tick(upkeep, &mut at(54, &mut output));
        assert_eq!(output.actions.len(), 2);
        output.actions.clear();
        for ms in 55..60 {
            links.tick(upkeep, &mut at(ms, &mut output));
        }
        links.closed(ConnectionId(1), &mut at(60, &mut output));
        assert_eq!(output.actions, [Action::Reconnect { connection: ConnectionId(1) }]);
        assert_eq!(output.events.len(), 2, "one for the silence, one for the end");
        links.opened(ConnectionId(1), Timestamp::from_millis(61));
        links.tick(upkeep, &mut at(62, &mut output));
        assert_eq!(output.actions.len(), 1);
    }

    #[test]
    fn a_venue_that_wants_pings_gets_them_while_it_talks() {
        let upkeep = Upkeep { ping: Ping::Every(20, "p"), silence_ms_max: 60 };
        let (mut links, mut output) = (Links::default(), Output::default());
        links.opened(ConnectionId(0), Timestamp::from_millis(0));
        for ms in 1..=100 {
            links.heard(ConnectionId(0), Timestamp::from_millis(ms));
            links.tick(upkeep, &mut at(ms, &mut output));
        }
        assert_eq!(output.actions.len(), 5);
    }
}
