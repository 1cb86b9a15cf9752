//! The document that is served, as requests look things up in it. It is replaced as a whole.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::audience::Entry;
use crate::document::{Access, Document};
use crate::host::pattern_of;
use crate::pass::Pass;
use crate::route::Route;

/// A listener: its address in the document, and its number among those with this address (port 0 may stand there twice).
pub type ListenerKey = (SocketAddr, usize);

/// Listeners by their key, to be adopted by a successor.
pub type Sockets = Vec<(ListenerKey, std::net::TcpListener)>;

/// Treatment of the connections of a listener.
#[derive(Clone, Debug)]
pub enum Kind {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Tls,
    /// Raw TCP.
    Raw(Arc<Route>),
}

/// A host with its route.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its route.
    pub route: Arc<Route>,
    /// Everybody may come in.
    pub open: bool,
    /// With TLS alone.
    pub secure: bool,
    /// The way in where not everybody may come in; none where nobody may either.
    pub entry: Option<Arc<Entry>>,
}

/// A document with its routes.
#[derive(Debug)]
pub struct Table {
    /// The document.
    pub document: Document,
    /// Routes by name.
    pub routes: BTreeMap<String, Arc<Route>>,
    hosts: HashMap<String, Place>,
    /// Routes of listeners that have one of their own.
    whole: HashMap<ListenerKey, Place>,
    /// Listeners, in the order of the document.
    pub listeners: Vec<(ListenerKey, Kind)>,
}

impl Table {
    /// A table for a checked document. Routes of the one before are kept by their name, with all that is open.
    pub fn new(document: Document, before: &BTreeMap<String, Arc<Route>>, news: &watch::Sender<u64>) -> Table {
        let route = |name: &String| before.get(name).cloned().unwrap_or_else(|| Route::new(news.clone()));
        let routes: BTreeMap<String, Arc<Route>> =
            document.routes.keys().map(|name| (name.clone(), route(name))).collect();
        let hosts = document.hosts.iter().filter_map(|(name, host)| {
            let route = routes.get(&host.route)?.clone();
            let entry = Entry::of(&document, host);
            Some((name.clone(), Place { route, open: host.access == Access::Everybody, secure: host.secure, entry }))
        });
        let hosts = hosts.collect();
        let http = document.listeners.iter().map(|one| (one.address, if one.tls { Kind::Tls } else { Kind::Http }));
        let raw = document.tcp.iter().filter_map(|one| Some((one.address, Kind::Raw(routes.get(&one.route)?.clone()))));
        let mut listeners: Vec<(ListenerKey, Kind)> = Vec::new();
        for (address, kind) in http.chain(raw) {
            let number = listeners.iter().filter(|((other, _), _)| *other == address).count();
            listeners.push(((address, number), kind));
        }
        // Those of HTTP come first, in the order of the document.
        let whole = document.listeners.iter().zip(&listeners).filter_map(|(one, (key, _))| {
            let route = routes.get(one.route.as_ref()?)?.clone();
            Some((*key, Place { route, open: true, secure: false, entry: None }))
        });
        let whole = whole.collect();
        Table { routes, hosts, whole, listeners, document }
    }

    /// The place of a host in its normal form: its own, else that of the pattern which covers it.
    pub fn host(&self, name: &str) -> Option<&Place> {
        self.hosts.get(name).or_else(|| self.hosts.get(&pattern_of(name)?))
    }

    /// The place to which every request of a listener goes; none where hosts decide.
    pub fn whole(&self, key: ListenerKey) -> Option<&Place> {
        self.whole.get(&key)
    }

    /// Treatment of the connections of a listener.
    pub fn kind(&self, key: ListenerKey) -> Option<Kind> {
        self.listeners.iter().find(|(other, _)| *other == key).map(|(_, kind)| kind.clone())
    }

    /// Returns true where a visit by a pass may go on at a host: everybody may come in there, or application and key are the same and the wallet may.
    pub fn keeps(&self, host: &str, entry: &Entry, pass: &Pass) -> bool {
        let Some(place) = self.host(host) else { return false };
        match &place.entry {
            None => place.open,
            Some(now) => now.application == entry.application && now.key == entry.key && now.admits(&pass.wallet),
        }
    }
}
