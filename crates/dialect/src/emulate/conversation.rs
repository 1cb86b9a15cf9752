//! One connection seen from the venue: what the client has subscribed to, and how it is answered.

use openmesh_primitives::Timestamp;

use super::connection::{Connection, Listing, Step};
use super::{Door, Frame, Topic, binance, bybit, coinbase, kraken, okx};

/// Longest message of a client that is read, in bytes: a thousand stream names fit.
pub(super) const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// One connection of a client, seen from the venue.
#[derive(Clone, Debug)]
pub struct Conversation {
    connection: Connection,
    numbered: u64,
    heartbeats: u64,
}

impl Conversation {
    /// A client has connected to `path?query` of a door. `id` distinguishes connections.
    pub fn open(door: Door, path: &str, query: &str, id: u64, listing: &dyn Listing) -> (Conversation, Vec<Step>) {
        let mut connection = Connection::new(door, id);
        let mut steps = Vec::new();
        match door {
            Door::BinanceSpot | Door::BinanceUsdm => {
                binance::opened(&mut connection, path, query, listing, &mut steps);
            }
            Door::KrakenV1 => steps.push(kraken::v1_status(id)),
            Door::KrakenV2 => steps.push(kraken::v2_status(id)),
            _ => {}
        }
        (Conversation { connection, numbered: 0, heartbeats: 0 }, steps)
    }

    /// Where the client is connected.
    pub fn door(&self) -> Door {
        self.connection.door
    }

    /// What the client has subscribed to.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.connection.topics.values()
    }

    /// The client has sent a text message.
    pub fn receive(&mut self, text: &str, now: Timestamp, listing: &dyn Listing) -> Vec<Step> {
        let mut steps = Vec::new();
        let text = if text.len() > REQUEST_BYTES_MAX { "" } else { text };
        let connection = &mut self.connection;
        match connection.door {
            Door::BinanceSpot | Door::BinanceUsdm => binance::receive(connection, text, listing, &mut steps),
            Door::Coinbase => coinbase::receive(connection, text, now, listing, &mut steps),
            Door::KrakenV1 => kraken::v1_receive(connection, text, listing, &mut steps),
            Door::KrakenV2 => kraken::v2_receive(connection, text, now, listing, &mut steps),
            Door::BybitSpot | Door::BybitLinear => bybit::receive(connection, text, listing, &mut steps),
            Door::OkxPublic | Door::OkxBusiness => okx::receive(connection, text, listing, &mut steps),
        }
        steps
    }

    /// The signs of life that are due after a second; `quiet` where nothing was sent within it.
    pub fn second(&mut self, now: Timestamp, quiet: bool) -> Vec<Frame> {
        let subscribed = !self.connection.topics.is_empty();
        match self.connection.door {
            Door::KrakenV1 if subscribed && quiet => vec![Frame::whole(r#"{"event":"heartbeat"}"#)],
            Door::KrakenV2 if subscribed && quiet => vec![Frame::whole(r#"{"channel":"heartbeat"}"#)],
            Door::Coinbase if self.connection.topics.values().any(|t| t.channel == super::Channel::Heartbeat) => {
                self.heartbeats += 1;
                vec![coinbase::heartbeat(now, self.heartbeats)]
            }
            _ => Vec::new(),
        }
    }

    /// The text of a frame for this connection: its running number put in, its wrapping as the client asked.
    pub fn render(&mut self, frame: &Frame) -> String {
        let text = frame.text(self.numbered);
        self.numbered += u64::from(frame.is_numbered());
        match self.connection.door {
            Door::BinanceSpot | Door::BinanceUsdm if !self.connection.combined => binance::unwrapped(text),
            _ => text,
        }
    }
}
