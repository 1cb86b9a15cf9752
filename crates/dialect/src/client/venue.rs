//! The common part of all sessions: who was heard when, what becomes of a frame that cannot be read, and the
//! beat of time. A venue says the rest.

use openmesh_market::ConnectionId;
use openmesh_market::OrderBook;
use openmesh_market::event::Exchange;
use openmesh_primitives::{Symbol, Timestamp};

use super::emit::Emit;
use super::instruments::Instruments;
use super::links::{Links, Upkeep};
use super::offer::PendingNotices;
use super::unreadable::Unreadable;
use crate::session::{Input, Output, Session, Subscription};

/// A venue's part of a session.
pub(crate) trait Venue: Send {
    /// Upkeep of its connections.
    const UPKEEP: Upkeep;

    /// The venue.
    fn venue(&self) -> Exchange;

    /// Its connections, and what is still to be said of the subscription.
    fn shared(&mut self) -> (&mut Links, &mut PendingNotices);

    /// Its instruments, in one table or several.
    fn instruments(&self) -> impl Iterator<Item = &Instruments>;

    /// Begins: the actions that lead to the subscription.
    fn begin(&mut self, subscription: &Subscription, output: &mut Output);

    /// A connection is open at this address.
    fn opened(&mut self, _connection: ConnectionId, _url: &str) {}

    /// Forgets what came over a connection: it has ended, or is another one.
    fn forget(&mut self, connection: ConnectionId);

    /// Asks for what is wanted over an open connection.
    fn subscribe(&mut self, connection: ConnectionId, emit: &mut Emit<'_>);

    /// Reads a frame.
    fn read(&mut self, connection: ConnectionId, data: &[u8], emit: &mut Emit<'_>) -> Result<(), Unreadable>;

    /// A frame could not be read; it is an incident already.
    fn unread(&mut self, _connection: ConnectionId, _data: &[u8], _emit: &mut Emit<'_>) {}

    /// A message was sent.
    fn sent(&mut self, _connection: ConnectionId, _text: &str) {}

    /// A request was answered.
    fn response(&mut self, url: &str, status: u16, body: &[u8], emit: &mut Emit<'_>);

    /// Time has gone on: what is overdue is asked for again.
    fn overdue(&mut self, emit: &mut Emit<'_>);
}

impl<V: Venue> Session for V {
    fn exchange(&self) -> Exchange {
        self.venue()
    }

    fn start(&mut self, subscription: &Subscription, output: &mut Output) {
        self.begin(subscription, output);
    }

    fn handle(&mut self, input: Input<'_>, now: Timestamp, output: &mut Output) {
        let emit = &mut Emit { exchange: self.venue(), now, output };
        match input {
            Input::Opened { connection, url } => {
                self.opened(connection, url);
                self.forget(connection);
                let (links, notices) = self.shared();
                links.opened(connection, now);
                notices.say(emit);
                self.subscribe(connection, emit);
            }
            Input::Closed { connection } => {
                self.forget(connection);
                self.shared().0.closed(connection, emit);
            }
            Input::Frame { connection, data } => {
                self.shared().0.heard(connection, now);
                if let Err(why) = self.read(connection, data, emit) {
                    emit.garbage(&why, data);
                    self.unread(connection, data, emit);
                }
            }
            Input::Sent { connection, text } => self.sent(connection, text),
            Input::Response { url, status, body } => self.response(url, status, body, emit),
            Input::Tick => {
                let (links, notices) = self.shared();
                // Where there is nothing to connect to, this is the first moment.
                notices.say(emit);
                links.tick(V::UPKEEP, emit);
                self.overdue(emit);
            }
        }
    }

    fn book(&self, symbol: &Symbol) -> Option<&OrderBook> {
        self.instruments().find_map(|instruments| instruments.book(symbol))
    }

    fn books(&self) -> Vec<(Symbol, &OrderBook)> {
        let mut books: Vec<_> = self.instruments().flat_map(Instruments::books).collect();
        books.sort_by(|a, b| a.0.cmp(&b.0));
        books
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::session;
    use crate::session::Action;
    use openmesh_market::event::{Event, EventKind, Feed, IncidentKind};

    /// Venues that are asked for their books over the connection; something that each says when it has nothing to say, of
    /// which the number `N` counts; and how it refuses.
    const VENUES: [(Exchange, &str, &str); 4] = [
        (
            Exchange::Kraken,
            r#"{"channel":"heartbeat"}"#,
            r#"{"error":"Currency pair not supported BTC/USDT","method":"subscribe","success":false,"symbol":"BTC/USDT"}"#,
        ),
        (Exchange::Okx, "pong", r#"{"event":"error","code":"60018","msg":"books,instId:BTC-USDT doesn't exist."}"#),
        (
            Exchange::Bybit,
            r#"{"success":true,"ret_msg":"pong","op":"ping"}"#,
            r#"{"success":false,"ret_msg":"error:handler not found","op":"subscribe"}"#,
        ),
        (
            Exchange::Coinbase,
            r#"{"channel":"heartbeats","timestamp":"2026-11-26T00:00:00Z","sequence_num":N,"events":[]}"#,
            r#"{"type":"error","message":"rate limit exceeded"}"#,
        ),
    ];

    struct Bench {
        session: Box<dyn Session>,
        link: ConnectionId,
        at: i64,
        spoken: i64,
        output: Output,
    }

    impl Bench {
        fn new(exchange: Exchange) -> Bench {
            let (mut session, mut output) = (session(exchange), Output::default());
            let symbols = vec![Symbol::spot("BTC", "USDT")];
            session.start(&Subscription { symbols, feeds: vec![Feed::Book] }, &mut output);
            let open = |a: &Action| if let Action::Open { connection, .. } = a { Some(*connection) } else { None };
            let link = output.actions.iter().find_map(open).unwrap();
            let mut bench = Bench { session, link, at: 1_000, spoken: 0, output };
            bench.opened();
            bench
        }

        fn opened(&mut self) {
            self.spoken = 0;
            self.take(Input::Opened { connection: self.link, url: "" });
        }

        fn take(&mut self, input: Input<'_>) {
            self.session.handle(input, Timestamp::from_millis(self.at * 1_000), &mut self.output);
        }

        fn hears(&mut self, text: &str) {
            self.take(Input::Frame { connection: self.link, data: text.as_bytes() });
        }

        /// Seconds in which the venue says this until the session wants another connection; at most so many.
        fn until_renewed(&mut self, quiet: &str, most: i64) -> Option<i64> {
            let begin = self.at;
            self.output.actions.clear();
            while self.at < begin + most {
                self.at += 1;
                let text = quiet.replace('N', &self.spoken.to_string());
                self.spoken += 1;
                self.hears(&text);
                self.take(Input::Tick);
                if self.output.actions.contains(&Action::Reconnect { connection: self.link }) {
                    return Some(self.at - begin);
                }
            }
            None
        }

        fn said(&mut self, wanted: IncidentKind) -> Vec<Event> {
            let is = |e: &Event| matches!(&e.kind, EventKind::Incident(i) if i.kind == wanted);
            std::mem::take(&mut self.output.events).into_iter().filter(is).collect()
        }
    }

    /// A subscription that the venue loses without a word: the book is missed, and asked for again.
    #[test]
    fn a_book_that_never_comes_is_asked_for_again() {
        for (exchange, quiet, _) in VENUES {
            let mut bench = Bench::new(exchange);
            let after = bench.until_renewed(quiet, 30);
            assert!(after.is_some_and(|seconds| (15..=20).contains(&seconds)), "{exchange}: {after:?}");
            let said = bench.said(IncidentKind::Silence);
            assert_eq!(said.len(), 1, "{exchange}: {said:?}");
            assert_eq!(said[0].symbol, Some(Symbol::spot("BTC", "USDT")), "{exchange}");
            // One that it will not give does not cost the connection all the time.
            bench.opened();
            assert_eq!(bench.until_renewed(quiet, 60), None, "{exchange}");
            assert!(bench.until_renewed(quiet, 90).is_some(), "{exchange}");
        }
    }

    /// A subscription that the venue refuses: later it may not.
    #[test]
    fn what_was_refused_is_asked_for_again() {
        for (exchange, quiet, refusal) in VENUES {
            let mut bench = Bench::new(exchange);
            bench.hears(refusal);
            assert_eq!(bench.said(IncidentKind::Refused).len(), 1, "{exchange}");
            assert_eq!(bench.until_renewed(quiet, 59), None, "{exchange}");
            assert_eq!(bench.until_renewed(quiet, 5), Some(1), "{exchange}");
            bench.opened();
            bench.hears(refusal);
            assert_eq!(bench.until_renewed(quiet, 119), None, "{exchange}");
            assert_eq!(bench.until_renewed(quiet, 5), Some(1), "{exchange}");
        }
    }
}
