//! A venue's protocol as a state machine without input and output of its own.

use openmesh_market::{ConnectionId, Event, Exchange, Feed, OrderBook};
use openmesh_primitives::{Symbol, Timestamp};

/// The instruments and feeds that a site wants from a venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Instruments.
    pub symbols: Vec<Symbol>,
    /// Feeds.
    pub feeds: Vec<Feed>,
}

/// An input of a session.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A connection is open. `url` is its address as the session asked for it (in a recording: as recorded).
    Opened {
        /// Connection.
        connection: ConnectionId,
        /// Address.
        url: &'a str,
    },
    /// A connection has ended.
    Closed {
        /// Connection.
        connection: ConnectionId,
    },
    /// A message arrived.
    Frame {
        /// Connection.
        connection: ConnectionId,
        /// Bytes of the message.
        data: &'a [u8],
    },
    /// A message of ours was sent (in a recording: had been sent).
    Sent {
        /// Connection.
        connection: ConnectionId,
        /// Text of the message.
        text: &'a str,
    },
    /// A request of ours was answered.
    Response {
        /// Address that was asked.
        url: &'a str,
        /// HTTP status; 200 in recordings.
        status: u16,
        /// Body.
        body: &'a [u8],
    },
    /// Time goes on (about each second): for time-outs and pings.
    Tick,
}

/// An action that a session asks its driver for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a WebSocket; the id is the session's choice.
    Open {
        /// Connection.
        connection: ConnectionId,
        /// `wss://...`.
        url: String,
    },
    /// Send a text message.
    Send {
        /// Connection.
        connection: ConnectionId,
        /// Text.
        text: String,
    },
    /// Ask over HTTP and feed the answer back as [`Input::Response`] with the same `url`.
    Get {
        /// `https://...`.
        url: String,
    },
    /// Close and open again (the driver waits with jitter): the session cannot go on with it.
    Reconnect {
        /// Connection.
        connection: ConnectionId,
    },
}

/// The events and actions of inputs. The caller keeps one and drains it, so that a frame costs no allocation of its own.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Events in the order of the frame.
    pub events: Vec<Event>,
    /// Things to do.
    pub actions: Vec<Action>,
}

/// A venue's protocol. Never panics, whatever comes in; what it cannot read becomes an incident.
pub trait Session: Send {
    /// The venue.
    fn exchange(&self) -> Exchange;

    /// Begins: the actions that lead to the subscription. Not called over a recording.
    fn start(&mut self, subscription: &Subscription, output: &mut Output);

    /// Takes one input in. `now` is the time of capture, stamped on the events as `ts_capture`.
    fn handle(&mut self, input: Input<'_>, now: Timestamp, output: &mut Output);

    /// The book of an instrument, where it is in step with the venue.
    fn book(&self, symbol: &Symbol) -> Option<&OrderBook>;

    /// Every instrument with a book in step, in order.
    fn books(&self) -> Vec<(Symbol, &OrderBook)>;
}
