//! The set of sources at work: started, restarted and retired one by one.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use openmesh_market::Event;
use openmesh_market::window::{ClosedWindow, Withdrawn};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::archive::{Archive, Backlog, Bounds, Recorder};
use crate::backoff::Backoff;
use crate::config::{Config, SourceConfig};
use crate::deps::Deps;
use crate::liveness::{LivenessCell, SourceLiveness};
use crate::metrics::SourceMetrics;
use crate::output::{DRAIN, INCIDENTS_WAITING_MAX, OfSource, Outbox, WINDOWS_WAITING_BYTES_MAX};
use crate::request::Requests;
use crate::source::{self, Persistent, Plan};
use crate::subscription::Queried;

/// Queries that wait for a source.
const QUERIES_MAX: usize = 256;

/// Sources that can be queried, by source id.
pub(crate) type Listed = Arc<Vec<Queried>>;

/// Senders of the outputs: windows, withdrawals, incidents.
type OutputSenders =
    (mpsc::Sender<OfSource<ClosedWindow>>, mpsc::Sender<OfSource<Withdrawn>>, mpsc::Sender<OfSource<Arc<Event>>>);

/// Outcome of [`Handle::set_sources`](crate::Handle::set_sources): source ids, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceChanges {
    /// Sources that were started.
    pub started: Vec<Arc<str>>,
    /// Sources that differ and were restarted.
    pub restarted: Vec<Arc<str>>,
    /// Sources that were stopped.
    pub retired: Vec<Arc<str>>,
}

/// A change of the sources.
pub(crate) struct Change {
    pub(crate) sources: Vec<SourceConfig>,
    pub(crate) answer: oneshot::Sender<SourceChanges>,
}

/// A source at work.
struct Running {
    config: SourceConfig,
    stop: CancellationToken,
    listed: Queried,
}

/// The sources and what they are made from.
pub(crate) struct Manager {
    config: Arc<Config>,
    deps: Deps,
    requests: Requests,
    outputs: OutputSenders,
    running: BTreeMap<Arc<str>, Running>,
    /// Ends of the sources that were started, by source id: the last one of each.
    ended: BTreeMap<Arc<str>, CancellationToken>,
    tasks: JoinSet<()>,
    published: watch::Sender<Listed>,
}

impl Manager {
    pub(crate) fn new(
        config: Config,
        deps: Deps,
        requests: Requests,
        outputs: OutputSenders,
    ) -> (Manager, watch::Receiver<Listed>) {
        let (published, listed) = watch::channel(Listed::default());
        let manager = Manager {
            config: Arc::new(config),
            deps,
            requests,
            outputs,
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            tasks: JoinSet::new(),
            published,
        };
        (manager, listed)
    }

    /// Starts the sources of the configuration.
    pub(crate) fn apply_configured(&mut self) {
        self.apply(self.config.sources.clone());
    }

    /// Applies changes until it is told to stop; returns when every source has kept what it has taken in.
    pub(crate) async fn run(mut self, mut changes: mpsc::Receiver<Change>) {
        let stop = self.deps.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(change) = changes.recv() => {
                    let changed = self.apply(change.sources);
                    // Whoever asked may have left.
                    let _ = change.answer.send(changed);
                }
                Some(_) = self.tasks.join_next() => self.ended.retain(|_, ended| !ended.is_cancelled()),
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn apply(&mut self, wanted: Vec<SourceConfig>) -> SourceChanges {
        let mut changes = SourceChanges::default();
        let wanted: BTreeMap<Arc<str>, SourceConfig> =
            wanted.into_iter().map(|source| (Arc::from(source.id.as_str()), source)).collect();
        let gone: Vec<Arc<str>> = self.running.keys().filter(|id| !wanted.contains_key(*id)).cloned().collect();
        for id in gone {
            self.stop(&id);
            changes.retired.push(id);
        }
        for (id, source) in wanted {
            let restarted = match self.running.get(&id) {
                Some(running) if running.config == source => continue,
                running => running.is_some(),
            };
            self.stop(&id);
            self.start(id.clone(), source);
            if restarted { &mut changes.restarted } else { &mut changes.started }.push(id);
        }
        if changes != SourceChanges::default() {
            self.publish();
        }
        changes
    }

    fn stop(&mut self, id: &Arc<str>) {
        if let Some(running) = self.running.remove(id) {
            running.stop.cancel();
        }
    }

    fn start(&mut self, id: Arc<str>, source: SourceConfig) {
        let exchange = source.exchange;
        let (queries, from_queries) = mpsc::channel(QUERIES_MAX);
        let liveness = LivenessCell::new(SourceLiveness::new(&id, exchange));
        let metrics = SourceMetrics::new(self.deps.metrics.clone(), id.clone(), exchange);
        let stop = self.deps.stop.child_token();
        let ended = CancellationToken::new();
        let (windows, withdrawn, incidents) = self.outputs.clone();
        let backlog = Backlog::new(Bounds::default());
        let persistent = Persistent {
            queries: from_queries,
            events: broadcast::Sender::new(self.config.events_waiting_max),
            incidents: Outbox::new(incidents, id.clone(), exchange, INCIDENTS_WAITING_MAX),
            withdrawn: Outbox::new(withdrawn, id.clone(), exchange, INCIDENTS_WAITING_MAX),
            backlog: backlog.clone(),
            recorder: Recorder::new(exchange),
            liveness: liveness.clone(),
        };
        let archive = Archive {
            source: id.clone(),
            exchange,
            store: self.deps.store.clone(),
            raw: self.deps.raw.clone(),
            key: self.deps.key.clone(),
            dir: self.config.archive_dir.clone(),
            metrics: metrics.clone(),
            liveness: liveness.clone(),
            #[cfg(test)]
            before_segment: None,
        };
        let plan = Plan {
            config: self.config.clone(),
            id: id.clone(),
            source: source.clone(),
            session: self.deps.session.clone(),
            tamper: self.deps.tamper.clone(),
            requests: self.requests.clone(),
            metrics,
            stop: stop.clone(),
        };
        // The files of a source belong to one at a time.
        let before = self.ended.insert(id.clone(), ended.clone());
        let outbox = Outbox::new(windows, id.clone(), exchange, WINDOWS_WAITING_BYTES_MAX);
        let guard = ended.drop_guard();
        self.tasks.spawn(async move {
            if let Some(before) = before {
                before.cancelled().await;
            }
            let archived = archive.start(backlog, outbox);
            supervise(plan, persistent, archived, guard).await;
        });
        self.running.insert(
            id.clone(),
            Running { config: source, stop, listed: Queried { source: id, exchange, queries, liveness } },
        );
    }

    fn publish(&self) {
        let listed = self.running.values().map(|running| running.listed.clone()).collect();
        self.published.send_replace(Arc::new(listed));
    }
}

/// Runs a source until it is stopped. One that panics is a bug of ours: it is said loudly, and the source starts again
/// while the others go on.
async fn supervise(plan: Plan, mut persistent: Persistent, archived: JoinHandle<()>, ended: DropGuard) {
    let mut backoff = Backoff::new(plan.config.reconnect_ms_min, plan.config.reconnect_ms_max);
    while !plan.stop.is_cancelled() {
        // The session and the cutter are made again; what outlives them is whole after every statement.
        let outcome = AssertUnwindSafe(source::run(&plan, &mut persistent)).catch_unwind().await;
        if outcome.is_err() {
            tracing::error!(source = %plan.id, "a source panicked and is started again: this is a bug");
            persistent.liveness.set(|liveness| (liveness.connections_open, liveness.books_in_step) = (0, 0));
            let _ = plan.stop.run_until_cancelled(tokio::time::sleep(backoff.pause())).await;
        }
    }
    if let Some(segment) = persistent.recorder.take() {
        persistent.backlog.push_segment(segment);
    }
    persistent.backlog.close();
    let (mut incidents, mut withdrawn) = (persistent.incidents, persistent.withdrawn);
    let said = async {
        withdrawn.drain().await;
        incidents.drain().await;
    };
    if tokio::time::timeout(DRAIN, said).await.is_err() {
        tracing::error!(source = %plan.id, "withdrawals or incidents are lost with this source: nobody took them");
    }
    if let Err(error) = archived.await {
        tracing::error!(%error, source = %plan.id, "the archive ended badly");
    }
    plan.metrics.retire();
    drop(ended);
}
