//! What is the same in every venue's session: who was heard when, what becomes of a frame that cannot be read, and the
//! beat of time. A venue says the rest.

use openmesh_primitives::{Symbol, Timestamp};

use super::instruments::Instruments;
use super::links::{Links, Upkeep};
use super::offer::Unsaid;
use super::support::{Emit, Unreadable};
use crate::book::OrderBook;
use crate::event::Exchange;
use crate::session::{ConnectionId, Input, Output, Session, Subscription};

/// A venue's part of a session.
pub(crate) trait Venue: Send {
    /// How its connections are kept.
    const UPKEEP: Upkeep;

    /// Which venue.
    fn venue(&self) -> Exchange;

    /// Its connections, and what is still to be said of the subscription.
    fn shared(&mut self) -> (&mut Links, &mut Unsaid);

    /// Its instruments, in one table or several.
    fn instruments(&self) -> impl Iterator<Item = &Instruments>;

    /// Begins: the actions that lead to the subscription.
    fn begin(&mut self, subscription: &Subscription, output: &mut Output);

    /// A connection is open at this address.
    fn opened(&mut self, _connection: ConnectionId, _url: &str) {}

    /// What came over a connection holds no more: it has ended, or is another one.
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
                let (links, unsaid) = self.shared();
                links.opened(connection, now);
                unsaid.say(emit);
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
                let (links, unsaid) = self.shared();
                // Where there is nothing to connect to, this is the first moment.
                unsaid.say(emit);
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
