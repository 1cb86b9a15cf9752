//! The venue's state of one connection: its subscriptions, and the steps that answer a client.

use std::collections::BTreeMap;

use super::{Endpoint, Frame, Topic};

/// Streams that one connection may hold: Binance's own limit, and the largest of these venues.
pub const CONNECTION_TOPICS_MAX: usize = 1024;

/// A step of the venue; several are done in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Says something to this client.
    Say(Frame),
    /// Starts a stream: its snapshot where it has one, then whatever happens.
    Begin(Topic),
    /// Ends a stream.
    End(Topic),
}

/// The streams of a venue: asked when a client subscribes.
pub trait Listing {
    /// Returns true where there is such a stream.
    fn knows(&self, topic: &Topic) -> bool;

    /// The acknowledgement of this stream as it was recorded, where it was.
    fn acknowledgement(&self, _topic: &Topic) -> Option<String> {
        None
    }
}

/// The state of one connection, for the venue's answers to its messages.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) endpoint: Endpoint,
    /// Number of the connection: goes into the venue's connection ids.
    pub(super) id: u64,
    /// Binance: whether frames carry the name of their stream.
    pub(super) combined: bool,
    /// By the venue's name of the stream and the instrument.
    pub(super) topics: BTreeMap<(String, String), Topic>,
}

impl Connection {
    /// A connection without subscriptions.
    pub(super) fn new(endpoint: Endpoint, id: u64) -> Connection {
        Connection { endpoint, id, combined: true, topics: BTreeMap::new() }
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
