//! One connection seen from the venue: what the client has subscribed to, and how it is answered.

use std::collections::BTreeMap;

use openmesh_primitives::Timestamp;

use super::{Door, Frame, Topic, binance, bybit, coinbase, kraken, okx};

/// Streams that one connection may hold: Binance's own limit, and the largest of these venues.
pub const CONNECTION_TOPICS_MAX: usize = 1024;

/// Longest message of a client that is read, in bytes: a thousand stream names fit.
pub(super) const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// What the venue does next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Says something to this client.
    Say(Frame),
    /// Starts a stream: its snapshot where it has one, then whatever happens.
    Begin(Topic),
    /// Ends a stream.
    End(Topic),
}

/// What the venue lists: asked when a client subscribes.
pub trait Listing {
    /// Whether there is such a stream.
    fn knows(&self, topic: &Topic) -> bool;

    /// The acknowledgement of this stream as it was recorded, where it was.
    fn acknowledgement(&self, _topic: &Topic) -> Option<String> {
        None
    }
}

/// One connection of a client, seen from the venue.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub(super) door: Door,
    /// Number of the connection: goes into the venue's connection ids.
    pub(super) id: u64,
    /// Binance: whether frames carry the name of their stream.
    pub(super) combined: bool,
    /// By the venue's name of the stream and the instrument.
    pub(super) topics: BTreeMap<(String, String), Topic>,
    numbered: u64,
    heartbeats: u64,
}

impl Conversation {
    /// A client has connected to `path?query` of a door. `id` distinguishes connections.
    pub fn open(door: Door, path: &str, query: &str, id: u64, listing: &dyn Listing) -> (Conversation, Vec<Step>) {
        let mut conversation =
            Conversation { door, id, combined: true, topics: BTreeMap::new(), numbered: 0, heartbeats: 0 };
        let mut steps = Vec::new();
        match door {
            Door::BinanceSpot | Door::BinanceUsdm => {
                binance::opened(&mut conversation, path, query, listing, &mut steps);
            }
            Door::KrakenV1 => steps.push(kraken::v1_status(id)),
            Door::KrakenV2 => steps.push(kraken::v2_status(id)),
            _ => {}
        }
        (conversation, steps)
    }

    /// Where the client is connected.
    pub fn door(&self) -> Door {
        self.door
    }

    /// What the client has subscribed to.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    /// The client has sent a text message.
    pub fn receive(&mut self, text: &str, now: Timestamp, listing: &dyn Listing) -> Vec<Step> {
        let mut steps = Vec::new();
        let text = if text.len() > REQUEST_BYTES_MAX { "" } else { text };
        match self.door {
            Door::BinanceSpot | Door::BinanceUsdm => binance::receive(self, text, listing, &mut steps),
            Door::Coinbase => coinbase::receive(self, text, now, listing, &mut steps),
            Door::KrakenV1 => kraken::v1_receive(self, text, listing, &mut steps),
            Door::KrakenV2 => kraken::v2_receive(self, text, now, listing, &mut steps),
            Door::BybitSpot | Door::BybitLinear => bybit::receive(self, text, listing, &mut steps),
            Door::OkxPublic | Door::OkxBusiness => okx::receive(self, text, listing, &mut steps),
        }
        steps
    }

    /// The signs of life that are due after a second; `quiet` where nothing was sent within it.
    pub fn second(&mut self, now: Timestamp, quiet: bool) -> Vec<Frame> {
        let subscribed = !self.topics.is_empty();
        match self.door {
            Door::KrakenV1 if subscribed && quiet => vec![Frame::whole(r#"{"event":"heartbeat"}"#)],
            Door::KrakenV2 if subscribed && quiet => vec![Frame::whole(r#"{"channel":"heartbeat"}"#)],
            Door::Coinbase if self.topics.values().any(|t| t.channel == super::Channel::Heartbeat) => {
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
        match self.door {
            Door::BinanceSpot | Door::BinanceUsdm if !self.combined => binance::unwrapped(text),
            _ => text,
        }
    }

    /// Starts a stream once; a stream that runs already is left alone. False where the connection holds too many.
    pub(super) fn begin(&mut self, topic: Topic, steps: &mut Vec<Step>) -> bool {
        let key = (topic.name.clone(), topic.instrument.clone());
        if self.topics.contains_key(&key) {
            return true;
        }
        if self.topics.len() >= CONNECTION_TOPICS_MAX {
            return false;
        }
        self.topics.insert(key, topic.clone());
        steps.push(Step::Begin(topic));
        true
    }

    /// Ends a stream where it runs.
    pub(super) fn end(&mut self, name: &str, instrument: &str, steps: &mut Vec<Step>) -> bool {
        match self.topics.remove(&(name.to_owned(), instrument.to_owned())) {
            Some(topic) => {
                steps.push(Step::End(topic));
                true
            }
            None => false,
        }
    }
}
