//! A source's task: one session, its connections and requests, its windows and its subscribers, in one order.

mod connect;
mod deliver;
mod slot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openmesh_dialect::{Input, Output, Session, Subscription};
use openmesh_market::event::IncidentKind;
use openmesh_market::window::{WindowCutter, Withdrawn};
use openmesh_market::{ConnectionId, Event, Exchange, Feed};
use openmesh_primitives::{Symbol, Timestamp};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::slot::ConnectionSlot;
use crate::archive::{Backlog, Recorder};
use crate::backoff::jitter;
use crate::config::{Config, SourceConfig};
use crate::deps::{SessionFactory, Tamper};
use crate::input::SourceInput;
use crate::liveness::LivenessCell;
use crate::metrics::SourceMetrics;
use crate::output::Outbox;
use crate::query::{LastChange, Query, StreamCursor, snapshot};
use crate::request::{Answer, Requests};

/// Frames of all connections that wait for the source; beyond it the sockets wait.
const FRAMES_WAITING_MAX: usize = 4_096;

/// Pause between two ticks, in which a session does what it spreads over time. The venues count messages by the second.
const BEAT: Duration = Duration::from_secs(1);

/// The same behind a gateway, which counts nothing: a recording is short, and may be played faster than time goes.
const BEAT_BEHIND_GATEWAY: Duration = Duration::from_millis(100);

/// State of a source that outlives its session: a session that panics takes none of it along.
pub(crate) struct Persistent {
    pub(crate) queries: mpsc::Receiver<Query>,
    /// To subscribers.
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) incidents: Outbox<Arc<Event>>,
    pub(crate) withdrawn: Outbox<Withdrawn>,
    pub(crate) backlog: Backlog,
    /// Raw lines that are in no segment yet.
    pub(crate) recorder: Recorder,
    pub(crate) liveness: LivenessCell,
}

/// Parameters of a source.
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    pub(crate) id: Arc<str>,
    pub(crate) source: SourceConfig,
    pub(crate) session: SessionFactory,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) requests: Requests,
    pub(crate) metrics: SourceMetrics,
    pub(crate) stop: CancellationToken,
}

/// Origin of the events of an input.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    /// One frame of a connection: they are one moment.
    Frame(ConnectionId),
    /// Something else about a connection.
    Connection(ConnectionId),
    /// An answer over HTTP, or the session itself.
    Elsewhere,
}

/// Counters looked up once.
struct Counters {
    frames: Counter,
    reconnects: Counter,
    events: BTreeMap<Feed, Counter>,
}

/// A source at work.
struct Source<'a> {
    plan: &'a Plan,
    persistent: &'a mut Persistent,
    source: Arc<str>,
    exchange: Exchange,
    metrics: SourceMetrics,
    session: Box<dyn Session>,
    output: Output,
    cutter: WindowCutter,
    slots: BTreeMap<ConnectionId, ConnectionSlot>,
    generation: u64,
    to_self: mpsc::Sender<SourceInput>,
    pending: JoinSet<Answer>,
    /// Addresses that are being asked, each by its task.
    asking: BTreeMap<Arc<str>, tokio::task::Id>,
    counters: Counters,
    book_times: BTreeMap<Symbol, LastChange>,
    renewed: Option<Instant>,
}

/// Runs a source until it is told to stop. Everything that was taken in is with the archive when it returns, except the
/// recorder's last lines.
pub(crate) async fn run(plan: &Plan, persistent: &mut Persistent) {
    let (to_self, mut inputs) = mpsc::channel(FRAMES_WAITING_MAX);
    let mut source = Source::new(plan, persistent, to_self);
    // The venues see one address, behind which several validators start together; a gateway is our own.
    let live = plan.config.gateway.is_none();
    let begin = tokio::time::sleep(if live { jitter(0, plan.config.start_ms_max) } else { Duration::ZERO });
    tokio::pin!(begin);
    let mut begun = false;
    let mut tick = tokio::time::interval(if live { BEAT } else { BEAT_BEHIND_GATEWAY });
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = plan.stop.cancelled() => break,
            () = &mut begin, if !begun => {
                begun = true;
                source.begin();
            }
            Some(input) = inputs.recv() => source.on_input(input),
            Some(answer) = source.pending.join_next() => source.on_response(answer),
            Some(query) = source.persistent.queries.recv() => source.on_query(query),
            _ = tick.tick() => source.on_tick(),
        }
    }
    source.finish();
}

impl<'a> Source<'a> {
    fn new(plan: &'a Plan, persistent: &'a mut Persistent, to_self: mpsc::Sender<SourceInput>) -> Source<'a> {
        let exchange = plan.source.exchange;
        let metrics = plan.metrics.clone();
        let plain = metrics.labels("");
        let counters = Counters {
            frames: metrics.all.frames.get_or_create(&plain).clone(),
            reconnects: metrics.all.reconnects.get_or_create(&plain).clone(),
            events: Feed::ALL
                .into_iter()
                .map(|f| (f, metrics.all.events.get_or_create(&metrics.labels(f.name())).clone()))
                .collect(),
        };
        Source {
            source: plan.id.clone(),
            exchange,
            metrics,
            session: (plan.session)(exchange),
            output: Output::default(),
            cutter: WindowCutter::new(plan.config.windows(&plan.source)),
            slots: BTreeMap::new(),
            generation: 0,
            to_self,
            pending: JoinSet::new(),
            asking: BTreeMap::new(),
            counters,
            book_times: BTreeMap::new(),
            renewed: None,
            plan,
            persistent,
        }
    }

    fn begin(&mut self) {
        let wanted = Subscription { symbols: self.plan.source.symbols.clone(), feeds: self.plan.source.feeds.clone() };
        self.session.start(&wanted, &mut self.output);
        self.settle(Arrival::Elsewhere);
    }

    fn finish(&mut self) {
        self.slots.clear();
        self.pending.abort_all();
        self.persistent.liveness.set(|liveness| (liveness.connections_open, liveness.books_in_step) = (0, 0));
    }

    fn on_input(&mut self, input: SourceInput) {
        match input {
            SourceInput::Opened { connection, generation, at } if self.is_current(connection, generation) => {
                self.on_opened(connection, at);
            }
            SourceInput::Frame { connection, generation, at, data } if self.is_current(connection, generation) => {
                self.on_frame(connection, at, &data);
            }
            SourceInput::Sent { connection, generation, at, text } => self.on_sent(connection, generation, at, &text),
            SourceInput::Closed { connection, generation, why } if self.is_current(connection, generation) => {
                self.on_closed(connection, &why);
            }
            SourceInput::Refused { connection, why, banned_until } => {
                tracing::warn!(source = %self.source, connection = connection.0, why, "connection not opened");
                self.incident(IncidentKind::Refused, format!("connection {}: {why}", connection.0));
                if let Some(until) = banned_until {
                    self.banned(until);
                }
            }
            SourceInput::Limited { url, until } => {
                self.incident(IncidentKind::Refused, format!("{url} asked us to wait until {}", until.to_rfc3339()));
                self.banned(until);
            }
            // A frame of a connection that was given up meanwhile.
            SourceInput::Opened { .. } | SourceInput::Frame { .. } | SourceInput::Closed { .. } => {}
        }
    }

    fn on_opened(&mut self, connection: ConnectionId, at: Timestamp) {
        self.opened(connection);
        let Some(slot) = self.slots.get(&connection) else { return };
        let url = slot.url.clone();
        if self.plan.config.archive {
            self.persistent.recorder.connected(&slot.name, at, &url);
        }
        self.cutter.opened(connection);
        self.session.handle(Input::Opened { connection, url: &url }, at, &mut self.output);
        self.settle(Arrival::Connection(connection));
        self.measure();
    }

    fn on_frame(&mut self, connection: ConnectionId, at: Timestamp, data: &[u8]) {
        self.counters.frames.inc();
        self.persistent.liveness.count(|liveness| {
            liveness.frames += 1;
            liveness.last_frame = Some(at);
        });
        if self.plan.config.archive
            && let Some(slot) = self.slots.get(&connection)
        {
            self.persistent.recorder.received(&slot.name, at, data);
        }
        self.session.handle(Input::Frame { connection, data }, at, &mut self.output);
        self.settle(Arrival::Frame(connection));
    }

    /// A message has left: archived also where its connection was given up meanwhile, since the venue may have got it.
    fn on_sent(&mut self, connection: ConnectionId, generation: u64, at: Timestamp, text: &str) {
        if self.plan.config.archive
            && let Some(slot) = self.slots.get(&connection)
        {
            self.persistent.recorder.sent(&slot.name, at, text);
        }
        if self.is_current(connection, generation) {
            self.session.handle(Input::Sent { connection, text }, at, &mut self.output);
            self.settle(Arrival::Connection(connection));
        }
    }

    fn banned(&self, until: Timestamp) {
        self.persistent.liveness.set(|liveness| liveness.banned_until = liveness.banned_until.max(Some(until)));
        self.measure();
    }

    fn is_current(&self, connection: ConnectionId, generation: u64) -> bool {
        let link = self.slots.get(&connection).and_then(|slot| slot.link.as_ref());
        link.is_some_and(|link| link.generation == generation)
    }

    /// A connection is over: the session is told, and asks for a new one.
    fn on_closed(&mut self, connection: ConnectionId, why: &str) {
        tracing::info!(source = %self.source, connection = connection.0, why, "connection ended");
        if let Some(slot) = self.slots.get_mut(&connection) {
            slot.link = None;
        }
        self.cutter.connection_lost(connection);
        self.session.handle(Input::Closed { connection }, Timestamp::now(), &mut self.output);
        self.settle(Arrival::Connection(connection));
        // A session that forgets to ask would leave its connection dead for ever.
        if self.slots.get(&connection).is_some_and(|slot| slot.link.is_none()) {
            self.reconnect(connection);
        }
        self.measure();
    }

    fn on_response(&mut self, answer: Result<Answer, tokio::task::JoinError>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(source = %self.source, %error, "a request failed");
                self.asking.retain(|_, task| *task != error.id());
                return;
            }
        };
        self.asking.remove(&answer.url);
        let at = Timestamp::now();
        if self.plan.config.archive && answer.status == 200 {
            self.persistent.recorder.answered(at, &answer.url, &answer.body);
        }
        let input = Input::Response { url: &answer.url, status: answer.status, body: &answer.body };
        self.session.handle(input, at, &mut self.output);
        self.settle(Arrival::Elsewhere);
    }

    fn on_query(&mut self, query: Query) {
        // Whoever asked may have left: then the answer goes nowhere.
        match query {
            Query::Subscribe(filter, answer) => {
                let wanted = self.session.books().into_iter().filter(|(symbol, _)| filter.wants_book(symbol));
                let books = wanted
                    .map(|(symbol, book)| snapshot(self.exchange, &symbol, book, self.last_change(&symbol)))
                    .collect();
                let _ = answer.send(StreamCursor { books, events: self.persistent.events.subscribe() });
            }
            Query::Book(symbol, answer) => {
                let time = self.last_change(&symbol);
                let book = self.session.book(&symbol).map(|book| snapshot(self.exchange, &symbol, book, time));
                let _ = answer.send(book);
            }
        }
    }

    /// A book in step has had at least its snapshot, so the present stands in for nothing but a session's own bug.
    fn last_change(&self, symbol: &Symbol) -> LastChange {
        self.book_times.get(symbol).copied().unwrap_or(LastChange { ts_exchange: None, ts_capture: Timestamp::now() })
    }

    fn on_tick(&mut self) {
        self.renew_old();
        self.session.handle(Input::Tick, Timestamp::now(), &mut self.output);
        self.settle(Arrival::Elsewhere);
        self.measure();
    }

    /// Writes liveness and gauges.
    fn measure(&self) {
        let (books, open) = (self.session.books().len(), self.slots.values().filter(|slot| slot.is_open()).count());
        let (all, watermark, now) = (self.slots.len(), self.cutter.watermark(), Timestamp::now());
        self.persistent.liveness.set(|liveness| {
            liveness.books_in_step = books;
            (liveness.connections, liveness.connections_open) = (all, open);
            liveness.watermark = watermark;
            liveness.banned_until = liveness.banned_until.filter(|until| *until > now);
        });
        let liveness = self.persistent.liveness.get();
        let (metrics, labels) = (&self.metrics.all, self.metrics.labels(""));
        let seconds = |time: Option<Timestamp>| time.map_or(0.0, |time| time.millis() as f64 / 1_000.0);
        metrics.connections_open.get_or_create(&labels).set(open as i64);
        metrics.books_in_step.get_or_create(&labels).set(books as i64);
        metrics.last_frame_seconds.get_or_create(&labels).set(seconds(liveness.last_frame));
        metrics.lag_seconds.get_or_create(&labels).set(liveness.lag_ms as f64 / 1_000.0);
        metrics.banned_until_seconds.get_or_create(&labels).set(seconds(liveness.banned_until));
    }
}
