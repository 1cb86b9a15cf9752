//! A source's task: one session, its connections and requests, its windows and its listeners, in one order.

mod connect;
mod deliver;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmesh_dialect::{Input, Output, Session, Subscription};
use openmesh_market::event::IncidentKind;
use openmesh_market::window::{WindowCutter, Withdrawn};
use openmesh_market::{ConnectionId, Event, Exchange, Feed};
use openmesh_primitives::{Symbol, Timestamp};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::connect::Line;
use crate::archive::{Recorder, Trouble, Work};
use crate::backoff::somewhere;
use crate::broadcast::{Place, Question, snapshot};
use crate::config::{Config, SourceConfig};
use crate::link::FromLink;
use crate::metrics::Metrics;
use crate::request::{Answer, Requests};
use crate::service::{SessionFactory, SourceStatus, Tamper};

/// Frames of all connections that wait for the source; beyond it the sockets wait.
const FRAMES_WAITING_MAX: usize = 4_096;

/// How often a session may do what it spreads over time. The venues count messages by the second.
const BEAT: Duration = Duration::from_secs(1);

/// The same behind a gateway, which counts nothing: a recording is short, and may be played faster than time goes.
const BEAT_BEHIND_GATEWAY: Duration = Duration::from_millis(100);

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

/// When a book last changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastChange {
    /// By the venue's clock; a venue may leave it out of a later change.
    pub(crate) ts_exchange: Option<Timestamp>,
    /// By this site's clock.
    pub(crate) ts_capture: Timestamp,
}

/// What the events of an input came from.
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
    lag: Gauge,
    events: BTreeMap<Feed, Counter>,
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
    /// Addresses that are being asked, each by its task.
    asking: BTreeMap<String, tokio::task::Id>,
    counters: Counters,
    book_times: BTreeMap<Symbol, LastChange>,
    renewed: Option<Instant>,
}

/// Runs a source until it is told to stop. Everything that was taken in is with the archive when it returns.
pub(crate) async fn run(plan: &Plan, ends: &mut Ends) {
    let (to_self, mut links) = mpsc::channel(FRAMES_WAITING_MAX);
    let mut source = Source::new(plan, ends, to_self);
    // The venues see one address, behind which several validators start together; a gateway is our own.
    let live = plan.config.gateway.is_none();
    let begin = tokio::time::sleep(if live { somewhere(0, plan.config.start_ms_max) } else { Duration::ZERO });
    tokio::pin!(begin);
    let mut begun = false;
    let mut tick = tokio::time::interval(if live { BEAT } else { BEAT_BEHIND_GATEWAY });
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = plan.stop.cancelled() => break,
            () = &mut begin, if !begun => {
                begun = true;
                source.begin().await;
            }
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
            asking: BTreeMap::new(),
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
        self.settle(Arrival::Elsewhere).await;
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
                self.opened(connection);
                let Some(line) = self.lines.get(&connection) else { return };
                let url = line.url.clone();
                if self.plan.config.archive {
                    self.recorder.connected(&line.name, at, &url);
                }
                self.cutter.opened(connection);
                self.session.handle(Input::Opened { connection, url: &url }, at, &mut self.output);
                self.settle(Arrival::Connection(connection)).await;
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
                self.session.handle(Input::Frame { connection, data: &data }, at, &mut self.output);
                self.settle(Arrival::Frame(connection)).await;
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
        self.settle(Arrival::Connection(connection)).await;
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
                self.asking.retain(|_, task| *task != error.id());
                return;
            }
        };
        self.asking.remove(&answer.url);
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
        self.settle(Arrival::Elsewhere).await;
    }

    fn asked(&mut self, question: Question) {
        // Whoever asked may have left: then the answer goes nowhere.
        match question {
            Question::Place(filter, answer) => {
                let wanted = self.session.books().into_iter().filter(|(symbol, _)| filter.wants_book(symbol));
                let books = wanted
                    .map(|(symbol, book)| snapshot(self.exchange, &symbol, book, self.last_change(&symbol)))
                    .collect();
                let _ = answer.send(Place { books, events: self.ends.own.subscribe() });
            }
            Question::Book(symbol, answer) => {
                let time = self.last_change(&symbol);
                let book = self.session.book(&symbol).map(|book| snapshot(self.exchange, &symbol, book, time));
                let _ = answer.send(book);
            }
        }
    }

    /// A book in step has had at least its snapshot, so the present stands in for nothing but a session's own bug.
    fn last_change(&self, symbol: &Symbol) -> LastChange {
        self.book_times.get(symbol).copied().unwrap_or(LastChange { ts_exchange: None, ts_capture: now() })
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
        self.renew_old();
        self.session.handle(Input::Tick, now(), &mut self.output);
        self.settle(Arrival::Elsewhere).await;
        let (books, open) = (self.session.books().len(), self.lines.values().filter(|l| l.is_open()).count());
        let (all, watermark) = (self.lines.len(), self.cutter.watermark());
        self.status(|status| {
            status.books_in_step = books;
            (status.connections, status.connections_open) = (all, open);
            status.watermark = watermark;
        });
        self.counters.lag.set(self.ends.status.lock().unwrap_or_else(PoisonError::into_inner).lag_ms);
    }

    fn status(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.ends.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
