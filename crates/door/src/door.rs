//! A door at work: it takes whole documents, opens and closes listeners, and leaves in its own words.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::check::{Problem, check, check_succession};
use crate::document::Document;
use crate::effects::Effects;
use crate::keep;
use crate::leaving::{Heard, Successor};
use crate::limits::{LEAVE_MS, LEAVING_LOOK_MS};
use crate::listen;
use crate::patience::Patience;
use crate::pool::Ends;
use crate::proof::proofs;
use crate::report::Report;
use crate::shared::Shared;
use crate::table::{ListenerKey, Sockets, Table};
use crate::tls::{CertificateError, load};
use crate::visits::Visits;

/// Error of taking a document. The one before is served as before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The document has problems.
    #[error("the document has {} problems", .0.len())]
    Problems(Vec<Problem>),
    /// An address cannot be had.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The document cannot be kept for the next start.
    #[error("the document cannot be kept: {0}")]
    Keep(io::Error),
    /// The door is leaving.
    #[error("this door is leaving; speak to its successor")]
    Leaving,
}

#[derive(Debug)]
struct Bound {
    listener: Arc<TcpListener>,
    local: SocketAddr,
    stop: CancellationToken,
    /// Ends once it is told to stop, and each connection that it has accepted is in the crowd.
    accepting: JoinHandle<()>,
}

/// A listener that is open and does not accept yet.
type Fresh = (ListenerKey, Arc<TcpListener>, SocketAddr);

/// A door.
pub struct Door {
    shared: Arc<Shared>,
    effects: Effects,
    kept: Option<PathBuf>,
    /// Held while a document is taken: one at a time.
    bound: tokio::sync::Mutex<BTreeMap<ListenerKey, Bound>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("report", &self.report()).finish_non_exhaustive()
    }
}

impl Door {
    /// A door that serves nothing yet. `kept` is the file in which it keeps its document for the next start.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new(kept: Option<PathBuf>, effects: Effects) -> Result<Door, CertificateError> {
        Door::with_patience(kept, effects, Patience::default())
    }

    /// A door with times of its own.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn with_patience(
        kept: Option<PathBuf>,
        effects: Effects,
        patience: Patience,
    ) -> Result<Door, CertificateError> {
        Ok(Door { shared: Shared::new(patience)?, effects, kept, bound: tokio::sync::Mutex::default() })
    }

    /// Signals to connections and to whoever waits for the end.
    pub fn leaving(&self) -> Ends {
        self.shared.leaving()
    }

    /// Counts up with everything worth a report.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.news().subscribe()
    }

    /// Its state in numbers.
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// Visits that are open, and codes of visitors.
    pub fn visits(&self) -> &Arc<Visits> {
        self.shared.visits()
    }

    /// Takes a document. Each route changes in one moment; whatever can fail does so before the first change.
    ///
    /// # Errors
    /// [`ApplyError`]; then nothing has changed.
    pub async fn apply(&self, document: Document) -> Result<Report, ApplyError> {
        self.apply_with(document, Sockets::new()).await
    }

    /// Takes a document with listeners of a door that leaves.
    ///
    /// # Errors
    /// [`ApplyError`]; then nothing has changed.
    pub async fn apply_with(&self, document: Document, sockets: Sockets) -> Result<Report, ApplyError> {
        let mut bound = self.bound.lock().await;
        if self.leaving().ask.is_cancelled() {
            return Err(ApplyError::Leaving);
        }
        let before = self.shared.table();
        let mut problems = check(&document);
        problems.extend(check_succession(&before.document, &document));
        if !problems.is_empty() {
            return Err(ApplyError::Problems(problems));
        }
        let certificates = document.certificates.clone();
        let challenges = document.challenges.clone();
        let (keys, proofs) =
            aside(move || Ok::<_, CertificateError>((load(&certificates)?, proofs(&challenges)?))).await?;
        let table = Arc::new(Table::new(document, &before.routes, self.shared.news()));
        let fresh = self.open(&table, &bound, sockets)?;
        if let Some(path) = self.kept.clone() {
            let (effects, table) = (self.effects.clone(), table.clone());
            aside(move || keep::write(&effects, &path, &table.document)).await.map_err(ApplyError::Keep)?;
        }
        self.shared.certificates().replace(keys, proofs);
        for (name, route) in &table.routes {
            route.apply(&table.document.routes[name]);
        }
        self.shared.replace_table(table.clone());
        self.shared.sweep_visits();
        for (_, route) in before.routes.iter().filter(|(name, _)| !table.routes.contains_key(*name)) {
            route.remove();
        }
        for (key, listener, local) in fresh {
            let stop = CancellationToken::new();
            let accepting = tokio::spawn(listen::accept(self.shared.clone(), listener.clone(), key, stop.clone()));
            bound.insert(key, Bound { listener, local, stop, accepting });
        }
        bound.retain(|key, bound| {
            let stays = table.kind(*key).is_some();
            if !stays {
                bound.stop.cancel();
            }
            stays
        });
        let local = |(key, _): &(ListenerKey, _)| bound.get(key).map(|bound| bound.local);
        self.shared.note_listeners(table.listeners.iter().filter_map(local).collect());
        self.shared.news().send_modify(|count| *count += 1);
        Ok(self.report())
    }

    fn open(
        &self,
        table: &Table,
        bound: &BTreeMap<ListenerKey, Bound>,
        sockets: Sockets,
    ) -> Result<Vec<Fresh>, ApplyError> {
        let mut sockets: HashMap<ListenerKey, std::net::TcpListener> = sockets.into_iter().collect();
        let mut fresh = Vec::new();
        for (key, _) in table.listeners.iter().filter(|(key, _)| !bound.contains_key(key)) {
            let address = key.0;
            let failed = |source| ApplyError::Bind { address, source };
            let name = format!("bind {address}");
            (self.effects)(&name).map_err(failed)?;
            let listener = match sockets.remove(key) {
                Some(socket) => TcpListener::from_std(socket),
                None => listen::bind(address),
            };
            let listener = listener.map_err(failed)?;
            (self.effects)(&format!("{name} done")).map_err(failed)?;
            let local = listener.local_addr().map_err(failed)?;
            fresh.push((*key, Arc::new(listener), local));
        }
        Ok(fresh)
    }

    /// Hands the document and a second handle of each listener to a successor. No document is taken meanwhile, nor once `handed` has said that
    /// the successor serves; [`Door::retire`] is next then.
    ///
    /// # Errors
    /// Those of the system and of `handed`; the door serves on.
    pub async fn hand_over<F>(&self, handed: impl FnOnce(Document, Sockets) -> F) -> io::Result<()>
    where
        F: Future<Output = io::Result<()>>,
    {
        let bound = self.bound.lock().await;
        if self.leaving().ask.is_cancelled() {
            return Err(io::Error::other(ApplyError::Leaving.to_string()));
        }
        let mut sockets = Sockets::new();
        for (key, bound) in bound.iter() {
            sockets.push((*key, std::net::TcpListener::from(rustix::io::fcntl_dupfd_cloexec(&*bound.listener, 3)?)));
        }
        // A code would be good at both, of which neither knows of the other's uses: so it is at none until one of them is alone.
        self.visits().rest();
        if let Err(error) = handed(self.shared.table().document.clone(), sockets).await {
            self.visits().go_on();
            return Err(error);
        }
        // No document comes between this and the drain.
        self.leaving().ask.cancel();
        Ok(())
    }

    /// Leaves: accepts nothing any more, asks all connections to end in their own words, and cuts what is left at the deadline. A visit whose right a
    /// successor's document takes away is cut at once.
    pub async fn retire(&self, within: Duration) {
        self.leaving().ask.cancel();
        let bound = std::mem::take(&mut *self.bound.lock().await);
        for bound in bound.values() {
            bound.stop.cancel();
        }
        let accepting: Vec<JoinHandle<()>> = bound.into_values().map(|bound| bound.accepting).collect();
        self.shared.news().send_modify(|count| *count += 1);
        let table = self.shared.table();
        for route in table.routes.values() {
            route.ask_all(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        }
        let left = async {
            // A connection that was accepted a moment ago is in the crowd only once its loop has gone on.
            for accepting in accepting {
                let _ = accepting.await;
            }
            self.shared.crowd().emptied().await;
        };
        let is_late = tokio::select! {
            ended = tokio::time::timeout(within, left) => ended.is_err(),
            () = self.heed_successor() => true,
        };
        if is_late {
            for route in table.routes.values() {
                route.remove();
            }
            // Those who were cut are told so by their connection.
            let _ = tokio::time::timeout(Duration::from_millis(LEAVE_MS), self.shared.crowd().emptied()).await;
        }
        self.leaving().cut.cancel();
    }

    /// Holds what is open, and what still comes on open connections, against the people of the document that a successor keeps in the file of this door's.
    /// Has no end.
    async fn heed_successor(&self) {
        let Some(path) = self.kept.clone() else { return std::future::pending().await };
        let mut successor = Successor::new(path);
        loop {
            let look = move || {
                let heard = successor.look();
                (successor, heard)
            };
            let (looked, heard) = aside(look).await;
            successor = looked;
            let now = self.shared.table();
            let next = match heard {
                None => None,
                Some(Heard::Document(document)) => Some(now.with_people_of(&document)),
                Some(Heard::Nobody) => Some(now.for_nobody()),
            };
            if let Some(next) = next {
                self.shared.replace_table(Arc::new(next));
                self.shared.sweep_visits();
            }
            tokio::time::sleep(Duration::from_millis(LEAVING_LOOK_MS)).await;
        }
    }
}

/// Does what waits for a disk where it holds no traffic up.
async fn aside<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(act).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process ends, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}
