//! The connections of a session: who was heard when, who must be pinged, and who has to be opened anew.
//!
//! A session that asks for a new connection asks once: until the driver has opened it, frames that still arrive on the
//! old one, or its closing, do not ask again.

use std::collections::BTreeMap;

use openmesh_market::ConnectionId;
use openmesh_market::event::IncidentKind;
use openmesh_primitives::Timestamp;

use super::emit::Emit;
use crate::session::Action;

/// The ping that a venue wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ping {
    /// Never: the venue keeps the connection alive itself.
    Never,
    /// Every so many milliseconds, whatever arrives.
    Every(i64, &'static str),
    /// After so many milliseconds without a message.
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

/// Milliseconds for which a connection on which something was refused is kept before all is asked for anew: the rest of
/// it is of use, and a venue that refuses for the moment (too many requests, maintenance) has got over it.
const REFUSED_MS_MIN: i64 = 60_000;

/// Longest such wait. It doubles with each time, so that an instrument that the venue will never have costs the others of
/// its connection a window an hour.
const REFUSED_MS_MAX: i64 = 3_600_000;

struct Link {
    open: bool,
    renewing: bool,
    opened: Timestamp,
    heard: Timestamp,
    pinged: Timestamp,
    /// Time at which what was refused is asked for again.
    again: Option<Timestamp>,
    /// Refusals in a row.
    refusals: u32,
}

impl Link {
    fn new(now: Timestamp, refusals: u32) -> Link {
        Link { open: true, renewing: false, opened: now, heard: now, pinged: now, again: None, refusals }
    }

    /// Asks again in a while for what was asked for; where it was not even answered, the first time at once.
    fn asks_again(&mut self, now: Timestamp, at_once: bool) {
        if self.again.is_some() {
            return;
        }
        let since = |then: Timestamp| now.nanos().saturating_sub(then.nanos()) / 1_000_000;
        if since(self.opened) >= REFUSED_MS_MAX {
            // It was fine for long: this is another matter.
            self.refusals = 0;
        }
        // Seven doublings reach the longest.
        let pause = (REFUSED_MS_MIN << self.refusals.min(7)).min(REFUSED_MS_MAX);
        let pause = if at_once && self.refusals == 0 { 0 } else { pause };
        self.again = Some(Timestamp(now.nanos().saturating_add(pause.saturating_mul(1_000_000))));
        self.refusals = self.refusals.saturating_add(1);
    }
}

/// The connections of a session.
#[derive(Default)]
pub(crate) struct Links(BTreeMap<ConnectionId, Link>);

impl Links {
    /// A connection is open.
    pub(crate) fn opened(&mut self, connection: ConnectionId, now: Timestamp) {
        let refusals = self.0.get(&connection).map_or(0, |link| link.refusals);
        self.0.insert(connection, Link::new(now, refusals));
    }

    /// A connection has ended: says so and asks for a new one.
    pub(crate) fn closed(&mut self, connection: ConnectionId, emit: &mut Emit<'_>) {
        emit.incident(IncidentKind::Disconnected, None, None, format!("connection {} has ended", connection.0));
        self.renew(connection, emit);
        if let Some(link) = self.0.get_mut(&connection) {
            link.open = false;
        }
    }

    /// Returns true where a connection was open and is not any more. One that nobody spoke of counts as open: a
    /// recording may begin in the middle.
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
        let link = self.0.entry(connection).or_insert_with(|| Link::new(emit.now, 0));
        if !link.renewing {
            link.renewing = true;
            emit.output.actions.push(Action::Reconnect { connection });
        }
    }

    /// The venue has refused something that was asked for on a connection.
    pub(crate) fn refused(&mut self, connection: ConnectionId, now: Timestamp) {
        self.0.entry(connection).or_insert_with(|| Link::new(now, 0)).asks_again(now, false);
    }

    /// The venue does not answer what was asked for on a connection.
    pub(crate) fn unanswered(&mut self, connection: ConnectionId, now: Timestamp) {
        self.0.entry(connection).or_insert_with(|| Link::new(now, 0)).asks_again(now, true);
    }

    /// Time goes on: pings, and renews what is silent or has something that is to be asked for again.
    pub(crate) fn tick(&mut self, upkeep: Upkeep, emit: &mut Emit<'_>) {
        let since = |then: Timestamp| emit.now.nanos().saturating_sub(then.nanos()) / 1_000_000;
        let (mut silent, mut refused) = (Vec::new(), Vec::new());
        let mut pings = Vec::new();
        for (connection, link) in self.0.iter_mut().filter(|(_, link)| link.open && !link.renewing) {
            if since(link.heard) >= upkeep.silence_ms_max {
                silent.push((*connection, since(link.heard)));
                continue;
            }
            if link.again.is_some_and(|again| emit.now >= again) {
                refused.push(*connection);
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
        for connection in refused {
            let detail = format!("connection {} is opened anew, to ask again for what was not granted", connection.0);
            emit.incident(IncidentKind::Refused, None, None, detail);
            self.renew(connection, emit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Output;
    use openmesh_market::event::Exchange;

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

    /// A refused request is made again, and one that is refused for ever does not take the connection from the rest.
    #[test]
    fn a_refusal_is_no_end_and_no_storm() {
        let upkeep = Upkeep { ping: Ping::Never, silence_ms_max: i64::MAX };
        let (link, mut links, mut output) = (ConnectionId(0), Links::default(), Output::default());
        links.opened(link, Timestamp(0));
        let mut renewed = Vec::new();
        for second in 0..20_000i64 {
            let mut emit = at(second * 1_000, &mut output);
            links.refused(link, emit.now);
            links.tick(upkeep, &mut emit);
            if std::mem::take(&mut output.actions) == [Action::Reconnect { connection: link }] {
                renewed.push(second);
                links.opened(link, Timestamp::from_millis(second * 1_000));
            }
        }
        // Each begins when the one before is over; one an hour in the end.
        let steps: Vec<i64> = renewed.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!((renewed[0], &steps[..]), (60, &[121, 241, 481, 961, 1_921, 3_601, 3_601, 3_601, 3_601][..]));
        // One that was well for an hour is not held to what was before.
        let later = 30_000_000;
        links.opened(link, Timestamp::from_millis(later));
        links.refused(link, Timestamp::from_millis(later + REFUSED_MS_MAX));
        links.tick(upkeep, &mut at(later + REFUSED_MS_MAX + REFUSED_MS_MIN - 1, &mut output));
        assert!(output.actions.is_empty());
        links.tick(upkeep, &mut at(later + REFUSED_MS_MAX + REFUSED_MS_MIN, &mut output));
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
