//! A source's task: one session, its connections and requests, its windows and its listeners, in one order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmesh_market::event::{Incident, IncidentKind};
use openmesh_market::window::{ClosedWindow, Reason, WindowCutter, Withdrawn};
use openmesh_market::{Action, ConnectionId, Event, EventKind, Exchange, Feed, Input, Output, Session, Subscription};
use openmesh_primitives::{Symbol, Timestamp};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::archive::{Recorder, Trouble, Work};
use crate::backoff::Backoff;
use crate::broadcast::{Place, Question, snapshot};
use crate::config::{Config, SourceConfig, rewrite};
use crate::link::{Dial, FromLink, Link};
use crate::metrics::Metrics;
use crate::request::{Answer, Requests};
use crate::service::{SessionFactory, SourceStatus, Tamper};

/// Frames of all connections that wait for the source; beyond it the sockets wait.
const FRAMES_WAITING_MAX: usize = 4_096;

/// Rounds of actions that one input may lead to; a session that asks for more goes in circles.
const ROUNDS_MAX: usize = 1_000;

/// A connection that lived so long was a good one: the next pause is the shortest.
const GOOD_CONNECTION_MS: u64 = 60_000;

/// Least time between two new snapshots for the sake of a book's depth.
const DEPTH_RENEWAL_MS: u64 = 60_000;

/// This site's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// What outlives a source's session: where it speaks to and listens from.
pub(crate) struct Ends {
    pub(crate) questions: mpsc::Receiver<Question>,
    pub(crate) own: broadcast::Sender<Arc<Event>>,
    pub(crate) all: broadcast::Sender<Arc<Event>>,
    pub(crate) incidents: mpsc::Sender<Arc<Event>>,
    pub(crate) withdrawn: mpsc::Sender<Withdrawn>,
    pub(crate) archive: mpsc::Sender<Work>,
    pub(crate) trouble: mpsc::Receiver<Trouble>,
    pub(crate) status: Arc<Mutex<SourceStatus>>,
}

/// What a source is made from.
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    pub(crate) source: SourceConfig,
    pub(crate) session: SessionFactory,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) requests: Requests,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

/// Counters looked up once.
struct Counters {
    frames: Counter,
    reconnects: Counter,
    lag: Gauge,
    events: BTreeMap<Feed, Counter>,
}

/// One connection as the driver sees it.
struct Line {
    url: String,
    name: String,
    link: Option<Link>,
    backoff: Backoff,
    opened: Option<Instant>,
}

/// A source at work.
struct Source<'a> {
    plan: &'a Plan,
    ends: &'a mut Ends,
    exchange: Exchange,
    session: Box<dyn Session>,
    output: Output,
    cutter: WindowCutter,
    recorder: Recorder,
    lines: BTreeMap<ConnectionId, Line>,
    generation: u64,
    to_self: mpsc::Sender<FromLink>,
    pending: JoinSet<Answer>,
    counters: Counters,
    book_times: BTreeMap<Symbol, Timestamp>,
    renewed: Option<Instant>,
}

/// Runs a source until it is told to stop. Everything that was taken in is with the archive when it returns.
pub(crate) async fn run(plan: &Plan, ends: &mut Ends) {
    let (to_self, mut links) = mpsc::channel(FRAMES_WAITING_MAX);
    let mut source = Source::new(plan, ends, to_self);
    source.begin().await;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = plan.stop.cancelled() => break,
            Some(message) = links.recv() => source.heard(message).await,
            Some(answer) = source.pending.join_next() => source.answered(answer).await,
            Some(question) = source.ends.questions.recv() => source.asked(question),
            Some(trouble) = source.ends.trouble.recv() => source.troubled(trouble),
            _ = tick.tick() => source.tick().await,
        }
    }
    source.finish().await;
}

impl<'a> Source<'a> {
    fn new(plan: &'a Plan, ends: &'a mut Ends, to_self: mpsc::Sender<FromLink>) -> Source<'a> {
        let exchange = plan.source.exchange;
        let (metrics, plain) = (&plan.metrics, Metrics::labels(exchange, ""));
        let counters = Counters {
            frames: metrics.frames.get_or_create(&plain).clone(),
            reconnects: metrics.reconnects.get_or_create(&plain).clone(),
            lag: metrics.lag_ms.get_or_create(&plain).clone(),
            events: Feed::ALL
                .into_iter()
                .map(|f| (f, metrics.events.get_or_create(&Metrics::labels(exchange, f.name())).clone()))
                .collect(),
        };
        Source {
            exchange,
            session: (plan.session)(exchange),
            output: Output::default(),
            cutter: WindowCutter::new(plan.config.windows(&plan.source)),
            recorder: Recorder::new(exchange),
            lines: BTreeMap::new(),
            generation: 0,
            to_self,
            pending: JoinSet::new(),
            counters,
            book_times: BTreeMap::new(),
            renewed: None,
            plan,
            ends,
        }
    }

    async fn begin(&mut self) {
        let wanted = Subscription { symbols: self.plan.source.symbols.clone(), feeds: self.plan.source.feeds.clone() };
        self.session.start(&wanted, &mut self.output);
        self.settle(None).await;
    }

    async fn finish(&mut self) {
        self.lines.clear();
        self.pending.abort_all();
        if let Some(segment) = self.recorder.take() {
            let _ = self.ends.archive.send(Work::Segment(segment)).await;
        }
        self.status(|status| status.connections_open = 0);
    }

    async fn heard(&mut self, message: FromLink) {
        match message {
            FromLink::Opened { connection, generation, at } if self.is_current(connection, generation) => {
                let Some(line) = self.lines.get_mut(&connection) else { return };
                line.opened = Some(Instant::now());
                if let Some(link) = &mut line.link {
                    link.opened = true;
                }
                let url = line.url.clone();
                if self.plan.config.archive {
                    self.recorder.connected(&line.name, at, &url);
                }
                self.cutter.opened(connection);
                self.session.handle(Input::Opened { connection, url: &url }, at, &mut self.output);
                self.settle(Some(connection)).await;
            }
            FromLink::Frame { connection, generation, at, data } if self.is_current(connection, generation) => {
                self.counters.frames.inc();
                self.status(|status| {
                    status.frames += 1;
                    status.last_frame = Some(at);
                });
                if self.plan.config.archive
                    && let Some(line) = self.lines.get(&connection)
                {
                    self.recorder.received(&line.name, at, &data);
                }
                self.cutter.alive(connection);
                self.session.handle(Input::Frame { connection, data: &data }, at, &mut self.output);
                self.settle(Some(connection)).await;
            }
            FromLink::Closed { connection, generation, why } if self.is_current(connection, generation) => {
                self.ended(connection, &why).await;
            }
            FromLink::Refused { connection, why } => {
                tracing::warn!(exchange = %self.exchange, connection = connection.0, why, "connection not opened");
                self.incident(IncidentKind::Refused, format!("connection {}: {why}", connection.0));
            }
            // A frame of a connection that was given up meanwhile.
            _ => {}
        }
    }

    fn is_current(&self, connection: ConnectionId, generation: u64) -> bool {
        let link = self.lines.get(&connection).and_then(|line| line.link.as_ref());
        link.is_some_and(|link| link.generation == generation)
    }

    /// A connection is over: the session is told, and asks for a new one.
    async fn ended(&mut self, connection: ConnectionId, why: &str) {
        tracing::info!(exchange = %self.exchange, connection = connection.0, why, "connection ended");
        if let Some(line) = self.lines.get_mut(&connection) {
            line.link = None;
        }
        self.cutter.connection_lost(connection);
        self.session.handle(Input::Closed { connection }, now(), &mut self.output);
        self.settle(Some(connection)).await;
        // A session that forgets to ask would leave its connection dead for ever.
        if self.lines.get(&connection).is_some_and(|line| line.link.is_none()) {
            self.reconnect(connection);
        }
    }

    async fn answered(&mut self, answer: Result<Answer, tokio::task::JoinError>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(exchange = %self.exchange, %error, "a request failed");
                return;
            }
        };
        let at = now();
        if answer.limited > 0 {
            let times = answer.limited;
            self.incident(IncidentKind::Refused, format!("{} asked us {times} times to wait", answer.url));
        }
        if self.plan.config.archive && answer.status == 200 {
            self.recorder.answered(at, &answer.url, &answer.body);
        }
        let input = Input::Response { url: &answer.url, status: answer.status, body: &answer.body };
        self.session.handle(input, at, &mut self.output);
        self.settle(None).await;
    }

    fn asked(&mut self, question: Question) {
        // Whoever asked may have left: then the answer goes nowhere.
        match question {
            Question::Place(filter, answer) => {
                let wanted = self.session.books().into_iter().filter(|(symbol, _)| filter.wants_book(symbol));
                let books = wanted
                    .map(|(symbol, book)| snapshot(self.exchange, &symbol, book, self.book_times.get(&symbol).copied()))
                    .collect();
                let _ = answer.send(Place { books, events: self.ends.own.subscribe() });
            }
            Question::Book(symbol, answer) => {
                let time = self.book_times.get(&symbol).copied();
                let book = self.session.book(&symbol).map(|book| snapshot(self.exchange, &symbol, book, time));
                let _ = answer.send(book);
            }
        }
    }

    fn troubled(&mut self, trouble: Trouble) {
        let why = match trouble {
            Trouble::Began(why) => {
                tracing::error!(exchange = %self.exchange, why, "archive");
                Some(why)
            }
            Trouble::Over => {
                tracing::info!(exchange = %self.exchange, "the archive has room again: everything that waited is kept");
                None
            }
        };
        self.status(|status| status.trouble = why);
    }

    async fn tick(&mut self) {
        self.session.handle(Input::Tick, now(), &mut self.output);
        self.settle(None).await;
        let (books, open) = (self.session.books().len(), self.lines.values().filter(|l| l.is_open()).count());
        let (all, watermark) = (self.lines.len(), self.cutter.watermark());
        self.status(|status| {
            status.books_in_step = books;
            (status.connections, status.connections_open) = (all, open);
            status.watermark = watermark;
        });
        self.counters.lag.set(self.ends.status.lock().unwrap_or_else(PoisonError::into_inner).lag_ms);
    }

    /// Passes on what the last input led to, and does what it asks for.
    async fn settle(&mut self, connection: Option<ConnectionId>) {
        for _ in 0..ROUNDS_MAX {
            for event in std::mem::take(&mut self.output.events) {
                self.deliver(connection, event);
            }
            let actions = std::mem::take(&mut self.output.actions);
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.act(action);
            }
        }
        self.pass_on().await;
    }

    fn deliver(&mut self, connection: Option<ConnectionId>, event: Event) {
        match &self.plan.tamper {
            Some(tamper) => {
                let mut altered = event.clone();
                tamper(&mut altered);
                self.cutter.observe(connection, &altered);
            }
            None => self.cutter.observe(connection, &event),
        }
        let lag = event.ts_exchange.map(|ts| event.ts_capture.millis() - ts.millis());
        if let (Some(symbol), Some(ts), Some(Feed::Book)) = (&event.symbol, event.ts_exchange, event.kind.feed()) {
            match self.book_times.get_mut(symbol) {
                Some(time) => *time = ts,
                None => drop(self.book_times.insert(symbol.clone(), ts)),
            }
        }
        match (&event.kind, event.kind.feed()) {
            (EventKind::Incident(incident), _) => self.count_incident(incident.kind, &incident.detail),
            (_, Some(feed)) => {
                if let Some(counter) = self.counters.events.get(&feed) {
                    counter.inc();
                }
                let live = matches!(event.kind, EventKind::Trade(_) | EventKind::BookDelta(_));
                self.status(|status| {
                    status.events += 1;
                    if let (Some(lag), true) = (lag, live) {
                        status.lag_ms = lag;
                    }
                });
            }
            _ => {}
        }
        self.publish(event);
    }

    fn publish(&self, event: Event) {
        let event = Arc::new(event);
        if matches!(event.kind, EventKind::Incident(_)) && self.ends.incidents.try_send(event.clone()).is_err() {
            tracing::debug!(exchange = %self.exchange, "nobody takes incidents as fast as they come");
        }
        // Nobody listening is fine.
        let _ = self.ends.own.send(event.clone());
        let _ = self.ends.all.send(event);
    }

    fn count_incident(&self, kind: IncidentKind, detail: &str) {
        let name = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        self.plan.metrics.incidents.get_or_create(&Metrics::labels(self.exchange, &name)).inc();
        self.status(|status| {
            status.incidents += 1;
            status.last_incident = Some(format!("{name}: {detail}"));
        });
    }

    /// An incident that the driver found, not the session.
    fn incident(&mut self, kind: IncidentKind, detail: String) {
        self.count_incident(kind, &detail);
        let kind = EventKind::Incident(Incident { kind, feed: None, detail });
        self.publish(Event { exchange: self.exchange, symbol: None, ts_exchange: None, ts_capture: now(), kind });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open { connection, url } => self.open(connection, url),
            Action::Send { connection, text } => self.send(connection, text),
            Action::Get { url } => self.get(url),
            Action::Reconnect { connection } => {
                self.cutter.connection_lost(connection);
                self.reconnect(connection);
            }
        }
    }

    fn open(&mut self, connection: ConnectionId, url: String) {
        let config = &self.plan.config;
        let name = format!("{}.ws.{}", self.exchange.name().to_ascii_uppercase(), connection.0);
        let backoff = Backoff::new(config.reconnect_ms_min, config.reconnect_ms_max);
        self.cutter.connection_lost(connection);
        self.lines.insert(connection, Line { url, name, link: None, backoff, opened: None });
        self.dial(connection, Duration::ZERO);
    }

    fn reconnect(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.link = None;
        let good = Duration::from_millis(GOOD_CONNECTION_MS);
        if line.opened.take().is_some_and(|opened| opened.elapsed() >= good) {
            line.backoff.reset();
        }
        let pause = line.backoff.pause();
        self.counters.reconnects.inc();
        self.status(|status| status.reconnects += 1);
        self.dial(connection, pause);
    }

    fn dial(&mut self, connection: ConnectionId, pause: Duration) {
        let config = &self.plan.config;
        self.generation += 1;
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let Some(url) = rewrite(&line.url, config.gateway.as_deref()) else {
            tracing::error!(exchange = %self.exchange, url = line.url, "a session asked for what is no address");
            return;
        };
        let dial = Dial {
            connection,
            generation: self.generation,
            url,
            pause,
            backoff: line.backoff.clone(),
            silence: Duration::from_millis(config.silence_ms_max),
            answer: Duration::from_millis(config.answer_ms_max),
        };
        line.link = Some(Link::start(dial, self.to_self.clone()));
    }

    fn send(&mut self, connection: ConnectionId, text: String) {
        let Some(line) = self.lines.get(&connection) else { return };
        let at = now();
        if self.plan.config.archive {
            self.recorder.sent(&line.name, at, &text);
        }
        // A full queue belongs to a connection that takes nothing any more: its silence ends it.
        if line.link.as_ref().is_some_and(|link| link.send(text.clone())) {
            self.session.handle(Input::Sent { connection, text: &text }, at, &mut self.output);
        }
    }

    fn get(&mut self, url: String) {
        let config = &self.plan.config;
        let Some(dial) = rewrite(&url, config.gateway.as_deref()) else {
            tracing::error!(exchange = %self.exchange, url, "a session asked for what is no address");
            return;
        };
        let backoff = Backoff::new(config.reconnect_ms_min, config.reconnect_ms_max);
        let requests = self.plan.requests.clone();
        self.pending.spawn(async move { requests.get(url, &dial, backoff).await });
    }

    /// Hands over what is closed: windows, withdrawals, full segments.
    async fn pass_on(&mut self) {
        for withdrawn in self.cutter.withdrawn() {
            let labels = Metrics::labels(self.exchange, withdrawn.reason.name());
            self.plan.metrics.windows_withdrawn.get_or_create(&labels).inc();
            tracing::warn!(stream = %withdrawn.stream, index = withdrawn.index, reason = withdrawn.reason.name(), "withdrawn");
            self.status(|status| status.withdrawn += 1);
            if self.ends.withdrawn.try_send(withdrawn).is_err() {
                tracing::debug!(exchange = %self.exchange, "nobody takes withdrawals");
            }
        }
        let windows = self.cutter.drain();
        if (!windows.is_empty() || self.recorder.is_full())
            && let Some(segment) = self.recorder.take()
        {
            let _ = self.ends.archive.send(Work::Segment(segment)).await;
        }
        let mut shallow = false;
        for window in windows {
            self.count_window(&window);
            shallow |= window.not_covered.iter().any(|(_, reason)| *reason == Reason::Depth);
            let _ = self.ends.archive.send(Work::Window(Box::new(window))).await;
        }
        if shallow {
            self.renew_books();
        }
    }

    fn count_window(&self, window: &ClosedWindow) {
        for chunk in &window.chunks {
            let labels = Metrics::labels(self.exchange, chunk.stream().feed.name());
            self.plan.metrics.windows_covered.get_or_create(&labels).inc();
        }
        for (_, reason) in &window.not_covered {
            let labels = Metrics::labels(self.exchange, reason.name());
            self.plan.metrics.windows_not_covered.get_or_create(&labels).inc();
        }
        self.status(|status| {
            status.windows += 1;
            status.chunks_covered += window.chunks.len() as u64;
            status.chunks_not_covered += window.not_covered.len() as u64;
        });
    }

    /// The price has left what a snapshot told: new connections bring new snapshots.
    fn renew_books(&mut self) {
        let recent = Duration::from_millis(DEPTH_RENEWAL_MS);
        if self.renewed.is_some_and(|renewed| renewed.elapsed() < recent) {
            return;
        }
        self.renewed = Some(Instant::now());
        for connection in self.lines.keys().copied().collect::<Vec<_>>() {
            let generation = self.lines.get(&connection).and_then(|l| l.link.as_ref()).map(|l| l.generation);
            if let Some(generation) = generation {
                let why = "renewed for a deeper snapshot".to_owned();
                // Through the queue, so that the session hears of it in the order of its frames.
                let _ = self.to_self.try_send(FromLink::Closed { connection, generation, why });
            }
        }
    }

    fn status(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.ends.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Line {
    fn is_open(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.opened)
    }
}
