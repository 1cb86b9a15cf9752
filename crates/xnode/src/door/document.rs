//! The door's document as generations, marks and instances ask for it. Pure: the same facts give the same document.
//!
//! A route is a port of an application, `application/port`: one of protocol `http`, or one of `tcp` to which a domain leads. It is in the document as
//! long as a generation or an instance has the port, so that a switch finds it before its first step and after its last one. Published ports of HTTP
//! are listeners that lead to one route; domains are hosts of the door's own listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Application, Audience, Domain, Name, Protocol, Route as DomainRoute, Wish};
use openmesh_blueprint::generation::{HostPort, Revision};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_door::check::{Fault, check};
use openmesh_door::document::{
    Access, Admission, Certificate, Challenge, Document, Host, Instance, Listener, Page, Protocol as Language, Route,
    Traffic,
};
use openmesh_door::host::{normal, normal_pattern};
use openmesh_door::limits::{DRAIN_MS_DEFAULT, DRAIN_MS_MAX, HOLD_MS_MAX};

use super::visitors::{Visitors, guard, has_certificate};
use crate::marks::{DoorMark, PageMark};

/// Addresses at which the door serves domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Without TLS.
    pub http: Vec<SocketAddr>,
    /// With TLS, where there is a certificate.
    pub https: Vec<SocketAddr>,
    /// The host has IPv6: a port that is published at every address is so at those as well.
    pub both_families: bool,
}

/// A port of the host that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// Address and port of the host.
    pub at: HostPort,
    /// The application.
    pub application: Name,
    /// Name of its port.
    pub port: Name,
}

/// Route of the agent's own face: no application has this name.
const OWN_ROUTE: &str = "_xnode/face";

/// The agent's own face, which the door leads people to with TLS alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Names of the machine; no application takes one.
    pub hosts: Vec<String>,
    /// Address at which the agent answers them.
    pub to: SocketAddr,
}

/// Revisions of all applications of two generations: each is a hash over all that an instance sees, and is asked for often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    wanted: BTreeMap<Name, Revision>,
    serving: BTreeMap<Name, Revision>,
}

impl Revisions {
    /// The revisions of the generation that is wanted, and of the one that serves.
    pub fn of(wanted: &Generation, serving: Option<&Generation>) -> Revisions {
        let all = |generation: &Generation| {
            let names = generation.portable.applications.keys();
            names.filter_map(|name| Some((name.clone(), generation.revision(name)?))).collect()
        };
        Revisions { wanted: all(wanted), serving: serving.map(all).unwrap_or_default() }
    }

    /// Returns true where one of both has this revision of an application.
    pub fn has(&self, name: &Name, revision: &Revision) -> bool {
        [&self.wanted, &self.serving].into_iter().any(|all| all.get(name) == Some(revision))
    }
}

/// Facts that a document is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The generation that is wanted.
    pub wanted: &'a Generation,
    /// The one that serves, where that is another one.
    pub serving: Option<&'a Generation>,
    /// Revisions of both.
    pub revisions: &'a Revisions,
    /// Other generations, of which some instances are.
    pub others: &'a [Generation],
    /// Marks of the applications' traffic. One that cannot be read is not here, but in `unknown`.
    pub marks: &'a BTreeMap<Name, DoorMark>,
    /// Texts of maintenance pages that are other ones than the usual.
    pub pages: &'a BTreeMap<Name, PageMark>,
    /// Applications of which nobody knows what their traffic should be.
    pub unknown: &'a BTreeSet<Name>,
    /// Document that is served: routes of unknown applications stay as they are.
    pub served: Option<&'a Document>,
    /// Addresses of the instances that are there.
    pub instances: &'a BTreeMap<Name, BTreeMap<InstanceId, Ipv4Addr>>,
    /// Ports of the host that were given out.
    pub published: &'a [PublishedPort],
    /// Addresses for domains.
    pub places: &'a Places,
    /// The agent's own face; none where people do not come through the door.
    pub own: Option<&'a Own>,
    /// People of the machine; none where the agent does not say who they are.
    pub visitors: Option<&'a Visitors>,
}

/// Certificates and proofs for names that the door serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Certificates.
    pub certificates: Vec<Certificate>,
    /// Proofs for an authority, of names for which a certificate is ordered.
    pub challenges: BTreeMap<String, Challenge>,
}

/// A document with what it leaves out, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The document; its serial is 0.
    pub document: Document,
    /// Things that are not served, each with the reason.
    pub remarks: Vec<String>,
}

/// Name of a route.
pub fn route_name(application: &Name, port: &Name) -> String {
    format!("{application}/{port}")
}

/// Returns true for the name of a route of an application.
pub fn is_route_of(route: &str, application: &Name) -> bool {
    route.strip_prefix(application.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns true where the door carries traffic of an application: it has a port of HTTP, or a domain.
pub fn is_carried(application: &Application) -> bool {
    !application.domains.is_empty() || application.ports.values().any(|port| port.protocol == Protocol::Http)
}

impl<'a> Facts<'a> {
    /// The document; `offers` gives what there is for the names that it serves.
    pub fn document(&self, offers: &dyn Fn(&BTreeSet<String>) -> Offers) -> Written {
        let mut written = Written { document: Document::empty(), remarks: Vec::new() };
        for name in self.names() {
            self.routes(name, &mut written.document);
        }
        self.published_listeners(&mut written);
        if let Some(own) = self.own {
            add_own(own, &mut written);
        }
        self.hosts(&mut written);
        let names: BTreeSet<String> = written.document.hosts.keys().cloned().collect();
        // Also without a name: whoever offers hears of what is served.
        take(offers(&names), &mut written);
        if !names.is_empty() {
            let face = self.own.zip(self.places.https.first()).map(|(_, at)| (OWN_ROUTE, at.port()));
            let shut = guard(&mut written.document, face, self.visitors);
            written.remarks.extend(shut);
            listen_for_domains(self.places, self.published, &mut written);
        }
        leave_out(&mut written);
        written
    }

    /// Version of an application that instances of a revision are of; none where no generation is known that has it.
    pub fn version(&self, name: &Name, revision: &Revision) -> Option<&'a Application> {
        let is_in = |revisions: &BTreeMap<Name, Revision>| revisions.get(name) == Some(revision);
        let found = match self.serving {
            _ if is_in(&self.revisions.wanted) => self.wanted,
            Some(serving) if is_in(&self.revisions.serving) => serving,
            _ => self.others.iter().find(|generation| generation.revision(name).as_ref() == Some(revision))?,
        };
        Some(&found.portable.applications.get(name)?.application)
    }

    /// Versions of an application in the generations that count, the wanted one first.
    fn applications(&self, name: &Name) -> impl Iterator<Item = &'a Application> + use<'a> {
        let all = [Some(self.wanted), self.serving];
        let name = name.clone();
        all.into_iter().flatten().filter_map(move |generation| {
            generation.portable.applications.get(&name).map(|resolved| &resolved.application)
        })
    }

    /// Every application of which there is anything.
    fn names(&self) -> BTreeSet<&'a Name> {
        let wanted = self.wanted.portable.applications.keys();
        let serving = self.serving.into_iter().flat_map(|serving| serving.portable.applications.keys());
        wanted.chain(serving).chain(self.instances.keys()).chain(self.unknown).collect()
    }

    fn mark(&self, name: &Name) -> DoorMark {
        self.marks.get(name).cloned().unwrap_or_default()
    }

    /// Ports of an application that the door carries.
    fn carried(&self, name: &Name) -> BTreeSet<Name> {
        let led: BTreeSet<&Name> = self
            .applications(name)
            .flat_map(|application| application.domains.values().map(|route| &route.port))
            .collect();
        let instances = self.instances.get(name).into_iter().flat_map(BTreeMap::keys);
        let versions = instances.filter_map(|id| self.version(name, &id.revision));
        let all = self.applications(name).chain(versions).flat_map(|application| &application.ports);
        let carried = all.filter(|(port, about)| match about.protocol {
            Protocol::Http => true,
            Protocol::Tcp => led.contains(port),
            Protocol::Udp => false,
        });
        carried.map(|(port, _)| port.clone()).collect()
    }

    fn routes(&self, name: &Name, document: &mut Document) {
        if self.unknown.contains(name) {
            let served = self.served.into_iter().flat_map(|served| &served.routes);
            let own = served.filter(|(route, _)| is_route_of(route, name));
            document.routes.extend(own.map(|(route, about)| (route.clone(), about.clone())));
            return;
        }
        for port in self.carried(name) {
            let route = self.route(name, &port);
            document.routes.insert(route_name(name, &port), route);
        }
    }

    fn route(&self, name: &Name, port: &Name) -> Route {
        let mark = self.mark(name);
        let switch = self.applications(name).next().map(|application| &application.switch);
        let drain_ms = switch.map_or(DRAIN_MS_DEFAULT, |switch| switch.drain.0).min(DRAIN_MS_MAX);
        let mut instances = Vec::new();
        for (id, address) in self.instances.get(name).into_iter().flatten() {
            let Some(number) = self.number(name, &id.revision, port) else { continue };
            let admitted = is_admitted(&mark, id);
            instances.push(Instance {
                name: id.to_string(),
                address: SocketAddr::from((*address, number)),
                traffic: if admitted { Traffic::Admit } else { Traffic::Drain },
                drain_ms,
            });
        }
        // Those that get traffic stand first: the order of the others is that of their names.
        instances.sort_by_key(|instance| instance.traffic == Traffic::Drain);
        let open = instances.iter().any(|instance| instance.traffic == Traffic::Admit);
        Route {
            protocol: Language::Http1,
            admission: self.admission(name, port, &mark, open),
            hold_ms: switch.map_or(HOLD_MS_MAX, |switch| switch.hold.0).min(HOLD_MS_MAX),
            instances,
            page: self.pages.get(name).map(|page| Page { title: page.title.clone(), text: page.text.clone() }),
        }
    }

    /// Treatment of what is new; `open` says that an instance is admitted.
    fn admission(&self, name: &Name, port: &Name, mark: &DoorMark, open: bool) -> Admission {
        match mark {
            DoorMark::Open { .. } if open => Admission::Open,
            // The port is one of a version that goes, or its instance is being made again.
            DoorMark::Open { revision, .. } => {
                let version = revision.parse::<Revision>().ok().and_then(|revision| self.version(name, &revision));
                let gone = version.is_some_and(|version| !version.ports.contains_key(port));
                if gone { Admission::Closed } else { Admission::Hold }
            }
            DoorMark::Holding => Admission::Hold,
            DoorMark::Maintenance => Admission::Maintenance,
            DoorMark::Closed => Admission::Closed,
        }
    }

    /// Number of a port in the instances of a revision. One whose generation is gone has that of the generations that are there.
    fn number(&self, name: &Name, revision: &Revision, port: &Name) -> Option<u16> {
        let of = |version: &Application| {
            version.ports.get(port).filter(|about| about.protocol != Protocol::Udp).map(|about| about.port)
        };
        match self.version(name, revision) {
            Some(version) => of(version),
            None => self.applications(name).find_map(of),
        }
    }

    /// Protocol of a published port: that of the version with traffic, else of the wanted one, else of whatever is there.
    pub fn protocol(&self, name: &Name, port: &Name) -> Option<Protocol> {
        let open = match self.mark(name) {
            DoorMark::Open { revision, .. } => revision.parse::<Revision>().ok(),
            _ => None,
        };
        let open = open.and_then(|revision| self.version(name, &revision));
        let there = self.instances.get(name).into_iter().flat_map(BTreeMap::keys);
        let there = there.filter_map(|id| self.version(name, &id.revision));
        let mut all = open.into_iter().chain(self.applications(name)).chain(there);
        all.find_map(|version| version.ports.get(port)).map(|about| about.protocol)
    }

    fn published_listeners(&self, written: &mut Written) {
        for published in self.published {
            let route = route_name(&published.application, &published.port);
            let carried = self.protocol(&published.application, &published.port) == Some(Protocol::Http);
            if carried && written.document.routes.contains_key(&route) {
                let (address, port) = (published.at.address.0, published.at.port);
                let also = (self.places.both_families && address == IpAddr::V4(Ipv4Addr::UNSPECIFIED))
                    .then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
                for address in [address].into_iter().chain(also) {
                    let address = SocketAddr::new(address, port);
                    written.document.listeners.push(Listener { address, tls: false, route: Some(route.clone()) });
                }
            }
        }
    }

    /// Domains: first those that still belong to the generation that serves. Nobody takes one from an application that was not switched yet, and one that
    /// moves stays until its new application has traffic.
    fn hosts(&self, written: &mut Written) {
        let names = self.names();
        let moves = |domain: &Domain| {
            let mut wanted = self.wanted.portable.applications.iter();
            wanted.any(|(name, about)| about.application.domains.contains_key(domain) && !self.is_switched(name))
        };
        for name in &names {
            let before = self.serving.and_then(|serving| serving.portable.applications.get(*name));
            let is_shut = self.mark(name) == DoorMark::Closed && !self.unknown.contains(*name);
            let gone = is_shut && !self.wanted.portable.applications.contains_key(*name);
            let stays = !self.is_switched(name);
            for (domain, route) in before.into_iter().filter(|_| !gone).flat_map(|before| &before.application.domains) {
                if stays || moves(domain) {
                    add_host(name, domain.as_str(), &self.with_people(name, domain, route), written);
                }
            }
        }
        for name in names.into_iter().filter(|name| self.is_switched(name)) {
            let now = self.wanted.portable.applications.get(name);
            for (domain, route) in now.into_iter().flat_map(|now| &now.application.domains) {
                add_host(name, domain.as_str(), route, written);
            }
        }
    }

    /// A domain of the generation that serves with the people of the wanted one: who may come in counts as soon as it is wanted, and whoever is taken out
    /// waits for no switch.
    fn with_people(&self, name: &Name, domain: &Domain, route: &DomainRoute) -> DomainRoute {
        let wanted = self.wanted.portable.applications.get(name);
        let now = wanted.and_then(|wanted| wanted.application.domains.get(domain)).unwrap_or(route);
        DomainRoute { port: route.port.clone(), audience: now.audience, wallets: now.wallets.clone() }
    }

    /// Returns true where the domains of the wanted generation count for an application: its traffic goes to that version, or none is wished.
    fn is_switched(&self, name: &Name) -> bool {
        let Some(wanted) = self.wanted.portable.applications.get(name) else { return false };
        if wanted.application.wish != Wish::Running || self.serving.is_none() {
            return true;
        }
        let revision = self.revisions.wanted.get(name).map(ToString::to_string);
        matches!(self.mark(name), DoorMark::Open { revision: open, .. } if revision.as_deref() == Some(open.as_str()))
    }
}

/// The document of a machine without a generation: people reach its agent.
pub fn own_document(own: &Own, places: &Places, offers: &dyn Fn(&BTreeSet<String>) -> Offers) -> Written {
    let mut written = Written { document: Document::empty(), remarks: Vec::new() };
    add_own(own, &mut written);
    let names: BTreeSet<String> = written.document.hosts.keys().cloned().collect();
    take(offers(&names), &mut written);
    listen_for_domains(places, &[], &mut written);
    written
}

fn take(offers: Offers, written: &mut Written) {
    written.document.certificates = offers.certificates;
    written.document.challenges = offers.challenges;
}

/// Adds the listeners for domains, where no published port is in their way.
fn listen_for_domains(places: &Places, published: &[PublishedPort], written: &mut Written) {
    miss_certificates(written);
    // An authority may ask at the port of TLS before there is the first certificate.
    let proves = written.document.challenges.values().any(|challenge| challenge.digest.is_some());
    let secure = proves || !written.document.certificates.is_empty();
    let https = places.https.iter().filter(|_| secure).map(|address| (*address, true));
    let carried = written.document.listeners.iter().filter_map(|one| Some((one.address, one.route.clone()?)));
    let raw = published.iter().filter(|published| published.at.protocol == Protocol::Tcp).map(|published| {
        let at = SocketAddr::new(published.at.address.0, published.at.port);
        (at, route_name(&published.application, &published.port))
    });
    let taken: Vec<(SocketAddr, String)> = carried.chain(raw).collect();
    for (address, tls) in places.http.iter().map(|address| (*address, false)).chain(https) {
        match taken.iter().find(|(other, _)| overlap(*other, address)) {
            Some((_, route)) => {
                written.remarks.push(format!("domains are not served at {address}: the port is published for {route}"))
            }
            None => written.document.listeners.push(Listener { address, tls, route: None }),
        }
    }
}

/// Says which hosts are out of reach for want of a certificate.
fn miss_certificates(written: &mut Written) {
    let secure = written.document.hosts.iter().filter(|(_, host)| host.secure).map(|(name, _)| name);
    let missing = secure.filter(|name| !has_certificate(&written.document, name)).map(|name| {
        format!("{name} has no certificate, and nothing is served there without TLS; `openmesh xnode doors certificate {name}` gives one")
    });
    let missing: Vec<String> = missing.collect();
    written.remarks.extend(missing);
}

/// Leaves out single things for which the door would refuse the whole document, and so serve nobody: a listener at the address of an instance or of the
/// agent's face, or at one that is claimed already, and the people of a host whose wallets it does not take.
fn leave_out(written: &mut Written) {
    for problem in check(&written.document) {
        let document = &mut written.document;
        let host = || problem.path.strip_prefix("hosts.")?.strip_suffix(".access.wallets");
        let left = match &problem.fault {
            Fault::AddressTwice { address, .. } | Fault::Circle { address, .. } => {
                let at = document.listeners.iter().rposition(|listener| listener.address == *address);
                at.map(|at| document.listeners.remove(at).address.to_string())
            }
            _ => host().filter(|host| document.hosts.get_mut(*host).is_some_and(shut)).map(str::to_string),
        };
        // More than one problem may be about the same thing.
        written.remarks.extend(left.map(|left| format!("{left} is not served: {problem}")));
    }
}

/// Lets nobody in to a host, and returns true where it was not so yet. Taken out of the document it would be said to be nobody's.
fn shut(host: &mut Host) -> bool {
    let nobody = Access::Wallets(Vec::new());
    host.gate = None;
    std::mem::replace(&mut host.access, nobody.clone()) != nobody
}

/// Returns true where one socket at each of both addresses is impossible: the door's sockets of IPv6 take no IPv4.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (any || a.ip() == b.ip())
}

/// Returns true where a mark gives traffic to an instance.
pub fn is_admitted(mark: &DoorMark, id: &InstanceId) -> bool {
    matches!(mark, DoorMark::Open { revision, instances, without }
        if *revision == id.revision.to_string() && id.index < *instances && *without != Some(id.index))
}

/// Adds the agent's own face.
fn add_own(own: &Own, written: &mut Written) {
    let face =
        Instance { name: "face".to_string(), address: own.to, traffic: Traffic::Admit, drain_ms: DRAIN_MS_DEFAULT };
    let route = Route {
        protocol: Language::Http1,
        admission: Admission::Open,
        hold_ms: HOLD_MS_MAX,
        instances: vec![face],
        page: None,
    };
    written.document.routes.insert(OWN_ROUTE.to_string(), route);
    for name in own.hosts.iter().filter_map(|name| normal(name)) {
        // The agent asks everybody itself who they are.
        let host = Host { route: OWN_ROUTE.to_string(), access: Access::Everybody, secure: true, gate: None };
        written.document.hosts.insert(name, host);
    }
}

/// Adds a host, unless another application has it, or its route is not there.
fn add_host(name: &Name, domain: &str, about: &DomainRoute, written: &mut Written) {
    let route = route_name(name, &about.port);
    let Some(host) = normal_pattern(domain) else {
        written
            .remarks
            .push(format!("{domain} of {name} is no name that the door serves; write at least two labels after `*.`"));
        return;
    };
    if !written.document.routes.contains_key(&route) {
        return;
    }
    let access = match about.audience {
        Audience::Everybody => Access::Everybody,
        Audience::Wallets => Access::Wallets(about.wallets.iter().map(ToString::to_string).collect()),
        Audience::Members => Access::Members,
        Audience::Owner => Access::Owner,
    };
    if written.document.hosts.get(&host).is_some_and(|other| other.route == OWN_ROUTE) {
        written.remarks.push(format!("{domain} of {name} is a name of the machine itself, and leads to its agent"));
        return;
    }
    written.document.hosts.entry(host).or_insert(Host { route, access, secure: false, gate: None });
}
