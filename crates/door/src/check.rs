//! Every problem of a document, each with its path, before anything of it is applied.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::challenge::is_good;
use crate::document::{
    Access, Admission, Certificate, Challenge, Document, Instance, Protocol, Route, Traffic, VERSION,
    VERSION_WITHOUT_PEOPLE,
};
use crate::host::{self, Authority};
use crate::limits::{
    CERTIFICATES_MAX, CHALLENGE_BYTES_MAX, CHALLENGES_MAX, DRAIN_MS_MAX, HOLD_MS_MAX, HOSTS_MAX, INSTANCES_MAX,
    LISTENERS_MAX, NAME_BYTES_MAX, PAGE_TEXT_BYTES_MAX, ROUTES_MAX, WALLETS_MAX,
};
use crate::pass::Wallet;

/// A problem of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Place in the document: `routes.shop/web.instances[1].address`.
    pub path: String,
    /// Its kind.
    pub fault: Fault,
}

/// Kind of a problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A version that this door does not read.
    #[error("version {found} is not understood; this door reads versions {VERSION_WITHOUT_PEOPLE} to {VERSION}")]
    Version {
        /// Version of the document.
        found: u32,
    },
    /// A document from the past.
    #[error("serial {found} is below {served}, which is served; observe again and send a higher one")]
    Past {
        /// Its serial.
        found: u64,
        /// Serial that is served.
        served: u64,
    },
    /// Another document with the serial of the one that is served.
    #[error("serial {serial} is served with other content; send the change with a higher one")]
    Reused {
        /// The serial.
        serial: u64,
    },
    /// More than the door keeps.
    #[error("{count} are too many; at most {max}")]
    TooMany {
        /// Number found.
        count: usize,
        /// Largest number.
        max: usize,
    },
    /// A name that is empty, too long, or has other characters than letters, digits, `.`, `-`, `_` and `/`.
    #[error("'{name}' is no name: 1 to {NAME_BYTES_MAX} letters, digits, '.', '-', '_' or '/'")]
    Name {
        /// The name.
        name: String,
    },
    /// Not a host name in its normal form.
    #[error("'{name}' is no host name in lower case without port")]
    HostName {
        /// The name.
        name: String,
    },
    /// A route that the document does not have.
    #[error("there is no route '{route}'")]
    UnknownRoute {
        /// The name.
        route: String,
    },
    /// A route of the other kind.
    #[error("route '{route}' speaks {found:?}, which does not fit here")]
    WrongProtocol {
        /// The route.
        route: String,
        /// Its language.
        found: Protocol,
    },
    /// Two listeners at one address, or one at all addresses beside it.
    #[error("{address} is claimed by {other} as well")]
    AddressTwice {
        /// The address.
        address: SocketAddr,
        /// Path of the other claim.
        other: String,
    },
    /// An instance that cannot be called: no port, or no particular address.
    #[error("{address} is no address that can be called")]
    NotCallable {
        /// The address.
        address: SocketAddr,
    },
    /// An instance at an address where the door itself listens: requests would go round in a circle.
    #[error("{address} is the door's own ({listener})")]
    Circle {
        /// The address.
        address: SocketAddr,
        /// Path of the listener.
        listener: String,
    },
    /// Two instances with one name.
    #[error("instance '{name}' is there twice")]
    InstanceTwice {
        /// The name.
        name: String,
    },
    /// An open route without an admitted instance.
    #[error(
        "an open route needs an instance with `\"traffic\": \"admit\"`; else use `hold`, `maintenance` or `closed`"
    )]
    NobodyAdmitted,
    /// A time out of bounds.
    #[error("{ms} ms is out of bounds; at most {max} ms")]
    Time {
        /// The time.
        ms: u64,
        /// Longest time.
        max: u64,
    },
    /// A text that is too long.
    #[error("{bytes} bytes are too many; at most {max}")]
    Text {
        /// Its size.
        bytes: usize,
        /// Largest size.
        max: usize,
    },
    /// A listener with TLS in a document without certificates.
    #[error("TLS without a certificate; add one to `certificates`")]
    NoCertificate,
    /// A proof for an authority that is none.
    #[error(
        "this is no proof for an authority: tokens and answers have 1 to {CHALLENGE_BYTES_MAX} letters, digits, '-', '_' and '.', and a digest has 64 hexadecimal digits"
    )]
    Challenge,
    /// A file whose place depends on a working directory.
    #[error("the path is not absolute")]
    RelativePath,
    /// Something that the version of the document does not have.
    #[error("it belongs to version {VERSION}; write that as `version`")]
    Newer,
    /// A place for signing in that is no address of one.
    #[error("'{address}' is no address for signing in, such as https://xnode.lan: no path, and a name in lower case")]
    SignIn {
        /// The text.
        address: String,
    },
    /// Not an Ethereum address.
    #[error("'{wallet}' is no wallet: `0x` and 40 hexadecimal digits")]
    Wallet {
        /// The text.
        wallet: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.fault)
    }
}

/// All problems of a document by itself.
pub fn check(document: &Document) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    if ![VERSION_WITHOUT_PEOPLE, VERSION].contains(&document.version) {
        found.add("version", Fault::Version { found: document.version });
    }
    found.count("listeners", document.listeners.len() + document.tcp.len(), LISTENERS_MAX);
    found.count("hosts", document.hosts.len(), HOSTS_MAX);
    found.count("routes", document.routes.len(), ROUTES_MAX);
    found.count("certificates", document.certificates.len(), CERTIFICATES_MAX);
    found.count("challenges", document.challenges.len(), CHALLENGES_MAX);
    for (name, challenge) in &document.challenges {
        check_challenge(name, challenge, &mut found);
    }
    let claims = addresses(document, &mut found);
    hosts(document, &mut found);
    people(document, &mut found);
    for (name, route) in &document.routes {
        check_route(name, route, &claims, &mut found);
    }
    for (index, certificate) in document.certificates.iter().enumerate() {
        check_certificate(index, certificate, &mut found);
    }
    found.0
}

/// The problem of a document as a successor of the one that is served.
pub fn check_succession(served: &Document, next: &Document) -> Option<Problem> {
    let fault = match next.serial.cmp(&served.serial) {
        std::cmp::Ordering::Less => Fault::Past { found: next.serial, served: served.serial },
        std::cmp::Ordering::Equal if served != next => Fault::Reused { serial: next.serial },
        _ => return None,
    };
    Some(Problem { path: "serial".to_string(), fault })
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: impl Into<String>, fault: Fault) {
        self.0.push(Problem { path: path.into(), fault });
    }

    fn count(&mut self, path: &str, count: usize, max: usize) {
        if count > max {
            self.add(path, Fault::TooMany { count, max });
        }
    }

    fn name(&mut self, path: &str, name: &str) {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) {
            self.add(path, Fault::Name { name: name.chars().take(NAME_BYTES_MAX).collect() });
        }
    }

    fn wallets(&mut self, path: &str, wallets: &[String]) {
        self.count(path, wallets.len(), WALLETS_MAX);
        for wallet in wallets.iter().filter(|wallet| Wallet::parse(wallet).is_none()) {
            self.add(path, Fault::Wallet { wallet: wallet.clone() });
        }
    }

    fn time(&mut self, path: String, ms: u64, max: u64) {
        if ms > max {
            self.add(path, Fault::Time { ms, max });
        }
    }
}

/// Addresses on which the door listens, with their paths.
type Claims = BTreeMap<SocketAddr, String>;

fn addresses(document: &Document, found: &mut Found) -> Claims {
    let http = document.listeners.iter().enumerate().map(|(index, one)| (format!("listeners[{index}]"), one.address));
    let tcp = document.tcp.iter().enumerate().map(|(index, one)| (format!("tcp[{index}]"), one.address));
    let mut claims = Claims::new();
    for (path, address) in http.chain(tcp).filter(|(_, address)| address.port() != 0) {
        if let Some((_, other)) = claims.iter().find(|(claimed, _)| overlap(**claimed, address)) {
            found.add(format!("{path}.address"), Fault::AddressTwice { address, other: other.clone() });
        }
        claims.entry(address).or_insert(path);
    }
    for (index, listener) in document.listeners.iter().enumerate() {
        let proves = document.challenges.values().any(|challenge| challenge.digest.is_some());
        if listener.tls && document.certificates.is_empty() && !proves {
            found.add(format!("listeners[{index}].tls"), Fault::NoCertificate);
        }
        if let Some(route) = &listener.route {
            route_fits(document, route, false, format!("listeners[{index}].route"), found);
        }
    }
    for (index, listener) in document.tcp.iter().enumerate() {
        route_fits(document, &listener.route, true, format!("tcp[{index}].route"), found);
    }
    claims
}

fn check_challenge(name: &str, challenge: &Challenge, found: &mut Found) {
    if host::normal(name).as_deref() != Some(name) {
        found.add(format!("challenges.{name}"), Fault::HostName { name: name.to_string() });
    }
    if !is_good(challenge) {
        found.add(format!("challenges.{name}"), Fault::Challenge);
    }
}

/// Returns true when one socket at each of both addresses is impossible. Both families are apart: the door's sockets of IPv6 take no IPv4.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (a.ip() == b.ip() || any)
}

fn hosts(document: &Document, found: &mut Found) {
    for (name, entry) in &document.hosts {
        if host::normal_pattern(name).as_ref() != Some(name) {
            found.add(format!("hosts.{name}"), Fault::HostName { name: name.clone() });
        }
        route_fits(document, &entry.route, false, format!("hosts.{name}.route"), found);
        if let Access::Wallets(wallets) = &entry.access {
            found.wallets(&format!("hosts.{name}.access.wallets"), wallets);
        }
        if let Some(gate) = &entry.gate {
            found.name(&format!("hosts.{name}.gate.application"), &gate.application);
            if document.version < VERSION {
                found.add(format!("hosts.{name}.gate"), Fault::Newer);
            }
        }
    }
}

fn people(document: &Document, found: &mut Found) {
    let Some(people) = &document.people else { return };
    if document.version < VERSION {
        found.add("people", Fault::Newer);
    }
    if !is_site(&people.sign_in) {
        found.add("people.sign_in", Fault::SignIn { address: people.sign_in.clone() });
    }
    found.wallets("people.owners", &people.owners);
    found.wallets("people.members", &people.members);
}

/// Returns true for a scheme with a host in its normal form and nothing after it.
fn is_site(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| Authority::parse(rest).is_some_and(|site| site.to_string() == rest))
}

fn route_fits(document: &Document, name: &str, tcp: bool, path: String, found: &mut Found) {
    match document.routes.get(name) {
        None => found.add(path, Fault::UnknownRoute { route: name.to_string() }),
        Some(route) if (route.protocol == Protocol::Tcp) != tcp => {
            found.add(path, Fault::WrongProtocol { route: name.to_string(), found: route.protocol });
        }
        Some(_) => {}
    }
}

fn check_route(name: &str, route: &Route, claims: &Claims, found: &mut Found) {
    let path = format!("routes.{name}");
    found.name(&path, name);
    found.time(format!("{path}.hold_ms"), route.hold_ms, HOLD_MS_MAX);
    found.count(&format!("{path}.instances"), route.instances.len(), INSTANCES_MAX);
    let admitted = route.instances.iter().any(|instance| instance.traffic == Traffic::Admit);
    if route.admission == Admission::Open && !admitted {
        found.add(format!("{path}.instances"), Fault::NobodyAdmitted);
    }
    if let Some(page) = &route.page {
        let bytes = page.title.len() + page.text.len();
        if bytes > PAGE_TEXT_BYTES_MAX {
            found.add(format!("{path}.page"), Fault::Text { bytes, max: PAGE_TEXT_BYTES_MAX });
        }
    }
    for (index, instance) in route.instances.iter().enumerate() {
        let path = format!("{path}.instances[{index}]");
        if route.instances[..index].iter().any(|other| other.name == instance.name) {
            found.add(format!("{path}.name"), Fault::InstanceTwice { name: instance.name.clone() });
        }
        check_instance(&path, instance, claims, found);
    }
}

fn check_instance(path: &str, instance: &Instance, claims: &Claims, found: &mut Found) {
    found.name(&format!("{path}.name"), &instance.name);
    found.time(format!("{path}.drain_ms"), instance.drain_ms, DRAIN_MS_MAX);
    let address = instance.address;
    let multicast = match address.ip() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast(),
    };
    if address.port() == 0 || address.ip().is_unspecified() || multicast {
        found.add(format!("{path}.address"), Fault::NotCallable { address });
    } else if let Some(listener) = claims.get(&address) {
        found.add(format!("{path}.address"), Fault::Circle { address, listener: listener.clone() });
    }
}

fn check_certificate(index: usize, certificate: &Certificate, found: &mut Found) {
    for name in &certificate.names {
        if host::normal_pattern(name).as_ref() != Some(name) {
            found.add(format!("certificates[{index}].names"), Fault::HostName { name: name.clone() });
        }
    }
    for (key, path) in [("chain", &certificate.chain), ("key", &certificate.key)] {
        if !path.is_absolute() {
            found.add(format!("certificates[{index}].{key}"), Fault::RelativePath);
        }
    }
}
