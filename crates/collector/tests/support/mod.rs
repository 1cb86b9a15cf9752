//! A venue that behaves as badly as told, a session that speaks with it, and a collector of both.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{SinkExt, StreamExt};
use openmesh_collector::{Config, Deps, Handle, ManifestReader, Outputs, SegmentManifest, SourceConfig, start};
use openmesh_content::{BlockStore, Limits};
use openmesh_dialect::{Action, Input, Output, Session, Subscription};
use openmesh_market::event::{BookDelta, BookSnapshot, Incident, IncidentKind, Level, Trade};
use openmesh_market::{ConnectionId, Event, EventKind, Exchange, Feed, OrderBook, Side};
use openmesh_primitives::{Decimal, Symbol, Timestamp, ValidatorKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits, but not for ever.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came in time")
}

/// A message of the session before its connection is open.
pub const EARLY: &str = "early";

/// A frame upon which the session asks for another connection, as one does whose book fails its check.
const RENEW: &str = "renew";

/// Behaviour of the server on a connection.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// A trade and a book change every 2 ms.
    Serve,
    /// Twenty times as many.
    Flood,
    /// A trade and a book change with every message, each half a second of the venue's time after the last.
    Fast,
    /// Half a frame, then the end.
    CutMidFrame,
    /// Nonsense of both kinds, then [`Behaviour::Serve`].
    GarbageThenServe,
    /// 429 with `Retry-After`.
    TooMany { seconds: u64 },
    /// Open, and not a word.
    Silent,
    /// A few changes, then one that makes the session ask for another connection.
    Renew,
}

/// A local venue. The n-th WebSocket connection gets the n-th behaviour, all later ones the last.
pub struct Server {
    pub base: String,
    accepted: Arc<AtomicUsize>,
    limited: Arc<Limit>,
    task: JoinHandle<()>,
}

/// HTTP requests so far, and how the next ones are answered.
#[derive(Debug, Default)]
struct Limit {
    asked: AtomicUsize,
    times: AtomicUsize,
    seconds: AtomicUsize,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(behaviours: Vec<Behaviour>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (accepted, limited) = (Arc::new(AtomicUsize::new(0)), Arc::<Limit>::default());
        let (counter, limit) = (accepted.clone(), limited.clone());
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, behaviours.clone(), counter.clone(), limit.clone()));
            }
        });
        Server { base, accepted, limited, task }
    }

    /// WebSocket connections so far, refused ones included.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The next so many HTTP requests are answered 429, with a wait of so many seconds.
    pub fn limit_http(&self, times: usize, seconds: usize) {
        self.limited.seconds.store(seconds, Ordering::SeqCst);
        self.limited.times.store(times, Ordering::SeqCst);
    }

    /// HTTP requests so far.
    pub fn asked(&self) -> usize {
        self.limited.asked.load(Ordering::SeqCst)
    }
}

/// Answers HTTP itself; hands WebSocket handshakes on.
async fn serve(socket: TcpStream, behaviours: Vec<Behaviour>, accepted: Arc<AtomicUsize>, limited: Arc<Limit>) {
    let mut head = [0u8; 2_048];
    let peeked = socket.peek(&mut head).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&head[..peeked]).to_ascii_lowercase();
    if !text.contains("upgrade: websocket") {
        return answer(socket, limited).await;
    }
    let nth = accepted.fetch_add(1, Ordering::SeqCst);
    let behaviour = *behaviours.get(nth).or(behaviours.last()).expect("a behaviour");
    if let Behaviour::TooMany { seconds } = behaviour {
        return say(socket, &format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {seconds}\r\n"), "").await;
    }
    let Ok(mut stream) = tokio_tungstenite::accept_async(socket).await else { return };
    match behaviour {
        Behaviour::CutMidFrame => {
            // A text frame that says 100 bytes and holds three.
            let raw = stream.get_mut();
            let _ = raw.write_all(&[0x81, 100, b'{', b'"', b't']).await;
            let _ = raw.flush().await;
        }
        Behaviour::Silent => while stream.next().await.is_some() {},
        Behaviour::Renew => {
            for text in ["1 1000", "2 1001", "3 1002", RENEW] {
                let _ = stream.send(Message::text(text)).await;
            }
            while stream.next().await.is_some() {}
        }
        Behaviour::GarbageThenServe => {
            let _ = stream.send(Message::text("]]{{ what")).await;
            let _ = stream.send(Message::binary(vec![0xff, 0xfe, 0])).await;
            feed(stream, 1, 0).await;
        }
        Behaviour::Flood => feed(stream, 40, 0).await,
        Behaviour::Fast => feed(stream, 1, 500).await,
        _ => feed(stream, 1, 0).await,
    }
}

/// One line a message: `<n> <milliseconds>`; the session makes a trade and a book change of it. So many each 2 ms, and each so
/// many milliseconds ahead of the last.
async fn feed(mut stream: tokio_tungstenite::WebSocketStream<TcpStream>, burst: u64, ahead_ms: u64) {
    let mut n = 0u64;
    loop {
        n += 1;
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() + u128::from(n * ahead_ms);
        if stream.send(Message::text(format!("{n} {ms}"))).await.is_err() {
            return;
        }
        if n.is_multiple_of(burst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn answer(socket: TcpStream, limited: Arc<Limit>) {
    limited.asked.fetch_add(1, Ordering::SeqCst);
    let more = limited.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if more.is_ok() {
        let seconds = limited.seconds.load(Ordering::SeqCst);
        return say(socket, &format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {seconds}\r\n"), "").await;
    }
    say(socket, "HTTP/1.1 200 OK\r\n", "book").await;
}

async fn say(mut socket: TcpStream, head: &str, body: &str) {
    let mut request = vec![0u8; 4_096];
    let _ = socket.read(&mut request).await;
    let text = format!("{head}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.shutdown().await;
}

/// The number that the server's change carried.
pub fn step_of(event: &Event) -> u64 {
    let levels = match &event.kind {
        EventKind::BookSnapshot(s) => &s.bids,
        EventKind::BookDelta(d) => &d.bids,
        other => panic!("{other:?} is no book"),
    };
    levels[0].1.to_string().parse().unwrap()
}

/// The session of the server's protocol. For Binance the book begins with an answer over HTTP, else with the first frame.
pub struct Plain {
    exchange: Exchange,
    symbol: Symbol,
    book: OrderBook,
    in_step: bool,
    panics: bool,
    frames: u64,
    begun: Arc<AtomicUsize>,
}

impl Plain {
    pub fn new(exchange: Exchange, panics: bool, begun: Arc<AtomicUsize>) -> Plain {
        let symbol = Symbol::spot("BTC", "USDT");
        Plain { exchange, symbol, book: OrderBook::new(), in_step: false, panics, frames: 0, begun }
    }

    fn event(&self, now: Timestamp, ts: Option<Timestamp>, kind: EventKind) -> Event {
        Event { exchange: self.exchange, symbol: Some(self.symbol.clone()), ts_exchange: ts, ts_capture: now, kind }
    }

    fn incident(&self, now: Timestamp, kind: IncidentKind) -> Event {
        let incident = Incident { kind, feed: None, detail: "test".into() };
        Event { symbol: None, ..self.event(now, None, EventKind::Incident(incident)) }
    }

    fn frame(&mut self, data: &[u8], now: Timestamp, output: &mut Output) {
        let text = std::str::from_utf8(data).ok().and_then(|t| t.split_once(' '));
        let Some((n, ms)) = text.and_then(|(n, ms)| Some((n.parse::<i64>().ok()?, ms.parse().ok()?))) else {
            return output.events.push(self.incident(now, IncidentKind::Garbage));
        };
        let ts = Some(Timestamp::from_millis(ms));
        let level: Level = (Decimal::from(100), Decimal::from(n));
        let trade = Trade {
            side: Side::Buy,
            price: Decimal::from(100),
            size: Decimal::from(1),
            id: Some(n.to_string()),
            snapshot: false,
        };
        output.events.push(self.event(now, ts, EventKind::Trade(trade)));
        if self.in_step {
            let delta = BookDelta { bids: vec![level], asks: vec![], sequence: None, checksum: None };
            output.events.push(self.event(now, ts, EventKind::BookDelta(delta)));
        } else if self.exchange != Exchange::Binance {
            self.snapshot(level, ts, now, output);
        }
        self.book.set(Side::Buy, level.0, level.1);
    }

    fn ask(&self, output: &mut Output) {
        if self.exchange == Exchange::Binance {
            output.actions.push(Action::Get { url: "https://binance.example/depth?symbol=BTCUSDT".into() });
        }
    }

    fn snapshot(&mut self, level: Level, ts: Option<Timestamp>, now: Timestamp, output: &mut Output) {
        self.in_step = true;
        self.book.clear();
        self.book.set(Side::Buy, level.0, level.1);
        let snapshot = BookSnapshot { bids: vec![level], asks: vec![], sequence: None, checksum: None };
        output.events.push(self.event(now, ts, EventKind::BookSnapshot(snapshot)));
    }
}

impl Session for Plain {
    fn exchange(&self) -> Exchange {
        self.exchange
    }

    fn start(&mut self, _: &Subscription, output: &mut Output) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let url = format!("wss://{}.example/feed", self.exchange);
        output.actions.push(Action::Open { connection: ConnectionId(0), url });
        // Waits for a connection to take it, and there may never be one.
        output.actions.push(Action::Send { connection: ConnectionId(0), text: EARLY.into() });
        self.ask(output);
    }

    fn handle(&mut self, input: Input<'_>, now: Timestamp, output: &mut Output) {
        match input {
            Input::Opened { connection, .. } => {
                self.in_step = false;
                output.actions.push(Action::Send { connection, text: "subscribe".into() });
            }
            Input::Closed { connection } => {
                self.in_step = false;
                output.events.push(self.incident(now, IncidentKind::Disconnected));
                output.actions.push(Action::Reconnect { connection });
            }
            Input::Frame { connection, data } if data == RENEW.as_bytes() => {
                output.actions.push(Action::Reconnect { connection });
            }
            Input::Frame { data, .. } => {
                self.frames += 1;
                assert!(!(self.panics && self.frames > 3), "as the test wants it");
                self.frame(data, now, output);
            }
            // As a session does whose book waits for its snapshot.
            Input::Tick if !self.in_step => self.ask(output),
            Input::Response { status: 200, .. } => {
                self.snapshot((Decimal::from(100), Decimal::from(1)), None, now, output);
            }
            _ => {}
        }
    }

    fn book(&self, symbol: &Symbol) -> Option<&OrderBook> {
        (self.in_step && *symbol == self.symbol).then_some(&self.book)
    }

    fn books(&self) -> Vec<(Symbol, &OrderBook)> {
        self.book(&self.symbol).map(|book| (self.symbol.clone(), book)).into_iter().collect()
    }
}

/// A collector at work on a server.
pub struct Collector {
    pub handle: Handle,
    pub outputs: Outputs,
    pub store: Arc<BlockStore>,
    begun: Arc<AtomicUsize>,
    stop: CancellationToken,
    join: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Collector {
    pub fn start(server: &Server, exchanges: &[Exchange]) -> Collector {
        Collector::with(server, exchanges, None, tempfile::tempdir().unwrap(), |_| {})
    }

    /// With some of the limits others than a test wants them by itself.
    pub fn adjusted(server: &Server, exchanges: &[Exchange], adjust: fn(&mut Config)) -> Collector {
        Collector::with(server, exchanges, None, tempfile::tempdir().unwrap(), adjust)
    }

    /// Of one venue, with its folder in this one.
    pub fn start_in(server: &Server, folder: &Path) -> Collector {
        Collector::with(server, &[Exchange::Kraken], None, tempfile::tempdir_in(folder).unwrap(), |_| {})
    }

    /// The session of one venue panics with its fourth frame, each time.
    pub fn panicking(server: &Server, exchanges: &[Exchange], victim: Exchange) -> Collector {
        Collector::with(server, exchanges, Some(victim), tempfile::tempdir().unwrap(), |_| {})
    }

    fn with(
        server: &Server,
        exchanges: &[Exchange],
        victim: Option<Exchange>,
        dir: tempfile::TempDir,
        adjust: fn(&mut Config),
    ) -> Collector {
        let store = Arc::new(BlockStore::open(&dir.path().join("content"), Limits::default()).unwrap());
        let mut deps = Deps::new(store.clone(), ValidatorKey::from_seed([1; 32]));
        let begun = Arc::<AtomicUsize>::default();
        let told = begun.clone();
        deps.session = Arc::new(move |exchange| Box::new(Plain::new(exchange, victim == Some(exchange), told.clone())));
        let stop = deps.stop.clone();
        let mut config = Config {
            sources: exchanges.iter().map(|exchange| source(exchange.name(), *exchange, 500)).collect(),
            gateway: Some(server.base.clone()),
            archive_dir: dir.path().join("archive"),
            lateness_ms: 200,
            reconnect_ms_min: 20,
            reconnect_ms_max: 100,
            // A busy machine is silent for some hundred milliseconds now and then.
            silence_ms_max: 1_500,
            events_waiting_max: 1_024,
            ..Config::default()
        };
        adjust(&mut config);
        let (handle, outputs, join) = start(config, deps).unwrap();
        Collector { handle, outputs, store, begun, stop, join, dir }
    }

    /// Sessions that have begun to ask for anything.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Drains; gives the number of frames that were taken in, and the folder.
    pub async fn stop(self) -> (u64, tempfile::TempDir) {
        self.stop.cancel();
        within(self.join).await.unwrap();
        (self.handle.liveness().iter().map(|source| source.frames).sum(), self.dir)
    }
}

/// A source of the server's one instrument.
pub fn source(id: &str, exchange: Exchange, window_ms: u32) -> SourceConfig {
    let symbols = vec![Symbol::spot("BTC", "USDT")];
    SourceConfig { id: id.to_owned(), exchange, symbols, feeds: vec![Feed::Trades, Feed::Book], window_ms }
}

/// The segments that a source has archived, verified from the beginning.
pub fn segments(dir: &Path, source: &str) -> Vec<SegmentManifest> {
    let remembered = dir.join("a-reader-of-the-test");
    ManifestReader::open(&dir.join("archive"), source, &remembered).unwrap().read(usize::MAX).unwrap()
}
