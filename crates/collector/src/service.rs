//! The collector's service: start, the handle that others hold, and the outputs.

use std::sync::Arc;
use std::time::Duration;

use openmesh_market::{Event, Exchange};
use openmesh_primitives::Symbol;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError, SourceConfig, check_sources};
use crate::deps::Deps;
use crate::filter::Filter;
use crate::liveness::SourceLiveness;
use crate::manager::{Change, Listed, Manager, SourceChanges};
use crate::output::{INCIDENTS_MAX, Outputs, WINDOWS_MAX};
use crate::query::Query;
use crate::request::Requests;
use crate::subscription::Subscription;

/// Changes of the sources that wait; whoever wants another waits with it.
const CHANGES_MAX: usize = 4;

/// Longest wait for a source's answer: it answers between two frames, so this is only reached by a machine that is stuck.
const ANSWER: Duration = Duration::from_secs(2);

/// Errors of starting a collector.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error("the collector's configuration is refused")]
    Config(#[from] ConfigError),
    /// No HTTP client.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// Errors of changing the sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetSourcesError {
    /// The sources make no sense together; none was changed.
    #[error("the sources are refused")]
    Config(#[from] ConfigError),
    /// The collector has ended.
    #[error("the collector has ended")]
    Ended,
}

/// A running collector; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    changes: mpsc::Sender<Change>,
    sources: watch::Receiver<Listed>,
}

impl Handle {
    /// A collector that has ended, for a node that collects nothing: no sources, no events.
    pub fn idle() -> Handle {
        Handle { changes: mpsc::channel(1).0, sources: watch::channel(Listed::default()).1 }
    }

    /// Makes these the sources: starts those that are new, stops those that are missing, restarts those that differ, and leaves
    /// the others undisturbed. Returns when the change has begun; a source that is stopped keeps what it has taken in
    /// first, and one that is restarted begins after that. Fails where the sources make no sense together or the
    /// collector has ended.
    pub async fn set_sources(&self, sources: Vec<SourceConfig>) -> Result<SourceChanges, SetSourcesError> {
        check_sources(&sources)?;
        let (answer, changed) = oneshot::channel();
        self.changes.send(Change { sources, answer }).await.map_err(|_| SetSourcesError::Ended)?;
        changed.await.map_err(|_| SetSourcesError::Ended)
    }

    /// Opens a live subscription: snapshots of the selected books, then every selected event, without a gap. Sources that
    /// come later join it. Ends with the collector. To be called within a Tokio runtime.
    pub fn subscribe(&self, filter: Filter) -> Subscription {
        Subscription::start(filter, self.sources.clone())
    }

    /// Returns a book as it stands now, as a snapshot event; `None` where no source of the venue has it in step.
    pub async fn book(&self, exchange: Exchange, symbol: &Symbol) -> Option<Arc<Event>> {
        let sources = self.sources.borrow().clone();
        for source in sources.iter().filter(|source| source.exchange == exchange) {
            if let Some(book) = ask_book(&source.queries, symbol).await {
                return Some(book);
            }
        }
        None
    }

    /// Returns the liveness of each source, by source id.
    pub fn liveness(&self) -> Vec<SourceLiveness> {
        self.sources.borrow().iter().map(|source| source.liveness.get()).collect()
    }

    /// Returns the liveness of a source as it changes; `None` where there is no such source. Closed when the source is changed or
    /// retired.
    pub fn watch_liveness(&self, source: &str) -> Option<watch::Receiver<SourceLiveness>> {
        let sources = self.sources.borrow();
        sources.iter().find(|listed| &*listed.source == source).map(|listed| listed.liveness.subscribe())
    }
}

async fn ask_book(queries: &mpsc::Sender<Query>, symbol: &Symbol) -> Option<Arc<Event>> {
    let (answer, book) = oneshot::channel();
    let asked = async {
        queries.send(Query::Book(symbol.clone(), answer)).await.ok()?;
        book.await.ok()?
    };
    tokio::time::timeout(ANSWER, asked).await.ok()?
}

/// Starts collecting. To be called within a Tokio runtime. The join handle ends when the token was cancelled and everything
/// that was taken in is kept. Fails where the configuration makes no sense, or no HTTP client can be made.
pub fn start(config: Config, deps: Deps) -> Result<(Handle, Outputs, JoinHandle<()>), StartError> {
    config.check()?;
    // One TLS library for all; that another part of the program was first is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let requests = Requests::new(Duration::from_millis(config.answer_ms_max)).map_err(StartError::Client)?;
    let (windows, from_windows) = mpsc::channel(WINDOWS_MAX);
    let (incidents, from_incidents) = mpsc::channel(INCIDENTS_MAX);
    let (withdrawn, from_withdrawn) = mpsc::channel(INCIDENTS_MAX);
    let (changes, from_changes) = mpsc::channel(CHANGES_MAX);
    let (mut manager, sources) = Manager::new(config, deps, requests, (windows, withdrawn, incidents));
    manager.apply_configured();
    let join = tokio::spawn(manager.run(from_changes));
    let outputs = Outputs { windows: from_windows, withdrawn: from_withdrawn, incidents: from_incidents };
    Ok((Handle { changes, sources }, outputs, join))
}
