//! The task that drives a node's duties.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use openmesh_engine::{CommittedBlock, SubmitError};
use openmesh_ledger::{SourcesError, StateError, TransactionError, WindowsError};
use openmesh_primitives::{Address, Digest, Height, Timestamp, ValidatorKey, report};
use openmesh_storage::{Store, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::attester::{Attester, Submitted};
use crate::facts::{Step, WindowFacts};
use crate::incident::NodeIncident;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::window::{Window, WindowName, Withdrawal};

/// Transactions that wait for the mempool's answer at once: more than a node has sources, so that one round of windows
/// is submitted together.
const SUBMISSIONS_MAX: usize = 64;
/// Incidents that wait for a slow listener before it misses some.
const INCIDENTS_MAX: usize = 1_024;

/// Hands a transaction to the mempool.
pub type Submit = Arc<dyn Fn(Vec<u8>) -> BoxFuture<'static, Result<Digest, SubmitError>> + Send + Sync>;

/// Dependencies of the duties.
pub struct Deps {
    /// The validator's key.
    pub key: ValidatorKey,
    /// The ledger's store.
    pub store: Store,
    /// The way into the mempool.
    pub submit: Submit,
    /// Committed blocks.
    pub committed: broadcast::Receiver<Arc<CommittedBlock>>,
    /// Closed windows of all sources. They are always taken: whoever sends them never waits for the ledger.
    pub windows: mpsc::Receiver<Window>,
    /// Chunks of those windows that are taken back.
    pub withdrawals: mpsc::Receiver<Withdrawal>,
    /// Statements that were committed to, on the disk.
    pub journal: Journal,
    /// Counters.
    pub metrics: Metrics,
    /// Cancelled to stop.
    pub stop: CancellationToken,
}

/// Running duties; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    incidents: broadcast::Sender<Arc<NodeIncident>>,
}

impl Handle {
    /// Incidents from now on.
    pub fn incidents(&self) -> broadcast::Receiver<Arc<NodeIncident>> {
        self.incidents.subscribe()
    }
}

/// Starts the duties of a validator. Fails where the store holds no genesis. To be called within a Tokio runtime.
pub fn start(deps: Deps) -> Result<(Handle, JoinHandle<()>), StoreError> {
    let mut attester = Attester::new(deps.key, deps.store.genesis()?.chain_id);
    match deps.journal.load() {
        Ok(kept) => kept.into_iter().for_each(|window| attester.restored(window, deps.store.tip().height)),
        Err(error) => {
            tracing::error!(
                error = report(&error),
                "statements about windows cannot be read: what was committed to is not opened"
            );
        }
    }
    let incidents = broadcast::Sender::new(INCIDENTS_MAX);
    let service = Service {
        validator: attester.validator(),
        attester,
        store: deps.store,
        submit: deps.submit,
        journal: deps.journal,
        metrics: deps.metrics,
        incidents: incidents.clone(),
        reading: FuturesUnordered::new(),
        submitting: FuturesUnordered::new(),
        look: false,
    };
    let task = tokio::spawn(service.run(deps.windows, deps.withdrawals, deps.committed, deps.stop));
    Ok((Handle { incidents }, task))
}

/// The facts of some windows, as a thread for blocking work read them.
type Facts = Result<Result<(Vec<WindowName>, Vec<WindowFacts>), StateError>, JoinError>;
/// Windows that were looked up in the state, and what it says of them.
type Reading = Result<(Vec<WindowName>, Vec<WindowFacts>), StateError>;

/// The mempool's answer about a window, with the height at which it was asked.
type Answer = (WindowName, Height, Result<Digest, NotSubmitted>);

/// A transaction of a window that is not in the mempool.
enum NotSubmitted {
    /// The mempool did not take it.
    Refused(SubmitError),
    /// The statement behind it could not be kept, so it was not handed in.
    NotKept(std::io::Error),
}

struct Service {
    attester: Attester,
    validator: Address,
    store: Store,
    submit: Submit,
    journal: Journal,
    metrics: Metrics,
    incidents: broadcast::Sender<Arc<NodeIncident>>,
    /// One reading of facts at most.
    reading: FuturesUnordered<JoinHandle<Reading>>,
    submitting: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Something has changed since facts were read, or more windows are due than were read.
    look: bool,
}

impl Service {
    async fn run(
        mut self,
        mut windows: mpsc::Receiver<Window>,
        mut withdrawals: mpsc::Receiver<Withdrawal>,
        mut committed: broadcast::Receiver<Arc<CommittedBlock>>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(window) = windows.recv() => self.on_window(window),
                Some(withdrawal) = withdrawals.recv() => self.on_withdrawal(&withdrawal),
                Some(facts) = self.reading.next() => self.on_facts(facts),
                Some(answer) = self.submitting.next() => self.on_answer(answer),
                block = committed.recv() => match block {
                    Ok(_) | Err(RecvError::Lagged(_)) => self.look = true,
                    Err(RecvError::Closed) => return,
                },
            }
            self.forget();
            self.read_facts();
            self.metrics.windows_waiting.set(i64::try_from(self.attester.waiting()).unwrap_or(i64::MAX));
        }
    }

    fn on_window(&mut self, window: Window) {
        if let Some(lost) = self.attester.closed(window, self.store.tip().height) {
            self.report(NodeIncident::of_given_up(lost, Timestamp::now()));
        }
        self.look = true;
    }

    fn on_withdrawal(&mut self, withdrawal: &Withdrawal) {
        let outcome = self.attester.withdrawn(withdrawal);
        self.report(NodeIncident::of_withdrawal(withdrawal, outcome, Timestamp::now()));
    }

    fn report(&self, incident: NodeIncident) {
        let (stream, kind) = (incident.stream.as_deref(), incident.kind.name());
        tracing::warn!(window = %incident.window, stream, kind, "{}", incident.detail);
        self.metrics.incident(incident.kind);
        // Nobody listening is no fault.
        let _ = self.incidents.send(Arc::new(incident));
    }

    /// Reads the facts of windows that are due, away from the async threads, where something has changed: of as many as can be submitted.
    fn read_facts(&mut self) {
        let room = SUBMISSIONS_MAX.saturating_sub(self.submitting.len());
        if !self.look || !self.reading.is_empty() || room == 0 {
            return;
        }
        let names = self.attester.due(self.store.tip().height, room);
        self.look = names.len() == room;
        if names.is_empty() {
            return;
        }
        let (store, validator) = (self.store.clone(), self.validator);
        self.reading.push(tokio::task::spawn_blocking(move || {
            let state = store.state().map_err(|e| StateError::Read(report(&e)))?;
            let facts = WindowFacts::read(&state, &validator, &names)?;
            Ok((names, facts))
        }));
    }

    fn on_facts(&mut self, facts: Facts) {
        let (names, facts) = match facts {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => {
                // Tried again with the next change.
                self.look = false;
                return tracing::error!(
                    error = report(&error),
                    "the ledger's state cannot be read: nothing is attested"
                );
            }
            // A panic in reading ends this task, and with it the node.
            Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
        };
        for (name, facts) in names.into_iter().zip(facts) {
            if let Some(transaction) = self.attester.decide(&name, &facts) {
                self.metrics.late.inc_by(u64::from(facts.step == Step::Abstain));
                let (kept, submit, height) = (self.attester.to_keep(&name), Arc::clone(&self.submit), facts.height);
                let journal = self.journal.clone();
                self.submitting.push(Box::pin(async move {
                    let submitted = match keep(journal, kept).await {
                        Ok(()) => submit(transaction).await.map_err(NotSubmitted::Refused),
                        Err(error) => Err(NotSubmitted::NotKept(error)),
                    };
                    (name, height, submitted)
                }));
            }
        }
    }

    /// Removes statements that nobody needs any more.
    fn forget(&mut self) {
        for name in self.attester.take_done() {
            if let Err(error) = self.journal.remove(&name) {
                tracing::warn!(window = %name, error = report(&error), "a statement that is not needed any more stays on the disk");
            }
        }
    }

    fn on_answer(&mut self, (name, height, answer): Answer) {
        let outcome = match answer {
            Ok(_) => {
                self.metrics.attestations.inc();
                Submitted::Accepted
            }
            Err(NotSubmitted::NotKept(error)) => {
                tracing::error!(window = %name, error = report(&error), "a statement cannot be kept: it is not committed to");
                Submitted::Later
            }
            Err(NotSubmitted::Refused(SubmitError::Refused(
                error @ (TransactionError::Sources(
                    SourcesError::UnknownSource { .. } | SourcesError::SourceRetired { .. },
                )
                | TransactionError::Windows(WindowsError::WindowClosed { .. } | WindowsError::WindowPast { .. })),
            ))) => {
                tracing::info!(window = %name, %error, "not attested");
                Submitted::Hopeless
            }
            Err(NotSubmitted::Refused(error)) => {
                tracing::debug!(window = %name, %error, "not attested yet");
                Submitted::Later
            }
        };
        self.attester.submitted(&name, height, outcome);
    }
}

/// Keeps a statement, away from the async threads.
async fn keep(journal: Journal, statement: Option<Window>) -> std::io::Result<()> {
    let Some(window) = statement else { return Ok(()) };
    match tokio::task::spawn_blocking(move || journal.put(&window)).await {
        Ok(kept) => kept,
        Err(error) => Err(std::io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests;
