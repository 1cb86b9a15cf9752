//! The output of a dialect: events with venue and time of capture on them, incidents, and what is to be sent.

use openmesh_market::ConnectionId;
use openmesh_market::event::{Event, EventKind, Exchange, Feed, Incident, IncidentKind};
use openmesh_primitives::{Symbol, Timestamp};

use super::unreadable::{Unreadable, excerpt};
use crate::session::{Action, Output};

/// The output of a dialect: stamps events with the venue and the time of capture.
pub(crate) struct Emit<'o> {
    /// Venue.
    pub exchange: Exchange,
    /// Time of capture.
    pub now: Timestamp,
    /// Goes to the caller.
    pub output: &'o mut Output,
}

impl Emit<'_> {
    /// An event of an instrument.
    pub(crate) fn event(&mut self, symbol: &Symbol, ts_exchange: Option<Timestamp>, kind: EventKind) {
        self.output.events.push(Event {
            exchange: self.exchange,
            symbol: Some(symbol.clone()),
            ts_exchange,
            ts_capture: self.now,
            kind,
        });
    }

    /// An incident. A name that could not be read back is left out: it is one that the venue, or a recording, made up.
    pub(crate) fn incident(&mut self, kind: IncidentKind, symbol: Option<&Symbol>, feed: Option<Feed>, detail: String) {
        let readable = |symbol: &&Symbol| symbol.to_string().parse().as_ref() == Ok(*symbol);
        self.output.events.push(Event {
            exchange: self.exchange,
            symbol: symbol.filter(readable).cloned(),
            ts_exchange: None,
            ts_capture: self.now,
            kind: EventKind::Incident(Incident { kind, feed, detail }),
        });
    }

    /// A frame that could not be read: why, and how it begins.
    pub(crate) fn garbage(&mut self, why: &Unreadable, data: &[u8]) {
        let detail = format!("{why}; the message begins {}", excerpt(data));
        self.incident(IncidentKind::Garbage, None, None, detail);
    }

    /// A request was answered with an error.
    pub(crate) fn refused(&mut self, url: &str, status: u16, body: &[u8]) {
        let detail = format!("{url} answered {status}: {}", excerpt(body));
        self.incident(IncidentKind::Refused, None, None, detail);
    }

    /// A message to send.
    pub(crate) fn send(&mut self, connection: ConnectionId, text: String) {
        self.output.actions.push(Action::Send { connection, text });
    }

    /// A request to make.
    pub(crate) fn get(&mut self, url: String) {
        self.output.actions.push(Action::Get { url });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the fuzzer: an incident under a made-up name could be written and not be read again.
    #[test]
    fn incidents_name_only_what_can_be_read_again() {
        let mut output = Output::default();
        let mut emit = Emit { exchange: Exchange::Binance, now: Timestamp(0), output: &mut output };
        for (base, named) in [("BTC", true), ("\"],[\"", false), ("../x", false)] {
            emit.incident(IncidentKind::Refused, Some(&Symbol::spot(base, "USD")), None, String::new());
            assert_eq!(emit.output.events.last().unwrap().symbol.is_some(), named, "{base}");
        }
    }
}
