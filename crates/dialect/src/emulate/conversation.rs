//! One connection seen from the venue: what the client has subscribed to, and how it is answered.

use openmesh_primitives::Timestamp;

use super::connection::{Connection, Listing, Step};
use super::{Endpoint, Frame, Topic, binance, bybit, coinbase, kraken, okx};

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
    /// A client has connected to `path?query` of an endpoint. `id` distinguishes connections.
    pub fn open(
        endpoint: Endpoint,
        path: &str,
        query: &str,
        id: u64,
        listing: &dyn Listing,
    ) -> (Conversation, Vec<Step>) {
        let mut connection = Connection::new(endpoint, id);
        let mut steps = Vec::new();
        match endpoint {
            Endpoint::BinanceSpot | Endpoint::BinanceUsdm => {
                binance::opened(&mut connection, path, query, listing, &mut steps);
            }
            Endpoint::KrakenV1 => steps.push(kraken::v1_status(id)),
            Endpoint::KrakenV2 => steps.push(kraken::v2_status(id)),
            _ => {}
        }
        (Conversation { connection, numbered: 0, heartbeats: 0 }, steps)
    }

    /// The endpoint to which the client is connected.
    pub fn endpoint(&self) -> Endpoint {
        self.connection.endpoint
    }

    /// The subscriptions of the client.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.connection.topics.values()
    }

    /// The client has sent a text message.
    pub fn receive(&mut self, text: &str, now: Timestamp, listing: &dyn Listing) -> Vec<Step> {
        let mut steps = Vec::new();
        let text = if text.len() > REQUEST_BYTES_MAX { "" } else { text };
        let connection = &mut self.connection;
        match connection.endpoint {
            Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::receive(connection, text, listing, &mut steps),
            Endpoint::Coinbase => coinbase::receive(connection, text, now, listing, &mut steps),
            Endpoint::KrakenV1 => kraken::v1_receive(connection, text, listing, &mut steps),
            Endpoint::KrakenV2 => kraken::v2_receive(connection, text, now, listing, &mut steps),
            Endpoint::BybitSpot | Endpoint::BybitLinear => bybit::receive(connection, text, listing, &mut steps),
            Endpoint::OkxPublic | Endpoint::OkxBusiness => okx::receive(connection, text, listing, &mut steps),
        }
        steps
    }

    /// The signs of life that are due after a second; `quiet` where nothing was sent within it.
    pub fn second(&mut self, now: Timestamp, quiet: bool) -> Vec<Frame> {
        let subscribed = !self.connection.topics.is_empty();
        match self.connection.endpoint {
            Endpoint::KrakenV1 if subscribed && quiet => vec![Frame::whole(r#"{"event":"heartbeat"}"#)],
            Endpoint::KrakenV2 if subscribed && quiet => vec![Frame::whole(r#"{"channel":"heartbeat"}"#)],
            Endpoint::Coinbase if self.connection.topics.values().any(|t| t.channel == super::Channel::Heartbeat) => {
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
        match self.connection.endpoint {
            Endpoint::BinanceSpot | Endpoint::BinanceUsdm if !self.connection.combined => binance::unwrapped(text),
            _ => text,
        }
    }
}
