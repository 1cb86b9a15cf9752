//! A small collector for tests: drives a dialect's session over real sockets, with every address led to the server.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{SinkExt, StreamExt};
use openmesh_dialect::{Action, Input, Output, Session, Subscription};
use openmesh_market::{ConnectionId, Event, EventKind, Exchange, Feed};
use openmesh_primitives::{Symbol, Timestamp};
use openmesh_venues::{Catalogue, Handle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// Longest that a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

enum In {
    Opened(ConnectionId, String),
    Frame(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
    Response(String, u16, Vec<u8>),
}

/// A site that collects from one venue.
pub struct Site {
    pub session: Box<dyn Session>,
    pub events: Vec<Event>,
    handle: Handle,
    output: Output,
    outgoing: BTreeMap<ConnectionId, mpsc::UnboundedSender<String>>,
    urls: BTreeMap<ConnectionId, String>,
    inbox: mpsc::UnboundedReceiver<In>,
    post: mpsc::UnboundedSender<In>,
    /// Frames received.
    pub frames: usize,
    /// Messages sent.
    pub sent: usize,
    counts: BTreeMap<(Symbol, Feed), usize>,
    incidents: usize,
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(since.as_nanos() as i64)
}

/// The groups of symbols with equal feeds of a venue: one subscription each.
pub fn subscriptions(catalogue: &Catalogue, exchange: Exchange) -> Vec<Subscription> {
    let mut groups: BTreeMap<Vec<Feed>, Vec<Symbol>> = BTreeMap::new();
    for entry in catalogue.of(exchange) {
        groups.entry(entry.feeds.clone()).or_default().push(entry.symbol.clone());
    }
    groups.into_iter().map(|(feeds, symbols)| Subscription { symbols, feeds }).collect()
}

impl Site {
    pub fn start(handle: &Handle, exchange: Exchange, subscription: &Subscription) -> Site {
        let (post, inbox) = mpsc::unbounded_channel();
        let mut site = Site {
            session: openmesh_dialect::session(exchange),
            events: Vec::new(),
            handle: handle.clone(),
            output: Output::default(),
            outgoing: BTreeMap::new(),
            urls: BTreeMap::new(),
            inbox,
            post,
            frames: 0,
            sent: 0,
            counts: BTreeMap::new(),
            incidents: 0,
        };
        site.session.start(subscription, &mut site.output);
        site.act();
        site
    }

    fn act(&mut self) {
        for event in &self.output.events {
            match (&event.symbol, event.kind.feed()) {
                (Some(symbol), Some(feed)) => *self.counts.entry((symbol.clone(), feed)).or_default() += 1,
                _ => self.incidents += usize::from(matches!(event.kind, EventKind::Incident(_))),
            }
        }
        self.events.append(&mut self.output.events);
        for action in std::mem::take(&mut self.output.actions) {
            match action {
                Action::Open { connection, url } => {
                    self.urls.insert(connection, url);
                    self.open(connection);
                }
                Action::Reconnect { connection } => self.open(connection),
                Action::Send { connection, text } => {
                    if let Some(outgoing) = self.outgoing.get(&connection) {
                        self.sent += 1;
                        let _ = outgoing.send(text);
                    }
                }
                Action::Get { url } => {
                    let (post, local) = (self.post.clone(), self.handle.local(&url).unwrap());
                    tokio::spawn(async move {
                        let (status, body) = get(&local).await;
                        let _ = post.send(In::Response(url, status, body));
                    });
                }
            }
        }
    }

    fn open(&mut self, connection: ConnectionId) {
        let url = self.urls[&connection].clone();
        let local = self.handle.local(&url).unwrap();
        let (sender, mut outgoing) = mpsc::unbounded_channel::<String>();
        self.outgoing.insert(connection, sender);
        let post = self.post.clone();
        tokio::spawn(async move {
            let (mut socket, _) = match tokio_tungstenite::connect_async(&local).await {
                Ok(opened) => opened,
                Err(error) => panic!("{local}: {error}"),
            };
            let _ = post.send(In::Opened(connection, url));
            loop {
                tokio::select! {
                    text = outgoing.recv() => match text {
                        Some(text) => {
                            if socket.send(Message::text(text)).await.is_err() {
                                break;
                            }
                        }
                        None => break,
                    },
                    message = socket.next() => match message {
                        Some(Ok(Message::Text(text))) => {
                            let _ = post.send(In::Frame(connection, text.as_bytes().to_vec()));
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                        Some(Ok(_)) => {}
                    },
                }
            }
            let _ = post.send(In::Closed(connection));
        });
    }

    /// Goes on until something is so; fails the test where that takes too long.
    pub async fn until(&mut self, what: &str, mut so: impl FnMut(&Site) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        while !so(self) {
            let message = tokio::select! {
                message = self.inbox.recv() => message.unwrap(),
                _ = second.tick() => {
                    self.session.handle(Input::Tick, now(), &mut self.output);
                    self.act();
                    continue;
                }
                () = tokio::time::sleep_until(deadline) => {
                    panic!("{}: {what} takes too long; {} events, incidents {:#?}",
                        self.session.exchange(), self.events.len(), self.incidents());
                }
            };
            let input = match &message {
                In::Opened(connection, url) => Input::Opened { connection: *connection, url },
                In::Frame(connection, data) => {
                    self.frames += 1;
                    Input::Frame { connection: *connection, data }
                }
                In::Closed(connection) => Input::Closed { connection: *connection },
                In::Response(url, status, body) => Input::Response { url, status: *status, body },
            };
            self.session.handle(input, now(), &mut self.output);
            self.act();
        }
    }

    pub fn incidents(&self) -> Vec<&Event> {
        self.events.iter().filter(|e| matches!(e.kind, EventKind::Incident(_))).collect()
    }

    pub fn any_incident(&self) -> bool {
        self.incidents > 0
    }

    pub fn count(&self, symbol: &Symbol, feed: Feed) -> usize {
        self.counts.get(&(symbol.clone(), feed)).copied().unwrap_or(0)
    }
}

/// `GET` over a connection of its own.
pub async fn get(url: &str) -> (u16, Vec<u8>) {
    request(url, "GET", b"").await
}

/// A request over a connection of its own.
pub async fn request(url: &str, method: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[end + 4..].to_vec())
}
