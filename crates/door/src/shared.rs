//! The state of a door that its connections share.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::document::Document;
use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_OF_ADDRESS_MAX};
use crate::pool::Ends;
use crate::report::Report;
use crate::table::Table;
use crate::tls::{CertificateError, Certificates};

/// State that connections share.
#[derive(Debug)]
pub struct Shared {
    id: u64,
    table: RwLock<Arc<Table>>,
    certificates: Certificates,
    locals: Mutex<Vec<SocketAddr>>,
    news: watch::Sender<u64>,
    room: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    malformed: AtomicU64,
    leaving: Ends,
    left: Notify,
}

/// Room for one connection; it is given back when this is dropped.
#[derive(Debug)]
pub struct Room {
    shared: Arc<Shared>,
    address: IpAddr,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut addresses = self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
        drop(self.permit.take());
        self.shared.left.notify_waiters();
    }
}

impl Shared {
    /// State of a door that serves nothing yet.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new() -> Result<Arc<Shared>, CertificateError> {
        let (news, _) = watch::channel(0);
        let table = Table::new(Document::empty(), &BTreeMap::new(), &news);
        Ok(Arc::new(Shared {
            id: RandomState::new().hash_one(std::process::id()),
            table: RwLock::new(Arc::new(table)),
            certificates: Certificates::new()?,
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

    /// Serves another document from the next request on.
    pub(crate) fn replace_table(&self, table: Arc<Table>) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    /// Notes the addresses at which the door listens.
    pub(crate) fn note_listeners(&self, locals: Vec<SocketAddr>) {
        *self.locals.lock().unwrap_or_else(PoisonError::into_inner) = locals;
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

    /// Counter of everything worth a report.
    pub(crate) fn news(&self) -> &watch::Sender<u64> {
        &self.news
    }

    /// Waits for room for a connection that was accepted. `None` where its address has too many, or where a door that leaves is full.
    pub async fn room(self: &Arc<Self>, address: IpAddr) -> Option<Room> {
        let permit = tokio::select! {
            // One that was accepted is served, also by a door that leaves.
            biased;
            permit = self.room.clone().acquire_owned() => permit.ok()?,
            () = self.leaving.ask.cancelled() => return None,
        };
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_default();
        if *count >= CONNECTIONS_OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Room { shared: self.clone(), address, permit: Some(permit) })
    }

    /// Waits until no connection is open.
    pub(crate) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // From here on no notice is missed.
            left.as_mut().enable();
            if self.room.available_permits() == CONNECTIONS_MAX {
                return;
            }
            left.await;
        }
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
}
