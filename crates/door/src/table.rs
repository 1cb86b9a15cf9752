//! The document that is served, as requests look things up in it. It is replaced as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::audience::Entry;
use crate::document::{Access, Admission, Document, Host};
use crate::host::pattern_of;
use crate::route::Route;
use crate::visits::Right;

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
    /// Name of its route.
    pub name: Arc<str>,
    /// Its route.
    pub route: Arc<Route>,
    /// Everybody may come in.
    pub open: bool,
    /// It is a host's, for whom another document may name other people; false for that of a whole listener.
    pub by_host: bool,
    /// With TLS alone.
    pub secure: bool,
    /// The way in where not everybody may come in; none where nobody may either.
    pub entry: Option<Arc<Entry>>,
}

/// A route with its name.
type Named = (Arc<str>, Arc<Route>);

impl Place {
    /// The place of a host whose route is known.
    fn of(document: &Document, host: &Host, (name, route): Named) -> Place {
        let (open, entry) = (host.access == Access::Everybody, Entry::of(document, host));
        Place { name, route, open, by_host: true, secure: host.secure, entry }
    }
}

/// A document with its routes.
#[derive(Debug)]
pub struct Table {
    /// The document.
    pub document: Document,
    /// Routes by name.
    pub routes: BTreeMap<String, Arc<Route>>,
    hosts: HashMap<String, Place>,
    /// Names of the routes that are closed: their applications go, and what is open there ends with the instances.
    closed: BTreeSet<String>,
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
        let hosts = places(&document, &|_, host: &Host| named(&routes, &host.route));
        let http = document.listeners.iter().map(|one| (one.address, if one.tls { Kind::Tls } else { Kind::Http }));
        let raw = document.tcp.iter().filter_map(|one| Some((one.address, Kind::Raw(routes.get(&one.route)?.clone()))));
        let mut listeners: Vec<(ListenerKey, Kind)> = Vec::new();
        for (address, kind) in http.chain(raw) {
            let number = listeners.iter().filter(|((other, _), _)| *other == address).count();
            listeners.push(((address, number), kind));
        }
        // Those of HTTP come first, in the order of the document.
        let whole = document.listeners.iter().zip(&listeners).filter_map(|(one, (key, _))| {
            let (name, route) = named(&routes, one.route.as_ref()?)?;
            Some((*key, Place { name, route, open: true, by_host: false, secure: false, entry: None }))
        });
        let whole = whole.collect();
        Table { routes, hosts, closed: closed(&document), whole, listeners, document }
    }

    /// The same routes for the people of another document: of a door that leaves, whose routes are its own to the end. A host that leads to another route
    /// there leads to the same one here.
    #[must_use]
    pub fn with_people_of(&self, document: &Document) -> Table {
        let own = |name: &str| self.host(name).map(|place| (place.name.clone(), place.route.clone()));
        let route = |name: &str, host: &Host| named(&self.routes, &host.route).or_else(|| own(name));
        self.with_hosts(places(document, &route), closed(document))
    }

    /// The same for nobody at all.
    #[must_use]
    pub fn for_nobody(&self) -> Table {
        let shut = |place: &Place| Place { open: false, entry: None, ..place.clone() };
        let hosts = self.hosts.iter().map(|(name, place)| (name.clone(), shut(place)));
        self.with_hosts(hosts.collect(), BTreeSet::new())
    }

    fn with_hosts(&self, hosts: HashMap<String, Place>, closed: BTreeSet<String>) -> Table {
        Table {
            document: self.document.clone(),
            routes: self.routes.clone(),
            hosts,
            closed,
            whole: self.whole.clone(),
            listeners: self.listeners.clone(),
        }
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

    /// Returns true where a visit may go on at a host: everybody may come in there, or it has a pass, application and key are the same and the wallet may.
    pub fn keeps(&self, host: &str, right: &Right) -> bool {
        let Some(place) = self.host(host) else {
            // The name was taken away, and whoever came by it goes; where the whole application does, what strangers have open ends with its instances, in their words.
            return matches!(right, Right::Guest(route) if self.closed.contains(&**route));
        };
        match (&place.entry, right) {
            (None, _) => place.open,
            (Some(_), Right::Guest(_)) => false,
            (Some(now), Right::Pass(entry, pass)) => {
                now.application == entry.application && now.key == entry.key && now.admits(&pass.wallet)
            }
        }
    }
}

/// A route by its name.
fn named(routes: &BTreeMap<String, Arc<Route>>, name: &str) -> Option<Named> {
    routes.get(name).map(|route| (Arc::from(name), route.clone()))
}

/// Names of the routes that a document closes.
fn closed(document: &Document) -> BTreeSet<String> {
    let closed = document.routes.iter().filter(|(_, route)| route.admission == Admission::Closed);
    closed.map(|(name, _)| name.clone()).collect()
}

/// Hosts of a document with their routes; without those that have none.
fn places(document: &Document, route: &dyn Fn(&str, &Host) -> Option<Named>) -> HashMap<String, Place> {
    let places = document.hosts.iter().filter_map(|(name, host)| {
        let route = route(name, host)?;
        Some((name.clone(), Place::of(document, host, route)))
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pass::{Kind, Moment, Pass, VISIT_BYTES, Wallet};

    const ALICE: Wallet = Wallet([1; 20]);

    /// A document with one host, which leads to a route and is for some people.
    fn document(route: &str, access: Value) -> Document {
        let gate = json!({ "application": "notes", "key": "5c".repeat(32) });
        let closed = json!({ "protocol": "http1", "admission": "closed" });
        serde_json::from_value(json!({
            "version": 2, "serial": 1, "people": { "sign_in": "https://xnode.lan" },
            "hosts": { "notes.lan": { "route": route, "access": access, "gate": gate } },
            "routes": { route: closed },
        }))
        .expect("a document")
    }

    fn table(document: Document) -> Table {
        Table::new(document, &BTreeMap::new(), &watch::channel(0).0)
    }

    /// Verdicts on a stranger's visit and on Alice's: true for one that may go on.
    fn kept(table: &Table) -> (bool, bool) {
        let of_alice = document("notes/http", json!({ "wallets": [ALICE.to_string()] }));
        let entry = Entry::of(&of_alice, &of_alice.hosts["notes.lan"]).expect("a way in");
        let visit = [0; VISIT_BYTES];
        let pass = Pass { kind: Kind::Pass, wallet: ALICE, made: Moment::now(), lasts_ms: 1_000, visit };
        let guest = Right::Guest("notes/http".into());
        (table.keeps("notes.lan", &guest), table.keeps("notes.lan", &Right::Pass(entry, pass)))
    }

    #[test]
    fn a_door_that_leaves_has_its_own_routes_and_the_people_of_its_successor() {
        let served = table(document("notes/http", json!("everybody")));
        assert_eq!(kept(&served), (true, true));
        for (access, expected) in [
            (json!("everybody"), (true, true)),
            (json!({ "wallets": [ALICE.to_string()] }), (false, true)),
            (json!("owner"), (false, false)),
        ] {
            for route in ["notes/http", "moved/http"] {
                let next = served.with_people_of(&document(route, access.clone()));
                assert_eq!(kept(&next), expected, "{access} {route}");
                let place = next.host("notes.lan").expect("a host");
                assert!(Arc::ptr_eq(&place.route, &served.routes["notes/http"]), "{route}");
                assert_eq!(next.document, served.document);
            }
        }
        assert_eq!(kept(&served.for_nobody()), (false, false));
        assert_eq!(kept(&served.with_people_of(&Document::empty())), (false, false), "a host that is gone");
    }

    #[test]
    fn what_strangers_have_open_at_a_name_that_is_gone_ends_with_the_name_or_with_its_application() {
        let before = document("notes/http", json!("everybody"));
        let (mut closed, mut open) = (before.clone(), before.clone());
        closed.hosts.clear();
        open.hosts.clear();
        open.routes.get_mut("notes/http").expect("a route").admission = Admission::Hold;
        for (next, expected) in [(&closed, true), (&open, false), (&Document::empty(), false)] {
            assert_eq!(kept(&table(next.clone())), (expected, false));
            assert_eq!(kept(&table(before.clone()).with_people_of(next)), (expected, false));
        }
    }
}
