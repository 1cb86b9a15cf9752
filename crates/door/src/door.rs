//! A door at work: it takes whole documents, opens and closes listeners, and leaves in its own words.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::check::{Problem, check, check_succession};
use crate::document::Document;
use crate::keep;
use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_OF_ADDRESS_MAX, LEAVE_MS};
use crate::listen;
use crate::pool::Ends;
use crate::report::Report;
use crate::table::{ListenerKey, Table};
use crate::tls::{CertificateError, Certificates, load};

/// Called with the name of an effect before it (`"bind 0.0.0.0:80"`) and after it (`"bind 0.0.0.0:80 done"`). An error stops the act there.
pub type Effects = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

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

/// Listeners by their key, to be adopted by a successor.
pub type Sockets = Vec<(ListenerKey, std::net::TcpListener)>;

#[derive(Debug)]
struct Bound {
    listener: Arc<TcpListener>,
    local: SocketAddr,
    stop: CancellationToken,
}

/// A door.
pub struct Door {
    id: u64,
    effects: Effects,
    kept: Option<PathBuf>,
    table: RwLock<Arc<Table>>,
    certificates: Certificates,
    /// Held while a document is taken: one at a time.
    bound: tokio::sync::Mutex<BTreeMap<ListenerKey, Bound>>,
    locals: Mutex<Vec<SocketAddr>>,
    news: watch::Sender<u64>,
    room: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    malformed: AtomicU64,
    leaving: Ends,
    left: Notify,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("report", &self.report()).finish_non_exhaustive()
    }
}

/// Room for one connection; it is given back when this is dropped.
#[derive(Debug)]
pub struct Room {
    door: Arc<Door>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut addresses = self.door.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
        self.door.left.notify_waiters();
    }
}

impl Door {
    /// A door that serves nothing yet. `kept` is the file in which it keeps its document for the next start.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new(kept: Option<PathBuf>, effects: Effects) -> Result<Arc<Door>, CertificateError> {
        let (news, _) = watch::channel(0);
        let table = Table::new(Document::empty(), &BTreeMap::new(), &news);
        Ok(Arc::new(Door {
            id: RandomState::new().hash_one(std::process::id()),
            effects,
            kept,
            table: RwLock::new(Arc::new(table)),
            certificates: Certificates::new()?,
            bound: tokio::sync::Mutex::default(),
            locals: Mutex::default(),
            news,
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            addresses: Mutex::default(),
            malformed: AtomicU64::new(0),
            leaving: Ends::default(),
            left: Notify::new(),
        }))
    }

    /// The document with its routes that is served now.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its TLS side.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Signals to connections: end in your own words, and be cut.
    pub fn leaving(&self) -> Ends {
        self.leaving.clone()
    }

    /// Counts a malformed request.
    pub fn count_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts up with everything worth a report.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Waits for room for a connection. `None` where its address has too many, or the door leaves.
    pub async fn room(self: &Arc<Self>, address: IpAddr) -> Option<Room> {
        let permit = tokio::select! {
            permit = self.room.clone().acquire_owned() => permit.ok()?,
            () = self.leaving.ask.cancelled() => return None,
        };
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_default();
        if *count >= CONNECTIONS_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Room { door: self.clone(), address, _permit: permit })
    }

    /// Its state in numbers.
    pub fn report(&self) -> Report {
        let table = self.table();
        Report {
            door: self.id,
            serial: table.document.serial,
            retiring: self.leaving.ask.is_cancelled(),
            connections: (CONNECTIONS_MAX - self.room.available_permits()) as u64,
            malformed: self.malformed.load(Ordering::Relaxed),
            listeners: self.locals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            routes: table.routes.iter().map(|(name, route)| (name.clone(), route.report())).collect(),
        }
    }

    /// Takes a document. Each route changes in one moment; whatever can fail does so before the first change.
    ///
    /// # Errors
    /// [`ApplyError`]; then nothing has changed.
    pub async fn apply(self: &Arc<Self>, document: Document) -> Result<Report, ApplyError> {
        self.apply_with(document, Sockets::new()).await
    }

    /// Takes a document with listeners of a door that leaves.
    ///
    /// # Errors
    /// [`ApplyError`]; then nothing has changed.
    pub async fn apply_with(self: &Arc<Self>, document: Document, sockets: Sockets) -> Result<Report, ApplyError> {
        let mut bound = self.bound.lock().await;
        if self.leaving.ask.is_cancelled() {
            return Err(ApplyError::Leaving);
        }
        let before = self.table();
        let mut problems = check(&document);
        problems.extend(check_succession(&before.document, &document));
        if !problems.is_empty() {
            return Err(ApplyError::Problems(problems));
        }
        let keys = load(&document.certificates)?;
        let table = Arc::new(Table::new(document, &before.routes, &self.news));
        let fresh = self.open(&table, &bound, sockets)?;
        if let Some(path) = &self.kept {
            keep::write(&self.effects, path, &table.document).map_err(ApplyError::Keep)?;
        }
        self.certificates.replace(keys);
        for (name, route) in &table.routes {
            route.apply(&table.document.routes[name]);
        }
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table.clone();
        for (_, route) in before.routes.iter().filter(|(name, _)| !table.routes.contains_key(*name)) {
            route.remove();
        }
        for (key, listener, local) in fresh {
            let stop = CancellationToken::new();
            tokio::spawn(listen::accept(self.clone(), listener.clone(), key, stop.clone()));
            bound.insert(key, Bound { listener, local, stop });
        }
        bound.retain(|key, bound| {
            let stays = table.kind(*key).is_some();
            if !stays {
                bound.stop.cancel();
            }
            stays
        });
        let local = |(key, _): &(ListenerKey, _)| bound.get(key).map(|bound| bound.local);
        *self.locals.lock().unwrap_or_else(PoisonError::into_inner) =
            table.listeners.iter().filter_map(local).collect();
        self.news.send_modify(|count| *count += 1);
        Ok(self.report())
    }

    fn open(
        &self,
        table: &Table,
        bound: &BTreeMap<ListenerKey, Bound>,
        sockets: Sockets,
    ) -> Result<Vec<(ListenerKey, Arc<TcpListener>, SocketAddr)>, ApplyError> {
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

    /// The document and a second handle of each listener, for a successor. No document is taken until `handed` has ended.
    ///
    /// # Errors
    /// Those of the system and of `handed`; the door serves on.
    pub async fn hand_over<F>(self: &Arc<Self>, handed: impl FnOnce(Document, Sockets) -> F) -> io::Result<()>
    where
        F: Future<Output = io::Result<()>>,
    {
        let bound = self.bound.lock().await;
        if self.leaving.ask.is_cancelled() {
            return Err(io::Error::other(ApplyError::Leaving.to_string()));
        }
        let mut sockets = Sockets::new();
        for (key, bound) in bound.iter() {
            sockets.push((*key, std::net::TcpListener::from(rustix::io::fcntl_dupfd_cloexec(&*bound.listener, 3)?)));
        }
        handed(self.table().document.clone(), sockets).await
    }

    /// Leaves: accepts nothing any more, asks all connections to end in their own words, and cuts what is left at the deadline.
    pub async fn retire(self: &Arc<Self>, within: Duration) {
        self.leaving.ask.cancel();
        let bound = std::mem::take(&mut *self.bound.lock().await);
        for bound in bound.values() {
            bound.stop.cancel();
        }
        drop(bound);
        self.news.send_modify(|count| *count += 1);
        let table = self.table();
        for route in table.routes.values() {
            route.ask_all(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        }
        if tokio::time::timeout(within, self.emptied()).await.is_err() {
            for route in table.routes.values() {
                route.remove();
            }
            // Those who were cut are told so by their connection.
            let _ = tokio::time::timeout(Duration::from_millis(LEAVE_MS), self.emptied()).await;
        }
        self.leaving.cut.cancel();
    }

    async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.room.available_permits() == CONNECTIONS_MAX {
                return;
            }
            left.await;
        }
    }
}
