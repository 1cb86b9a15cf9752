//! Listeners around the market: one lock, so that a snapshot and the stream after it fit without gap.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openmesh_dialect::emulate::{Conversation, Endpoint, Frame, Step, Topic};
use openmesh_primitives::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::progress::Progress;
use crate::source::{HttpAnswer, HttpRequest, Source};

/// Messages that wait for one connection: minutes of the simulated market, seconds of a fast replay. Beyond it the
/// client is too slow and is disconnected, as venues do.
pub(crate) const QUEUE_FRAMES_MAX: usize = 32_768;

/// Longest that a replay as fast as possible waits for one client: reading a full queue takes a fraction of it.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(20);

/// Message to a connection.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    /// An answer to it alone.
    Answer(Frame),
    /// Data of a stream.
    Data(Frame),
}

struct Peer {
    queue: mpsc::Sender<Outgoing>,
    cut: CancellationToken,
    keys: BTreeSet<Topic>,
}

/// The market and its listeners.
pub(crate) struct Room<S> {
    pub(crate) source: S,
    peers: HashMap<u64, Peer>,
    listeners: BTreeMap<Topic, BTreeSet<u64>>,
    connections_made: u64,
    events_total: u64,
    /// Events at the beginning of this and of the last second.
    events_marks: (u64, u64),
}

impl<S: Source> Room<S> {
    /// Sends a frame to everyone who listens to one of these topics (as [`Source::key`] gives them), once.
    pub(crate) fn publish(&mut self, keys: &[Topic], frame: &Frame) {
        match keys {
            [key] => {
                let Some(ids) = self.listeners.get(key) else { return };
                for id in ids {
                    send(&self.peers, *id, Outgoing::Data(frame.clone()));
                }
            }
            keys => {
                let ids: BTreeSet<u64> = keys.iter().filter_map(|k| self.listeners.get(k)).flatten().copied().collect();
                for id in ids {
                    send(&self.peers, id, Outgoing::Data(frame.clone()));
                }
            }
        }
    }

    /// The market has made so many more events.
    pub(crate) fn count(&mut self, events: u64) {
        self.events_total += events;
    }

    fn follow(&mut self, id: u64, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Say(frame) => send(&self.peers, id, Outgoing::Answer(frame)),
                Step::Begin(topic) => {
                    for frame in self.source.begin(id, &topic) {
                        send(&self.peers, id, Outgoing::Answer(frame));
                    }
                    let key = self.source.key(&topic);
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.keys.insert(key.clone());
                        self.listeners.entry(key).or_default().insert(id);
                    }
                }
                Step::End(topic) => {
                    self.source.end(id, &topic);
                    let key = self.source.key(&topic);
                    self.forget(id, &key);
                    if let Some(peer) = self.peers.get_mut(&id) {
                        peer.keys.remove(&key);
                    }
                }
            }
        }
    }

    fn forget(&mut self, id: u64, key: &Topic) {
        if let Some(ids) = self.listeners.get_mut(key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.listeners.remove(key);
            }
        }
    }
}

/// Queues; a client whose queue is full is cut off.
fn send(peers: &HashMap<u64, Peer>, id: u64, message: Outgoing) {
    if let Some(peer) = peers.get(&id)
        && let Err(mpsc::error::TrySendError::Full(_)) = peer.queue.try_send(message)
        && !peer.cut.is_cancelled()
    {
        tracing::warn!(connection = id, frames_max = QUEUE_FRAMES_MAX, "a client reads too slowly and is disconnected");
        peer.cut.cancel();
    }
}

/// A new connection as its task holds it.
pub(crate) struct Admission {
    pub id: u64,
    pub conversation: Conversation,
    pub queue: mpsc::Receiver<Outgoing>,
    pub cut: CancellationToken,
}

/// The endpoints' side of the hub, whatever market stands behind.
pub(crate) trait Endpoints: Send + Sync {
    /// A client connects.
    fn admit(&self, endpoint: Endpoint, path: &str, query: &str) -> Admission;
    /// A client has sent a text.
    fn receive(&self, id: u64, conversation: &mut Conversation, text: &str);
    /// A client is gone.
    fn leave(&self, id: u64, conversation: &Conversation);
    /// A request over HTTP.
    fn http(&self, request: &HttpRequest<'_>) -> Option<HttpAnswer>;
    /// The venue's time.
    fn now(&self, endpoint: Endpoint) -> Timestamp;
    /// Catalogue of what is served.
    fn catalogue(&self) -> Catalogue;
    /// Progress of the server.
    fn progress(&self) -> Progress;
    /// A second has gone by.
    fn second(&self);
}

/// The market behind its lock.
pub(crate) struct Hub<S> {
    room: Mutex<Room<S>>,
}

impl<S: Source> Hub<S> {
    pub(crate) fn new(source: S) -> Arc<Hub<S>> {
        Arc::new(Hub {
            room: Mutex::new(Room {
                source,
                peers: HashMap::new(),
                listeners: BTreeMap::new(),
                connections_made: 0,
                events_total: 0,
                events_marks: (0, 0),
            }),
        })
    }

    /// The market and its listeners, alone. A panic of another holder leaves nothing half-done that matters here.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Room<S>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every connection has room for `frames` more, or is gone.
    pub(crate) async fn wait_for_room(&self, frames: usize) {
        let full: Vec<mpsc::Sender<Outgoing>> = {
            let room = self.lock();
            room.peers.values().filter(|p| p.queue.capacity() < frames).map(|p| p.queue.clone()).collect()
        };
        for queue in full {
            // The permits are given back at once: only the wait matters. An error means that the client is gone, a time
            // too long that it hangs, and then it is cut off like any that is too slow.
            drop(tokio::time::timeout(ROOM_WAIT_MAX, queue.reserve_many(frames)).await);
        }
    }
}

impl<S: Source> Endpoints for Hub<S> {
    fn admit(&self, endpoint: Endpoint, path: &str, query: &str) -> Admission {
        let (sender, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
        let cut = CancellationToken::new();
        let mut room = self.lock();
        room.connections_made += 1;
        let id = room.connections_made;
        let (conversation, steps) = Conversation::open(endpoint, path, query, id, &room.source);
        room.peers.insert(id, Peer { queue: sender, cut: cut.clone(), keys: BTreeSet::new() });
        room.follow(id, steps);
        Admission { id, conversation, queue, cut }
    }

    fn receive(&self, id: u64, conversation: &mut Conversation, text: &str) {
        let mut room = self.lock();
        let now = room.source.now(conversation.endpoint());
        let steps = conversation.receive(text, now, &room.source);
        room.follow(id, steps);
    }

    fn leave(&self, id: u64, conversation: &Conversation) {
        let mut room = self.lock();
        for topic in conversation.topics() {
            room.source.end(id, topic);
        }
        if let Some(peer) = room.peers.remove(&id) {
            for key in &peer.keys {
                room.forget(id, key);
            }
        }
    }

    fn http(&self, request: &HttpRequest<'_>) -> Option<HttpAnswer> {
        self.lock().source.http(request)
    }

    fn now(&self, endpoint: Endpoint) -> Timestamp {
        self.lock().source.now(endpoint)
    }

    fn catalogue(&self) -> Catalogue {
        self.lock().source.catalogue()
    }

    fn progress(&self) -> Progress {
        let room = self.lock();
        Progress {
            events_total: room.events_total,
            events_per_second: room.events_marks.0 - room.events_marks.1,
            connections: room.peers.len(),
            sets: room.source.positions(),
        }
    }

    fn second(&self) {
        let mut room = self.lock();
        room.events_marks = (room.events_total, room.events_marks.0);
    }
}
