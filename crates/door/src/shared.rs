//! The state of a door that its connections share.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use crate::crowd::{Crowd, Share};
use crate::document::Document;
use crate::pass::Moment;
use crate::patience::Patience;
use crate::pool::Ends;
use crate::report::Report;
use crate::table::Table;
use crate::tls::{CertificateError, Certificates};
use crate::visits::Visits;

/// State that connections share.
#[derive(Debug)]
pub struct Shared {
    id: u64,
    table: RwLock<Arc<Table>>,
    certificates: Certificates,
    locals: Mutex<Vec<SocketAddr>>,
    news: watch::Sender<u64>,
    crowd: Arc<Crowd>,
    patience: Patience,
    malformed: AtomicU64,
    leaving: Ends,
    visits: Arc<Visits>,
}

impl Shared {
    /// State of a door that serves nothing yet.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new(patience: Patience) -> Result<Arc<Shared>, CertificateError> {
        let (news, _) = watch::channel(0);
        let table = Table::new(Document::empty(), &BTreeMap::new(), &news);
        Ok(Arc::new(Shared {
            id: RandomState::new().hash_one(std::process::id()),
            table: RwLock::new(Arc::new(table)),
            certificates: Certificates::new()?,
            locals: Mutex::default(),
            news,
            crowd: Crowd::new(),
            patience,
            malformed: AtomicU64::new(0),
            leaving: Ends::default(),
            visits: Visits::new(),
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

    /// Visits that are open.
    pub fn visits(&self) -> &Arc<Visits> {
        &self.visits
    }

    /// Ends the visits that may not go on now.
    pub fn sweep_visits(&self) {
        let table = self.table();
        self.visits.sweep(|host, right| table.keeps(host, right), &Moment::now());
    }

    /// Counts a malformed request.
    pub fn count_malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counter of everything worth a report.
    pub(crate) fn news(&self) -> &watch::Sender<u64> {
        &self.news
    }

    /// Times that it gives.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Shares of clients.
    pub fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }

    /// Waits for room for a connection that was accepted. `None` where its origin has too many, or where a door that leaves is full.
    pub async fn room(&self, address: IpAddr) -> Option<Share> {
        tokio::select! {
            // One that was accepted is served, also by a door that leaves.
            biased;
            share = self.crowd.connection(address) => share,
            () = self.leaving.ask.cancelled() => None,
        }
    }

    /// Its state in numbers.
    pub fn report(&self) -> Report {
        let table = self.table();
        Report {
            door: self.id,
            serial: table.document.serial,
            retiring: self.leaving.ask.is_cancelled(),
            connections: self.crowd.connections() as u64,
            malformed: self.malformed.load(Ordering::Relaxed),
            listeners: self.locals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            routes: table.routes.iter().map(|(name, route)| (name.clone(), route.report())).collect(),
        }
    }
}
