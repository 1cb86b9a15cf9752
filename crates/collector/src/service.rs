//! Starting the sources, and the handle that others hold.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use openmesh_content::BlockStore;
use openmesh_dialect::Session;
use openmesh_market::window::{ClosedWindow, Withdrawn};
use openmesh_market::{Event, Exchange};
use openmesh_primitives::{Symbol, Timestamp, ValidatorKey};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, HELD_BYTES_MAX};
use crate::backoff::Backoff;
use crate::broadcast::{Filter, Question, Subscription};
use crate::config::{Config, ConfigError};
use crate::metrics::Metrics;
use crate::request::Requests;
use crate::source::{self, Ends, Plan};

/// Questions that wait for a source.
const QUESTIONS_MAX: usize = 256;

/// Closed windows that wait for whoever attests them; beyond it the archive waits.
const WINDOWS_MAX: usize = 256;

/// Incidents and withdrawals that wait; beyond it they are only counted.
const INCIDENTS_MAX: usize = 1_024;

/// Makes the session of a venue.
pub type SessionFactory = Arc<dyn Fn(Exchange) -> Box<dyn Session> + Send + Sync>;

/// Alters events before windows are cut from them. For tests of a dishonest site; live events stay as they are.
pub type Tamper = Arc<dyn Fn(&mut Event) + Send + Sync>;

/// What a collector needs from others.
pub struct Deps {
    /// Where chunks are kept.
    pub store: Arc<BlockStore>,
    /// Where raw segments are kept: with the chunks, unless they have a place of their own, so that they cannot take theirs.
    pub raw: Arc<BlockStore>,
    /// Signs the manifests of raw segments.
    pub key: ValidatorKey,
    /// Counters.
    pub metrics: Metrics,
    /// Sessions; [`openmesh_dialect::session`] unless a test has its own.
    pub session: SessionFactory,
    /// For tests only.
    pub tamper: Option<Tamper>,
    /// Cancelled to drain and stop.
    pub stop: CancellationToken,
}

impl Deps {
    /// With the venues' own sessions, counters that nobody sees, and a token of its own.
    pub fn new(store: Arc<BlockStore>, key: ValidatorKey) -> Deps {
        Deps {
            raw: store.clone(),
            store,
            key,
            metrics: Metrics::default(),
            session: Arc::new(openmesh_dialect::session),
            tamper: None,
            stop: CancellationToken::new(),
        }
    }
}

/// Why a collector does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error("the collector's configuration is refused")]
    Config(#[from] ConfigError),
    /// No HTTP client.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// What a collector yields besides live events. Dropping a receiver means that nobody wants that.
#[derive(Debug)]
pub struct Outputs {
    /// Closed windows of all sources, each source's in order; their chunks are held in the store.
    pub windows: mpsc::Receiver<ClosedWindow>,
    /// Chunks that must be taken back.
    pub withdrawn: mpsc::Receiver<Withdrawn>,
    /// Incidents of all sources.
    pub incidents: mpsc::Receiver<Arc<Event>>,
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Venue.
    pub exchange: Exchange,
    /// Connections that the session asked for.
    pub connections: usize,
    /// Those that are open.
    pub connections_open: usize,
    /// Books in step with the venue.
    pub books_in_step: usize,
    /// Frames received since the start.
    pub frames: u64,
    /// Events since the start.
    pub events: u64,
    /// Incidents since the start.
    pub incidents: u64,
    /// Connections opened again since the start.
    pub reconnects: u64,
    /// Capture time of the last frame.
    pub last_frame: Option<Timestamp>,
    /// Highest venue time seen.
    pub watermark: Option<Timestamp>,
    /// Capture time less venue's time of the last trade or book change, in milliseconds.
    pub lag_ms: i64,
    /// Windows closed since the start.
    pub windows: u64,
    /// Chunks vouched for.
    pub chunks_covered: u64,
    /// Streams' windows not covered.
    pub chunks_not_covered: u64,
    /// Chunks withdrawn.
    pub withdrawn: u64,
    /// The last incident, for people.
    pub last_incident: Option<String>,
    /// What this site's disk does not take, for people; `None` once everything is kept.
    pub trouble: Option<String>,
}

impl SourceStatus {
    const fn new(exchange: Exchange) -> SourceStatus {
        SourceStatus {
            exchange,
            connections: 0,
            connections_open: 0,
            books_in_step: 0,
            frames: 0,
            events: 0,
            incidents: 0,
            reconnects: 0,
            last_frame: None,
            watermark: None,
            lag_ms: 0,
            windows: 0,
            chunks_covered: 0,
            chunks_not_covered: 0,
            withdrawn: 0,
            last_incident: None,
            trouble: None,
        }
    }
}

#[derive(Clone, Debug)]
struct SourceHandle {
    exchange: Exchange,
    questions: mpsc::Sender<Question>,
    status: Arc<Mutex<SourceStatus>>,
}

/// A running collector; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    sources: Arc<Vec<SourceHandle>>,
    events: broadcast::Sender<Arc<Event>>,
}

impl Handle {
    /// A collector of nothing, for a node that collects nothing: no sources, no events.
    pub fn idle() -> Handle {
        Handle { sources: Arc::default(), events: broadcast::Sender::new(1) }
    }

    /// Live updates: snapshots of the wanted books, then every wanted event, without a gap. Ends with the collector. To be
    /// called within a Tokio runtime.
    pub fn subscribe(&self, filter: Filter) -> Subscription {
        let sources = self.sources.iter().filter(|s| filter.wants_exchange(s.exchange));
        let sources = sources.map(|s| (s.exchange, s.questions.clone())).collect();
        Subscription::start(filter, sources)
    }

    /// Every event from now on, without snapshots. A slow reader misses some and is told how many.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// A book as it stands now, as a snapshot event; `None` where it is not in step or not collected.
    pub async fn book(&self, exchange: Exchange, symbol: &Symbol) -> Option<Arc<Event>> {
        let source = self.sources.iter().find(|s| s.exchange == exchange)?;
        let (answer, book) = oneshot::channel();
        source.questions.send(Question::Book(symbol.clone(), answer)).await.ok()?;
        book.await.ok()?
    }

    /// How each source is.
    pub fn status(&self) -> Vec<SourceStatus> {
        self.sources.iter().map(|s| s.status.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

/// Starts collecting. To be called within a Tokio runtime. The join handle ends when the token was cancelled and everything
/// that was taken in is kept.
pub fn start(config: Config, deps: Deps) -> Result<(Handle, Outputs, JoinHandle<()>), StartError> {
    config.check()?;
    // One TLS library for all; that another part of the program was first is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let requests = Requests::new(Duration::from_millis(config.answer_ms_max)).map_err(StartError::Client)?;
    let config = Arc::new(config);
    let events = broadcast::Sender::new(config.events_waiting_max);
    let (windows, from_windows) = mpsc::channel(WINDOWS_MAX);
    let (incidents, from_incidents) = mpsc::channel(INCIDENTS_MAX);
    let (withdrawn, from_withdrawn) = mpsc::channel(INCIDENTS_MAX);
    let mut tasks = JoinSet::new();
    let mut handles = Vec::new();
    for source in &config.sources {
        let exchange = source.exchange;
        let (questions, from_questions) = mpsc::channel(QUESTIONS_MAX);
        let (trouble, from_trouble) = mpsc::channel(INCIDENTS_MAX);
        let status = Arc::new(Mutex::new(SourceStatus::new(exchange)));
        let archive = Archive {
            exchange,
            store: deps.store.clone(),
            raw: deps.raw.clone(),
            key: deps.key.clone(),
            dir: config.archive_dir.clone(),
            windows: windows.clone(),
            trouble,
            metrics: deps.metrics.clone(),
            held_bytes_max: HELD_BYTES_MAX,
        };
        let (work, archived) = archive.start();
        let ends = Ends {
            questions: from_questions,
            own: broadcast::Sender::new(config.events_waiting_max),
            all: events.clone(),
            incidents: incidents.clone(),
            withdrawn: withdrawn.clone(),
            archive: work,
            trouble: from_trouble,
            status: status.clone(),
        };
        let plan = Plan {
            config: config.clone(),
            source: source.clone(),
            session: deps.session.clone(),
            tamper: deps.tamper.clone(),
            requests: requests.clone(),
            metrics: deps.metrics.clone(),
            stop: deps.stop.clone(),
        };
        tasks.spawn(supervise(plan, ends, archived));
        handles.push(SourceHandle { exchange, questions, status });
    }
    let join = tokio::spawn(async move { while tasks.join_next().await.is_some() {} });
    let outputs = Outputs { windows: from_windows, withdrawn: from_withdrawn, incidents: from_incidents };
    Ok((Handle { sources: Arc::new(handles), events }, outputs, join))
}

/// Runs a source until it is stopped. One that panics is a bug of ours: it is said loudly, and the source starts anew
/// while the others go on.
async fn supervise(plan: Plan, mut ends: Ends, archived: JoinHandle<()>) {
    let mut backoff = Backoff::new(plan.config.reconnect_ms_min, plan.config.reconnect_ms_max);
    while !plan.stop.is_cancelled() {
        // The session and the cutter are made anew; what outlives them is channels, which a panic leaves whole.
        let outcome = AssertUnwindSafe(source::run(&plan, &mut ends)).catch_unwind().await;
        if outcome.is_err() {
            tracing::error!(exchange = %plan.source.exchange, "a source panicked and is started anew: this is a bug");
            let _ = plan.stop.run_until_cancelled(tokio::time::sleep(backoff.pause())).await;
        }
    }
    // The archive ends with its last sender, and with it everything is on disk.
    drop(ends);
    if let Err(error) = archived.await {
        tracing::error!(%error, exchange = %plan.source.exchange, "the archive ended badly");
    }
}
